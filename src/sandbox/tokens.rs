//! SCIM tokens: list, create, delete, with the cap of two.

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::{
    Tenant,
    made::{alphanumeric, hex64, is_id, millis},
    state::{Connection, State, TOKEN_CAP, Token, View},
    wire::{
        TenantAnswer, TenantRequest, invalid_body, invalid_path, no_connection, not_found, refusal,
        scim_unsupported,
    },
};
use crate::{clock::Timestamp, token::Digest};

/// The scopes that a token may have. Those for groups came later.
pub(super) const SCOPES: [&str; 10] = [
    "get:users",
    "post:users",
    "put:users",
    "patch:users",
    "delete:users",
    "get:groups",
    "post:groups",
    "put:groups",
    "patch:groups",
    "delete:groups",
];

/// Lifetimes must be longer than this, in seconds.
const SHORTEST: i64 = 900;
/// The longest life that is taken here, in seconds: 100 years. Auth0 documents no maximum.
const LONGEST: i64 = 100 * 365 * 86_400;

/// `GET …/tokens`: a bare array, without values.
pub(super) fn list(tenant: &Tenant<'_>, state: &State, id: &str) -> TenantAnswer {
    let Some(connection) = state.connections.get(id) else {
        return no_connection();
    };
    if connection.scim.is_none() {
        return no_scim(tenant, connection);
    }
    let shown: Vec<Value> = connection
        .tokens
        .iter()
        .filter(|token| token.listed(tenant.view, tenant.now, tenant.quirks.expired))
        .map(|token| {
            let mut members = described(tenant, token);
            let used = token.shown_use(tenant.now, tenant.quirks.use_delay());
            optional(tenant, &mut members, "last_used_at", used);
            Value::Object(members)
        })
        .collect();
    TenantAnswer::json(200, Value::Array(shown))
}

