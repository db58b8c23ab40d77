//! A file, a secret in OpenBao and one in moto.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use reqwest::{Client, Method};
use scimitar::sandbox::{Act, Options, Rule, Running as Tenant, Sandbox};
use serde_json::{Value, json};

use super::{
    bao::{Bao, ROOT},
    binary::{Call, Ended, Running},
    moto::{self, Moto, REGION},
};

const CONNECTION: &str = "con_okta000000000001";

/// Where the probe asks.
const SCIM: &str = "/scim/v2/";

/// A tenant, three places, and a configuration that joins them.
pub(crate) struct Three {
    pub(crate) tenant: Tenant,
    pub(crate) bao: Bao,
    pub(crate) mount: String,
    pub(crate) moto: &'static Moto,
    pub(crate) name: String,
    pub(crate) folder: tempfile::TempDir,
}

/// The state of each place: what would be another after a write.
#[derive(Debug, PartialEq, Eq)]
struct Versions {
    file: u64,
    vault: u64,
    aws: usize,
}

impl Three {
    pub(crate) async fn new() -> Self {
        // One of its own: it is sealed.
        let bao = Bao::start(false).await;
        let mount = bao.mount(2).await;
        let moto = moto::shared().await;
        let name = moto::unique("scim/initech");
        let tenant = Sandbox::start(Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (file, secret) in [("client-secret", "rehearsal"), ("vault-token", ROOT)] {
            let path = folder.path().join(file);
            std::fs::write(&path, secret).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let config = format!(
            r#"
[state]
url = "sqlite://ledger.db"
[engine]
request_timeout = "5s"
[providers.acme]
type = "auth0"
domain = "acme.eu.auth0.com"
base_url = "{tenant}"
client_id = "rotator"
client_secret = {{ file = "client-secret" }}
[sinks.disk]
type = "file"
directory = "out"
[sinks.vault]
type = "vault"
address = "{vault}"
auth = {{ method = "token", token = {{ file = "vault-token" }} }}
[sinks.aws]
type = "aws_secrets_manager"
region = "{REGION}"
endpoint_url = "{aws}"
[[connections]]
name = "initech"
provider = "acme"
connection_id = "{CONNECTION}"
scopes = ["get:users", "post:users", "put:users", "patch:users", "delete:users"]
token_lifetime = "30d"
revoke_after_use = false
overlap = "1s"
deliver_to = [
  {{ sink = "disk", file = "token", format = "json" }},
  {{ sink = "vault", path = "{mount}/initech" }},
  {{ sink = "aws", name = "{name}" }},
]
"#,
            tenant = tenant.url(),
            vault = bao.url,
            aws = moto.url,
        );
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        Self { tenant, bao, mount, moto, name, folder }
    }

    pub(crate) fn tenant_url(&self) -> String {
        self.tenant.url().to_string()
    }

    /// Changes the configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.folder.path().join("c.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        assert!(config.contains(from), "{config}");
        std::fs::write(&path, config.replace(from, to)).unwrap();
    }

    /// Takes these sinks out of the connection.
    pub(crate) fn without(&self, sinks: &[&str]) {
        let path = self.folder.path().join("c.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let kept = config.lines().filter(|line| {
            !sinks.iter().any(|sink| line.contains(&format!("{{ sink = \"{sink}\"")))
        });
        std::fs::write(&path, kept.collect::<Vec<_>>().join("\n")).unwrap();
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Call {
        let arguments = [&["--config", "c.toml"], arguments].concat();
        Call::new(self.folder.path(), &arguments)
            .env("HOME", self.folder.path().to_str().unwrap())
            .env("AWS_ACCESS_KEY_ID", "TEST")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        let call = self.call(arguments);
        tokio::task::spawn_blocking(move || call.run()).await.unwrap()
    }

    pub(crate) async fn rotate(&self) -> String {
        self.run(&["--rotate-now"]).await.exits(0);
        let held = self.held().await;
        assert_eq!(held.len(), 1, "{held:?}");
        held.into_iter().next().unwrap().0
    }

    /// A rotation that is held between the mint and the first promote.
    pub(crate) async fn minted(&self, arguments: &[&str]) -> Running {
        // The first that goes there asks without credentials, before the mint.
        self.tenant.faults().add(Rule::new("GET", SCIM, Act::HoldBefore).nth(2)).unwrap();
        let running = self.call(arguments).start();
        running.until(self.tenant.faults().until_held(1)).await
    }

    pub(crate) fn file(&self) -> Value {
        let text = std::fs::read(self.folder.path().join("out/token")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    pub(crate) async fn vault(&self) -> Value {
        let path = format!("{}/data/initech", self.mount);
        let answer = self.bao.must("GET", &path, Value::Null).await;
        answer["data"]["data"].clone()
    }

    pub(crate) async fn aws(&self) -> Value {
        let asked = json!({ "SecretId": self.name, "VersionStage": "AWSCURRENT" });
        let (_, answer) = self.moto.ask_in(REGION, "GetSecretValue", asked).await;
        answer["SecretString"]
            .as_str()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    /// Which token, with which value, is in which sinks.
    pub(crate) async fn held(&self) -> BTreeMap<String, BTreeSet<(String, &'static str)>> {
        let mut held: BTreeMap<String, BTreeSet<(String, &'static str)>> = BTreeMap::new();
        for (sink, document) in
            [("disk", self.file()), ("vault", self.vault().await), ("aws", self.aws().await)]
        {
            let id = document["token_id"].as_str().unwrap().to_owned();
            let value = document["token"].as_str().unwrap().to_owned();
            assert!(value.starts_with(&id), "the value is this token's");
            held.entry(id).or_default().insert((value, sink));
        }
        held
    }

    /// Which labels AWS has for which versions.
    pub(crate) async fn labels(&self) -> BTreeMap<String, String> {
        let (_, described) =
            self.moto.ask_in(REGION, "DescribeSecret", json!({ "SecretId": self.name })).await;
        let versions = described["VersionIdsToStages"].as_object().cloned().unwrap_or_default();
        let labels = versions.iter().flat_map(|(id, labels)| {
            let labels = labels.as_array().unwrap().iter();
            labels.map(move |label| (label.as_str().unwrap().to_owned(), id.clone()))
        });
        labels.collect()
    }

    async fn versions(&self) -> Versions {
        let path = format!("{}/metadata/initech", self.mount);
        let metadata = self.bao.must("GET", &path, Value::Null).await;
        let asked = json!({ "SecretId": self.name, "IncludeDeprecated": true });
        let (_, listed) = self.moto.ask_in(REGION, "ListSecretVersionIds", asked).await;
        let file = std::fs::metadata(self.folder.path().join("out/token")).unwrap();
        Versions {
            file: file.ino(),
            vault: metadata["data"]["current_version"].as_u64().unwrap(),
            aws: listed["Versions"].as_array().unwrap().len(),
        }
    }

    /// What the tenant answers about the tokens of the connection, to a person.
    pub(crate) async fn api(&self, method: Method, body: Option<Value>) -> Value {
        let client = Client::builder().no_proxy().build().unwrap();
        let url = |path: &str| self.tenant.url().join(path).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "rotator"),
            ("client_secret", "rehearsal"),
            ("audience", "https://acme.eu.auth0.com/api/v2/"),
        ];
        let login = client.post(url("oauth/token")).form(&form).send().await.unwrap();
        let login: Value = login.json().await.unwrap();
        let path = format!("api/v2/connections/{CONNECTION}/scim-configuration/tokens");
        let call = client.request(method, url(&path));
        let call = call.bearer_auth(login["access_token"].as_str().unwrap());
        let call = body.iter().fold(call, |call, body| call.json(body));
        call.send().await.unwrap().json().await.unwrap()
    }

    /// The ids of the tokens that the tenant has of the connection.
    pub(crate) async fn tokens(&self) -> BTreeSet<String> {
        let list = self.api(Method::GET, None).await;
        let ids = list.as_array().unwrap().iter();
        ids.map(|token| token["token_id"].as_str().unwrap().to_owned()).collect()
    }

    async fn seal(&self) {
        self.bao.must("PUT", "sys/seal", Value::Null).await;
    }

    async fn unseal(&self) {
        self.bao.must("PUT", "sys/unseal", json!({ "key": self.bao.unseal_key() })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sink_gets_one_write_per_rotation_and_none_per_check() {
    let three = Three::new().await;
    let said = three.run(&["check", "--online"]).await.exits(0).stdout;
    assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
    let first = three.rotate().await;
    let before = three.versions().await;
    let second = three.rotate().await;
    assert_ne!(first, second);
    let after = three.versions().await;
    assert_ne!(before.file, after.file);
    assert_eq!((after.vault, after.aws), (before.vault + 1, before.aws + 1));
    // The overlap ends in here: a revocation is no write that a reader could see.
    three.run(&["--once", "--wait", "--timeout", "60s"]).await.exits(0);
    assert_eq!(three.tokens().await, BTreeSet::from([second.clone()]));
    for arguments in [&["--once"][..], &["status"], &["plan"], &["check", "--online"]] {
        three.run(arguments).await.exits(0);
    }
    assert_eq!(three.versions().await, after, "nothing was written");
    let labels: Vec<String> = three.labels().await.into_keys().collect();
    assert_eq!(labels, ["AWSCURRENT"], "nothing leads back to what was revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_away_gets_the_token_from_another_sink() {
    let three = Three::new().await;
    let first = three.rotate().await;
    let running = three.minted(&["--rotate-now", "--timeout", "15s"]).await;
    let minted = three.tokens().await;
    three.seal().await;
    three.tenant.faults().release().await;
    let ended = tokio::task::spawn_blocking(move || running.ended()).await.unwrap().exits(1);
    assert!(ended.stdout.contains("sealed"), "{}{}", ended.stdout, ended.stderr);
    let new = three.file()["token_id"].as_str().unwrap().to_owned();
    assert_ne!(new, first);
    assert_eq!(three.aws().await["token"], three.file()["token"], "the others have it");
    // Another process, which minted nothing and has no value in memory.
    three.run(&["--once", "--timeout", "2s"]).await.exits(1);
    assert_eq!(three.tokens().await, minted, "the older one stays valid");
    three.unseal().await;
    three.run(&["--once"]).await.exits(0);
    assert!(three.held().await.into_keys().eq([new.clone()]));
    assert_eq!(three.tokens().await, minted, "its overlap has only begun, and none was minted");
    three.run(&["--once", "--wait", "--timeout", "60s"]).await.exits(0);
    assert_eq!(three.tokens().await, BTreeSet::from([new]));
}

/// Without staging, the value would be lost with the process and the token revoked.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_staged_outlives_the_process_that_minted_it() {
    let three = Three::new().await;
    let first = three.rotate().await;
    let running = three.minted(&["--rotate-now"]).await;
    let minted = three.tokens().await;
    assert!(three.labels().await.contains_key("SCIMITAR_PENDING"));
    assert!(three.held().await.into_keys().eq([first.clone()]));
    tokio::task::spawn_blocking(move || running.kill_9()).await.unwrap();
    three.tenant.faults().release().await;
    three.run(&["--once"]).await.exits(0);
    let held = three.held().await;
    assert_eq!(held.len(), 1, "{held:?}");
    let new = held.into_keys().next().unwrap();
    assert_ne!(new, first);
    assert_eq!(three.tokens().await, minted, "delivered, and not minted again");
    assert!(!three.labels().await.contains_key("SCIMITAR_PENDING"));
}

/// Where no sink can stage, it is.
#[tokio::test(flavor = "multi_thread")]
async fn without_staging_a_token_lost_with_the_process_is_revoked() {
    let three = Three::new().await;
    three.without(&["aws"]);
    three.run(&["--rotate-now"]).await.exits(0);
    let first = three.file()["token_id"].as_str().unwrap().to_owned();
    let running = three.minted(&["--rotate-now"]).await;
    assert_eq!(three.tokens().await.len(), 2);
    tokio::task::spawn_blocking(move || running.kill_9()).await.unwrap();
    three.tenant.faults().release().await;
    three.run(&["--once"]).await.exits(0);
    assert_eq!(three.tokens().await, BTreeSet::from([first.clone()]));
    assert_eq!(three.vault().await["token_id"], first.as_str());
}
