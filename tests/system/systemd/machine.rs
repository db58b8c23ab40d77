//! A machine with a systemd of its own, on which Scimitar was installed as `docs/systemd.md` says.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Set to 1 where no systemd can be started: the tests that need one then say so and pass.
const WITHOUT: &str = "SCIMITAR_WITHOUT_SYSTEMD";

/// What the installation is given: what a clone and a build have at the same places.
const DOCUMENT: &str = include_str!("../../../docs/systemd.md");

/// How long anything in there may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The configuration that the tests start with: a tenant of its own in the state folder, whose
/// client secret is a credential, and files in two places.
pub(crate) const CONFIG: &str = r#"
[state]
url = "sqlite:///var/lib/scimitar/ledger.db"
[providers.acme]
type = "auth0"
domain = "acme.eu.auth0.com"
base_url = "http://127.0.0.1:4400"
client_id = "rotator"
client_secret = { credential = "auth0-acme" }
[sinks.disk]
type = "file"
directory = "/var/lib/scimitar/tokens"
[sinks.memory]
type = "file"
directory = "/run/scimitar"
[[connections]]
name = "initech-okta"
provider = "acme"
connection_id = "con_okta000000000001"
scopes = ["get:users", "post:users", "put:users", "patch:users", "delete:users"]
token_lifetime = "30d"
revoke_after_use = false
rotate_before = "10d"
overlap = "1m"
deliver_to = [
    { sink = "disk", file = "initech.token" },
    { sink = "memory", file = "initech.token", mode = "0644", shared = true },
]
"#;

/// A second connection, that tests add.
pub(crate) const SECOND: &str = r#"
[[connections]]
name = "hooli-waad"
provider = "acme"
connection_id = "con_waad000000000001"
scopes = ["get:users"]
token_lifetime = "30d"
revoke_after_use = false
deliver_to = [{ sink = "disk", file = "hooli.token" }]
"#;

/// The client secret that the tenant asks for.
pub(crate) const SECRET: &str = "client-secret-canary-81c2f0aa";

/// The machine; it ends with this, or with the process that holds it.
pub(crate) struct Machine {
    boot: Child,
    /// Its PID 1, as seen from here.
    init: String,
    /// What is /mnt in there.
    shared: tempfile::TempDir,
}

impl Machine {
    /// Boots it and installs Scimitar; `None` where that is known to be impossible.
    pub(crate) fn boot() -> Option<Self> {
        let machine = Self::bare()?;
        machine.install();
        Some(machine)
    }

