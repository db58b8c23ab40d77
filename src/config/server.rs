//! `[server]`: where the status page, the metrics and the health checks are.

use std::net::SocketAddr;

use crate::table::{Table, Value};

/// How an address is written.
const EXAMPLE: &str = "\"127.0.0.1:9469\"";

/// `[server]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The address; port 0 leaves the port to the system.
    pub listen: SocketAddr,
}

/// Reads `[server]`.
pub(super) fn server(root: &Table<'_>) -> Option<ServerConfig> {
    let table = root.get("server").and_then(|value| value.table("[server]"))?;
    let listen = table.require("listen", EXAMPLE).and_then(|value| address(&value));
    table.finish(&[]);
    listen.map(|listen| ServerConfig { listen })
}

fn address(value: &Value<'_>) -> Option<SocketAddr> {
    let Ok(address) = value.string()?.parse::<SocketAddr>() else {
        value.refuse(
            "`listen` is not an address with a port",
            format!(
                "write listen = {EXAMPLE}, or \"0.0.0.0:9469\" for every interface: an IP \
                 address, not a name; write IPv6 in brackets, \"[::1]:9469\""
            ),
        );
        return None;
    };
    if !address.ip().to_canonical().is_loopback() {
        value.findings().warning(
            value.at,
            "`listen` is reachable from other machines, and the status page has no log-in",
            format!(
                "it shows names, token ids and errors, never a token, and changes nothing; for this \
                 machine only, write listen = \"127.0.0.1:{}\"",
                address.port()
            ),
        );
    }
    Some(address)
}
