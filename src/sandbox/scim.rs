//! The SCIM endpoint of a connection (RFC 7644): log-in by SCIM token, scopes, and the routes.

use serde_json::{Map, Value, json};

use super::{
    Tenant,
    directory::{Directory, Kind, Place},
    filter::Filter,
    mapping, schemas,
    state::{Connection, State},
    wire::{Body, TenantAnswer, TenantRequest, scim_refusal},
};
use crate::{clock::Timestamp, token::Digest};

/// The most that one list answers.
const MOST: usize = 100;

/// Answers a request under `base`, the SCIM endpoint of the connection `id`. Auth0's own answers to a refused token
/// are not on record; these are RFC 7644's.
pub(super) fn answer(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    (id, base): (&str, &str),
    rest: &[&str],
) -> TenantAnswer {
    let Some(config) = state.scim_mut(id).and_then(|connection| connection.scim.as_ref()) else {
        return scim_refusal(404, None, "The connection does not exist or has no SCIM");
    };
    let unmapped = config.mapping.as_ref().is_some_and(|given| !mapping::has(given, "active"));
    let loses_active = unmapped || tenant.quirks.loses_active;
    let scopes = match log_in(tenant, state, ask, id) {
        Ok(scopes) => scopes,
        Err(refused) => return refused,
    };
    let method = ask.method.as_str();
    let place = Place {
        kind: Kind::Group,
        base,
        now: tenant.now,
        loses_active,
        hides_inactive: tenant.quirks.hides_inactive,
        hides_active: tenant.quirks.hides_active,
    };
    match rest {
        [first, rest @ ..] if first.eq_ignore_ascii_case("users") => {
            let place = Place { kind: Kind::User, ..place };
            resources(tenant, state, ask, (id, &scopes), place, rest)
        }
        [first, rest @ ..] if first.eq_ignore_ascii_case("groups") => {
            resources(tenant, state, ask, (id, &scopes), place, rest)
        }
        ["ServiceProviderConfig" | "ResourceTypes" | "Schemas", ..] if method != "GET" => {
            scim_refusal(405, None, "Only GET is served here")
        }
        ["ServiceProviderConfig"] => {
            TenantAnswer::scim(200, schemas::service_provider_config(base))
        }
        ["ResourceTypes", rest @ ..] => discovered(schemas::resource_types(base), rest),
        ["Schemas", rest @ ..] => discovered(schemas::all(base), rest),
        [".search" | "Bulk"] => scim_refusal(501, None, "Not served here"),
        _ => scim_refusal(404, None, "Not Found"),
    }
}

/// The scopes of the token that the caller sent. Noting its use is part of it, whatever the
/// request is then answered.
fn log_in(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    id: &str,
) -> Result<Vec<String>, TenantAnswer> {
    let refused =
        |detail: &str| Err(scim_refusal(401, None, detail).with("www-authenticate", "Bearer"));
    let Some(bearer) = &ask.bearer else {
        return refused("Authorization failure. A bearer token is required.");
    };
    let digest = Digest::of(bearer.as_bytes());
    let token = state.scim_mut(id).and_then(|connection| {
        connection
            .tokens
            .iter_mut()
            .find(|token| token.digest == digest && token.exists(tenant.view))
    });
    let Some(token) = token else {
        return refused("Authorization failure. The token is not valid.");
    };
    if token.expired(tenant.now) {
        return refused("Authorization failure. The token has expired.");
    }
    let scopes = token.scopes.clone();
    if token.used(tenant.now, tenant.quirks.use_grain()) {
        state.changed = true;
    }
    Ok(scopes)
}

