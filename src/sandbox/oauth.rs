//! `POST /oauth/token`: the client-credentials log-in.

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Tenant,
    made::hex64,
    state::{Access, State},
    wire::{TenantAnswer, TenantRequest, oauth_refusal, pairs},
};
use crate::{clock::Timestamp, secret::Secret, token::Digest};

/// How long a management token lives.
const LIFE: TimeDelta = TimeDelta::seconds(86_400);
/// How far a client's clock may be off in an assertion.
const SKEW: i64 = 10;
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Everything that this API can be asked for, and thus what a log-in is granted.
pub(super) const SCOPES: [&str; 11] = [
    "read:connections",
    "create:connections",
    "update:connections",
    "delete:connections",
    "read:scim_config",
    "create:scim_config",
    "update:scim_config",
    "delete:scim_config",
    "read:scim_token",
    "create:scim_token",
    "delete:scim_token",
];

/// Who may log in. Without a client: everyone.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    pub(super) client: Option<(String, Secret)>,
    /// A PEM public key (RSA); an assertion's signature is looked at only where there is one.
    pub(super) public_key: Option<String>,
}

/// Answers a log-in.
///
/// # If the answer is lost
/// A management token exists that nobody has the value of; it expires.
pub(super) fn log_in(tenant: &Tenant<'_>, state: &mut State, ask: &TenantRequest) -> TenantAnswer {
    let form = match Form::read(ask) {
        Ok(form) => form,
        Err(refused) => return refused,
    };
    if form.get("grant_type") != Some("client_credentials") {
        return oauth_refusal(
            403,
            "unsupported_grant_type",
            "Unsupported grant type: only client_credentials is served here",
        );
    }
    let client = match authenticate(tenant, state, &form) {
        Ok(client) => client,
        Err(refused) => return refused,
    };
    let audience = form.get("audience").unwrap_or_default();
    if !audience.ends_with("/api/v2/") {
        return oauth_refusal(
            403,
            "access_denied",
            &format!(
                "Client \"{client}\" is not authorized to access resource server \"{audience}\". \
                 You need to create a \"client-grant\" associated to this API."
            ),
        );
    }
    let asked: Option<Vec<&str>> = form.get("scope").map(|text| text.split(' ').collect());
    let granted: Vec<String> = SCOPES
        .into_iter()
        .filter(|scope| tenant.quirks.grants(scope))
        .filter(|scope| asked.as_ref().is_none_or(|asked| asked.contains(scope)))
        .map(str::to_owned)
        .collect();
    let value = format!("mgmt_{}", hex64(tenant.entropy));
    // Expired ones are remembered for a day, so that they are called expired and not unknown.
    state.access.retain(|_, access| access.expires_at + LIFE > tenant.now);
    state.access.insert(
        Digest::of(value.as_bytes()).as_str().to_owned(),
        Access { scopes: granted.clone(), expires_at: tenant.now + LIFE },
    );
    state.changed = true;
    TenantAnswer::json(
        200,
        json!({
            "access_token": value,
            "expires_in": LIFE.num_seconds(),
            "scope": granted.join(" "),
            "token_type": "Bearer",
        }),
    )
    .with("cache-control", "no-store")
}

/// The members of a log-in, from a form or from JSON.
struct Form(Vec<(String, String)>);

impl Form {
    fn read(ask: &TenantRequest) -> Result<Self, TenantAnswer> {
        if !ask.content_type.starts_with("application/json") {
            return Ok(Self(pairs(&String::from_utf8_lossy(&ask.body))));
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(&ask.body) else {
            return Err(oauth_refusal(400, "invalid_request", "the body is not a JSON object"));
        };
        let text = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        };
        Ok(Self(members.into_iter().filter_map(|(key, v)| Some((key, text(v)?))).collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn authenticate(
    tenant: &Tenant<'_>,
    state: &mut State,
    form: &Form,
) -> Result<String, TenantAnswer> {
    let denied = || oauth_refusal(401, "invalid_client", "Client authentication failed");
    if let Some(assertion) = form.get("client_assertion") {
        if form.get("client_assertion_type") != Some(ASSERTION) {
            return Err(denied());
        }
        let claims =
            Claims::read(assertion, tenant.clients.public_key.as_deref()).ok_or_else(denied)?;
        let known = tenant.clients.client.as_ref().is_none_or(|(id, _)| *id == claims.iss);
        if !known || !claims.hold(tenant.now) || !claims.first_use(state, tenant.now) {
            return Err(denied());
        }
        return Ok(claims.iss);
    }
    let (Some(id), Some(secret)) = (form.get("client_id"), form.get("client_secret")) else {
        return Err(denied());
    };
    if let Some((expected_id, expected_secret)) = &tenant.clients.client {
        // Digests are compared, so that the time taken tells nothing of the secret.
        let same = Digest::of(secret.as_bytes()) == Digest::of(expected_secret.expose().as_bytes());
        if id != expected_id || !same {
            return Err(denied());
        }
    }
    if id.is_empty() || secret.is_empty() { Err(denied()) } else { Ok(id.to_owned()) }
}

/// What a `private_key_jwt` assertion says of itself.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    exp: i64,
    jti: String,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    nbf: Option<i64>,
}

impl Claims {
    fn read(assertion: &str, public_key: Option<&str>) -> Option<Self> {
        let Some(pem) = public_key else {
            return dangerous::insecure_decode_claims(assertion).ok();
        };
        let key = DecodingKey::from_rsa_pem(pem.as_bytes()).ok()?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.algorithms = vec![Algorithm::RS256, Algorithm::RS384, Algorithm::PS256];
        // The claims are looked at below, by the tenant's clock and not by the host's.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Some(jsonwebtoken::decode(assertion, &key, &validation).ok()?.claims)
    }

    /// Auth0's rules: issuer and subject are the client, the audience is the tenant with a
    /// slash at its end, the life is at most five minutes, the clocks agree within 10 s.
    fn hold(&self, now: Timestamp) -> bool {
        let now = now.timestamp();
        self.iss == self.sub
            && !self.iss.is_empty()
            && self.aud.starts_with("http")
            && self.aud.ends_with('/')
            && !self.jti.is_empty()
            && self.exp > now - SKEW
            && self.exp <= now + 300 + SKEW
            && self.iat.is_none_or(|at| at <= now + SKEW)
            && self.nbf.is_none_or(|at| at <= now + SKEW)
    }

    /// An assertion is good for one log-in.
    fn first_use(&self, state: &mut State, now: Timestamp) -> bool {
        let until = now + TimeDelta::seconds(300 + 2 * SKEW);
        state.used_assertions.retain(|_, until| *until > now);
        state.changed = true;
        let jti = Digest::of(self.jti.as_bytes()).as_str().to_owned();
        state.used_assertions.insert(jti, until).is_none()
    }
}
