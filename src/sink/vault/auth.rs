//! How Scimitar logs in: the method, its mount, and the namespace.

use std::sync::Arc;

use super::path::below;
use crate::{aws_identity::AwsIdentity, secret::SecretSource};

/// How the token is had: `S` is a secret, as the configuration refers to it or as it is read, and `I`
/// whose credentials sign a log-in by AWS's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method<S = SecretSource, I = Arc<AwsIdentity>> {
    /// The token itself; it is renewed where it can be.
    Token(S),
    /// AppRole.
    Approle {
        /// The role's id.
        role_id: String,
        /// Its secret id, or the token that wraps one.
        secret_id: S,
        /// Whether it is wrapped: then it is taken out once, and kept in memory alone.
        wrapped: bool,
        /// Whether the secret id works once: then it is not used for a check.
        single_use: bool,
    },
    /// A service account's token.
    Kubernetes {
        /// The role.
        role: String,
        /// The service account's token; `None`: where Kubernetes puts it.
        jwt: Option<S>,
    },
    /// A signed JSON Web Token.
    Jwt {
        /// The role; `None`: the mount's default.
        role: Option<String>,
        /// The JSON Web Token.
        jwt: S,
    },
    /// The certificate of the TLS connection.
    Cert {
        /// The role; `None`: any that fits.
        role: Option<String>,
    },
    /// Who AWS says that we are, by the credentials that its own tools would find.
    AwsIam {
        /// The role; `None`: the one that is named as ours at AWS is.
        role: Option<String>,
        /// What the server wants in `X-Vault-AWS-IAM-Server-ID`, so that nobody else's request can
        /// be used there.
        header_value: Option<String>,
        /// Whose credentials sign.
        identity: I,
    },
}

/// How long a token of the log-in is kept, which decides what it does with itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It was given to us: it is looked up, and never given back.
    Given,
    /// It was had by logging in: it is given back at the end.
    Own,
}

impl<S, I> Method<S, I> {
    /// What is done with the token that it leads to.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        match self {
            Self::Token(_) => Keeping::Given,
            Self::Approle { .. }
            | Self::Kubernetes { .. }
            | Self::Jwt { .. }
            | Self::Cert { .. }
            | Self::AwsIam { .. } => Keeping::Own,
        }
    }
}

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<S = SecretSource, I = Arc<AwsIdentity>> {
    /// How the token is had.
    pub method: Method<S, I>,
    /// Where the method is mounted; the method's own name where nothing else is said.
    pub mount: String,
    /// The namespace of the log-in, "" for the root; `None`: that of the secrets.
    pub namespace: Option<String>,
}

impl<S, I> Auth<S, I> {
    /// The namespace of the log-in to a server whose secrets are in that one.
    pub(super) fn namespace_in<'a>(&'a self, secrets: Option<&'a str>) -> Option<&'a str> {
        match &self.namespace {
            Some(own) => Some(own.as_str()).filter(|own| !own.is_empty()),
            None => secrets,
        }
    }

    /// The way from there down to that of the secrets, with a slash behind it.
    pub(super) fn way_down(&self, secrets: Option<&str>) -> String {
        let (Some(login), Some(secrets)) = (&self.namespace, secrets) else {
            return String::new();
        };
        let inside = if login.is_empty() { Some(secrets) } else { below(secrets, login) };
        inside.map(|inside| format!("{inside}/")).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_above_its_secrets_names_the_way_down() {
        for (secrets, login, at, way) in [
            (None, None, None, ""),
            (Some("a/b"), None, Some("a/b"), ""),
            (Some("a/b"), Some("a/b"), Some("a/b"), ""),
            (Some("a/b"), Some("a"), Some("a"), "b/"),
            (Some("a/b"), Some(""), None, "a/b/"),
            (None, Some(""), None, ""),
        ] {
            let auth: Auth<(), ()> = Auth {
                method: Method::Cert { role: None },
                mount: "cert".to_owned(),
                namespace: login.map(str::to_owned),
            };
            assert_eq!(auth.way_down(secrets), way, "{secrets:?} {login:?}");
            assert_eq!(auth.namespace_in(secrets), at, "{secrets:?} {login:?}");
        }
    }
}
