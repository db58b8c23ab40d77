#!/usr/bin/env bash
# Builds the Debian package of a binary that is there already.
#
#     packaging/deb/build.sh BINARY [FOLDER]
#
# Writes scimitar_VERSION_ARCHITECTURE.deb into FOLDER (default: here) and prints its path. Needs
# dpkg-deb, and strip and readelf from binutils. packaging/tree.sh says what is in it.
#
# The same binary and sources give the same package, byte by byte: every time in it is
# SOURCE_DATE_EPOCH, by default that of the last commit. DEB_MAINTAINER says whose package it is;
# DPKG_DEB_COMPRESSOR_TYPE and _LEVEL are dpkg-deb's own.
set -euo pipefail
umask 022
export LC_ALL=C
[[ $# == 1 || $# == 2 ]] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
binary=$(realpath "$1")
out=$(realpath "${2:-.}")
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
root=$(realpath "$here/../..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
[[ -n $version ]] || fail "Cargo.toml names no version"
[[ $("$binary" --version) == "scimitar $version"* ]] || fail "$binary is not scimitar $version"
# A pre-release comes before its release.
version=${version/-/\~}-1
maintainer=${DEB_MAINTAINER:-Scimitar maintainers <scimitar@packages.invalid>}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

case $(readelf --file-header "$binary" | sed -n 's/^ *Machine: *//p') in
    *X86-64) architecture=amd64 ;;
    AArch64) architecture=arm64 ;;
    *) fail "$binary is for a machine that this script does not know" ;;
esac

# The libraries that the binary asks for; of the C library, the newest symbols that it uses.
depends=()
for library in $(readelf --dynamic "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'); do
    case $library in
        libc.so.* | libm.so.* | ld-linux*)
            newest=$(readelf --version-info "$binary" \
                | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
            depends+=("libc6 (>= $newest)")
            ;;
        libgcc_s.so.1) depends+=("libgcc-s1 (>= 4.2)") ;;
        *) fail "$binary needs $library, and this script does not know whose it is" ;;
    esac
done
# Certificates to trust, and the tool that makes the account.
depends+=(ca-certificates "systemd | systemd-standalone-sysusers | systemd-sysusers")
# What units reload by.
if grep -q '^ExecReload=/bin/kill ' "$root"/systemd/*.service; then depends+=(procps); fi
depends=$(printf '%s\n' "${depends[@]}" | awk '!seen[$0]++' | paste -sd, | sed 's/,/, /g')

put() { install -D --mode=0644 "$1" "$work/tree/$2"; }

"$root/packaging/tree.sh" deb "$binary" "$work/tree"
doc=usr/share/doc/scimitar
put "$here/copyright" "$doc/copyright"
put "$here/lintian-overrides" usr/share/lintian/overrides/scimitar
put "$here/README.Debian" "$doc/README.Debian"
put "$root/CHANGELOG.md" "$doc/changelog"
{
    printf 'scimitar (%s) stable; urgency=medium\n\n' "$version"
    printf '  * What changed is in changelog.gz beside this file.\n\n'
    printf ' -- %s  %s\n' "$maintainer" "$(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")"
} > "$work/tree/$doc/changelog.Debian"
gzip -9n "$work/tree/$doc/changelog" "$work/tree/$doc/changelog.Debian"

mkdir "$work/tree/DEBIAN"
(cd "$work/tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$work/tree/DEBIAN/md5sums"
size=$(cd "$work/tree" && find . -path ./DEBIAN -prune -o -type f -printf '%s\n' \
    | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
cat > "$work/tree/DEBIAN/control" << CONTROL
Package: scimitar
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $size
Depends: $depends
Section: admin
Priority: optional
Description: rotation of SCIM bearer tokens
 Scimitar creates a new SCIM token before the current one expires, tests it,
 delivers it to every place that needs it, waits until the old token is no
 longer used, then revokes it.
 .
 It knows Auth0, dbt Cloud and issuers that its configuration declares, and
 delivers to HashiCorp Vault, OpenBao, the secret stores of AWS, Azure and
 Google Cloud, Kubernetes, Okta, Entra ID, files and programs. It runs as a
 daemon or from a timer, and is safe to kill at any point.
CONTROL
for script in postinst prerm postrm; do
    install --mode=0755 "$here/$script" "$work/tree/DEBIAN/$script"
done

find "$work/tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
package=$out/scimitar_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$work/tree" "$package" > /dev/null
printf '%s\n' "$package"
