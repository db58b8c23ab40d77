//! What the benches work in: a scratch folder, and a configuration for a rehearsal tenant.

use std::{
    fmt::Write,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// A folder below `target/`, on the same disk as everything else there; gone when dropped.
pub(crate) fn scratch() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// The configuration file in a folder.
pub(crate) fn config(folder: &Path) -> PathBuf {
    folder.join("scimitar.toml")
}

/// Lines of `[defaults]` by which a rotation is whole in one call: list, create, prove, deliver, look again,
/// delete the older one.
pub(crate) const WHOLE: &str = "overlap = \"0s\"\nrevoke_after_use = false";

/// Writes a configuration of so many connections, each with one file to deliver to. `tenant` is
/// a URL, `defaults` are lines of `[defaults]`.
pub(crate) fn configure(
    folder: &Path,
    connections: usize,
    tenant: &str,
    defaults: &str,
) -> anyhow::Result<()> {
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
    fs::write(config(folder), text)?;
    let secret = folder.join("client-secret");
    fs::write(&secret, "rehearsal")?;
    // One that other users can read is refused.
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
