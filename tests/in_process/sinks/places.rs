//! What a file's folder is in, and that one which is away is no empty place.

use std::{os::unix::fs::symlink, path::Path, process::Command};

use scimitar::{
    error::{Class, Code},
    sink::{
        Contents, Reading, Sink, Version,
        file::{FileTarget, Format},
    },
};

use super::{
    FileSite,
    sink_conformance::{Gate, assert_holds, delivery, promote},
    sink_in,
};

/// A mount that did not come up is no empty place, and nothing is made in its stead.
#[tokio::test]
async fn a_folder_that_vanishes_is_not_made_again() {
    let site = FileSite::new(Format::Raw, None);
    let sink = site.sink();
    let missing = sink.read().await.unwrap();
    assert!(matches!(missing.contents, Contents::Empty), "{missing:?}");
    assert_eq!(missing.version.0, Version::MISSING);
    assert!(!missing.version.is_of_something());
    let folder = site.path().parent().unwrap().to_owned();
    let container = missing.container.unwrap();
    assert_eq!(container.words, format!("the missing folder {}", folder.display()));
    assert!(container.strict);
    // Made for the first delivery, and only when that was what was seen.
    let absent = Version(Version::ABSENT.to_owned());
    let refused = sink.promote(&delivery(1), &absent, &Gate::open()).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed), "{refused}");
    assert!(!site.folder().exists());
    let version = sink.promote(&delivery(1), &missing.version, &Gate::open()).await.unwrap();
    let with_token = sink.read().await.unwrap();
    let there = with_token.container.clone().unwrap();
    assert!(there.id != container.id && !there.strict, "{there:?}");
    // It vanishes between the read and the write: with the token, or with an empty folder's state.
    std::fs::rename(site.folder(), site.dir.path().join("aside")).unwrap();
    let proof = sink.prove_writable(&with_token).await.unwrap_err();
    assert_eq!(proof.class, Class::Conflict, "nothing is minted for it: {proof}");
    for expected in [&version, &absent] {
        let refused = sink.promote(&delivery(2), expected, &Gate::open()).await.unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed), "{refused}");
        assert!(refused.detail.contains("a mount that is gone"), "{refused}");
        let words =
            "its folder existed when it was read and is missing now: Scimitar does not create it";
        assert!(refused.detail.starts_with(words), "{refused}");
        assert!(!refused.detail.contains("  "), "{refused}");
        assert!(!site.folder().exists(), "nothing is made in its place");
    }
    // It comes back while a first delivery thinks that it has to be made.
    std::fs::rename(site.dir.path().join("aside"), site.folder()).unwrap();
    let refused = sink.promote(&delivery(2), &missing.version, &Gate::open()).await.unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed), "{refused}");
    // Two first deliveries into one new folder do not hinder each other.
    std::fs::remove_file(site.path()).unwrap();
    sink.promote(&delivery(2), &missing.version, &Gate::open()).await.unwrap();
}

/// What lay in memory went with the machine or the pod: the folder is made again, and filled.
#[tokio::test]
async fn a_folder_in_memory_is_made_again() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let site = FileSite::new(Format::Raw, None);
    symlink(memory.path(), site.folder()).unwrap();
    let sink = site.sink();
    let missing = sink.read().await.unwrap();
    assert_eq!(missing.version.0, Version::MISSING);
    let before = missing.container.unwrap();
    assert_eq!((before.id.as_str(), before.strict), ("tmpfs", false));
    sink.promote(&delivery(1), &missing.version, &Gate::open()).await.unwrap();
    assert_eq!(sink.read().await.unwrap().container.unwrap().id, before.id);
    std::fs::remove_dir_all(site.path().parent().unwrap()).unwrap();
    let again = sink.read().await.unwrap();
    assert!(matches!(again.contents, Contents::Empty), "{again:?}");
    assert_eq!(again.container.unwrap().id, before.id);
    sink.promote(&delivery(1), &again.version, &Gate::open()).await.unwrap();
}

/// The same path on another file system is another container; memory that was emptied is the same.
#[tokio::test]
async fn a_place_is_known_by_its_file_system() {
    let site = FileSite::new(Format::Raw, None);
    let container = async || site.sink().read().await.unwrap().container.unwrap();
    std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
    let on_disk = container().await;
    let words = format!("the folder {} (", site.path().parent().unwrap().display());
    assert!(on_disk.words.starts_with(&words), "{on_disk:?}");
    // What is reached by a link lies where it leads.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::rename(site.folder(), site.dir.path().join("aside")).unwrap();
    std::fs::create_dir(memory.path().join("team")).unwrap();
    symlink(memory.path(), site.folder()).unwrap();
    let in_memory = container().await;
    assert_eq!(in_memory.id, "tmpfs");
    assert!(in_memory.words.ends_with(" (tmpfs)"), "{in_memory:?}");
    if !on_disk.words.ends_with("(tmpfs)") {
        assert_ne!(on_disk.id, in_memory.id);
    }
}

