//! A stand-in for an org of Okta with applications in it, and for the log-in of a service app, as strict as
//! Okta's documents and its users' reports say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cloud::{Answered, Asked, Cloud, Refusal, Rules};

/// An API token, and a service app.
pub const API_TOKEN: &str = "00api-token-canary-okta";
pub const CLIENT: &str = "0oaServiceApp1";
/// The applications that there are, one of each kind that matters.
pub const ORG2ORG: &str = "0oaOrg2Org0000000001";
pub const ZSCALER: &str = "0oaZscaler0000000001";
pub const CUSTOM: &str = "0oaCustom00000000001";
/// Where the connection of [`ZSCALER`] points to.
pub const BASE_URL: &str = "https://scim.zscaler.example/1/2/scim";
/// What an access token is asked for.
const SCOPE: &str = "okta.apps.read okta.apps.manage";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The `Date` of answers, and the moment at which a limit is over.
const DATE: &str = "Sun, 22 Nov 2026 04:00:00 GMT";
const RESET: &str = "1795320042";

/// One application.
#[derive(Debug)]
pub struct App {
    pub name: &'static str,
    /// What its connection has; `None`: nothing yet.
    pub token: Option<String>,
    pub base_url: Option<String>,
    pub status: &'static str,
    pub scheme: &'static str,
    /// Whether there is a connection to be read before one was set.
    pub shows_connection: bool,
    /// Whether the API integration is switched on.
    pub provisions: bool,
}

/// An org.
#[derive(Debug)]
pub struct Okta {
    pub apps: BTreeMap<&'static str, App>,
    /// Whether what Okta tries the token at takes it.
    pub verifies: bool,
    /// Whether a token that was not taken is kept all the same.
    pub keeps_unverified: bool,
    /// What an answer to a write says instead, where it is carried out and called a success.
    pub says: Option<Value>,
    /// Answers every call with 429.
    pub limited: bool,
    /// What the administrator or the app may do.
    pub may: BTreeSet<&'static str>,
    /// What was given to a connection, in order.
    pub given: Vec<String>,
    pub logins: u64,
    /// API tokens and access tokens that are accepted, each with its scheme.
    pub accepted: BTreeSet<String>,
}

/// A running one.
pub type Org = Cloud<Okta>;

/// Starts one with the three applications, whose connections have no token.
pub async fn start() -> Org {
    let app = |name| App {
        name,
        token: None,
        base_url: None,
        status: "DISABLED",
        scheme: "TOKEN",
        shows_connection: true,
        provisions: true,
    };
    Cloud::start(|_| Okta {
        apps: [
            (ORG2ORG, app("okta_org2org")),
            (ZSCALER, app("zscalerbyz")),
            (CUSTOM, app("scim2testapp_oauthbearertoken")),
        ]
        .into(),
        verifies: true,
        keeps_unverified: false,
        says: None,
        limited: false,
        may: ["okta.apps.read", "okta.apps.manage"].into(),
        given: Vec::new(),
        logins: 0,
        accepted: [format!("SSWS {API_TOKEN}")].into(),
    })
    .await
}

fn refusal(status: u16, name: &'static str, words: &str) -> Refusal {
    Refusal { status, name, words: words.to_owned() }
}

fn missing() -> Refusal {
    refusal(404, "E0000007", "Not found: Resource not found (AppInstance)")
}

fn dated(body: Value) -> Answered {
    Answered { status: 200, headers: vec![("date", DATE.to_owned())], body }
}

impl App {
    fn connection(&self) -> Value {
        json!({
            "authScheme": self.scheme,
            "status": self.status,
            "baseUrl": self.base_url,
            "profile": { "authScheme": self.scheme },
            "_links": {},
        })
    }
}

impl Okta {
    /// The signature is for who knows the key.
    fn log_in(&mut self, asked: &Asked) -> Result<Answered, Refusal> {
        let field = |name: &str| asked.form.get(name).map_or("", String::as_str);
        let good = field("grant_type") == "client_credentials"
            && field("client_assertion_type") == ASSERTION
            && field("client_assertion").split('.').count() == 3
            && asked.form.len() == 4;
        if !good {
            return Err(refusal(401, "invalid_client", "The client secret supplied is invalid."));
        }
        if field("scope") != SCOPE || self.may.len() != 2 {
            return Err(refusal(400, "invalid_scope", "One or more scopes are not configured."));
        }
        self.logins += 1;
        let token = format!("access-{}", self.logins);
        self.accepted.insert(format!("Bearer {token}"));
        let body = json!({ "token_type": "Bearer", "expires_in": 3600, "access_token": token,
                           "scope": SCOPE });
        Ok(dated(body))
    }

    fn may(&self, what: &str) -> Result<(), Refusal> {
        let words = "You do not have permission to perform the requested action";
        self.may.contains(what).then_some(()).ok_or_else(|| refusal(403, "E0000006", words))
    }

