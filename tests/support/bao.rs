//! A real OpenBao server, in memory, for the tests of one process.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::{Client, Method};
use scimitar::clock::{Clock, SystemClock};
use serde_json::{Value, json};

/// The token that may do everything.
pub const ROOT: &str = "root-of-the-tests";

/// A running server; it ends with this, or with the process that holds it.
#[derive(Debug)]
pub struct Bao {
    /// Where it listens.
    pub url: String,
    /// What it needs of certificates when it speaks TLS: its own authority's among them.
    pub certificates: PathBuf,
    /// Closing its standard input ends the server; `None` while there is none.
    shell: Mutex<Option<Child>>,
    folder: tempfile::TempDir,
}

/// How many times another port is tried.
const ATTEMPTS: usize = 5;

/// The one server that the tests of this process share; each makes its own mounts in it.
pub async fn shared() -> &'static Bao {
    static SHARED: OnceLock<tokio::sync::OnceCell<Bao>> = OnceLock::new();
    SHARED.get_or_init(tokio::sync::OnceCell::new).get_or_init(|| Bao::start(false)).await
}

/// A name that no other test of this process uses.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{stem}-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// Between two questions whether something is there yet.
pub async fn pause(milliseconds: i64) {
    let clock = SystemClock;
    clock.sleep_until(clock.now() + chrono::TimeDelta::milliseconds(milliseconds)).await;
}

impl Bao {
    /// Starts a server of its own.
    pub async fn start(tls: bool) -> Self {
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(bao) = Self::start_at(port, tls).await {
                return bao;
            }
        }
        panic!("no server after {ATTEMPTS} attempts");
    }

    /// Starts a server of its own at this port; `None` where something else is there.
    pub async fn start_at(port: u16, tls: bool) -> Option<Self> {
        let bin = tokio::task::spawn_blocking(crate::venv::bin).await.unwrap();
        let folder = tempfile::tempdir_in(crate::built::scratch()).unwrap();
        let mut server = serving(&bin, folder.path(), "TERM");
        server
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"));
        if tls {
            server.args(["-dev-tls", "-dev-tls-cert-dir"]).arg(folder.path());
        }
        let shell = Mutex::new(Some(server.spawn().unwrap()));
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://127.0.0.1:{port}");
        let bao = Self { url, certificates: folder.path().to_owned(), shell, folder };
        bao.is_up().await.then_some(bao)
    }

    /// A server that keeps what it holds in `folder`, as its `node.hcl` says; not started yet.
    pub fn durable(url: String, folder: tempfile::TempDir) -> Self {
        Self { url, certificates: folder.path().to_owned(), shell: Mutex::new(None), folder }
    }

    /// Starts a durable server, again perhaps; it is sealed.
    pub async fn rise(&self) {
        let bin = tokio::task::spawn_blocking(crate::venv::bin).await.unwrap();
        let mut server = serving(&bin, self.folder.path(), "KILL");
        server.args(["server", "-config=node.hcl"]).current_dir(self.folder.path());
        *self.shell.lock().unwrap() = Some(server.spawn().unwrap());
        self.until("sys/health", |status| status != 0).await;
    }

    /// Ends it as a power cut would.
    pub fn fall(&self) {
        if let Some(mut shell) = self.shell.lock().unwrap().take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Waits until what `path` is answered is what is wanted; 0 stands for no answer.
    pub async fn until(&self, path: &str, wanted: impl Fn(u16) -> bool) {
        let mut last = 0;
        for _ in 0..1_200 {
            let asked = self.client().get(format!("{}/v1/{path}", self.url));
            let asked = asked.header("X-Vault-Token", ROOT).send().await;
            last = asked.map_or(0, |answer| answer.status().as_u16());
            if wanted(last) {
                return;
            }
            pause(50).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("{path} is still answered {last}: {log}");
    }

    /// Waits until it answers; false when it ended instead, say because the port was taken.
    async fn is_up(&self) -> bool {
        let log = self.folder.path().join("log");
        for _ in 0..600 {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if said.contains("Error ") || said.contains("address already in use") {
                return false;
            }
            if said.contains("Development mode should NOT be used")
                && self.client().get(format!("{}/v1/sys/health", self.url)).send().await.is_ok()
            {
                return true;
            }
            pause(50).await;
        }
        panic!("{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    fn client(&self) -> Client {
        let builder = Client::builder().no_proxy().tls_certs_only([]);
        if self.url.starts_with("https") {
            return builder.tls_danger_accept_invalid_certs(true).build().unwrap();
        }
        builder.build().unwrap()
    }

    /// What opens it again after it was sealed.
    pub fn unseal_key(&self) -> String {
        let said = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        let line = said.lines().find_map(|line| line.strip_prefix("Unseal Key: ")).unwrap();
        line.trim().to_owned()
    }

    /// A call with the token that may do everything: the status and the answer.
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(ROOT, method, path, body).await
    }

    pub async fn ask_as(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask_with(token, method, path, body, &[]).await
    }

    pub async fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let kind = if method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let mut request = self
            .client()
            .request(method, format!("{}/v1/{path}", self.url))
            .header("X-Vault-Token", token)
            .header("Content-Type", kind);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A call that has to be answered well.
    pub async fn must(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!(status < 300, "{method} {path}: {status} {answer}");
        answer
    }

    /// A key-value engine of its own.
    pub async fn mount(&self, version: u8) -> String {
        let name = unique("kv");
        self.mount_at(&name, version).await;
        name
    }

    /// The same, by this name.
    pub async fn mount_at(&self, name: &str, version: u8) {
        let body = json!({ "type": "kv", "options": { "version": version.to_string() } });
        self.must("POST", &format!("sys/mounts/{name}"), body).await;
        // An engine of version 2 sets itself up after the answer.
        for _ in 0..200 {
            let (status, _) = self.ask("LIST", &format!("{name}/"), Value::Null).await;
            let (config, _) = self.ask("GET", &format!("{name}/config"), Value::Null).await;
            if (version == 1 && status == 404) || config == 200 {
                return;
            }
            pause(25).await;
        }
        panic!("the engine {name} does not come up");
    }

    pub async fn policy(&self, name: &str, rights: &[(String, &[&str])]) {
        let rules: Vec<String> = rights
            .iter()
            .map(|(path, rights)| format!("path \"{path}\" {{ capabilities = {rights:?} }}"))
            .collect();
        let body = json!({ "policy": rules.join("\n") });
        self.must("POST", &format!("sys/policies/acl/{name}"), body).await;
    }

    /// A token with a policy, and more of what can be said of one.
    pub async fn token(&self, policy: &str, mut more: Value) -> String {
        more["policies"] = json!([policy]);
        let made = self.must("POST", "auth/token/create", more).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        self.fall();
    }
}

/// A command that runs the server until its own input ends: also when the tests crash.
fn serving(bin: &Path, folder: &Path, signal: &str) -> Command {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    let script = format!("\"$@\" </dev/null & cat >/dev/null; kill -s {signal} $!; wait");
    let mut server = Command::new("sh");
    server.args(["-c", &script, "sh"]).arg(bin.join("bao"));
    server.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    for name in ["BAO_ADDR", "VAULT_ADDR", "BAO_TOKEN", "VAULT_TOKEN"] {
        server.env_remove(name);
    }
    server.env("HOME", folder);
    server
}
