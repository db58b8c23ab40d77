//! The sink for Kubernetes: a token as keys of a Secret.
//!
//! Every write names the `resourceVersion` that was read, and the API refuses it with 409 when the
//! Secret is in another state by then (Kubernetes API concepts, "Resource versions"): that is the
//! compare-and-set. A write is a merge patch of our own keys, so that nothing of others is sent back.
//!
//! That a Secret is not there is believed only of the namespace that it was read in, known by its
//! `uid`: a cluster that was made anew under the same address would say the same.

mod answers;
mod cluster;
mod config;
mod files;
mod held;
mod kubeconfig;
mod marks;
mod rights;
mod schema;
mod settings;
mod yaml;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_smithy_types::base64;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use self::{
    cluster::Cluster,
    config::{KIND, KubernetesConfig},
    settings::{ClusterSettings, KubernetesTarget, Reach},
};
use self::{
    cluster::{Call, JSON, MERGE_PATCH},
    held::{Barred, Held, Ours, check_size},
    settings::{Checked, LABELS},
};
use crate::{
    error::{Class, Code, Fault},
    http::Reply,
    rotation::policy::Mode,
    secret::Secret,
    sink::{
        Container, Contents, Delivery, Fence, Loss, Place, Reading, Sink, Version,
        payload::Said,
        rules::{Effect, changed, elsewhere_now, invalid, yields},
    },
};

/// How long the API may go on with a request whose client is gone: its own limit
/// (`--request-timeout`), with half as much again for what stands in front of it.
const LINGERS: Duration = Duration::from_secs(90);

/// What a proof would write, and never does.
const PROOF: &str = "scimitar-proof";

/// One Secret that one connection is delivered to.
pub struct KubernetesSink {
    cluster: Arc<Cluster>,
    checked: Checked,
    /// What the Secret was in when it was last read; within: the API did not tell.
    read_in: Mutex<Option<Option<Container>>>,
    /// Who else writes it, as it was last read.
    controller: Mutex<Option<String>>,
    /// Why the last write went without the labels of the delivery.
    unlabelled: Mutex<Option<Fault>>,
}

impl fmt::Debug for KubernetesSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

impl KubernetesSink {
    /// Checks the delivery. The cluster is asked nothing.
    ///
    /// # Errors
    /// [`Code::Invalid`] when the name cannot be one of a Secret.
    pub fn try_new(cluster: &Arc<Cluster>, target: KubernetesTarget) -> Result<Self, Fault> {
        Ok(Self {
            checked: target.checked(&cluster.settings)?,
            cluster: Arc::clone(cluster),
            read_in: Mutex::default(),
            controller: Mutex::default(),
            unlabelled: Mutex::default(),
        })
    }

