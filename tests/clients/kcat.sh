#!/usr/bin/env bash
# kcat against a broker: produces with every codec and acknowledgement, consumes from every kind of offset, lists and asks.
# Debian 12 brings kcat 1.7.1 with librdkafka 2.0.2, which switches features on by exact versions of APIs.
#
# usage: kcat.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./check.sh
broker=$1
run=$(date +%s)-$$

produce() { within 30 kcat -b "$broker" -P "$@"; }
consume() { within 30 kcat -b "$broker" -C -q -e "$@"; }

kcat -V | grep Version

# Keys and values as lines `key:value`, of many lengths; `numbered` is what a consumer from the start must print.
seq 1 1000 | awk '{ v = ""; for (i = 0; i < $1 % 97; i++) v = v "v" (i * $1) % 1000; print "key" $1 ":value" $1 v }' >"$scratch/lines"
awk -F: '{ print NR - 1 " " $0 }' "$scratch/lines" >"$scratch/numbered"
topics=()

for codec in none gzip snappy lz4 zstd; do
    topic=kcat-$codec-$run
    topics+=("$topic")
    # It waits for batches that are worth compressing, however busy the machine is.
    produce -t "$topic" -K: -X linger.ms=200 -z "$codec" -l "$scratch/lines"
    consume -t "$topic" -o beginning -f '%o %k:%s\n' >"$scratch/read"
    same "codec $codec" "$scratch/numbered" "$scratch/read"
done

for acks in 0 1 all; do
    topic=kcat-acks-$acks-$run
    within 30 kcat -b "$broker" -L -t "$topic" >"$scratch/created" # creates it: with acks=0 no error would be seen
    produce -t "$topic" -K: -X "acks=$acks" -l "$scratch/lines"
    for _ in $(seq 50); do # acks=0 does not wait for the write
        consume -t "$topic" -o beginning -f '%o %k:%s\n' >"$scratch/read"
        [ "$(wc -l <"$scratch/read")" -lt 1000 ] || break
    done
    same "acks $acks" "$scratch/numbered" "$scratch/read"
done

topic=kcat-idempotent-$run
produce -t "$topic" -K: -X enable.idempotence=true -z lz4 -l "$scratch/lines"
consume -t "$topic" -o beginning -f '%o %k:%s\n' >"$scratch/read"
same "idempotence" "$scratch/numbered" "$scratch/read"

topic=kcat-headers-$run
echo "k:v" | produce -t "$topic" -K: -H one=1 -H two= -H one=again
equal "headers" "one=1,two=,one=again k v" "$(consume -t "$topic" -o beginning -f '%h %k %s')"

topic=kcat-null-$run
printf ':\nk:\n:v\n' | produce -t "$topic" -K: -Z
equal "null keys and values" "-1 -1|1 -1|-1 1|" "$(consume -t "$topic" -o beginning -f '%K %S|')"

topic=kcat-big-$run
head -c 700000 /dev/urandom | base64 -w 0 >"$scratch/big"
produce -t "$topic" -X message.max.bytes=1048588 "$scratch/big"
consume -t "$topic" -o beginning -f '%s' >"$scratch/read"
same "a record of $(wc -c <"$scratch/big") bytes" "$scratch/big" "$scratch/read"

topic=kcat-offsets-$run
produce -t "$topic" -K: -X batch.num.messages=64 -l "$scratch/lines"
for from in 0 1 63 64 500 999; do
    consume -t "$topic" -o "$from" -f '%o %k:%s\n' >"$scratch/read"
    tail -n "+$((from + 1))" "$scratch/numbered" >"$scratch/tail"
    same "from offset $from" "$scratch/tail" "$scratch/read"
done
for tail in 1 10 1000; do
    consume -t "$topic" -o "-$tail" -f '%o %k:%s\n' >"$scratch/read"
    tail -n "$tail" "$scratch/numbered" >"$scratch/tail"
    same "the last $tail" "$scratch/tail" "$scratch/read"
done
equal "from the end" "" "$(consume -t "$topic" -o end -f '%o\n')"
equal "some from the middle" "500 501 502 " "$(within 30 kcat -b "$broker" -C -q -t "$topic" -o 500 -c 3 -f '%o ')"

query() { within 30 kcat -b "$broker" -Q -t "$topic:0:$1" | sed "s/^$topic //"; }
equal "query the end" "[0] offset 1000" "$(query -1)"
equal "query the start" "[0] offset 0" "$(query -2)"
consume -t "$topic" -o beginning -f '%o %T\n' >"$scratch/times"
# The first record whose time is not below that of record 700.
time=$(awk '$1 == 700 { print $2 }' "$scratch/times")
first=$(awk -v t="$time" '$2 >= t { print $1; exit }' "$scratch/times")
equal "query by time" "[0] offset $first" "$(query "$time")"
equal "from a time" "$first" "$(within 30 kcat -b "$broker" -C -q -t "$topic" -o "s@$time" -c 1 -f '%o')"
equal "query a time to come" "[0] offset -1" "$(query 32503680000000)"

within 30 kcat -b "$broker" -L -J >"$scratch/metadata"
for topic in "${topics[@]}"; do
    grep -q "{\"topic\":\"$topic\",\"partitions\":\[{\"partition\":0,\"leader\":" "$scratch/metadata" || {
        echo "FAILED  $topic is not in the list of topics"
        failures=$((failures + 1))
    }
done
equal "one broker, which is where we asked" "1 $broker" \
    "$(grep -o '"brokers":\[{[^]]*' "$scratch/metadata" | grep -o '"name":"[^"]*"' | cut -d'"' -f4 | awk '{ n++; b = $0 } END { print n, b }')"
finish
