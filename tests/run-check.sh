#!/bin/sh
# Runs everything a change must pass and ends in one line, "N passed, N failed": each lint step,
# each build, each test of a C program or of pytest, and the simulator's own count. The whole
# output of each step is in build/check/STEP.log; of a step that fails the end is shown.
set -u
cd "$(dirname "$0")/.."

MAKE=${MAKE:-make}
python=${PYTHON:-/usr/bin/python3}
logs=build/check
passed=0
failed=0
# The steps have their own modes and folders, whatever make was called with.
unset MAKEFLAGS MFLAGS MODE OUT FOLDERS CC CFLAGS LDFLAGS
export LC_ALL=C.UTF-8

mkdir -p "$logs"
rm -f "$logs"/*.log

# run NAME SECONDS COMMAND...: the output goes to the step's log; `code` and `log` tell the rest.
run() {
    name=$1
    limit=$2
    shift 2
    log=$logs/$name.log
    begun=$(date +%s)
    timeout -k 10 "$limit" "$@" >"$log" 2>&1
    code=$?
    seconds=$(($(date +%s) - begun))
    [ "$code" -ne 124 ] || echo "$name did not end within $limit s" >>"$log"
}

# count OK BAD: adds to the totals and reports the step.
count() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    if [ "$2" -eq 0 ]; then
        echo "ok      $name: $1 passed (${seconds} s)"
    else
        echo "FAILED  $name: $1 passed, $2 failed (${seconds} s), from $log:"
        grep -E '^(FAILED|ERROR|E) ' "$log" | sed 's/^/    /' # pytest's words for it.
        grep -v '^ok ' "$log" | tail -n 100 | sed 's/^/    /'
    fi
}

# A step that is one check: it succeeds or it does not.
step() {
    run "$@"
    if [ "$code" -eq 0 ]; then count 1 0; else count 0 1; fi
}

# A step that counts for itself, in a last line "N passed, N failed". If it ends badly without
# having counted a failure, that is one.
counted() {
    run "$@"
    totals=$(sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$log" | tail -n 1)
    ok=${totals%% *}
    bad=${totals##* }
    if [ -z "$totals" ] || { [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        bad=$((${bad:-0} + 1))
    fi
    count "${ok:-0}" "$bad"
}

# pytest says "3 failed, 40 passed, 1 skipped, 2 errors in 60.12s", in what order it likes.
# Finding no tests is a failure.
pytest_step() {
    run "$@"
    summary=$(grep -E '(passed|failed|error|skipped|no tests ran).* in [0-9.]+s' "$log" | tail -n 1)
    number() { echo "$summary" | sed -n "s/.*[^0-9]*\b\([0-9][0-9]*\) $1.*/\1/p"; }
    ok=$(number passed)
    bad=$(($(number failed | grep . || echo 0) + $(number error | grep . || echo 0)))
    if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
        bad=1
    fi
    count "${ok:-0}" "$bad"
}

make_() { echo "$MAKE --no-print-directory -j2 $*"; }

step fmt-check 60 $(make_ fmt-check)
step includes 60 $(make_ includes)
step links 60 tests/lint/links.sh
step build-gcc 600 $(make_ CC=gcc OUT=build/check/gcc build-all)
step purity 60 $(make_ CC=gcc OUT=build/check/gcc purity)
step build-clang 600 $(make_ CC=clang OUT=build/check/clang build-all)
step build-asan 600 $(make_ CC=gcc MODE=asan OUT=build/check/asan build-all)
counted unit 300 $(make_ CC=gcc MODE=asan OUT=build/check/asan unit)
counted io 400 $(make_ CC=gcc MODE=asan OUT=build/check/asan io)
if ls tests/sim/*.c >/dev/null 2>&1; then
    counted sim 400 $(make_ CC=gcc OUT=build/check/gcc sim SEED=1 SEEDS=2000)
fi
if ls tests/e2e/test_*.py >/dev/null 2>&1; then
    export PGBATON_BUILD="$PWD/build/check/gcc" MINUTES=3
    pytest_step e2e 600 "$python" -m pytest -q -ra -n 2 --dist loadfile tests/e2e
    pytest_step soak 300 "$python" -m pytest -q -ra -s tests/e2e/soak.py
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
