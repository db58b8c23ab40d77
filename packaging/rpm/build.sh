#!/usr/bin/env bash
# Builds the RPM package of a binary that is there already.
#
#     packaging/rpm/build.sh BINARY [FOLDER]
#
# Writes scimitar-VERSION-RELEASE.ARCHITECTURE.rpm into FOLDER (default: here) and prints its path. Needs
# rpmbuild, and strip and readelf from binutils. packaging/tree.sh says what is in it.
#
# The same binary and sources give the same package, byte by byte: every time in it is
# SOURCE_DATE_EPOCH, by default that of the last commit. RPM_PAYLOAD is how it is compressed (w19.zstdio),
# RPM_RELEASE which package of this version it is (1).
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
fail() { printf '%s: %s\n' "packaging/rpm/build.sh" "$*" >&2; exit 1; }

command -v rpmbuild > /dev/null || fail "there is no rpmbuild; on Debian: apt-get install rpm"
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")
[[ -n $version ]] || fail "Cargo.toml names no version"
[[ $("$binary" --version) == "scimitar $version"* ]] || fail "$binary is not scimitar $version"
release=${RPM_RELEASE:-1}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

case $(readelf --file-header "$binary" | sed -n 's/^ *Machine: *//p') in
    *X86-64) architecture=x86_64 ;;
    AArch64) architecture=aarch64 ;;
    *) fail "$binary is for a machine that this script does not know" ;;
esac

# The libraries that the binary asks for, as rpm names them; of the C library, the newest symbols.
requires=""
for library in $(readelf --dynamic "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'); do
    case $library in
        libc.so.*)
            newest=$(readelf --version-info "$binary" \
                | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1)
            requires+="Requires: $library($newest)(64bit)"$'\n'
            ;;
        ld-linux*) ;;
        *) requires+="Requires: $library()(64bit)"$'\n' ;;
    esac
done

tree=$work/tree
"$root/packaging/tree.sh" rpm "$binary" "$tree"
doc=usr/share/doc/scimitar
install -D --mode=0644 "$root/CHANGELOG.md" "$tree/$doc/CHANGELOG.md"
for licence in LICENSE-APACHE LICENSE-MIT; do
    install -D --mode=0644 "$root/$licence" "$tree/usr/share/licenses/scimitar/$licence"
done
find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# A pre-release comes before its release.
{
    cat << SPEC
Name: scimitar
Version: ${version/-/\~}
Release: $release
Summary: Rotation of SCIM bearer tokens
License: Apache-2.0 OR MIT
# It is read off the binary above.
AutoReqProv: no
${requires}Requires: ca-certificates
Requires: systemd
Requires(pre): /usr/sbin/groupadd /usr/sbin/useradd

%description
Scimitar creates a new SCIM token before the current one expires, tests it,
delivers it to every place that needs it, waits until the old token is no
longer used, then revokes it. It runs as a daemon or from a timer, and is safe
to kill at any point.

%install
cp -a "$tree/." %{buildroot}

SPEC
    for part in pre post preun postun; do
        printf '%%%s\n' "$part"
        cat "$here/$part"
        echo
    done
    cat << SPEC
%files
%dir %attr(0750, root, scimitar) /etc/scimitar
%dir %attr(0700, scimitar, scimitar) /var/lib/scimitar
%dir %attr(0700, scimitar, scimitar) /var/log/scimitar
%dir /usr/share/licenses/scimitar
%dir /usr/share/scimitar
%dir /usr/share/doc/scimitar
%dir /usr/share/doc/scimitar/examples
SPEC
    (cd "$tree" && find usr -mindepth 1 -type d -path '*/scimitar*.d' -printf '%%dir /%p\n' | sort)
    (cd "$tree" && find usr -type f | sort | while read -r file; do
        case $file in
            usr/share/licenses/*) kind='%license ' ;;
            usr/share/doc/* | usr/share/man/*) kind='%doc ' ;;
            *) kind="" ;;
        esac
        printf '%s/%s\n' "$kind" "$file"
    done)
    printf '\n%%changelog\n* %s Scimitar maintainers <scimitar@packages.invalid> - %s-%s\n' \
        "$(date --utc --date="@$SOURCE_DATE_EPOCH" '+%a %b %d %Y')" "${version/-/\~}" "$release"
    printf -- '- What changed is in CHANGELOG.md beside the documentation.\n'
} > "$work/scimitar.spec"

# Nothing of this machine gets into it, and nothing on it is asked or changed.
rpmbuild -bb --quiet --nodeps --target "$architecture-linux" \
    --define "_topdir $work/top" --define "_dbpath $work/db" --define "_tmppath $work" \
    --define '_buildhost scimitar' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define 'source_date_epoch_from_changelog 0' \
    --define '_build_id_links none' --define 'debug_package %{nil}' --define '__os_install_post %{nil}' \
    --define "_binary_payload ${RPM_PAYLOAD:-w19.zstdio}" \
    "$work/scimitar.spec" >&2
package=$out/scimitar-${version/-/\~}-$release.$architecture.rpm
install --mode=0644 "$work/top/RPMS/$architecture/${package##*/}" "$package"
printf '%s\n' "$package"
