//! The calls that are made about one service principal, each once.

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answers,
    job::Job,
    settings::{EntraTarget, Graph},
};
use crate::{
    clock::rfc3339,
    error::{Class, Code, Fault},
    http::{Endpoint, Reply},
    secret::Secret,
    sink::{
        access::{Call, LogIn},
        rules::Effect,
    },
};

/// The key of the address that a job calls.
pub(super) const ADDRESS: &str = "BaseAddress";
/// The key of the token that it calls it with.
pub(super) const TOKEN: &str = "SecretToken";

/// The calls of one operation.
pub(super) struct Calls<'a> {
    pub(super) graph: &'a Graph,
    pub(super) target: &'a EntraTarget,
    pub(super) operation: &'a str,
}

/// One of the credentials of a service principal. The values of secret ones are masked.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Credential {
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: Option<String>,
}

impl Credential {
    /// Whether its value is not shown.
    pub(super) fn is_masked(&self) -> bool {
        self.value.as_deref().is_none_or(|value| value.contains("***"))
    }
}

#[derive(Deserialize)]
struct Listed<T> {
    value: Vec<T>,
}

impl Calls<'_> {
    /// The provisioning job: the one that is named, or the only one.
    pub(super) async fn job(&self) -> Result<Job, Fault> {
        if let Some(id) = &self.target.job {
            let to = self.to(&["jobs", id])?;
            let (reply, _) = self.call(Method::GET, &to, None, Effect::None, &[200], &[]).await?;
            return reply.json().map_err(|words| self.unreadable(words));
        }
        let to = self.to(&["jobs"])?;
        let (reply, _) = self.call(Method::GET, &to, None, Effect::None, &[200], &[]).await?;
        let all: Listed<Job> = reply.json().map_err(|words| self.unreadable(words))?;
        let wanted = self.target.template.as_deref();
        let of_template =
            |job: &Job| wanted.is_none_or(|wanted| job.template_id.as_deref() == Some(wanted));
        let fitting: Vec<&Job> = all.value.iter().filter(|job| of_template(job)).collect();
        if let [job] = fitting.as_slice() {
            return Ok((*job).clone());
        }
        let known: Vec<String> = all
            .value
            .iter()
            .map(|job| {
                format!("{} (template {})", job.id, job.template_id.as_deref().unwrap_or("unknown"))
            })
            .collect();
        let words = match (fitting.len(), known.is_empty()) {
            (_, true) => {
                "the application has no provisioning job: set provisioning up in Entra first \
                          (Enterprise applications, Provisioning)"
                    .to_owned()
            }
            (0, false) => format!(
                "the application has no provisioning job of that template; it has {}",
                known.join(", ")
            ),
            (_, false) => format!(
                "the application has several provisioning jobs: name one as `job`, or its `template`; it \
                 has {}",
                known.join(", ")
            ),
        };
        Err(Fault::new(self.operation, Class::Terminal, Code::Invalid, words))
    }

    /// The credentials, with the secret ones masked.
    pub(super) async fn credentials(&self) -> Result<Vec<Credential>, Fault> {
        let to = self.to(&["secrets"])?;
        let (reply, _) = self.call(Method::GET, &to, None, Effect::None, &[200], &[]).await?;
        let listed: Listed<Credential> = reply.json().map_err(|words| self.unreadable(words))?;
        Ok(listed.value)
    }

    /// Has Entra call the SCIM endpoint with these credentials; nothing is kept.
    pub(super) async fn validate(
        &self,
        job: &Job,
        address: &str,
        token: &str,
    ) -> Result<(), Fault> {
        let to = self.to(&["jobs", &job.id, "validateCredentials"])?;
        let body = json!({ "credentials": pairs(address, token) });
        let call = Call { method: Method::POST, to: &to, body: Some(&body), effect: Effect::None };
        let login: &dyn LogIn = &self.graph.login;
        let (reply, access) = call.send(&self.graph.http, login, self.operation).await?;
        if matches!(reply.status, 200 | 204) {
            return Ok(());
        }
        let hidden = [token, access.expose()];
        Err(answers::not_valid(self.operation, &reply, &hidden))
    }

    /// Gives the service principal these credentials, and says when that was by Graph's own clock.
    ///
    /// # If the answer is lost
    /// It may have them, now or later; the same are sent again.
    pub(super) async fn put(
        &self,
        kept: &[Credential],
        address: &str,
        token: &str,
    ) -> Result<String, Fault> {
        let mut all = pairs(address, token);
        all.extend(kept.iter().map(|one| json!({ "key": one.key, "value": one.value })));
        let body = json!({ "value": all });
        let to = self.to(&["secrets"])?;
        let (method, good) = (Method::PUT, &[200, 204]);
        let (reply, _) =
            self.call(method, &to, Some(&body), Effect::Writes, good, &[token]).await?;
        Ok(reply.date().map_or_else(|| rfc3339(self.graph.clock.now()), rfc3339))
    }

    /// Starts the job, out of a quarantine where it is in one. It goes on where it was.
    ///
    /// # If the answer is lost
    /// It runs or does not; it is started again with the next delivery.
    pub(super) async fn start(&self, job: &Job) -> Result<(), Fault> {
        let quarantined = job.is_in_quarantine();
        let to = self.to(&["jobs", &job.id, if quarantined { "restart" } else { "start" }])?;
        let body = quarantined.then(|| json!({ "criteria": { "resetScope": "QuarantineState" } }));
        let (method, good) = (Method::POST, &[200, 202, 204]);
        self.call(method, &to, body.as_ref(), Effect::None, good, &[]).await.map(|_| ())
    }

    /// The permissions in the access token, where it says them.
    pub(super) async fn permissions(&self) -> Result<Option<Vec<String>>, Fault> {
        let access = self.graph.login.access(None).await?;
        Ok(super::rights::roles_in(&access))
    }

    fn to(&self, path: &[&str]) -> Result<Endpoint, Fault> {
        let principal = &self.target.service_principal;
        let before = ["v1.0", "servicePrincipals", principal, "synchronization"];
        let to = self.graph.settings.graph.join(&[&before[..], path].concat());
        to.map_err(|error| {
            Fault::new(self.operation, Class::Terminal, Code::Invalid, error.to_string())
        })
    }

    fn unreadable(&self, words: String) -> Fault {
        Fault::new(self.operation, Class::Transient, Code::Unreadable, words)
    }

    /// Makes a call; `hidden` shows up in no words.
    async fn call(
        &self,
        method: Method,
        to: &Endpoint,
        body: Option<&Value>,
        effect: Effect,
        good: &[u16],
        hidden: &[&str],
    ) -> Result<(Reply, std::sync::Arc<Secret>), Fault> {
        let call = Call { method, to, body, effect };
        let login: &dyn LogIn = &self.graph.login;
        let (reply, access) = call.send(&self.graph.http, login, self.operation).await?;
        if good.contains(&reply.status) {
            return Ok((reply, access));
        }
        let hidden = [hidden, &[access.expose()]].concat();
        Err(answers::refused(self.operation, &reply, effect, &hidden))
    }
}

fn pairs(address: &str, token: &str) -> Vec<Value> {
    vec![json!({ "key": ADDRESS, "value": address }), json!({ "key": TOKEN, "value": token })]
}
