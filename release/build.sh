#!/usr/bin/env bash
# Makes a release: the static program, its bill of materials, the licences of what is in it, and sums.
#
#     release/build.sh [--profile NAME] [--once] [--out DIR]
#
# The program is built twice, from what is committed, in two folders, and the bytes are compared: what
# differs is no release.
#
#     --profile NAME   the cargo profile; dist if left out
#     --once           builds once, and compares nothing
#     --out DIR        where everything is put; target/release-of-VERSION if left out
#
# Needs what a build needs, Python 3 and git.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "release/build.sh: $*" >&2; exit 1; }

profile=dist times=2 out=""
while [[ ${1-} == --* ]]; do
    case $1 in
        --profile) profile=${2:?--profile takes a name}; shift ;;
        --out) out=${2:?--out takes a folder}; shift ;;
        --once) times=1 ;;
        *) fail "there is no option $1" ;;
    esac
    shift
done

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
out=${out:-target/release-of-$version}
mkdir -p "$out"
out=$(realpath "$out")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# No clock counts but that of the commit.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
umask 022
target=$(rustc --print host-tuple)
folder=${profile/#dev/debug}

# Builds what is committed in a folder of that name.
build() {
    local root=$scratch/$1 cargo=${CARGO_HOME:-$HOME/.cargo}
    mkdir -p "$root"
    git archive HEAD | tar -x -C "$root"
    # As container/build.sh has it; C code tells its place as well.
    (cd "$root" && env -u CARGO_TARGET_DIR \
        SCIMITAR_ROOT="$root" RUSTC_WRAPPER="$root/release/rustc" \
        CFLAGS="-ffile-prefix-map=$root=/scimitar -ffile-prefix-map=$cargo/registry/src=/crates" \
        RUSTFLAGS='-C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"' \
        SCIMITAR_REVISION="$(git rev-parse HEAD)" \
        cargo build --locked --profile "$profile" --all-features --target "$target")
    mv "$root/target/$target/$folder/scimitar" "$scratch/program-$1"
    # The second build needs the room.
    rm -rf "$root"
}

build a
if [[ $times == 2 ]]; then
    # A name of another length, so that nothing fits by luck.
    build another-folder
    cmp "$scratch/program-a" "$scratch/program-another-folder" \
        || fail "two builds of the same commit differ"
fi
# What differs on another machine would be a path.
for path in "$scratch" "${CARGO_HOME:-$HOME/.cargo}" "$(rustc --print sysroot)"; do
    ! grep -aqF -- "$path" "$scratch/program-a" || fail "the program tells of $path"
done
install -m 0755 "$scratch/program-a" "$out/scimitar"
release/materials.py bom > "$out/scimitar.cdx.json"
release/materials.py licences > "$out/THIRD-PARTY.md"
(cd "$out" && sha256sum scimitar scimitar.cdx.json THIRD-PARTY.md > SHA256SUMS)
cat "$out/SHA256SUMS"
