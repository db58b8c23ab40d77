//! Secret values: wiped when freed, redacted wherever they could be shown.

use std::{fmt, sync::Arc};

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

/// Reads a secret each time it is needed, so that a changed file is seen without a restart.
#[derive(Clone)]
pub struct SecretSource(Arc<dyn Fn() -> Result<Secret, String> + Send + Sync>);

impl SecretSource {
    /// A source whose errors say in words, without the secret, why it cannot be read.
    #[must_use]
    pub fn new(read: impl Fn() -> Result<Secret, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// In words, when it cannot be read.
    pub fn read(&self) -> Result<Secret, String> {
        (self.0)()
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSource")
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
