#!/usr/bin/env bash
# Few end-to-end tests with real processes and real clients. E2E="name ..." runs only those.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck disable=SC2086
exec /usr/bin/python3 tests/e2e/e2e.py ${E2E:-}
