//! Three kinds of provider and six kinds of sink in one configuration, by the real program: connections with a
//! name and a discovered one, from the first token to the revocation of the one before.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use reqwest::Client;
use scimitar_test_support::{
    graph::{self, CLIENT, Graph, PRINCIPAL, SECRET as ENTRA_SECRET, TENANT},
    issuers::{CONFLUENT_CLOUD, Double, SECRET as ISSUER_SECRET, declaration},
    kubernetes::{KubernetesApi, decode},
};
use serde_json::Value;

use super::{
    binary::{Call, Ended},
    moto::REGION,
    three::Three,
};

const CLUSTER_TOKEN: &str = "acc0unt5ecret-mixed";

/// What the account of dbt Cloud is asked by a person.
const ADMIN: &str = "api/v3/accounts/12345/scim-config/tokens/";

struct Mixed {
    three: Three,
    issuer: Double,
    graph: Graph,
    cluster: KubernetesApi,
}

impl Mixed {
    async fn new() -> Self {
        let three = Three::new().await;
        let issuer = Double::start(CONFLUENT_CLOUD).await;
        let graph = graph::start().await;
        let cluster = KubernetesApi::start("team-a", CLUSTER_TOKEN).await;
        let mixed = Self { three, issuer, graph, cluster };
        mixed.secret("issuer-secret", ISSUER_SECRET);
        mixed.secret("entra-secret", ENTRA_SECRET);
        mixed.secret("kubeconfig", &mixed.kubeconfig());
        std::fs::write(mixed.three.folder.path().join("c.toml"), mixed.config()).unwrap();
        // What is still to be discovered is refused by the cluster, and known from then on.
        let refused = mixed.run(&["--once"], 1).await.stdout;
        assert!(refused.contains("globex-waad  failed"), "{refused}");
        let document = mixed.run(&["permissions", "--output", "json"], 0).await.json();
        let grants = document["permissions"].as_array().unwrap();
        let roles = grants.iter().find_map(|grant| grant["rights"]["rbac"].as_array());
        mixed.cluster.world().bind(CLUSTER_TOKEN, roles.unwrap().clone());
        mixed
    }

