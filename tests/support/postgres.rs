//! A real PostgreSQL server for the tests of one process, and a pooler in front of it. Both are Debian's,
//! unpacked and not installed; the server refuses to run as root, so root runs it as nobody.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio_postgres::{Client, NoTls};

use crate::{bao::pause, debian};

/// The server's is that of Debian 12.
const PACKAGES: [&str; 3] = ["postgresql-15", "pgbouncer", "openssl"];

/// Where the server's programs are.
const PROGRAMS: &str = "usr/lib/postgresql/15/bin";

/// The role that owns everything.
pub const OWNER: &str = "postgres";

const NOBODY: u32 = 65_534;

/// A running server; it ends with this, or with the process that holds it.
#[derive(Debug)]
pub struct Postgres {
    pub port: u16,
    /// Closing its standard input ends the server; `None` while there is none.
    shell: Mutex<Option<Child>>,
    folder: tempfile::TempDir,
    root: PathBuf,
    options: Vec<String>,
}

/// A pooler that gives each transaction another of two connections to the server.
#[derive(Debug)]
pub struct Pooler {
    pub port: u16,
    shell: Child,
    _folder: tempfile::TempDir,
}

/// The one server that the tests of this process share; each makes its own database in it.
pub async fn shared() -> &'static Postgres {
    static SHARED: OnceLock<tokio::sync::OnceCell<Postgres>> = OnceLock::new();
    let shared = SHARED.get_or_init(tokio::sync::OnceCell::new);
    shared.get_or_init(|| Postgres::start(&[])).await
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A folder that whoever runs the servers may enter, with a short name: sockets lie in it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn is_root() -> bool {
    let own = fs::metadata("/proc/self").unwrap();
    std::os::unix::fs::MetadataExt::uid(&own) == 0
}

