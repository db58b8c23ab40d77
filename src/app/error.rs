//! Why something cannot be built.

use crate::kind::BuildError;

/// Why a configuration that was read cannot be run: in words, with the way out, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppError {
    /// What the configuration says cannot be.
    #[error("{0}")]
    Configuration(String),
    /// The ledger cannot be used.
    #[error("{0}")]
    Ledger(String),
    /// Certificates, a proxy, a folder or a port are of no use.
    #[error(transparent)]
    Build(#[from] BuildError),
}