    /// The sink of a place that the ledger remembers.
    ///
    /// # Errors
    /// When what is remembered cannot be used, or is not in this cluster.
    pub fn reopen(cluster: &Arc<Cluster>, place: &Place) -> Result<Self, Fault> {
        Self::try_new(cluster, KubernetesTarget::remembered(&cluster.settings, place)?)
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    fn path(&self) -> [&str; 6] {
        let Checked { namespace, name, .. } = &self.checked;
        ["api", "v1", "namespaces", namespace, "secrets", name]
    }

    /// The Secret; `None` where there is none.
    async fn look(&self, operation: &str) -> Result<Option<Held>, Fault> {
        let reply = self.cluster.send(operation, Effect::None, Call::get(&self.path())).await?;
        match reply.status {
            200 => {
                let read = held::read(&reply);
                let held = read.map_err(|words| {
                    answers::unreadable(operation, &reply, &words, Effect::None)
                })?;
                Ok(Some(held))
            }
            // A Secret of a namespace that is not there is answered in the same way.
            404 if answers::missing(&reply).as_deref() == Some("secrets") => Ok(None),
            _ => Err(answers::refused(operation, &reply, Effect::None, &[])),
        }
    }

    /// What the Secret is in; `None` where the API does not tell us.
    async fn container(&self, operation: &str) -> Result<Option<Container>, Fault> {
        #[derive(Deserialize)]
        struct Namespace {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            uid: String,
        }
        let namespace = self.checked.namespace.as_str();
        let path = ["api", "v1", "namespaces", namespace];
        let reply = self.cluster.send(operation, Effect::None, Call::get(&path)).await?;
        match reply.status {
            200 => {
                let read = reply.json::<Namespace>();
                let uid = read
                    .map_err(|words| answers::unreadable(operation, &reply, &words, Effect::None))?
                    .metadata
                    .uid;
                let words = format!("the namespace {namespace} with the uid {uid}");
                Ok(Some(Container { id: uid, words, strict: true }))
            }
            404 if answers::missing(&reply).as_deref() == Some("namespaces") => {
                let words = format!(
                    "there is no namespace {namespace} in this cluster; create it, or correct \
                     `namespace`"
                );
                Err(Fault::new(operation, Class::Terminal, Code::Invalid, words))
            }
            _ => {
                let fault = answers::refused(operation, &reply, Effect::None, &[]);
                if fault.code == Code::Forbidden { Ok(None) } else { Err(fault) }
            }
        }
    }

    /// Looks at the Secret that was read in a container, before it is written.
    async fn look_again(
        &self,
        operation: &str,
        read_in: Option<&Container>,
    ) -> Result<Option<Held>, Fault> {
        if let Some(read) = read_in {
            let now = self.container(operation).await?;
            let untold = "the API no longer returns the namespace's uid";
            if let Some(words) = elsewhere_now(read, now.as_ref(), "the name now leads to", untold)
            {
                let words = format!("{words}; nothing was written");
                return Err(Fault::new(operation, Class::Conflict, Code::Changed, words));
            }
        }
        self.look(operation).await
    }

    /// What the last read said that the Secret is in.
    fn read_in(&self) -> Option<Option<Container>> {
        self.read_in.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn understand(&self, held: Option<&Held>) -> Contents {
        held.map_or(Contents::Empty, |held| held.understand(&self.checked.keys))
    }

    /// What a delivery writes.
    fn ours<'a>(&self, operation: &str, delivery: &'a Delivery) -> Result<Ours<'a>, Fault> {
        let written = self.checked.keys.written(delivery);
        let data = written.map_err(|error| invalid(operation, error.to_string()))?;
        let beside = !self.checked.keys.hold_marks();
        let marks = beside.then(|| (&delivery.marks, delivery.value.digest()));
        Ok(Ours { data, marks, said: self.checked.labels.said(delivery, &LABELS) })
    }

