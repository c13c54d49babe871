# Kafka's command-line tools, one after the other in one process (see java/Tools.java), and what they print. Sourced by the
# scripts here, behind places.sh and check.sh.
# shellcheck shell=bash

ran=0
coproc TOOLS { exec java -Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" "$clients/java/Tools.java" 2>"$scratch/tools-stderr"; }
tools_in=${TOOLS[1]} tools_out=${TOOLS[0]}

# tool CLASS ARGUMENT...: its output in $scratch/out, its errors in $scratch/stderr, its status in $status. It reads from
# the file $input and may take $seconds.
tool() {
    local call part
    call=$scratch/out$'\x1f'$scratch/stderr$'\x1f'${input:-/dev/null}$'\x1f'${seconds:-60}
    for part in "$@"; do call=$call$'\x1f'$part; done
    printf '%s\n' "$call" >&"$tools_in"
    read -r -t $((${seconds:-60} + 30)) status <&"$tools_out" || { echo "the tools are gone:" >&2; cat "$scratch/tools-stderr" >&2; exit 1; }
    ran=$((ran + 1))
}

# alone CLASS ARGUMENT...: the same in a process of its own, for tools that say what they have to say as it ends.
alone() {
    status=0
    within 60 java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$jars/*" "$@" \
        >"$scratch/out" 2>"$scratch/stderr" || status=$?
    ran=$((ran + 1))
}

# plain: what a tool has printed, without the run in names, the random part of member ids, empty lines and columns' blanks.
plain() {
    sed -E "s/-$run//g; s/-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/-*/g; s/[ \t]+/ /g; s/ $//; /^$/d" "$scratch/out"
}
# printed WHAT EXPECTED: the tool has ended well and has printed just this.
printed() { equal "$1" "0 $2" "$status $(plain)"; }
# lists WHAT EXPECTED: the same, with the lines in any order.
lists() { equal "$1" "0 $(sort <<<"$2")" "$status $(plain | sort)"; }
# says WHAT PATTERN: it has printed a line like this, with whatever status.
says() { equal "$1" "yes" "$(plain | grep -Eq "$2" && echo yes || { plain; grep -v SLF4J "$scratch/stderr"; } | head -8)"; }
# fails WHAT PATTERN: it has failed, and has said so.
fails() { equal "$1" "failed yes" "$([ "$status" -ne 0 ] && echo failed) $(grep -Eq "$2" "$scratch/out" "$scratch/stderr" && echo yes)"; }
