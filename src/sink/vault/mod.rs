//! The sink for HashiCorp Vault and OpenBao: a token as the keys of a secret.
//!
//! In a key-value engine of version 2 a write names the version that it replaces, and the server
//! refuses it when that is another by then. The one that was seen is always named, also that of
//! a version that was deleted; 0 only where there never was one. Version 1 has no such thing: what
//! two writers do there at the same moment cannot be told apart, and `check` says so.
//!
//! The engine is asked of the server, never guessed: the wrong one would take a secret for absent.

mod access;
mod answer;
mod answers;
mod auth;
mod config;
mod kv;
mod login;
mod marks;
mod mount;
mod path;
mod read;
mod rights;
mod schema;
mod secret_id;
mod send;
mod server;
mod session;
mod settings;
mod store;
mod wire;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub use self::{
    auth::{Auth, Keeping, Method},
    config::KIND,
    read::{Certificate, Sts, VaultConfig},
    rights::{Alternative, Rule, VaultPolicy, policy},
    server::VaultServer,
    settings::{Identity, ServerSettings, VaultTarget},
};
use self::{
    kv::Seen,
    mount::{Engine, Instance, Mount},
    settings::{CUSTOM, Checked},
};
use crate::{
    error::{Class, Code, Fault},
    rotation::policy::Mode,
    sink::{
        Container, Contents, Delivery, Fence, Loss, Place, Reading, Sink, Version,
        rules::{
            Latest, changed,
            document::{Document, Layout},
            elsewhere_now, invalid, yields,
        },
    },
    token::TokenValue,
};

/// How long the server may go on with a request whose client is gone: its own default.
const LINGERS: Duration = Duration::from_secs(90);

/// One secret that one connection is delivered to.
pub struct VaultSink {
    server: Arc<VaultServer>,
    checked: Checked,
    mount: Mutex<Option<Mount>>,
    /// The last version that we wrote.
    written: Latest<u64>,
    /// What the secret was in when it was last read; within: the server did not tell.
    read_in: Mutex<Option<Option<Container>>>,
}

impl fmt::Debug for VaultSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

