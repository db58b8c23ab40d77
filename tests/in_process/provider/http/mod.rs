//! `type = "http"`: the issuers that `examples/providers` declares, through the same properties as every
//! provider and through rotations by the real program.

mod double;
mod issuers;
mod strict;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use scimitar::{
    clock::{Clock, SystemClock, SystemEntropy},
    config::{self, Config, HttpConfig},
    kind::Parts,
    provider::Provider,
    telemetry::metrics::Metrics,
    token::ConnectionId,
};
use scimitar_test_support::provider_conformance;
use serde_json::Value;

use self::{
    double::{Api, Double},
    issuers::SECRET,
    provider_conformance::{Mischief, Site, everything},
};

/// The declaration that is shipped, with the double in the place of the issuer.
pub(crate) fn text(double: &Double, folder: &Path) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/providers");
    let text = fs::read_to_string(path.join(double.api.file).with_extension("toml")).unwrap();
    let secret = format!("file = \"/etc/scimitar/{}\"", double.api.file);
    assert!(text.contains(&secret) && text.contains(double.api.host));
    text.replace(double.api.host, &double.url)
        .replace(&secret, "env = \"ISSUER\"")
        .replace("/var/lib/scimitar", &folder.display().to_string())
}

pub(crate) fn load(text: &str, folder: &Path) -> Result<Config, config::Problems> {
    let file = folder.join("scimitar.toml");
    fs::write(&file, text).unwrap();
    config::load(&file, &environment())
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("ISSUER".to_owned(), SECRET.to_owned())])
}

/// The provider of a configuration.
pub(crate) fn open(config: &Config) -> Arc<dyn Provider> {
    let (name, provider) = config.providers.iter().next().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = Parts {
        env: Arc::new(environment()),
        clock: Arc::clone(&clock),
        entropy: Arc::new(SystemEntropy),
        metrics: Metrics::try_new().unwrap(),
        http: HttpConfig::default(),
        request_timeout: Duration::from_secs(20),
    };
    let http = parts.client(&HttpConfig::default()).unwrap();
    let built = provider.build(name, &parts, http, provider.budget(&clock));
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| handle.block_on(built)).unwrap().provider
}

/// A double, and the configuration that leads to it.
struct Declared(Double, Config);

impl Declared {
    async fn start(api: Api) -> Self {
        let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
        let config = load(&text(&double, folder.path()), folder.path());
        Self(double, config.unwrap_or_else(|problems| panic!("{problems}")))
    }
}

#[async_trait]
impl Site for Declared {
    fn open(&self) -> Arc<dyn Provider> {
        open(&self.1)
    }

    fn connection(&self) -> ConnectionId {
        self.1.connections[0].key.connection.clone()
    }

    fn mischief(&self) -> Box<dyn Mischief> {
        Box::new(self.0.clone())
    }

    fn tokens(&self) -> String {
        self.0.api.tokens.to_owned()
    }

    fn secret(&self) -> &str {
        SECRET
    }

    fn life_is_off_by(&self) -> u64 {
        match self.0.api.file {
            // Whole minutes.
            "confluent-cloud" => 59,
            // Moments: what is on the way, and the whole seconds of a `Date`.
            "hcp-terraform" | "cloudflare" => 10,
            _ => 0,
        }
    }

    fn always_expires(&self) -> bool {
        ["hcp-terraform", "confluent-cloud", "scaleway"].contains(&self.0.api.file)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_declared_issuer_is_a_provider() {
    for api in issuers::ALL {
        everything(async || Declared::start(api).await).await;
    }
}

/// From the first token to the end of the overlap, by the real program.
#[tokio::test(flavor = "multi_thread")]
async fn each_declared_issuer_is_rotated() {
    for api in issuers::ALL {
        let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
        fs::create_dir(folder.path().join("tokens")).unwrap();
        let policy = "overlap = \"1s\"\nrevoke_after_use = false\n";
        let text = text(&double, folder.path()) + policy;
        fs::write(folder.path().join("scimitar.toml"), &text).unwrap();
        let file = || {
            let mut files: Vec<_> = fs::read_dir(folder.path().join("tokens"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|it| it == "token"))
                .collect();
            assert_eq!(files.len(), 1, "{files:?}");
            fs::read_to_string(files.remove(0)).unwrap()
        };
        let values =
            || -> Vec<String> { double.tokens().into_iter().map(|token| token.value).collect() };
        assert_eq!(run(folder.path(), &["--rotate-now"])["outcome"], "rotated", "{}", api.file);
        assert_eq!(values(), [file()], "{}", api.file);
        let first = file();
        assert_eq!(run(folder.path(), &["--rotate-now"])["outcome"], "rotated", "{}", api.file);
        assert_eq!(values(), [first, file()], "{}", api.file);
        run(folder.path(), &["--once", "--wait", "--timeout", "60s"]);
        assert_eq!(values(), [file()], "{}", api.file);
        let row = run(folder.path(), &["status"]);
        assert_eq!(row["phase"], "steady", "{row}");
    }
}

/// Runs the program and returns its one row.
fn run(folder: &Path, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_scimitar"))
        .args(["--config", "scimitar.toml", "--output", "json"])
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("ISSUER", SECRET)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{arguments:?}: {stdout}\n{stderr}");
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET));
    let document: Value = serde_json::from_str(&stdout).unwrap();
    document["results"][0].clone()
}