    /// Notes why the labels of a delivery are not there.
    fn note_unlabelled(&self, why: &str) {
        let operation = self.operation("write the labels of");
        let fault = Fault::new(operation, Class::Terminal, Code::Invalid, why);
        *self.unlabelled.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// Writes, or tries that out, if the Secret is still in this state.
    async fn write(
        &self,
        operation: &str,
        held: Option<&Held>,
        ours: &Ours<'_>,
        dry: bool,
        hidden: &[&str],
    ) -> Result<Version, Fault> {
        let fail = |words: String| Fault::new(operation, Class::Terminal, Code::Invalid, words);
        match held.and_then(Held::barred) {
            Some(Barred::ForGood(words)) => return Err(fail(words)),
            Some(Barred::Going) => {
                let words = "it is being deleted, but still exists (its finalizers hold it)";
                return Err(Fault::new(operation, Class::Transient, Code::Unavailable, words));
            }
            None => {}
        }
        check_size(held, &self.checked.keys, ours).map_err(fail)?;
        let effect = if dry { Effect::None } else { Effect::Writes };
        let path = self.path();
        let call = match held {
            Some(held) => {
                let Some(patch) = held.patch(&self.checked.keys, ours) else {
                    return Ok(Version(held.version.clone()));
                };
                Call {
                    method: Method::PATCH,
                    path: &path,
                    dry,
                    body: Some((MERGE_PATCH, bytes_of(&patch))),
                }
            }
            None if !self.cluster.settings.create => {
                let words = "there is no such Secret, and create = false; create it, empty: kubectl create \
                             secret generic";
                return Err(fail(words.to_owned()));
            }
            None => {
                let Checked { namespace, name, .. } = &self.checked;
                let (folder, _) = path.split_at(path.len() - 1);
                let body = Some((JSON, bytes_of(&ours.object(namespace, name))));
                Call { method: Method::POST, path: folder, dry, body }
            }
        };
        let reply = self.cluster.send(operation, effect, call).await?;
        match reply.status {
            200 | 201 => {
                let made = as_written(operation, &reply, effect, ours)?;
                if ours.said.within(&made.labels) != made.labels {
                    self.note_unlabelled(
                        "the API stored other labels: an admission webhook or a policy of the cluster changes them; \
                         exempt this Secret, or remove them from the delivery",
                    );
                }
                Ok(Version(made.version))
            }
            // It was there a moment ago.
            404 if held.is_some() && answers::missing(&reply).as_deref() == Some("secrets") => {
                Err(changed(operation))
            }
            _ => Err(answers::refused(operation, &reply, effect, hidden)),
        }
    }
}

#[async_trait]
impl Sink for KubernetesSink {
    fn place(&self) -> &Place {
        &self.checked.place
    }

    fn readable(&self) -> bool {
        true
    }

    fn caveat(&self) -> Option<String> {
        let place = &self.checked.place.location;
        let untold = matches!(self.read_in(), Some(None)).then(|| {
            format!(
                "the API does not return which namespace {place} is in (the permission to get the namespace is missing): \
                 Scimitar would not notice if another cluster answered at this address, and would treat a \
                 Secret that is missing there as empty; `scimitar permissions` prints the \
                 Role"
            )
        });
        let controller = self.controller.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rival = controller.map(|owner| {
            format!(
                "{place} belongs to {owner}, which may overwrite or delete what Scimitar delivers: let \
                 only one of the two manage it"
            )
        });
        let caveats: Vec<String> = [untold, rival].into_iter().flatten().collect();
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
        let container = self.container(&operation).await?;
        let held = self.look(&operation).await?;
        *self.read_in.lock().unwrap_or_else(PoisonError::into_inner) = Some(container.clone());
        *self.controller.lock().unwrap_or_else(PoisonError::into_inner) =
            held.as_ref().and_then(|held| held.controller.clone());
        let keys = &self.checked.keys;
        let contents = self.understand(held.as_ref());
        let loss = held.as_ref().map_or(Loss::Nothing, |held| keys.loss(held));
        let elsewhere = held.as_ref().map(|held| keys.elsewhere(held)).unwrap_or_default();
        let version = held.map_or_else(|| Version::ABSENT.to_owned(), |held| held.version);
        Ok(Reading { container, loss, elsewhere, ..Reading::new(Version(version), contents) })
    }

    /// Tries a write out (`dryRun=All`): the API does all but store it. The rights, quotas, admission
    /// and `immutable` are looked at as they are for a write.
    async fn prove_writable(&self, seen: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to write");
        let held = self.look_again(&operation, seen.container.as_ref()).await?;
        let keys = &self.checked.keys;
        let key = keys.token_key().into_owned();
        let data = [(key, Secret::new(PROOF.to_owned()))].into();
        let ours = Ours { data, marks: None, said: Said::default() };
        self.write(&operation, held.as_ref(), &ours, true, &[]).await.map(drop)
    }

