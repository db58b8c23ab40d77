//! `postgres://…`: where a ledger is, and as whom it is used.

use std::{fmt, net::IpAddr, path::PathBuf};

/// The port where nothing else is said.
const PORT: u16 = 5432;

/// What an address looks like.
pub const EXAMPLE: &str = "postgres://scimitar@db.example.com:5432/scimitar";

/// Where a ledger is. It holds no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// Tried one after the other; the first that can be written is used.
    pub hosts: Vec<Host>,
    /// Whether connections are encrypted, and the server's certificate and name verified.
    pub tls: bool,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Over TCP.
    Tcp {
        /// Its name or address, without brackets.
        name: String,
        /// Its port.
        port: u16,
    },
    /// Over a socket of this machine.
    Socket {
        /// The folder that it lies in; absolute.
        folder: PathBuf,
        /// The number in its name.
        port: u16,
    },
}

/// Why a text is no address of a ledger. Nothing of what may be a password is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAnAddress {
    /// What is wrong, as it fits behind the name of the key.
    pub words: String,
    /// What to write instead.
    pub hint: String,
}

impl Host {
    /// Whether it can only be this machine.
    fn is_local(&self) -> bool {
        match self {
            Self::Socket { .. } => true,
            Self::Tcp { name, .. } => {
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|host| host.is_loopback())
            }
        }
    }

    /// Its name, as messages say it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tcp { name, .. } => name.clone(),
            Self::Socket { folder, .. } => folder.display().to_string(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Tcp { name, port } => write!(f, "{name}:{port}"),
            Self::Socket { folder, port } => {
                write!(f, "{}:{port}", encoded(&folder.to_string_lossy()))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        let (user, database) = (encoded(&self.user), encoded(&self.database));
        write!(f, "postgres://{user}@{}/{database}", hosts.join(","))
    }
}

fn wrong(words: impl Into<String>, hint: impl Into<String>) -> NotAnAddress {
    NotAnAddress { words: words.into(), hint: hint.into() }
}

impl Address {
    /// Whether a text is meant to be one.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        rest(text).is_some()
    }

    /// Reads `postgres://USER@HOST[:PORT][,HOST…]/DATABASE[?sslmode=…]`.
    ///
    /// # Errors
    /// In words that hold no password, with the way out.
    pub fn try_new(text: &str) -> Result<Self, NotAnAddress> {
        let how = || format!("write url = \"{EXAMPLE}\"");
        let rest = rest(text).ok_or_else(|| wrong("is not a PostgreSQL URL", how()))?;
        if rest.contains('#') {
            return Err(wrong("holds a #", "write %23 if it is part of a name"));
        }
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err(password());
        }
        let query = Query::read(query)?;
        let user = name("user", user)?.or(query.user);
        let user = user.ok_or_else(|| {
            wrong("does not name the user", format!("write it before the host: {EXAMPLE}"))
        })?;
        let database = name("database", database)?.ok_or_else(|| {
            wrong("does not name a database", format!("write it at the end: {EXAMPLE}"))
        })?;
        let mut hosts = hosts
            .split(',')
            .filter(|host| !host.is_empty())
            .map(host)
            .collect::<Result<Vec<_>, _>>()?;
        hosts.extend(
            query.socket.map(|folder| Host::Socket { folder, port: query.port.unwrap_or(PORT) }),
        );
        if hosts.is_empty() {
            return Err(wrong("does not say where the server is", how()));
        }
        let local = hosts.iter().all(Host::is_local);
        let tls = query.tls.unwrap_or(!local);
        if !tls && !local {
            return Err(wrong(
                "asks for a connection without encryption to another machine",
                "leave sslmode out, or write sslmode=verify-full; a private authority's certificate goes \
                 into `ca_file`",
            ));
        }
        if tls && hosts.iter().all(|host| matches!(host, Host::Socket { .. })) {
            return Err(wrong("asks for encryption over a socket", "leave sslmode out"));
        }
        Ok(Self { user, database, hosts, tls })
    }
}

/// What stands behind the scheme.
fn rest(text: &str) -> Option<&str> {
    text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))
}

fn password() -> NotAnAddress {
    wrong(
        "must not hold a password",
        "take it out, and keep it where only scimitar can read it: in [state], password = { file = \
         \"PATH\" }, { env = \"NAME\" } or { credential = \"NAME\" }\nanyone who could read this file \
         may know it: change it in the database",
    )
}

/// What stands behind the question mark.
#[derive(Default)]
struct Query {
    tls: Option<bool>,
    user: Option<String>,
    socket: Option<PathBuf>,
    port: Option<u16>,
}

impl Query {
    fn read(text: &str) -> Result<Self, NotAnAddress> {
        let mut read = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "sslmode" => read.tls = Some(encrypted(value)?),
                "user" => read.user = name("user", value)?,
                "port" => read.port = Some(port(value)?),
                "host" => {
                    let folder = name("host", value)?.map(PathBuf::from);
                    read.socket = folder.filter(|folder| folder.is_absolute());
                    if read.socket.is_none() {
                        return Err(wrong(
                            "has a `host` after the question mark that is not a folder",
                            format!("write host=/run/postgresql for a socket, else {EXAMPLE}"),
                        ));
                    }
                }
                "password" | "sslpassword" => return Err(password()),
                "sslrootcert" => {
                    return Err(wrong(
                        "holds sslrootcert",
                        "name that file in [state] as ca_file = \"PATH\"",
                    ));
                }
                _ => {
                    let known = key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
                    let what = if known && key.len() <= 40 { key } else { "something" };
                    return Err(wrong(
                        format!("holds {what}, which is not supported there"),
                        "leave it out: allowed after the question mark are sslmode and, for a socket, \
                         host (its folder), port and user",
                    ));
                }
            }
        }
        Ok(read)
    }
}

