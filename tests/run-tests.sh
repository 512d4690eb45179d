#!/bin/sh
# Usage: run-tests.sh SECONDS PROGRAM...
#
# Runs test programs that speak TAP (cmocka's), each for at most SECONDS, and ends in a line
# "N passed, N failed". What a program says is kept beside it in PROGRAM.log; of one that failed,
# what failed is shown first, then what it said up to there. A test that was announced and has not
# passed counts as failed: a program that crashes half way cannot hide the tests behind the crash.
set -u

set_counts() {
    ok=$1
    bad=$2
    skipped=${3#0}
}

show_failure() {
    grep -E '^not ok [0-9]+ - |^# |^ERROR|==ERROR|runtime error|waited in vain' "$1" | head -n 20
    echo ...
    sed '/^not ok [0-9]* - /q' "$1" | grep -v '^ok ' | tail -n 60
}

limit=$1
shift
passed=0
failed=0
for program in "$@"; do
    log=$program.log
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$limit" "$program" >"$log" 2>&1
    code=$?
    counts=$(awk -v code="$code" '
        /^1\.\.[0-9]+/ { sub(/^1\.\./, ""); planned += $1 }
        /^ok / { ok++ }
        /^not ok [0-9]+ # SKIP/ { skipped++; next }
        /^not ok / { bad++ }
        END {
            if (planned - ok - skipped > bad) bad = planned - ok - skipped
            if (planned == 0 || (code != 0 && bad == 0)) bad++
            print ok + 0, bad + 0, skipped + 0
        }' "$log")
    # shellcheck disable=SC2086 # Three numbers, to be split.
    set_counts $counts
    passed=$((passed + ok))
    failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        printf 'ok      %s (%s%s)\n' "${program##*/}" "$ok" "${skipped:+, skipped: $skipped}"
    else
        printf 'FAILED  %s (%s of %s, exit code %s), from %s:\n' \
            "${program##*/}" "$bad" "$((ok + bad))" "$code" "$log"
        show_failure "$log" | sed 's/^/    /'
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
