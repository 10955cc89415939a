#!/usr/bin/env bash
# make bench / bench-full: side by side with redis-server, alternating, medians, as ratios. See bench.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec python3 tests/bench/bench.py "$@"
