#!/usr/bin/env bash
# Kafka's own command-line tools for administrators against a broker: kafka-topics, kafka-configs, kafka-get-offsets,
# kafka-delete-records, kafka-log-dirs, kafka-broker-api-versions, kafka-cluster, kafka-features, kafka-metadata-quorum,
# kafka-leader-election, kafka-reassign-partitions, kafka-transactions, kafka-client-metrics, quotas through kafka-configs, and
# the verifiable producer, which gives them records to look at. Then Java's admin client itself. What they print is what Kafka's broker makes them print.
#
# usage: admin.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
. ./tools.sh
broker=$1
run=$(date +%s)-$$
topic=admin-$run
placed=placed-$run
records=records-$run

topics() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" "$@"; }
configs() { tool kafka.admin.ConfigCommand --bootstrap-server "$broker" "$@"; }
offsets() { tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$broker" "$@"; }

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

alone org.apache.kafka.tools.VerifiableProducer --bootstrap-server "$broker" --topic "$records" --max-messages 20 --acks -1
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
# Those that Kafka 4.3 and 4.4 have in the same versions.
checked="Produce|Fetch|ListOffsets|Metadata|Offset(Commit|Fetch|Delete|ForLeaderEpoch)|FindCoordinator|(Join|Leave|Sync)Group"
checked="$checked|Heartbeat|(Describe|List)Groups|(Create|Delete)Topics|DeleteRecords|(Incremental)?AlterConfigs|DescribeConfigs"
checked="$checked|AlterReplicaLogDirs|DescribeLogDirs|CreatePartitions|ElectLeaders|ListPartitionReassignments"
checked="$checked|(Describe|Alter)ClientQuotas|Describe(Quorum|Cluster|Producers|TopicPartitions)"
ranges() { sed -n 's/^\t\([A-Za-z]*\)([0-9]*): \([0-9]*\)\( to [0-9]*\)\{0,1\} .*/\1 \2\3/p' "$scratch/out"; }
equal "broker-api-versions" "$(cat <<'END'
Produce 0 to 13
Fetch 4 to 18
ListOffsets 1 to 11
Metadata 0 to 13
OffsetCommit 2 to 10
OffsetFetch 1 to 10
FindCoordinator 0 to 6
JoinGroup 0 to 9
Heartbeat 0 to 4
LeaveGroup 0 to 5
SyncGroup 0 to 5
DescribeGroups 0 to 6
ListGroups 0 to 5
CreateTopics 2 to 7
DeleteTopics 1 to 6
DeleteRecords 0 to 2
OffsetForLeaderEpoch 2 to 4
DescribeConfigs 1 to 4
AlterConfigs 0 to 2
AlterReplicaLogDirs 1 to 2
DescribeLogDirs 1 to 5
CreatePartitions 0 to 3
ElectLeaders 0 to 2
IncrementalAlterConfigs 0 to 1
ListPartitionReassignments 0
OffsetDelete 0
DescribeClientQuotas 0 to 1
AlterClientQuotas 0 to 1
DescribeQuorum 0 to 2
DescribeCluster 0 to 2
DescribeProducers 0
DescribeTopicPartitions 0
END
)" "$(ranges | grep -E "^($checked) ")"
tool org.apache.kafka.tools.ClusterTool list-endpoints --bootstrap-server "$broker"
equal "cluster list-endpoints" "1 ${broker##*:} unfenced broker" \
    "$(awk '$1 == "1" { print $1, $3, $5, $6 }' "$scratch/out")"

tool org.apache.kafka.tools.FeatureCommand --bootstrap-server "$broker" describe
# Which there are differs from broker to broker; what is said of each must make sense.
equal "features describe" "0" "$status$(plain | awk '
    !/^Feature: .* SupportedMinVersion: .* SupportedMaxVersion: .* FinalizedVersionLevel: / || ($2 != "metadata.version" && ($8 < $4 || $8 > $6))')"
