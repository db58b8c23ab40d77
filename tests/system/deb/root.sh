#!/usr/bin/env bash
# Prints the path of a tar file with a clean Debian: what is essential, apt, and what our package
# depends on. Made once, from the archives that this machine's apt is set up for.
#
#     tests/system/deb/root.sh FOLDER MMDEBSTRAP
set -euo pipefail
folder=$1 mmdebstrap=$2
depends=ca-certificates,procps,systemd-standalone-sysusers
codename=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
mkdir -p "$folder"
exec 9> "$folder/lock"
flock 9
tar=$folder/$codename-$depends.tar
if [[ ! -e $tar ]]; then
    # Only Debian's own: what else is set up is for programs that this machine needs. The lists are
    # those that mmdebstrap was fetched by.
    apt-get -o Dir::State::lists="${mmdebstrap%/root/*}/lists" indextargets \
        --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' \
        | sort -u > "$folder/sources.list"
    [[ -s $folder/sources.list ]] || { echo "apt is set up for no archive of Debian" >&2; exit 1; }
    "$mmdebstrap" --quiet --dpkgopt=force-unsafe-io --mode=root --format=tar --variant=apt --include="$depends" \
        "$codename" "$tar.new" "$folder/sources.list" >&2 9>&-
    mv "$tar.new" "$tar"
fi
printf '%s\n' "$tar"
