//! Where requests may go: `https`, or plain `http` to this very machine.

use std::{fmt, net::IpAddr};

use reqwest::Url;

/// A URL that credentials may be sent to: `https`, or `http` to a loopback address; without user
/// name, password and fragment.
///
/// Shown without its query.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// EC2's metadata service, ECS's credentials, EKS Pod Identity's agent (from AWS's documentation).
const METADATA: [&str; 5] =
    ["169.254.169.254", "[fd00:ec2::254]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// Why a URL was not accepted; the words hold neither its query nor its user information.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEndpoint {
    /// Plain `http`, and not to this machine.
    #[error(
        "http://{host} would send credentials unencrypted: use https, or http only to a loopback \
         address such as 127.0.0.1"
    )]
    InClear {
        /// Where it points to.
        host: String,
    },
    /// Neither `http` nor `https`.
    #[error("the scheme {scheme}: is not supported: use https")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
    /// No host at all.
    #[error("the URL names no host")]
    NoHost,
    /// A user name or password in the URL.
    #[error("the URL for {host} contains a user name or password: remove them")]
    UserInformation {
        /// Where it points to.
        host: String,
    },
    /// A `#fragment`, which is never sent.
    #[error("the URL for {host} contains a fragment (#…): remove it")]
    Fragment {
        /// Where it points to.
        host: String,
    },
    /// A path segment that would climb to another path.
    #[error("{segment:?} cannot be a part of a path")]
    Segment {
        /// The segment.
        segment: String,
    },
}

impl Endpoint {
    /// Accepts a URL that credentials may be sent to.
    ///
    /// # Errors
    /// When it is neither `https` nor `http` to a loopback address, or holds what it should not.
    pub fn try_new(url: Url) -> Result<Self, NotAnEndpoint> {
        let host = url.host_str().unwrap_or_default().to_owned();
        if host.is_empty() {
            return Err(NotAnEndpoint::NoHost);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotAnEndpoint::UserInformation { host });
        }
        if url.fragment().is_some() {
            return Err(NotAnEndpoint::Fragment { host });
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&host) => Ok(Self(url)),
            "http" => Err(NotAnEndpoint::InClear { host }),
            other => Err(NotAnEndpoint::Scheme { scheme: other.to_owned() }),
        }
    }

    /// The same, and plain `http` to the link-local addresses where a cloud's own host answers for
    /// the credentials of what runs on it: those packets never leave the machine's host.
    ///
    /// # Errors
    /// As [`Endpoint::try_new`].
    pub fn of_this_host(url: Url) -> Result<Self, NotAnEndpoint> {
        let link_local = url.host_str().is_some_and(|host| METADATA.contains(&host));
        let plain = url.scheme() == "http" && url.username().is_empty() && url.password().is_none();
        if link_local && plain && url.fragment().is_none() {
            return Ok(Self(url));
        }
        Self::try_new(url)
    }

    /// The same endpoint with more path segments, each encoded; the query is dropped.
    ///
    /// # Errors
    /// When a segment is empty, `.` or `..`, which would name another path.
    pub fn join(&self, segments: &[&str]) -> Result<Self, NotAnEndpoint> {
        let mut url = self.0.clone();
        url.set_query(None);
        {
            let mut path = url.path_segments_mut().map_err(|()| NotAnEndpoint::NoHost)?;
            path.pop_if_empty();
            for segment in segments {
                if matches!(*segment, "" | "." | "..") {
                    return Err(NotAnEndpoint::Segment { segment: (*segment).to_owned() });
                }
                path.push(segment);
            }
        }
        if url.path().contains('|') {
            // Not allowed in a URL (RFC 3986), and left as it is by the URL standard that is used here.
            let path = url.path().replace('|', "%7C");
            url.set_path(&path);
        }
        Ok(Self(url))
    }

    /// The same endpoint with a slash at the end of its path, for services that tell the two apart;
    /// the query is dropped.
    #[must_use]
    pub fn with_slash(mut self) -> Self {
        self.0.set_query(None);
        if !self.0.path().ends_with('/') {
            let path = format!("{}/", self.0.path());
            self.0.set_path(&path);
        }
        self
    }

    /// The same endpoint with one more query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.0.query_pairs_mut().append_pair(name, value);
        self
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Host and, where it is not the scheme's own, port: what messages call it.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback)
    }

    /// Whether requests to it are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.0.scheme(), self.host(), self.0.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `localhost` counts: the client resolves it to loopback addresses by itself.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str) -> Url {
        Url::parse(url).unwrap()
    }

    #[test]
    fn credentials_go_in_clear_only_to_this_machine() {
        for good in [
            "https://acme.eu.auth0.com",
            "https://127.0.0.1:1/x",
            "http://127.0.0.1:4400",
            "http://127.9.9.9",
            "http://[::1]:4400",
            "http://localhost:4400/base",
        ] {
            assert!(Endpoint::try_new(url(good)).is_ok(), "{good}");
        }
        for bad in [
            "http://acme.eu.auth0.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://0.0.0.0",
            "http://10.0.0.1",
            "http://[::2]",
            "ftp://127.0.0.1",
            "unix:/run/x",
            "https://user@acme.eu.auth0.com",
            "https://:pw@acme.eu.auth0.com",
            "https://acme.eu.auth0.com/#x",
        ] {
            assert!(Endpoint::try_new(url(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_host_of_credentials_is_asked_in_clear() {
        for good in ["http://169.254.169.254/latest", "http://[fd00:ec2::23]/v1", "https://a.b"] {
            assert!(Endpoint::of_this_host(url(good)).is_ok(), "{good}");
            assert_eq!(Endpoint::try_new(url(good)).is_ok(), good.starts_with("https"), "{good}");
        }
        for bad in ["http://169.254.169.253/", "http://u@169.254.169.254/", "ftp://169.254.170.2"] {
            assert!(Endpoint::of_this_host(url(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_shown_holds_a_query_or_a_password() {
        let shown =
            format!("{0} {0:?}", Endpoint::try_new(url("https://h:8443/p?x=canary")).unwrap());
        assert_eq!(shown, "https://h:8443/p https://h:8443/p");
        let refused = Endpoint::try_new(url("https://u:canary@h/")).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    }

    #[test]
    fn a_slash_at_the_end_is_there_once_and_before_the_query() {
        let base = Endpoint::try_new(url("https://h/a%2Fb?q=1")).unwrap();
        let slashed = base.with_slash();
        assert_eq!(slashed.url().as_str(), "https://h/a%2Fb/");
        let asked = slashed.with_slash().query("limit", "1");
        assert_eq!(asked.url().as_str(), "https://h/a%2Fb/?limit=1");
        assert_eq!(asked.join(&["7"]).unwrap().with_slash().url().as_str(), "https://h/a%2Fb/7/");
    }

    #[test]
    fn a_segment_stays_one_segment() {
        let base = Endpoint::try_new(url("https://h/base/?q=1")).unwrap();
        assert_eq!(
            base.join(&["a/b", "c?d"]).unwrap().url().as_str(),
            "https://h/base/a%2Fb/c%3Fd"
        );
        for climbing in ["..", ".", ""] {
            assert!(base.join(&["x", climbing]).is_err(), "{climbing:?}");
        }
    }
}