quorum() { tool org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server "$broker" describe "$@"; }
quorum --status
equal "metadata-quorum describe --status" "0 LeaderId: 1 MaxFollowerLag: 0 one voter no observers" "$status $(plain | awk '
    /^(LeaderId|MaxFollowerLag):/ { printf "%s ", $0 } /^CurrentVoters: \[{"id": 1[,}]/ { printf "one voter " }
    /^CurrentObservers: \[\]$/ { printf "no observers" }
')"
quorum --replication
equal "metadata-quorum describe --replication" "0 1 0 Leader" "$status $(plain | awk '$1 == 1 { print $1, $4, $NF }')"

elect() { tool org.apache.kafka.tools.LeaderElectionCommand --bootstrap-server "$broker" --election-type preferred "$@"; }
elect --topic "$records" --partition 0
printed "leader-election" "Valid replica already elected for partitions records-0"
elect --topic "none-$run" --partition 0
fails "leader-election where there is nothing" "UnknownTopicOrPartitionException"
tool org.apache.kafka.tools.reassign.ReassignPartitionsCommand --bootstrap-server "$broker" --list
printed "reassign-partitions --list" "No partition reassignments found."
seq 1 10 | within 30 kcat -b "$broker" -P -t "$records" -p 0 -X enable.idempotence=true
tool org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$broker" describe-producers --topic "$records" --partition 0
equal "transactions describe-producers" "0 epoch 0 sequence 9 no transaction" "$status $(plain | awk '
    $1 ~ /^[0-9]+$/ { print "epoch", $2, "sequence", $4, $NF == "None" ? "no transaction" : $NF }')"

quotas() { configs --entity-type clients "$@"; }
quotas --entity-name "slow-$run" --alter --add-config producer_byte_rate=200000,consumer_byte_rate=300000
printed "configs --alter of a client's quotas" "Completed updating config for client slow."
quotas --entity-name "slow-$run" --describe
printed "configs --describe of a client's quotas" \
    "Quota configs for client-id 'slow' are consumer_byte_rate=300000.0, producer_byte_rate=200000.0"
# perf NAME: a producer of this client id; says whether it was held back.
perf() {
    tool org.apache.kafka.tools.ProducerPerformance --topic "$records" --num-records 3000 --record-size 1000 --throughput -1 \
        --bootstrap-server "$broker" --command-property "client.id=$1" batch.size=16384 --print-metrics
    sed -n 's/^producer-metrics:produce-throttle-time-max:.*: \([0-9.]*\)$/\1/p' "$scratch/out" | awk '{ print ($1 > 0 ? "held back" : "not held back") }'
}
equal "a producer above its quota" "held back" "$(perf "slow-$run")"
equal "a producer without quota" "not held back" "$(perf "fast-$run")"
quotas --entity-name "slow-$run" --alter --delete-config producer_byte_rate,consumer_byte_rate
printed "configs --delete-config of a client's quotas" "Completed updating config for client slow."
quotas --entity-name "slow-$run" --describe
printed "configs --describe behind that" ""
quotas --entity-default --alter --add-config request_percentage=150
printed "configs --alter of the default quotas" "Completed updating default config for clients in the cluster."
quotas --entity-default --describe
printed "configs --describe of the default quotas" "Quota configs for the default client-id are request_percentage=150.0"
quotas --entity-default --alter --delete-config request_percentage
equal "configs --delete-config of the default quotas" 0 "$status"
configs --entity-type groups --entity-name "group-$run" --alter --add-config consumer.session.timeout.ms=50000
printed "configs --alter of a group" "Completed updating config for group group."
configs --entity-type groups --entity-name "group-$run" --describe
says "configs --describe of a group" "^ consumer.session.timeout.ms=50000 sensitive=false synonyms=.DYNAMIC_GROUP_CONFIG:"
metrics() { tool org.apache.kafka.tools.ClientMetricsCommand --bootstrap-server "$broker" "$@"; }
metrics --alter --name "metrics-$run" --metrics org.apache.kafka.producer. --interval 60000
printed "client-metrics --alter" "Altered client metrics config for metrics."
metrics --describe --name "metrics-$run"
printed "client-metrics --describe" "Client metrics configs for metrics are:
 interval.ms=60000
 match=
 metrics=org.apache.kafka.producer."
metrics --list
says "client-metrics --list" "^metrics$"
metrics --delete --name "metrics-$run"
printed "client-metrics --delete" "Deleted client metrics config for metrics."

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
