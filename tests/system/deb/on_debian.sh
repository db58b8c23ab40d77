#!/bin/sh
# What has to hold on a clean Debian, step by step; runs as root inside it, the package beside it.
# Prints "passed" at the end.
set -eu
cd "$(dirname "$0")"
package=$(echo ./scimitar_*.deb)
state=/var/lib/scimitar

say() { echo "== $*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# is WANTED COMMAND…: the command prints just that.
is() {
    wanted=$1
    shift
    got=$("$@") || fail "$* ended with $?"
    [ "$got" = "$wanted" ] || fail "$* said \"$got\", not \"$wanted\""
}
folders() {
    is "root:scimitar 750" stat --format='%U:%G %a' /etc/scimitar
    is "scimitar:scimitar 700" stat --format='%U:%G %a' "$state"
    is "scimitar:scimitar 700" stat --format='%U:%G %a' /var/log/scimitar
}
as_scimitar() { runuser -u scimitar -- "$@"; }
gone() { for path; do [ ! -e "$path" ] || fail "$path is still there"; done; }

say "it installs by apt, with nothing but what it depends on"
DEBIAN_FRONTEND=noninteractive apt-get -qq install "$package"
is "install ok installed" dpkg-query --show --showformat='${Status}' scimitar
is "" dpkg --verify scimitar

say "its account can do next to nothing"
user=$(getent passwd scimitar) || fail "there is no account"
[ "$(echo "$user" | cut -d: -f7)" = /usr/sbin/nologin ] || fail "the account can log in: $user"
[ "$(id --user scimitar)" != 0 ] || fail "the account is root"
is scimitar id --name --groups scimitar
folders
as_scimitar test ! -w /etc/scimitar -a -r /etc/scimitar || fail "rights of /etc/scimitar"

say "nothing starts without a configuration"
enabled=/etc/systemd/system/multi-user.target.wants/scimitar.service
[ -L "$enabled" ] || fail "the daemon does not start with the machine"
grep -q '^ConditionPathExists=/etc/scimitar/scimitar.toml$' \
    /usr/lib/systemd/system/scimitar.service.d/10-package.conf || fail "no condition"
gone /etc/scimitar/scimitar.toml
status=0
said=$(as_scimitar scimitar check 2>&1) || status=$?
[ "$status" = 2 ] || fail "without a configuration: $status, $said"

say "every unit calls programs that are there"
for unit in /usr/lib/systemd/system/scimitar*.service; do
    grep -q '^ExecStart=/usr/bin/scimitar ' "$unit" || fail "$unit does not start scimitar"
    for program in $(sed -n 's/^Exec[A-Za-z]*=[-@:+!]*\([^ ]*\).*/\1/p' "$unit"); do
        [ -x "$program" ] || fail "$unit calls \"$program\""
    done
done

say "the example rotates, as the account"
cp /usr/share/doc/scimitar/examples/scimitar.toml /etc/scimitar/
as_scimitar scimitar check
as_scimitar scimitar --rotate-now
token=$state/example-data/tokens/initech-okta.token
is "scimitar:scimitar 600" stat --format='%U:%G %a' "$token"
id=$(cut -d. -f1 "$token")
holds() {
    said=$(as_scimitar scimitar status --output json)
    case $said in *"\"token_id\":\"$id\""*) ;; *) fail "$id is not known: $said" ;; esac
}
holds

say "an upgrade keeps everything"
chmod 0750 /var/log/scimitar
dpkg --install "$package" > /dev/null
is "scimitar:scimitar 750" stat --format='%U:%G %a' /var/log/scimitar
chmod 0700 /var/log/scimitar
holds

say "removed, it leaves configuration and ledger"
dpkg --remove scimitar
gone /usr/bin/scimitar /usr/lib/systemd/system/scimitar.service /usr/share/scimitar
[ -s /etc/scimitar/scimitar.toml ] && [ -s "$state/example-data/ledger.db" ] || fail "something is lost"
[ -s "$token" ] || fail "the token is lost"

say "back again, it goes on"
dpkg --install "$package" > /dev/null
folders
holds

say "purged, it leaves the account alone"
said=$(dpkg --purge scimitar 2>&1)
case $said in *"stay valid"*) ;; *) fail "it does not say what happens to tokens: $said" ;; esac
gone /etc/scimitar "$state" /var/log/scimitar /usr/share/doc/scimitar "$enabled"
gone /usr/lib/systemd/system/scimitar.service.d /usr/lib/sysusers.d/scimitar.conf
is "$user" getent passwd scimitar

say "and once more from nothing"
dpkg --install "$package" > /dev/null
folders
dpkg --purge scimitar > /dev/null 2>&1
echo passed
