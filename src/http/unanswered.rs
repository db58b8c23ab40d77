//! Why there is no answer, in words.

use std::{error::Error, io, path::Path, time::Duration};

use chrono::DateTime;
use reqwest::Url;
use rustls::{CertificateError, pki_types::UnixTime};

use super::{
    endpoint::Endpoint,
    proxy,
    reply::{Sent, Unanswered},
};
use crate::{
    error::{Code, chain},
    words::date,
};

/// How a request was to reach its service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) to: &'a Endpoint,
    /// The proxy in between.
    pub(super) proxy: Option<&'a Url>,
    /// The file with further authorities.
    pub(super) ca_file: Option<&'a Path>,
    pub(super) within: Duration,
}

/// Says in words why there is no answer, and whether the request can have been sent: a connect
/// error is the only one that comes before its first byte.
pub(super) fn unanswered(error: &reqwest::Error, way: &Way<'_>) -> Unanswered {
    let host = way.to.host();
    let cause = deepest(error);
    if error.is_builder() {
        return Unanswered {
            sent: Sent::No,
            code: Code::Invalid,
            detail: format!("the request to {host} could not be built ({cause})"),
        };
    }
    if error.is_connect() {
        let detail = match (certificate_error(error), way.proxy) {
            (Some(trouble), _) => {
                let words = words(&trouble, &host, way.ca_file);
                format!("no connection to {host}: {words}; nothing was sent")
            }
            (None, Some(proxy)) => {
                let proxy = proxy::shown(proxy);
                format!(
                    "no connection to {host} through the proxy {proxy} ({cause}); nothing was sent"
                )
            }
            (None, None) => format!("no connection to {host} ({cause}); nothing was sent"),
        };
        return Unanswered { sent: Sent::No, code: Code::Unreachable, detail };
    }
    if error.is_timeout() {
        return Unanswered {
            sent: Sent::Perhaps,
            code: Code::Timeout,
            detail: format!("no answer from {host} within {:?}", way.within),
        };
    }
    Unanswered {
        sent: Sent::Perhaps,
        code: Code::Unavailable,
        detail: format!("the connection to {host} ended before there was an answer ({cause})"),
    }
}

/// The last cause of an error, which never holds a URL: only reqwest's own errors do, and they
/// are the first of a chain.
pub(super) fn deepest(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(next) = cause.and_then(Error::source) {
        cause = Some(next);
    }
    cause.map_or_else(|| "no cause is given".to_owned(), |cause| super::quote(&chain(cause), &[]))
}

/// Why a service's certificate was refused, if it was, and what to do about it; for protocols beside
/// HTTP as well.
#[must_use]
pub fn certificate_words(
    error: &(dyn Error + 'static),
    host: &str,
    ca_file: Option<&Path>,
) -> Option<String> {
    certificate_error(error).map(|trouble| words(&trouble, host, ca_file))
}

/// Why the service's certificate was refused, if it was.
fn certificate_error(error: &(dyn Error + 'static)) -> Option<CertificateError> {
    let mut cause = Some(error);
    while let Some(at) = cause {
        if let Some(rustls::Error::InvalidCertificate(trouble)) = at.downcast_ref() {
            return Some(trouble.clone());
        }
        // An error of the system that wraps another one does not name it as its source.
        let wrapped = at.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => at.source(),
        };
    }
    None
}

/// What a refused certificate means, and what to do about it.
fn words(trouble: &CertificateError, host: &str, ca_file: Option<&Path>) -> String {
    let known = format!("{trouble:?}");
    let is = |name: &str| known.contains(name);
    if let CertificateError::ExpiredContext { not_after, .. } = trouble {
        return format!(
            "its certificate expired on {}; renew it there, or set this host's clock if that is \
             wrong",
            day(*not_after)
        );
    }
    if let CertificateError::NotValidYetContext { not_before, .. } = trouble {
        return format!(
            "its certificate is not valid before {}; set this host's clock if that is wrong",
            day(*not_before)
        );
    }
    if let CertificateError::NotValidForNameContext { presented, .. } = trouble {
        // `DnsName("a.example")`: only the name.
        let bare = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
        let names = presented.iter().map(bare).collect::<Vec<_>>().join(", ");
        let names = if names.is_empty() { "no name at all".to_owned() } else { names };
        return format!(
            "its certificate is for another name ({}); use a name that it has, or have one issued \
             for {host}",
            super::quote(&names, &[])
        );
    }
    let of_file = |file: &Path| format!("the file {} (`ca_file`)", file.display());
    if matches!(trouble, CertificateError::UnknownIssuer) {
        return ca_file.map_or_else(
            || {
                "its certificate is issued by an authority that this system does not know; if \
                 it is a private authority, name its PEM file in `ca_file`"
                    .to_owned()
            },
            |file| {
                format!(
                    "its certificate is issued by an authority that neither this system nor {} \
                     holds; add that authority's certificate to the file",
                    of_file(file)
                )
            },
        );
    }
    if is("CaUsedAsEndEntity") {
        return "its certificate is that of a certificate authority (CA:TRUE), which a service \
                must not present; have a certificate without that mark issued"
            .to_owned();
    }
    if is("EndEntityUsedAsCa") {
        return "its certificate was issued by a certificate that is not an authority (CA:TRUE \
                is missing); have it issued by an authority"
            .to_owned();
    }
    if is("UnsupportedSignatureAlgorithm")
        || is("UnsupportedPublicKey")
        || is("UnsupportedCertVersion")
    {
        return "its certificate, or one above it, is too weak or too old (SHA-1, an RSA key under \
                2048 bits, version 1); have it issued again with SHA-256 and a longer key"
            .to_owned();
    }
    if matches!(trouble, CertificateError::BadSignature) {
        return "the signature of its certificate does not match, or was made with a key that is too \
                weak (RSA under 2048 bits); have it issued again, and check that `ca_file` has \
                the current authority"
            .to_owned();
    }
    if is("InvalidPurpose") || is("EkuError") {
        return "its certificate is not meant for servers (extended key usage); have one for \
                servers issued"
            .to_owned();
    }
    if matches!(trouble, CertificateError::Revoked) {
        return "its certificate was revoked by its authority; renew it there".to_owned();
    }
    format!("its certificate is rejected ({})", super::quote(&trouble.to_string(), &[]))
}

fn day(at: UnixTime) -> String {
    let seconds = i64::try_from(at.as_secs()).ok();
    let at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.map_or_else(|| "an unknown day".to_owned(), date)
}
