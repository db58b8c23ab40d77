//! `custom_metadata` of a delivery: behind the value, and never in its way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use scimitar::sink::Sink;
use scimitar_test_support::delivery::configured;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    bao::ROOT,
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
    assert!(said.contains("token delivered, but could not write the custom_metadata"), "{said}");
    let counted = || {
        let text = std::fs::read_to_string(folder.join("s.prom")).unwrap();
        let line =
            |line: &&str| line.contains("sink_writes_total") && line.contains("\"unlabelled\"");
        text.lines().find(line).unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert!(said.contains("`scimitar permissions` prints"), "{said}");
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

/// In front of a server: passes everything on but PATCH, which is never answered.
async fn without_patch(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = server.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(async move {
                let (mut asks, mut hears) = client.into_split();
                let (mut answers, mut asked) = server.into_split();
                let answering = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut answers, &mut hears).await;
                });
                let mut bytes = vec![0; 65_536];
                while let Ok(read @ 1..) = asks.read(&mut bytes).await {
                    if bytes.starts_with(b"PATCH ") {
                        std::future::pending::<()>().await;
                    }
                    asked.write_all(&bytes[..read]).await.unwrap();
                }
                answering.abort();
            });
        }
    });
    url
}

/// The real program at a server that hangs whenever metadata is written: every place has its token all the
/// same, the call ends well and in time, and what was not said is told of each place.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_hangs_keeps_no_other_place_waiting() {
    let site = VaultSite::new(2, None).await;
    let server = without_patch(&site.bao.url).await;
    let sink = format!(
        "[sinks.v]\ntype = \"vault\"\naddress = \"{server}\"\n\
         auth = {{ method = \"token\", token = {{ file = \"token\" }} }}"
    );
    let path = site.path();
    let place = |end: &str| {
        format!("{{ sink = \"v\", path = \"{path}{end}\", custom_metadata = {{ a = \"b\" }} }}")
    };
    let ends = ["-1", "-2", "-3"];
    let folder = configured(&sink, &format!("deliver_to = [{}]", ends.map(place).join(", ")));
    super::rotates::keep_as(folder.path(), "token", ROOT);
    let said = exits(&scimitar(folder.path(), &["--rotate-now", "--timeout", "10s"]).await, 0);
    let mut held = Vec::new();
    for end in ends {
        let location = path.replacen('/', "/data/", 1) + end;
        let data = site.bao.must("GET", &location, Value::Null).await;
        held.push(data["data"]["data"]["token_id"].clone());
        let unsaid =
            format!("could not write the tags, labels or metadata of {server}/{path}{end}");
        assert!(
            said.contains(&unsaid) && said.contains("The next delivery retries this"),
            "{said}"
        );
    }
    assert!(held[0].is_string() && held.iter().all(|id| *id == held[0]), "{held:?}");
}
