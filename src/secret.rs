//! Secret values: wiped when freed, redacted wherever they could be shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A secret that Scimitar reads (a client secret, a key) or handles (a token's value).
///
/// It can be neither displayed, serialised nor compared; [`fmt::Debug`] shows nothing of it.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes ownership of a value; the caller's other copies are the caller's to wipe.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(SecretString::from(value))
    }

    /// Lends the value for the one call that must send or store it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let secret = Secret::new("canary-value".to_owned());
        assert_eq!(format!("{secret:?} {secret:#?}"), "[redacted] [redacted]");
        assert_eq!(secret.expose(), "canary-value");
    }
}
