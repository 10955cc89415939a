#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
# Fetches Debian's source package of redis-server (the version that is installed or would be) and prints the folder it was
# unpacked into. It stays under build/ and is fetched once. The package lists are kept apart from the system's: this machine's
# own sources, read again for source packages ("Types: deb" becomes deb-src), in a temporary apt configuration.
set -euo pipefail
cd "$(dirname "$0")/../.."
keep=$PWD/build/redis-source
for dir in "$keep"/redis-*/; do
    if [ -x "$dir/runtest" ]; then echo "${dir%/}"; exit 0; fi
done
fail() { echo "redis-source: $*" >&2; exit 1; }
command -v apt-get >/dev/null || fail "apt-get is missing: this needs Debian or a system like it"
command -v dpkg-source >/dev/null || fail "dpkg-source is missing: install dpkg-dev"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$work/lists/partial" "$work/archives/partial" "$keep"
for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$work/parts/$(basename "$file")"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb \(.*\)/deb-src \1/p' "$file" >"$work/parts/$(basename "$file")"
done
[ -n "$(ls "$work/parts")" ] || fail "no package sources in /etc/apt: add Debian's to sources.list"
apt=(apt-get -qq -o "Dir::Etc::sourcelist=/dev/null" -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache::archives=$work/archives" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o "APT::Sandbox::User=root")
"${apt[@]}" update >"$work/log" 2>&1 || fail "the package lists cannot be fetched: $(tail -n 3 "$work/log")"
(cd "$work" && "${apt[@]}" source redis >>"$work/log" 2>&1) || fail "the source package cannot be fetched: $(tail -n 3 "$work/log")"
for dir in "$work"/redis-*/; do
    [ -f "$dir/runtest" ] || continue
    chmod +x "$dir/runtest"
    mv "$dir" "$keep/"
    echo "$keep/$(basename "$dir")"
    exit 0
done
fail "the source package has no runtest"