    fn secret(&self, name: &str, content: &str) {
        let path = self.three.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn kubeconfig(&self) -> String {
        format!(
            "kind: Config\nclusters:\n- name: c\n  cluster:\n    server: {}\nusers:\n\
             - name: u\n  user:\n    token: {CLUSTER_TOKEN}\ncontexts:\n- name: prod\n  \
             context: {{ cluster: c, user: u }}\n",
            self.cluster.url
        )
    }

    fn config(&self) -> String {
        let three = &self.three;
        // The provider that is shipped as an example.
        let issuer = declaration(&self.issuer, three.folder.path());
        let issuer = issuer.split("\n[state]").next().unwrap();
        let issuer = issuer.replace("env = \"ISSUER\"", "file = \"issuer-secret\"");
        let url = &self.graph.url;
        format!(
            r#"
{issuer}
[state]
url = "sqlite://ledger.db"
[engine]
request_timeout = "5s"
[metrics]
textfile = "scimitar.prom"
[providers.acme]
type = "auth0"
domain = "acme.eu.auth0.com"
base_url = "{tenant}"
client_id = "rotator"
client_secret = {{ file = "client-secret" }}
[providers.warehouse]
type = "dbt_cloud"
host = "cloud.getdbt.com"
account_id = 12345
base_url = "{tenant}"
token = {{ file = "client-secret" }}
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
[sinks.cluster]
type = "kubernetes"
kubeconfig = {{ file = "kubeconfig" }}
context = "prod"
namespace = "team-a"
[sinks.entra]
type = "entra"
graph_url = "{url}"
authority = "{url}"
auth = {{ method = "client_secret", tenant = "{TENANT}", client_id = "{CLIENT}", client_secret = {{ file = "entra-secret" }} }}
[sinks.people]
type = "handoff"
[defaults]
overlap = "1s"
[[connections]]
name = "initech"
provider = "acme"
connection_id = "con_okta000000000001"
scopes = ["get:users", "post:users", "put:users", "patch:users", "delete:users"]
token_lifetime = "30d"
revoke_after_use = false
deliver_to = [
  {{ sink = "disk", file = "token", format = "json" }},
  {{ sink = "vault", path = "{mount}/initech" }},
  {{ sink = "aws", name = "{name}" }},
  {{ sink = "entra", service_principal = "{PRINCIPAL}" }},
]
[[connections]]
name = "people"
provider = "warehouse"
max_age = "90d"
revoke_after_use = false
deliver_to = [{{ sink = "vault", path = "{mount}/people" }}]
[[connections]]
name = "confluent"
provider = "confluent-cloud"
token_lifetime = "90d"
deliver_to = [
  {{ sink = "disk", file = "confluent" }},
  {{ sink = "people", client = "OneLogin", field = "SCIM token", bearer = true }},
]
[[discover]]
provider = "acme"
name = "^globex-"
scopes = ["get:users"]
token_lifetime = "30d"
revoke_after_use = false
deliver_to = [{{ sink = "cluster", secret = "scim-{{{{ connection.name }}}}" }}]
"#,
            tenant = three.tenant.url(),
            vault = three.bao.url,
            aws = three.moto.url,
            mount = three.mount,
            name = three.name,
        )
    }

    fn call(&self, arguments: &[&str]) -> Call {
        self.three.call(arguments)
    }

    async fn run(&self, arguments: &[&str], status: i32) -> Ended {
        let call = self.call(arguments);
        tokio::task::spawn_blocking(move || call.run()).await.unwrap().exits(status)
    }

    /// What each connection came to: its outcome with its reason.
    async fn rows(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let arguments = [arguments, &["--output", "json"]].concat();
        let document = self.run(&arguments, 0).await.json();
        let rows = document["results"].as_array().unwrap().iter().map(|row| {
            let reason = row["reason"].as_str().map_or_else(String::new, |it| format!(" {it}"));
            let outcome = row["outcome"].as_str().unwrap();
            (row["connection"].as_str().unwrap().to_owned(), format!("{outcome}{reason}"))
        });
        rows.collect()
    }

    fn cluster_has(&self) -> String {
        let world = self.cluster.world();
        let key = ("team-a".to_owned(), "scim-globex-waad".to_owned());
        let value = world.secrets[&key]["data"]["token"].as_str().unwrap();
        String::from_utf8(decode(value).unwrap()).unwrap()
    }

    /// The value in each place, which is the same in all places of a connection.
    async fn values(&self) -> BTreeMap<&'static str, String> {
        let value = |document: Value| document["token"].as_str().unwrap().to_owned();
        let initech = value(self.three.file());
        assert_eq!(value(self.three.vault().await), initech);
        assert_eq!(value(self.three.aws().await), initech);
        assert_eq!(self.graph.world().rules.credentials["SecretToken"], initech);
        let path = format!("{}/data/people", self.three.mount);
        let people = self.three.bao.must("GET", &path, Value::Null).await;
        let confluent = self.three.folder.path().join("out/confluent");
        [
            ("initech", initech),
            ("people", value(people["data"]["data"].clone())),
            ("confluent", std::fs::read_to_string(confluent).unwrap()),
            ("globex-waad", self.cluster_has()),
        ]
        .into()
    }

    /// How many tokens each provider has, where it is asked by somebody else.
    async fn counts(&self) -> (usize, usize, usize) {
        let client = Client::builder().no_proxy().build().unwrap();
        let asked = client.get(self.three.tenant.url().join(ADMIN).unwrap());
        let listed = asked.header("authorization", "Token rehearsal").send().await.unwrap();
        let listed: Value = listed.json().await.unwrap();
        let people = listed["data"].as_array().unwrap().len();
        (self.three.tokens().await.len(), people, self.issuer.tokens().len())
    }

