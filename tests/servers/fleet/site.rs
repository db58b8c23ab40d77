//! The servers, the replicas, and the configuration that joins them.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::TimeDelta;
use reqwest::Client;
use scimitar::{
    sandbox::{Faults, Options, Running as Tenant, Sandbox},
    secret::Secret,
};
use scimitar_test_support::{
    bao::{self, Bao, ROOT},
    door::Door,
    moto::{self, Moto, REGION},
    pace::{Fast, Pace},
    postgres::Postgres,
};
use serde_json::{Value, json};

use super::replica::Replica;
use crate::{
    postgres::site::open,
    rotation::world::{CLIENT_SECRET, Recorder},
};

/// So many times as fast as outside everything runs: an overlap is 10 s, a lease 5.
const SPEED: i32 = 24;

const REPLICAS: usize = 3;
const CONNECTIONS: usize = 24;

/// The overlap that the policy asks for.
pub(crate) const OVERLAP: TimeDelta = TimeDelta::minutes(4);

/// All there is.
pub(crate) struct Fleet {
    pub(crate) replicas: Vec<Replica>,
    /// A person with a command line, at a machine of their own.
    pub(crate) person: Replica,
    pub(crate) sources: Arc<Sources>,
    /// In front of the two places that tokens are delivered to.
    pub(crate) stores: [Door; 2],
    pub(crate) database: String,
    pub(crate) server: Postgres,
    pub(crate) tenant: Faults,
    pub(crate) entropy: Arc<Recorder>,
    _front: Tenant,
    _back: Tenant,
    _pace: Pace,
    _folder: tempfile::TempDir,
}

/// Where whoever uses the tokens finds them, past all doors.
pub(crate) struct Sources {
    pub(crate) clock: Fast,
    pub(crate) connections: Vec<Connection>,
    /// The file that holds the whole tenant.
    pub(crate) tenant: PathBuf,
    pub(crate) mount: String,
    pub(crate) bao: &'static Bao,
    moto: &'static Moto,
    back: String,
    client: Client,
}