/// For the user that runs the servers.
fn hand_over(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Whether root has the right to read everything here, and may hand it on: some containers take it away.
fn may_let_read() -> bool {
    const DAC_READ_SEARCH: u64 = 1 << 2;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    ["CapEff:", "CapBnd:"].into_iter().all(|name| {
        let set = status.lines().find_map(|line| line.strip_prefix(name));
        let set = set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.is_some_and(|set| set & DAC_READ_SEARCH != 0)
    })
}

/// A program of Debian's, as a user that is not root. It may still reach its own files, wherever the
/// project lies, if root can let it; otherwise they have to lie where everybody can.
fn command(root: &Path, program: &Path) -> Command {
    let plain = debian::command(root, program.strip_prefix(root).unwrap().to_str().unwrap());
    if !is_root() {
        return plain;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    if may_let_read() {
        command.args(["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]);
    }
    command.arg(plain.get_program());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The same, until its own standard input ends: also when the tests crash.
fn serving(command: &Command, signal: &str, log: &Path) -> Child {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let script = format!("\"$@\" </dev/null & cat >/dev/null; kill -s {signal} $!; wait");
    let mut server = Command::new("sh");
    server.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    server.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    server.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
    server.spawn().unwrap()
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
}

impl Postgres {
    /// Starts a server of its own, with these options beside its usual ones.
    pub async fn start(options: &[&str]) -> Self {
        let root = tokio::task::spawn_blocking(|| debian::root(&PACKAGES)).await.unwrap();
        let folder = folder();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        hand_over(&data);
        let mut init = command(&root, &program(&root, "initdb"));
        init.args(["-U", OWNER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        done(init.arg(&data));
        Self::on(root, folder, options).await
    }

    /// A server on a folder that holds `data`.
    async fn on(root: PathBuf, folder: tempfile::TempDir, options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Self { port: free_port(), shell: Mutex::new(None), folder, root, options };
        server.rise().await;
        server
    }

    /// A server that follows this one and takes no writes.
    pub async fn standby(&self) -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
        hand_over(&data);
        let mut copy = command(&self.root, &program(&self.root, "pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-U", OWNER, "-X", "stream", "-c", "fast", "-R", "-p"]);
        copy.arg(self.port.to_string()).arg("-D").arg(&data);
        tokio::task::block_in_place(|| done(&mut copy));
        Self::on(self.root.clone(), folder, &[]).await
    }

    /// Starts it, again perhaps, at the same port.
    pub async fn rise(&self) {
        let data = self.folder.path().join("data");
        let mut server = command(&self.root, &program(&self.root, "postgres"));
        server.arg("-D").arg(&data).arg("-p").arg(self.port.to_string());
        server.arg("-k").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
        server.args(["-c", "max_connections=400", "-c", "full_page_writes=off"]);
        for option in &self.options {
            server.args(["-c", option]);
        }
        let log = self.folder.path().join("log");
        *self.shell.lock().unwrap() = Some(serving(&server, "INT", &log));
        for _ in 0..1_200 {
            if self.connect(OWNER).await.is_ok() {
                return;
            }
            pause(25).await;
        }
        panic!("{}", fs::read_to_string(log).unwrap_or_default());
    }

    /// Ends it; whoever is connected is told.
    pub fn fall(&self) {
        self.thaw();
        if let Some(mut shell) = self.shell.lock().unwrap().take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Whether it was started and not ended since.
    pub fn is_up(&self) -> bool {
        self.shell.lock().unwrap().is_some()
    }

    /// Ends it as a crash would; the next start has to recover.
    pub fn crash(&self) {
        self.thaw();
        signal("QUIT", &self.processes());
        self.fall();
    }

    /// Stops all of its processes where they are: it accepts connections and never answers.
    pub fn freeze(&self) {
        // Those that it had not started yet are found in the second round.
        for _ in 0..2 {
            signal("STOP", &self.processes());
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        signal("CONT", &self.processes());
    }

    /// The server and all that it started; none while it is down.
    fn processes(&self) -> Vec<String> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(server) = file.lines().next() else { return Vec::new() };
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children"));
        let children = children.unwrap_or_default();
        [server].into_iter().chain(children.split_whitespace()).map(str::to_owned).collect()
    }

    /// The folder of its data and its socket.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Makes it speak TLS from its next start on, as `localhost`, by an authority of its own: the file
    /// with that authority's certificate.
    pub fn certify(&mut self) -> PathBuf {
        let folder = self.folder.path().join("tls");
        fs::create_dir(&folder).unwrap();
        let openssl = |arguments: &str| {
            let mut command = debian::command(&self.root, "usr/bin/openssl");
            // Its own: this machine may have none.
            command.env("OPENSSL_CONF", self.root.join("etc/ssl/openssl.cnf"));
            done(command.args(arguments.split(' ')).current_dir(&folder));
        };
        fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
        openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=test-ca");
        openssl("req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server");
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names \
             -out server.pem",
        );
        fs::set_permissions(folder.join("server.key"), PermissionsExt::from_mode(0o600)).unwrap();
        hand_over(&folder.join("server.key"));
        self.options.push("ssl=on".to_owned());
        self.options.push(format!("ssl_cert_file={}", folder.join("server.pem").display()));
        self.options.push(format!("ssl_key_file={}", folder.join("server.key").display()));
        folder.join("ca.pem")
    }

    /// Who may come in how, from now on: lines of `pg_hba.conf`.
    pub async fn admit(&self, lines: &str) {
        let own = format!("local all all trust\nhost all {OWNER} 127.0.0.1/32 trust\n");
        let replication = format!("host replication {OWNER} 127.0.0.1/32 trust\n");
        let file = self.data().join("pg_hba.conf");
        fs::write(file, format!("{own}{replication}{lines}\n")).unwrap();
        self.run(OWNER, "SELECT pg_reload_conf()").await;
    }

    /// A connection of the owner's to a database.
    ///
    /// # Errors
    /// When the server does not let it in.
    pub async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(self.port).user(OWNER).dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Statements of the owner's in a database.
    pub async fn run(&self, database: &str, statements: &str) {
        let client = self.connect(database).await.unwrap();
        client.batch_execute(statements).await.unwrap_or_else(|error| {
            panic!("{statements}: {}", scimitar::error::chain(&error));
        });
    }

    /// A number that a query of the owner's gives.
    pub async fn number(&self, database: &str, query: &str) -> i64 {
        let client = self.connect(database).await.unwrap();
        client.query_typed_one(query, &[]).await.unwrap().get(0)
    }

    /// A new database.
    pub async fn database(&self) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("d{}", COUNT.fetch_add(1, Ordering::SeqCst));
        self.run(OWNER, &format!("CREATE DATABASE {name}")).await;
        name
    }

    /// Where the owner finds a ledger in it.
    pub fn url(&self, database: &str) -> String {
        self.url_of(OWNER, database)
    }

    /// The same for another role.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    /// Starts a pooler in front of it, which gives a connection to the server for one transaction only.
    pub async fn pooler(&self) -> Pooler {
        let folder = folder();
        hand_over(folder.path());
        let (port, settings) = (free_port(), folder.path().join("pgbouncer.ini"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={OWNER}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nserver_round_robin = 1\n\
             max_client_conn = 200\n",
            self.port
        );
        fs::write(&settings, text).unwrap();
        let mut pooler = command(&self.root, &self.root.join("usr/sbin/pgbouncer"));
        pooler.arg(&settings);
        let log = folder.path().join("log");
        let pooler = Pooler { port, shell: serving(&pooler, "TERM", &log), _folder: folder };
        for _ in 0..400 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return pooler;
            }
            pause(25).await;
        }
        panic!("{}", fs::read_to_string(log).unwrap_or_default());
    }
}

/// Where a program of the server is.
fn program(root: &Path, name: &str) -> PathBuf {
    let path = root.join(PROGRAMS).join(name);
    assert!(
        path.exists(),
        "{} is missing, which the package {} of Debian 12 has: these tests run no other server",
        path.display(),
        PACKAGES[0]
    );
    path
}

/// Sends it to those that are still there.
fn signal(name: &str, processes: &[String]) {
    if !processes.is_empty() {
        let mut kill = Command::new("sh");
        kill.args(["-c", "kill -s \"$@\" 2>/dev/null", "sh", name]).args(processes);
        let _ = kill.status();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.fall();
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
