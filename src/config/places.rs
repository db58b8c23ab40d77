//! Where things lie in the file system: nothing twice in one place, nothing that must last on
//! memory.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    table::{At, Findings},
    token::ConnectionName,
};

/// What is in which place, and what kind of place it is.
pub(super) struct Places<'s> {
    taken: BTreeMap<OsString, Taken<'s>>,
    /// Places in services, by their full names.
    named: BTreeMap<String, At<'s>>,
    /// Folders by what they are called; thousands of files share a few. Texts are compared, not paths,
    /// which would be taken apart each time.
    folders: BTreeMap<OsString, Folder>,
    mounts: Mounts,
    /// Replicas on other machines work with the same records, and no file was said to be of one yet.
    replicas: bool,
}

struct Folder {
    /// As the file system knows it.
    real: PathBuf,
    /// Which mount it is on, where that does not last.
    volatile: Option<&'static str>,
}

enum Taken<'s> {
    By(&'static str),
    Delivery(At<'s>),
}

impl<'s> Places<'s> {
    /// Nothing is anywhere yet.
    pub(super) fn new(mounts: Mounts) -> Self {
        let (taken, named, folders) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { taken, named, folders, mounts, replicas: false }
    }

    /// The ledger is one that replicas on several machines can share.
    pub(super) fn are_of_replicas(&mut self) {
        self.replicas = true;
    }

    /// A file that is scimitar's own, and that no token may be delivered over.
    pub(super) fn reserve(&mut self, path: &Path, what: &'static str) {
        let place = self.place(path);
        self.taken.insert(place.into(), Taken::By(what));
    }

    /// The same for a file that must not be another of scimitar's own.
    pub(super) fn reserve_apart(
        &mut self,
        path: &Path,
        what: &'static str,
        at: At<'s>,
        findings: &Findings,
    ) {
        let place = OsString::from(self.place(path));
        if let Some(Taken::By(other)) = self.taken.get(&place) {
            findings.error(
                at,
                format!("{what} would overwrite {other}: {}", path.display()),
                "give it a file of its own",
            );
        } else {
            self.taken.insert(place, Taken::By(what));
        }
    }

    /// A file that a token is delivered to.
    pub(super) fn claim(&mut self, path: &Path, at: At<'s>, findings: &Findings) {
        let place = OsString::from(self.place(path));
        match self.taken.get(&place) {
            None => {
                self.taken.insert(place, Taken::Delivery(at));
                if std::mem::take(&mut self.replicas) {
                    findings.warning(
                        at,
                        format!(
                            "only the replica that rotates writes {}, on its own machine",
                            path.display()
                        ),
                        "with several replicas, deliver to a service that all of them reach, or to a \
                         folder that all of them mount",
                    );
                }
            }
            Some(Taken::Delivery(first)) => findings.error(
                at,
                format!("two deliveries go to one place: {}", path.display()),
                format!("the first is at {first:?}; give each its own file"),
            ),
            Some(Taken::By(what)) => findings.error(
                at,
                format!("a delivery would overwrite {what}: {}", path.display()),
                "give it a file of its own",
            ),
        }
    }

    /// A place in a service that a token is delivered to.
    pub(super) fn claim_named(&mut self, name: String, at: At<'s>, findings: &Findings) {
        if let Some(first) = self.named.get(&name) {
            findings.error(
                at,
                format!("two deliveries go to one place: {name}"),
                format!("the first is at {first:?}; give each a place of its own"),
            );
        } else {
            self.named.insert(name, at);
        }
    }

    /// Warns when what is at `path` would not survive a restart.
    pub(super) fn warn_if_volatile(
        &mut self,
        what: &str,
        path: &Path,
        at: At<'_>,
        findings: &Findings,
    ) {
        if let Some(kind) = self.volatile(path) {
            findings.warning(
                at,
                format!("{what} lies on {kind}: {}", path.display()),
                "move it to a disk that outlives the machine or the container",
            );
        }
    }

    /// Warns when none of a connection's files would survive a restart.
    pub(super) fn warn_if_all_volatile(
        &mut self,
        connection: &ConnectionName,
        paths: &[PathBuf],
        at: At<'_>,
        findings: &Findings,
    ) {
        let kinds: Option<Vec<_>> = paths.iter().map(|path| self.volatile(path)).collect();
        if let Some(kind) = kinds.as_ref().and_then(|kinds| kinds.first()) {
            findings.warning(
                at,
                format!("every sink of `{connection}` lies on {kind}"),
                "add a delivery to a durable sink: a token that is lost everywhere can only \
                 be replaced",
            );
        }
    }

    /// The path as the file system knows it, as far as it exists: links are followed, so that two
    /// names of one folder are one place.
    fn place(&mut self, path: &Path) -> PathBuf {
        match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => self.folder(folder).real.join(name),
            (_, _) => path.to_owned(),
        }
    }

    /// What kind of place that does not last `path` is on, in words.
    fn volatile(&mut self, path: &Path) -> Option<&'static str> {
        let place = self.place(path);
        if let Some(kind) = self.mounts.at(&place) {
            return kind.volatile();
        }
        path.parent().and_then(|folder| self.folder(folder).volatile)
    }

    fn folder(&mut self, folder: &Path) -> &Folder {
        let mounts = &self.mounts;
        self.folders.entry(folder.as_os_str().to_owned()).or_insert_with(|| {
            let real = real(folder);
            let volatile = mounts.volatile(&real);
            Folder { real, volatile }
        })
    }
}

