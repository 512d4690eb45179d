#!/bin/sh
# run.sh PROGRAM holds|broken [STATES]: the runs of that kind in runs.txt, one line each. Those
# that hold must find no violation, those that are broken must find one. Ends in "N passed, N
# failed"; what a run that fails has found is shown. V=1 shows the traces of the broken ones, too.
set -u
program=$1
kind=$2
states=${3:-4000000}
passed=0
failed=0
found=$(mktemp)
trap 'rm -f "$found"' EXIT

case $kind in
holds) wanted=0 ;;
broken) wanted=1 ;;
*) echo "usage: run.sh PROGRAM holds|broken [STATES]" >&2 && exit 2 ;;
esac
while read -r run arguments; do
    [ "$run" = "$kind" ] || continue
    # shellcheck disable=SC2086 # One word each.
    "$program" states="$states" $arguments >"$found" 2>&1
    code=$?
    if [ "$code" -eq "$wanted" ]; then
        passed=$((passed + 1))
        echo "ok      $arguments: $(head -n 1 "$found")"
        [ -z "${V:-}" ] || tail -n +2 "$found"
    else
        failed=$((failed + 1))
        echo "FAILED  $arguments:"
        cat "$found"
    fi
done <"$(dirname "$0")/runs.txt"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