    async fn missing_rights(&self, mode: Mode) -> Result<Vec<String>, Fault> {
        let operation = self.operation("ask for the permissions on");
        let Checked { namespace, name, place, .. } = &self.checked;
        let mut missing = Vec::new();
        for verb in rights::verbs(self.cluster.settings.create, mode) {
            let path = ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"];
            let review = rights::review(namespace, name, verb);
            let body = Some((JSON, bytes_of(&review)));
            let call = Call { method: Method::POST, path: &path, dry: false, body };
            let reply = self.cluster.send(&operation, Effect::None, call).await?;
            match rights::allowed(&reply) {
                Some(true) => {}
                Some(false) => {
                    missing.push(format!(
                        "{}: {}",
                        place.location,
                        rights::lacking(namespace, verb)
                    ));
                }
                // Every service account may ask unless that was taken away: then the proof has to do.
                None if reply.status == 403 => return Ok(Vec::new()),
                None => return Err(answers::refused(&operation, &reply, Effect::None, &[])),
            }
        }
        Ok(missing)
    }

    /// Makes the delivery what the Secret holds.
    ///
    /// # If the answer is lost
    /// The Secret may be written, now or later, if it is still in the state that was named; value and
    /// marks come together.
    async fn promote(
        &self,
        delivery: &Delivery,
        expected: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("write");
        let read_in = self.read_in().flatten();
        let held = self.look_again(&operation, read_in.as_ref()).await?;
        let version = held.as_ref().map_or(Version::ABSENT, |held| held.version.as_str());
        if version != expected.0 {
            return Err(changed(&operation));
        }
        let way_out = "give this connection another Secret, or delete that one";
        yields(self.understand(held.as_ref()), &delivery.marks, way_out)
            .map_err(|refused| refused.of(&operation))?;
        let mut ours = self.ours(&operation, delivery)?;
        *self.unlabelled.lock().unwrap_or_else(PoisonError::into_inner) = None;
        fence.check().await?;
        let encoded = Zeroizing::new(base64::encode(delivery.value.expose()));
        let hidden = [delivery.value.expose(), encoded.as_str()];
        let written = self.write(&operation, held.as_ref(), &ours, false, &hidden).await;
        let Err(fault) = written else { return written };
        // A policy or a webhook of the cluster may refuse a label, or hold it up: the token is what matters. A
        // write that arrives after all is a conflict to the second one.
        if fault.class == Class::Conflict || !self.says_beside() {
            return Err(fault);
        }
        ours.said = Said::default();
        fence.check().await?;
        match self.write(&operation, held.as_ref(), &ours, false, &hidden).await {
            Ok(version) => {
                self.note_unlabelled(&fault.detail);
                Ok(version)
            }
            // The first may still be on its way.
            Err(_) if fault.class == Class::Ambiguous => Err(fault),
            Err(again) => Err(again),
        }
    }

    fn says_beside(&self) -> bool {
        !self.checked.labels.is_empty()
    }

    /// Value and labels are written in one request: what is left is to tell why these were not.
    async fn say_beside(&self, delivery: &Delivery, _fence: &dyn Fence) -> Result<(), Fault> {
        let unlabelled = self.unlabelled.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(fault) = unlabelled {
            return Err(fault);
        }
        let operation = self.operation("write the labels of");
        self.checked.labels.said(delivery, &LABELS).all_fit(&operation, &LABELS)
    }
}

/// The Secret that a write made, or would make. Between us and what is stored stand admission webhooks,
/// which may change it.
fn as_written(
    operation: &str,
    reply: &Reply,
    effect: Effect,
    ours: &Ours<'_>,
) -> Result<Held, Fault> {
    let made = held::answered(reply)
        .map_err(|words| answers::unreadable(operation, reply, &words, effect))?;
    let Some(key) = made.differs(ours) else { return Ok(made) };
    let (class, code, stored) = match effect {
        Effect::None => (Class::Terminal, Code::Invalid, "would store"),
        Effect::Writes => (Class::Ambiguous, Code::Changed, "stored"),
    };
    let words = format!(
        "the API {stored} something else under \"{key}\" than what Scimitar writes: an admission webhook or \
         a policy of the cluster changes it; exempt this Secret"
    );
    Err(Fault::new(operation, class, code, words))
}

fn bytes_of(body: &Value) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(json!(body).to_string().into_bytes())
}
