//! `custom_metadata` of a delivery: behind the value, and never in its way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::sink::Sink;
use serde_json::{Value, json};

use super::{
    rights::{Joined, Rules, rules},
    rotates::{exits, scimitar},
    sink_conformance::*,
    site::VaultSite,
};

async fn saying(version: u8) -> VaultSite {
    VaultSite { custom: labels(), ..VaultSite::new(version, None).await }
}

#[async_trait]
impl SaysBeside for VaultSite {
    async fn beside(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.metadata().await["custom_metadata"].clone()).unwrap_or_default()
    }

    async fn add_beside(&self) {
        let mut all = self.metadata().await["custom_metadata"].clone();
        all["team"] = json!("theirs");
        let body = json!({ "custom_metadata": all });
        self.bao.must("POST", &self.metadata_path(), body).await;
    }

    async fn forbid_beside(&self, forbidden: bool) {
        let metadata: &[&str] = if forbidden { &["read"] } else { &["read", "patch"] };
        self.grant(&["create", "read", "update"], metadata).await;
    }
}

#[tokio::test]
async fn custom_metadata_harms_no_delivery() {
    what_is_said_beside_harms_no_delivery(&saying(2).await).await;
}

#[tokio::test]
async fn version_1_has_none_and_says_so() {
    let site = saying(1).await;
    let sink = site.sink();
    promote(&sink, 1).await;
    let fault = sink.say_beside(&delivery(1), &Gate::open()).await.unwrap_err().to_string();
    assert!(fault.contains("version 1 has none") && fault.contains("take `custom_metadata` out"));
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
}

/// The real program: without the right it rotates and says what is missing, with it the secret says what
/// the configuration asks for, and keeps what others put there.
#[tokio::test]
async fn a_rotation_goes_on_without_the_right_to_say_it() {
    let joined = Joined::at(saying(2).await, "token").await;
    let folder = joined.folder.path();
    let path = folder.join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("[metrics]\ntextfile = \"s.prom\"\n{config}")).unwrap();
    let (_, printed) = joined.printed().await;
    let rules = rules(&printed["rules"]);
    let metadata = joined.site.metadata_path();
    assert_eq!(rules[&metadata], ["patch", "read"]);
    let fewer = |rules: &Rules| {
        let mut fewer = rules.clone();
        fewer.insert(metadata.clone(), vec!["read".to_owned()]);
        fewer
    };
    joined.grant(&fewer(&rules)).await;
    let said = exits(&scimitar(folder, &["check", "--online"]).await, 1);
    assert!(
        said.lines().any(|line| line.contains("\"patch\"") && line.contains(&metadata)),
        "{said}"
    );
    let arguments = ["--rotate-now", "-vvv"];
    let said = exits(&scimitar(folder, &arguments).await, 0);
    assert!(
        said.contains("the token is delivered, but could not write the custom_metadata"),
        "{said}"
    );
    let counted = || {
        let text = std::fs::read_to_string(folder.join("s.prom")).unwrap();
        let line =
            |line: &&str| line.contains("sink_writes_total") && line.contains("\"unlabelled\"");
        text.lines().find(line).unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert!(said.contains("grant the right that `scimitar permissions` prints"), "{said}");
    assert_eq!(counted(), "1");
    let first = joined.site.data().await["token"].as_str().unwrap().to_owned();
    assert!(!said.contains(&first), "a value is shown");
    assert_eq!(joined.site.beside().await, BTreeMap::new());

    joined.grant(&rules).await;
    joined.site.add_beside().await;
    let said = exits(&scimitar(folder, &arguments).await, 0);
    assert_eq!((counted().as_str(), said.contains("could not write the custom")), ("0", false));
    let (data, beside) = (joined.site.data().await, joined.site.beside().await);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let expected = [
        ("of", text(&data["token_id"])),
        ("team", "theirs".to_owned()),
        ("until", text(&data["expires_at"])),
        ("who", "identity team".to_owned()),
    ];
    assert_eq!(beside, expected.map(|(key, text)| (key.to_owned(), text)).into());
    let document = scimitar(folder, &["status", "--output", "json"]).await;
    let document: Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["results"][0]["owner"], "identity team");
    let said = exits(&scimitar(folder, &["tokens"]).await, 0);
    assert!(said.contains("owner: identity team"), "{said}");
}
