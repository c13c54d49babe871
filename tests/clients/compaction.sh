#!/usr/bin/env bash
# A compacted topic through Kafka's console consumer: the last value of each key is left, at the offset that it always had.
#
# usage: compaction.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
. ./tools.sh
broker=$1
run=$(date +%s)-$$
topic=compacted-$run

tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" --create --topic "$topic" --partitions 1 \
    --config cleanup.policy=compact --config segment.ms=200 --config min.cleanable.dirty.ratio=0.01 \
    --config delete.retention.ms=0
printed "topics --create with compaction" "Created topic compacted."
# Ten keys with a hundred values each, then a key without its last value; `value offset` as it must be read in the end.
seq 0 999 | sed 's/.*\(.\)$/key-\1:&/' | within 30 kcat -b "$broker" -P -t "$topic" -K: -z lz4
printf 'key-3:\n' | within 30 kcat -b "$broker" -P -t "$topic" -K: -Z
seq 990 999 | grep -v '3$' | sed 's/.*\(.\)$/key-\1 & Offset:&/' >"$scratch/expected"

# What is written last is never cleaned, so something is written until the rest has been.
read_keys() {
    tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" --topic "$topic" --partition 0 \
        --offset earliest --timeout-ms 2000 --formatter-property print.key=true --formatter-property print.offset=true
    sed -n 's/^\(Offset:[0-9]*\)\tkey-\([0-9]\)\t\(.*\)$/key-\2 \3 \1/p' "$scratch/out" | sort
}
until_cleaned() {
    for _ in $(seq 60); do
        echo "other:$(date +%N)" | within 30 kcat -b "$broker" -P -t "$topic" -K:
        read_keys >"$scratch/read"
        ! cmp -s "$scratch/expected" "$scratch/read" || return 0
    done
}
until_cleaned
same "console consumer on a compacted topic" "$scratch/expected" "$scratch/read"
tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$broker" --topic "$topic" --time -2
printed "get-offsets of a compacted topic" "compacted:0:0"
finish
