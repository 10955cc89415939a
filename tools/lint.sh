#!/usr/bin/env bash
# What compilers do not check: the folder table, purity, sizes, licences, READMEs. Builds first (nm needs objects).
set -euo pipefail
cd "$(dirname "$0")/.."
make -s -j"$(nproc)" all
exec python3 tools/lint.py
