//! What `scimitar permissions` prints is what a rotation needs: with that alone it succeeds, and
//! with anything of it less `check --online` says what to grant, before a token is minted.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt};

use reqwest::Client;
use scimitar::sandbox::{Options, Running, Sandbox};
use serde_json::{Value, json};

use super::{
    logins::Approle,
    rotates::{exits, scimitar},
    site::{VaultSite, template},
};

const CONNECTION: &str = "con_okta000000000001";

/// A site, a tenant, and a configuration that joins them.
pub(crate) struct Joined {
    pub(crate) site: VaultSite,
    pub(crate) tenant: Running,
    pub(crate) folder: tempfile::TempDir,
}

/// The rules of a policy: what may be done on each path.
pub(crate) type Rules = BTreeMap<String, Vec<String>>;

impl Joined {
    async fn new(version: u8, payload: bool, by: &str) -> Self {
        let pairs = [("SCIM_TOKEN", "{{ token }}")];
        Self::at(VaultSite::new(version, payload.then(|| template(&pairs))).await, by).await
    }

    /// `by`: the method of the log-in, `approle` or `token`.
    pub(crate) async fn at(site: VaultSite, by: &str) -> Self {
        let tenant = Sandbox::start(Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let secret = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        secret("client-secret", "rehearsal");
        let auth = if by == "token" {
            // Renewed as long as it is asked for.
            let more = json!({ "no_default_policy": true, "period": "10m" });
            secret("token", &site.bao.token(&site.policy, more).await);
            "method = \"token\", token = { file = \"token\" }".to_owned()
        } else {
            let more = json!({ "token_ttl": "10m", "token_no_default_policy": true });
            let approle = Approle::of(&site, more).await;
            secret("secret-id", &approle.secret_id);
            format!(
                "method = \"approle\", mount = \"{}\", role_id = \"{}\", secret_id = {{ file = \
                 \"secret-id\" }}",
                approle.mount, approle.role_id
            )
        };
        let more = if site.payload.is_some() {
            ", payload = { SCIM_TOKEN = \"{{ token }}\" }"
        } else if site.custom.is_empty() {
            ""
        } else {
            ", custom_metadata = { of = \"{{ token_id }}\", until = \"{{ expires_at }}\", who = \"{{ owner }}\" }"
        };
        let config = format!(
            r#"
[state]
url = "sqlite://ledger.db"
[providers.acme]
type = "auth0"
domain = "acme.eu.auth0.com"
base_url = "{tenant}"
client_id = "rotator"
client_secret = {{ file = "client-secret" }}
[sinks.v]
type = "vault"
address = "{url}"
auth = {{ {auth} }}
[[connections]]
name = "initech"
provider = "acme"
connection_id = "{CONNECTION}"
scopes = ["get:users", "post:users", "put:users", "patch:users", "delete:users"]
token_lifetime = "30d"
revoke_after_use = false
owner = "identity team"
deliver_to = [{{ sink = "v", path = "{path}"{more} }}]
"#,
            tenant = tenant.url(),
            url = site.bao.url,
            path = site.path(),
        );
        std::fs::write(folder.path().join("c.toml"), config).unwrap();
        Self { site, tenant, folder }
    }

    /// What is printed: the policy as text, and as data.
    pub(crate) async fn printed(&self) -> (String, Value) {
        let ended = scimitar(self.folder.path(), &["permissions", "--output", "json"]).await;
        exits(&ended, 0);
        let mut documents =
            serde_json::Deserializer::from_slice(&ended.stdout).into_iter::<Value>();
        let document = documents.next().unwrap().unwrap();
        assert!(documents.next().is_none(), "exactly one document");
        let grants = document["permissions"].as_array().unwrap();
        let of = |table: &str| {
            grants.iter().find(|grant| grant["table"] == table).unwrap_or(&Value::Null).clone()
        };
        let scopes = json!(["read:scim_token", "create:scim_token", "delete:scim_token"]);
        assert_eq!(of("providers.acme")["rights"]["scopes"], scopes, "{document}");
        let vault = of("sinks.v");
        assert_eq!(vault["at"], self.site.bao.url.as_str());
        (vault["policy"].as_str().unwrap().to_owned(), vault["rights"]["vault"].clone())
    }

    pub(crate) async fn grant(&self, rules: &Rules) {
        let rules: Vec<(String, Vec<&str>)> = rules
            .iter()
            .map(|(path, may)| (path.clone(), may.iter().map(String::as_str).collect()))
            .collect();
        let rules: Vec<(String, &[&str])> =
            rules.iter().map(|(path, may)| (path.clone(), may.as_slice())).collect();
        self.site.bao.policy(&self.site.policy, &rules).await;
    }

    /// The ids of the tokens that the tenant has of the connection.
    pub(crate) async fn tokens(&self) -> Vec<String> {
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
        let list = client.get(url(&path)).bearer_auth(login["access_token"].as_str().unwrap());
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        let ids = list.as_array().unwrap().iter();
        ids.map(|token| token["token_id"].as_str().unwrap().to_owned()).collect()
    }

    /// With any one of the rights less, it is said which, and nothing is minted.
    async fn each_is_missed(&self, rules: &Rules) {
        let before = self.tokens().await;
        for (path, capabilities) in rules {
            for missing in capabilities {
                let mut fewer = rules.clone();
                fewer.get_mut(path).unwrap().retain(|capability| capability != missing);
                fewer.retain(|_, capabilities| !capabilities.is_empty());
                self.grant(&fewer).await;
                let ended = scimitar(self.folder.path(), &["check", "--online"]).await;
                let said = exits(&ended, 1);
                let named = said
                    .lines()
                    .any(|line| line.contains(path) && line.contains(&format!("\"{missing}\"")));
                assert!(named, "{path} {missing}: {said}");
            }
        }
        assert_eq!(self.tokens().await, before, "nothing was minted");
        self.grant(rules).await;
    }

    async fn everything_works(&self) {
        let folder = self.folder.path();
        let said = exits(&scimitar(folder, &["check", "--online"]).await, 0);
        assert!(said.contains("every permission that a rotation needs is granted"), "{said}");
        exits(&scimitar(folder, &["--rotate-now"]).await, 0);
        let data = self.site.data().await;
        assert!(data["token"].is_string() || data["SCIM_TOKEN"].is_string(), "{data}");
    }
}

pub(crate) fn rules(listed: &Value) -> Rules {
    let rules = listed.as_array().unwrap().iter().map(|rule| {
        let path = rule["path"].as_str().unwrap().to_owned();
        let may = rule["capabilities"].as_array().unwrap().iter();
        (path, may.map(|word| word.as_str().unwrap().to_owned()).collect())
    });
    rules.collect()
}

#[tokio::test]
async fn the_printed_policy_is_enough_and_all_of_it_is_needed() {
    for (payload, by) in [(false, "approle"), (true, "approle"), (false, "token")] {
        let joined = Joined::new(2, payload, by).await;
        let (hcl, printed) = joined.printed().await;
        let rules = rules(&printed["rules"]);
        joined.each_is_missed(&rules).await;
        // The text is the policy, as it stands.
        let policy = format!("sys/policies/acl/{}", joined.site.policy);
        joined.site.bao.must("POST", &policy, json!({ "policy": hcl })).await;
        joined.everything_works().await;
        // What is there is written under another right than what is not.
        joined.each_is_missed(&rules).await;
        joined.everything_works().await;
        assert_eq!(joined.tokens().await.len(), 2);
    }
}

#[tokio::test]
async fn in_an_engine_of_version_1_other_rules_are_enough() {
    let joined = Joined::new(1, false, "approle").await;
    let (hcl, printed) = joined.printed().await;
    let mount = &joined.site.mount;
    let when = format!("an engine of version 1 at {mount}");
    assert!(hcl.contains(&format!("# If the server has {when}")), "{hcl}");
    let alternative = &printed["alternatives"][0];
    assert_eq!(alternative["when"], when);
    let mut instead = rules(&printed["rules"]);
    instead.retain(|path, _| !path.starts_with(mount));
    instead.extend(rules(&alternative["rules"]));
    joined.each_is_missed(&instead).await;
    joined.everything_works().await;
    joined.each_is_missed(&instead).await;
}

#[tokio::test]
async fn people_are_shown_the_policy_and_asked_for_no_secret() {
    let joined = Joined::new(2, false, "approle").await;
    let folder = joined.folder.path();
    for secret in ["secret-id", "client-secret"] {
        std::fs::remove_file(folder.join(secret)).unwrap();
    }
    let said = exits(&scimitar(folder, &["permissions"]).await, 0);
    let (hcl, _) = joined.printed().await;
    assert!(said.contains("read:scim_token create:scim_token delete:scim_token"), "{said}");
    assert!(said.contains(&hcl) && hcl.contains("the mount is assumed to be"), "{said}");
    assert!(said.contains("[sinks.v]"), "{said}");
    let path = folder.join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let mount = format!("sink = \"v\", mount = \"{}\"", joined.site.mount);
    std::fs::write(&path, config.replace("sink = \"v\"", &mount)).unwrap();
    assert!(!joined.printed().await.0.contains("NOTE"), "a mount that is named is believed");
}
