#!/usr/bin/env bash
# Installs the Debian packages that building, testing and the demo need; does nothing when they are all there.
set -euo pipefail
packages=(build-essential pkg-config clang clang-format llvm libclang-rt-14-dev libuv1-dev libjemalloc-dev libssl-dev
    libnghttp2-dev libjansson-dev libmsgpack-dev libcriterion-dev node-llhttp libxxhash-dev libzstd-dev liblua5.1-0-dev lua-cjson-dev
    lua-bitop-dev redis-server tcl dpkg-dev
    redis-tools curl openssl python3 python3-redis)
command -v node >/dev/null && command -v npm >/dev/null || packages+=(nodejs npm) # for tests/e2e/node only
missing=()
for p in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing: ${missing[*]}"
[ "$(id -u)" = 0 ] || { echo "these Debian packages are missing; run as root: apt-get install ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" >/dev/null
