//! Servers that keep what they hold: killed, started again, restored, and three of them together.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::bao::{Bao, ROOT};

/// Servers that replicate to each other, or one alone.
pub(crate) struct Raft {
    pub(crate) nodes: Vec<&'static Bao>,
    key: String,
}

/// One node's address and that for its peers; the ports are free when this returns.
fn addresses() -> (String, String) {
    let sockets = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [api, peers] = sockets.map(|socket| socket.local_addr().unwrap().to_string());
    (api, peers)
}

/// A node of its own folder. It lives as long as the process of the tests, but for [`Bao::fall`].
fn node(nth: usize, leader: Option<&Bao>) -> &'static Bao {
    let folder = tempfile::tempdir().unwrap();
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
            crate::bao::pause(50).await;
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