impl VaultSink {
    /// Checks the delivery. The server is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the path cannot be one of a secret.
    pub fn try_new(server: &Arc<VaultServer>, target: VaultTarget) -> Result<Self, Fault> {
        let checked = target.checked(&server.settings)?;
        let server = Arc::clone(server);
        Ok(Self {
            server,
            checked,
            mount: Mutex::default(),
            written: Latest::default(),
            read_in: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not on this server.
    pub fn reopen(server: &Arc<VaultServer>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(server, VaultTarget::remembered(&server.settings, place)?)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    /// Looks at the secret that was read in a container, before it is written. That nothing is there
    /// is believed only of the engine and the cluster that it was read in: any other one would say
    /// the same. So would version 1 of whatever it is to replace.
    async fn look(
        &self,
        operation: &str,
        read_in: Option<Container>,
    ) -> Result<(Mount, Seen), Fault> {
        let known = self.mount.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(mount) = known.filter(|mount| mount.engine == Engine::Two) {
            let seen = kv::read(&self.server, operation, &mount).await;
            match seen {
                Ok(seen) if !seen.never_was() => {
                    return Ok((mount, self.not_older(operation, seen)?));
                }
                Err(fault) if fault.code != Code::Invalid => return Err(fault),
                Ok(_) | Err(_) => {}
            }
        }
        let (mount, instance) = self.ask_for_the_mount().await?;
        let seen = kv::read(&self.server, operation, &mount).await?;
        let seen = self.not_older(operation, seen)?;
        if let Some(read) = read_in
            && (seen.never_was() || mount.engine == Engine::One)
        {
            still_in(operation, &read, self.container(&mount, instance).await?.as_ref())?;
        }
        Ok((mount, seen))
    }

    /// Another engine may be there by now, with a secret of its own in it.
    async fn ask_for_the_mount(&self) -> Result<(Mount, Option<Instance>), Fault> {
        let (mount, instance) = mount::ask(&self.server, &self.checked).await?;
        *self.mount.lock().unwrap_or_else(PoisonError::into_inner) = Some(mount.clone());
        Ok((mount, instance))
    }

    /// What the secret is in; `None` where the server does not tell.
    async fn container(
        &self,
        mount: &Mount,
        instance: Option<Instance>,
    ) -> Result<Option<Container>, Fault> {
        let Some(Instance { id, accessor }) = instance else { return Ok(None) };
        let Some(cluster) = self.server.cluster().await? else { return Ok(None) };
        let known_as = if cluster.name.is_empty() { &cluster.id } else { &cluster.name };
        let accessor = if accessor.is_empty() { &id } else { &accessor };
        let words = format!("the mount {} ({accessor}) of the cluster {known_as}", mount.name);
        Ok(Some(Container { id: format!("{id} {}", cluster.id), words, strict: true }))
    }

    /// What the last read said that the secret is in.
    fn read_in(&self) -> Option<Option<Container>> {
        self.read_in.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That the last read did not tell what the secret is in, in words.
    fn untold(&self) -> Option<String> {
        let None = self.read_in()? else { return None };
        Some(format!(
            "the server of {} does not return which cluster and engine it is (sys/health is blocked, or \
             answers without a cluster_id): Scimitar would not notice if another cluster or engine answered \
             there, and would treat a secret that is missing there as empty; let Scimitar reach \
             sys/health, which needs no token",
            self.checked.place.location
        ))
    }

    /// A standby that has yet to catch up shows what was there before our own write.
    fn not_older(&self, operation: &str, seen: Seen) -> Result<Seen, Fault> {
        let (now, who) = (self.server.clock.now(), "the answer came from a standby that");
        self.written.refuse_older(operation, now, who, |number| seen.number < *number)?;
        Ok(seen)
    }

    /// What a secret means.
    fn understand(&self, seen: &Seen) -> Contents {
        let Some(data) = &seen.data else { return Contents::Empty };
        self.checked.keys.understand(data, |value| marks::of_value(&seen.custom, value))
    }

    /// The secret as it is to be: ours in the place of ours, the rest as it is.
    fn compose(
        &self,
        seen: &Seen,
        delivery: &Delivery,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
        let nothing = Document::default();
        let held = seen.data.as_ref().unwrap_or(&nothing);
        let composed = self.checked.keys.composed(held, delivery, Layout::Line);
        composed.map_err(|error| invalid(&self.operation("write"), error.to_string()))
    }

    /// Version 1 has nowhere to keep marks but in the secret.
    fn room_for_marks(&self, operation: &str, mount: &Mount) -> Result<(), Fault> {
        if mount.engine == Engine::Two || self.checked.keys.hold_marks() {
            return Ok(());
        }
        let words = "a key-value engine of version 1 has no custom_metadata for the marks, which \
                     do not fit beside `payload`; leave `payload` out, or use version 2";
        Err(Fault::new(operation, Class::Terminal, Code::Invalid, words))
    }

    /// Writes version 2 with its marks.
    async fn write_two(
        &self,
        operation: &str,
        mount: &Mount,
        seen: &Seen,
        held: Option<&TokenValue>,
        delivery: &Delivery,
        document: &[u8],
    ) -> Result<Version, Fault> {
        let patch = (!self.checked.keys.hold_marks()).then(|| {
            let held = held.map(TokenValue::digest);
            let digest = delivery.value.digest();
            marks::announcing(&seen.custom, &delivery.marks, &digest, held.as_ref())
        });
        // The marks first, so that there is never a value without them; but a secret that never
        // was has no metadata that could be patched, and to make it could replace a neighbour's.
        if let Some(patch) = patch.as_ref().filter(|_| !seen.never_was()) {
            kv::announce(&self.server, operation, mount, patch).await?;
        }
        let made = kv::write_two(&self.server, operation, mount, seen.number, document).await?;
        self.written.note(made.number, self.server.clock.now());
        if let Some(patch) = patch.as_ref().filter(|_| seen.never_was()) {
            let marked = kv::announce(&self.server, operation, mount, patch).await;
            marked.map_err(|fault| Fault {
                class: Class::Ambiguous,
                detail: format!("the token was written, but its marks were not: {}", fault.detail),
                ..fault
            })?;
        }
        Ok(made.version)
    }

    /// Writes version 1 and looks what came of it.
    async fn write_one(
        &self,
        operation: &str,
        mount: &Mount,
        delivery: &Delivery,
        document: &[u8],
    ) -> Result<Version, Fault> {
        kv::write_one(&self.server, operation, mount, document).await?;
        let seen = kv::read(&self.server, operation, mount).await.map_err(Fault::in_doubt)?;
        match self.understand(&seen) {
            Contents::Marked { marks, value }
                if marks == delivery.marks && value.expose() == delivery.value.expose() =>
            {
                Ok(seen.version)
            }
            Contents::Marked { .. } | Contents::Unmarked { .. } | Contents::Empty => {
                Err(changed(operation))
            }
        }
    }
}

#[async_trait]
impl Sink for VaultSink {
    fn place(&self) -> &Place {
        &self.checked.place
    }

    fn readable(&self) -> bool {
        true
    }

    fn caveat(&self) -> Option<String> {
        let mount = self.mount.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mount = mount.and_then(|mount| mount.caveat());
        let caveats = [mount, self.untold(), self.server.noted().clone()];
        let caveats: Vec<String> = caveats.into_iter().flatten().collect();
        (!caveats.is_empty()).then(|| caveats.join("; "))
    }

    fn overwrites(&self) -> bool {
        self.checked.overwrite
    }

    fn lingers(&self) -> Duration {
        LINGERS
    }

    async fn read(&self) -> Result<Reading, Fault> {
        let operation = self.operation("read");
        let (mount, instance) = self.ask_for_the_mount().await?;
        let container = self.container(&mount, instance.clone()).await?;
        let seen = kv::read(&self.server, &operation, &mount).await?;
        let seen = self.not_older(&operation, seen)?;
        if seen.data.is_none() {
            // An address can lead to another cluster between two questions.
            let after = self.container(&mount, instance).await?;
            if container != after {
                return Err(unsettled(&operation, container, after));
            }
        }
        *self.read_in.lock().unwrap_or_else(PoisonError::into_inner) = Some(container.clone());
        let contents = self.understand(&seen);
        let keys = &self.checked.keys;
        let loss = seen.data.as_ref().map_or(Loss::Nothing, |data| keys.loss(data));
        let mut elsewhere = seen.data.as_ref().map(|data| keys.elsewhere(data)).unwrap_or_default();
        if mount.engine == Engine::One {
            // A payload has its marks in custom_metadata, which is not there.
            elsewhere.iter_mut().for_each(|one| one.before = None);
        }
        Ok(Reading { container, loss, elsewhere, ..Reading::new(seen.version, contents) })
    }

    async fn prove_writable(&self, seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write");
        let (mount, seen) = self.look(&operation, seen.container.clone()).await?;
        self.room_for_marks(&operation, &mount)?;
        match mount.engine {
            Engine::One => {
                kv::prove_one(&self.server, &operation, &mount, seen.data.is_some()).await
            }
            Engine::Two => {
                mount::check_limits(&self.server, &self.checked, &mount).await?;
                kv::prove_two(&self.server, &operation, &mount).await?;
                if !self.checked.keys.hold_marks() {
                    kv::prove_announcing(&self.server, &operation, &mount).await?;
                }
                Ok(())
            }
        }
    }

    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        let operation = self.operation("ask for the permissions on");
        let known = self.mount.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mount = match known {
            Some(mount) => mount,
            None => mount::ask(&self.server, &self.checked).await?.0,
        };
        let beside = !self.checked.keys.hold_marks() || self.says_beside();
        let missing = rights::missing(&self.server, &operation, &mount, beside, mode).await?;
        self.server.look_up_secret_id().await;
        let of = &self.checked.place.location;
        Ok(missing.into_iter().map(|words| format!("{of}: {words}")).collect())
    }

    /// Makes the delivery what the secret holds.
    ///
    /// # If the answer is lost
    /// The new version may be there, now or later, whole; marks that were written beside it are
    /// those of the old value and of the new.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let read_in = self.read_in().flatten();
        let (mount, seen) = self.look(&operation, read_in).await?;
        self.room_for_marks(&operation, &mount)?;
        if seen.version != *expected {
            return Err(changed(&operation));
        }
        let way_out = "give this connection another path, or delete that secret";
        let held = yields(self.understand(&seen), &delivery.marks, way_out)
            .map_err(|refused| refused.of(&operation))?;
        let document = self.compose(&seen, delivery)?;
        fence.check().await?;
        // A replay makes no version more.
        let marked = held.as_ref().is_some_and(|(_, marked)| *marked);
        if marked && seen.data.as_ref().is_some_and(|held| held.is(&document)) {
            return Ok(seen.version);
        }
        match mount.engine {
            Engine::One => self.write_one(&operation, &mount, delivery, &document).await,
            Engine::Two => {
                let held = held.as_ref().map(|(value, _)| value);
                self.write_two(&operation, &mount, &seen, held, delivery, &document).await
            }
        }
    }

    fn says_beside(&self) -> bool {
        !self.checked.custom.is_empty()
    }

    /// By a merge that touches no other key. It is sent in any case: which keys are there only a read of
    /// all of the secret would tell.
    async fn say_beside(&self, delivery: &Delivery, fence: &dyn Fence) -> Result<(), Fault> {
        let operation = self.operation("write the custom_metadata of");
        let said = self.checked.custom.said(delivery, &CUSTOM);
        let known = self.mount.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mount = match known {
            Some(mount) => mount,
            None => self.ask_for_the_mount().await?.0,
        };
        if mount.engine == Engine::One {
            let words = "a key-value engine of version 1 has none; take `custom_metadata` out of the \
                         delivery, or use version 2";
            return Err(Fault::new(operation, Class::Terminal, Code::Invalid, words));
        }
        fence.check().await?;
        kv::announce(&self.server, &operation, &mount, &marks::saying(&said)).await?;
        said.all_fit(&operation, &CUSTOM)
    }
}

/// Refuses what is in something else than when it was read.
fn still_in(operation: &str, read: &Container, now: Option<&Container>) -> Result<(), Fault> {
    let untold = "the server no longer returns which engine and cluster it is";
    match elsewhere_now(read, now, "the path now leads to", untold) {
        None => Ok(()),
        Some(words) => {
            let words = format!("{words}; nothing was written");
            Err(Fault::new(operation, Class::Conflict, Code::Changed, words))
        }
    }
}

fn unsettled(operation: &str, before: Option<Container>, after: Option<Container>) -> Fault {
    let words = |container: Option<Container>| {
        container.map_or_else(|| "an unknown cluster".to_owned(), |container| container.words)
    };
    let words = format!(
        "the secret does not exist, but the address led to {} before the read and to {} after it",
        words(before),
        words(after)
    );
    Fault::new(operation, Class::Transient, Code::Unavailable, words)
}
