//! The image archive of a release, which no builder made: read by other people's tools, and the same image as
//! `container/build.sh` makes.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use super::debian;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The root of the image, with a program of these tests in it.
fn image_root(folder: &Path) -> PathBuf {
    let root_of_image = folder.join("root");
    run(Command::new(root().join("container/build.sh"))
        .args(["--with-libraries", "--root"])
        .arg(&root_of_image)
        .arg(env!("CARGO_BIN_EXE_scimitar")));
    root_of_image
}

fn archive(image: &Path, to: &Path, epoch: &str) {
    run(Command::new(root().join("release/oci.py"))
        .args([image, to])
        .args([
            "--version",
            env!("CARGO_PKG_VERSION"),
            "--revision",
            "3bba508e94f1",
            "--level",
            "1",
        ])
        .env("SOURCE_DATE_EPOCH", epoch));
}

/// Path, kind, rights, owner and content's length of everything in a folder.
fn contents(folder: &Path) -> BTreeMap<String, (bool, u32, u32, u64)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        for entry in fs::read_dir(one).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            let length = if data.is_dir() { 0 } else { data.len() };
            found.insert(name, (data.is_dir(), data.mode() & 0o7777, data.uid(), length));
            if data.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

#[test]
fn other_tools_read_the_archive_as_the_same_image() {
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let image = image_root(scratch.path());
    let first = scratch.path().join("first.tar");
    archive(&image, &first, "1790000000");
    // The same again, from files with other times.
    run(Command::new("find").arg(&image).args(["-exec", "touch", "-h", "-d", "@1", "{}", "+"]));
    let second = scratch.path().join("second.tar");
    archive(&image, &second, "1790000000");
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap(), "they differ");

    let tools = debian::root(&["skopeo", "umoci"]);
    let source = format!("oci-archive:{}", first.display());
    let inspect = |raw: &[&str]| -> Value {
        let mut skopeo = debian::command(&tools, "usr/bin/skopeo");
        serde_json::from_str(&run(skopeo.arg("inspect").args(raw).arg(&source))).unwrap()
    };
    let said = inspect(&[]);
    assert_eq!((&said["Os"], &said["Layers"][1].is_string()), (&json!("linux"), &true), "{said}");
    assert_eq!(said["Created"], "2026-09-21T14:13:20Z");
    assert_eq!(said["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["Labels"]["org.opencontainers.image.revision"], "3bba508e94f1");
    let config = inspect(&["--config"])["config"].clone();
    // As the Containerfile has it.
    let containerfile = fs::read_to_string(root().join("container/Containerfile")).unwrap();
    for (instruction, value) in [
        ("USER", config["User"].as_str().unwrap().to_owned()),
        ("WORKDIR", config["WorkingDir"].as_str().unwrap().to_owned()),
        ("ENV", config["Env"][0].as_str().unwrap().to_owned()),
        ("STOPSIGNAL", config["StopSignal"].as_str().unwrap().to_owned()),
        ("ENTRYPOINT", config["Entrypoint"].to_string()),
        ("CMD", config["Cmd"].to_string()),
    ] {
        let line = format!("\n{instruction} {value}\n");
        assert!(containerfile.contains(&line), "{line}");
    }

    // Copied as a registry would take it, and unpacked as a runtime does.
    let layout = scratch.path().join("layout");
    let target = format!("oci:{}:copied", layout.display());
    let mut copy = debian::command(&tools, "usr/bin/skopeo");
    run(copy.args(["--insecure-policy", "copy", &source, &target]));
    let bundle = scratch.path().join("bundle");
    let mut unpack = debian::command(&tools, "usr/bin/umoci");
    let is_root = nix::unistd::geteuid().is_root();
    unpack.arg("unpack").args((!is_root).then_some("--rootless"));
    run(unpack.arg("--image").arg(format!("{}:copied", layout.display())).arg(&bundle));
    let (made, unpacked) = (contents(&image), contents(&bundle.join("rootfs")));
    assert_eq!(made.keys().collect::<Vec<_>>(), unpacked.keys().collect::<Vec<_>>());
    for (path, (is_folder, mode, owner, length)) in &unpacked {
        let is_state = path == "var/lib/scimitar";
        assert_eq!((*is_folder, *length), (made[path].0, made[path].3), "{path}");
        assert_eq!(mode & 0o022, 0, "{path} can be written by others");
        assert_eq!(mode & 0o7000, 0, "{path}");
        assert!(!is_root || *owner == if is_state { 65532 } else { 0 }, "{path}: {owner}");
    }
    assert_eq!(unpacked["scimitar"].1, 0o755);
    assert_eq!(unpacked["var/lib/scimitar"].1, 0o700);
}