    async fn works(&self, connection: &str, value: &str) -> u16 {
        let path = match connection {
            "initech" => "scim/v2/connections/con_okta000000000001/Users?count=1",
            "globex-waad" => "scim/v2/connections/con_waad000000000001/Users?count=1",
            _ => "api/v3/accounts/12345/scim/v2/Users?count=1",
        };
        let client = Client::builder().no_proxy().build().unwrap();
        let asked = client.get(self.three.tenant.url().join(path).unwrap()).bearer_auth(value);
        asked.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_and_sinks_of_every_kind_go_together() {
    let mixed = Mixed::new().await;
    let said = mixed.run(&["check", "--online"], 0).await.stdout;
    assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
    let planned = mixed.run(&["plan", "--output", "json"], 0).await.json();
    let names: Vec<&Value> =
        planned["results"].as_array().unwrap().iter().map(|row| &row["connection"]).collect();
    assert_eq!(names, ["initech", "people", "confluent", "globex-waad"], "{planned}");
    assert_eq!(mixed.counts().await, (1, 1, 1), "a plan makes nothing");
    let first = mixed.rows(&["--once"]).await;
    assert_eq!(first["globex-waad"], "rotated", "{first:?}");
    assert_eq!(mixed.counts().await, (1, 1, 1));
    let before = mixed.values().await;
    for (connection, value) in before.iter().filter(|(name, _)| **name != "confluent") {
        assert_eq!(mixed.works(connection, value).await, 200, "{connection}");
    }
    // Whoever pastes it says so.
    mixed.run(&["handoff", "confluent", "--done"], 0).await;
    mixed.run(&["--once", "--wait", "--timeout", "60s"], 0).await;

    let second = mixed.rows(&["--rotate-now"]).await;
    assert!(second.values().all(|row| row.starts_with("rotated")), "{second:?}");
    let after = mixed.values().await;
    for (connection, value) in &after {
        assert_ne!(before[connection], *value, "{connection}");
    }
    // The overlaps end in here. Two of the older tokens stay: the client of one was not seen to use the
    // new one, and to the other nobody has taken it.
    mixed.run(&["--once", "--wait", "--timeout", "10s"], 1).await;
    assert_eq!(mixed.counts().await, (2, 1, 2));
    assert_eq!(mixed.works("globex-waad", &before["globex-waad"]).await, 401, "revoked");
    assert_eq!(mixed.works("initech", &before["initech"]).await, 200, "still in use");
    let waiting = mixed.rows(&["--once"]).await;
    assert_eq!(waiting["initech"], "waiting evidence", "{waiting:?}");
    assert_eq!(waiting["confluent"], "waiting handoff", "{waiting:?}");

    mixed.graph.world().rules.cycle("2026-11-22T04:20:00Z");
    mixed.run(&["handoff", "confluent", "--done"], 0).await;
    mixed.run(&["--once", "--wait", "--timeout", "60s"], 0).await;
    assert_eq!(mixed.counts().await, (1, 1, 1));
    let settled = mixed.rows(&["--once"]).await;
    assert!(settled.values().all(|row| row == "unchanged"), "{settled:?}");
    assert_eq!(mixed.values().await, after, "a look writes nothing");
    let status = mixed.run(&["status", "--output", "json"], 0).await.json();
    let rows = status["results"].as_array().unwrap();
    assert!(rows.len() == 4 && rows.iter().all(|row| row["phase"] == "steady"), "{status}");

    let said = mixed.run(&["explain", "initech", "-vvv"], 0).await;
    let text = std::fs::read_to_string(mixed.three.folder.path().join("scimitar.prom")).unwrap();
    let all = said.stdout + &said.stderr + &text + &status.to_string();
    let secrets = [CLUSTER_TOKEN, ENTRA_SECRET, ISSUER_SECRET];
    for value in before.values().chain(after.values()).map(String::as_str).chain(secrets) {
        assert!(!all.contains(value), "a value is shown");
    }
}
