//! The real binary as PID 1 of a namespace, as a container has it: nobody above it, and the kernel
//! keeps from it every signal that it does not ask for.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use scimitar::{
    clock::{Clock, SystemClock},
    sandbox::{Act, Rule},
};

use super::tenant::{SECRET, TOKENS, Tenant, connection, put, until};

/// A namespace and what is PID 1 in it.
struct Box1 {
    outer: Child,
    /// As seen from here.
    init: String,
    said: PathBuf,
}

impl Box1 {
    /// Runs a shell script there that ends in an exec of the program, `$0`.
    async fn start(folder: &Path, script: &str) -> Self {
        let said = folder.join("said");
        let mut outer = Command::new("unshare");
        outer.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
        if !nix::unistd::geteuid().is_root() {
            outer.args(["--user", "--map-root-user"]);
        }
        let outer = outer
            .args(["sh", "-c", script, env!("CARGO_BIN_EXE_scimitar")])
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap())
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", outer.id());
        // From here on it is ended with this, whatever comes.
        let mut here = Self { outer, init: String::new(), said };
        until("the namespace has a PID 1 that is scimitar", || {
            let said = || fs::read_to_string(&here.said).unwrap();
            assert!(here.outer.try_wait().unwrap().is_none(), "{}", said());
            here.init = fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
            let name = fs::read_to_string(format!("/proc/{}/comm", here.init));
            name.is_ok_and(|name| name == "scimitar\n")
        })
        .await;
        let status = fs::read_to_string(format!("/proc/{}/status", here.init)).unwrap();
        let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        assert_eq!(inside.split_whitespace().next_back(), Some("1"));
        here
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.init]).status().unwrap();
        assert!(sent.success());
    }

    async fn until_said(&self, text: &str) {
        until(text, || fs::read_to_string(&self.said).unwrap().contains(text)).await;
    }

    /// Its exit status, once it has ended.
    async fn ended(&mut self) -> Option<i32> {
        let outer = &mut self.outer;
        let mut status = None;
        until("its end", || {
            status = outer.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }

    /// What PID 1 has for children, and whether each is but waiting to be reaped.
    fn children(&self) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.init)).unwrap() {
            let list =
                fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
            for child in list.split_whitespace() {
                let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
                let is_zombie = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
                found.push((child.to_owned(), is_zombie));
            }
        }
        found
    }
}

impl Drop for Box1 {
    fn drop(&mut self) {
        // --kill-child ends what is inside.
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

const RUN: &str = "exec \"$0\" -vv --config scimitar.toml";

async fn site(folder: &Path) -> Tenant {
    let tenant = Tenant::start(folder, SECRET, None).await.unwrap();
    put(&folder.join("secrets/auth0-acme"), SECRET);
    let config = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n{}\
         [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n{}",
        tenant.provider("secrets"),
        connection("{ sink = \"disk\", file = \"initech.token\" }"),
    );
    put(&folder.join("scimitar.toml"), &config);
    tenant
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_pid_1_promptly_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = site(folder.path()).await;
    for name in ["TERM", "INT"] {
        let mut pid1 = Box1::start(folder.path(), RUN).await;
        pid1.until_said("\"outcome\":").await;
        pid1.signal(name);
        assert_eq!(pid1.ended().await, Some(0), "SIG{name}");
    }
    assert_eq!(tenant.asked("POST", TOKENS), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_pid_1_and_the_next_start_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = site(folder.path()).await;
    tenant.faults().add(Rule::new("POST", "", Act::HoldBefore).ending(TOKENS).nth(1)).unwrap();
    let mut pid1 = Box1::start(folder.path(), RUN).await;
    tenant.faults().until_held(1).await;
    pid1.signal("TERM");
    pid1.until_said("shutting down").await;
    pid1.signal("TERM");
    // It ends although its request is still held.
    assert_eq!(pid1.ended().await, Some(143));
    tenant.faults().release().await;
    let pid1 = Box1::start(folder.path(), RUN).await;
    let token = folder.path().join("tokens/initech.token");
    until("a delivery", || token.exists()).await;
    until("one token", || fs::read_to_string(&token).is_ok_and(|text| !text.is_empty())).await;
    pid1.signal("TERM");
    assert_eq!(tenant.use_token(&fs::read_to_string(&token).unwrap()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn pid_1_reaps_what_others_leave_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let _tenant = site(folder.path()).await;
    // What a hook puts into the background is PID 1's when the hook ends.
    let left = "(until [ -e go ]; do sleep 0.05; done) &".repeat(12);
    let script = format!("{left} {RUN}");
    let pid1 = Box1::start(folder.path(), &script).await;
    assert_eq!(pid1.children().len(), 12);
    let began = SystemClock.now();
    fs::write(folder.path().join("go"), "").unwrap();
    until("none is left", || pid1.children().is_empty()).await;
    let took = SystemClock.now() - began;
    assert!(took < chrono::TimeDelta::seconds(20), "all at once, not one after the other: {took}");
    pid1.until_said("\"outcome\":").await;
    assert_eq!(pid1.children(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn pid_1_reaps_what_its_hooks_leave_and_knows_how_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let _tenant = site(folder.path()).await;
    // Each leaves a dozen behind that have left its group, and ends with a status of its own.
    let text = "#!/bin/sh\nn=0\nwhile [ $n -lt 12 ]; do setsid -f sh -c 'until [ -e go ]; do sleep \
                0.05; done' >/dev/null 2>&1; n=$((n + 1)); done\nexit 7\n";
    let hook = folder.path().join("after-rotation");
    put(&hook, &text.replace("go", folder.path().join("go").to_str().unwrap()));
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let config = fs::read_to_string(folder.path().join("scimitar.toml")).unwrap();
    let hooks = format!("[[hooks]]\non = [\"delivered\"]\nexec = [\"{}\"]\n", hook.display());
    put(&folder.path().join("scimitar.toml"), &format!("{hooks}{config}"));
    let pid1 = Box1::start(folder.path(), RUN).await;
    pid1.until_said("exit status 7").await;
    until("they are PID 1's", || pid1.children().len() >= 12).await;
    let began = SystemClock.now();
    fs::write(folder.path().join("go"), "").unwrap();
    until("none is left", || pid1.children().iter().all(|(_, is_zombie)| !is_zombie)).await;
    until("none runs", || pid1.children().is_empty()).await;
    let took = SystemClock.now() - began;
    assert!(took < chrono::TimeDelta::seconds(20), "all at once, not one after the other: {took}");
}
