#!/usr/bin/env bash
# Unpacks Debian packages, with whatever of their dependencies this machine lacks, under
# target/debian: nothing is installed, and no right is needed.
#
#     tests/support/debian.sh PACKAGE…
#
# Prints the folder that is their root: programs are in its usr/bin, libraries in its
# usr/lib/x86_64-linux-gnu. Each set of packages is fetched once. The release of Debian pins the
# versions: its archive keeps no others.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
base=${SCIMITAR_DEBIAN:-$here/target/debian}
[[ $# -gt 0 ]] || { echo "which packages?" >&2; exit 2; }
mkdir -p "$base/lists/partial" "$base/archives/partial" "$base/state"
root=$base/root stamp=$base/state/$(printf '%s+' "$@")
exec 9> "$base/lock"
flock 9
if [[ ! -e $stamp ]]; then
    apt() {
        apt-get -qq -o Acquire::Retries=5 -o APT::Update::Error-Mode=any -o Dir::State::lists="$base/lists" -o Dir::Cache="$base" \
            -o Dir::Cache::archives="$base/archives" -o Debug::NoLocking=1 \
            -o APT::Sandbox::User="" "$@" >&2 9>&-
    }
    # Lists older than a day name files that the archive may not have any more.
    [[ -n $(find "$base/state/lists" -mmin -1440 2> /dev/null) ]] || { apt update; touch "$base/state/lists"; }
    apt install --yes --no-install-recommends --download-only --reinstall "$@"
    mkdir -p "$root"
    for archive in "$base"/archives/*.deb; do
        dpkg-deb --extract "$archive" "$root"
    done
    rm -f "$base"/archives/*.deb
    touch "$stamp"
fi
printf '%s\n' "$root"
