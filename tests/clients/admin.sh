#!/usr/bin/env bash
# Kafka's own command-line tools for administrators against a broker: kafka-topics, kafka-configs, kafka-get-offsets,
# kafka-delete-records, kafka-log-dirs, kafka-broker-api-versions, kafka-cluster, and the verifiable producer, which gives
# them records to look at. Then Java's admin client itself. What they print is what Kafka's broker makes them print.
#
# usage: admin.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
broker=$1
run=$(date +%s)-$$
topic=admin-$run
placed=placed-$run
records=records-$run
ran=0

# tool CLASS ARGUMENT...: its output on stdout and in $scratch/out, its errors in $scratch/stderr, its status in $status.
tool() {
    local class=$1
    shift
    status=0
    within 60 java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" "$class" "$@" \
        >"$scratch/out" 2>"$scratch/stderr" || status=$?
    ran=$((ran + 1))
}
topics() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" "$@"; }
configs() { tool kafka.admin.ConfigCommand --bootstrap-server "$broker" "$@"; }
offsets() { tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$broker" "$@"; }

# printed WHAT EXPECTED: the tool has ended well and printed this, the run taken out of the names.
printed() { equal "$1" "0 $2" "$status $(sed "s/-$run//g" "$scratch/out")"; }
# fails WHAT PATTERN: the tool has failed, and has said so.
fails() { equal "$1" "failed yes" "$([ "$status" -ne 0 ] && echo failed) $(grep -Eq "$2" "$scratch/out" "$scratch/stderr" && echo yes)"; }
# described: the partitions of a topic as kafka-topics prints them, one `partition leader replicas isr` per line.
described() { sed -n 's/.*Partition: \([0-9]*\)\tLeader: \([0-9]*\)\tReplicas: \([0-9,]*\)\tIsr: \([0-9,]*\).*/\1 \2 \3 \4/p' "$scratch/out"; }
partitions() { for partition in $(seq 0 $(($1 - 1))); do echo "$partition 1 1 1"; done; }

topics --create --topic "$topic" --partitions 3 --config retention.ms=1234567
printed "topics --create" "Created topic admin."
topics --create --topic "$topic" --partitions 3
fails "topics --create what there is" exist
topics --create --topic "$topic" --if-not-exists
printed "topics --create --if-not-exists" ""
topics --create --topic "$placed" --replica-assignment 1,1
printed "topics --create --replica-assignment" "Created topic placed."
topics --create --topic "wrong-$run" --replica-assignment 1,77
fails "topics --create on a broker that there is not" "77"
topics --create --topic "wrong-$run" --config retention.mss=1
fails "topics --create with a config that there is not" "retention.mss"
topics --list
equal "topics --list" "admin-$run placed-$run" "$(grep -- "-$run$" "$scratch/out" | tr '\n' ' ' | sed 's/ $//')"
topics --describe --topic "$topic"
equal "topics --describe" "$(partitions 3)" "$(described)"
equal "topics --describe, head" yes \
    "$(grep -Eq "^Topic: $topic.*PartitionCount: 3.*ReplicationFactor: 1.*Configs: .*retention.ms=1234567" "$scratch/out" && echo yes)"
topics --alter --topic "$topic" --partitions 5
equal "topics --alter" "0" "$status"
topics --describe --topic "$topic"
equal "topics --describe with more partitions" "$(partitions 5)" "$(described)"
topics --alter --topic "$topic" --partitions 2
fails "topics --alter to fewer partitions" "5 partition"
topics --describe --under-replicated-partitions --topic "$topic"
printed "topics --describe --under-replicated-partitions" ""

configs --entity-type topics --entity-name "$topic" --alter \
    --add-config 'segment.ms=70000,cleanup.policy=[compact,delete]' --delete-config retention.ms
printed "configs --alter" "Completed updating config for topic admin."
configs --entity-type topics --entity-name "$topic" --describe
equal "configs --describe" "cleanup.policy=compact,delete segment.ms=70000" \
    "$(sed -n 's/^  \([^ ]*\) .*/\1/p' "$scratch/out" | grep -E '^(cleanup|segment|retention)' | sort | tr '\n' ' ' | sed 's/ $//')"
configs --entity-type topics --entity-name "$topic" --alter --add-config retention.mss=1
fails "configs --alter what there is not" "retention.mss"
configs --entity-type topics --entity-name "$topic" --describe --all
equal "configs --describe --all" "retention.ms=604800000 segment.ms=70000" \
    "$(sed -n 's/^  \([^ ]*\) .*/\1/p' "$scratch/out" | grep -E '^(segment.ms|retention.ms)=' | sort | tr '\n' ' ' | sed 's/ $//')"
configs --entity-type brokers --entity-name 1 --describe --all
equal "configs --describe --all of a broker" yes \
    "$(grep -Eq '^  num.partitions=1 sensitive=false synonyms=\{' "$scratch/out" && echo yes)"

tool org.apache.kafka.tools.VerifiableProducer --bootstrap-server "$broker" --topic "$records" --max-messages 20 --acks -1
equal "verifiable producer" "0 20 sent, 20 acked" \
    "$status $(sed -n 's/.*"tool_data","sent":\([0-9]*\),"acked":\([0-9]*\).*/\1 sent, \2 acked/p' "$scratch/out")"
offsets --topic "$records"
printed "get-offsets" "records:0:20"
deletion() { echo "{\"version\":1,\"partitions\":[{\"topic\":\"$records\",\"partition\":0,\"offset\":$1}]}" >"$scratch/json"; }
deletion 7
tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "$broker" --offset-json-file "$scratch/json"
equal "delete-records" "0 records-0 7" \
    "$status $(sed -n "s/^partition: \(.*\)-$run-0\tlow_watermark: \([0-9]*\)$/\1-0 \2/p" <(echo "$(cat "$scratch/out")"))"
deletion 21
tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "$broker" --offset-json-file "$scratch/json"
equal "delete-records beyond the end" yes "$(grep -q OffsetOutOfRange "$scratch/out" "$scratch/stderr" && echo yes)"
offsets --topic "$records" --time -2
printed "get-offsets behind the deletion" "records:0:7"

tool org.apache.kafka.tools.LogDirsCommand --bootstrap-server "$broker" --describe --topic-list "$records,$topic"
grep '^{' "$scratch/out" >"$scratch/json" || true
equal "log-dirs" "1 directory, 6 partitions, no lag, size yes" "$(python3 - "$scratch/json" "$records-0" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    (broker,) = json.load(file)["brokers"]
partitions = [partition for directory in broker["logDirs"] for partition in directory["partitions"]]
sizes = {partition["partition"]: partition["size"] for partition in partitions}
lag = any(partition["offsetLag"] or partition["isFuture"] for partition in partitions)
size = sizes.pop(sys.argv[2]) > 0 and not any(sizes.values())
print(f"{len(broker['logDirs'])} directory, {len(partitions)} partitions, {'a' if lag else 'no'} lag, size {'yes' if size else 'no'}")
END
)"

tool org.apache.kafka.tools.BrokerApiVersionsCommand --bootstrap-server "$broker"
ranges() { sed -n 's/^\t\([A-Za-z]*\)([0-9]*): \([0-9]*\)\( to [0-9]*\)\{0,1\} .*/\1 \2\3/p' "$scratch/out"; }
equal "broker-api-versions" "$(cat <<'END'
Produce 0 to 13
Fetch 4 to 18
ListOffsets 1 to 11
Metadata 0 to 13
FindCoordinator 0 to 6
CreateTopics 2 to 7
DeleteTopics 1 to 6
DeleteRecords 0 to 2
OffsetForLeaderEpoch 2 to 4
DescribeConfigs 1 to 4
AlterConfigs 0 to 2
DescribeLogDirs 1 to 5
CreatePartitions 0 to 3
IncrementalAlterConfigs 0 to 1
DescribeCluster 0 to 2
DescribeTopicPartitions 0
END
)" "$(ranges | grep -E '^(Produce|Fetch|ListOffsets|Metadata|FindCoordinator|(Create|Delete)Topics|DeleteRecords|OffsetForLeaderEpoch|DescribeConfigs|AlterConfigs|DescribeLogDirs|CreatePartitions|IncrementalAlterConfigs|DescribeCluster|DescribeTopicPartitions) ')"
tool org.apache.kafka.tools.ClusterTool list-endpoints --bootstrap-server "$broker"
equal "cluster list-endpoints" "1 ${broker##*:} unfenced broker" \
    "$(awk '$1 == "1" { print $1, $3, $5, $6 }' "$scratch/out")"

topics --delete --topic "$topic"
printed "topics --delete" ""
topics --delete --topic "$topic"
fails "topics --delete what there is not" "does not exist"
topics --list
equal "topics --list behind the deletion" "placed-$run records-$run" "$(grep -- "-$run$" "$scratch/out" | tr '\n' ' ' | sed 's/ $//')"
echo "$ran tools ran"

within 120 java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" java/AdminCalls.java "$broker" "j$run" \
    2>"$scratch/stderr" || failures=$((failures + 1))
grep -v SLF4J "$scratch/stderr" | head -20 || true
finish
