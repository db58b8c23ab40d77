#!/usr/bin/env python3
"""What a release is made of, from `cargo metadata` and Cargo.lock, and what the compiler of this machine adds:
nothing is downloaded but the sources.

    release/materials.py bom        the bill of materials, CycloneDX 1.6 in JSON
    release/materials.py licences   every licence with its text, in Markdown

The same commit gives the same output with the same rustc, C compiler and C library, which both name.
SOURCE_DATE_EPOCH, or else the commit's time, is its time. Needs Python 3.11, for tomllib.
"""

import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/scimitar")
TEXTS = re.compile(r"^(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)

# What crates carry with them and compile: not in cargo's list.
BUNDLED = {
    "libsqlite3-sys": ("sqlite", "sqlite3/sqlite3.h", r'#define SQLITE_VERSION\s+"([^"]+)"',
                       "blessing", "https://www.sqlite.org/"),
    "aws-lc-sys": ("aws-lc", "aws-lc/include/openssl/base.h",
                   r'#define AWSLC_VERSION_NUMBER_STRING\s+"([^"]+)"',
                   "ISC AND (Apache-2.0 OR ISC) AND OpenSSL", "https://github.com/aws/aws-lc"),
}

# The text of glibc's licence, which no crate has.
LESSER = ROOT / "release/LGPL-2.1.txt"


def run(*words):
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def rustc(field):
    return re.search(rf"^{field}: (.*)$", run("rustc", "-vV"), re.MULTILINE)[1]


def host():
    return rustc("host")


def glibc():
    """The version of the C library: gnu_get_libc_version()."""
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (ValueError, AttributeError):
        name = version = None
    if name != "glibc":
        sys.exit("release/materials.py: this machine's C library is not glibc, which release/static.sh links in")
    return version


def tools():
    """What decides, beside the source, which bytes come out: the compilers and the C library, in full."""
    compiler = shlex.split(os.environ.get("CC") or "cc")
    asked = {"rustc": ["rustc", "-V"], "cc": [*compiler, "--version"], "libc": ["ldd", "--version"]}
    return {name: run(*words).splitlines()[0] for name, words in asked.items()}


def linked():
    """What the compiler links into a static program: name, version, licence, and where its source is."""
    # Its folder has the name of its version.
    support = pathlib.Path(run("cc", "-print-libgcc-file-name").strip()).parent.name
    return [
        ("glibc", glibc(), "LGPL-2.1-or-later", "https://sourceware.org/git/glibc.git"),
        ("libgcc", support, "GPL-3.0-or-later WITH GCC-exception-3.1", "https://gcc.gnu.org/git/gcc.git"),
        ("rust-std", rustc("release"), "MIT OR Apache-2.0", "https://github.com/rust-lang/rust"),
    ]


def shipped():
    """The package itself, and those that a build of it needs, by their ids; what tests need is none."""
    metadata = json.loads(run("cargo", "metadata", "--locked", "--all-features", "--format-version", "1",
                              "--filter-platform", host()))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    # Metadata also names what a feature would bring that nobody asks for; the tree has what is built.
    tree = run("cargo", "tree", "--locked", "--all-features", "--edges", "normal,build", "--target", host(),
               "--prefix", "none", "--format", "{p}")
    built = {tuple(line.split()[:2]) for line in tree.splitlines()}

    def needs(node):
        def is_built(dependency):
            package = packages[dependency["pkg"]]
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            return kinds - {"dev"} and (package["name"], f"v{package['version']}") in built
        return sorted(dependency["pkg"] for dependency in node["deps"] if is_built(dependency))

    edges, queue = {}, [root]
    while queue:
        one = queue.pop()
        if one not in edges:
            edges[one] = needs(nodes[one])
            queue.extend(edges[one])
    return packages, root, edges


def checksums():
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def expression(package):
    # As older packages have it.
    return (package["license"] or "").replace("/", " OR ")


def component(package, sums):
    made = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
        "licenses": [{"expression": expression(package)}],
    }
    if package["description"]:
        made["description"] = " ".join(package["description"].split())
    checksum = sums.get((package["name"], package["version"]))
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def bundled(package):
    """What is compiled from the sources that a crate brings along."""
    if package["name"] not in BUNDLED:
        return None
    name, header, pattern, licence, url = BUNDLED[package["name"]]
    text = (pathlib.Path(package["manifest_path"]).parent / header).read_text()
    version = re.search(pattern, text)[1]
    return {
        "type": "library",
        "bom-ref": f"pkg:generic/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:generic/{name}@{version}",
        "licenses": [{"license": {"name": licence}}],
        "externalReferences": [{"type": "website", "url": url}],
    }


