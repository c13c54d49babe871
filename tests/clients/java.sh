#!/usr/bin/env bash
# Apache Kafka's own tools against a broker: kafka-producer-perf-test with every codec and acknowledgement, kafka-get-offsets
# for every kind of offset, and the console consumer on an assigned partition.
#
# usage: java.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
. ./tools.sh
broker=$1
run=$(date +%s)-$$
count=20000

offsets_of() { tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$broker" "$@"; }
console() { tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" --topic "java-console-$run" --partition 0 "$@"; }

# perf TOPIC PROPERTY...
perf() {
    local topic=$1
    shift
    seconds=120 tool org.apache.kafka.tools.ProducerPerformance --topic "$topic" --num-records $count --record-size 200 --throughput -1 \
        --bootstrap-server "$broker" --command-property "$@"
    equal "producer-perf-test $*" "$count records sent" "$(grep -o '^[0-9]* records sent' "$scratch/out" | tail -1)"
    grep -v SLF4J "$scratch/stderr" | head -5 || true
}

offsets_of --version
echo "Kafka $(cat "$scratch/out")"
for codec in none gzip snappy lz4 zstd; do
    perf "java-$codec-$run" acks=all compression.type=$codec
done
perf "java-acks-1-$run" acks=1 enable.idempotence=false
perf "java-acks-0-$run" acks=0 enable.idempotence=false
before=$(date +%s%3N)

# offsets WHAT TIME EXPECTED: of all our topics, without the run in their names
offsets() {
    offsets_of --topic "java-.*-$run" --time "$2"
    sed "s/-$run//" "$scratch/out" | sort >"$scratch/offsets"
    for topic in acks-0 acks-1 gzip lz4 none snappy zstd; do
        echo "java-$topic:0:$3"
    done >"$scratch/expected"
    same "get-offsets $1" "$scratch/expected" "$scratch/offsets"
}
offsets latest -1 $count
offsets earliest -2 0
offsets earliest-local -4 0
offsets "since 1970" 0 0
# Kafka names no offset for a time after the last record.
offsets_of --topic "java-.*-$run" --time "$((before + 3600000))"
equal "get-offsets for a time to come" "" "$(cat "$scratch/out")"
# The record with the largest time is among the last batch's.
offsets_of --topic "java-none-$run" --time -3
last=$(cut -d: -f3 "$scratch/out")
equal "get-offsets max-timestamp" yes "$([ "${last:-0}" -gt 0 ] && [ "$last" -lt $count ] && echo yes)"

seq 1 5000 | sed 's/^/line /' >"$scratch/lines"
within 30 kcat -b "$broker" -P -t "java-console-$run" -z lz4 -l "$scratch/lines"
console --offset 0 --max-messages 5000 --timeout-ms 30000
same "console consumer from the start" "$scratch/lines" "$scratch/out"
console --offset 4321 --max-messages 679 --timeout-ms 30000 --command-property check.crcs=true
tail -n +4322 "$scratch/lines" >"$scratch/tail"
same "console consumer from inside a batch" "$scratch/tail" "$scratch/out"
finish
