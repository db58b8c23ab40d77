//! What happens to the server in the middle of a rotation, through the real binary.

use std::collections::BTreeSet;

use reqwest::Client;
use scimitar::{
    error::Class,
    sandbox::{Act, Rule},
    sink::{Reading, Sink, vault::VaultSink},
};
use serde_json::{Value, json};

use super::{
    bao::{Bao, ROOT},
    binary::{Call, Running},
    raft::Raft,
    rights::Joined,
    rotates::{exits, scimitar},
    sink_conformance::{Gate, delivery},
    site::{VaultSite, server_with, sink},
};

/// Where the probe asks.
const SCIM: &str = "/scim/v2/";

impl Joined {
    async fn on(bao: &'static Bao) -> Self {
        Self::at(VaultSite::on(bao, 2, None).await, "approle").await
    }

    /// A rotation that is held between the mint and the promote.
    async fn minted(&self) -> Running {
        // The first that goes there asks without credentials, before the mint.
        self.tenant.faults().add(Rule::new("GET", SCIM, Act::HoldBefore).nth(2)).unwrap();
        let arguments = ["--config", "c.toml", "--rotate-now", "-v"];
        let running = Call::new(self.folder.path(), &arguments).start();
        running.until(self.tenant.faults().until_held(1)).await
    }

    /// The id of the token that readers get.
    async fn held(&self) -> String {
        let data = self.site.data().await;
        data["token_id"].as_str().unwrap_or_else(|| panic!("{data}")).to_owned()
    }

    async fn rotate(&self) -> String {
        exits(&scimitar(self.folder.path(), &["--rotate-now"]).await, 0);
        self.held().await
    }

    /// Adds a line to the connection's policy.
    fn set(&self, line: &str) {
        let path = self.folder.path().join("c.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, config + line + "\n").unwrap();
    }

    async fn set_of_tokens(&self) -> BTreeSet<String> {
        self.tokens().await.into_iter().collect()
    }
}

/// The process waits, and delivers what it minted as soon as the server is there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_minted_before_the_seal_is_delivered_after_it() {
    let bao: &'static Bao = Box::leak(Box::new(Bao::start(false).await));
    let joined = Joined::on(bao).await;
    let first = joined.rotate().await;
    let running = joined.minted().await;
    let minted = joined.set_of_tokens().await;
    assert_eq!(minted.len(), 2, "{minted:?}");
    bao.must("PUT", "sys/seal", Value::Null).await;
    joined.tenant.faults().release().await;
    running.err.until_text("sealed");
    assert_eq!(joined.set_of_tokens().await, minted, "nothing is given up");
    let key = json!({ "key": bao.unseal_key() });
    bao.must("PUT", "sys/unseal", key).await;
    let ended = running.ended().exits(0);
    let now = joined.held().await;
    assert_ne!(now, first);
    assert!(ended.stdout.contains(&now), "{}", ended.stdout);
    assert_eq!(joined.set_of_tokens().await, minted, "and nothing was minted twice");
    assert_eq!(joined.site.metadata().await["current_version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_restarted_gets_the_new_token() {
    let raft = Raft::start(1).await;
    let bao = raft.nodes[0];
    let joined = Joined::on(bao).await;
    let first = joined.rotate().await;
    let running = joined.minted().await;
    let minted = joined.set_of_tokens().await;
    bao.fall();
    joined.tenant.faults().release().await;
    running.err.until_text("no connection");
    bao.rise().await;
    raft.unseal(bao).await;
    running.ended().exits(0);
    assert_ne!(joined.held().await, first);
    assert_eq!(joined.set_of_tokens().await, minted);
    assert_eq!(joined.site.metadata().await["current_version"], 2);
}

async fn snapshot(bao: &Bao) -> Vec<u8> {
    let url = format!("{}/v1/sys/storage/raft/snapshot", bao.url);
    let client = Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).header("X-Vault-Token", ROOT).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap().to_vec()
}

async fn restore(bao: &Bao, snapshot: Vec<u8>) {
    let url = format!("{}/v1/sys/storage/raft/snapshot-force", bao.url);
    let client = Client::builder().no_proxy().build().unwrap();
    let sent = client.post(url).header("X-Vault-Token", ROOT).body(snapshot).send().await;
    assert!(sent.unwrap().status().is_success());
    bao.until("sys/health", |status| status == 200).await;
    // It says that it is well some seconds before it answers a log-in.
    bao.must("POST", "auth/token/create", json!({ "ttl": "1m" })).await;
}

/// Restored to before the delivery, in the overlap: the older token is there again, and counts as
/// current, since it works and nothing else is held. What was current goes after an overlap.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_restored_in_the_overlap_keeps_a_working_token() {
    let raft = Raft::start(1).await;
    let bao = raft.nodes[0];
    let joined = Joined::on(bao).await;
    joined.set("overlap = \"2s\"");
    let first = joined.rotate().await;
    let before = snapshot(bao).await;
    let second = joined.rotate().await;
    restore(bao, before).await;
    assert_eq!(joined.held().await, first);
    let once = scimitar(joined.folder.path(), &["--once"]).await;
    let said = exits(&once, 0);
    assert!(said.contains(&first), "{said}");
    assert_eq!(joined.set_of_tokens().await, BTreeSet::from([first.clone(), second]));
    exits(&scimitar(joined.folder.path(), &["--once", "--wait", "--timeout", "60s"]).await, 0);
    assert_eq!(joined.held().await, first);
    assert_eq!(joined.set_of_tokens().await, BTreeSet::from([first.clone()]));
    assert_ne!(joined.rotate().await, first, "and the next rotation is one like any other");
}

