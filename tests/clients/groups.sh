#!/usr/bin/env bash
# Kafka's command-line tools for groups against a broker: kafka-consumer-groups with all that it can do, kafka-groups, the
# verifiable consumer, the console consumer in a group and as a reader of __consumer_offsets, kafka-consumer-perf-test and
# the end-to-end latency. Members that come and go are kcat's. Then Java's consumers and admin client themselves.
#
# usage: groups.sh HOST:PORT
set -euo pipefail
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh
. ./tools.sh
broker=$1
run=$(date +%s)-$$
topic=topic-$run
group=group-$run
members=members-$run

groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$broker" "$@"; }
reset() { groups --reset-offsets --group "$group" "$@"; }
console() { tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$broker" "$@"; }
# lines FIRST LAST PARTITION: one record a line.
lines() { seq "$1" "$2" | within 30 kcat -b "$broker" -P -t "$topic" -p "$3"; }
# until_said FILE PATTERN: waits for it, for a bounded time.
until_said() {
    for _ in $(seq 300); do
        grep -Eq "$2" "$1" && return
        sleep 0.1
    done
    echo "nothing like \"$2\" in time:"
    cat "$1"
    return 1
}
# until_state STATE MEMBERS: waits until the group of kcat's members is so.
until_state() {
    for _ in $(seq 60); do
        groups --describe --group "$members" --state
        ! plain | grep -Eq " $1 $2\$" || return 0
    done
    plain
    return 1
}
offsets_head="GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID"
reset_head="GROUP TOPIC PARTITION NEW-OFFSET"
rows() { printf '\ngroup topic 0 %s\ngroup topic 1 %s' "$1" "$2"; }

# Most of its time is waiting for rebalances, so it runs beside the tools.
within 200 java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" java/GroupCalls.java "$broker" "j$run" \
    >"$scratch/calls" 2>"$scratch/calls-stderr" &
calls=$!

tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$broker" --create --topic "$topic" --partitions 2
printed "topics --create" "Created topic topic."
lines 1 30 0
between=$(date -u +%Y-%m-%dT%H:%M:%S.%3N)
lines 31 40 0
lines 1 10 1

tool org.apache.kafka.tools.VerifiableConsumer --bootstrap-server "$broker" --topic "$topic" --group-id "$group" \
    --max-messages 50 --reset-policy earliest --session-timeout 10000
equal "verifiable consumer" "0 2 assigned, 50 consumed, committed, shutdown" "$status $(python3 - "$scratch/out" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    events = [json.loads(line) for line in file if line.startswith("{")]
said = lambda name: [event for event in events if event["name"] == name]
assigned = max(len(event["partitions"]) for event in said("partitions_assigned"))
committed = {offset["partition"]: offset["offset"] for event in said("offsets_committed") if event["success"] for offset in event["offsets"]}
print(f"{assigned} assigned, {sum(event['count'] for event in said('records_consumed'))} consumed,"
      f" {'committed' if committed == {0: 40, 1: 10} else committed}, {'shutdown' if said('shutdown_complete') else 'none'}")
END
)"

groups --list
says "consumer-groups --list" "^group$"
groups --list --state
says "consumer-groups --list --state" "^group Empty$"
groups --list --state Empty --type classic
says "consumer-groups --list of a state and a type" "^group Classic Empty$"
groups --list --state Stable
equal "consumer-groups --list of another state" "" "$(plain | grep '^group ' || true)"
groups --list --type consumer
equal "consumer-groups --list of another type" "" "$(plain | grep '^group ' || true)"
groups --describe --group "$group"
lists "consumer-groups --describe" "$offsets_head
group topic 0 40 40 0 - - -
group topic 1 10 10 0 - - -"
groups --describe --group "$group" --state
printed "consumer-groups --describe --state" "GROUP COORDINATOR (ID) ASSIGNMENT-STRATEGY STATE #MEMBERS
group $broker (1) - Empty 0"
groups --describe --group "$group" --members
printed "consumer-groups --describe --members" "GROUP CONSUMER-ID HOST CLIENT-ID #PARTITIONS"
groups --describe --group "none-$run"
says "consumer-groups --describe what there is not" "GroupIdNotFoundException: Group none not found"

reset --topic "$topic" --to-earliest --dry-run
lists "reset-offsets --to-earliest --dry-run" "$reset_head$(rows 0 0)"
groups --describe --group "$group" --offsets
says "reset-offsets --dry-run resets nothing" "^group topic 0 40 40 0 "
reset --topic "$topic" --to-earliest --execute
lists "reset-offsets --to-earliest" "$reset_head$(rows 0 0)"
groups --describe --group "$group" --offsets
says "consumer-groups --describe behind a reset" "^group topic 0 0 40 40 - - -$"
reset --topic "$topic:0" --to-offset 7 --execute
printed "reset-offsets --to-offset of one partition" "$reset_head
group topic 0 7"
reset --all-topics --shift-by 5 --execute
lists "reset-offsets --shift-by" "$reset_head$(rows 12 5)"
reset --topic "$topic" --shift-by -6 --execute
says "reset-offsets --shift-by backwards, no further than the start" "^group topic 1 0$"
reset --topic "$topic" --to-datetime "$between" --execute
lists "reset-offsets --to-datetime" "$reset_head$(rows 30 0)"
reset --topic "$topic" --by-duration PT1H --dry-run
lists "reset-offsets --by-duration" "$reset_head$(rows 0 0)"
reset --topic "$topic" --to-current --export --dry-run
lists "reset-offsets --to-current --export" "topic,0,30
topic,1,0"
printf '%s,0,33\n%s,1,3\n' "$topic" "$topic" >"$scratch/csv"
reset --from-file "$scratch/csv" --execute
lists "reset-offsets --from-file" "$reset_head$(rows 33 3)"
reset --topic "$topic" --to-offset 1000 --dry-run
says "reset-offsets --to-offset beyond the end goes to the end" "^group topic 0 40$"
groups --reset-offsets --all-groups --topic "$topic" --to-latest --dry-run
says "reset-offsets --all-groups --to-latest" "^group topic 0 40$"
groups --describe --group "$group" --offsets
says "consumer-groups --describe behind all resets" "^group topic 0 33 40 7 - - -$"

groups --delete-offsets --group "$group" --topic "$topic:1"
printed "consumer-groups --delete-offsets" "Request succeeded for deleting offsets from group group.
TOPIC PARTITION STATUS
topic 1 Successful"
groups --describe --group "$group" --offsets
printed "consumer-groups --describe behind the deletion" "$offsets_head
group topic 0 33 40 7 - - -"

# Two members, one of them static.
# In the background only: a signal to it ends kcat.
member() { exec timeout --kill-after=5 120 kcat -b "$broker" -G "$members" -X auto.offset.reset=earliest -X session.timeout.ms=6000 "$@" "$topic"; }
member -X client.id=dynamic >"$scratch/first" 2>"$scratch/first-says" &
first=$!
until_said "$scratch/first-says" 'assigned: .*\[0\].*\[1\]'
member -X client.id=other -X group.instance.id=static >"$scratch/second" 2>"$scratch/second-says" &
second=$!
trap 'kill $first $second $calls 2>/dev/null || true; rm -rf "$scratch"' EXIT
until_said "$scratch/second-says" 'assigned: .*\[[01]\]$'
until_state Stable 2
printed "consumer-groups --describe --state with members" "GROUP COORDINATOR (ID) ASSIGNMENT-STRATEGY STATE #MEMBERS
members $broker (1) range Stable 2"
groups --list --state Stable --type
says "consumer-groups --list --state Stable" "^members Classic Stable$"
groups --describe --group "$members" --members
equal "consumer-groups --describe --members with members" "members dynamic-* /127.0.0.1 dynamic 1
members static-* static /127.0.0.1 other 1" "$(plain | grep ^members | sort)"
groups --describe --group "$members" --members --verbose
equal "consumer-groups --describe --members --verbose" "topic:0 topic:1" \
    "$(plain | grep -o 'topic:[01]' | sort | tr '\n' ' ' | sed 's/ $//')"
groups --describe --group "$members" --offsets
equal "consumer-groups --describe --offsets with members" "members topic 0 /127.0.0.1 members topic 1 /127.0.0.1" \
    "$(plain | awk '/^members/ { print $1, $2, $3, $8 }' | sort | tr '\n' ' ' | sed 's/ $//')"
groups --delete --group "$members"
says "consumer-groups --delete with members" "GroupNotEmptyException: The group is not empty"
groups --delete-offsets --group "$members" --topic "$topic"
says "consumer-groups --delete-offsets of a topic that is read" "^topic 0 Error: .*GroupSubscribedToTopicException"
groups --reset-offsets --group "$members" --topic "$topic" --to-earliest --execute
says "reset-offsets with members" "can only be reset if the group 'members' is inactive, but the current state is Stable"
kill -TERM $first
wait $first || true
until_said "$scratch/second-says" 'assigned: .*\[0\].*\[1\]'
until_state Stable 1
says "a member that leaves is gone" "^members .* range Stable 1$"
kill -TERM $second
wait $second || true
until_state Empty 0
says "a static member that stops is gone after its session timeout" "^members .* Empty 0$"
seq 1 40 | sort >"$scratch/expected"
equal "the members have read everything once" "$( (seq 1 40; seq 1 10) | sort)" "$(sort "$scratch/first" "$scratch/second")"
groups --describe --group "$members" --offsets
equal "the members have committed everything" "members topic 0 40 40 0 members topic 1 10 10 0" \
    "$(plain | awk '/^members/ { print $1, $2, $3, $4, $5, $6 }' | sort | tr '\n' ' ' | sed 's/ $//')"

tool org.apache.kafka.tools.GroupsCommand --bootstrap-server "$broker" --list
says "groups --list" "^group Classic consumer$"
groups --delete --group "$members" --group "$group"
says "consumer-groups --delete" "^Deletion of requested consumer groups .'(group|members)', '(group|members)'. was successful.$"
groups --delete --group "$group"
says "consumer-groups --delete what there is not" "GroupIdNotFoundException: The group id does not exist"
groups --list
equal "consumer-groups --list behind the deletion" "" "$(plain | grep -Ex 'group|members' || true)"

console --topic "$topic" --group "console-$run" --from-beginning --max-messages 50 --timeout-ms 30000
equal "console consumer in a group" "$( (seq 1 40; seq 1 10) | sort)" "$(grep -Ex '[0-9]+' "$scratch/out" | sort)"
groups --describe --group "console-$run" --offsets
equal "console consumer in a group has committed" "console topic 0 40 40 0 console topic 1 10 10 0" \
    "$(plain | awk '/^console/ { print $1, $2, $3, $4, $5, $6 }' | sort | tr '\n' ' ' | sed 's/ $//')"

# Where Kafka keeps a group: by the hash of its name as Java has it, without its sign.
partition=$(python3 - "console-$run" <<'END'
import sys
value = 0
for character in sys.argv[1]:
    value = (31 * value + ord(character)) & 0xFFFFFFFF
print((value if value < 1 << 31 else (1 << 32) - value) % 50)
END
)
stored() {
    console --topic __consumer_offsets --partition "$partition" --offset earliest --timeout-ms 4000 \
        --formatter "org.apache.kafka.tools.consumer.$1"
    # The formatter puts no line between records.
    sed 's/}{"key"/}\n{"key"/g' "$scratch/out" | grep "console-$run" >"$scratch/stored" || true
}
stored OffsetsMessageFormatter
equal "console consumer with the offsets formatter" "0 40 consumer offset
1 10 consumer offset" "$(python3 - "$scratch/stored" <<'END'
import json, sys
last = {}
with open(sys.argv[1]) as file:
    for record in map(json.loads, file):
        key, value = record["key"], record["value"]
        assert key["type"] == 1 and value["version"] in (3, 4)
        last[key["data"]["partition"]] = value["data"]["offset"]
for partition in sorted(last):
    print(partition, last[partition], "consumer offset")
END
)"
stored GroupMetadataMessageFormatter
equal "console consumer with the group metadata formatter" "a generation with range, then one without members" "$(python3 - "$scratch/stored" <<'END'
import json, sys
with open(sys.argv[1]) as file:
    records = [json.loads(line) for line in file]
assert all(record["key"]["type"] == 2 and record["value"]["version"] == 3 for record in records)
values = [record["value"]["data"] for record in records]
full = [value["generation"] for value in values if value["protocolType"] == "consumer" and value["protocol"] == "range"
        and len(value["members"]) == 1 and value["members"][0]["clientHost"] == "/127.0.0.1"]
last = values[-1]
if full and not last["members"] and last["protocol"] is None and last["generation"] > full[0]:
    print("a generation with range, then one without members")
else:
    print(values)
END
)"

tool org.apache.kafka.tools.EndToEndLatency --bootstrap-server "$broker" --topic "$topic" --num-records 200 --producer-acks all \
    --record-size 100
says "end-to-end latency" "^Percentiles: 50th = [0-9]+, 99th = [0-9]+, 99.9th = [0-9]+$"
tool org.apache.kafka.tools.ConsumerPerformance --bootstrap-server "$broker" --topic "$topic" --num-records 250 \
    --group "perf-$run" --timeout 30000
equal "consumer-perf-test" "0 250" "$status $(tail -1 "$scratch/out" | awk -F', ' '{ print $5 }')"
echo "$ran tools ran"

wait $calls || { failures=$((failures + 1)); grep -v SLF4J "$scratch/calls-stderr" | head -20 || true; }
cat "$scratch/calls"
finish
