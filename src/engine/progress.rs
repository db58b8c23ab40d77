//! What people see of a rotation while it goes on.

use std::fmt;

use crate::token::ConnectionName;

/// Is told what is being done; never a secret.
pub trait Progress: fmt::Debug + Send + Sync {
    /// A connection's present step, as a fragment: "minting a replacement".
    fn step(&self, connection: &ConnectionName, words: &str);

    /// Nothing more is done for the connection in this call; `words` say how it ended.
    fn done(&self, connection: &ConnectionName, words: &str);
}

/// Shows nothing: the daemon, whose log says it all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn step(&self, _connection: &ConnectionName, _words: &str) {}

    fn done(&self, _connection: &ConnectionName, _words: &str) {}
}