/// An empty folder in the place of an empty volume: the version is the same, the place is not.
#[tokio::test]
async fn a_write_to_another_container_than_was_read_is_refused() {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let site = FileSite::new(Format::Raw, None);
    let lead_to = |target: &Path| {
        let _ = std::fs::remove_file(site.folder());
        symlink(target, site.folder()).unwrap();
    };
    lead_to(disk.path());
    let sink = site.sink();
    let missing = sink.read().await.unwrap();
    assert_eq!(missing.version.0, Version::MISSING);
    if missing.container.as_ref().unwrap().id == "tmpfs" {
        return;
    }
    let both = [memory.path(), disk.path()];
    let is_refused = async |seen: &Reading| {
        let proof = sink.prove_writable(seen).await.unwrap_err();
        let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
        for fault in [proof, write] {
            assert_eq!((fault.class, fault.code), (Class::Conflict, Code::Changed), "{fault}");
            assert!(fault.detail.contains("(tmpfs)"), "it says what was read: {fault}");
        }
        let files = both.iter().flat_map(|folder| std::fs::read_dir(folder.join("team")));
        assert_eq!(files.flatten().count(), 0, "nothing is left in either");
    };
    // In memory the folder is missing, too, and is not made on the disk instead.
    lead_to(memory.path());
    let to_be_made = sink.read().await.unwrap();
    lead_to(disk.path());
    is_refused(&to_be_made).await;
    assert!(!disk.path().join("team").exists());
    // The folder is there in both, without the file in either.
    for folder in both {
        std::fs::create_dir(folder.join("team")).unwrap();
    }
    lead_to(memory.path());
    let empty = sink.read().await.unwrap();
    assert_eq!(empty.version.0, Version::ABSENT);
    lead_to(disk.path());
    is_refused(&empty).await;
    // Read again, it is what was read.
    promote(&sink, 1).await;
    // A folder that was missing may become any.
    let sink = site.sink();
    std::fs::remove_dir_all(disk.path().join("team")).unwrap();
    let missing = sink.read().await.unwrap();
    lead_to(memory.path());
    sink.prove_writable(&missing).await.unwrap();
    sink.promote(&delivery(1), &missing.version, &Gate::open()).await.unwrap();
}

const MOUNTED: &str = "SCIMITAR_TEST_MOUNTED";

/// With real mounts, in a mount namespace of its own; this test runs itself again in one.
#[test]
fn a_mount_that_comes_and_goes_is_told_from_the_folder_below_it() {
    let name = "sinks::places::a_mount_that_comes_and_goes_is_told_from_the_folder_below_it";
    if let Some(folder) = std::env::var_os(MOUNTED) {
        return with_mounts(Path::new(&folder));
    }
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let unshare = |program: &[&std::ffi::OsStr]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "--user"]).args(program);
        command
    };
    // Where no namespace can be had, there is nothing to be shown.
    let possible = unshare(&["true".as_ref()]).output();
    if !possible.is_ok_and(|done| done.status.success()) {
        return;
    }
    let again = unshare(&[std::env::current_exe().unwrap().as_os_str()])
        .args(["--exact", name, "--nocapture"])
        .env(MOUNTED, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{said}{}", String::from_utf8_lossy(&again.stderr));
    assert!(said.contains("1 passed") && said.contains("mounted twice"), "{said}");
}

fn with_mounts(dir: &Path) {
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        let done = Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let target = FileSite::new(Format::Raw, None).delivery();
    let folder = dir.join("tokens");
    std::fs::create_dir(&folder).unwrap();
    let sink = sink_in(&folder, FileTarget { file: "initech.token".into(), ..target });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = || runtime.block_on(sink.read()).unwrap();
    let below = read().container.unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let tmpfs = ["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), folder.as_os_str()];
        run("mount", &tmpfs);
        runtime.block_on(promote(&sink, 1));
        let mounted = read();
        assert_holds(&mounted, &delivery(1));
        seen.push((mounted.version, mounted.container.unwrap()));
        run("umount", &[folder.as_os_str()]);
        // The mount point alone: empty, and in another container than the token.
        let gone = read();
        assert!(matches!(gone.contents, Contents::Empty), "{gone:?}");
        assert_eq!(gone.container.as_ref(), Some(&below));
    }
    assert_eq!(seen[0], seen[1], "an emptied memory volume is the same container");
    assert_eq!(seen[0].1.id, "tmpfs");
    if below.id != "tmpfs" {
        assert_ne!(seen[0].1.id, below.id);
    }
    // A promote that was meant for the mount finds another version below it.
    let (version, _) = &seen[0];
    let refused = runtime.block_on(sink.promote(&delivery(2), version, &Gate::open())).unwrap_err();
    assert_eq!(refused.class, Class::Conflict, "{refused}");
    // The volume without a file is not the mount point without one.
    if below.id != "tmpfs" {
        run("mount", &["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), folder.as_os_str()]);
        let empty = read();
        assert_eq!(empty.version.0, Version::ABSENT);
        run("umount", &[folder.as_os_str()]);
        let (first, gate) = (delivery(1), Gate::open());
        let refused = sink.promote(&first, &empty.version, &gate);
        let refused = runtime.block_on(refused).unwrap_err();
        assert_eq!((refused.class, refused.code), (Class::Conflict, Code::Changed), "{refused}");
        assert!(!folder.join("initech.token").exists(), "the token is on the wrong disk");
    }
    let said = "mounted twice\n";
    std::io::Write::write_all(&mut std::io::stdout(), said.as_bytes()).unwrap();
}
