//! What comes with a release: the bill of materials, the licences, and that a build tells nothing of where
//! it was made.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs something in the project's folder, as a release does.
fn run(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).env("SOURCE_DATE_EPOCH", "1795320000");
    said(command.output().unwrap())
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn materials(what: &str) -> String {
    run("release/materials.py", &[what])
}

/// What cargo itself says that a build needs.
fn needed() -> BTreeSet<String> {
    let arguments = "tree --locked --all-features --edges normal,build --prefix none --format {p}";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let tree = run(env!("CARGO"), &arguments);
    let packages = tree.lines().map(|line| {
        let (name, version) = line.split_once(" v").unwrap();
        format!("{name}@{}", version.split(' ').next().unwrap())
    });
    packages.collect()
}

#[test]
fn the_bill_of_materials_has_every_package() {
    let text = materials("bom");
    assert_eq!(text, materials("bom"), "the same commit gives the same bytes");
    let bom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    assert_eq!(bom["metadata"]["timestamp"], "2026-11-22T04:00:00Z");
    let own = &bom["metadata"]["component"];
    assert_eq!(
        (&own["name"], &own["version"]),
        (&"scimitar".into(), &env!("CARGO_PKG_VERSION").into())
    );
    let all: Vec<&Value> = bom["components"].as_array().unwrap().iter().chain([own]).collect();
    let named = |one: &&Value| {
        let purl = one["purl"].as_str().unwrap();
        purl.strip_prefix("pkg:cargo/").map(str::to_owned)
    };
    let listed: BTreeSet<String> = all.iter().filter_map(named).collect();
    assert_eq!(listed, needed());
    for one in &all {
        let purl = one["purl"].as_str().unwrap();
        let from_registry = purl.starts_with("pkg:cargo/") && one["name"] != "scimitar";
        assert_eq!(one["hashes"][0]["content"].is_string(), from_registry, "{purl}");
        let licence = &one["licenses"][0];
        assert!(
            licence["expression"].is_string() || licence["license"]["name"].is_string(),
            "{purl}"
        );
    }
    // What crates bring along and compile, and what the compiler links in.
    for name in ["sqlite", "aws-lc", "glibc", "libgcc", "rust-std"] {
        let one = all.iter().find(|one| one["name"] == name);
        let version = one.unwrap_or_else(|| panic!("{name}"))["version"].as_str().unwrap();
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{name} {version}");
    }
    // With what the same bytes are made again.
    let tools = bom["metadata"]["properties"].as_array().unwrap();
    for tool in ["rustc", "cc", "libc"] {
        let name = format!("scimitar:built-with:{tool}");
        let one = tools.iter().find(|one| one["name"] == name.as_str());
        assert!(one.is_some_and(|one| one["value"] != ""), "{tool}: {tools:?}");
    }
    let refs: BTreeSet<&str> = all.iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
    for dependency in bom["dependencies"].as_array().unwrap() {
        let on = dependency["dependsOn"].as_array().unwrap().iter();
        for one in on.chain([&dependency["ref"]]) {
            assert!(refs.contains(one.as_str().unwrap()), "{one} is no component");
        }
    }
}

#[test]
fn the_documents_of_a_release_are_of_this_version() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let changelog = read("CHANGELOG.md");
    let newest = changelog
        .lines()
        .find(|line| line.starts_with("## [") && *line != "## [Unreleased]")
        .unwrap();
    assert!(newest.starts_with(&format!("## [{version}] - ")), "{newest}");
    let chart = read("charts/scimitar/Chart.yaml");
    for key in ["version", "appVersion"] {
        let wanted = format!("{key}: {version}");
        assert!(chart.lines().any(|line| line == wanted), "{key}: {chart}");
    }
    let (minor, _) = version.rsplit_once('.').unwrap();
    let supported = format!("| {minor} (its newest release) | yes | yes |");
    assert!(read("SECURITY.md").lines().any(|line| line == supported), "{supported}");
    let upgrade = format!(" to {minor}");
    let notes = |line: &str| line.starts_with("## From ") && line.ends_with(&upgrade);
    assert!(read("docs/upgrade.md").lines().any(notes), "no notes on the way to {minor}");
}

