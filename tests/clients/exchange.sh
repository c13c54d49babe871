#!/usr/bin/env bash
# Every codec both ways between all clients: each writes into the same partition with a codec, and each reads what all have
# written. kafkajs is given neither lz4 nor zstd: it has them from packages with native code only.
#
# usage: exchange.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
. ./tools.sh
broker=$1
run=$(date +%s)-$$
clients_of() { echo kcat confluent aiokafka go $([[ $1 == lz4 || $1 == zstd ]] || echo node) java; }
export KAFKAJS_NO_PARTITIONER_WARNING=1

# write CLIENT TOPIC CODEC: the lines of $scratch/lines
write() {
    case $1 in
        kcat) within 30 kcat -b "$broker" -P -t "$2" -p 0 -z "$3" -l "$scratch/lines" ;;
        confluent | aiokafka) within 60 "$venv/bin/python" exchange.py "$1" "$broker" write "$2" "$3" <"$scratch/lines" ;;
        go) within 60 "$go_client" "$broker" write "$2" "$3" <"$scratch/lines" ;;
        node) within 60 node "$node_client/client.js" "$broker" write "$2" "$3" <"$scratch/lines" ;;
        java)
            input=$scratch/lines tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$broker" --topic "$2" \
                --compression-codec "$3"
            equal "console producer with $3" 0 "$status"
            ;;
    esac
}

# read_all CLIENT TOPIC COUNT
read_all() {
    case $1 in
        kcat) within 30 kcat -b "$broker" -C -q -e -t "$2" -p 0 -o beginning ;;
        confluent | aiokafka) within 60 "$venv/bin/python" exchange.py "$1" "$broker" read "$2" "$3" ;;
        go) within 60 "$go_client" "$broker" read "$2" "$3" ;;
        node) within 60 node "$node_client/client.js" "$broker" read "$2" "$3" ;;
        java)
            tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" --topic "$2" --partition 0 \
                --offset earliest --max-messages "$3" --timeout-ms 30000
            cat "$scratch/out"
            ;;
    esac
}

for codec in none gzip snappy lz4 zstd; do
    topic=exchange-$codec-$run
    tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" --create --topic "$topic" --partitions 1
    : >"$scratch/expected-$codec"
    for client in $(clients_of $codec); do
        seq 1 100 | sed "s/^/what $client compresses with $codec should repeat itself: /" >"$scratch/lines"
        write "$client" "$topic" $codec
        cat "$scratch/lines" >>"$scratch/expected-$codec"
    done
done
for codec in none gzip snappy lz4 zstd; do
    topic=exchange-$codec-$run
    count=$(wc -l <"$scratch/expected-$codec")
    readers=()
    for client in $(clients_of $codec); do
        if [ "$client" = java ]; then
            read_all java "$topic" "$count" >"$scratch/read-java"
        else
            read_all "$client" "$topic" "$count" >"$scratch/read-$client" &
            readers+=($!)
        fi
    done
    wait "${readers[@]}" || true
    for client in $(clients_of $codec); do
        same "$client reads what all have written with $codec" "$scratch/expected-$codec" "$scratch/read-$client"
    done
done
finish
