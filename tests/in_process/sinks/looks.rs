//! Mode, owner, group and access list of a file that was there before.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use scimitar::{
    error::{Class, Code},
    sink::{
        Sink,
        file::{FileTarget, Format},
    },
};

use scimitar_test_support::root::runs_as_root;

use super::{FileSite, sink_conformance::promote, sink_in};

const NOTE: &str = "user.note";

const ACCESS_LIST: &str = "system.posix_acl_access";

/// A list that lets account 4242 read beside owner (rw) and group (r), as acl(5) and Linux have it.
fn one_more_reader() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] = [
        (0x01, 6, u32::MAX),
        (0x02, 4, 4242),
        (0x04, 4, u32::MAX),
        (0x10, 4, u32::MAX),
        (0x20, 0, u32::MAX),
    ];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Sets an attribute; false where the file system has none.
fn set(path: &Path, name: &str, value: &[u8]) -> bool {
    match setxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(rustix::io::Errno::NOTSUP) => false,
        Err(errno) => panic!("{name}: {errno}"),
    }
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// Readers of a file that somebody made for them keep their rights where TOML says nothing of them.
#[tokio::test]
async fn an_existing_file_keeps_its_mode_owner_group_and_access_list() {
    let site = FileSite::new(Format::Raw, None);
    let delivery = |mode| FileTarget { mode, ..site.delivery() };
    let keeping = site.sink_of(delivery(None));
    std::fs::create_dir_all(site.path().parent().unwrap()).unwrap();
    let looks = || {
        let meta = std::fs::metadata(site.path()).unwrap();
        (meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    // A new one is for its owner alone.
    promote(&keeping, 1).await;
    assert_eq!(looks().0, 0o600);
    let set_mode = |mode| {
        std::fs::set_permissions(site.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set_mode(0o640);
    let root = nix::unistd::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(site.path(), Some(12345), Some(54321)).unwrap();
    }
    let before = looks();
    for generation in 2..=3 {
        let seen = keeping.read().await.unwrap();
        keeping.prove_writable(&seen).await.unwrap();
        promote(&keeping, generation).await;
        assert_eq!(looks(), before);
        assert_eq!(keeping.caveat(), None);
    }
    // Users' own attributes and the access list, where the file system has them.
    if set(&site.path(), NOTE, b"theirs") && set(&site.path(), ACCESS_LIST, &one_more_reader()) {
        promote(&keeping, 4).await;
        assert_eq!(looks(), before);
        assert_eq!(get(&site.path(), NOTE).as_deref(), Some(&b"theirs"[..]));
        assert_eq!(get(&site.path(), ACCESS_LIST), Some(one_more_reader()));
        // A mode that is named takes the list away, which is told before.
        let naming = site.sink_of(delivery(Some(0o640)));
        naming.read().await.unwrap();
        let told = naming.caveat().unwrap();
        assert!(told.contains("access list (ACL)") && told.contains("`mode`"), "{told}");
        promote(&naming, 5).await;
        assert_eq!(get(&site.path(), ACCESS_LIST), None);
        naming.read().await.unwrap();
        assert_eq!(naming.caveat(), None);
    }
    // What every user may read is closed unless that is meant, and told before.
    set_mode(0o644);
    keeping.read().await.unwrap();
    let told = keeping.caveat().unwrap();
    assert!(told.contains("mode 0644") && told.contains("shared = true"), "{told}");
    promote(&keeping, 6).await;
    assert_eq!(looks().0, 0o640);
    set_mode(0o644);
    let meant = site.sink_of(FileTarget { shared: true, ..delivery(None) });
    promote(&meant, 7).await;
    assert_eq!((looks().0, meant.caveat()), (0o644, None));
}

/// A list that the folder gives to new files is none of the file that is replaced.
#[tokio::test]
async fn no_access_list_comes_with_the_folder() {
    let site = FileSite::new(Format::Raw, None);
    let folder = site.path().parent().unwrap().to_owned();
    std::fs::create_dir_all(&folder).unwrap();
    for mode in [None, Some(0o640)] {
        std::fs::write(site.path(), "tok_0.value").unwrap();
        std::fs::set_permissions(site.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        if !set(&folder, "system.posix_acl_default", &one_more_reader()) {
            return;
        }
        let sink = site.sink_of(FileTarget { mode, ..site.delivery() });
        for generation in 1..=2 {
            promote(&sink, generation).await;
            assert_eq!(get(&site.path(), ACCESS_LIST), None, "{mode:?}");
            assert_eq!(std::fs::metadata(site.path()).unwrap().mode() & 0o7777, 0o640);
        }
        rustix::fs::removexattr(&folder, "system.posix_acl_default").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::create_dir(&folder).unwrap();
    }
}

const OTHER_ACCOUNT: &str = "SCIMITAR_TEST_OTHER_ACCOUNT";

/// Who may not give a file away is told before a mint; root's own file needs no giving back. It takes
/// root to become another account, so this test runs itself again as one.
#[test]
fn a_file_of_another_account_is_not_taken_from_its_readers() {
    let name = "sinks::looks::a_file_of_another_account_is_not_taken_from_its_readers";
    if let Some(folder) = std::env::var_os(OTHER_ACCOUNT) {
        return as_another_account(Path::new(&folder));
    }
    if !runs_as_root("a file of another account") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    for (file, uid) in [("roots", 0), ("others", 60_002)] {
        let path = tokens.join(file);
        std::fs::write(&path, "tok_0.value").unwrap();
        std::os::unix::fs::chown(&path, Some(uid), Some(60_001)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    std::os::unix::fs::chown(&tokens, Some(60_001), Some(60_001)).unwrap();
    let told = as_another(dir.path(), name, &["--clear-groups"], (OTHER_ACCOUNT, &tokens));
    assert!(told.contains("1 passed") && told.contains("as another account"), "{told}");
    let meta = std::fs::metadata(tokens.join("roots")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o777), (60_001, 60_001, 0o640));
    assert_eq!(std::fs::metadata(tokens.join("others")).unwrap().uid(), 60_002);
}

fn as_another_account(tokens: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let open = |file: &str| {
        let delivery = FileSite::new(Format::Raw, None).delivery();
        sink_in(tokens, FileTarget { file: file.into(), mode: None, ..delivery })
    };
    let roots = open("roots");
    let seen = runtime.block_on(roots.read()).unwrap();
    runtime.block_on(roots.prove_writable(&seen)).unwrap();
    runtime.block_on(promote(&roots, 1));
    let others = open("others");
    let seen = runtime.block_on(others.read()).unwrap();
    let refused = runtime.block_on(others.prove_writable(&seen)).unwrap_err();
    assert_eq!((refused.class, refused.code), (Class::Terminal, Code::Io), "{refused}");
    assert!(refused.detail.contains("user 60002"), "{refused}");
    assert!(refused.detail.contains("set `owner`"), "{refused}");
    say("as another account");
}

fn say(text: &str) {
    std::io::Write::write_all(&mut std::io::stdout(), format!("{text}\n").as_bytes()).unwrap();
}

const GIVING_AWAY: &str = "SCIMITAR_TEST_GIVING_AWAY";

/// Who may give files away and nothing else gives all of it away: what is no longer one's own cannot
/// be given a mode or an access list.
#[test]
fn the_right_to_give_files_away_is_enough() {
    let name = "sinks::looks::the_right_to_give_files_away_is_enough";
    if let Some(folder) = std::env::var_os(GIVING_AWAY) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let delivery = FileSite::new(Format::Raw, None).delivery();
        let delivery = FileTarget { file: "theirs".into(), mode: None, ..delivery };
        let sink = sink_in(Path::new(&folder), delivery);
        let seen = runtime.block_on(sink.read()).unwrap();
        runtime.block_on(sink.prove_writable(&seen)).unwrap();
        runtime.block_on(promote(&sink, 1));
        return say("given away");
    }
    if !runs_as_root("a file that is given away") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let file = tokens.join("theirs");
    std::fs::write(&file, "tok_0.value").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let listed = set(&file, NOTE, b"theirs") && set(&file, ACCESS_LIST, &one_more_reader());
    std::os::unix::fs::chown(&file, Some(60_002), Some(60_003)).unwrap();
    std::os::unix::fs::chown(&tokens, Some(60_001), Some(60_001)).unwrap();
    // The old file's group lets it read that.
    let rights = ["--groups=60003", "--inh-caps=-all,+chown", "--ambient-caps=-all,+chown"];
    let told = as_another(dir.path(), name, &rights, (GIVING_AWAY, &tokens));
    assert!(told.contains("1 passed") && told.contains("given away"), "{told}");
    let meta = std::fs::metadata(&file).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (60_002, 60_003, 0o640));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), "tok_0.value");
    if listed {
        assert_eq!(get(&file, NOTE).as_deref(), Some(&b"theirs"[..]));
        assert_eq!(get(&file, ACCESS_LIST), Some(one_more_reader()));
    }
}

/// Runs one test of this program again as another account with these rights, which a variable tells
/// where to work; what it says.
fn as_another(scratch: &Path, name: &str, rights: &[&str], (key, value): (&str, &Path)) -> String {
    let test = scratch.join("test");
    std::fs::copy(std::env::current_exe().unwrap(), &test).unwrap();
    let again = Command::new("setpriv")
        .args(["--reuid=60001", "--regid=60001"])
        .args(rights)
        .arg(&test)
        .args(["--exact", name, "--nocapture"])
        .env(key, value)
        .current_dir("/")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success(), "{told}{}", String::from_utf8_lossy(&again.stderr));
    told
}
