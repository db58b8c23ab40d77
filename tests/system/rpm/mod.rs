//! The RPM package: built from the binary of this test, looked into by `rpm`, and installed with a database of its
//! own into a root of its own, which is a clean Debian: an RPM distribution cannot be had here.

#![expect(clippy::unwrap_used, reason = "a test ends where what it needs is not there")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use scimitar_test_support::debian;

use super::{
    deb::{clean, inside_of, root, run},
    systemd::analyze,
};

/// Debian's `rpm` and `rpmbuild`, in a folder that can be put in front of the others.
fn tools() -> tempfile::TempDir {
    let debian = debian::root(&["rpm"]);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for name in ["rpm", "rpmbuild"] {
        let at = debian.display();
        let text = format!(
            "#!/bin/sh\nexport LD_LIBRARY_PATH={at}/usr/lib/x86_64-linux-gnu RPM_CONFIGDIR={at}/usr/lib/rpm\n\
             exec {at}/usr/bin/{name} \"$@\"\n"
        );
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

/// Builds the package into a folder; quickly, since its size is of no interest here.
fn build(tools: &Path, folder: &Path, umask: &str, zone: &str, release: &str) -> PathBuf {
    let line = format!("umask {umask}; exec \"$0\" \"$@\"");
    let said = run(Command::new("bash")
        .args(["-c", &line])
        .arg(root().join("packaging/rpm/build.sh"))
        .args([env!("CARGO_BIN_EXE_scimitar").as_ref(), folder.as_os_str()])
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display()))
        .env("TZ", zone)
        .env("RPM_RELEASE", release)
        .env("SOURCE_DATE_EPOCH", "1790000000")
        .env("RPM_PAYLOAD", "w1.gzdio"));
    PathBuf::from(said.lines().last().unwrap())
}

/// What `rpm` answers about a package.
fn ask(tools: &Path, package: &Path, what: &[&str]) -> String {
    run(Command::new(tools.join("rpm")).arg("-qp").args(what).arg(package))
}

#[test]
fn the_same_binary_gives_the_same_rpm() {
    let (tools, folder) = (tools(), tempfile::tempdir().unwrap());
    let built = [("a", "022", "UTC"), ("b", "077", "Asia/Tokyo")].map(|(name, umask, zone)| {
        let into = folder.path().join(name);
        fs::create_dir(&into).unwrap();
        fs::read(build(tools.path(), &into, umask, zone, "1")).unwrap()
    });
    assert!(built[0] == built[1], "they differ");
}

