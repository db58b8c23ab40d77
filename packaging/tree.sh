#!/usr/bin/env bash
# Lays out what a package installs, below /usr, of a binary that is there already.
#
#     packaging/tree.sh deb|rpm BINARY FOLDER
#
# packaging/deb/build.sh and packaging/rpm/build.sh make their packages of it. Needs strip from binutils.
# Manual page, completions and schema are printed by the binary, so it must run on this machine.
# SCIMITAR_LICENCES names the list of what is linked into it (release/materials.py licences), if it is static.
set -euo pipefail
umask 022
export LC_ALL=C
kind=$1 binary=$2 tree=$3
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
root=$(realpath "$here/..")
case $kind in
    deb) zsh=usr/share/zsh/vendor-completions ;;
    rpm) zsh=usr/share/zsh/site-functions ;;
    *) echo "packaging/tree.sh: there is no kind of package $kind" >&2; exit 2 ;;
esac

put() { install -D --mode=0644 "$1" "$tree/$2"; }
print() {
    local target=$tree/$1
    mkdir -p "${target%/*}"
    shift
    env -i "$binary" "$@" > "$target"
}

install -D --mode=0755 "$binary" "$tree/usr/bin/scimitar"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$tree/usr/bin/scimitar"
print usr/share/man/man1/scimitar.1 man
print usr/share/bash-completion/completions/scimitar completions bash
print "$zsh/_scimitar" completions zsh
print usr/share/fish/vendor_completions.d/scimitar.fish completions fish
print usr/share/scimitar/scimitar.schema.json schema
gzip -9n "$tree/usr/share/man/man1/scimitar.1"

units=usr/lib/systemd/system
for unit in "$root"/systemd/*.service "$root"/systemd/*.timer; do
    [[ -e $unit ]] || continue
    name=${unit##*/}
    put "$unit" "$units/$name"
    sed -i 's|/usr/local/|/usr/|g' "$tree/$units/$name"
    case $name in
        *@.service) put "$here/instance.conf" "$units/$name.d/10-package.conf" ;;
        *.service) put "$here/unit.conf" "$units/$name.d/10-package.conf" ;;
    esac
done
put "$root/systemd/scimitar.sysusers.conf" usr/lib/sysusers.d/scimitar.conf

doc=usr/share/doc/scimitar
put "$root/README.md" "$doc/README.md"
put "$root/config.example.toml" "$doc/examples/scimitar.toml"
# It works where it is copied to: /etc/scimitar is not for the program to write to.
sed -i 's|example-data/|/var/lib/scimitar/example-data/|' "$tree/$doc/examples/scimitar.toml"
for example in "$root"/examples/*.toml "$root"/systemd/*.d/*.conf; do
    [[ ! -e $example ]] || put "$example" "$doc/examples/${example##*/}"
done
if [[ -n ${SCIMITAR_LICENCES-} ]]; then put "$SCIMITAR_LICENCES" "$doc/THIRD-PARTY.md"; fi
# Their owners and modes are set when the account is there.
mkdir -p "$tree"/{etc,var/lib,var/log}/scimitar