fn resources(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    (id, scopes): (&str, &[String]),
    place: Place<'_>,
    rest: &[&str],
) -> TenantAnswer {
    let method = ask.method.as_str();
    let right = match (method, rest) {
        ("GET", [] | [_]) | ("POST", [".search"]) => "get",
        ("POST", []) => "post",
        ("PUT", [_]) => "put",
        ("PATCH", [_]) => "patch",
        ("DELETE", [_]) => "delete",
        (_, [] | [_]) => return scim_refusal(405, None, "This method is not served here"),
        _ => return scim_refusal(404, None, "Not Found"),
    };
    let scope = format!("{right}:{}", place.kind.scope());
    if !scopes.contains(&scope) {
        return scim_refusal(403, None, &format!("The token lacks the scope {scope}"));
    }
    let Some(connection) = state.scim_mut(id) else {
        return scim_refusal(404, None, "The connection does not exist");
    };
    if method == "GET" || rest == [".search"] {
        let fresh;
        let directory = match &connection.directory {
            Some(directory) => directory.as_ref(),
            None => {
                fresh = first(connection, tenant);
                &fresh
            }
        };
        return read(ask, place, directory, rest, tenant.quirks.ignores_filters);
    }
    let body = match (method, serde_json::from_slice(&ask.body)) {
        ("DELETE", _) => Value::Null,
        (_, Ok(body)) => body,
        (_, Err(_)) => {
            return scim_refusal(400, Some("invalidSyntax"), "the body is not JSON");
        }
    };
    let mut directory =
        connection.directory.take().unwrap_or_else(|| Box::new(first(connection, tenant)));
    let answer = match (method, rest) {
        ("POST", _) => {
            let from = (connection.strategy.as_str(), connection.name.as_str());
            directory.create(place, from, tenant.entropy, body)
        }
        ("PUT", [resource]) => directory.replace(place, resource, body),
        ("PATCH", [resource]) => directory.patch(place, resource, &body),
        (_, [resource]) => directory.delete(place, resource),
        _ => scim_refusal(404, None, "Not Found"),
    };
    connection.directory = Some(directory);
    state.changed = true;
    match answer {
        // The answer to a write is shaped like that to a read (RFC 7644 section 3.9).
        answer if answer.status < 300 => Shape::of(ask).apply_to(answer),
        refused => refused,
    }
}

/// The users that a connection starts with.
fn first(connection: &Connection, tenant: &Tenant<'_>) -> Directory {
    let at = created(connection, tenant);
    Directory::first(&connection.name, &connection.strategy, at)
}

/// When the first users of a connection were there.
fn created(connection: &Connection, tenant: &Tenant<'_>) -> Timestamp {
    connection.scim.as_ref().map_or(tenant.now, |config| config.created_at)
}

fn read(
    ask: &TenantRequest,
    place: Place<'_>,
    directory: &Directory,
    rest: &[&str],
    ignores_filters: bool,
) -> TenantAnswer {
    let query = match (ask.method.as_str(), serde_json::from_slice(&ask.body)) {
        ("POST", Ok(body)) => Query::of_body(&body),
        ("POST", Err(_)) => Err("the body is not JSON".to_owned()),
        _ => Query::of_url(ask),
    };
    let query = match query {
        Ok(query) => query,
        Err(detail) => return scim_refusal(400, Some("invalidValue"), &detail),
    };
    if let ([id], "GET") = (rest, ask.method.as_str()) {
        return query.shape.apply_to(directory.read(place, id));
    }
    let filter = match query.filter.as_deref().map(Filter::parse) {
        None => None,
        Some(Ok(filter)) => Some(filter),
        Some(Err(detail)) => return scim_refusal(400, Some("invalidFilter"), &detail),
    };
    let found: Vec<Value> = directory
        .all(place)
        .filter(|resource| {
            ignores_filters || filter.as_ref().is_none_or(|filter| filter.matches(resource))
        })
        .collect();
    let total = found.len();
    let page: Vec<Value> = found
        .into_iter()
        .skip(query.start - 1)
        .take(query.count)
        .map(|resource| query.shape.apply(resource))
        .collect();
    TenantAnswer::scim(200, listed(&page, query.start, total))
}

fn listed(resources: &[Value], start: usize, total: usize) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    })
}

