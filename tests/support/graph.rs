//! A stand-in for Microsoft Graph's provisioning of one application, and for the log-in to it, as strict as
//! Microsoft's documents say. A write replaces all credentials, which Microsoft leaves open.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    cloud::{Answered, Asked, Cloud, Refusal, Rules},
    kubernetes::encode,
};

/// The tenant, the application that logs in, and its secret.
pub const TENANT: &str = "acme.onmicrosoft.com";
pub const CLIENT: &str = "7f3c1d2e-0000-4000-8000-000000000001";
pub const SECRET: &str = "client-secret-canary-entra";
/// The service principal, and its job.
pub const PRINCIPAL: &str = "b2a7c3d4-0000-4000-8000-000000000002";
pub const JOB: &str = "scim.acme.0001";

/// An application's provisioning.
#[derive(Debug)]
pub struct Entra {
    pub credentials: BTreeMap<String, String>,
    /// Its jobs: ids with their templates.
    pub jobs: Vec<(&'static str, &'static str)>,
    /// `status` of each of them.
    pub status: Value,
    /// Whether the SCIM endpoint takes what is validated.
    pub validates: bool,
    /// The application permissions in access tokens.
    pub roles: Vec<&'static str>,
    /// What was asked to start, in order: the verb and the body.
    pub started: Vec<(String, Value)>,
    /// The `Date` of answers.
    pub date: &'static str,
    tokens: BTreeSet<String>,
    logins: u64,
}

/// A running one.
pub type Graph = Cloud<Entra>;

/// Starts one whose job is active and has credentials.
pub async fn start() -> Graph {
    let credentials = [("BaseAddress", "https://old.example/scim"), ("SecretToken", "old")];
    Cloud::start(|_| Entra {
        credentials: credentials.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        jobs: vec![(JOB, "scim")],
        status: json!({ "code": "Active", "quarantine": null }),
        validates: true,
        roles: vec!["Application.ReadWrite.OwnedBy"],
        started: Vec::new(),
        date: "Sun, 22 Nov 2026 04:00:00 GMT",
        tokens: BTreeSet::new(),
        logins: 0,
    })
    .await
}

fn refusal(status: u16, name: &'static str, words: &str) -> Refusal {
    Refusal { status, name, words: words.to_owned() }
}

impl Entra {
    /// A cycle began and succeeded.
    pub fn cycle(&mut self, began: &str) {
        self.status["lastSuccessfulExecution"] =
            json!({ "timeBegan": began, "state": "Succeeded" });
    }

    fn log_in(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let field = |name: &str| asked.form.get(name).map(String::as_str);
        let known = asked.path == format!("/{TENANT}/oauth2/v2.0/token")
            && field("grant_type") == Some("client_credentials")
            && field("client_id") == Some(CLIENT)
            && field("client_secret") == Some(SECRET)
            && field("scope") == Some("https://graph.microsoft.com/.default");
        if !known {
            return Err(refusal(401, "invalid_client", "AADSTS7000215: Invalid client secret."));
        }
        self.logins += 1;
        let part = |value: Value| {
            encode(value.to_string().as_bytes())
                .replace('=', "")
                .replace('+', "-")
                .replace('/', "_")
        };
        let head = part(json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = part(json!({ "roles": self.roles, "jti": self.logins }));
        let token = format!("{head}.{claims}.c2ln");
        self.tokens.insert(token.clone());
        Ok(json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token }))
    }

    fn job(&self, id: &str) -> Option<Value> {
        let (id, template) = self.jobs.iter().find(|(known, _)| *known == id)?;
        Some(json!({ "id": id, "templateId": template, "status": self.status }))
    }

    fn validated(&self, asked: &Asked) -> Result<Value, Refusal> {
        let pairs = asked.body["credentials"].as_array().cloned().unwrap_or_default();
        let keys: Vec<&str> = pairs.iter().filter_map(|pair| pair["key"].as_str()).collect();
        if keys != ["BaseAddress", "SecretToken"] {
            return Err(refusal(400, "BadRequest", "credentials are missing"));
        }
        if !self.validates {
            let name = "SystemForCrossDomainIdentityManagementCredentialValidationFailure";
            return Err(refusal(400, name, "the SCIM endpoint answered 401"));
        }
        Ok(Value::Null)
    }

    fn put(&mut self, asked: &Asked) -> Result<Value, Refusal> {
        let pairs = asked.body["value"].as_array().cloned().unwrap_or_default();
        let pair = |pair: &Value| {
            Some((pair["key"].as_str()?.to_owned(), pair["value"].as_str()?.to_owned()))
        };
        let all: Option<BTreeMap<String, String>> = pairs.iter().map(pair).collect();
        match all {
            Some(all) if !all.is_empty() => self.credentials = all,
            _ => return Err(refusal(400, "BadRequest", "credentials are texts")),
        }
        Ok(Value::Null)
    }
}

