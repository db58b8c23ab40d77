//! Headless Chromium over its own protocol (DevTools, NUL-separated JSON over two pipes).

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::{Value, json};

use super::debian;

/// No single answer takes longer, on the slowest machine; reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    /// What the page complained of.
    pub(crate) complaints: VecDeque<String>,
    _folder: tempfile::TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        // Named too: a machine may have it, but the browser looks for its files beside itself.
        let root = debian::root(&["chromium", "chromium-common"]);
        let folder = tempfile::tempdir().unwrap();
        let (to, from) = (folder.path().join("to"), folder.path().join("from"));
        for pipe in [&to, &from] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        // Both ends at once: opening one waits for nobody.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (to, from) = (open(&to), open(&from));
        let mut chromium = debian::command(&root, "usr/lib/chromium/chromium");
        let program = chromium.get_program().to_owned();
        let environment: Vec<_> = chromium
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        // A shell gives it the numbers of descriptors that it wants.
        chromium = Command::new("sh");
        chromium
            .arg("-c")
            .arg("exec \"$0\" \"$@\" 3<to 4>from")
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("about:blank")
            .current_dir(folder.path())
            .envs(environment)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = chromium.spawn().unwrap();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(from);
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                let text = message.strip_suffix(&[0]).unwrap_or(&message);
                let sent = serde_json::from_slice(text).map(|value| sender.send(value));
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
                message.clear();
            }
        });
        let mut browser = Self {
            child,
            to,
            from: receiver,
            calls: 0,
            session: None,
            complaints: VecDeque::new(),
            _folder: folder,
        };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            &json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// One call; what the page says meanwhile is kept.
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let heard = self.hear();
            if heard["id"] == self.calls {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].clone();
            }
        }
    }

    fn hear(&mut self) -> Value {
        let heard = self.from.recv_timeout(LIMIT).expect("the browser answers");
        let complaint = match heard["method"].as_str() {
            Some("Log.entryAdded") => Some(heard["params"]["entry"].to_string()),
            Some("Audits.issueAdded" | "Runtime.exceptionThrown" | "Runtime.consoleAPICalled") => {
                Some(heard["params"].to_string())
            }
            Some("Network.loadingFailed") => Some(heard["params"].to_string()),
            _ => None,
        };
        self.complaints.extend(complaint);
        heard
    }

    /// Opens an address, and waits until all of it is there.
    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({ "url": url }));
        self.loaded();
    }

    /// Waits until all of another page is there.
    pub(crate) fn loaded(&mut self) {
        while self.hear()["method"] != "Page.loadEventFired" {}
    }

    /// The size of the window, and what its owner prefers; nothing moves for them.
    pub(crate) fn window(&mut self, width: u32, height: u32, scheme: &str) {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 }),
        );
        self.prefers(scheme, "reduce");
    }

    /// What its owner prefers, colours and motion.
    pub(crate) fn prefers(&mut self, scheme: &str, motion: &str) {
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [
                { "name": "prefers-color-scheme", "value": scheme },
                { "name": "prefers-reduced-motion", "value": motion },
            ] }),
        );
    }

    /// What an expression comes to, in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let answer = self
            .call("Runtime.evaluate", &json!({ "expression": expression, "returnByValue": true }));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Presses a key and lets it go.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["keyDown", "keyUp"] {
            let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
            self.call(
                "Input.dispatchKeyEvent",
                &json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text }),
            );
        }
    }

    /// Presses Enter, and waits for the page that this leads to.
    pub(crate) fn enter(&mut self) {
        let params = json!({ "type": "keyDown", "key": "Enter", "code": "Enter",
            "windowsVirtualKeyCode": 13, "text": "\r" });
        self.call("Input.dispatchKeyEvent", &params);
        self.loaded();
    }

    /// Types a character.
    pub(crate) fn type_key(&mut self, key: &str) {
        for (kind, text) in [("keyDown", key), ("keyUp", "")] {
            let params = json!({ "type": kind, "key": key, "text": text });
            self.call("Input.dispatchKeyEvent", &params);
        }
    }

    /// The time zone of its owner.
    pub(crate) fn zone(&mut self, zone: &str) {
        self.call("Emulation.setTimezoneOverride", &json!({ "timezoneId": zone }));
    }

    /// Whether pages may run scripts.
    pub(crate) fn scripts(&mut self, may_run: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !may_run }));
    }

    /// A picture of the whole page, for people.
    pub(crate) fn picture(&mut self, name: &str) {
        let bytes = self.shot("png", 100, true);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("status-page-{name}.png"));
        std::fs::write(path, bytes).unwrap();
    }

    /// A picture of what the window shows, or of the whole page.
    pub(crate) fn shot(&mut self, format: &str, quality: u8, whole: bool) -> Vec<u8> {
        let mut params = json!({ "format": format, "captureBeyondViewport": whole });
        if format != "png" {
            params["quality"] = json!(quality);
        }
        let shot = self.call("Page.captureScreenshot", &params);
        base64(shot["data"].as_str().unwrap())
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let mut bytes = Vec::new();
    for four in text.as_bytes().chunks(4) {
        let padding = four.iter().filter(|byte| **byte == b'=').count();
        let bits = four.iter().fold(0, |bits, byte| (bits << 6) | digit(*byte));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    bytes
}
