#!/usr/bin/env python3
"""Makes an OCI image archive of a root folder that container/build.sh --root made, with no daemon and no registry.

    release/oci.py ROOT ARCHIVE --version VERSION --revision COMMIT

ARCHIVE is a tar of the OCI image layout 1.0: `skopeo copy oci-archive:ARCHIVE …`, `podman load --input ARCHIVE` and
`docker load --input ARCHIVE` (Docker 25 or newer) take it. Two layers: what rarely changes, and the program. The same
root gives the same bytes: every time in it is SOURCE_DATE_EPOCH, and nothing of this machine gets into it.
"""

import argparse
import datetime
import gzip
import hashlib
import io
import json
import os
import pathlib
import struct
import tarfile

# As container/Containerfile has it; a test compares them.
ACCOUNT = 65532
CONFIG = {
    "User": f"{ACCOUNT}:{ACCOUNT}",
    "Env": ["PATH=/"],
    "Entrypoint": ["/scimitar"],
    "Cmd": ["run"],
    "WorkingDir": "/var/lib/scimitar",
    "StopSignal": "SIGTERM",
}
STATE = "var/lib/scimitar"
PROGRAM = "scimitar"
MACHINES = {62: "amd64", 183: "arm64"}


def architecture(program):
    """As the ELF header of the program names it."""
    head = program.read_bytes()[:20]
    if head[:4] != b"\x7fELF":
        raise SystemExit(f"release/oci.py: {program} is no program of Linux")
    machine = struct.unpack_from("<H", head, 18)[0]
    if machine not in MACHINES:
        raise SystemExit(f"release/oci.py: {program} is for a machine that this script does not know ({machine})")
    return MACHINES[machine]


def entry(name, epoch):
    made = tarfile.TarInfo(name)
    made.mtime = epoch
    made.uid = made.gid = ACCOUNT if name == STATE else 0
    return made


def packed(entries, epoch):
    """A tar of (name, path) with root's files, in order of their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in sorted(entries):
            made = entry(name, epoch)
            if path.is_dir():
                made.type, made.mode = tarfile.DIRTYPE, 0o700 if name == STATE else 0o755
                tar.addfile(made)
            else:
                made.mode = 0o755 if os.access(path, os.X_OK) else 0o644
                content = path.read_bytes()
                made.size = len(content)
                tar.addfile(made, io.BytesIO(content))
    return buffer.getvalue()


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Layout:
    """The blobs, by their digests."""

    def __init__(self):
        self.blobs = {}

    def add(self, media, content, **more):
        self.blobs[digest(content)] = content
        return {"mediaType": media, "digest": digest(content), "size": len(content), **more}

    def add_json(self, media, document, **more):
        return self.add(media, canonical(document), **more)


def canonical(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def image(root, version, revision, epoch, level):
    found = [(path.relative_to(root).as_posix(), path) for path in root.rglob("*")]
    for name, path in found:
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise SystemExit(f"release/oci.py: {name} is neither a file nor a folder")
    machine = architecture(root / PROGRAM)
    layers = [[one for one in found if one[0] != PROGRAM], [one for one in found if one[0] == PROGRAM]]
    created = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {
        "org.opencontainers.image.created": created,
        "org.opencontainers.image.licenses": "Apache-2.0 OR MIT",
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.title": "scimitar",
        "org.opencontainers.image.version": version,
    }
    layout, described, identities = Layout(), [], []
    for layer in layers:
        tar = packed(layer, epoch)
        identities.append(digest(tar))
        compressed = gzip.compress(tar, compresslevel=level, mtime=0)
        described.append(layout.add("application/vnd.oci.image.layer.v1.tar+gzip", compressed))
    history = [{"created": created, "created_by": text} for text in ("certificates and names", "scimitar")]
    config = layout.add_json("application/vnd.oci.image.config.v1+json", {
        "architecture": machine,
        "os": "linux",
        "created": created,
        "config": CONFIG | {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": identities},
        "history": history,
    })
    media = "application/vnd.oci.image.manifest.v1+json"
    names = {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": f"scimitar:{version}"}
    manifest = layout.add_json(media, {
        "schemaVersion": 2,
        "mediaType": media,
        "config": config,
        "layers": described,
        "annotations": labels,
    }, annotations=names, platform={"architecture": machine, "os": "linux"})
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}
    files = {"oci-layout": canonical({"imageLayoutVersion": "1.0.0"}), "index.json": canonical(index)}
    for one, content in layout.blobs.items():
        files["blobs/sha256/" + one.removeprefix("sha256:")] = content
    return files


def main():
    parser = argparse.ArgumentParser(prog="release/oci.py")
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("archive", type=pathlib.Path)
    parser.add_argument("--version", required=True)
    parser.add_argument("--revision", required=True)
    parser.add_argument("--level", type=int, default=9, help="of gzip")
    given = parser.parse_args()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    files = image(given.root, given.version, given.revision, epoch, given.level)
    with tarfile.open(given.archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("blobs", "blobs/sha256"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode, made.mtime = tarfile.DIRTYPE, 0o755, epoch
            tar.addfile(made)
        for name in sorted(files):
            made = tarfile.TarInfo(name)
            made.size, made.mode, made.mtime = len(files[name]), 0o644, epoch
            tar.addfile(made, io.BytesIO(files[name]))


main()
