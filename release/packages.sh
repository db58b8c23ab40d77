#!/usr/bin/env bash
# Makes everything that is installed of a static program that is there already:
#
#     release/packages.sh PROGRAM MATERIALS OUT
#
#     scimitar-VERSION-ARCHITECTURE-linux.tar.gz   program, manual page, completions, units, licences
#     scimitar_VERSION-1_ARCHITECTURE.deb          for Debian, Ubuntu and what comes from them
#     scimitar-VERSION-1.ARCHITECTURE.rpm          for Fedora, RHEL, SUSE and what comes from them
#     scimitar-VERSION-ARCHITECTURE-oci.tar        the container image, an OCI image archive
#     scimitar-chart-VERSION.tgz                   the Helm chart
#
# MATERIALS is the folder with THIRD-PARTY.md and scimitar.cdx.json. The same program and sources give the same
# bytes; SOURCE_DATE_EPOCH is every time in them. Needs dpkg-deb, rpmbuild, binutils and Python 3.11.
# SCIMITAR_QUICK=1 compresses as little as it can, for a rehearsal.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC
program=$(realpath "$1") materials=$(realpath "$2") out=$(realpath "$3")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${SOURCE_DATE_EPOCH:?SOURCE_DATE_EPOCH is not set}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
level=9
if [[ ${SCIMITAR_QUICK-} == 1 ]]; then
    level=1
    export DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1 RPM_PAYLOAD=w1.gzdio
    # A debug build is mostly what a release does not have.
    strip -o "$scratch/program" "$program"
    program=$scratch/program
fi

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# As it says itself: build.rs put it there.
revision=$("$program" --version | sed -n 's/^[^(]*(\(.*\))$/\1/p')
architecture=$(readelf --file-header "$program" | sed -n 's/^ *Machine: *//p')
case $architecture in
    *X86-64) architecture=x86_64 ;;
    AArch64) architecture=aarch64 ;;
    *) echo "release/packages.sh: $program is for a machine that this script does not know" >&2; exit 1 ;;
esac
# Packs a folder; names, times and owners are nobody's.
pack() { tar --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner "$@" | gzip "-${level}n"; }

name=scimitar-$version-$architecture-linux
plain=$scratch/$name
mkdir -p "$plain/completions"
install -m 0755 "$program" "$plain/scimitar"
env -i "$program" man > "$plain/scimitar.1"
for shell in bash zsh fish; do env -i "$program" completions $shell > "$plain/completions/scimitar.$shell"; done
env -i "$program" schema > "$plain/scimitar.schema.json"
cp -r systemd "$plain/systemd"
install -m 0644 LICENSE-APACHE LICENSE-MIT CHANGELOG.md README.md config.example.toml docs/install.md docs/upgrade.md \
    "$materials/THIRD-PARTY.md" "$materials/scimitar.cdx.json" "$plain/"
chmod -R u=rwX,go=rX "$plain"
pack -C "$scratch" -c "$name" > "$out/$name.tar.gz"

export SCIMITAR_LICENCES=$materials/THIRD-PARTY.md
packaging/deb/build.sh "$program" "$out" > /dev/null
packaging/rpm/build.sh "$program" "$out" > /dev/null

container/build.sh --root "$scratch/image" "$program"
install -D -m 0644 "$materials/THIRD-PARTY.md" "$scratch/image/usr/share/licenses/scimitar/THIRD-PARTY.md"
release/oci.py "$scratch/image" "$out/scimitar-$version-$architecture-oci.tar" --version "$version" --revision "$revision" \
    --level $level

cp -r charts/scimitar "$scratch/scimitar"
rm -r "$scratch/scimitar/ci"
chmod -R u=rwX,go=rX "$scratch/scimitar"
pack -C "$scratch" -c scimitar > "$out/scimitar-chart-$version.tgz"
