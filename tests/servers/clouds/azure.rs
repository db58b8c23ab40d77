//! Azure Key Vault.

use scimitar_test_support::{
    cloud::Mishap,
    delivery::configured,
    key_vault::{self, KeyVault},
};
use serde_json::Value;

use super::scimitar;

const NAME: &str = "scim-initech";

/// A folder with a configuration that delivers to a secret, the vault that it is in, and where the
/// machine's metadata service is.
async fn site() -> (KeyVault, tempfile::TempDir, (&'static str, String)) {
    let api = key_vault::start().await;
    let url = &api.url;
    let sink = format!(
        "[sinks.a]\ntype = \"azure_key_vault\"\nvault = \"{url}\"\nauthority = \"{url}\"\n\
         auth = {{ method = \"managed_identity\" }}"
    );
    let to = format!(
        "overlap = \"1s\"\nrevoke_after_use = false\n\
         deliver_to = [{{ sink = \"a\", secret_name = \"{NAME}\" }}]"
    );
    let folder = configured(&sink, &to);
    let host = url.clone();
    (api, folder, ("AZURE_POD_IDENTITY_AUTHORITY_HOST", host))
}

fn value(api: &KeyVault) -> Value {
    let world = api.world();
    let newest = world.rules.newest(NAME);
    newest.map(|version| serde_json::from_str(&version.value).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_rotation_ends_in_a_secret_at_azure() {
    let (api, folder, env) = site().await;
    let folder = folder.path();
    // What the program asks for, and nothing else.
    let (ended, _) = scimitar(folder, &env, &["permissions", "--output", "json"], 0).await;
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let listed = document["permissions"][0]["rights"]["azure"]["data_actions"].clone();
    let action = |one: &Value| one.as_str().unwrap().rsplit('/').nth(1).unwrap().to_owned();
    let granted = listed.as_array().unwrap().iter().map(action).collect();
    api.world().rules.granted.clear();
    scimitar(folder, &env, &["check", "--online"], 1).await;
    api.world().rules.granted = granted;
    let (_, said) = scimitar(folder, &env, &["check", "--online"], 0).await;
    assert!(said.contains("no compare-and-set"), "what cannot be promised is said: {said}");
    assert!(value(&api).is_null(), "a proof writes nothing");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let arguments = ["--rotate-now", "--output", "json", "-vvv"];
        let (ended, said) = scimitar(folder, &env, &arguments, 0).await;
        let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let row = &document["results"][0];
        let held = value(&api);
        assert_eq!(row["outcome"], "rotated", "{document}");
        assert_eq!(row["sinks"][0]["state"], "delivered", "{document}");
        assert_eq!(held["token_id"], row["token_id"]);
        for hidden in ["acce55", held["token"].as_str().unwrap()] {
            assert!(!said.contains(hidden), "a secret is shown");
        }
        ids.push(held["token_id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
    scimitar(folder, &env, &["--once", "--wait"], 0).await;
    let enabled = || -> Vec<bool> {
        let world = api.world();
        world.rules.secrets[NAME].iter().map(|version| version.enabled).collect()
    };
    assert_eq!(enabled(), [false, true], "nothing leads back to the revoked token");
    for arguments in [&["--once"][..], &["status"], &["plan"], &["check", "--online"]] {
        scimitar(folder, &env, arguments, 0).await;
    }
    assert_eq!(enabled().len(), 2, "a look writes nothing");
    // Lost, the ledger is made anew from what the secret says.
    std::fs::remove_file(folder.join("ledger.db")).unwrap();
    scimitar(folder, &env, &["--once"], 0).await;
    assert_eq!(value(&api)["token_id"], ids[1]);
}

/// The version was written, and nobody was told: it is read, and nothing is minted twice.
#[tokio::test]
async fn a_lost_answer_of_azure_costs_no_token() {
    let (api, folder, env) = site().await;
    scimitar(folder.path(), &env, &["--rotate-now"], 0).await;
    let before = value(&api)["token_id"].clone();
    api.next("set", Mishap::LostAfter);
    let arguments = ["--rotate-now", "--output", "json"];
    let (ended, _) = scimitar(folder.path(), &env, &arguments, 0).await;
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let held = value(&api);
    assert_ne!(held["token_id"], before);
    assert_eq!(document["results"][0]["token_id"], held["token_id"]);
    assert_eq!(api.world().rules.secrets[NAME].len(), 2, "no version more");
}
