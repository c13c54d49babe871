#!/usr/bin/env bash
# Kafka's own DumpLogSegments reads every segment, index and producer snapshot of a data directory whose broker has stopped:
# batches are valid down to their records, offsets follow each other, indexes point where they say, snapshots say what the
# batches before them say, and topics named after a codec hold batches of that codec. Topics that were compacted have gaps and
# are left out; of Kafka's own there is __consumer_offsets, whose records the tool decodes.
#
# usage: segments.sh DATA_DIR            after a clean stop
#        segments.sh DATA_DIR sealed     while the broker runs: all segments but the last of each partition
set -euo pipefail
data=$(cd "$1" && pwd)
sealed=${2-}
cd "$(dirname "$0")"
. ./places.sh
. ./check.sh

dump() {
    within 300 java -Xmx512m -XX:+UseSerialGC -cp "$jars/*" org.apache.kafka.tools.DumpLogSegments "$@" >"$scratch/printed" 2>&1 ||
        echo "exception: the tool ended with status $?" >>"$scratch/printed"
    grep -v SLF4J "$scratch/printed"
}

# Folders of partitions end with their number; Kafka's own topics and whatever else lies there are not our matter.
files() { find "$data" -type f -name "$1" -path '*-[0-9]*/*' ! -path '*/__*' ! -path '*/compacted*' | sort; }
# Topics that are compacted are named so.
compacted() { find "$data" -type f -name "$1" -path '*/compacted*-[0-9]*/*' | sort; }
# All of a folder but the last.
but_last() { awk -F/ '{ folder = $0; sub(/\/[^\/]*$/, "", folder) } folder == last { print held } { last = folder; held = $0 }'; }
# The index files with this ending that belong to the segments.
indexes() { files "*.$1" | grep -Fx -f <(sed "s/log$/$1/" "$scratch/logs") || true; }
joined() { paste -s -d, -; }

files '*.log' >"$scratch/logs"
if [ "$sealed" = sealed ]; then
    but_last <"$scratch/logs" >"$scratch/sealed"
    mv "$scratch/sealed" "$scratch/logs"
fi
indexes index >"$scratch/indexes"
indexes timeindex >"$scratch/time-indexes"
files '*.snapshot' >"$scratch/snapshots"
echo "$(wc -l <"$scratch/logs") segments, $(wc -l <"$scratch/indexes") offset indexes, $(wc -l <"$scratch/time-indexes") time indexes"
equal "there are segments" yes "$([ -s "$scratch/logs" ] && echo yes)"
equal "an offset index for each" "$(sed 's/\.log$//' "$scratch/logs")" "$(sed 's/\.index$//' "$scratch/indexes")"
equal "a time index for each" "$(sed 's/\.log$//' "$scratch/logs")" "$(sed 's/\.timeindex$//' "$scratch/time-indexes")"

dump --deep-iteration --files "$(joined <"$scratch/logs")" >"$scratch/batches"
# The tool expects every segment to begin at offset 0 and says "-1 is followed by" of Kafka's own segments too; a gap inside a
# segment has such a line with another number.
complaints='mismatch|is followed by|out of order|isvalid: false|invalid bytes|exception|not sane|corrupt|could not|error'
complaints="$complaints|not found|schema|unknown"
equal "no complaint about batches and records" "" "$(grep -v '^  -1 is followed by' "$scratch/batches" | grep -iE "$complaints" | head -5)"
equal "every segment was read" "$(cat "$scratch/logs")" "$(sed -n 's/^Dumping //p' "$scratch/batches")"

# Batches count their records; offsets run on from one to the next and from one segment to the next.
awk -v OFS=' ' '
    /^Dumping / {
        segment = $2
        split(segment, parts, "/"); name = parts[length(parts)]; sub(/\.log$/, "", name)
        folder = segment; sub(/\/[^\/]*$/, "", folder)
        if (folder in next_offset && name + 0 != next_offset[folder]) print segment, "begins after a gap at", next_offset[folder]
        next_offset[folder] = name + 0
    }
    /^\| offset: / { deep++ }
    /^baseOffset: / {
        if ($2 != next_offset[folder]) print segment, "goes from", next_offset[folder], "to", $2
        next_offset[folder] = $4 + 1
        counted += $6
    }
    END { if (deep != counted) print deep + 0, "records in batches of", counted }
