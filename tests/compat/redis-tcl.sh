#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
# Runs Redis' own test suite (from Debian's source package) against a node of ours with one database, as an external server.
#
#     tests/compat/redis-tcl.sh [--port P] [--server HOST:PORT] [--skip-nothing] [unit ...]
#
# Units are named as in the suite, "unit/" may be left out: `tests/compat/redis-tcl.sh type/list expire`; without any, all of
# UNITS in redis_tcl.py. What is left out stands with its reason in redis-tcl-skip.txt. Ends with "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v tclsh >/dev/null || { echo "redis-tcl: tclsh is missing: install the package tcl" >&2; exit 1; }
source_dir=$(tests/compat/redis-source.sh)
exec /usr/bin/python3 tests/compat/redis_tcl.py "$source_dir" "$@"
