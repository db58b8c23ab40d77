#!/usr/bin/env bash
# Builds the static program in the folder that this script is in, for this machine's processor, and prints
# where it is: with every kind of provider and sink, and telling nothing of where it was made.
#
#     release/static.sh PROFILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
profile=${1:?release/static.sh PROFILE}
target=$(rustc --print host-tuple)
# glibc, linked in: with --target, so that what runs during the build stays as it is. A static program
# cannot look getrandom up by name and would ask /dev/urandom, which not everybody mounts.
flags='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"'
# The addresses that are corrected at the start, since the program lies at another place each time: a bitmap
# of them is a twentieth as long as their list. GNU ld 2.38, or the LLD that comes with Rust.
flags+=' -C link-arg=-Wl,-z,pack-relative-relocs'
# The commit, whatever the profile; build.rs asks git by itself where it is optimised.
if [[ -z ${SCIMITAR_REVISION-} ]] && revision=$(git describe --always --abbrev=40 --exclude='*' --dirty 2> /dev/null); then
    export SCIMITAR_REVISION=$revision
fi
# C code tells its place as well.
maps="-ffile-prefix-map=$PWD=/scimitar -ffile-prefix-map=${CARGO_HOME:-$HOME/.cargo}/registry/src=/crates"
SCIMITAR_ROOT=$PWD RUSTC_WRAPPER=$PWD/release/rustc CFLAGS="${CFLAGS-} $maps" RUSTFLAGS="${RUSTFLAGS-} $flags" \
    cargo build --locked --profile "$profile" --all-features --target "$target" >&2
echo "${CARGO_TARGET_DIR:-$PWD/target}/$target/${profile/#dev/debug}/scimitar"
