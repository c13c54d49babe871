#!/usr/bin/env bash
# Apache Kafka's own tools against a broker: kafka-producer-perf-test with every codec and acknowledgement, kafka-get-offsets
# for every kind of offset, and the console consumer on an assigned partition.
#
# usage: java.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
broker=$1
run=$(date +%s)-$$
count=20000

# tool CLASS ARGUMENT...
tool() { within 120 java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" "org.apache.kafka.tools.$@" 2>"$scratch/stderr"; }

# perf TOPIC PROPERTY...
perf() {
    local topic=$1
    shift
    tool ProducerPerformance --topic "$topic" --num-records $count --record-size 200 --throughput -1 \
        --bootstrap-server "$broker" --command-property "$@" >"$scratch/perf" || true
    equal "producer-perf-test $*" "$count records sent" "$(grep -o '^[0-9]* records sent' "$scratch/perf" | tail -1)"
    grep -v SLF4J "$scratch/stderr" | head -5 || true
}

echo "Kafka $(tool GetOffsetShell --version)"
for codec in none gzip snappy lz4 zstd; do
    perf "java-$codec-$run" acks=all compression.type=$codec
done
perf "java-acks-1-$run" acks=1 enable.idempotence=false
perf "java-acks-0-$run" acks=0 enable.idempotence=false
before=$(date +%s%3N)

# offsets WHAT TIME EXPECTED: of all our topics, without the run in their names
offsets() {
    tool GetOffsetShell --bootstrap-server "$broker" --topic "java-.*-$run" --time "$2" | sed "s/-$run//" | sort >"$scratch/offsets"
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
tool GetOffsetShell --bootstrap-server "$broker" --topic "java-.*-$run" --time "$((before + 3600000))" >"$scratch/offsets"
equal "get-offsets for a time to come" "" "$(cat "$scratch/offsets")"
# The record with the largest time is among the last batch's.
last=$(tool GetOffsetShell --bootstrap-server "$broker" --topic "java-none-$run" --time -3 | cut -d: -f3)
equal "get-offsets max-timestamp" yes "$([ "${last:-0}" -gt 0 ] && [ "$last" -lt $count ] && echo yes)"

seq 1 5000 | sed 's/^/line /' >"$scratch/lines"
within 30 kcat -b "$broker" -P -t "java-console-$run" -z lz4 -l "$scratch/lines"
tool consumer.ConsoleConsumer --bootstrap-server "$broker" --topic "java-console-$run" --partition 0 --offset 0 \
    --max-messages 5000 --timeout-ms 30000 >"$scratch/read" || true
same "console consumer from the start" "$scratch/lines" "$scratch/read"
tool consumer.ConsoleConsumer --bootstrap-server "$broker" --topic "java-console-$run" --partition 0 --offset 4321 \
    --max-messages 679 --timeout-ms 30000 --command-property check.crcs=true >"$scratch/read" || true
tail -n +4322 "$scratch/lines" >"$scratch/tail"
same "console consumer from inside a batch" "$scratch/tail" "$scratch/read"
finish
