//! A rehearsal tenant in this process, and the configuration of a program that works on it.

use std::path::{Path, PathBuf};

use scimitar::sandbox::{Options, Running, Sandbox};
use tempfile::TempDir;

use super::scene;

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
        let folder = scene::scratch()?;
        scene::configure(folder.path(), connections, tenant.url().as_str(), defaults)?;
        Ok(Self { folder, tenant })
    }

    /// Where everything lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        scene::config(self.folder())
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
