//! dbt Cloud's face: the SCIM tokens of one account by its Administrative API v3, and the account's
//! SCIM endpoint. No exchange with dbt Cloud was recorded; this follows its OpenAPI description and
//! its own Terraform provider, and [`Quirks`](super::Quirks) change what both leave open.

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::{
    Tenant,
    made::hex64,
    scim,
    state::{Connection, Cooling, ScimConfig, State, Token, View},
    tokens::SCOPES,
    wire::{TenantAnswer, TenantRequest, reason},
};
use crate::{clock::Timestamp, token::Digest};

/// The account that every sandbox has.
pub(super) const ACCOUNT: &str = "12345";

/// The most that one page of a list holds.
const PAGE: usize = 100;

/// How long the whole account is shut out after its limit was passed.
const COOL_DOWN: TimeDelta = TimeDelta::minutes(5);

/// Whether a path is this API's, rather than that of the account's SCIM endpoint.
pub(super) fn is_admin(path: &str) -> bool {
    path.starts_with("/api/v3/") && !is_scim(path)
}

/// Whether a path is the account's SCIM endpoint's.
pub(super) fn is_scim(path: &str) -> bool {
    path.starts_with("/api/v3/") && path.contains("/scim/v2")
}

/// Answers a request under `/api/v3/accounts/{account}`.
pub(super) fn answer(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    account: &str,
    rest: &[&str],
) -> TenantAnswer {
    if account == ACCOUNT && !state.accounts.contains_key(account) {
        let mut connection = Connection::new("warehouse".to_owned(), "dbt".to_owned());
        connection.scim = Some(ScimConfig::new(tenant.now));
        state.accounts.insert(account.to_owned(), connection);
        state.changed = true;
    }
    if let ["scim", "v2", rest @ ..] = rest {
        let base = format!("{}/api/v3/accounts/{account}/scim/v2", ask.origin);
        return scim::answer(tenant, state, ask, (account, &base), rest);
    }
    if let Some(limit) = tenant.limit {
        let cooling = state.cooling.get_or_insert_with(Cooling::default);
        let shut = cooling.until.is_some_and(|until| tenant.now < until);
        let allowed =
            !shut && limit.take(&mut cooling.bucket, tenant.quirks.reset, tenant.now).allowed;
        if !shut && !allowed {
            cooling.until = Some(tenant.now + COOL_DOWN);
        }
        state.changed = true;
        if !allowed {
            return refusal(429, "Too many requests");
        }
    }
    if let Err(refused) = authorize(tenant, ask) {
        return refused;
    }
    // The slash at its end is a part of the path.
    if !ask.path.ends_with('/') {
        return TenantAnswer::no_content_with(301).with("location", format!("{}/", ask.path));
    }
    if !state.accounts.contains_key(account) {
        return not_found();
    }
    match (ask.method.as_str(), rest) {
        ("GET", ["scim-config", "tokens"]) => list(tenant, state, ask, account),
        ("POST", ["scim-config", "tokens"]) => create(tenant, state, ask, account),
        ("GET", ["scim-config", "tokens", id]) => read(tenant, state, account, id),
        ("DELETE", ["scim-config", "tokens", id]) => delete(tenant, state, account, id),
        (_, ["scim-config", "tokens"] | ["scim-config", "tokens", _]) => {
            refusal(405, "Method not allowed.")
        }
        _ => not_found(),
    }
}

/// The error shape of every call.
pub(super) fn refusal(status: u16, message: &str) -> TenantAnswer {
    let status_part = json!({
        "code": status,
        "is_success": false,
        "user_message": message,
        "developer_message": "",
    });
    TenantAnswer::json(status, json!({ "status": status_part, "data": null }))
}

/// 404: it is not there, or not to be seen.
fn not_found() -> TenantAnswer {
    refusal(
        404,
        "The requested resource was not found. Please check that you have the proper permissions.",
    )
}

/// The failure that a test asked for.
pub(super) fn failed(status: u16) -> TenantAnswer {
    if status == 404 { not_found() } else { refusal(status, reason(status)) }
}

fn authorize(tenant: &Tenant<'_>, ask: &TenantRequest) -> Result<(), TenantAnswer> {
    let sent = if tenant.quirks.dbt_bearer { &ask.bearer } else { &ask.token };
    // The one secret that a sandbox may be given is the account's token here.
    let wanted = tenant.clients.client.as_ref().map(|(_, secret)| secret.expose());
    let fits = sent
        .as_deref()
        .is_some_and(|sent| !sent.is_empty() && wanted.is_none_or(|wanted| wanted == sent));
    if fits { Ok(()) } else { Err(refusal(401, "Unauthorized: Invalid or expired token.")) }
}

