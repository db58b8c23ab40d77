//! The real program with stand-ins for the secret stores of clouds: from the configuration to the secret,
//! with the rights that the program itself asks for and no others.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests themselves do")]

#[cfg(feature = "azure_key_vault")]
mod azure;
#[cfg(feature = "gcp_secret_manager")]
mod gcp;

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// Runs the program, which must end with this status; all that it said.
async fn scimitar(
    folder: &Path,
    env: &(&'static str, String),
    arguments: &[&str],
    status: i32,
) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    command.args(["--config", "c.toml"]).args(arguments).current_dir(folder);
    command.env_clear().env("HOME", folder).env(env.0, &env.1).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&[&ended.stdout[..], &ended.stderr].concat()).into_owned();
    assert_eq!(ended.status.code(), Some(status), "{said}");
    (ended, said)
}
