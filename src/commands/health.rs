//! `healthcheck`: whether the daemon on this machine is ready, as it says itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::output::{Answer, Failure, FailureClass};
use crate::{
    config::{self, Config, Environment, discover::Inventories},
    error::system_words,
};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 * 1024;

/// Asks `/readyz`.
///
/// # Errors
/// When it is not ready, in its own words; when nobody answers; when there is no `[server]`.
pub(super) async fn ask(file: &Path, config: &Config) -> Result<Answer, Failure> {
    let Some(server) = config.server else {
        return Err(unasked(
            file,
            "there is no [server]: without a port the daemon cannot be asked; write [server] with \
             listen = \"127.0.0.1:9469\"",
        ));
    };
    if server.listen.port() == 0 {
        return Err(unasked(
            file,
            "`listen` has port 0: the system chooses the port, so it is not known here; write one, as in \
             \"127.0.0.1:9469\"",
        ));
    }
    let address = reachable(server.listen);
    let asked = tokio::time::timeout(PATIENCE, get(address)).await;
    let answered = asked.map_err(|_| {
        format!("it did not answer within {} s: restart the service", PATIENCE.as_secs())
    });
    match answered.and_then(|answer| answer) {
        Ok((200, _)) => Ok(Answer::shown(Vec::new(), "ready\n".to_owned())),
        Ok((_, reasons)) => Err(not_ready(&format!("not ready: {}", in_one_line(&reasons)))),
        Err(words) => Err(not_ready(&format!("the daemon at http://{address}/: {words}"))),
    }
}

/// The same where the configuration has errors: a daemon that runs keeps the one before it, and is as ready
/// as it was. `None` where the port cannot be read, or the daemon is not ready.
pub(super) async fn ask_despite_errors(file: &Path, env: &Arc<dyn Environment>) -> Option<Answer> {
    let (path, env) = (file.to_owned(), Arc::clone(env));
    let read = move || config::salvage(&path, &*env, &Inventories::new());
    let config = tokio::task::spawn_blocking(read).await.ok().flatten()?;
    ask(file, &config).await.ok()
}

fn unasked(file: &Path, words: &str) -> Failure {
    Failure::new(FailureClass::Configuration, format!("{}: {words}", file.display()))
}

fn not_ready(words: &str) -> Failure {
    Failure::new(FailureClass::Online, words)
}

/// What listens on every interface is asked on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let here = match listen.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let ip = if listen.ip().is_unspecified() { here } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

/// The status and the body of the answer. No HTTP client is built for one line from the daemon's own
/// page: that would read every certificate of the system first, and there may be none.
async fn get(address: SocketAddr) -> Result<(u16, String), String> {
    let lost = |error: &std::io::Error| format!("{}; is the service running?", system_words(error));
    let mut stream = TcpStream::connect(address).await.map_err(|error| lost(&error))?;
    let request = format!(
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAccept: text/plain\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| lost(&error))?;
    let mut bytes = Vec::new();
    stream.take(LONGEST).read_to_end(&mut bytes).await.map_err(|error| lost(&error))?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|head| head.split(' ').nth(1))
        .and_then(|status| status.parse().ok());
    match status {
        Some(status) => Ok((status, body.to_owned())),
        None => Err("another program uses this port, not Scimitar".to_owned()),
    }
}

/// The reasons come a line each.
fn in_one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_here() {
        for (listen, asked) in [
            ("0.0.0.0:9469", "127.0.0.1:9469"),
            ("[::]:9469", "[::1]:9469"),
            ("192.0.2.1:9469", "192.0.2.1:9469"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
        assert_eq!(in_one_line("one\n\n two\n"), "one; two");
    }
}
