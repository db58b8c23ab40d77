//! Secrets that providers log in with: kept on this machine, or in a store behind a sink.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;

use crate::{
    error::{Class, Fault},
    secret::{Secret, SecretSource},
    table::StoredSecret,
    token::SinkName,
};

/// What keeps secrets behind a `[sinks.NAME]`.
#[async_trait]
pub trait SecretStore: fmt::Debug + Send + Sync {
    /// Reads the secret at a location, such as `secret/scimitar#client_secret`.
    ///
    /// # Errors
    /// When it is not there, is no text, or the store does not answer.
    async fn secret(&self, location: &str) -> Result<Secret, Fault>;
}

/// The stores of the configuration in force. A reload replaces them as a whole, so that a provider that
/// stays as it is reads from the store as it is now.
#[derive(Clone, Debug, Default)]
pub struct Stores(Arc<RwLock<BTreeMap<SinkName, Arc<dyn SecretStore>>>>);

impl Stores {
    /// From now on these are the stores.
    pub fn replace(&self, stores: BTreeMap<SinkName, Arc<dyn SecretStore>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = stores;
    }

    fn get(&self, sink: &SinkName) -> Option<Arc<dyn SecretStore>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(sink).cloned()
    }
}

/// A secret to log in with. It is read at each log-in, so that a changed one counts without a restart.
#[derive(Clone, Debug)]
pub struct Credential(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Here(SecretSource),
    In(Stores, StoredSecret),
}

/// Why a secret could not be read: in words that do not hold it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Unread {
    /// Whether it may pass by itself.
    pub class: Class,
    /// In words.
    pub words: String,
}

impl Credential {
    /// One that a sink's store keeps.
    #[must_use]
    pub(super) fn stored(stores: Stores, secret: StoredSecret) -> Self {
        Self(Kept::In(stores, secret))
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is not where it is kept, or that does not answer.
    pub async fn read(&self) -> Result<Secret, Unread> {
        let terminal = |words: String| Unread { class: Class::Terminal, words };
        match &self.0 {
            Kept::Here(source) => source.read().map_err(terminal),
            Kept::In(stores, secret) => {
                let store = stores.get(&secret.sink).ok_or_else(|| {
                    terminal(format!("[sinks.{}] cannot supply secrets", secret.sink))
                })?;
                let read = store.secret(&secret.location).await;
                // A read changes nothing: one whose answer was lost is repeated.
                read.map_err(|fault| Unread {
                    class: fault.clone().settled().class,
                    words: fault.to_string(),
                })
            }
        }
    }
}

impl From<SecretSource> for Credential {
    fn from(source: SecretSource) -> Self {
        Self(Kept::Here(source))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::error::Code;

    #[derive(Debug)]
    struct Store(Mutex<Vec<Result<Secret, Fault>>>);

    #[async_trait]
    impl SecretStore for Store {
        async fn secret(&self, location: &str) -> Result<Secret, Fault> {
            assert_eq!(location, "secret/scimitar#key");
            self.0.lock().unwrap().remove(0)
        }
    }

    #[tokio::test]
    async fn a_stored_secret_is_read_anew_from_the_store_in_force() {
        let stores = Stores::default();
        let sink = SinkName::try_new("vault").unwrap();
        let location = "secret/scimitar#key".to_owned();
        let kept = StoredSecret { sink: sink.clone(), location };
        let credential = Credential::stored(stores.clone(), kept);
        assert_eq!(credential.read().await.unwrap_err().class, Class::Terminal);

        let lost = Fault::new("read it", Class::Ambiguous, Code::Timeout, "no answer");
        let answers = vec![Ok(Secret::new("one".to_owned())), Err(lost)];
        stores.replace([(sink.clone(), Arc::new(Store(Mutex::new(answers))) as _)].into());
        assert_eq!(credential.read().await.unwrap().expose(), "one");
        let unread = credential.read().await.unwrap_err();
        assert_eq!(
            (unread.class, unread.words.as_str()),
            (Class::Transient, "could not read it: no answer")
        );

        let other = vec![Ok(Secret::new("two".to_owned()))];
        stores.replace([(sink, Arc::new(Store(Mutex::new(other))) as _)].into());
        assert_eq!(credential.read().await.unwrap().expose(), "two");
        assert!(!format!("{credential:?}").contains("two"));
    }
}