    /// Boots it without Scimitar; `None` where that is known to be impossible.
    #[expect(clippy::unwrap_in_result, reason = "a test that cannot boot for another reason fails")]
    #[expect(clippy::print_stderr, reason = "a test that is not run says so")]
    pub(crate) fn bare() -> Option<Self> {
        let shared = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut boot = Command::new(root.join("tests/system/systemd/boot.sh"))
            .arg(shared.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(boot.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(init) = line.trim_end().strip_prefix("up ") else {
            drop(boot.stdin.take());
            let mut why = String::new();
            boot.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            boot.wait().unwrap();
            let why = why.trim_end();
            assert!(
                std::env::var(WITHOUT).is_ok_and(|value| value == "1"),
                "no systemd could be started, so that what the units do is not known: {why}\n\
                 {WITHOUT}=1 lets these tests pass without"
            );
            eprintln!("not tested, since {WITHOUT}=1 and no systemd could be started: {why}");
            return None;
        };
        Some(Self { init: init.to_owned(), boot, shared })
    }

    /// Runs the document's own commands, in a folder like a clone after a build.
    fn install(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let binary = Path::new(env!("CARGO_BIN_EXE_scimitar"));
        let shared = self.shared.path();
        fs::create_dir_all(shared.join("target/dist")).unwrap();
        fs::copy(binary, shared.join("target/dist/scimitar")).unwrap();
        copy(&root.join("systemd"), &shared.join("systemd"));
        self.put("config.example.toml", CONFIG);
        self.run(&command("install"));
        self.start_tenant("/usr/local/bin/scimitar");
    }

    /// Starts the tenant, as a service of its own: it goes on while Scimitar is stopped and killed.
    pub(crate) fn start_tenant(&self, program: &str) {
        self.put("client-secret", SECRET);
        self.run(&format!(
            "systemd-run --quiet --unit=tenant -p StateDirectory=tenant {program} \
             sandbox --data-dir /var/lib/tenant --client-id rotator --client-secret {SECRET}"
        ));
    }

    /// Puts a file into /mnt.
    pub(crate) fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A place in /mnt, as seen from here.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.shared.path().join(name)
    }

    /// Runs a script in there; what it printed, once it ended well.
    pub(crate) fn run(&self, script: &str) -> String {
        let (status, said) = self.attempt(script);
        assert_eq!(status, Some(0), "{script}\n{said}\n{}", self.journal());
        said
    }

    /// Runs a script in there, whatever comes of it.
    pub(crate) fn attempt(&self, script: &str) -> (Option<i32>, String) {
        let output = Command::new("timeout")
            .args(["-k", "2"])
            .arg(LIMIT.as_secs().to_string())
            .args(["nsenter", "-t", &self.init, "-a", "-r", "-w"])
            .args(["env", "-i", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(["bash", "-euc", &format!("cd /mnt; {script}")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    }

    /// One property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        self.run(&format!("systemctl show -p {name} --value '{unit}'")).trim_end().to_owned()
    }

    /// Waits until a property is as wanted.
    pub(crate) fn until(&self, unit: &str, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        const PAUSE: Duration = Duration::from_millis(100);
        let mut last = String::new();
        for _ in 0..LIMIT.as_millis() / PAUSE.as_millis() {
            last = self.property(unit, name);
            if wanted(&last) {
                return last;
            }
            std::thread::park_timeout(PAUSE);
        }
        panic!("{unit}: {name} is still {last:?}\n{}", self.journal());
    }

    /// Waits until a file is there, and gives what it holds.
    pub(crate) fn file(&self, path: &str) -> String {
        self.run(&format!("until [ -s {path} ]; do sleep 0.1; done; cat {path}"))
    }

    /// The last that was logged in there.
    pub(crate) fn journal(&self) -> String {
        self.attempt("journalctl --sync; journalctl --no-pager -o short -n 200 -u 'scimitar*'").1
    }

    /// How many tokens the tenant lists for the first connection.
    pub(crate) fn tokens(&self) -> usize {
        self.ask_tenant("con_okta000000000001", "").matches("\"token_id\"").count()
    }

    /// Makes a token by hand, that Scimitar knows nothing of.
    pub(crate) fn mint(&self, connection_id: &str) {
        let body = "-H 'Content-Type: application/json' -d '{\"scopes\":[\"get:users\"]}'";
        let said = self.ask_tenant(connection_id, body);
        assert!(said.contains("\"token_id\""), "{said}");
    }

    /// Calls a connection's tokens at the tenant.
    fn ask_tenant(&self, connection_id: &str, more: &str) -> String {
        let api = "http://127.0.0.1:4400";
        self.run(&format!(
            "access=$(curl -sSf --retry 20 --retry-connrefused {api}/oauth/token \
               -d grant_type=client_credentials -d client_id=rotator -d client_secret={SECRET} \
               -d audience=https://acme.eu.auth0.com/api/v2/ | cut -d'\"' -f4)
             curl -sSf -H \"Authorization: Bearer $access\" {more} \
               {api}/api/v2/connections/{connection_id}/scim-configuration/tokens"
        ))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.boot.stdin.take());
        // Its own end is all that can be waited for.
        let _ = self.boot.wait();
    }
}

/// The document's block of commands behind `<!-- test: NAME -->`.
pub(crate) fn command(name: &str) -> String {
    block(DOCUMENT, name)
}

/// The block behind `<!-- test: NAME -->` of a page.
pub(crate) fn block(page: &str, name: &str) -> String {
    let mark = format!("<!-- test: {name} -->\n```");
    let (_, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("no {mark}"));
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Copies a folder with what is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
