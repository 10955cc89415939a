#!/usr/bin/env bash
# Plants one bug at a time and expects the simulator to find it within MUTANT_SEEDS seeds, by a seed that finds nothing
# without it. A bug that survives fails. MUTANTS="one another" plants only these. As many at once as there are cores.
set -u
cd "$(dirname "$0")/../.." || exit
export MUTANT_SEEDS=${MUTANT_SEEDS:-2000}

# by_unit_tests NAME WHAT FILTER: they pass without it, and fail with it.
by_unit_tests() {
    local name=$1 what=$2 filter=$3 log=build/mutant.$1.log
    if make -s MUTANT="$name" "build/mutants/$name/tests/unit" >"$log" 2>&1 &&
        build/tests/unit --filter "$filter" --timeout 60 >"$log" 2>&1 && grep -q 'Tested: [^0]*[1-9]' "$log" &&
        ! timeout 120 "build/mutants/$name/tests/unit" --filter "$filter" --timeout 60 >"$log" 2>&1 && grep -q 'Failing: [^0]*[1-9]' "$log"; then
        echo "ok   $name ($what)"
    else
        echo "FAIL $name: not found by $filter, or not by it alone ($log)"
    fi
}

# by_seeds NAME WHAT FIRST FLAG...
by_seeds() {
    local name=$1 what=$2 first=$3 log=build/mutant.$1.log status seed
    shift 3
    if ! make -s MUTANT="$name" "build/mutants/$name/tests/sim" >"$log" 2>&1; then
        echo "FAIL $name does not build: $(tail -n 5 "$log")"
        return
    fi
    timeout 600 "build/mutants/$name/tests/sim" --first "$first" --seeds "$MUTANT_SEEDS" --quiet "$@" >"$log" 2>&1
    status=$?
    if [ $status -eq 0 ]; then
        echo "FAIL $name survives $MUTANT_SEEDS seeds ($what)"
        return
    elif [ $status -eq 124 ]; then
        echo "FAIL $name: not found in time ($what)"
        return
    fi
    seed=$(sed -n 's/^seed \([0-9]*\) failed.*/\1/p' "$log")
    if [ -z "$seed" ]; then
        echo "FAIL $name: no seed in $log"
    elif ! build/tests/sim --first "$seed" --seeds 1 --quiet "$@" >"build/mutant.$name.clean.log" 2>&1; then
        echo "FAIL $name: seed $seed finds something without it, too (build/mutant.$name.clean.log)"
    else
        echo "ok   $name ($what): $(grep -m 1 -E '^FINDING|Assertion|assert' "$log") [$(tail -n 1 "$log")]"
    fi
}

plant() {
    local name=${1%% *} what
    what=$(sed 's/^ *//' <<<"${1#* }")
    local how=() # (unit FILTER), or (follow), (memories), (from SEED), (follow from SEED)
    [[ $what != '('* ]] || read -ra how <<<"$(sed 's/^(\([^)]*\)).*/\1/' <<<"$what")"
    case ${how[*]} in
    'unit '*) by_unit_tests "$name" "$what" "${how[1]}" ;;
    'from '*) by_seeds "$name" "$what" "${how[1]}" ;;
    '') by_seeds "$name" "$what" 1 ;;
    *) by_seeds "$name" "$what" "${how[2]:-1}" "--${how[0]}" ;;
    esac
    rm -rf "build/mutants/$name"
}
export -f by_unit_tests by_seeds plant

# What they share is built first: those that run at once only read it.
make -s -j"$(nproc)" build/tests/sim build/tests/unit || exit 1
results=build/mutants.results
grep -vE '^(#|$)' tests/sim/mutants.txt | while read -r name what; do
    [[ -z "${MUTANTS:-}" || " $MUTANTS " == *" $name "* ]] && printf '%s %s\0' "$name" "$what"
done | xargs -0 -r -n 1 -P "$(nproc)" bash -c 'plant "$1" 2>/dev/null' - | tee "$results"
failed=$(grep -c '^FAIL' "$results")
echo "$(grep -c '^ok' "$results") passed, $failed failed"
[ -s "$results" ] && [ "$failed" -eq 0 ]
