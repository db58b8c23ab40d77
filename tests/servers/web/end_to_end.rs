//! The real binary: the daemon rotates in its sandbox, and is asked over HTTP.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

use super::binary::{Call, LIMIT, Running};

/// The example with a port, in a folder of its own.
struct Home {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // An address of this machine that no other process uses: a port that was free on it stays so.
        let [_, a, b, c] = (0x7f00_0000 | (std::process::id() & 0x00ff_fffe)).to_be_bytes();
        let ip = Ipv4Addr::new(127, a, b, c.max(2));
        let address = TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap();
        let home = Self { folder, address };
        home.configure(&format!("[server]\nlisten = \"{address}\"\n"));
        home
    }

    fn configure(&self, server: &str) {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
        let example = fs::read_to_string(example).unwrap();
        let (before, after) = example.split_once("\n[log]\n").unwrap();
        let without: String = before
            .lines()
            .filter(|line| !line.contains("[server]") && !line.starts_with("listen"))
            .fold(String::new(), |text, line| text + line + "\n");
        let text = format!("{without}\n{server}\n[log]\n{after}");
        fs::write(self.folder.path().join("scimitar.toml"), text).unwrap();
    }

    fn call(&self, arguments: &[&str]) -> Call {
        Call::new(self.folder.path(), &[arguments, &["--config", "scimitar.toml"]].concat())
    }

    fn run(&self) -> Running {
        let daemon = self.call(&["run"]).start();
        daemon.err.until_text("the status page is open");
        daemon
    }

    fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.address);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer = client.get(url).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    fn row(&self) -> Value {
        let (_, text) = self.get("/api/v1/connections");
        let document: Value = serde_json::from_str(&text).unwrap();
        document["results"][0].clone()
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(20);
    for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
        if done() {
            return;
        }
        std::thread::park_timeout(PAUSE);
    }
    panic!("it did not come to pass: {what}");
}

#[test]
fn the_daemon_shows_what_status_says_and_never_a_value() {
    let home = Home::new();
    let daemon = home.run();
    until("the first rotation", || home.row()["next_at"].is_string());
    let status = home.call(&["status", "--output", "json"]).run().exits(0);
    assert_eq!(home.row(), status.row());
    home.call(&["healthcheck"]).run().exits(0);

    let delivered = home.folder.path().join("example-data/tokens/initech-okta.token");
    let value = fs::read_to_string(delivered).unwrap();
    let (id, secret) = value.trim().split_once('.').unwrap();
    let mut seen = String::new();
    for path in ["/", "/c/initech-okta", "/metrics", "/livez", "/readyz", "/api/v1/connections"] {
        let (_, text) = home.get(path);
        assert!(!text.contains(secret), "{path} holds the value");
        seen.push_str(&text);
    }
    assert!(seen.contains(id), "ids are shown");
    assert!(seen.contains("scimitar_token_expiry_timestamp_seconds{"), "metrics are there");
    assert!(seen.contains("every sink holds"), "the history is there");

    // With a file that it could not read again, the daemon is as ready as it was.
    let file = home.folder.path().join("scimitar.toml");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replace("rotate_before =", "rotate_befor =")).unwrap();
    let ready = home.call(&["healthcheck"]).run().exits(0);
    let keeps = "the daemon keeps its previous configuration: 1 error in scimitar.toml";
    assert!(ready.stderr.contains(keeps), "{}", ready.stderr);
    fs::write(&file, whole).unwrap();

    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret));
    let asked = home.call(&["healthcheck"]).run().exits(1);
    assert!(
        asked.stderr.contains("Connection refused; is the service running?"),
        "{}",
        asked.stderr
    );
}

#[test]
fn healthcheck_says_why_it_cannot_say_ready() {
    let home = Home::new();
    // Nobody listens; then somebody else does; then one that never answers.
    let none = home.call(&["healthcheck", "--output", "json"]).run().exits(1);
    let document = none.json();
    assert_eq!(document["error"]["class"], "online");
    assert_eq!(document["results"], json!([]));
    let other = TcpListener::bind(home.address).unwrap();
    let speaker = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 512]);
        stream.write_all(b"SSH-2.0-other\r\n").unwrap();
        drop(stream);
        other
    });
    let unmanaged = home.call(&["healthcheck"]).run().exits(1);
    assert!(
        unmanaged.stderr.contains("another program uses this port, not Scimitar"),
        "{}",
        unmanaged.stderr
    );
    let other = speaker.join().unwrap();
    let silent = home.call(&["healthcheck"]).run().exits(1);
    assert!(silent.stderr.contains("did not answer within 5 s"), "{}", silent.stderr);
    // The daemon finds the port taken, and says so before it does anything.
    let taken = home.call(&["run"]).run().exits(1);
    assert!(
        taken.stderr.contains(&format!(
            "the status page cannot be opened at {}: Address already in use; another process uses this port",
            home.address
        )),
        "{}",
        taken.stderr
    );
    assert!(!home.folder.path().join("example-data/tokens").exists(), "nothing was rotated");
    drop(other);

    home.configure("");
    let without = home.call(&["healthcheck"]).run().exits(2);
    assert!(
        without.stderr.contains("write [server] with listen = \"127.0.0.1:9469\""),
        "{}",
        without.stderr
    );
    home.configure("[server]\nlisten = \"127.0.0.1:0\"\n");
    home.call(&["healthcheck"]).run().exits(2);
}