/// One licence of those that a package may be used under is among those that `deny.toml` allows.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    expression
        .replace(['(', ')'], "")
        .split(" AND ")
        .all(|choice| choice.split(" OR ").any(|licence| allowed.contains(licence.trim())))
}

#[test]
fn every_package_has_its_licence_and_it_is_allowed() {
    let deny = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let (_, list) = deny.split_once("allow = [").unwrap();
    let list = list.split(']').next().unwrap();
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let text = materials("licences");
    let (tables, texts) = text.split_once("\n## Text 1\n").unwrap();
    let (table, linked) = tables.split_once("\n## What the compiler links in\n").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len() + 1, needed().len(), "all but our own");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(is_allowed(cells[1], &allowed), "{row}");
        assert!(!cells[2].is_empty(), "{row}");
    }
    assert!(texts.contains("Permission is hereby granted") && texts.contains("Apache License"));
    // What the compiler links in is under other licences; the text of each that asks for it is there.
    for row in [" | LGPL-2.1-or-later | [", " WITH GCC-exception-3.1 | ", " | MIT OR Apache-2.0 | "]
    {
        assert!(linked.contains(row), "{row}: {linked}");
    }
    assert!(texts.contains("GNU LESSER GENERAL PUBLIC LICENSE"));
}

#[test]
fn the_same_source_in_two_folders_makes_the_same_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let source =
        "fn main() { println!(\"{} {:?}\", file!(), std::env::args().nth(9).unwrap()); }\n";
    let built = ["a", "another-folder"].map(|name| {
        let folder = scratch.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("main.rs");
        std::fs::write(&file, source).unwrap();
        let mut command = Command::new(root().join("release/rustc"));
        command.arg(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.arg(&file).args(["--edition", "2024", "-g", "-o"]).arg(folder.join("program"));
        said(command.env("SCIMITAR_ROOT", &folder).output().unwrap());
        std::fs::read(folder.join("program")).unwrap()
    });
    assert!(built[0] == built[1], "the bytes differ");
    let told = scratch.path().to_str().unwrap().as_bytes();
    assert!(
        !built[0].windows(told.len()).any(|window| window == told),
        "it tells where it was made"
    );
}

/// A build script that asks for a folder's commit, run as cargo runs it.
struct BuildScript {
    scratch: tempfile::TempDir,
}

impl BuildScript {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        command.arg(root().join("build.rs")).args(["--edition", "2024", "-o"]);
        said(command.arg(scratch.path().join("script")).output().unwrap());
        Self { scratch }
    }

    /// A new folder with a source in it.
    fn folder(&self, name: &str) -> std::path::PathBuf {
        let folder = self.scratch.path().join(name);
        std::fs::create_dir_all(folder.join("src")).unwrap();
        std::fs::create_dir_all(folder.join("release")).unwrap();
        std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
        std::fs::copy(root().join(".gitattributes"), folder.join(".gitattributes")).unwrap();
        // As it is before `git archive` fills it in.
        std::fs::write(folder.join("release/revision"), "$Format:%H$\n").unwrap();
        folder
    }

    /// All that it tells cargo.
    fn says(&self, folder: &Path, profile: &str, environment: &[(&str, &str)]) -> String {
        let mut command = Command::new(self.scratch.path().join("script"));
        command.current_dir(folder).env_remove("SCIMITAR_REVISION").env("PROFILE", profile);
        said(command.envs(environment.iter().copied()).output().unwrap())
    }

    /// The revision that it hands to the program.
    fn revision(&self, folder: &Path, profile: &str, environment: &[(&str, &str)]) -> String {
        let said = self.says(folder, profile, environment);
        let mut told =
            said.lines().filter_map(|line| line.strip_prefix("cargo:rustc-env=SCIMITAR_REVISION="));
        let revision = told.next().unwrap().to_owned();
        assert_eq!(told.next(), None, "{said}");
        revision
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "commit.gpgsign=false",
    ]);
    said(command.args(arguments).current_dir(folder).output().unwrap()).trim().to_owned()
}

