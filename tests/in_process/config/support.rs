//! A folder to write configurations into, and `«`, which marks where a problem is expected.

use std::{collections::BTreeMap, fs, path::PathBuf};

use scimitar::config::{Config, Problem, Problems, load};

/// Everything that a connection needs but the connection.
pub(crate) const HEAD: &str = r#"[state]
url = "sqlite://ledger.db"
[providers.box]
type = "sandbox"
data_dir = "box"
[sinks.disk]
type = "file"
directory = "tokens"
"#;

/// A connection without a policy, to be followed by one.
pub(crate) const CONNECTION: &str = r#"[[connections]]
name = "one"
provider = "box"
connection_id = "con_okta000000000001"
deliver_to = [{ sink = "disk", file = "one.token" }]
"#;

/// A policy that is fine by itself.
pub(crate) const LIFETIME: &str = "token_lifetime = \"30d\"\n";

/// A kubeconfig whose context `prod` has a token.
pub(crate) const KUBECONFIG: &str = "kind: Config
clusters:
- name: c
  cluster: { server: 'https://k8s.example.com:6443' }
users:
- name: u
  user: { token: canary }
contexts:
- name: prod
  context: { cluster: c, user: u }
";

/// Where a problem is expected.
const MARK: char = '«';

/// A folder, an environment, and what is loaded from them.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
    pub(crate) env: BTreeMap<String, String>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), env: BTreeMap::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Writes a program with these permissions.
    pub(crate) fn program(&self, name: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, "#!/bin/sh\n");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    pub(crate) fn load(&self, text: &str) -> Result<Config, Problems> {
        let path = self.write("scimitar.toml", text);
        load(&path, &self.env)
    }

    /// The problems as `FILE:LINE:COLUMN: message | hint`, without the folder's own name.
    pub(crate) fn problems(&self, text: &str) -> Vec<String> {
        match self.load(text) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|problem| self.line(problem)).collect(),
        }
    }

    pub(crate) fn line(&self, problem: &Problem) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let place = match (problem.line, problem.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            _ => String::new(),
        };
        let hint = match &problem.hint {
            Some(hint) => format!(" | {hint}"),
            None => String::new(),
        };
        format!("{}{place}: {}{hint}", problem.file, problem.message).replace(&folder, "")
    }
}

/// The text without its mark, and where that was.
pub(crate) fn unmarked(text: &str) -> (String, usize, usize) {
    let (before, after) = text.split_once(MARK).expect("a mark");
    assert!(!after.contains(MARK), "one mark only");
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].chars().count() + 1;
    (format!("{before}{after}"), line, column)
}

/// Requires exactly one problem, at the mark, in these words.
#[track_caller]
pub(crate) fn refused(marked: &str, message: &str, hint: &str) {
    refused_in(&Bench::new(), marked, message, hint);
}

#[track_caller]
pub(crate) fn refused_in(bench: &Bench, marked: &str, message: &str, hint: &str) {
    let (text, line, column) = unmarked(marked);
    let hint = if hint.is_empty() { String::new() } else { format!(" | {hint}") };
    assert_eq!(
        bench.problems(&text),
        [format!("scimitar.toml:{line}:{column}: {message}{hint}")],
        "\n{text}"
    );
}

/// Requires no problem, and exactly these warnings.
#[track_caller]
pub(crate) fn accepted(text: &str, warnings: &[&str]) -> Config {
    let bench = Bench::new();
    let config = bench.load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let lines: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| bench.line(warning))
        // Where the test's own folder lies is not what is tested.
        .filter(|line| !line.contains(" lies on "))
        .collect();
    assert_eq!(lines, warnings, "\n{text}");
    config
}

/// A proxy that is written as its address.
pub(crate) fn proxy(url: &str) -> Option<scimitar::config::ProxyConfig> {
    Some(scimitar::config::ProxyConfig::Url(reqwest::Url::parse(url).unwrap()))
}
