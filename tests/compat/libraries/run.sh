#!/usr/bin/env bash
# Popular client libraries against two regions of one database (docs/compatibility.md). LIBRARIES="BullMQ Keyv" runs only those;
# LIBRARIES_PORT is the first of six ports. Ends with "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/../../.."
: "${LIBRARIES:=}" "${LIBRARIES_PORT:=17930}"
# Not npm ci: it refuses a lock file without the optional parts for other machines, which not every registry has.
[ -d tests/compat/libraries/node_modules ] || (cd tests/compat/libraries && npm install --no-save --no-audit --no-fund --silent)
exec /usr/bin/python3 - "$LIBRARIES_PORT" "$LIBRARIES" <<'PY'
import subprocess
import sys

sys.path.insert(0, "tests/e2e")
import cluster

first, only = int(sys.argv[1]), sys.argv[2].split()
nodes = []
try:
    for i in range(2):
        nodes.append(cluster.Node(f"libraries{i}.test", rest_port=first + 3 * i + 1, discovery_port=first + 3 * i + 2))
        nodes[i].bootstrap()
    ports = [first, first + 3]
    cluster.create_crdb("libraries", list(zip(nodes, ports)))
    run = subprocess.run(["node", "libraries.mjs", *map(str, ports), *only], cwd="tests/compat/libraries", timeout=600, check=False)
    cluster.wait_equal(ports)
finally:
    for n in nodes:
        n.stop()
sys.exit(run.returncode)
PY