fn encrypted(mode: &str) -> Result<bool, NotAnAddress> {
    match mode {
        "verify-full" => Ok(true),
        "disable" => Ok(false),
        "require" | "verify-ca" | "prefer" | "allow" => Err(wrong(
            format!("holds sslmode={mode}, which does not verify the server's identity"),
            "write sslmode=verify-full, and name the PEM file of a private authority in `ca_file`",
        )),
        _ => Err(wrong(
            "holds an unknown sslmode",
            "write sslmode=verify-full, or sslmode=disable for a server on this machine",
        )),
    }
}

fn host(text: &str) -> Result<Host, NotAnAddress> {
    let how = || format!("write HOST:PORT, as in {EXAMPLE}");
    let (name, after) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, after) =
                rest.split_once(']').ok_or_else(|| wrong("holds a [ without a ]", how()))?;
            if name.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(wrong("has something in brackets that is not an address", how()));
            }
            (name.to_owned(), after.strip_prefix(':').unwrap_or(after))
        }
        None => {
            let (name, after) = text.split_once(':').unwrap_or((text, ""));
            (decoded(name).ok_or_else(|| wrong("names no host", how()))?, after)
        }
    };
    let port = if after.is_empty() { PORT } else { port(after)? };
    if name.starts_with('/') {
        return Ok(Host::Socket { folder: name.into(), port });
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if name.is_empty() || name.len() > 253 || !name.chars().all(fits) {
        return Err(wrong("has an invalid host name", how()));
    }
    Ok(Host::Tcp { name, port })
}

fn port(text: &str) -> Result<u16, NotAnAddress> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| wrong("holds a port that is not 1 to 65535", "5432 is the usual one"))
}

/// The name of a role or database; `None` where there is none.
fn name(what: &str, text: &str) -> Result<Option<String>, NotAnAddress> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = decoded(text).filter(|name| !name.chars().any(char::is_control));
    name.map(Some).ok_or_else(|| {
        wrong(
            format!("holds a {what} that cannot be read"),
            "percent-encode special characters as UTF-8: %40 for @",
        )
    })
}

/// A text with `%40` and the like as what they stand for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        decoded.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(decoded).ok()
}

fn encoded(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::with_capacity(text.len()), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Address {
        Address::try_new(text).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn an_address_is_read_and_written_the_same() {
        for text in [
            "postgres://scimitar@db.example.com:5432/scimitar",
            "postgres://a%40b@db:6432/my%20ledger",
            "postgres://s@one:5432,two:5433/d",
            "postgres://s@[::1]:5432/d",
            "postgres://s@%2Frun%2Fpostgresql:5432/d",
        ] {
            assert_eq!(read(text).to_string(), text);
        }
        assert_eq!(read("postgresql://s@db/d").to_string(), "postgres://s@db:5432/d");
        let socket = read("postgres:///d?host=/run/pg&user=s&port=6432");
        assert_eq!(socket.to_string(), "postgres://s@%2Frun%2Fpg:6432/d");
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_and_verified() {
        assert!(read("postgres://s@db/d").tls);
        assert!(read("postgres://s@127.0.0.1,db/d").tls);
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Frun"] {
            assert!(!read(&format!("postgres://s@{local}/d")).tls, "{local}");
        }
        assert!(read("postgres://s@localhost/d?sslmode=verify-full").tls);
        for weak in ["require", "verify-ca", "prefer", "allow", "disable", "on", ""] {
            let refused = Address::try_new(&format!("postgres://s@db/d?sslmode={weak}"));
            assert!(refused.unwrap_err().hint.contains("verify-full"), "{weak}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_a_password_never_shown() {
        for (text, words) in [
            ("postgres://", "user"),
            ("postgres://s@/d", "where the server is"),
            ("postgres://s@db", "database"),
            ("postgres://s@db:0/d", "port"),
            ("postgres://s@db:x/d", "port"),
            ("postgres://s@[::1/d", "without a ]"),
            ("postgres://s@[db]/d", "in brackets"),
            ("postgres://s@d b/d", "invalid host name"),
            ("postgres://%zz@db/d", "user"),
            ("postgres://s@db/d?options=-c", "options"),
            ("postgres://s@db/d?sslrootcert=ca.pem", "sslrootcert"),
            ("postgres://s@db/d?host=db2", "not a folder"),
            ("postgres://s@db/d#x", "#"),
        ] {
            let refused = Address::try_new(text).unwrap_err();
            assert!(refused.words.contains(words), "{text}: {refused:?}");
        }
        for secret in [
            "postgres://s:canary@db/d",
            "postgres://s:can@ary@db/d",
            "postgres://s@db/d?password=canary",
            "postgres://s@db/d?canary-secret-here!=1",
        ] {
            let refused = format!("{:?}", Address::try_new(secret).unwrap_err());
            assert!(!refused.contains("canary"), "{refused}");
        }
    }
}
