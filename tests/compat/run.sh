#!/usr/bin/env bash
# Starts redis-server and a node of ours, sends both the same random commands (COMPAT_COMMANDS of them, in RESP2 and RESP3),
# compares the replies, ends both. Then rdb_fixtures.py, migrate.py, follow.py, gather.py and secured.py, which start their own.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${COMPAT_COMMANDS:=100000}" "${COMPAT_SEED:=1}" "${COMPAT_PORT:=17900}"
dir=$(mktemp -d)
redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --appendonly no --dir "$dir" >"$dir/redis.log" 2>&1 &
redis=$!
trap 'kill $redis 2>/dev/null; rm -rf "$dir"' EXIT
/usr/bin/python3 - "$dir" "$COMPAT_PORT" "$COMPAT_COMMANDS" "$COMPAT_SEED" <<'PY'
import subprocess, sys, time, os
sys.path.insert(0, "tests/e2e")
import cluster
folder, port, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
node = cluster.Node("compat.test", rest_port=port + 1, discovery_port=port + 2)
passed = failed = 0
try:
    node.bootstrap()
    node.create_db("compat", port)
    for resp in (2, 3):
        out = subprocess.run(["tests/compat/differential.py", f"{folder}/redis.sock", f"127.0.0.1:{port}", "--seed", str(seed + resp),
                              "--count", str(count), "--resp", str(resp)], capture_output=True, text=True)
        print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
        words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
        ok = len(words) == 4 and words[1] == "passed"
        passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
    for more in (["dump.py", f"{folder}/redis.sock", f"127.0.0.1:{port}", "--seed", str(seed), "--count", "400"],
                 ["scripts.py", f"{folder}/redis.sock", f"127.0.0.1:{port}"],
                 ["acl.py", f"{folder}/redis.sock", f"127.0.0.1:{port}"]):
        out = subprocess.run(["tests/compat/" + more[0], *more[1:]], capture_output=True, text=True)
        print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
        words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
        ok = len(words) == 4 and words[1] == "passed"
        passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
finally:
    node.stop()
out = subprocess.run(["tests/compat/rdb_fixtures.py", "--port", str(port + 30)], capture_output=True, text=True)
print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
ok = len(words) == 4 and words[1] == "passed"
passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
out = subprocess.run(["tests/compat/migrate.py", "--port", str(port + 30)], capture_output=True, text=True)
print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
ok = len(words) == 4 and words[1] == "passed"
passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
# A live source is followed: by the command line, and over REST into two regions. FOLLOW_SECONDS of load each.
seconds = os.environ.get("FOLLOW_SECONDS", "4")
for more in (["--kills", "4"], ["--rest", "--regions", "2", "--kills", "2"]):
    out = subprocess.run(["tests/compat/follow.py", "--port", str(port + 40), "--seconds", seconds, "--seed", str(seed), *more],
                         capture_output=True, text=True)
    print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
    words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
    ok = len(words) == 4 and words[1] == "passed"
    passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
out = subprocess.run(["tests/compat/gather.py", "--port", str(port + 60), "--seconds", "2", "--seed", str(seed)], capture_output=True, text=True)
print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
ok = len(words) == 4 and words[1] == "passed"
passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
out = subprocess.run(["tests/compat/secured.py", "--port", str(port + 80)], capture_output=True, text=True)
print(out.stdout[-6000:], out.stderr[-2000:], flush=True)
words = out.stdout.strip().split("\n")[-1].replace(",", "").split()
ok = len(words) == 4 and words[1] == "passed"
passed, failed = passed + (int(words[0]) if ok else 0), failed + (int(words[2]) if ok else 1)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
PY
