//! The SCIM configuration of a connection: the same set of pairs in whatever order it is answered.

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::Auth0;
use crate::{
    error::{Class, Code, Fault},
    http::{Endpoint, Reply, Request},
    provider::{
        Call,
        operation::{Kind, Operation},
    },
    rotation::scim_config::{ConfigChange, FoundConfig, Mapped, Mapping, ScimConfig},
    token::ConnectionId,
};

#[derive(Deserialize)]
struct ConfigAnswer {
    user_id_attribute: String,
    mapping: Vec<Pair>,
}

#[derive(Deserialize)]
struct DefaultAnswer {
    mapping: Vec<Pair>,
}

/// Unknown members are allowed in answers.
#[derive(Deserialize)]
struct Pair {
    auth0: String,
    scim: String,
}

#[derive(Serialize)]
struct Body<'a> {
    user_id_attribute: &'a str,
    mapping: Vec<PairSent<'a>>,
}

#[derive(Serialize)]
struct PairSent<'a> {
    auth0: &'a str,
    scim: &'a str,
}

impl ConfigAnswer {
    fn config(self) -> ScimConfig {
        let mapping = mapping(self.mapping);
        ScimConfig { user_id_attribute: self.user_id_attribute, mapping }
    }
}

impl<'a> Body<'a> {
    fn of(config: &'a ScimConfig) -> Self {
        let pair = |mapped: &'a Mapped| PairSent { auth0: &mapped.user, scim: &mapped.scim };
        Self {
            user_id_attribute: &config.user_id_attribute,
            mapping: config.mapping.iter().map(pair).collect(),
        }
    }
}

fn mapping(pairs: Vec<Pair>) -> Mapping {
    pairs.into_iter().map(|pair| Mapped { scim: pair.scim, user: pair.auth0 }).collect()
}

impl Auth0 {
    pub(super) async fn read_config(
        &self,
        call: Call<'_>,
        with_default: bool,
    ) -> Result<Option<FoundConfig>, Fault> {
        let words = format!("read the SCIM configuration of {}", call.connection);
        let operation = self.operation(Kind::ReadConfig, words);
        let to = self.config(call.connection, None, &operation)?;
        let (reply, access) =
            self.caller.call(self, &operation, call, || Request::new(Method::GET, &to)).await?;
        if reply.status != 200 {
            let fault = operation.refused(&reply, &[access.token.expose()]);
            return if fault.code == Code::ScimNotConfigured { Ok(None) } else { Err(fault) };
        }
        let config = read(&operation, &reply)?;
        let default = if with_default { Some(self.default_mapping(call).await?) } else { None };
        Ok(Some(FoundConfig { config, default }))
    }

    async fn default_mapping(&self, call: Call<'_>) -> Result<Mapping, Fault> {
        let words = format!("read the default mapping of {}", call.connection);
        let operation = self.operation(Kind::ReadConfig, words);
        let to = self.config(call.connection, Some("default-mapping"), &operation)?;
        let (reply, access) =
            self.caller.call(self, &operation, call, || Request::new(Method::GET, &to)).await?;
        if reply.status != 200 {
            return Err(operation.refused(&reply, &[access.token.expose()]));
        }
        let answer: DefaultAnswer =
            reply.json().map_err(|why| operation.unreadable(&reply, &why))?;
        Ok(mapping(answer.mapping))
    }

    /// POST where there is none, PATCH (of the whole) where there is one. Sent once.
    ///
    /// # If the answer is lost
    /// The change may be made. A POST that is sent again is answered 400 then.
    pub(super) async fn change_config(
        &self,
        call: Call<'_>,
        change: &ConfigChange,
    ) -> Result<ScimConfig, Fault> {
        let (kind, method, what) = match change {
            ConfigChange::Create(_) => (Kind::CreateConfig, Method::POST, "create"),
            ConfigChange::Replace { .. } => (Kind::ReplaceConfig, Method::PATCH, "replace"),
        };
        let words = format!("{what} the SCIM configuration of {}", call.connection);
        let operation = self.operation(kind, words);
        let to = self.config(call.connection, None, &operation)?;
        let body = match change {
            ConfigChange::Create(config) => config.as_ref().map(Body::of),
            ConfigChange::Replace { by, .. } => Some(Body::of(by)),
        };
        let request = || {
            let request = Request::new(method.clone(), &to).fresh();
            match &body {
                Some(body) => request.json(body),
                // The default.
                None => request.json(&serde_json::Map::new()),
            }
        };
        let (reply, access) = self.caller.call(self, &operation, call, request).await?;
        match reply.status {
            200 | 201 => read(&operation, &reply),
            _ => Err(refused(&operation, &reply, access.token.expose())),
        }
    }

    fn config(
        &self,
        connection: &ConnectionId,
        below: Option<&str>,
        operation: &Operation,
    ) -> Result<Endpoint, Fault> {
        let mut path = vec!["api", "v2", "connections", connection.as_str(), "scim-configuration"];
        path.extend(below);
        self.endpoint(&path, operation)
    }
}

fn read(operation: &Operation, reply: &Reply) -> Result<ScimConfig, Fault> {
    let answer: ConfigAnswer = reply.json().map_err(|why| operation.unreadable(reply, &why))?;
    Ok(answer.config())
}

/// The five 400s are told apart by their words alone: none has a code.
fn refused(operation: &Operation, reply: &Reply, secret: &str) -> Fault {
    let mut fault = operation.refused(reply, &[secret]);
    if reply.status != 400 {
        return fault;
    }
    let said = fault.detail.to_lowercase();
    let way_out = if said.contains("common endpoint") {
        "SCIM needs a connection to one Microsoft Entra tenant: switch off \"Use common endpoint\" in \
         the connection's settings"
    } else if said.contains("mapping") {
        "check `mapping` in [connections.scim_configuration]"
    } else if said.contains("scim configuration") && said.contains("exists") {
        // Somebody made it since, or an earlier call did: it is looked at again.
        (fault.class, fault.code) = (Class::Transient, Code::Changed);
        "the next check compares it with the policy"
    } else {
        return fault;
    };
    fault.detail = format!("{}; {way_out}", fault.detail.trim_end_matches('.'));
    fault
}
