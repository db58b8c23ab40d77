//! Google Cloud's Secret Manager.

use scimitar_test_support::{
    cloud::Mishap,
    delivery::configured,
    secret_manager::{self, SecretManager},
};
use serde_json::Value;

use super::scimitar;

const NAME: &str = "scim-initech";

/// A folder with a configuration that delivers to a secret, the API that it is in, and where the metadata
/// server is.
async fn site() -> (SecretManager, tempfile::TempDir, (&'static str, String)) {
    let api = secret_manager::start("projects/acme-identity").await;
    let sink = format!(
        "[sinks.g]\ntype = \"gcp_secret_manager\"\nproject = \"acme-identity\"\nendpoint_url = \"{}\"",
        api.url
    );
    let to = format!(
        "overlap = \"1s\"\nrevoke_after_use = false\n\
         deliver_to = [{{ sink = \"g\", secret_id = \"{NAME}\", alias = \"scim\" }}]"
    );
    let folder = configured(&sink, &to);
    let host = api.url.strip_prefix("http://").unwrap().to_owned();
    (api, folder, ("GCE_METADATA_HOST", host))
}

fn value(api: &SecretManager) -> Value {
    let text = api.world().rules.value(NAME, Some("scim"));
    text.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_rotation_ends_in_a_secret_at_google() {
    let (api, folder, env) = site().await;
    let folder = folder.path();
    // What the program asks for, and nothing else.
    let (ended, said) = scimitar(folder, &env, &["permissions", "--output", "json"], 0).await;
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let rights = &document["permissions"][0]["rights"]["gcp"];
    let listed = ["on_each_secret", "on_the_project"];
    let listed = listed.iter().flat_map(|key| rights[key].as_array().unwrap());
    let granted = listed.map(|one| one.as_str().unwrap().to_owned()).collect();
    api.world().rules.granted.clear();
    scimitar(folder, &env, &["check", "--online"], 1).await;
    api.world().rules.granted = granted;
    assert!(said.contains("secretmanager.secrets.update"), "{said}");
    scimitar(folder, &env, &["check", "--online"], 0).await;
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
    let states = || -> Vec<&str> {
        let world = api.world();
        world.rules.secrets[NAME].versions.iter().map(|version| version.state).collect()
    };
    assert_eq!(states(), ["DESTROYED", "ENABLED"], "nothing leads back to the revoked token");
    for arguments in [&["--once"][..], &["status"], &["plan"], &["check", "--online"]] {
        scimitar(folder, &env, arguments, 0).await;
    }
    assert_eq!(states().len(), 2, "a look writes nothing");
    // Lost, the ledger is made anew from what the secret says.
    std::fs::remove_file(folder.join("ledger.db")).unwrap();
    scimitar(folder, &env, &["--once"], 0).await;
    assert_eq!(value(&api)["token_id"], ids[1]);
}

/// The alias was moved, and nobody was told: it is read, and nothing is minted twice.
#[tokio::test]
async fn a_lost_answer_of_google_costs_no_token() {
    let (api, folder, env) = site().await;
    scimitar(folder.path(), &env, &["--rotate-now"], 0).await;
    let before = value(&api)["token_id"].clone();
    api.next("patch", Mishap::LostAfter);
    let arguments = ["--rotate-now", "--output", "json"];
    let (ended, _) = scimitar(folder.path(), &env, &arguments, 0).await;
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let held = value(&api);
    assert_ne!(held["token_id"], before);
    assert_eq!(document["results"][0]["token_id"], held["token_id"]);
    assert_eq!(api.world().rules.secrets[NAME].versions.len(), 2, "no version more");
}
