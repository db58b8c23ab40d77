#!/usr/bin/env bash
# Makes the container image.
#
#     container/build.sh [--with-libraries] [--profile NAME] [--root DIR] [BINARY] [TAG]
#
# BINARY is a static scimitar; without it one is built, for this machine's processor, with cargo. TAG
# is the image's name, scimitar:VERSION if left out. The same BINARY and certificates make the same
# image.
#
#     --with-libraries  takes a BINARY that is not static, say a debug build, with the libraries that
#                       it needs: for trying something out
#     --profile NAME    the cargo profile that one is built with; dist if left out
#     --root DIR        makes the folder that becomes the image's root there, and no image
#
# Needs buildah, podman or docker, whichever is there, and /etc/ssl/certs/ca-certificates.crt (or
# another such file in $SSL_CERT_FILE).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "container/build.sh: $*" >&2; exit 1; }

libraries="" root="" profile=dist
while [[ ${1-} == --* ]]; do
    case $1 in
        --with-libraries) libraries=yes ;;
        --profile) profile=${2:?--profile takes a name}; shift ;;
        --root) root=${2:?--root takes a folder}; shift ;;
        *) fail "there is no option $1" ;;
    esac
    shift
done
binary=${1-}
tag=${2-}

if [[ -z $binary ]]; then
    binary=$("$here/../release/static.sh" "$profile")
fi
[[ -x $binary ]] || fail "there is no program $binary"
# Asked once and kept: in a pipe to `grep -q`, ldd can be killed by the grep's early end and its pipe's
# failure taken for "static". It fails for what is static.
needs=$(ldd "$binary" 2> /dev/null) || needs=""
if [[ $needs == *'=>'* && -z $libraries ]]; then
    fail "$binary is not static, and the image has no libraries; build it with" \
        "RUSTFLAGS='-C target-feature=+crt-static' and --target, or say --with-libraries"
fi
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[[ -s $certificates ]] || fail "there are no certificates at $certificates; on Debian: apt-get install ca-certificates"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
context=$scratch/context
image=yes
if [[ -n $root ]]; then image=""; else root=$context/root; fi
umask 022
mkdir -p "$root/etc/ssl/certs" "$root/etc/scimitar" "$root/var/lib" "$scratch/context/state"
install -m 0755 "$binary" "$root/scimitar"
install -m 0644 "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"
echo 'scimitar:x:65532:65532:Scimitar:/:/none' > "$root/etc/passwd"
echo 'scimitar:x:65532:' > "$root/etc/group"
# glibc looks hosts up as everybody does.
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
if [[ -n $libraries ]]; then
    # The loader, and "name => path" for each library.
    grep -o '/[^ ]*' <<< "$needs" | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        install -m 0755 "$(readlink -f "$library")" "$root$library"
    done
fi
if [[ -z $image ]]; then
    mkdir -p "$root/var/lib/scimitar"
    exit 0
fi

install -m 0644 "$here/Containerfile" "$context/Containerfile"
if [[ -z $tag ]]; then
    tag=scimitar:$("$binary" --version | cut -d' ' -f2)
fi
# The image does not say when it was made: equal contents, equal image.
find "$context" -exec touch -h -d @0 {} +
if command -v buildah > /dev/null; then
    buildah build --format docker --timestamp 0 --tag "$tag" "$context"
elif command -v podman > /dev/null; then
    podman build --format docker --timestamp 0 --tag "$tag" "$context"
elif command -v docker > /dev/null; then
    SOURCE_DATE_EPOCH=0 docker build --tag "$tag" --file "$context/Containerfile" "$context"
else
    fail "neither buildah, podman nor docker is there; --root DIR makes the image's root without them"
fi
