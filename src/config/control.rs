//! `[control]`: where the daemon serves commands.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::pieces::Pieces;
use crate::table::{Findings, Table, Value, source::Source, source::plain};

/// Turns it off.
const OFF: &str = "off";

/// The folder whose configurations have a socket without asking for one.
const INSTALLED: &str = "/etc/scimitar";

/// Where that is.
const DEFAULT: &str = "/run/scimitar/control.sock";

/// The longest path that the kernel takes for a socket.
const LONGEST: usize = 107;

/// Reads `[control]`; `None`: there is no socket.
pub(super) fn control(root: &Table<'_>) -> Option<PathBuf> {
    let table = root.get("control").and_then(|value| value.table("[control]"));
    let Some(table) = table else {
        let source = root.at().source();
        return by_default(source.folder(), &source.stem());
    };
    let socket = table.require("socket", &format!("\"{DEFAULT}\""));
    let socket = socket.and_then(|value| socket_path(&value));
    table.finish(&[]);
    socket
}

/// An installed configuration has one, in the folder that its unit makes: `scimitar.toml` is that of
/// scimitar.service, `acme.toml` that of scimitar@acme. Others may lie side by side, and need not be a
/// daemon's.
fn by_default(folder: &Path, stem: &str) -> Option<PathBuf> {
    let folder = (folder == Path::new(INSTALLED)).then_some(stem)?;
    Some(match folder {
        "scimitar" => DEFAULT.into(),
        instance => format!("/run/scimitar-{instance}/control.sock").into(),
    })
}

fn socket_path(value: &Value<'_>) -> Option<PathBuf> {
    let written = value.string()?;
    if written == OFF {
        return None;
    }
    let is_path = !written.starts_with(char::is_whitespace) && !written.ends_with('/');
    if written.is_empty() || written.contains('\0') || !is_path {
        value.refuse(
            "`socket` is not the path of a file",
            format!("write socket = \"{DEFAULT}\", or \"{OFF}\" for none"),
        );
        return None;
    }
    let path = value.at.source().path(written);
    if path.as_os_str().len() > LONGEST {
        value.refuse(
            format!("`socket` is longer than the {LONGEST} bytes that a socket's path can have"),
            "choose a shorter path",
        );
        return None;
    }
    Some(path)
}

/// The socket that a configuration file names, whatever else is wrong with it; a file that cannot be
/// read counts as one without `[control]`.
#[must_use]
pub fn control_socket(file: &Path) -> Option<PathBuf> {
    let Ok(source) = Source::read(file, 0) else {
        let (path, root) = (plain(file), Path::new("/"));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        return by_default(path.parent().unwrap_or(root), &stem);
    };
    let findings = Findings::default();
    // Very many connections have no part in it.
    let pieces = Pieces::of(&source);
    let document = pieces.as_ref().and_then(|pieces| DeTable::parse(&pieces.rest).ok());
    let document = document.unwrap_or_else(|| DeTable::parse_recoverable(source.text()).0);
    control(&Table::root(document.get_ref(), source.at(0), &findings))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_socket_is_found_before_and_behind_very_many_connections() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scimitar.toml");
        let many = "[[connections]]\nname = \"c\"\n".repeat(1_000);
        let control = "[control]\nsocket = \"/run/s/control.sock\"\n";
        for text in [format!("{control}{many}"), format!("{many}{control}")] {
            fs::write(&file, text).unwrap();
            assert_eq!(control_socket(&file), Some("/run/s/control.sock".into()));
        }
    }

    #[test]
    fn the_socket_is_found_in_a_file_with_errors_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scimitar.toml");
        let named = |text: &str| {
            fs::write(&file, text).unwrap();
            control_socket(&file)
        };
        assert_eq!(named("[control]\nsocket = \"/run/a.sock\"\n"), Some("/run/a.sock".into()));
        let relative = folder.path().join("b.sock");
        assert_eq!(named("nonsense = 1\n[control]\nsocket = \"b.sock\"\n"), Some(relative));
        assert_eq!(
            named("[control]\nsocket = \"/run/a.sock\"\nx = = 1\n"),
            Some("/run/a.sock".into())
        );
        assert_eq!(named("[control]\nsocket = \"off\"\n"), None);
        assert_eq!(named("[control]\nsocket = 7\n"), None);
        assert_eq!(named(""), None, "only an installed one has a default");
        assert_eq!(
            control_socket(Path::new("/etc/scimitar/acme.toml")),
            Some("/run/scimitar-acme/control.sock".into())
        );
        assert_eq!(by_default(Path::new(INSTALLED), "scimitar"), Some(DEFAULT.into()));
        assert_eq!(control_socket(Path::new("/nowhere/nope.toml")), None);
    }
}
