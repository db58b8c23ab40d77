#!/bin/sh
# What has to hold in a root of its own, step by step; the packages are in its /srv. Prints "passed" at the end.
#
#     in_root.sh RPM ROOT
set -eu
rpm=$1 root=$2
state=$root/var/lib/scimitar

say() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
is() {
    wanted=$1
    shift
    got=$("$@") || fail "$* ended with $?"
    [ "$got" = "$wanted" ] || fail "$* said \"$got\", not \"$wanted\""
}
# With a database of its own. What the packages require has other names on Debian.
of_root() { "$rpm" --root "$root" --dbpath /var/lib/rpm --nodeps "$@"; }
ask() { "$rpm" --root "$root" --dbpath /var/lib/rpm "$@"; }
inside() { chroot "$root" "$@"; }
folders() {
    is "root:scimitar 750" inside stat --format='%U:%G %a' /etc/scimitar
    is "scimitar:scimitar 700" inside stat --format='%U:%G %a' /var/lib/scimitar
    is "scimitar:scimitar 700" inside stat --format='%U:%G %a' /var/log/scimitar
}
as_scimitar() { inside runuser -u scimitar -- "$@"; }

# rpm makes its database where there is none.
mkdir -p "$root/var/lib/rpm"

say "it installs, with an account that can do next to nothing"
of_root --install "$root"/srv/scimitar-*-1.*.rpm
is "" ask --verify --nodeps scimitar
user=$(inside getent passwd scimitar) || fail "there is no account"
case $user in *:/var/lib/scimitar:/sbin/nologin) ;; *) fail "the account: $user" ;; esac
folders
for path in $(ask -ql scimitar); do [ -e "$root$path" ] || fail "$path is not there"; done

say "the example rotates, as the account"
cp "$root/usr/share/doc/scimitar/examples/scimitar.toml" "$root/etc/scimitar/"
as_scimitar /usr/bin/scimitar check
as_scimitar /usr/bin/scimitar --rotate-now
token=$state/example-data/tokens/initech-okta.token
id=$(cut -d. -f1 "$token")
holds() {
    said=$(as_scimitar /usr/bin/scimitar status --output json)
    case $said in *"\"token_id\":\"$id\""*) ;; *) fail "$id is not known: $said" ;; esac
}
holds
echo "# mine" >> "$root/etc/scimitar/scimitar.toml"

say "an upgrade keeps configuration and ledger"
of_root --upgrade "$root"/srv/scimitar-*-2.*.rpm
is 2 ask -q --queryformat '%{RELEASE}' scimitar
tail -n 1 "$root/etc/scimitar/scimitar.toml" | grep -q mine || fail "the configuration is another one"
folders
holds

say "removed, it leaves configuration, ledger and account, and says so"
said=$(of_root --erase scimitar 2>&1)
case $said in *"stay valid"*) ;; *) fail "it does not say what happens to tokens: $said" ;; esac
for path in usr/bin/scimitar usr/lib/systemd/system/scimitar.service usr/share/scimitar usr/share/doc/scimitar \
    usr/share/licenses/scimitar usr/lib/systemd/system/scimitar.service.d; do
    [ ! -e "$root/$path" ] || fail "$path is still there"
done
[ -s "$root/etc/scimitar/scimitar.toml" ] && [ -s "$state/example-data/ledger.db" ] || fail "something is lost"
[ -s "$token" ] || fail "the token is lost"
is "$user" inside getent passwd scimitar

say "back again, it goes on"
of_root --install "$root"/srv/scimitar-*-2.*.rpm
folders
holds
echo passed
