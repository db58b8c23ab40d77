//! Servers that keep what they hold: killed, started again, restored, and three of them together.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::atomic::{AtomicU8, Ordering},
};

use serde_json::{Value, json};

use super::bao::{Bao, ROOT};

/// Servers that replicate to each other, or one alone.
pub(crate) struct Raft {
    pub(crate) nodes: Vec<&'static Bao>,
    key: String,
}

/// A node's address and that for its peers; the ports are free when this returns, and nobody else binds
/// any of this host's: each node has a host of its own, out of those that are this machine.
fn addresses() -> (String, String) {
    static NODES: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = Ipv4Addr::new(127, high | 1, low, NODES.fetch_add(1, Ordering::Relaxed));
    let sockets = [(), ()].map(|()| TcpListener::bind((host, 0)).unwrap());
    let [api, peers] = sockets.map(|socket| socket.local_addr().unwrap().to_string());
    (api, peers)
}

/// A node of its own folder. It lives as long as the process of the tests, but for [`Bao::fall`].
fn node(nth: usize, leader: Option<&Bao>) -> &'static Bao {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (api, peers) = addresses();
    let join = leader.map_or_else(String::new, |leader| {
        format!("retry_join {{ leader_api_addr = \"{}\" }}", leader.url)
    });
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let config = format!(
        r#"
ui = false
disable_mlock = true
api_addr = "http://{api}"
cluster_addr = "https://{peers}"
storage "raft" {{
  path = "data"
  node_id = "n{nth}"
  performance_multiplier = 1
  {join}
}}
listener "tcp" {{
  address = "{api}"
  cluster_address = "{peers}"
  tls_disable = true
}}
"#
    );
    std::fs::write(folder.path().join("node.hcl"), config).unwrap();
    Box::leak(Box::new(Bao::durable(format!("http://{api}"), folder)))
}

impl Raft {
    pub(crate) async fn start(nodes: usize) -> Self {
        let first = node(1, None);
        first.rise().await;
        let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let made = first.must("PUT", "sys/init", body).await;
        let key = made["keys_base64"][0].as_str().unwrap().to_owned();
        let mut raft = Self { nodes: vec![first], key };
        raft.unseal(first).await;
        first.until("sys/health", |status| status == 200).await;
        let body = json!({ "id": ROOT, "policies": ["root"] });
        let root = made["root_token"].as_str().unwrap();
        let (status, answer) = first.ask_as(root, "POST", "auth/token/create", body).await;
        assert_eq!(status, 200, "{answer}");
        for nth in 2..=nodes {
            let node = node(nth, Some(first));
            node.rise().await;
            raft.unseal(node).await;
            node.until("sys/health", |status| status == 429).await;
            raft.nodes.push(node);
        }
        raft
    }

    /// Opens a node; one that joins takes a moment to know what it is asked for.
    pub(crate) async fn unseal(&self, node: &Bao) {
        let mut last = Value::Null;
        for _ in 0..400 {
            let body = json!({ "key": self.key });
            let (status, answer) = node.ask("PUT", "sys/unseal", body).await;
            if status == 200 {
                return;
            }
            last = answer;
            super::bao::pause(50).await;
        }
        panic!("{} stays sealed: {last}", node.url);
    }

    /// The nodes that would elect another leader.
    pub(crate) async fn voters(&self) -> usize {
        let (_, answer) =
            self.nodes[0].ask("GET", "sys/storage/raft/configuration", Value::Null).await;
        let servers = answer["data"]["config"]["servers"].as_array().cloned().unwrap_or_default();
        servers.iter().filter(|server| server["voter"] == true).count()
    }
}
