//! Which proxy a request goes through, if any.

use std::{ffi::OsString, fmt, net::IpAddr};

use reqwest::Url;

use crate::shown::is_invisible;

/// Where the environment names a proxy for https; the first one that is not empty holds.
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];

/// Where it names what is asked without.
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// How a proxy is written; what it holds of a password is never shown.
const HOW: &str = "write http://proxy:3128, or http://USER:PASSWORD@proxy:3128 with special \
                       characters in the password percent-encoded (a space is %20)";

/// What is wrong with an entry of `NO_PROXY`, and how one is written.
const NO_EXCEPTION: &str =
    "contains something that is neither a host nor a network such as 10.0.0.0/8";
const HOW_EXCEPTED: &str = "write a host as intern.example and a network as 10.0.0.0/8 or \
                            2001:db8::/32, with commas between them";

/// A proxy, and what is asked without it.
#[derive(Clone, Default)]
pub struct Proxies {
    proxy: Option<Url>,
    except: Vec<Exception>,
}

/// A variable that does not name a proxy, or not what is asked without one; the words hold nothing of its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {variable} {words}")]
pub struct BadVariable {
    variable: &'static str,
    words: &'static str,
    how: &'static str,
}

impl BadVariable {
    /// How it is written.
    #[must_use]
    pub fn how(&self) -> &'static str {
        self.how
    }
}

/// What `NO_PROXY` lists.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    All,
    Network {
        address: IpAddr,
        bits: u32,
        port: Option<u16>,
    },
    /// The domain and what is below it.
    Domain {
        name: String,
        port: Option<u16>,
    },
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.proxy.as_ref().map(shown);
        f.debug_struct("Proxies").field("proxy", &shown).field("except", &self.except).finish()
    }
}

impl Proxies {
    /// This one, for everything.
    #[must_use]
    pub fn fixed(proxy: Url) -> Self {
        Self { proxy: Some(proxy), except: Vec::new() }
    }

    /// What the environment says.
    ///
    /// # Errors
    /// When it names something that is no proxy, or excepts something that cannot be read: nothing
    /// goes around a proxy, or through one, because of a typing error.
    pub fn of_environment(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, BadVariable> {
        let set = |variable: &&str| var(variable).is_some_and(|value| !value.is_empty());
        let Some(variable) = VARIABLES.into_iter().find(set) else { return Ok(Self::default()) };
        let bad = |words| BadVariable { variable, words, how: HOW };
        let value = var(variable).unwrap_or_default();
        let value = value.into_string().map_err(|_| bad("is not UTF-8 text"))?;
        let proxy = parse(&value).map_err(bad)?;
        let Some(variable) = EXCEPTIONS.into_iter().find(set) else {
            return Ok(Self::fixed(proxy));
        };
        let list = var(variable).unwrap_or_default();
        let except: Result<Vec<_>, _> =
            list.to_string_lossy().split(',').filter_map(exception).collect();
        let except = except.map_err(|words| BadVariable { variable, words, how: HOW_EXCEPTED })?;
        Ok(Self { proxy: Some(proxy), except })
    }

    /// The proxy that this URL is asked through.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = self.proxy.as_ref()?;
        let except = self.except.iter().any(|exception| exception.holds_for(url));
        (!except).then_some(proxy)
    }
}

impl Exception {
    fn holds_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let same_port =
            |port: &Option<u16>| port.is_none_or(|port| url.port_or_known_default() == Some(port));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match self {
            Self::All => true,
            Self::Network { address, bits, port } => {
                host.parse().is_ok_and(|host| within(host, *address, *bits)) && same_port(port)
            }
            Self::Domain { name, port } => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let below = host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
                (host == *name || below) && same_port(port)
            }
        }
    }
}

/// How a proxy is named: its host and port alone.
#[must_use]
pub fn shown(proxy: &Url) -> String {
    let host = proxy.host_str().unwrap_or_default();
    proxy.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Reads a proxy as people write it.
///
/// # Errors
/// In words that hold nothing of it.
pub fn parse(text: &str) -> Result<Url, &'static str> {
    let quotes = ['"', '\'', '`'];
    let trouble = if text.trim() != text {
        Some("begins or ends with white space")
    } else if text.starts_with(quotes) || text.ends_with(quotes) {
        Some("is in quotes")
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        Some("holds a space or an invisible character that is not percent-encoded")
    } else {
        None
    };
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let plain = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&plain).map_err(|_| "is not the URL of a proxy")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("has a scheme that is not supported");
    }
    if !url.has_host() || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("has something after the proxy's host and port, or a character in its \
                    password that is not percent-encoded");
    }
    Ok(url)
}

fn exception(entry: &str) -> Option<Result<Exception, &'static str>> {
    let entry = entry.trim();
    if entry.is_empty() {
        return None;
    }
    if let Some((address, bits)) = entry.split_once('/') {
        return Some(network(address, bits).ok_or(NO_EXCEPTION));
    }
    if entry == "*" {
        return Some(Ok(Exception::All));
    }
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Ok(Exception::Network { address, bits: 128, port: None }));
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        Some(_) | None => (entry, None),
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some(Ok(Exception::Network { address, bits: 128, port }));
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.trim_matches('.').to_ascii_lowercase();
    (!name.is_empty()).then_some(Ok(Exception::Domain { name, port }))
}