def libraries():
    """The same as components."""
    return [{
        "type": "library",
        "bom-ref": f"pkg:generic/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:generic/{name}@{version}",
        "licenses": [{"expression": licence}],
        "externalReferences": [{"type": "vcs", "url": url}],
    } for name, version, licence, url in linked()]


def moment():
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct").strip()
    import datetime
    at = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def bom():
    packages, root, edges = shipped()
    sums = checksums()
    added = libraries()
    components = list(added)
    dependencies = [{"ref": library["bom-ref"], "dependsOn": []} for library in added]
    for one in sorted(edges, key=lambda one: purl(packages[one])):
        package, on = packages[one], [purl(packages[other]) for other in edges[one]]
        inside = bundled(package)
        if inside:
            components.append(inside)
            on.append(inside["bom-ref"])
            dependencies.append({"ref": inside["bom-ref"], "dependsOn": []})
        if one == root:
            on.extend(library["bom-ref"] for library in added)
        else:
            components.append(component(package, sums))
        dependencies.append({"ref": purl(package), "dependsOn": sorted(set(on))})
    own = component(packages[root], sums) | {"type": "application"}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(),
            "tools": {"components": [{
                "type": "application", "name": "rustc", "version": rustc("release"),
            }]},
            "component": own,
            # Whoever builds the same bytes has these.
            "properties": [
                {"name": f"scimitar:built-with:{name}", "value": said} for name, said in tools().items()
            ],
        },
        "components": sorted(components, key=lambda one: one["bom-ref"]),
        "dependencies": sorted(dependencies, key=lambda one: one["ref"]),
    }
    content = json.dumps(document, sort_keys=True)
    serial = uuid.uuid5(NAMESPACE, content)
    document = {"$schema": document.pop("$schema"), "bomFormat": document.pop("bomFormat"),
                "specVersion": document.pop("specVersion"), "serialNumber": f"urn:uuid:{serial}"} | document
    print(json.dumps(document, indent=1, ensure_ascii=False))


def texts(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and TEXTS.match(file.name))
    return [file.read_text(errors="replace").strip() for file in files]


def licences():
    packages, root, edges = shipped()
    known, lines = {}, []

    def number_of(text):
        # White space is no other licence.
        key = hashlib.sha256(" ".join(text.split()).encode()).hexdigest()
        return known.setdefault(key, (len(known) + 1, text))[0]

    for one in sorted(edges, key=lambda one: purl(packages[one])):
        package = packages[one]
        if one == root:
            continue
        numbers = {number_of(text) for text in texts(package)}
        where = ", ".join(f"[{number}](#text-{number})" for number in sorted(numbers))
        authors = ", ".join(package["authors"]) or "its authors"
        lines.append(f"| {package['name']} {package['version']} | {expression(package)} | {where or authors} |")
    print("# What is in this program\n")
    print("The packages that `scimitar` is built from, what each of them may be used under, and the texts.")
    print("A package that brings no text names its licence alone, whose text others have.\n")
    print("| package | licence | texts |\n|---|---|---|")
    print("\n".join(lines))
    lesser = number_of(LESSER.read_text().strip())
    also = {
        "glibc": f"[{lesser}](#text-{lesser})",
        "libgcc": "the exception leaves a program that it is linked into under that program's own terms",
        "rust-std": "The Rust Project Developers; what is in it by others: COPYRIGHT-library.html of the toolchain",
    }
    print("\n## What the compiler links in\n")
    print("A static program also holds these, as the machine has them that it is built on. glibc may be replaced:")
    print("build the program from its source with another one.\n")
    print("| library | licence | texts | source |\n|---|---|---|---|")
    for name, version, licence, url in linked():
        print(f"| {name} {version} | {licence} | {also[name]} | <{url}> |")
    print("\nBuilt with " + ", ".join(tools().values()) + ".")
    for number, text in sorted(known.values()):
        print(f"\n## Text {number}\n\n```text\n{text}\n```")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["bom"]:
            bom()
        case ["licences"]:
            licences()
        case _:
            sys.exit(__doc__)
