#!/usr/bin/env bash
# Plants one bug at a time and expects the simulator to find it within MUTANT_SEEDS seeds, by a seed that finds nothing
# without it. A bug that survives fails. MUTANTS="one another" plants only these.
set -u
cd "$(dirname "$0")/../.."
: "${MUTANT_SEEDS:=2000}"
passed=0 failed=0
make -s -j"$(nproc)" build/tests/sim || exit 1
while read -r name what; do
    case $name in '' | '#'*) continue ;; esac
    [[ -z "${MUTANTS:-}" || " $MUTANTS " == *" $name "* ]] || continue
    if [[ $what == '(unit '* ]]; then # found by those unit tests, which pass without it
        filter=${what#'(unit '}; filter=${filter%%')'*}
        log=build/mutant.$name.log
        if make -s -j"$(nproc)" build/tests/unit >"$log" 2>&1 && make -s -j"$(nproc)" MUTANT="$name" "build/mutants/$name/tests/unit" >"$log" 2>&1 &&
            build/tests/unit --filter "$filter" --timeout 60 >"$log" 2>&1 && grep -q 'Tested: [^0]*[1-9]' "$log" &&
            ! timeout 120 "build/mutants/$name/tests/unit" --filter "$filter" --timeout 60 >"$log" 2>&1 && grep -q 'Failing: [^0]*[1-9]' "$log"; then
            echo "ok   $name ($what)"; passed=$((passed + 1))
        else
            echo "FAIL $name: not found by $filter, or not by it alone ($log)"; failed=$((failed + 1))
        fi
        rm -rf "build/mutants/$name"
        continue
    fi
    flags=(); case $what in '(follow)'*) flags=(--follow) ;; '(memories)'*) flags=(--memories) ;; esac
    if ! make -s -j"$(nproc)" MUTANT="$name" "build/mutants/$name/tests/sim" >"build/mutant.$name.log" 2>&1; then
        echo "FAIL $name does not build"; tail -n 5 "build/mutant.$name.log"
        failed=$((failed + 1))
        continue
    fi
    if timeout 600 "build/mutants/$name/tests/sim" --first 1 --seeds "$MUTANT_SEEDS" --quiet "${flags[@]}" >"build/mutant.$name.log" 2>&1; then
        echo "FAIL $name survives $MUTANT_SEEDS seeds ($what)"
        failed=$((failed + 1))
    else
        status=$?
        [ $status -ne 124 ] || { echo "FAIL $name: not found in time"; failed=$((failed + 1)); continue; }
        seed=$(sed -n 's/^seed \([0-9]*\) failed.*/\1/p' "build/mutant.$name.log")
        if ! build/tests/sim --first "${seed:?no seed in build/mutant.$name.log}" --seeds 1 --quiet "${flags[@]}" >"build/mutant.$name.clean.log" 2>&1; then
            echo "FAIL $name: seed $seed finds something without it, too (build/mutant.$name.clean.log)"
            failed=$((failed + 1))
            continue
        fi
        echo "ok   $name ($what): $(grep -m 1 -E '^FINDING|Assertion|assert' "build/mutant.$name.log") [$(tail -n 1 "build/mutant.$name.log")]"
        passed=$((passed + 1))
    fi
    rm -rf "build/mutants/$name"
done <tests/sim/mutants.txt
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
