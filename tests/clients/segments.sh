#!/usr/bin/env bash
# Kafka's own DumpLogSegments reads every segment and index file of a data directory whose broker has stopped: batches are
# valid down to their records, offsets follow each other, indexes point where they say, and topics named after a codec hold
# batches of that codec.
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
files() { find "$data" -type f -name "$1" -path '*-[0-9]*/*' ! -path '*/__*' | sort; }
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

for codec in none gzip snappy lz4 zstd; do
    grep -q -- "-$codec-" "$scratch/logs" || continue
    awk -v codec="-$codec-" '/^Dumping / { ours = index($2, codec) } ours && /^baseOffset: /' "$scratch/batches" |
        grep -oi 'compresscodec: [a-z0-9]*' | tr 'A-Z' 'a-z' | sort | uniq -c | sort -rn >"$scratch/codecs"
    # A client may leave a batch as it is that does not shrink; most do.
    equal "codec $codec is what most of its batches have" "compresscodec: $codec" "$(head -1 "$scratch/codecs" | sed 's/^ *[0-9]* //')"
done

dump --verify-index-only --files "$(joined <"$scratch/indexes")" >"$scratch/dumped"
equal "no complaint about offset indexes" "" "$(grep -iE "$complaints" "$scratch/dumped" | head -5)"
dump --verify-index-only --files "$(joined <"$scratch/time-indexes")" >"$scratch/dumped"
equal "no complaint about time indexes" "" "$(grep -iE "$complaints" "$scratch/dumped" | head -5)"
dump --index-sanity-check --files "$(cat "$scratch/indexes" "$scratch/time-indexes" | joined)" >"$scratch/dumped"
equal "all indexes pass the check that Kafka makes at its start" \
    "$(cat "$scratch/indexes" "$scratch/time-indexes" | wc -l)" "$(grep -cE ' (passed sanity check|is empty)\.$' "$scratch/dumped" || true)"
finish
