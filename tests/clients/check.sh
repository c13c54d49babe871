# What the client scripts share: one line per check, the difference where there is one. Sourced by the scripts here.
# shellcheck shell=bash

scratch=$(mktemp -d "${TMPDIR:-/tmp}/corelog-clients-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
failures=0

# within SECONDS COMMAND...: every client call is bounded.
within() { timeout --kill-after=5 "$@"; }

# same WHAT EXPECTED_FILE ACTUAL_FILE
same() {
    if cmp -s "$2" "$3"; then
        echo "ok      $1"
    else
        echo "FAILED  $1"
        diff "$2" "$3" | head -10 | cut -c 1-200 | sed 's/^/        /' || true
        failures=$((failures + 1))
    fi
}

# equal WHAT EXPECTED ACTUAL
equal() {
    printf '%s\n' "$2" >"$scratch/expected"
    printf '%s\n' "$3" >"$scratch/actual"
    same "$1" "$scratch/expected" "$scratch/actual"
}

finish() {
    if [ "$failures" -gt 0 ]; then
        echo "$failures failed"
        exit 1
    fi
}
