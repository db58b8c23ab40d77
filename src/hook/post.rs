//! What is posted, and where to, as a configuration says it.

use std::{collections::BTreeMap, fmt};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::body::BodyTemplate;
use crate::http::Endpoint;

/// The parts of a request that a webhook makes. `S` is where a secret is kept, or how it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post<S> {
    /// Where to.
    pub url: Address<S>,
    /// Further headers.
    pub headers: Vec<(HeaderName, HeaderText<S>)>,
    /// What is sent in the place of a CloudEvent.
    pub body: Option<Body<S>>,
    /// Holds a [`SigningKey`](super::SigningKey); `None`: requests are not signed.
    pub secret: Option<S>,
}

/// Where a webhook is. Chat and incident services put a key into path or query: neither is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Address<S> {
    /// As the configuration has it.
    Plain(Endpoint),
    /// The whole URL is a secret.
    Kept(S),
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderText<S> {
    /// As the configuration has it.
    Plain(HeaderValue),
    /// A secret.
    Kept(S),
}

/// A body in a service's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body<S> {
    /// The template.
    pub template: BodyTemplate,
    /// The secrets in it, by their names there.
    pub secrets: BTreeMap<String, S>,
}

/// Reads the URL of a webhook.
///
/// # Errors
/// In words that hold nothing of it.
pub fn address(text: &str) -> Result<Endpoint, &'static str> {
    const NOT_ONE: &str = "it is not a URL that begins with https:// (or with http:// to this machine), without \
                           user name, password and fragment";
    let url = Url::parse(text.trim()).map_err(|_| NOT_ONE)?;
    Endpoint::try_new(url).map_err(|_| NOT_ONE)
}

impl<S> fmt::Debug for Address<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(endpoint) => f.write_str(&endpoint.host()),
            Self::Kept(_) => f.write_str("[redacted]"),
        }
    }
}

impl<S> Post<S> {
    /// The same with every secret had in another way.
    #[must_use]
    pub fn map<T>(&self, had: impl Fn(&S) -> T) -> Post<T> {
        let header = |(name, text): &(HeaderName, HeaderText<S>)| {
            let text = match text {
                HeaderText::Plain(value) => HeaderText::Plain(value.clone()),
                HeaderText::Kept(secret) => HeaderText::Kept(had(secret)),
            };
            (name.clone(), text)
        };
        let body = |body: &Body<S>| Body {
            template: body.template.clone(),
            secrets: body.secrets.iter().map(|(name, it)| (name.clone(), had(it))).collect(),
        };
        Post {
            url: match &self.url {
                Address::Plain(endpoint) => Address::Plain(endpoint.clone()),
                Address::Kept(secret) => Address::Kept(had(secret)),
            },
            headers: self.headers.iter().map(header).collect(),
            body: self.body.as_ref().map(body),
            secret: self.secret.as_ref().map(&had),
        }
    }
}
