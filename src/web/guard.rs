//! What browsers are told to hold to, and who is turned away before anything is looked at.

use std::net::{IpAddr, SocketAddr};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

/// The page brings its own style, script and icon and nothing else: nothing inline, no frame, nothing
/// from elsewhere, and its script can ask for nothing; its search form leads back to it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// On every answer.
const HEADERS: [(HeaderName, &str); 9] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
    // A connection carries one request.
    (CONNECTION, "close"),
];

/// Puts them there.
pub(super) fn harden(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a request to this machine alone may be answered. A page of somebody else, whose name was
/// made to lead to this machine (DNS rebinding), would have its own name in `Host`; an address, or
/// `localhost`, is no name that somebody else can have.
///
/// # Errors
/// In words for whoever is turned away.
pub(super) fn host(headers: &HeaderMap) -> Result<(), String> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        // No browser leaves it out.
        return Ok(());
    };
    let fits = host.to_str().is_ok_and(is_this_machine) && hosts.next().is_none();
    if fits {
        return Ok(());
    }
    Err("this port answers only requests for localhost or an IP address, not for other names; a \
         proxy in front of it must set the header Host to localhost\n"
        .to_owned())
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<SocketAddr>().is_ok()
        || bare.parse::<IpAddr>().is_ok()
        || name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_this_machine() {
        for good in [
            "localhost",
            "localhost:9469",
            "LOCALHOST:1",
            "scimitar.localhost:80",
            "127.0.0.1",
            "127.0.0.1:9469",
            "[::1]:9469",
            "[::1]",
            "::1",
            "192.0.2.7:9469",
        ] {
            assert!(is_this_machine(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:9469",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "127.0.0.1@evil.example",
            "evillocalhost",
            "localhost:9469:1",
            "[::1].evil.example",
        ] {
            assert!(!is_this_machine(bad), "{bad}");
        }
    }

    #[test]
    fn two_hosts_are_none() {
        let mut headers = HeaderMap::new();
        assert!(host(&headers).is_ok());
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert!(host(&headers).is_ok());
        headers.append(HOST, HeaderValue::from_static("localhost"));
        assert!(host(&headers).is_err());
    }
}
