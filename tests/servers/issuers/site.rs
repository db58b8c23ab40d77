//! A declared issuer, the folder that a configuration for it is in, and the program there.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use scimitar_test_support::{
    binary::{Call, Ended},
    issuers::{Api, Double, SECRET, declaration},
};

/// Where the secret is.
pub(crate) const SECRET_FILE: &str = "issuer-secret";

/// The double and the folder; what is in the folder goes with it.
pub(crate) struct Site {
    pub(crate) double: Double,
    folder: tempfile::TempDir,
}

impl Site {
    /// With the declaration that is shipped, after `change`, and a policy whose overlap ends soon.
    pub(crate) async fn start(api: Api, change: impl Fn(&Double, String) -> String) -> Self {
        let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
        let site = Self { double, folder };
        fs::create_dir(site.path("tokens")).unwrap();
        let secret = site.path(SECRET_FILE);
        fs::write(&secret, SECRET).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let kept = format!("file = \"{SECRET_FILE}\"");
        let text = declaration(&site.double, site.folder.path()).replace("env = \"ISSUER\"", &kept);
        let text = format!(
            "{}overlap = \"1s\"\nrevoke_after_use = false\n\
             [log]\naudit = \"audit.jsonl\"\n[metrics]\ntextfile = \"scimitar.prom\"\n",
            change(&site.double, text)
        );
        fs::write(site.path("scimitar.toml"), text).unwrap();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        let all: Vec<&str> =
            ["--config", "scimitar.toml"].into_iter().chain(arguments.iter().copied()).collect();
        Call::new(self.folder.path(), &all)
    }

    /// What the program did with its one connection.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let all: Vec<&str> = arguments.iter().copied().chain(["--output", "json"]).collect();
        self.call(&all).run().exits(0)
    }

    /// The name of its one connection.
    pub(crate) fn name(&self) -> &'static str {
        match self.double.api.file {
            "hcp-terraform" => "terraform",
            "confluent-cloud" => "confluent",
            other => other,
        }
    }

    /// What the one sink holds.
    pub(crate) fn file(&self) -> String {
        let mut files: Vec<_> = fs::read_dir(self.path("tokens"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|it| it == "token"))
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        fs::read_to_string(files.remove(0)).unwrap()
    }

    /// The values that the issuer has, oldest first.
    pub(crate) fn values(&self) -> Vec<String> {
        self.double.tokens().into_iter().map(|token| token.value).collect()
    }
}
