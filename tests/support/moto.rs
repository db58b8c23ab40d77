//! A real moto server, which answers as AWS does in most things, for the tests of one process.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::Client;
use scimitar::clock::{Clock, SystemClock};
use serde_json::{Value, json};

/// The region that secrets are in where nothing else is said.
pub const REGION: &str = "eu-central-1";

/// The account that moto pretends to be.
pub const ACCOUNT: &str = "123456789012";

/// A running server; it ends with this, or with the process that holds it.
#[derive(Debug)]
pub struct Moto {
    /// Where it listens.
    pub url: String,
    /// Closing its standard input ends the server.
    shell: Child,
    _folder: tempfile::TempDir,
}

/// The keys of a user.
#[derive(Clone, Debug)]
pub struct Keys {
    pub user: String,
    pub id: String,
    pub key: String,
}

/// The one server that the tests of this process share; each has its own names in it.
pub async fn shared() -> &'static Moto {
    static SHARED: OnceLock<tokio::sync::OnceCell<Moto>> = OnceLock::new();
    SHARED.get_or_init(tokio::sync::OnceCell::new).get_or_init(Moto::start).await
}

/// A name that no other test of this process uses.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{stem}.{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

/// Between two questions whether something is there yet.
async fn pause() {
    let clock = SystemClock;
    clock.sleep_until(clock.now() + chrono::TimeDelta::milliseconds(50)).await;
}

impl Moto {
    /// Starts a server of its own, on a port that the system chooses.
    pub async fn start() -> Self {
        let bin = tokio::task::spawn_blocking(crate::venv::bin).await.unwrap();
        let folder = tempfile::tempdir_in(crate::built::scratch()).unwrap();
        let log = folder.path().join("log");
        let out = std::fs::File::create(&log).unwrap();
        let shell = Command::new("sh")
            // The shell ends the server when its own input does: also when the tests crash.
            .args(["-c", "\"$@\" </dev/null & cat >/dev/null; kill $!; wait", "sh"])
            .arg(bin.join("moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .env_remove("MOTO_PORT")
            .env("HOME", folder.path())
            .spawn()
            .unwrap();
        let url = listening(&log).await;
        Self { url, shell, _folder: folder }
    }

    fn client() -> Client {
        Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
    }

    /// A call of Secrets Manager in a region, unsigned: the status and the answer.
    pub async fn ask_in(&self, region: &str, call: &str, body: Value) -> (u16, Value) {
        let target = format!("secretsmanager.{call}");
        self.ask(&credential(region, "secretsmanager"), target, body).await
    }

    /// A call of Systems Manager, unsigned: the status and the answer.
    pub async fn ask_ssm(&self, call: &str, body: Value) -> (u16, Value) {
        self.ask(&credential(REGION, "ssm"), format!("AmazonSSM.{call}"), body).await
    }

    async fn ask(&self, credential: &str, target: String, body: Value) -> (u16, Value) {
        let answer = Self::client()
            .post(&self.url)
            .header("Authorization", credential)
            .header("X-Amz-Target", target)
            .header("Content-Type", "application/x-amz-json-1.1")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// A call of IAM.
    async fn iam(&self, fields: &[(&str, &str)]) -> String {
        let answer = Self::client()
            .post(&self.url)
            .header("Authorization", credential("us-east-1", "iam"))
            .form(fields)
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{fields:?}: {text}");
        text
    }

    /// A user of its own.
    pub async fn user(&self, name: &str) -> Keys {
        const VERSION: (&str, &str) = ("Version", "2010-05-08");
        self.iam(&[("Action", "CreateUser"), ("UserName", name), VERSION]).await;
        let made = self.iam(&[("Action", "CreateAccessKey"), ("UserName", name), VERSION]).await;
        let id = element(&made, "AccessKeyId");
        Keys { user: name.to_owned(), id, key: element(&made, "SecretAccessKey") }
    }

    /// The keys of a role in another account.
    pub async fn elsewhere(&self, account: &str) -> Keys {
        let role = format!("arn:aws:iam::{account}:role/elsewhere");
        let fields = [
            ("Action", "AssumeRole"),
            ("RoleArn", role.as_str()),
            ("RoleSessionName", "test"),
            ("Version", "2011-06-15"),
        ];
        let answer = Self::client()
            .post(&self.url)
            .header("Authorization", credential("us-east-1", "sts"))
            .form(&fields)
            .send()
            .await
            .unwrap();
        let made = answer.text().await.unwrap();
        let user = "elsewhere".to_owned();
        Keys { user, id: element(&made, "AccessKeyId"), key: element(&made, "SecretAccessKey") }
    }

    /// Makes this the whole of what a user may do.
    pub async fn grant(&self, keys: &Keys, policy: &Value) {
        let policy = policy.to_string();
        self.iam(&[
            ("Action", "PutUserPolicy"),
            ("UserName", &keys.user),
            ("PolicyName", "rights"),
            ("PolicyDocument", &policy),
            ("Version", "2010-05-08"),
        ])
        .await;
    }

    /// Whether rights and signatures are looked at.
    pub async fn guard(&self, on: bool) {
        let answer = Self::client()
            .post(format!("{}/moto-api/reset-auth", self.url))
            .header("Content-Type", "text/plain")
            .body(if on { "0" } else { "inf" })
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn element(text: &str, name: &str) -> String {
    let (_, rest) = text.split_once(&format!("<{name}>")).unwrap();
    rest.split_once('<').unwrap().0.to_owned()
}

/// A policy that allows these and no more.
pub fn policy(actions: &[&str]) -> Value {
    let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

fn credential(region: &str, service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=TEST/20261122/{region}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}

/// Where it says that it listens.
async fn listening(log: &Path) -> String {
    for _ in 0..600 {
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let line = said.lines().find_map(|line| line.split_once("Running on ").map(|(_, url)| url));
        if let Some(url) = line {
            return url.trim().to_owned();
        }
        pause().await;
    }
    panic!("{}", std::fs::read_to_string(log).unwrap_or_default());
}
