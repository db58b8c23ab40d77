#!/usr/bin/env bash
# Makes a release: the static program, packages, a container image and a chart of it, the bill of materials, the
# licences of what is in it, and sums.
#
#     release/build.sh [--profile NAME] [--of PROGRAM] [--out DIR]
#
# The program is built twice, from what is committed, in two folders, and the bytes are compared: what
# differs is no release. So are the packages (release/packages.sh says which). The rest is read from the working tree, which therefore has to be what is committed.
# Elsewhere the same bytes come out with the same rustc, C compiler and C library, which the bill names.
#
#     --profile NAME   the cargo profile; dist if left out
#     --of PROGRAM     takes one that release/static.sh made, and builds none: a rehearsal
#     --out DIR        where everything is put; target/release-of-VERSION if left out
#
# Needs what a build needs, Python 3.11, git, dpkg-deb and rpmbuild. The program is for this machine's processor: for
# another one, run this there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "release/build.sh: $*" >&2; exit 1; }

profile=dist program="" out=""
while [[ ${1-} == --* ]]; do
    case $1 in
        --profile) profile=${2:?--profile takes a name}; shift ;;
        --out) out=${2:?--out takes a folder}; shift ;;
        --of) program=$(realpath "${2:?--of takes a program}"); shift ;;
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

# Builds what is committed in a folder of that name; its program is then NAME.program beside it.
build() {
    local root=$scratch/$1
    mkdir -p "$root"
    git archive HEAD | tar -x -C "$root"
    mv "$(env -u CARGO_TARGET_DIR SCIMITAR_REVISION="$(git rev-parse HEAD)" \
        "$root/release/static.sh" "$profile")" "$root.program"
    # The second build needs the room.
    rm -rf "$root"
}

if [[ -z $program ]]; then
    changes=$(git status --porcelain)
    [[ -z $changes ]] || fail "the working tree is not what is committed; commit or remove:"$'\n'"$changes"
    build a
    # A name of another length, so that nothing fits by luck.
    build another-folder
    cmp "$scratch/a.program" "$scratch/another-folder.program" || fail "two builds of one commit differ"
    program=$scratch/a.program
fi
# What would differ on another machine.
for path in "$scratch" "$PWD" "${CARGO_HOME:-$HOME/.cargo}" "$(rustc --print sysroot)"; do
    told=0
    grep -aqF -- "$path/" "$program" || told=$?
    # More than 1 is no answer.
    case $told in
        0) fail "the program tells of $path" ;;
        1) ;;
        *) fail "$program cannot be searched for $path" ;;
    esac
done
install -m 0755 "$program" "$out/scimitar"
release/materials.py bom > "$out/scimitar.cdx.json"
release/materials.py licences > "$out/THIRD-PARTY.md"
# Twice as well, in other circumstances.
mkdir "$scratch/first" "$scratch/second"
release/packages.sh "$out/scimitar" "$out" "$scratch/first"
(umask 077; TZ=Asia/Tokyo TMPDIR=$scratch/second release/packages.sh "$out/scimitar" "$out" "$scratch/second")
for package in "$scratch/first"/*; do
    cmp "$package" "$scratch/second/${package##*/}" || fail "two packages of one program differ"
done
install -m 0644 "$scratch/first"/* "$out/"
made=("$scratch/first"/*)
(cd "$out" && sha256sum scimitar scimitar.cdx.json THIRD-PARTY.md "${made[@]##*/}" > SHA256SUMS)
cat "$out/SHA256SUMS"