fn real(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut here = path;
    loop {
        // One call for each folder that is missing; to follow the links takes one for each part of it.
        if fs::metadata(here).is_ok()
            && let Ok(real) = fs::canonicalize(here)
        {
            return missing.iter().rev().fold(real, |real, name| real.join(name));
        }
        let mut parts = here.components();
        let Some(last) = parts.next_back() else {
            return path.to_owned();
        };
        missing.push(last);
        here = parts.as_path();
    }
}

/// What is mounted where, and of what kind, by Linux's own list.
#[derive(Debug, Default)]
pub(super) struct Mounts(BTreeMap<OsString, Kind>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lasting,
    Memory,
    Overlay,
    EmptyDir,
}

impl Mounts {
    /// Asks the kernel; where that is not possible nothing is known and nothing is warned of.
    pub(super) fn read() -> Self {
        let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Reads the kernel's list: fields 4 and 5 are the root within the file system and the mount
    /// point, the file system's type is the first field after a lone `-` (proc(5)).
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (place, system) = line.split_once(" - ")?;
            let mut fields = place.split(' ').skip(3);
            let (root, point) = (fields.next()?, fields.next()?);
            let kind = match system.split(' ').next()? {
                // Kubernetes mounts a folder of the node's disk, which goes with the pod.
                _ if root.contains("/volumes/kubernetes.io~empty-dir/") => Kind::EmptyDir,
                "tmpfs" | "ramfs" => Kind::Memory,
                "overlay" => Kind::Overlay,
                _ => Kind::Lasting,
            };
            Some((unescaped(point).into(), kind))
        };
        // A later mount on the same point covers an earlier one.
        Self(text.lines().filter_map(line).collect())
    }

    /// What kind of place that does not last `path` is on, in words.
    fn volatile(&self, path: &Path) -> Option<&'static str> {
        path.ancestors().find_map(|point| self.at(point))?.volatile()
    }

    /// What is mounted right there.
    fn at(&self, point: &Path) -> Option<Kind> {
        self.0.get(point.as_os_str()).copied()
    }
}

impl Kind {
    fn volatile(self) -> Option<&'static str> {
        match self {
            Self::Lasting => None,
            Self::Memory => Some("a tmpfs, which a restart of the machine empties"),
            Self::Overlay => Some("an overlay, which is deleted with its container"),
            Self::EmptyDir => Some("an emptyDir, which is deleted with its pod"),
        }
    }
}

/// Space, tab, line end and backslash are written as `\040` and so on.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::source::Source;

    const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:25 / /run rw,nosuid - tmpfs tmpfs rw,mode=755
31 27 0:26 / /var/lib/box rw - overlay overlay rw,lowerdir=/a
32 27 254:0 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/d /data rw - ext4 /dev/vda rw
33 27 0:27 / /mnt/a\\040b rw - tmpfs tmpfs rw
34 30 254:1 / /run/kept rw - ext4 /dev/vdb rw
35 27 254:1 / /tmp rw - ext4 /dev/vdb rw
36 35 0:29 / /tmp rw - tmpfs tmpfs rw
";

    #[test]
    fn what_does_not_last_is_known_by_its_mount() {
        let mounts = Mounts::parse(MOUNTS);
        let word = |path: &str| {
            let words = mounts.volatile(Path::new(path))?;
            words.split([' ', ',']).nth(1)
        };
        assert_eq!(word("/run/scimitar/a.token"), Some("tmpfs"));
        assert_eq!(word("/run/kept/a.token"), None);
        assert_eq!(word("/runner/a.token"), None);
        assert_eq!(word("/var/lib/box/ledger.db"), Some("overlay"));
        assert_eq!(word("/data/ledger.db"), Some("emptyDir"));
        assert_eq!(word("/mnt/a b/c"), Some("tmpfs"));
        assert_eq!(word("/tmp/c"), Some("tmpfs"));
        assert_eq!(word("/var/lib/scimitar/ledger.db"), None);
    }

    #[test]
    fn a_warning_needs_every_sink_to_be_on_what_does_not_last() {
        let source = Source::made_up("");
        let findings = Findings::default();
        let mut places = Places::new(Mounts::parse(MOUNTS));
        let name = ConnectionName::try_new("one").unwrap();
        let on = |path: &str| PathBuf::from(path);
        let at = source.at(0);
        places.warn_if_all_volatile(&name, &[], at, &findings);
        places.warn_if_all_volatile(&name, &[on("/data/a"), on("/srv/a")], at, &findings);
        places.warn_if_volatile("the ledger", &on("/srv/l.db"), at, &findings);
        places.warn_if_volatile("the ledger", &on("/data/new/l.db"), at, &findings);
        places.warn_if_all_volatile(&name, &[on("/data/a"), on("/mnt/a b/a")], at, &findings);
        let (errors, warnings) = findings.into_lists();
        let words: Vec<_> = warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(errors, []);
        assert_eq!(
            words,
            [
                "the ledger lies on an emptyDir, which is deleted with its pod: /data/new/l.db",
                "every sink of `one` lies on an emptyDir, which is deleted with its pod",
            ]
        );
    }

    #[test]
    fn an_unreadable_list_warns_of_nothing() {
        for text in ["", "\n", "x", "1 2 3", " - ", "1 2 3 4 - tmpfs"] {
            assert_eq!(Mounts::parse(text).volatile(Path::new("/a")), None, "{text}");
        }
    }

    #[test]
    fn links_and_missing_folders_are_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        fs::create_dir(here.join("real")).unwrap();
        std::os::unix::fs::symlink("real", here.join("link")).unwrap();
        assert_eq!(real(&here.join("link/new/deep")), here.join("real/new/deep"));
        assert_eq!(real(&here.join("real")), here.join("real"));
    }
}