/// The same while a file still has the newer token: that the secret went back is reported, and the
/// older token stays for as long as it is there; under `on_drift = "restore"` the secret is given the
/// newer one again.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_gets_the_token_another_sink_still_holds() {
    let raft = Raft::start(1).await;
    let bao = raft.nodes[0];
    let joined = Joined::on(bao).await;
    let folder = joined.folder.path();
    joined.set("overlap = \"2s\"");
    let path = folder.join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let disk = "[sinks.disk]\ntype = \"file\"\ndirectory = \"out\"\n[sinks.v]";
    let config = config.replace("[sinks.v]", disk);
    let both = "deliver_to = [{ sink = \"disk\", file = \"token\" }, ";
    std::fs::write(&path, config.replace("deliver_to = [", both)).unwrap();
    std::fs::create_dir(folder.join("out")).unwrap();
    let first = joined.rotate().await;
    let before = snapshot(bao).await;
    let second = joined.rotate().await;
    restore(bao, before).await;
    let waiting = ["--once", "--wait", "--timeout", "4s"];
    let said = String::from_utf8(scimitar(folder, &waiting).await.stdout).unwrap();
    assert!(said.contains("drift") && said.contains(&first), "{said}");
    assert_eq!(joined.held().await, first, "it is reported and not touched");
    assert_eq!(joined.set_of_tokens().await, BTreeSet::from([first, second.clone()]));
    joined.set("on_drift = \"restore\"");
    exits(&scimitar(folder, &["--once", "--wait", "--timeout", "60s"]).await, 0);
    assert_eq!(joined.held().await, second);
    assert_eq!(joined.set_of_tokens().await, BTreeSet::from([second]));
}

/// Three servers, asked through one that is not the leader: what is read there is never older than
/// what was written, and the leader's end in mid-rotation costs nothing but time.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_in_mid_rotation_is_waited_out() {
    let raft = Raft::start(3).await;
    let [leader, asked, _] = raft.nodes[..] else { panic!("three nodes") };
    for _ in 0..2_400 {
        if raft.voters().await == 3 {
            break;
        }
        super::bao::pause(50).await;
    }
    assert_eq!(raft.voters().await, 3, "they would elect another");
    asked.until("sys/health", |status| status == 429).await;
    let joined = Joined::on(leader).await;
    let path = joined.folder.path().join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config.replace(&leader.url, &asked.url)).unwrap();
    let sink = sink(&server_with(&asked.url, &joined.site.token), &joined.site.path());
    for generation in 1..=10 {
        // A conflict, or "nothing there" where something is, would fail here.
        let seen = settled(&sink).await;
        let made = sink.promote(&delivery(generation), &seen.version, &Gate::open()).await.unwrap();
        assert_eq!(settled(&sink).await.version, made, "{generation}");
    }
    leader.must("DELETE", &joined.site.metadata_path(), Value::Null).await;
    let first = joined.rotate().await;
    let running = joined.minted().await;
    let minted = joined.set_of_tokens().await;
    leader.fall();
    joined.tenant.faults().release().await;
    running.ended().exits(0);
    let site = VaultSite { bao: asked, ..joined.site };
    let mut data = site.data().await;
    for _ in 0..200 {
        if data["token_id"] != first.as_str() {
            break;
        }
        // Readers of a standby see it a moment later.
        super::bao::pause(50).await;
        data = site.data().await;
    }
    assert_ne!(data["token_id"], first.as_str());
    assert!(minted.contains(data["token_id"].as_str().unwrap()), "{data}");
    assert_eq!(site.metadata().await["current_version"], 2, "nothing was minted twice");
}

/// What the sink says once it says anything: a standby that is behind is taken for no answer.
async fn settled(sink: &VaultSink) -> Reading {
    for _ in 0..200 {
        match sink.read().await {
            Ok(seen) => return seen,
            Err(fault) => assert_eq!(fault.class, Class::Transient, "{fault}"),
        }
        super::bao::pause(50).await;
    }
    panic!("it stays behind");
}