/// A list of what the endpoint publishes, or one of it.
fn discovered(items: Vec<Value>, rest: &[&str]) -> TenantAnswer {
    match rest {
        [] => {
            let total = items.len();
            TenantAnswer::scim(200, listed(&items, 1, total))
        }
        [id] => match items.into_iter().find(|item| item["id"] == *id) {
            Some(item) => TenantAnswer::scim(200, item),
            None => scim_refusal(404, None, &format!("{id} not found")),
        },
        _ => scim_refusal(404, None, "Not Found"),
    }
}

/// What a list is asked for.
struct Query {
    filter: Option<String>,
    /// From 1.
    start: usize,
    count: usize,
    shape: Shape,
}

impl Query {
    fn of_url(ask: &TenantRequest) -> Result<Self, String> {
        let number = |name: &str| match ask.param(name) {
            None => Ok(None),
            Some(text) => {
                text.parse::<i64>().map(Some).map_err(|_| format!("{name} is not a number"))
            }
        };
        Ok(Self::new(
            ask.param("filter").map(str::to_owned),
            number("startIndex")?,
            number("count")?,
            Shape::of(ask),
        ))
    }

    fn of_body(body: &Value) -> Result<Self, String> {
        let number = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                value.as_i64().map(Some).ok_or_else(|| format!("{name} is not a number"))
            }
        };
        let names = |name: &str| -> Vec<String> {
            let items = body.get(name).and_then(Value::as_array);
            items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Ok(Self::new(
            body.get("filter").and_then(Value::as_str).map(str::to_owned),
            number("startIndex")?,
            number("count")?,
            Shape { only: names("attributes"), without: names("excludedAttributes") },
        ))
    }

    /// Numbers below their least mean the least (RFC 7644 section 3.4.2.4).
    fn new(filter: Option<String>, start: Option<i64>, count: Option<i64>, shape: Shape) -> Self {
        let start = usize::try_from(start.unwrap_or(1).max(1)).unwrap_or(usize::MAX);
        let count = count.map_or(MOST, |count| usize::try_from(count.max(0)).unwrap_or(MOST));
        Self { filter, start, count: count.min(MOST), shape }
    }
}

/// Which attributes are answered.
struct Shape {
    only: Vec<String>,
    without: Vec<String>,
}

impl Shape {
    fn of(ask: &TenantRequest) -> Self {
        let names = |name: &str| -> Vec<String> {
            let text = ask.param(name).unwrap_or_default();
            text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        Self { only: names("attributes"), without: names("excludedAttributes") }
    }

    fn apply_to(&self, mut answer: TenantAnswer) -> TenantAnswer {
        if let Body::Json(body) = answer.body {
            let body = if answer.status < 300 { self.apply(body) } else { body };
            answer.body = Body::Json(body);
        }
        answer
    }

    /// `id` and `schemas` always come (RFC 7643 section 7, `returned`).
    fn apply(&self, resource: Value) -> Value {
        let Value::Object(members) = resource else {
            return resource;
        };
        let always = |name: &str| name == "id" || name == "schemas";
        let named = |names: &[String], name: &str| {
            names.iter().any(|path| top(path).eq_ignore_ascii_case(name))
        };
        let kept: Map<String, Value> = members
            .into_iter()
            .filter(|(name, _)| {
                always(name)
                    || ((self.only.is_empty() || named(&self.only, name))
                        && !named(&self.without, name))
            })
            .collect();
        Value::Object(kept)
    }
}

/// The attribute that a path is a part of: sub-attributes come with the whole.
fn top(path: &str) -> &str {
    for urn in [schemas::USER, schemas::GROUP] {
        if let Some(rest) = path.strip_prefix(urn).and_then(|rest| rest.strip_prefix(':')) {
            return top(rest);
        }
    }
    if path.starts_with(schemas::ENTERPRISE) {
        return schemas::ENTERPRISE;
    }
    path.split(['.', '[']).next().unwrap_or(path)
}