fn success(data: &Value, extra: Option<Value>) -> TenantAnswer {
    let mut body = Map::new();
    let status = json!({
        "code": 200,
        "is_success": true,
        "user_message": "Success!",
        "developer_message": "",
    });
    body.insert("status".to_owned(), status);
    body.insert("data".to_owned(), data.clone());
    if let Some(extra) = extra {
        body.insert("extra".to_owned(), extra);
    }
    TenantAnswer::json(200, Value::Object(body))
}

fn list(tenant: &Tenant<'_>, state: &State, ask: &TenantRequest, account: &str) -> TenantAnswer {
    let number = |name: &str| ask.param(name).and_then(|text| text.parse::<usize>().ok());
    let most = tenant.quirks.dbt_page.map_or(PAGE, |page| page.max(1) as usize);
    let limit = number("limit").unwrap_or(most).min(most);
    let offset = number("offset").unwrap_or(0);
    let all: Vec<Value> = state
        .accounts
        .get(account)
        .into_iter()
        .flat_map(|connection| &connection.tokens)
        .filter(|token| token.exists(tenant.view))
        .map(|token| Value::Object(described(tenant, token)))
        .collect();
    let total = all.len();
    let page: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    let pagination = json!({ "count": page.len(), "total_count": total });
    let filters = json!({ "limit": limit, "offset": offset });
    success(&Value::Array(page), Some(json!({ "filters": filters, "pagination": pagination })))
}

fn read(tenant: &Tenant<'_>, state: &State, account: &str, id: &str) -> TenantAnswer {
    let tokens = state.accounts.get(account).map(|connection| &connection.tokens);
    let known = |token: &&Token| token.id == id && token.exists(tenant.view);
    match tokens.and_then(|tokens| tokens.iter().find(known)) {
        Some(token) => success(&Value::Object(described(tenant, token)), None),
        None => not_found(),
    }
}

/// The only answer that holds the value.
///
/// # If the answer is lost
/// There is a token that nobody has the value of.
fn create(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    account: &str,
) -> TenantAnswer {
    let name = match serde_json::from_slice(&ask.body) {
        Ok(Value::Object(members)) if members.len() == 1 => {
            members.get("name").and_then(Value::as_str).map(str::to_owned)
        }
        Ok(_) | Err(_) => None,
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return refusal(400, "The body must hold `name` and nothing else.");
    };
    let value = format!("dbtc_{}", hex64(tenant.entropy));
    let born = state.tick();
    let token = Token {
        id: (1_000 + born).to_string(),
        digest: Digest::of(value.as_bytes()),
        scopes: SCOPES.map(str::to_owned).into(),
        created_at: tenant.now,
        valid_until: None,
        last_used_at: None,
        used_before: None,
        born,
        died: None,
        name: Some(name),
    };
    let mut members = described(tenant, &token);
    members.insert("token_string".to_owned(), json!(value));
    if let Some(connection) = state.accounts.get_mut(account) {
        connection.prune(tenant.now, tenant.quirks.expired);
        connection.tokens.push(token);
    }
    success(&Value::Object(members), None)
}

/// 204, or 404 as for everything that is not there.
///
/// # If the answer is lost
/// The token may be gone; asking again is harmless.
fn delete(tenant: &Tenant<'_>, state: &mut State, account: &str, id: &str) -> TenantAnswer {
    let order = state.tick();
    let tokens = state.accounts.get_mut(account).map(|connection| &mut connection.tokens);
    let known = |token: &&mut Token| token.id == id && token.exists(View::Now);
    match tokens.and_then(|tokens| tokens.iter_mut().find(known)) {
        Some(dying) => {
            dying.died = Some((tenant.now, order));
            TenantAnswer::no_content()
        }
        None => not_found(),
    }
}

/// What all answers say of a token.
fn described(tenant: &Tenant<'_>, token: &Token) -> Map<String, Value> {
    let used = token.shown_use(tenant.now, tenant.quirks.use_delay());
    let members = [
        ("id", json!(token.id.parse::<u64>().unwrap_or_default())),
        ("name", json!(token.name)),
        ("created_at", json!(micros(token.created_at))),
        ("last_used", json!(used.map(micros))),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A time as this API writes it.
fn micros(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