#[test]
fn a_build_names_the_commit_of_its_checkout() {
    let script = BuildScript::new();
    let folder = script.folder("checkout");
    git(&folder, &["init", "--quiet", "--initial-branch", "main"]);
    git(&folder, &["add", "--all"]);
    git(&folder, &["commit", "--quiet", "--message", "one"]);
    let head = git(&folder, &["rev-parse", "HEAD"]);
    assert_eq!(script.revision(&folder, "release", &[]), head);
    // Another commit is seen, and so is a change of the source.
    let said = script.says(&folder, "release", &[]);
    for watched in [".git/HEAD", ".git/refs/heads/main", "src"] {
        assert!(said.contains(&format!("cargo:rerun-if-changed={watched}\n")), "{watched}: {said}");
    }
    // Every path that it watches is there: cargo takes one that is not for changed, each time.
    for path in said.lines().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed=")) {
        let is_source = ["build.rs", "Cargo.toml", "Cargo.lock"].contains(&path);
        assert!(is_source || folder.join(path).exists(), "{path}");
    }
    std::fs::write(folder.join("src/main.rs"), "fn main() { panic!() }\n").unwrap();
    assert_eq!(script.revision(&folder, "release", &[]), format!("{head}-dirty"));
    // A file that git does not know changes nothing that was committed.
    git(&folder, &["checkout", "--quiet", "."]);
    std::fs::write(folder.join("notes.txt"), "later\n").unwrap();
    assert_eq!(script.revision(&folder, "release", &[]), head);
    // A debug build is not compiled again for each commit.
    let said = script.says(&folder, "debug", &[]);
    assert!(!said.contains(".git") && said.contains("SCIMITAR_REVISION=unknown\n"), "{said}");
}

#[test]
fn a_build_without_git_names_its_commit_or_none() {
    let script = BuildScript::new();
    let folder = script.folder("plain");
    let without = [("PATH", "/nonexistent")];
    assert_eq!(script.revision(&folder, "release", &without), "unknown");
    let told = [("PATH", "/nonexistent"), ("SCIMITAR_REVISION", "0.2.0-1.fc42")];
    assert_eq!(script.revision(&folder, "release", &told), "0.2.0-1.fc42");
    // Nothing that is no name gets into a metric's label.
    let told = [("PATH", "/nonexistent"), ("SCIMITAR_REVISION", "a\"} 1")];
    assert_eq!(script.revision(&folder, "release", &told), "unknown");
    // A source that lies in somebody else's checkout is not of that one's commit.
    git(script.scratch.path(), &["init", "--quiet"]);
    let other = ["commit", "--quiet", "--allow-empty", "--message", "another project"];
    git(script.scratch.path(), &other);
    assert_eq!(script.revision(&folder, "release", &[]), "unknown");
    // `git archive` says it to whoever unpacks it.
    git(&folder, &["init", "--quiet"]);
    git(&folder, &["add", "--all"]);
    git(&folder, &["commit", "--quiet", "--message", "one"]);
    let head = git(&folder, &["rev-parse", "HEAD"]);
    let unpacked = script.scratch.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let archive = script.scratch.path().join("source.tar");
    git(&folder, &["archive", "--output", archive.to_str().unwrap(), "HEAD"]);
    said(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&unpacked).output().unwrap());
    for profile in ["release", "debug"] {
        assert_eq!(script.revision(&unpacked, profile, &without), head, "{profile}");
    }
}
