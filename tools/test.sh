#!/usr/bin/env bash
# The whole suite: builds, then runs every part, each in its own log under build/test/. A part's own closing line
# "N passed, N failed" is added up; a part that has none counts as one. Ends with "N passed, N failed".
# PARTS="unit sim" runs only those. MODEL_HISTORIES, SIM_SEEDS, FUZZ_SECONDS bound the long ones.
set -u
cd "$(dirname "$0")/.."
shared=${SHARED:-../shared}
: "${MODEL_HISTORIES:=700}" "${SIM_SEEDS:=300}" "${ASAN_SIM_SEEDS:=25}" "${FUZZ_SECONDS:=10}"
all="build lint format docs unit model sim scenarios e2e compat libraries tcl asan mutants fuzz"
parts=${PARTS:-$all}
logs=build/test
mkdir -p "$logs"
passed=0 failed=0
jobs=$(nproc)

# run NAME COMMAND...: runs it, adds up what its log says.
run() {
    local name=$1 log=$logs/$1.log began=$SECONDS status line p f
    shift
    "$@" >"$log" 2>&1
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [ -n "$line" ]; then
        p=${line%% passed*} f=${line##*, }
        f=${f%% failed*}
        [ "$status" -ne 0 ] && [ "$f" -eq 0 ] && f=1
    elif [ "$status" -eq 0 ]; then
        p=1 f=0
    else
        p=0 f=1
    fi
    passed=$((passed + p)) failed=$((failed + f))
    printf '%-12s %5d passed %5d failed  %4d s\n' "$name" "$p" "$f" $((SECONDS - began))
    [ "$f" -eq 0 ] || tail -n 40 "$log" | sed 's/^/    /'
}

# Criterion's closing line, in ours. A sanitizer's report fails the run even where the test passed (leaks do); what it
# warns of at the first swapcontext does not (base/fiber.c tells it of each switch).
unit() {
    local bin=$1 out=$2 status
    rm -f "$out".asan*
    ASAN_OPTIONS=log_path=$out.asan "$bin" --timeout 120 >"$out" 2>&1
    status=$?
    grep -vE '^\[(RUN|PASS)' "$out" | tail -n 60
    local total pass
    total=$(tail -n 3 "$out" | sed 's/\x1b\[[0-9;]*m//g' | sed -n 's/.*Tested: *\([0-9]*\).*/\1/p')
    pass=$(tail -n 3 "$out" | sed 's/\x1b\[[0-9;]*m//g' | sed -n 's/.*Passing: *\([0-9]*\).*/\1/p')
    local reports
    reports=$(grep -lE 'ERROR|SUMMARY|runtime error' "$out".asan* 2>/dev/null | wc -l)
    [ "$reports" -eq 0 ] || { grep -hE -A 40 'ERROR|SUMMARY|runtime error' "$out".asan* | head -n 60; status=1; }
    echo "${pass:-0} passed, $((${total:-1} - ${pass:-0} + reports)) failed"
    return $status
}

model() {
    local files=() emits=() emit
    for regions in 2 3 5; do
        python3 "$shared/model/crdt_model.py" --emit "$MODEL_HISTORIES" --regions $regions >"$logs/histories.$regions" &
        emits+=($!) files+=("$logs/histories.$regions")
    done
    for emit in "${emits[@]}"; do wait "$emit" || return 1; done
    build/tests/replay_model "${files[@]}"
}

# Seeds that once failed, then fresh ones; the same seed twice gives the same history. As many at once as there are cores.
sim() {
    local bin=$1 seeds=$2 runs=() seed what n weather pass fail
    while read -r seed what _; do
        case $seed in '' | '#'*) continue ;; esac
        case $what in follow: | memories: | limited: | large:) what=" --${what%:}" ;; *) what= ;; esac
        runs+=("1 --first $seed --seeds 1$what")
    done <tests/sim/seeds.txt
    for ((seed = 1; seed <= seeds; seed += n)); do
        n=$((seeds - seed < 25 ? seeds - seed + 1 : 25))
        runs+=("$n --first $seed --seeds $n")
    done
    runs+=("10 --first 900001 --seeds 10 --twice")
    for weather in limited large; do
        runs+=("$((seeds / 25)) --$weather --first 1 --seeds $((seeds / 25))")
    done
    printf '%s\n' "${runs[@]}" | xargs -P "$jobs" -L 1 bash -c 'n=$1; shift
        if out=$("$0" --quiet "$@" 2>&1); then echo "ok $n"; else printf "%s\nbad: sim %s\n" "$out" "$*"; fi' "$bin" >"$logs/sim.runs"
    grep -v '^ok ' "$logs/sim.runs"
    pass=$(awk '/^ok [0-9]+$/ {n += $2} END {print n + 0}' "$logs/sim.runs")
    fail=$((${#runs[@]} - $(grep -cE '^ok [0-9]+$' "$logs/sim.runs")))
    echo "$pass passed, $fail failed"
    [ "$fail" -eq 0 ]
}

# All stories but those that need commands of later issues, which are named here and must still fail for that reason only.
scenarios() {
    local bin=$1
    awk -f tools/docs-scn.awk docs/conflict-resolution.md >"$logs/conflict-resolution.scn"
    "$bin" lab run --except tests/scenarios/later.txt "$shared"/scenarios/*.scn tests/scenarios/*.scn "$logs/conflict-resolution.scn"
}

# ahead PART COMMAND...: what a later part builds, while parts run that wait more than they work, and giving way to them.
asan_build=(make -s BUILD=asan all build/asan/tests/unit build/asan/tests/sim)
declare -A ahead=()
ahead() {
    local part=$1
    shift
    [[ " $parts " == *" $part "* ]] || return 0
    (renice -n 19 -p "$BASHPID"; exec "$@") >"$logs/ahead.$part.log" 2>&1 &
    ahead[$part]=$!
    trap 'kill "${ahead[@]}" 2>/dev/null' EXIT
}
# What has failed fails, and is told, once more where it is needed.
ahead_end() {
    [ -n "${ahead[$1]:-}" ] || return 0
    wait "${ahead[$1]}"
    unset "ahead[$1]"
}

asan() {
    "${asan_build[@]}" -j"$jobs" || return 1
    export ASAN_OPTIONS=detect_leaks=1
    local pass=0 fail=0 line
    add() {
        "$@" >"$logs/asan.part" 2>&1
        local status=$?
        tail -n 30 "$logs/asan.part"
        line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$logs/asan.part" | tail -n 1)
        local p=${line%% passed*} f=${line##*, }
        f=${f%% failed*}
        [ $status -ne 0 ] && [ "${f:-0}" -eq 0 ] && f=1
        pass=$((pass + ${p:-0})) fail=$((fail + ${f:-1}))
    }
    add unit build/asan/tests/unit "$logs/asan.unit"
    add sim build/asan/tests/sim "$ASAN_SIM_SEEDS"
    add scenarios build/asan/meridian
    echo "$pass passed, $fail failed"
    [ "$fail" -eq 0 ]
}

# Redis' suite waits more than it works, and minds the clock: it runs beside the parts after it, which give way.
tcl_pid=
tcl_begin() {
    (tests/compat/redis-tcl.sh >"$logs/tcl.out" 2>&1; echo $? >"$logs/tcl.status") &
    tcl_pid=$!
}
tcl_end() {
    wait "$tcl_pid"
    cat "$logs/tcl.out"
    return "$(cat "$logs/tcl.status")"
}
polite() {
    renice -n 10 -p "$BASHPID" >/dev/null
    "$@"
}

for part in $parts; do
    case $part in
    build) run build make -s -j"$jobs" all build/tests/unit build/tests/replay_model build/tests/sim ;;
    lint) run lint make -s lint ;;
    format) run format make -s format-check ;;
    docs) run docs make -s docs-check ;;
    unit) run unit unit build/tests/unit "$logs/unit.out" ;;
    model) run model model ;;
    sim) run sim sim build/tests/sim "$SIM_SEEDS" ;;
    scenarios) run scenarios scenarios build/meridian ;;
    asan)
        ahead_end asan
        run asan polite asan
        ;;
    e2e)
        ahead asan "${asan_build[@]}"
        ahead fuzz make -s BUILD=fuzz fuzz-targets
        run e2e tests/e2e/run.sh
        ;;
    compat) run compat tests/compat/run.sh ;;
    libraries) run libraries tests/compat/libraries/run.sh ;;
    tcl) tcl_begin ;;
    mutants) run mutants polite tests/sim/mutants.sh ;;
    fuzz)
        ahead_end fuzz
        run fuzz polite env FUZZ_SECONDS="$FUZZ_SECONDS" tests/fuzz/run.sh
        ;;
    *) echo "unknown part $part: choose from $all" >&2; exit 2 ;;
    esac
done
[ -z "$tcl_pid" ] || run tcl tcl_end
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