#[test]
fn the_rpm_holds_what_it_should() {
    let (tools, folder) = (tools(), tempfile::tempdir().unwrap());
    let package = build(tools.path(), folder.path(), "022", "UTC", "1");
    let ask = |what: &[&str]| ask(tools.path(), &package, what);
    let version = env!("CARGO_PKG_VERSION").replace('-', "~");
    assert_eq!(
        ask(&["--queryformat", "%{NAME} %{VERSION} %{RELEASE}"]),
        format!("scimitar {version} 1")
    );
    let requires = ask(&["--requires"]);
    for needed in ["ca-certificates", "systemd", "/usr/sbin/useradd", "libc.so.6(GLIBC_2."] {
        assert!(requires.lines().any(|line| line.starts_with(needed)), "{needed}: {requires}");
    }
    let listed = ask(&[
        "--queryformat",
        "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]",
    ]);
    let own = |path: &str| match path {
        "/etc/scimitar" => "drwxr-x--- root:scimitar".to_owned(),
        "/var/lib/scimitar" | "/var/log/scimitar" => "drwx------ scimitar:scimitar".to_owned(),
        "/usr/bin/scimitar" => "-rwxr-xr-x root:root".to_owned(),
        _ => String::new(),
    };
    let mut paths = Vec::new();
    for line in listed.lines() {
        let (rights, path) = line.rsplit_once(' ').unwrap();
        let wanted = own(path);
        let is_plain = ["drwxr-xr-x root:root", "-rw-r--r-- root:root"].contains(&rights);
        assert!(if wanted.is_empty() { is_plain } else { rights == wanted }, "{line}");
        paths.push(path);
    }
    for path in [
        "/etc/scimitar",
        "/usr/bin/scimitar",
        "/usr/lib/systemd/system/scimitar.service",
        "/usr/lib/systemd/system/scimitar.service.d/10-package.conf",
        "/usr/lib/systemd/system/scimitar-once.timer",
        "/usr/lib/systemd/system/scimitar@.service",
        "/usr/lib/sysusers.d/scimitar.conf",
        "/usr/share/bash-completion/completions/scimitar",
        "/usr/share/doc/scimitar/CHANGELOG.md",
        "/usr/share/doc/scimitar/examples/scimitar.toml",
        "/usr/share/fish/vendor_completions.d/scimitar.fish",
        "/usr/share/licenses/scimitar/LICENSE-MIT",
        "/usr/share/man/man1/scimitar.1.gz",
        "/usr/share/scimitar/scimitar.schema.json",
        "/usr/share/zsh/site-functions/_scimitar",
        "/var/lib/scimitar",
        "/var/log/scimitar",
    ] {
        assert!(paths.contains(&path), "{path}: {listed}");
    }
    // Nothing of the folder that it was built in, nor of this machine.
    let said = ask(&["--info"]);
    assert!(said.contains("Build Host  : scimitar\n"), "{said}");
    // Configuration, ledger and logs are nobody's to delete: no scriptlet names a removal.
    let scripts = ask(&["--scripts"]);
    for kind in ["preinstall", "postinstall", "preuninstall", "postuninstall"] {
        assert!(scripts.contains(&format!("{kind} scriptlet")), "{kind}: {scripts}");
    }
    assert!(!scripts.contains("rm ") && !scripts.contains("userdel"), "{scripts}");
}

#[test]
fn the_rpm_installs_upgrades_and_goes_from_a_root_of_its_own() {
    let (tools, clean) = (tools(), clean());
    let srv = clean.path().join("srv");
    for release in ["1", "2"] {
        build(tools.path(), &srv, "022", "UTC", release);
    }
    let script = root().join("tests/system/rpm/in_root.sh");
    let line =
        format!("exec \"{}\" \"{}\" \"$0\"", script.display(), tools.path().join("rpm").display());
    let said = inside_of(&clean, &line);
    assert!(said.ends_with("\npassed\n"), "{said}");
}

#[test]
fn the_units_of_the_rpm_are_right() {
    let (tools, folder) = (tools(), tempfile::tempdir().unwrap());
    let package = build(tools.path(), folder.path(), "022", "UTC", "1");
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let archive = debian::root(&["rpm"]).join("usr/bin/rpm2archive");
    let mut unpack = debian::command(&debian::root(&["rpm"]), "usr/bin/rpm2archive");
    assert!(archive.exists());
    unpack.env("RPM_CONFIGDIR", debian::root(&["rpm"]).join("usr/lib/rpm"));
    run(unpack.arg(&package).current_dir(folder.path()));
    let made = format!("{}.tgz", package.display());
    run(Command::new("tar").arg("-xf").arg(made).arg("-C").arg(&tree));
    // systemd-analyze looks for the program where the unit says, which is not on this machine.
    let units = tree.join("usr/lib/systemd/system");
    let program = tree.join("usr/bin/scimitar").display().to_string();
    for name in ["scimitar.service", "scimitar-once.service", "scimitar@.service"] {
        let path = units.join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("/usr/local") && text.contains("/usr/bin/scimitar "), "{name}");
        fs::write(&path, text.replace("/usr/bin/scimitar", &program)).unwrap();
    }
    for unit in [
        "scimitar.service",
        "scimitar-once.service",
        "scimitar-once.timer",
        "scimitar@acme.service",
    ] {
        if unit == "scimitar@acme.service" {
            fs::copy(units.join("scimitar@.service"), units.join(unit)).unwrap();
        }
        analyze::is_right(&units, unit, "in the package");
    }
}
