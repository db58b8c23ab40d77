#!/usr/bin/env bash
# Starts a real systemd as PID 1 of namespaces of its own, on a copy-on-write view of this machine's
# root: nothing of the machine is changed. Its network is a loopback of its own.
#
#     boot.sh SHARED
#
# SHARED appears as /mnt inside. Prints "up PID", the number by which nsenter finds it, and ends, with
# everything inside, when its standard input ends. Needs root; says on standard error what is missing.
set -euo pipefail
shared=$1
missing() { echo "$*" >&2; exit 1; }
[[ $(id -u) == 0 ]] || missing "root's rights are needed to start a systemd, and this is $(id -un)"
init=$(readlink -f /lib/systemd/systemd) && [[ -x $init ]] || missing "there is no /lib/systemd/systemd"
for tool in unshare nsenter pivot_root ip dbus-daemon; do
    command -v "$tool" > /dev/null || missing "there is no $tool"
done

cgroups=/sys/fs/cgroup/unified
[[ -d $cgroups ]] || cgroups=/sys/fs/cgroup
[[ -e $cgroups/cgroup.procs ]] || missing "there is no cgroup2 file system at $cgroups"
# A subtree of its own, so that the PID 1 inside sees no other.
own=$cgroups/scimitar-test-$$
mkdir "$own" 2> /dev/null || missing "no control group can be made in $cgroups"
outer=""
end() {
    [[ -z $outer ]] || kill -9 "$outer" 2> /dev/null || true
    wait || true
    # What was inside dies a moment after its PID 1; the folders go with the last process.
    for _ in $(seq 100); do
        find "$own" -depth -type d -exec rmdir {} + 2> /dev/null || true
        [[ -d $own ]] || break
        read -rt 0.05 <> <(:) || true
    done
    rm -rf "$work"
}
work=$(mktemp -d)
trap end EXIT

export shared work
(
    echo "$BASHPID" > "$own/cgroup.procs"
    exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup --net --propagation private \
        bash -euc '
        mount -t tmpfs tmpfs "$work"
        mkdir -p "$work/up" "$work/work" "$work/root"
        mount -t overlay overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/work" "$work/root"
        cd "$work/root"
        mount -t proc proc proc
        mount -t sysfs sysfs sys
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        mount --rbind /dev dev
        mount -t tmpfs -o mode=755 tmpfs run
        mount -t tmpfs -o mode=1777 tmpfs tmp
        mount --bind "$shared" mnt
        rm -rf etc/systemd/system/*.wants
        # What the machine itself keeps of an earlier Scimitar is not to be seen.
        rm -rf etc/scimitar etc/systemd/system/scimitar* var/lib/scimitar* var/lib/private/scimitar*
        : > etc/machine-id
        for unit in logind udevd networkd resolved timesyncd; do
            ln -sf /dev/null "etc/systemd/system/systemd-$unit.service"
        done
        mkdir -p .old
        ip link set lo up
        hostname scimitar-test
        pivot_root . .old
        umount -l /.old
        # Without this, credentials come as an empty folder.
        mount --make-rshared /
        exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
            --system --unit=multi-user.target --show-status=no --log-target=journal
    ' < /dev/null > "$work.log" 2>&1
) &
outer=$!
failed() {
    echo "the namespaces or their mounts could not be made: $(cat "$work.log")" >&2
    rm -f "$work.log"
    exit 1
}
for attempt in $(seq 600); do
    kill -0 "$outer" 2> /dev/null || failed
    init=$(cat "/proc/$outer/task/$outer/children" 2> /dev/null || true)
    init=${init%% *}
    if [[ -n $init && $(cat "/proc/$init/comm" 2> /dev/null) == systemd ]] \
        && timeout -k 1 5 nsenter -t "$init" -a -r -w systemctl is-system-running > "$work.state" 2>&1; then
        break
    fi
    # Units of the machine that fail in here are not what is tested.
    grep -q degraded "$work.state" 2> /dev/null && break
    [[ $attempt != 600 ]] || { cat "$work.log" "$work.state" >&2; missing "systemd did not come up within a minute"; }
    read -rt 0.1 <> <(:) || true
done
rm -f "$work.log" "$work.state"
echo "up $init"
cat > /dev/null