impl Rules for Entra {
    fn verb(asked: &Asked) -> &'static str {
        let is = |end: &str| asked.path.ends_with(end);
        match asked.method.as_str() {
            _ if is("/token") => "login",
            "GET" if is("/secrets") => "credentials",
            "GET" => "job",
            "PUT" => "put",
            _ if is("/validateCredentials") => "validate",
            _ if is("/restart") => "restart",
            _ => "start",
        }
    }

    fn carry_out(&mut self, asked: &Asked) -> Result<Answered, Refusal> {
        if Self::verb(asked) == "login" {
            return self.log_in(asked).map(Answered::ok);
        }
        if !self.tokens.contains(asked.token()) {
            return Err(refusal(401, "InvalidAuthenticationToken", "Access token has expired."));
        }
        let before = format!("/v1.0/servicePrincipals/{PRINCIPAL}/synchronization");
        let Some(path) = asked.path.strip_prefix(&before) else {
            return Err(refusal(404, "Request_ResourceNotFound", "Resource does not exist."));
        };
        let path: Vec<&str> = path.split('/').skip(1).collect();
        let missing = || refusal(404, "JobNotFound", "The job does not exist.");
        let answered = |body: Value| {
            let status = if body.is_null() { 204 } else { 200 };
            Answered { status, headers: vec![("date", self.date.to_owned())], body }
        };
        let answered = match (asked.method.as_str(), path.as_slice()) {
            ("GET", ["jobs"]) => {
                let jobs: Vec<Value> =
                    self.jobs.iter().filter_map(|(id, _)| self.job(id)).collect();
                answered(json!({ "value": jobs }))
            }
            ("GET", ["jobs", id]) => answered(self.job(id).ok_or_else(missing)?),
            ("GET", ["secrets"]) => {
                let shown = |key: &str, value: &str| match key {
                    "BaseAddress" | "SyncAll" => value.to_owned(),
                    _ => "*****".to_owned(),
                };
                let all: Vec<Value> = (self.credentials.iter())
                    .map(|(key, value)| json!({ "key": key, "value": shown(key, value) }))
                    .collect();
                answered(json!({ "value": all }))
            }
            ("POST", ["jobs", id, "validateCredentials"]) => {
                self.job(id).ok_or_else(missing)?;
                answered(self.validated(asked)?)
            }
            ("PUT", ["secrets"]) => {
                let headers = vec![("date", self.date.to_owned())];
                return self.put(asked).map(|body| Answered { status: 204, headers, body });
            }
            ("POST", ["jobs", id, verb @ ("start" | "restart")]) => {
                self.job(id).ok_or_else(missing)?;
                let headers = vec![("date", self.date.to_owned())];
                self.started.push(((*verb).to_owned(), asked.body.clone()));
                self.status["quarantine"] = Value::Null;
                self.status["code"] = json!("Active");
                return Ok(Answered { status: 204, headers, body: Value::Null });
            }
            _ => return Err(refusal(404, "BadRequest", "no such path")),
        };
        Ok(answered)
    }

    fn overtake(&mut self, _: &Asked) {
        self.credentials.insert("SecretToken".to_owned(), "theirs".to_owned());
    }

    fn refusal(refusal: &Refusal) -> Value {
        if refusal.name == "invalid_client" {
            return json!({ "error": refusal.name, "error_description": refusal.words });
        }
        json!({ "error": { "code": refusal.name, "message": refusal.words, "innerError": {} } })
    }
}
