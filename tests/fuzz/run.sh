#!/usr/bin/env bash
# Builds every fuzz target and lets each run for FUZZ_SECONDS (60), two at a time; TARGETS="fuzz_resp ..." only those.
# A target begins with its committed corpus and puts what it finds into build/fuzz/work/<target>/; an input that breaks
# something is kept there as crash-*, and the run fails. Ends with "N passed, N failed".
set -u
cd "$(dirname "$0")/../.."
: "${FUZZ_SECONDS:=60}"
: "${CLANG:=clang}"
targets=${TARGETS:-$(cd tests/fuzz && ls fuzz_*.c | sed 's/\.c$//')}
work=build/fuzz/work
mkdir -p "$work"
binaries=()
for t in $targets; do binaries+=("build/fuzz/fuzz/$t"); done
make -s -j2 BUILD=fuzz CC="$CLANG" "${binaries[@]}" >"$work/build.log" 2>&1 || {
    tail -n 30 "$work/build.log"
    echo "0 passed, 1 failed"
    exit 1
}

# one TARGET: leaves its verdict in TARGET.status.
one() {
    local t=$1 dir=$work/$1
    mkdir -p "$dir"
    ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} build/fuzz/fuzz/"$t" "$dir" tests/fuzz/corpus/"$t" \
        -max_total_time="$FUZZ_SECONDS" -artifact_prefix="$dir/" -rss_limit_mb=2048 -timeout=10 \
        -print_final_stats=1 >"$work/$t.log" 2>&1
    echo $? >"$work/$t.status"
}

passed=0 failed=0
report() {
    local t=$1 runs edges
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$t.log")
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$work/$t.log" | tail -n 1)
    if [ "$(cat "$work/$t.status")" = 0 ]; then
        passed=$((passed + 1))
        printf '%-18s ok      %10s inputs  %6s edges\n' "$t" "${runs:-0}" "${edges:-0}"
    else
        failed=$((failed + 1))
        printf '%-18s FAILED  see %s\n' "$t" "$work/$t.log"
        grep -m 1 -A 12 -E 'ERROR|runtime error|deadly signal|out-of-memory|timeout' "$work/$t.log" | sed 's/^/    /'
        grep -E 'Test unit written' "$work/$t.log" | sed 's/^/    /'
    fi
}

set -- $targets
while [ $# -gt 0 ]; do
    pair=$1
    one "$1" &
    first=$!
    if [ $# -gt 1 ]; then
        pair="$1 $2"
        one "$2" &
        wait $!
        shift
    fi
    shift
    wait "$first"
    for t in $pair; do report "$t"; done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