/// A network, as `10.0.0.0/8`.
fn network(address: &str, bits: &str) -> Option<Exception> {
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = bare.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let bits = Some(bits).filter(|bits| bits.bytes().all(|byte| byte.is_ascii_digit()));
    let bits = bits?.parse().ok().filter(|bits| *bits <= longest)?;
    Some(Exception::Network { address, bits, port: None })
}

/// Whether an address lies in a network; more bits than an address has are all of them.
fn within(host: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (host.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(host), IpAddr::V4(network)) => {
            let shift = 32_u32.saturating_sub(bits);
            let part = |address: std::net::Ipv4Addr| address.to_bits().checked_shr(shift);
            part(host) == part(network)
        }
        (IpAddr::V6(host), IpAddr::V6(network)) => {
            let shift = 128_u32.saturating_sub(bits);
            let part = |address: std::net::Ipv6Addr| address.to_bits().checked_shr(shift);
            part(host) == part(network)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Proxies, BadVariable> {
        Proxies::of_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    fn asked(no_proxy: &str, url: &str) -> bool {
        let proxies = of(&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", no_proxy)]).unwrap();
        proxies.of(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn a_variable_that_is_no_proxy_is_refused_and_never_shown() {
        for (value, words) in [
            ("http://u:canary@proxy:3128 ", "begins or ends with white space"),
            ("\thttp://proxy:3128", "begins or ends with white space"),
            ("\"http://u:canary@proxy:3128\"", "is in quotes"),
            ("'http://proxy:3128'", "is in quotes"),
            ("http://u:can ary@proxy:3128", "that is not percent-encoded"),
            ("http://u:can\u{200b}ary@proxy:3128", "that is not percent-encoded"),
            ("http://u:can/ary@proxy:3128", "is not the URL of a proxy"),
            ("http://u:can#ary@proxy:3128", "is not the URL of a proxy"),
            ("http://proxy:3128/canary", "has something after the proxy's host and port"),
            ("socks5://u:canary@proxy:1080", "has a scheme that is not supported"),
            ("http://", "is not the URL of a proxy"),
        ] {
            for variable in VARIABLES {
                let bad = of(&[(variable, value)]).unwrap_err();
                let text = format!("{bad} {bad:?}");
                assert!(
                    text.starts_with(&format!("the environment variable {variable} ")),
                    "{text}"
                );
                assert!(text.contains(words), "{value}: {text}");
                assert!(!text.contains("canary"), "{text}");
            }
        }
    }

    #[test]
    fn the_first_variable_that_is_set_names_the_proxy() {
        let url = Url::parse("https://acme.eu.auth0.com/").unwrap();
        let proxy = |variables: &[(&str, &str)]| of(variables).unwrap().of(&url).map(shown);
        assert_eq!(proxy(&[]), None);
        assert_eq!(proxy(&[("HTTPS_PROXY", ""), ("all_proxy", "all:1")]).as_deref(), Some("all:1"));
        let both = [("https_proxy", "http://u:p%20w@low:1"), ("HTTPS_PROXY", "https://up")];
        assert_eq!(proxy(&both).as_deref(), Some("up:443"));
        assert_eq!(proxy(&both[..1]).as_deref(), Some("low:1"));
        assert!(!format!("{:?}", of(&both[..1]).unwrap()).contains("p%20w"));
    }

    #[test]
    fn a_network_that_cannot_be_read_is_not_taken_for_a_domain() {
        for entry in [
            "10.0.0.0/8x",
            "10.0.0/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "2001:db8::/129",
            "/8",
            "a.example/8",
            "https://a.example",
        ] {
            for variable in EXCEPTIONS {
                let list = format!("a.example, {entry}");
                let bad = of(&[("HTTPS_PROXY", "http://proxy:3128"), (variable, &list)]);
                let text = bad.unwrap_err().to_string();
                let begin = format!("the environment variable {variable} ");
                assert!(text.starts_with(&begin), "{entry}: {text}");
                assert!(text.contains("10.0.0.0/8"), "the way out: {text}");
            }
        }
        // Where there is no proxy, nothing is asked without one.
        assert!(of(&[("NO_PROXY", "10.0.0.0/8x")]).is_ok());
    }

    #[test]
    fn what_no_proxy_lists_is_asked_directly() {
        for (list, url, through) in [
            ("", "https://a.example/", true),
            ("*", "https://a.example/", false),
            ("*", "https://10.1.2.3/", false),
            ("x, * ", "https://[2001:db8::1]/", false),
            ("10.0.0.0/8", "https://10.1.2.3:8200/", false),
            ("10.0.0.0/8", "https://11.1.2.3/", true),
            ("[2001:db8::]/32", "https://[2001:db8:1::2]/", false),
            ("10.0.0.0/8", "https://ten.example/", true),
            ("0.0.0.0/0", "https://203.0.113.9/", false),
            ("2001:db8::/32", "https://[2001:db8:1::2]/", false),
            ("2001:db8::/32", "https://[2001:db9::2]/", true),
            ("192.0.2.7", "https://192.0.2.7/", false),
            ("192.0.2.7:8200", "https://192.0.2.7:8200/", false),
            ("192.0.2.7:8200", "https://192.0.2.7/", true),
            ("a.example", "https://a.example/", false),
            ("a.example", "https://b.A.example/", false),
            ("a.example", "https://ba.example/", true),
            (".a.example", "https://b.a.example/", false),
            ("*.a.example", "https://b.a.example/", false),
            ("a.example:8200", "https://a.example:8200/", false),
            ("a.example:8200", "https://a.example/", true),
        ] {
            assert_eq!(asked(list, url), through, "{list} {url}");
        }
    }
}