' "$scratch/batches" >"$scratch/gaps"
equal "no gap, and as many records as the batches say" "" "$(head -5 "$scratch/gaps")"
echo "$(grep -c '^baseOffset: ' "$scratch/batches" || true) batches, $(grep -c '^| offset: ' "$scratch/batches" || true) records"

# Each client for itself: kcat's librdkafka compresses with what it believes that the broker has.
for codec in {kcat,confluent,aiokafka,go,node,java}-{none,gzip,snappy,lz4,zstd}; do
    grep -q -- "/$codec-" "$scratch/logs" || continue
    awk -v codec="/$codec-" '/^Dumping / { ours = index($2, codec) } ours && /^baseOffset: /' "$scratch/batches" |
        grep -oi 'compresscodec: [a-z0-9]*' | tr 'A-Z' 'a-z' | sort | uniq -c | sort -rn >"$scratch/codecs"
    # A client may leave a batch as it is that does not shrink; most do.
    equal "$codec: that codec is what most of its batches have" "compresscodec: ${codec#*-}" \
        "$(head -1 "$scratch/codecs" | sed 's/^ *[0-9]* //')"
done

dump --verify-index-only --files "$(joined <"$scratch/indexes")" >"$scratch/dumped"
equal "no complaint about offset indexes" "" "$(grep -iE "$complaints" "$scratch/dumped" | head -5)"
dump --verify-index-only --files "$(joined <"$scratch/time-indexes")" >"$scratch/dumped"
equal "no complaint about time indexes" "" "$(grep -iE "$complaints" "$scratch/dumped" | head -5)"
dump --index-sanity-check --files "$(cat "$scratch/indexes" "$scratch/time-indexes" | joined)" >"$scratch/dumped"
equal "all indexes pass the check that Kafka makes at its start" \
    "$(cat "$scratch/indexes" "$scratch/time-indexes" | wc -l)" "$(grep -cE ' (passed sanity check|is empty)\.$' "$scratch/dumped" || true)"
dump --files "$(joined <"$scratch/snapshots")" >"$scratch/producers"
equal "no complaint about producer snapshots" "" "$(grep -iE "$complaints" "$scratch/producers" | head -5)"
equal "every producer snapshot was read" "$(cat "$scratch/snapshots")" "$(sed -n 's/^Dumping //p' "$scratch/producers")"

