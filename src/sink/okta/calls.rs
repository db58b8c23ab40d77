//! The calls that are made about one application, each once.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    answers,
    application::{Application, Connection},
    settings::{OktaTarget, Org},
};
use crate::{
    error::{Class, Code, Fault},
    http::{Endpoint, Reply},
    sink::{access::Call, rules::Effect},
};

/// The path of an application's provisioning connection below its own.
const CONNECTION: [&str; 2] = ["connections", "default"];

/// The calls of one operation.
pub(super) struct Calls<'a> {
    pub(super) org: &'a Org,
    pub(super) target: &'a OktaTarget,
    pub(super) operation: &'a str,
}

impl Calls<'_> {
    /// That the application's connection takes a token, and that a token would take the place of nothing
    /// else.
    pub(super) async fn check(&self) -> Result<(), Fault> {
        let reply = self.ask(&self.to(&[])?, |reply| reply.status == 200).await?;
        let app: Application = reply.json().map_err(|words| self.unreadable(words))?;
        app.check(self.operation, self.target)?;
        // One that was never set up may have none.
        let answered = |reply: &Reply| reply.status == 200 || answers::says_missing(reply);
        let reply = self.ask(&self.to(&CONNECTION)?, answered).await?;
        if reply.status != 200 {
            return Ok(());
        }
        let connection: Connection = reply.json().map_err(|words| self.unreadable(words))?;
        connection.check(self.operation)
    }

    /// Gives the connection this token, and switches it on.
    ///
    /// # If the answer is lost
    /// It may have it, now or later; it is given the same again.
    pub(super) async fn set(&self, token: &str) -> Result<(), Fault> {
        let mut body = json!({ "profile": { "authScheme": "TOKEN", "token": token } });
        if let Some(base_url) = &self.target.base_url {
            body["baseUrl"] = json!(base_url);
        }
        let to = self.to(&CONNECTION)?.query("activate", "true");
        let set = |reply: &Reply| matches!(reply.status, 200 | 201);
        let reply =
            self.call(Method::POST, &to, Some(&body), Effect::Writes, set, &[token]).await?;
        let said: Connection = reply.json().map_err(|words| self.unreadable(words).in_doubt())?;
        said.took(self.operation)
    }

    fn to(&self, path: &[&str]) -> Result<Endpoint, Fault> {
        let app = ["api", "v1", "apps", self.target.app_id.as_str()];
        let to = self.org.settings.org.join(&[&app[..], path].concat());
        to.map_err(|error| {
            Fault::new(self.operation, Class::Terminal, Code::Invalid, error.to_string())
        })
    }

    fn unreadable(&self, words: String) -> Fault {
        Fault::new(self.operation, Class::Transient, Code::Unreadable, words)
    }

    async fn ask(&self, to: &Endpoint, good: fn(&Reply) -> bool) -> Result<Reply, Fault> {
        self.call(Method::GET, to, None, Effect::None, good, &[]).await
    }

    /// Makes a call; `hidden` shows up in no words.
    async fn call(
        &self,
        method: Method,
        to: &Endpoint,
        body: Option<&Value>,
        effect: Effect,
        good: fn(&Reply) -> bool,
        hidden: &[&str],
    ) -> Result<Reply, Fault> {
        let call = Call { method, to, body, effect };
        let (reply, access) = call.send(&self.org.http, &self.org.login, self.operation).await?;
        if good(&reply) {
            return Ok(reply);
        }
        let hidden = [hidden, &[access.expose()]].concat();
        let not_accepted = self.org.login.not_accepted();
        Err(answers::refused(self.operation, &reply, effect, not_accepted, &hidden))
    }
}