/// One connection, and what it is called in each place.
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) name: String,
    secret: String,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        let pace = Pace::new(SPEED);
        let folder = tempfile::tempdir().unwrap();
        let (server, bao, moto) = tokio::join!(Postgres::start(&[]), bao::shared(), moto::shared());
        let mount = bao.mount(2).await;
        // Every version of every secret is looked at in the end.
        let all = json!({ "max_versions": 100_000 });
        bao.must("POST", &format!("{mount}/config"), all).await;
        let database = server.database().await;
        drop(open(&server.url(&database)).await);
        let clock = format!(
            "CREATE OR REPLACE FUNCTION scimitar.lease_clock() RETURNS timestamptz
                LANGUAGE sql VOLATILE AS $$ {} $$",
            pace.in_sql()
        );
        server.run(&database, &clock).await;

        let entropy = Arc::new(Recorder::default());
        let door = || Options {
            data_dir: Some(folder.path().join("tenant")),
            client: Some(("rotator".to_owned(), Secret::new(CLIENT_SECRET.to_owned()))),
            clock: Arc::new(pace.clock()),
            entropy: entropy.clone(),
            connections: CONNECTIONS,
            ..Options::default()
        };
        let front = Sandbox::start(door()).await.unwrap();
        let back = Sandbox::start(door()).await.unwrap();

        let secrets = moto::unique("fleet");
        let connections = (1..=CONNECTIONS).map(|number| Connection {
            id: format!("con_{number:016}"),
            name: format!("fleet-{number:02}"),
            secret: format!("{secrets}/{number:02}"),
        });
        let sources = Arc::new(Sources {
            clock: pace.clock(),
            connections: connections.collect(),
            tenant: folder.path().join("tenant/state.json"),
            mount,
            bao,
            moto,
            back: back.url().to_string(),
            client: Client::builder().no_proxy().build().unwrap(),
        });
        let stores = [Door::to(port_of(&bao.url)).await, Door::to(port_of(&moto.url)).await];
        let mut all = Vec::new();
        for number in 0..=REPLICAS {
            let name = format!("replica-{number}");
            let doors =
                [Door::to(server.port).await, Door::to(port_of(front.url().as_str())).await];
            let own = folder.path().join(&name);
            furnish(&own);
            let web = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            all.push(Replica::new(name.clone(), own, doors, pace.page(&name), web));
        }
        let person = all.pop().unwrap();
        let tenant = front.faults();
        let fleet = Self {
            replicas: all,
            person,
            sources,
            stores,
            database,
            server,
            tenant,
            entropy,
            _front: front,
            _back: back,
            _pace: pace,
            _folder: folder,
        };
        fleet.configure("max_age = \"16m\"");
        fleet
    }

    /// Writes everybody's configuration, with this in the policy.
    pub(crate) fn configure(&self, policy: &str) {
        for replica in self.replicas.iter().chain([&self.person]) {
            let text = self.configuration(replica, policy);
            fs::write(replica.folder.join("scimitar.toml"), text).unwrap();
        }
    }

    fn configuration(&self, replica: &Replica, policy: &str) -> String {
        let [vault, aws] = &self.stores;
        let mut text = format!(
            "[state]\nurl = \"postgres://postgres@127.0.0.1:{}/{}\"\n\
             [server]\nlisten = \"{}\"\n[log]\naudit = \"audit.jsonl\"\n\
             [engine]\nrequest_timeout = \"60s\"\nsurvey_interval = \"5m\"\n\
             [providers.acme]\ntype = \"auth0\"\ndomain = \"acme.eu.auth0.com\"\nbase_url = \"{}\"\n\
             client_id = \"rotator\"\nclient_secret = {{ file = \"client-secret\" }}\n\
             rate_limit = {{ per_second = 50, burst = 50 }}\n\
             [sinks.vault]\ntype = \"vault\"\naddress = \"{}\"\n\
             auth = {{ method = \"token\", token = {{ file = \"vault-token\" }} }}\n\
             [sinks.aws]\ntype = \"aws_secrets_manager\"\nregion = \"{REGION}\"\nendpoint_url = \"{}\"\n\
             [defaults]\nscopes = {SCOPES:?}\ntoken_lifetime = \"1h\"\nrotate_before = \"20m\"\n\
             overlap = \"{}s\"\n{policy}\n",
            replica.database.port,
            self.database,
            replica.web,
            replica.tenant.url(),
            vault.url(),
            aws.url(),
            OVERLAP.num_seconds(),
        );
        for (number, connection) in self.sources.connections.iter().enumerate() {
            // Half of them wait for their consumers as well.
            let evidence = number % 2 == 0;
            let _ = write!(
                text,
                "[[connections]]\nname = \"{}\"\nprovider = \"acme\"\nconnection_id = \"{}\"\n\
                 revoke_after_use = {evidence}\ndeliver_to = [\n\
                 {{ sink = \"vault\", path = \"{}/{}\" }}, {{ sink = \"aws\", name = \"{}\" }} ]\n",
                connection.name,
                connection.id,
                self.sources.mount,
                connection.name,
                connection.secret,
            );
        }
        text
    }
}

/// What every token here may do.
const SCOPES: [&str; 5] = ["get:users", "post:users", "put:users", "patch:users", "delete:users"];

impl Sources {
    /// What Vault holds for a connection, in one of its versions or now.
    pub(crate) async fn vault(&self, connection: &Connection, version: Option<u64>) -> Value {
        let version = version.map_or(String::new(), |version| format!("?version={version}"));
        let url = format!("{}/v1/{}/data/{}{version}", self.bao.url, self.mount, connection.name);
        let sent = self.client.get(url).header("X-Vault-Token", ROOT).send().await.unwrap();
        let answer: Value = sent.json().await.unwrap();
        answer["data"]["data"].clone()
    }

    /// What AWS holds for a connection.
    pub(crate) async fn aws(&self, connection: &Connection) -> Value {
        // Without the label moto gives the version that was current first.
        let asked = json!({ "SecretId": connection.secret, "VersionStage": "AWSCURRENT" });
        let (_, answer) = self.moto.ask_in(REGION, "GetSecretValue", asked).await;
        let text = answer["SecretString"].as_str();
        text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
    }

    /// Somebody uses a token: whether it is accepted.
    pub(crate) async fn accepts(&self, connection: &Connection, token: &str) -> bool {
        let url = format!("{}scim/v2/connections/{}/Users?count=1", self.back, connection.id);
        let sent = self.client.get(url).bearer_auth(token).send().await.unwrap();
        match sent.status().as_u16() {
            200 => true,
            401 => false,
            other => panic!("the tenant answers {other}: {:?}", sent.text().await),
        }
    }
}

fn port_of(url: &str) -> u16 {
    reqwest::Url::parse(url).unwrap().port().unwrap()
}

/// A folder with the secrets that a replica needs.
fn furnish(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for (file, secret) in [("client-secret", CLIENT_SECRET), ("vault-token", ROOT)] {
        let path = folder.join(file);
        fs::write(&path, secret).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