# There is a snapshot wherever a segment begins behind batches of idempotent producers, and at the log end after a stop. It
# names each producer with the last batch before it.
awk -v sealed="$sealed" '
    function begin_of(path) { sub(/.*\//, "", path); sub(/\..*/, "", path); return path + 0 }
    function value(name, i) { for (i = 1; i < NF; i++) if ($i == name ":") return $(i + 1); return -1 }
    # Fills `last` with what is to be said of each producer below an offset; returns how many there are.
    function producers(folder, end, last, i, n) {
        split("", last)
        for (i = 0; i < batches[folder] && base[folder, i] < end; i++) {
            if (!(id[folder, i] in last)) n++
            last[id[folder, i]] = said[folder, i]
        }
        return n + 0
    }
    function judge(n, i, last) {
        # While the broker runs, the last segment was not read, and one behind it may not be there yet.
        if (sealed != "" && at > end[folder]) return
        n = producers(folder, at, last)
        if (n != lines) print snapshot, "names", lines, "producers, the batches", n
        for (i in found) if (found[i] != last[i]) print snapshot, "says of", i ":", found[i], "and the batches:", last[i]
        there[folder, at] = 1
    }
    function want(folder, at, last) {
        if (producers(folder, at, last) > 0 && !((folder, at) in there)) print folder, "has no snapshot at", at
    }
    /^Dumping / {
        if (snapshot != "") judge()
        snapshot = $2 ~ /\.snapshot$/ ? $2 : ""
        lines = 0; split("", found)
        folder = $2; sub(/\/[^\/]*$/, "", folder)
        at = begin_of($2)
        if (snapshot == "") { folder_of[$2] = folder; begin[$2] = at }
    }
    /^baseOffset: / {
        end[folder] = value("lastOffset") + 1
        if (value("producerId") < 0) next
        base[folder, batches[folder] + 0] = value("baseOffset")
        id[folder, batches[folder] + 0] = value("producerId")
        said[folder, batches[folder] + 0] = value("producerEpoch") " " value("lastSequence") " " value("lastOffset")
        batches[folder]++
    }
    /^producerId: / { lines++; found[$2] = value("producerEpoch") " " value("lastSequence") " " value("lastOffset") }
    END {
        if (snapshot != "") judge()
        for (segment in folder_of) if (begin[segment] > 0) want(folder_of[segment], begin[segment])
        for (folder in end) want(folder, end[folder])
    }
' "$scratch/batches" "$scratch/producers" >"$scratch/wrong"
equal "producer snapshots say what the batches say" "" "$(head -5 "$scratch/wrong")"
echo "$(wc -l <"$scratch/snapshots") producer snapshots, $(grep -c '^producerId: ' "$scratch/producers" || true) producers in them"

# What the coordinators of groups have written. It is compacted, so there may be gaps.
find "$data" -type f -name '*.log' -path '*/__consumer_offsets-*/*' -size +0 | sort >"$scratch/groups"
if [ -z "$sealed" ] && [ -s "$scratch/groups" ]; then
    dump --offsets-decoder --files "$(joined <"$scratch/groups")" >"$scratch/decoded"
    equal "no complaint about the records of groups" "" \
        "$(grep -v 'is followed by' "$scratch/decoded" | grep -v '^ *Non-consecutive offsets' | grep -iE "$complaints" |
            grep -v '^| offset: ' | head -5)"
    grep '^| offset: ' "$scratch/decoded" >"$scratch/group-records" || true
    offset='\{"type":"1","data":\{"group":".*","topic":".*","partition":[0-9]+\}\} payload: (<DELETE>|\{"version":"[0-4]","data":\{"offset":.*)'
    group='\{"type":"2","data":\{"group":".*"\}\} payload: (<DELETE>|\{"version":"[0-4]","data":\{"protocolType":.*)'
    equal "every record of groups is decoded" "" "$(grep -vE " key: ($offset|$group)\$" "$scratch/group-records" | head -5 | cut -c 1-200)"
    equal "there are offsets and groups" "yes yes" "$(grep -q '"type":"1"' "$scratch/group-records" && echo yes) $(
        grep -q '"type":"2"' "$scratch/group-records" && echo yes)"
    echo "$(wc -l <"$scratch/group-records") records of groups"
fi

# A compacted topic has gaps; its batches are whole, and its indexes fit them. A broker that runs may replace its segments.
compacted '*.log' >"$scratch/compacted"
if [ -z "$sealed" ] && [ -s "$scratch/compacted" ]; then
    dump --deep-iteration --files "$(joined <"$scratch/compacted")" >"$scratch/dumped"
    equal "no complaint about compacted segments" "" \
        "$(grep -v 'is followed by' "$scratch/dumped" | grep -v '^ *Non-consecutive offsets' | grep -iE "$complaints" | head -5)"
    equal "every compacted segment was read" "$(cat "$scratch/compacted")" "$(sed -n 's/^Dumping //p' "$scratch/dumped")"
    for ending in index timeindex; do
        dump --verify-index-only --files "$(compacted "*.$ending" | joined)" >"$scratch/dumped"
        equal "no complaint about each $ending of a compacted topic" "" "$(grep -iE "$complaints" "$scratch/dumped" | head -5)"
    done
    echo "$(wc -l <"$scratch/compacted") compacted segments"
fi
finish