/// `POST …/tokens`: the only answer that holds the value.
///
/// # If the answer is lost
/// There is a token that nobody has the value of.
pub(super) fn create(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    id: &str,
) -> TenantAnswer {
    let wanted = match Wanted::read(&ask.body) {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    let Some(connection) = state.connections.get_mut(id) else {
        return no_connection();
    };
    if connection.scim.is_none() {
        return no_scim(tenant, connection);
    }
    if connection.slots_used(tenant.now, tenant.quirks.expired) >= TOKEN_CAP {
        return refusal(409, "Maximum of 2 tokens already issued for this connection", None);
    }
    let token_id = loop {
        let candidate = format!("tok_{}", alphanumeric(tenant.entropy, 16));
        if connection.tokens.iter().all(|token| token.id != candidate) {
            break candidate;
        }
    };
    let value = format!("{token_id}.{}", hex64(tenant.entropy));
    connection.prune(tenant.now, tenant.quirks.expired);
    let born = state.tick();
    let token = Token {
        id: token_id,
        digest: Digest::of(value.as_bytes()),
        scopes: wanted.scopes,
        created_at: tenant.now,
        valid_until: wanted.life.map(|life| tenant.now + life),
        last_used_at: None,
        used_before: None,
        born,
        died: None,
        name: None,
    };
    let mut members = described(tenant, &token);
    members.insert("token".to_owned(), json!(value));
    if let Some(connection) = state.connections.get_mut(id) {
        connection.tokens.push(token);
    }
    TenantAnswer::json(201, Value::Object(members))
}

/// `DELETE …/tokens/{token}`: 204. What Auth0 answers for an unknown token is not on record;
/// here it is 404, or 204 when the quirk says so.
///
/// # If the answer is lost
/// The token may be gone; asking again is harmless.
pub(super) fn delete(
    tenant: &Tenant<'_>,
    state: &mut State,
    id: &str,
    token: &str,
) -> TenantAnswer {
    if !is_id("tok", token) {
        return invalid_path(&format!(
            "'String does not match pattern ^tok_[A-Za-z0-9]{{16}}$: {token}' on property \
             tokenId (The id of the scim token to delete)"
        ));
    }
    let Some(connection) = state.connections.get_mut(id) else {
        return no_connection();
    };
    if connection.scim.is_none() {
        return no_scim(tenant, connection);
    }
    connection.prune(tenant.now, tenant.quirks.expired);
    let known = connection.tokens.iter().position(|known| {
        known.id == token && known.listed(View::Now, tenant.now, tenant.quirks.expired)
    });
    match known {
        Some(index) => {
            let order = state.tick();
            if let Some(dying) =
                state.connections.get_mut(id).and_then(|found| found.tokens.get_mut(index))
            {
                dying.died = Some((tenant.now, order));
            }
            TenantAnswer::no_content()
        }
        None if tenant.quirks.delete_is_idempotent => TenantAnswer::no_content(),
        None => not_found(),
    }
}

/// 404 for a connection without a SCIM configuration.
pub(super) fn no_scim(tenant: &Tenant<'_>, connection: &Connection) -> TenantAnswer {
    if ["samlp", "oidc", "okta", "waad"].contains(&connection.strategy.as_str()) {
        not_found()
    } else if tenant.quirks.terse_strategy_error {
        refusal(404, "scim strategy not enabled", None)
    } else {
        scim_unsupported()
    }
}

/// What both answers say of a token.
fn described(tenant: &Tenant<'_>, token: &Token) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("token_id".to_owned(), json!(token.id));
    members.insert("scopes".to_owned(), json!(token.scopes));
    members.insert("created_at".to_owned(), json!(millis(token.created_at)));
    optional(tenant, &mut members, "valid_until", token.valid_until);
    members
}

/// A member that is absent when it does not apply (since 2024-10), or null (2024-06).
fn optional(
    tenant: &Tenant<'_>,
    members: &mut Map<String, Value>,
    name: &str,
    value: Option<Timestamp>,
) {
    if value.is_some() || tenant.quirks.nulls {
        members.insert(name.to_owned(), json!(value.map(millis)));
    }
}

/// A valid request for a token.
struct Wanted {
    scopes: Vec<String>,
    life: Option<TimeDelta>,
}

impl Wanted {
    /// Reads the body. Which scopes a token gets when none are named is not on record; here it
    /// is the five for users.
    fn read(body: &[u8]) -> Result<Self, TenantAnswer> {
        let body = if body.is_empty() { b"{}" } else { body };
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(invalid_body("'Expected type object' on property body"));
        };
        let mut wanted = Self {
            scopes: SCOPES.iter().take(5).map(|scope| (*scope).to_owned()).collect(),
            life: None,
        };
        for (name, value) in members {
            match name.as_str() {
                "scopes" => wanted.scopes = scopes(&value)?,
                "token_lifetime" => wanted.life = life(&value)?,
                _ => {
                    return Err(invalid_body(&format!(
                        "'Additional properties not allowed: {name}'"
                    )));
                }
            }
        }
        Ok(wanted)
    }
}

fn scopes(value: &Value) -> Result<Vec<String>, TenantAnswer> {
    let Some(items) = value.as_array() else {
        return Err(invalid_body(
            "'Expected type array' on property scopes (The scopes of the scim token)",
        ));
    };
    if items.is_empty() {
        return Err(invalid_body(
            "'Array is too short (0), minimum 1' on property scopes (The scopes of the scim token)",
        ));
    }
    let mut scopes: Vec<String> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match item.as_str().filter(|scope| SCOPES.contains(scope)) {
            Some(scope) if scopes.iter().any(|known| known == scope) => {}
            Some(scope) => scopes.push(scope.to_owned()),
            None => {
                return Err(invalid_body(&format!(
                    "'No enum match for: {item}' on property scopes[{index}] (The scopes of the \
                     scim token)"
                )));
            }
        }
    }
    Ok(scopes)
}

fn life(value: &Value) -> Result<Option<TimeDelta>, TenantAnswer> {
    let refused = |detail: String| {
        Err(invalid_body(&format!(
            "'{detail}' on property token_lifetime (Lifetime of the token in seconds. Must be \
             greater than 900)"
        )))
    };
    if value.is_null() {
        return Ok(None);
    }
    match value.as_i64() {
        None => refused("Expected type integer".to_owned()),
        Some(seconds) if seconds <= SHORTEST => {
            refused(format!("Value {seconds} is equal or less than exclusive minimum {SHORTEST}"))
        }
        Some(seconds) if seconds > LONGEST => {
            refused(format!("Value {seconds} is greater than maximum {LONGEST}"))
        }
        Some(seconds) => Ok(TimeDelta::try_seconds(seconds)),
    }
}
