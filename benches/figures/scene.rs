//! What the benches work on: a scratch folder, a rehearsal tenant, and a configuration for it.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use scimitar::sandbox::{Options, Running, Sandbox};
use tempfile::TempDir;

/// A folder, a tenant with as many connections as asked for, and a configuration that names them.
#[derive(Debug)]
pub(crate) struct Scene {
    folder: TempDir,
    tenant: Running,
}

impl Scene {
    /// Starts the tenant in this process, on a free port, in memory, without a rate limit.
    /// `defaults` are lines of `[defaults]`.
    pub(crate) async fn set(connections: usize, defaults: &str) -> anyhow::Result<Self> {
        let tenant = Sandbox::start(Options { connections, ..Options::default() }).await?;
        let scene = Self { folder: scratch()?, tenant };
        let text = configuration(connections, scene.tenant.url().as_str(), defaults)?;
        fs::write(scene.config(), text)?;
        fs::write(scene.folder().join("client-secret"), "rehearsal")?;
        private(&scene.folder().join("client-secret"))?;
        Ok(scene)
    }

    /// Where everything lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("scimitar.toml")
    }

    /// The tenant's URL, with a slash at its end.
    pub(crate) fn url(&self) -> String {
        self.tenant.url().to_string()
    }

    /// Ends the tenant.
    pub(crate) async fn strike(self) {
        self.tenant.stop().await;
    }
}

/// A folder below `target/`, on the same disk as everything else there; gone when dropped.
pub(crate) fn scratch() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// A configuration of so many connections, each with one file to deliver to.
pub(crate) fn configuration(
    connections: usize,
    tenant: &str,
    defaults: &str,
) -> anyhow::Result<String> {
    let mut text = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n\
         [providers.tenant]\ntype = \"auth0\"\ndomain = \"bench.eu.auth0.com\"\n\
         base_url = \"{tenant}\"\nclient_id = \"bench\"\n\
         client_secret = {{ file = \"client-secret\" }}\n\
         [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
         [defaults]\nscopes = [\"get:users\", \"post:users\"]\ntoken_lifetime = \"30d\"\n{defaults}\n"
    );
    for number in 1..=connections {
        // The ids that the rehearsal tenant gives to the connections it is started with.
        write!(
            text,
            "[[connections]]\nname = \"customer-{number:06}\"\nprovider = \"tenant\"\n\
             connection_id = \"con_{number:016}\"\n\
             deliver_to = [{{ sink = \"disk\", file = \"{:03}/{number:06}.token\" }}]\n",
            number % 1000
        )?;
    }
    Ok(text)
}

fn private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}
