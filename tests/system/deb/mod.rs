//! The Debian package: built from the binary of this test, looked into, and installed on a clean
//! Debian of its own, and under a real systemd. That needs root, for namespaces and mounts.

#![expect(clippy::unwrap_used, reason = "a test ends where what it needs is not there")]

#[cfg(test)]
mod service;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use scimitar_test_support::debian;

use super::systemd::{analyze, machine};

/// Drop-ins that are examples in the package, by their places in `systemd/`.
const DROP_INS: [&str; 4] = [
    "scimitar-once.service.d/textfile.conf",
    "scimitar.service.d/addresses.conf",
    "scimitar.service.d/files.conf",
    "scimitar.service.d/notify-reload.conf",
];

/// The package that the tests look at; built once.
fn package() -> PathBuf {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deb");
        fs::create_dir_all(&folder).unwrap();
        build(&folder, "022", "UTC")
    };
    PACKAGE.get_or_init(build).clone()
}

/// Builds the package into a folder; quickly, since its size is of no interest here.
fn build(folder: &Path, umask: &str, zone: &str) -> PathBuf {
    let script = root().join("packaging/deb/build.sh");
    let call = format!("umask {umask}; exec \"$0\" \"$@\"");
    let arguments: [&OsStr; 5] = [
        "-c".as_ref(),
        call.as_ref(),
        script.as_ref(),
        env!("CARGO_BIN_EXE_scimitar").as_ref(),
        folder.as_ref(),
    ];
    let said = run(Command::new("bash")
        .args(arguments)
        .current_dir(folder)
        .env("TZ", zone)
        .env("SOURCE_DATE_EPOCH", "1790000000")
        .env("DPKG_DEB_COMPRESSOR_TYPE", "gzip")
        .env("DPKG_DEB_COMPRESSOR_LEVEL", "1"));
    PathBuf::from(said.trim_end())
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn run(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let complained = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {}\n{said}{complained}", ended.status);
    said
}

#[test]
fn the_same_binary_gives_the_same_package() {
    let folder = tempfile::tempdir().unwrap();
    let first = package();
    let second = build(folder.path(), "077", "Asia/Tokyo");
    assert_eq!(first.file_name(), second.file_name());
    assert!(fs::read(first).unwrap() == fs::read(second).unwrap(), "they differ");
}

#[test]
fn it_holds_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let package = package();
    let field = |name: &str| {
        run(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name)).trim().to_owned()
    };
    assert_eq!(field("Version"), format!("{}-1", env!("CARGO_PKG_VERSION").replace('-', "~")));
    let depends = field("Depends");
    for needed in ["libc6 (>= 2.", "ca-certificates", "systemd | systemd-standalone-sysusers"] {
        assert!(depends.contains(needed), "{depends}");
    }

    let listed = run(Command::new("dpkg-deb").arg("--contents").arg(&package));
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        let (mode, owner) = (words.next().unwrap(), words.next().unwrap());
        assert_eq!(owner, "root/root", "{line}");
        assert!(["drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"].contains(&mode), "{line}");
        assert_eq!(mode == "-rwxr-xr-x", line.ends_with("/bin/scimitar"), "{line}");
    }
    let tree = folder.path().join("tree");
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&tree));
    let mut units = 0;
    for entry in fs::read_dir(root().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "service" || kind == "timer") {
            let there = tree.join("usr/lib/systemd/system").join(path.file_name().unwrap());
            let unit = fs::read_to_string(&there).unwrap();
            assert!(!unit.contains("/usr/local"), "{}", there.display());
            assert_eq!(unit, fs::read_to_string(&path).unwrap().replace("/usr/local/", "/usr/"));
            units += 1;
        }
    }
    assert!(units > 0);
    for drop_in in DROP_INS {
        let name = Path::new(drop_in).file_name().unwrap();
        let there = tree.join("usr/share/doc/scimitar/examples").join(name);
        let kept = fs::read_to_string(root().join("systemd").join(drop_in)).unwrap();
        assert_eq!(fs::read_to_string(there).unwrap(), kept, "{drop_in}");
    }
    let doc = tree.join("usr/share/doc/scimitar");
    let unpacked = |path: PathBuf| run(Command::new("gzip").args(["-dc"]).arg(path));
    let kept = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    assert_eq!(unpacked(tree.join("usr/share/man/man1/scimitar.1.gz")), kept("docs/scimitar.1"));
    assert_eq!(unpacked(doc.join("changelog.gz")), kept("CHANGELOG.md"));
    let schema = fs::read_to_string(tree.join("usr/share/scimitar/scimitar.schema.json")).unwrap();
    assert_eq!(schema, kept("docs/scimitar.schema.json"));
    let licence = kept("LICENSE-MIT");
    let copyright = fs::read_to_string(doc.join("copyright")).unwrap();
    for line in licence.lines().skip(2).filter(|line| !line.is_empty()) {
        assert!(copyright.contains(&format!("\n {line}\n")), "{line}");
    }
}

/// What Debian's own checker says of its packages.
#[test]
fn lintian_has_neither_errors_nor_warnings() {
    let package = package();
    let unpacked = debian::root(&["lintian"]);
    let perl = unpacked.join("usr/lib/x86_64-linux-gnu/perl5");
    let versions = fs::read_dir(perl).unwrap().map(|entry| entry.unwrap().path());
    let libraries = versions.chain([unpacked.join("usr/share/perl5")]);
    let path = format!("{}:/usr/bin:/bin", unpacked.join("usr/bin").display());
    let said = run(debian::command(&unpacked, "usr/bin/lintian")
        .args(["--allow-root", "--no-cfg", "--fail-on", "error,warning"])
        .arg(&package)
        .env("PERL5LIB", std::env::join_paths(libraries).unwrap())
        .env("LINTIAN_BASE", unpacked.join("usr/share/lintian"))
        .env("PATH", path));
    assert_eq!(said, "");
}

/// A clean Debian in a folder of its own.
pub(crate) fn clean() -> tempfile::TempDir {
    let uid = run(Command::new("id").arg("--user"));
    assert_eq!(uid.trim(), "0", "this test needs root: it installs the package in a chroot");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mmdebstrap = debian::root(&["mmdebstrap"]).join("usr/bin/mmdebstrap");
    let script = root().join("tests/system/deb/root.sh");
    let tar = run(Command::new(script).arg(target.join("clean-debian")).arg(mmdebstrap));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // The devices are this machine's, mounted where something runs in there.
    run(Command::new("tar")
        .args(["--exclude=./dev/*", "-xf", tar.trim_end(), "-C"])
        .arg(folder.path()));
    folder
}

/// Runs a line of shell, for which `$0` is that folder, with mounts and processes that end with it.
pub(crate) fn inside_of(folder: &tempfile::TempDir, line: &str) -> String {
    let enter =
        format!("mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && {line}");
    run(Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &enter])
        .arg(folder.path())
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
}

#[test]
fn it_installs_runs_and_goes_on_a_clean_debian() {
    let folder = clean();
    let inside = folder.path().join("srv");
    let package = package();
    fs::copy(&package, inside.join(package.file_name().unwrap())).unwrap();
    // A Debian that is thrown away need not survive a power cut.
    fs::write(folder.path().join("etc/dpkg/dpkg.cfg.d/test"), "force-unsafe-io\n").unwrap();
    fs::copy(root().join("tests/system/deb/on_debian.sh"), inside.join("on_debian.sh")).unwrap();
    let said = inside_of(&folder, "exec chroot \"$0\" /bin/sh /srv/on_debian.sh");
    assert!(said.ends_with("\npassed\n"), "{said}");
}
