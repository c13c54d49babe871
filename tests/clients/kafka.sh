#!/usr/bin/env bash
# Runs Apache Kafka itself, one node on loopback, so that the client scripts can be checked against the original:
#
#     tests/clients/kafka.sh 19092 /tmp/kafka &      # prints `ready 127.0.0.1:19092`, ends with Kafka
#     tests/clients/run --against 127.0.0.1:19092
#
# usage: kafka.sh PORT DIR [ADVERTISED_PORT]     (PORT + 1 is taken too, for the controller)
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
port=$1 dir=$2 advertised=${3:-$1}
mkdir -p "$dir"
jars_here

cat >"$dir/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$advertised
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
num.partitions=1
log.segment.bytes=2097152
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
END

kafka=(java -Xmx768m -cp "$jars/*")
exec 4>>"$dir/kafka.log"
[ -e "$dir/data/meta.properties" ] ||
    "${kafka[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$dir/server.properties" >&4 2>&4
"${kafka[@]}" kafka.Kafka "$dir/server.properties" >&4 2>&4 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid' EXIT
for _ in $(seq 120); do
    kill -0 $pid 2>/dev/null || { tail -5 "$dir/kafka.log"; exit 1; }
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.5
done
echo "ready 127.0.0.1:$port"
wait $pid
