//! `[metrics] textfile`: what a one-shot leaves for node_exporter's textfile collector.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::Duration,
};

use nix::fcntl::OFlag;

/// node_exporter runs as another user and has to read it; there is no secret in it.
const MODE: u32 = 0o644;

/// What the names of temporary files end in.
const END: &str = ".tmp";

/// Writing takes moments: a temporary file so much older than a new one is nobody's any more.
const LEFT_BEHIND: Duration = Duration::from_secs(600);

/// Writes the file so that a reader sees the old text or the new one, never a part of either.
///
/// # If the answer is lost
/// The file holds the old text or the new one; the next run writes it anew.
///
/// # Errors
/// When the folder is not there or cannot be written, or what is there is no file; it is then as it
/// was.
pub fn write_textfile(path: &Path, text: &str) -> io::Result<()> {
    // A rename would put a file in the place of a device, for every program of the machine.
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file; it was left unchanged",
        ));
    }
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a name")
    })?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    // The collector reads *.prom: the temporary name must not end so. The process id keeps two
    // runs apart.
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}{END}", std::process::id()));
    let temporary = folder.join(temporary);
    let written = fill(&temporary, text)
        .map(|()| sweep(folder, name, &temporary))
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // It is a copy of what could not be put in place; that it may stay is no further loss.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Gives every series a further label, behind those that it has: several files in one folder must not
/// hold the same series, or their reader drops all but one.
#[must_use]
pub fn labelled(text: &str, label: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let more = format!("{label}=\"{value}\"");
    let mut all = String::with_capacity(text.len() * 2);
    for line in text.lines() {
        let labels = line.rsplit_once('}').filter(|_| !line.starts_with('#'));
        match (labels, line.split_once(' ')) {
            (Some((before, after)), _) => all.extend([before, ",", &more, "}", after]),
            (None, Some((name, after))) if !line.starts_with('#') => {
                all.extend([name, "{", &more, "} ", after]);
            }
            (None, _) => all.push_str(line),
        }
        all.push('\n');
    }
    all
}

/// Removes what killed runs left: temporary files of this name that are much older than the one
/// just written. Best effort: one that stays is in nobody's way and goes next time.
fn sweep(folder: &Path, name: &OsStr, written: &Path) {
    let modified = |path: &Path| fs::symlink_metadata(path).and_then(|meta| meta.modified());
    let Ok(now) = modified(written) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let old = || {
            let at = modified(&path).ok()?;
            now.duration_since(at).ok().filter(|age| *age > LEFT_BEHIND)
        };
        if is_temporary(&entry.file_name(), name) && old().is_some() {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether it is `.NAME.PID.tmp`.
fn is_temporary(file: &OsStr, name: &OsStr) -> bool {
    let id = file
        .as_encoded_bytes()
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_prefix(name.as_encoded_bytes()))
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(END.as_bytes()));
    id.is_some_and(|id| !id.is_empty() && id.iter().all(u8::is_ascii_digit))
}

fn fill(temporary: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(MODE)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(temporary)?;
    // The process' umask keeps others out of all files; this one is for them.
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn what_is_no_regular_file_is_never_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.prom");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let refused = write_textfile(&path, "a 1\n").unwrap_err();
        assert!(refused.to_string().contains("not a regular file"), "{refused}");
        assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(names(folder.path()), ["metrics.prom"]);
    }

    #[test]
    fn every_series_gets_the_label_and_nothing_else_does() {
        let text = "# HELP a What it {says}.\n# TYPE a gauge\na 1\na_b{c=\"} {\",d=\"e f\"} -2.5\n";
        assert_eq!(
            labelled(text, "instance_name", "a\"b"),
            "# HELP a What it {says}.\n# TYPE a gauge\na{instance_name=\"a\\\"b\"} 1\n\
             a_b{c=\"} {\",d=\"e f\",instance_name=\"a\\\"b\"} -2.5\n"
        );
    }

    #[test]
    fn the_file_is_replaced_whole_and_readable_by_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scimitar.prom");
        write_textfile(&path, "a 1\nb 2\n").unwrap();
        write_textfile(&path, "a 2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a 2\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
        assert_eq!(names(folder.path()), ["scimitar.prom"]);
    }

    #[test]
    fn a_failure_leaves_what_was_there_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scimitar.prom");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), "").unwrap();
        write_textfile(&path, "a 1\n").unwrap_err();
        assert_eq!(names(folder.path()), ["scimitar.prom"]);
        assert_eq!(names(&path), ["kept"]);
        write_textfile(&folder.path().join("absent/x.prom"), "").unwrap_err();
        write_textfile(Path::new("/"), "").unwrap_err();
    }

    #[test]
    fn what_killed_runs_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.prom");
        let old = [".x.prom.123.tmp", ".x.prom.4.tmp"];
        let kept = [".x.prom.tmp", ".y.prom.123.tmp", ".x.prom.a1.tmp", "x.prom.123.tmp"];
        for name in old.into_iter().chain(kept) {
            let file = File::create(folder.path().join(name)).unwrap();
            let long_ago = file.metadata().unwrap().modified().unwrap() - LEFT_BEHIND * 2;
            file.set_modified(long_ago).unwrap();
        }
        // Somebody else's that is being written now.
        fs::write(folder.path().join(".x.prom.9.tmp"), "").unwrap();
        write_textfile(&path, "a 1\n").unwrap();
        let mut left = names(folder.path());
        left.sort();
        let mut wanted = [&kept[..], &[".x.prom.9.tmp", "x.prom"]].concat();
        wanted.sort_unstable();
        assert_eq!(left, wanted);
    }

    #[test]
    fn a_link_in_a_shared_folder_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("x.prom"), folder.path().join("victim"));
        fs::write(&victim, "kept").unwrap();
        let temporary = format!(".x.prom.{}.tmp", std::process::id());
        std::os::unix::fs::symlink(&victim, folder.path().join(temporary)).unwrap();
        write_textfile(&path, "a 1\n").unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    }
}