    fn set(&mut self, id: &str, asked: &Asked) -> Result<Answered, Refusal> {
        self.may("okta.apps.manage")?;
        let invalid = |words: &str| refusal(400, "E0000001", words);
        let app = self.apps.get_mut(id).ok_or_else(missing)?;
        if !app.provisions {
            return Err(invalid("Provisioning is not enabled for the app instance."));
        }
        let has_address = app.name == "zscalerbyz";
        if !has_address && app.name != "okta_org2org" {
            // Nothing is kept, and it is called a success all the same.
            return Ok(dated(json!({ "authScheme": "UNKNOWN", "status": "UNKNOWN",
                                    "profile": { "authScheme": "UNKNOWN" } })));
        }
        let keys: BTreeSet<&str> =
            asked.body.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let known: &[&str] = if has_address { &["baseUrl", "profile"] } else { &["profile"] };
        if !keys.iter().eq(known) {
            return Err(invalid("baseUrl: The field is missing or not allowed."));
        }
        let profile = &asked.body["profile"];
        let token = profile["token"].as_str().filter(|token| !token.is_empty());
        let Some(token) = token.filter(|_| profile["authScheme"] == "TOKEN") else {
            return Err(invalid("profile: The field is invalid."));
        };
        let activate = asked.query.get("activate").is_some_and(|it| it == "true");
        if !self.verifies && activate {
            if self.keeps_unverified {
                app.token = Some(token.to_owned());
            }
            return Err(invalid("Verification failed: Invalid URL. Not authorized."));
        }
        app.token = Some(token.to_owned());
        app.base_url = asked.body["baseUrl"].as_str().map(str::to_owned);
        app.scheme = "TOKEN";
        if activate {
            app.status = "ENABLED";
        }
        self.given.push(token.to_owned());
        Ok(dated(self.says.clone().unwrap_or_else(|| app.connection())))
    }
}

impl Rules for Okta {
    fn verb(asked: &Asked) -> &'static str {
        match asked.method.as_str() {
            _ if asked.path.ends_with("/oauth2/v1/token") => "login",
            "GET" if asked.path.ends_with("/connections/default") => "connection",
            "GET" => "app",
            _ => "set",
        }
    }

    fn carry_out(&mut self, asked: &Asked) -> Result<Answered, Refusal> {
        if self.limited {
            let headers = [
                ("x-rate-limit-limit", "600"),
                ("x-rate-limit-remaining", "0"),
                ("x-rate-limit-reset", RESET),
                ("date", DATE),
            ];
            let refused = refusal(429, "E0000047", "API call exceeded rate limit");
            return Ok(Answered {
                status: 429,
                headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
                body: Self::refusal(&refused),
            });
        }
        if Self::verb(asked) == "login" {
            return self.log_in(asked);
        }
        let credentials = asked.headers.get("authorization").map_or("", String::as_str);
        if !self.accepted.contains(credentials) {
            return Err(refusal(401, "E0000011", "Invalid token provided"));
        }
        let Some(path) = asked.path.strip_prefix("/api/v1/apps/") else {
            return Err(missing());
        };
        match (asked.method.as_str(), path.split('/').collect::<Vec<_>>().as_slice()) {
            ("GET", [id]) => {
                self.may("okta.apps.read")?;
                let app = self.apps.get(*id).ok_or_else(missing)?;
                Ok(dated(json!({ "id": id, "name": app.name, "label": "An application",
                                 "status": "ACTIVE", "signOnMode": "SAML_2_0" })))
            }
            ("GET", [id, "connections", "default"]) => {
                self.may("okta.apps.read")?;
                let app = self.apps.get(*id).ok_or_else(missing)?;
                app.shows_connection.then(|| dated(app.connection())).ok_or_else(missing)
            }
            ("POST", [id, "connections", "default"]) => self.set(id, asked),
            _ => Err(refusal(
                405,
                "E0000022",
                "The endpoint does not support the provided HTTP method",
            )),
        }
    }

    fn overtake(&mut self, _: &Asked) {
        for app in self.apps.values_mut() {
            app.token = Some("theirs".to_owned());
        }
    }

    fn refusal(refusal: &Refusal) -> Value {
        if refusal.name.starts_with("invalid_") {
            return json!({ "error": refusal.name, "error_description": refusal.words });
        }
        // What is wrong with the request stands in the causes.
        let (summary, causes) = match refusal.name {
            "E0000001" => {
                ("Api validation failed: connection", json!([{ "errorSummary": refusal.words }]))
            }
            _ => (refusal.words.as_str(), json!([])),
        };
        json!({ "errorCode": refusal.name, "errorSummary": summary, "errorLink": refusal.name,
                "errorId": "oaeQdfTgkJeRpyAhGd5ThMz8A", "errorCauses": causes })
    }
}
