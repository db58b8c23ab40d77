//! A pod: an application and Scimitar beside it, two processes that share a folder which is empty
//! whenever they are made anew. What lasts is the provider and Vault.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{
    bao::{self, Bao, ROOT},
    binary::{Call, Running},
    tenant::{SECRET, TOKENS, Tenant, connection, put},
};

/// How often the pod is killed and made anew.
const ROUNDS: usize = 10;

/// The two processes.
struct Pod {
    scimitar: Running,
    application: Child,
}

impl Pod {
    /// Makes the pod's own folders, empty, and starts both, the application first.
    fn start(folder: &Path, keeps_its_ledger: bool) -> Self {
        let pod = folder.join("pod");
        for (name, is_kept) in [("memory", false), ("ledger", keeps_its_ledger)] {
            let path = pod.join(name);
            if path.exists() && !is_kept {
                fs::remove_dir_all(&path).unwrap();
            }
            fs::create_dir_all(&path).unwrap();
            // As Kubernetes leaves an emptyDir.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let application = Command::new("sh")
            .args(["-c", "until [ -s \"$0\" ]; do sleep 0.02; done; cat \"$0\"; echo; exec cat"])
            .arg(pod.join("memory/tokens/initech.token"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let scimitar = Call::new(folder, &["-vv", "--config", "scimitar.toml"]).start();
        Self { scimitar, application }
    }

    /// What the application finds in its folder, as soon as there is something.
    fn token(&mut self) -> String {
        let mut line = String::new();
        let out = self.application.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends both at once, as a node that fails does.
    fn kill(mut self) {
        self.application.kill().unwrap();
        self.application.wait().unwrap();
        self.scimitar.kill_9();
    }
}

async fn site(folder: &Path) -> (Tenant, &'static Bao, String) {
    let tenant = Tenant::start(folder, SECRET, None).await.unwrap();
    put(&folder.join("secrets/auth0-acme"), SECRET);
    let bao = bao::shared().await;
    put(&folder.join("secrets/vault"), ROOT);
    let path = format!("{}/scim/initech", bao.mount(2).await);
    let deliver_to = format!(
        "{{ sink = \"vault\", path = \"{path}\" }}, {{ sink = \"memory\", file = \"initech.token\" }}"
    );
    let config = format!(
        "[state]\nurl = \"sqlite://pod/ledger/ledger.db\"\n{}\
         [sinks.vault]\ntype = \"vault\"\naddress = \"{}\"\n\
         auth = {{ method = \"token\", token = {{ file = \"secrets/vault\" }} }}\n\
         [sinks.memory]\ntype = \"file\"\ndirectory = \"pod/memory/tokens\"\n{}",
        tenant.provider("secrets"),
        bao.url,
        connection(&deliver_to),
    );
    put(&folder.join("scimitar.toml"), &config);
    (tenant, bao, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_killed_and_made_anew_ten_times_mints_nothing() {
    // A pod's folder for tokens is in memory.
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (tenant, bao, path) = site(folder.path()).await;
    let mut pod = Pod::start(folder.path(), false);
    let value = pod.token();
    pod.scimitar.err.until_text("\"outcome\":");
    pod.kill();
    assert_eq!((tenant.asked("POST", TOKENS), tenant.tokens().await.len()), (1, 1));
    let (mount, name) = path.split_once('/').unwrap();
    let held = bao.must("GET", &format!("{mount}/data/{name}"), serde_json::Value::Null).await;
    assert_eq!(held["data"]["data"]["token"], value.as_str(), "Vault holds it as well");
    for round in 0..ROUNDS {
        // A pod on another node starts with nothing; a container that was killed keeps its ledger.
        let mut pod = Pod::start(folder.path(), round % 2 == 1);
        assert_eq!(pod.token(), value, "round {round}: the folder is filled from Vault");
        assert_eq!(tenant.use_token(&value).await, 200, "round {round}");
        // Every third time it is killed in the middle of whatever comes after the delivery.
        if round % 3 != 0 {
            pod.scimitar.err.until_text("\"outcome\":");
        }
        pod.kill();
        assert_eq!(tenant.asked("POST", TOKENS), 1, "round {round}: nothing is minted");
    }
    assert_eq!(tenant.tokens().await.len(), 1);
    let asked = tenant.faults().requests();
    assert!(!asked.iter().any(|seen| seen.method == "DELETE"), "and nothing is revoked");
}
