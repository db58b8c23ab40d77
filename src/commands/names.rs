//! The names of connections, a line each: what shells complete by.

use super::{output::Answer, session::Session};

impl Session<'_> {
    /// Those of the configuration, with what the ledger remembers of `[[discover]]`, and the watched ones.
    pub(super) fn names(&self) -> Answer {
        let connections = self.config.connections.iter().map(|connection| &connection.name);
        let watches = self.config.watches.iter().filter(|watch| !watch.shadowed);
        let names = connections.chain(watches.map(|watch| &watch.name));
        Answer::shown(Vec::new(), names.map(|name| format!("{name}\n")).collect())
    }
}
