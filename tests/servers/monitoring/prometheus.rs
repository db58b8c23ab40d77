//! A real Prometheus, and promtool, from Debian.

use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use chrono::TimeDelta;
use reqwest::Client;
use scimitar::clock::{Clock, SystemClock};
use serde_json::Value;

use super::{debian, site};

/// How often another port is chosen where somebody else was faster.
const ATTEMPTS: usize = 5;

/// It ends when its standard input does, so with the test however that ends.
const UNTIL_CLOSED: &str = "\"$@\" & read -r _; kill -s KILL $!; wait";

/// A server with the rules of this project, which scrapes one target.
pub(crate) struct Prometheus {
    url: String,
    shell: Child,
    folder: tempfile::TempDir,
}

/// The folder that Debian's packages are in.
fn root() -> PathBuf {
    debian::root(&["prometheus"])
}

/// Calls promtool in `monitoring/`, with this on its standard input.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = debian::command(&root(), "usr/bin/promtool")
        .args(arguments)
        .current_dir(site::of_project("monitoring"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It reads all of it before it writes.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The same, which has to end well.
pub(crate) fn promtool_accepts(arguments: &[&str], input: &str) {
    let output = promtool(arguments, input);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
}

impl Prometheus {
    /// Starts it with `monitoring/prometheus.yml`, in which only the target and the pace differ.
    pub(crate) async fn scraping(target: SocketAddr) -> Self {
        for _ in 0..ATTEMPTS {
            let folder = tempfile::tempdir().unwrap();
            configure(folder.path(), target);
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let shell = start(folder.path(), port);
            let server = Self { url: format!("http://127.0.0.1:{port}"), shell, folder };
            if server.is_ready().await {
                return server;
            }
        }
        panic!("no Prometheus after {ATTEMPTS} attempts");
    }

    /// What an expression comes to at this moment: its series.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.get("query", &[("query", expression)]).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let result = &answer["data"]["result"];
        result.as_array().unwrap_or_else(|| panic!("{expression} is one number")).clone()
    }

    /// The alerting rules, as it has read them, once each was looked at.
    pub(crate) async fn rules(&self) -> Vec<Value> {
        for _ in 0..1_200 {
            let answer = self.get("rules", &[("type", "alert")]).await;
            let groups = answer["data"]["groups"].as_array().unwrap();
            let rules: Vec<Value> = groups
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap().clone())
                .collect();
            if !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown") {
                return rules;
            }
            pause().await;
        }
        panic!("the rules were not looked at: {}", self.log());
    }

    /// Waits until an expression has series.
    pub(crate) async fn until(&self, expression: &str) -> Vec<Value> {
        for _ in 0..1_200 {
            let series = self.query(expression).await;
            if !series.is_empty() {
                return series;
            }
            pause().await;
        }
        panic!("{expression} has no series: {}", self.log());
    }

    async fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Value {
        let url = format!("{}/api/v1/{what}", self.url);
        let answer = client().get(url).query(parameters).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Whether it came up; false when it ended instead, because the port was taken.
    async fn is_ready(&self) -> bool {
        for _ in 0..1_200 {
            if self.log().contains("address already in use") {
                return false;
            }
            let asked = client().get(format!("{}/-/ready", self.url)).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            pause().await;
        }
        panic!("Prometheus did not come up: {}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn configure(folder: &Path, target: SocketAddr) {
    let text = site::read("monitoring/prometheus.yml");
    for expected in ["\"127.0.0.1:9469\"", "_interval: 1m", "scrape_timeout: 50s"] {
        assert!(text.contains(expected), "{expected}");
    }
    let text = text
        .replace("127.0.0.1:9469", &target.to_string())
        .replace("_interval: 1m", "_interval: 1s")
        .replace("    scrape_timeout: 50s\n", "");
    fs::write(folder.join("prometheus.yml"), text).unwrap();
    fs::copy(site::of_project("monitoring/alerts.yml"), folder.join("alerts.yml")).unwrap();
}

fn start(folder: &Path, port: u16) -> Child {
    let server = debian::command(&root(), "usr/bin/prometheus");
    let mut shell = Command::new("sh");
    shell.args(["-c", UNTIL_CLOSED, "sh"]).arg(server.get_program());
    for (name, value) in server.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let log = File::create(folder.join("log")).unwrap();
    shell
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn client() -> Client {
    Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

/// Between two questions whether something is there yet.
async fn pause() {
    let clock = SystemClock;
    clock.sleep_until(clock.now() + TimeDelta::milliseconds(50)).await;
}
