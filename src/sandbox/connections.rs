//! Connections and their SCIM configuration.

use std::ops::Bound;

use serde_json::{Map, Value, json};

use super::{
    Tenant, connection_options,
    made::{alphanumeric, millis},
    mapping,
    paging::Page,
    state::{Connection, ScimConfig, State},
    tokens::no_scim,
    wire::{TenantAnswer, TenantRequest, invalid_body, no_connection, not_found, refusal},
};

/// What a client may say of a connection beside name, strategy and options; kept and shown.
const EXTRA: [&str; 9] = [
    "display_name",
    "enabled_clients",
    "is_domain_connection",
    "show_as_button",
    "realms",
    "metadata",
    "authentication",
    "connected_accounts",
    "cross_app_access_requesting_app",
];

/// `GET /connections`, in one of three shapes.
pub(super) fn list(state: &State, ask: &TenantRequest) -> TenantAnswer {
    let page = match Page::read(ask) {
        Ok(page) => page,
        Err(refused) => return refused,
    };
    let strategies: Vec<&str> = ask.params("strategy");
    let name = ask.param("name");
    let entries = behind(state, &page).filter(|(_, connection)| {
        (strategies.is_empty() || strategies.contains(&connection.strategy.as_str()))
            && name.is_none_or(|name| connection.name == name)
    });
    let fields = Fields::read(ask);
    let shown = page.wrap("connections", entries, |id, connection| fields.of(full(id, connection)));
    TenantAnswer::json(200, shown)
}

/// `POST /connections`: 201 with the options echoed.
///
/// # If the answer is lost
/// The connection may exist; its name is taken then.
pub(super) fn create(tenant: &Tenant<'_>, state: &mut State, ask: &TenantRequest) -> TenantAnswer {
    let mut members = match object(&ask.body) {
        Ok(members) => members,
        Err(refused) => return refused,
    };
    let (Some(Value::String(name)), Some(Value::String(strategy))) =
        (members.remove("name"), members.remove("strategy"))
    else {
        return invalid_body("'Missing required property: name or strategy'");
    };
    let fits = (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if !fits {
        return invalid_body(
            "'String does not match pattern: ^[a-zA-Z0-9](-[a-zA-Z0-9]|[a-zA-Z0-9])*$' on \
             property name (The name of the connection)",
        );
    }
    if state.connections.values().any(|known| known.name == name) {
        return refusal(409, "A connection with the same name already exists", Some("conflict"));
    }
    let mut connection = Connection::new(name, strategy);
    let options = members.remove("options").unwrap_or_else(|| json!({}));
    if !options.is_object() {
        return invalid_body("'Expected type object' on property options");
    }
    connection.options = Some(connection_options::filled(&connection.strategy, options));
    if let Err(refused) = keep_extra(&mut connection, members) {
        return refused;
    }
    let id = loop {
        let candidate = format!("con_{}", alphanumeric(tenant.entropy, 16));
        if !state.connections.contains_key(&candidate) {
            break candidate;
        }
    };
    let shown = full(&id, &connection);
    state.connections.insert(id, connection);
    state.changed = true;
    TenantAnswer::json(201, Value::Object(shown))
}

/// `GET /connections/{id}`.
pub(super) fn read(state: &State, ask: &TenantRequest, id: &str) -> TenantAnswer {
    match state.connections.get(id) {
        Some(connection) => TenantAnswer::json(200, Fields::read(ask).of(full(id, connection))),
        None => no_connection(),
    }
}

/// `PATCH /connections/{id}`: the members given replace those there are.
///
/// # If the answer is lost
/// The change may be made; making it again changes nothing.
pub(super) fn update(state: &mut State, ask: &TenantRequest, id: &str) -> TenantAnswer {
    let mut members = match object(&ask.body) {
        Ok(members) => members,
        Err(refused) => return refused,
    };
    let Some(connection) = state.connections.get_mut(id) else {
        return no_connection();
    };
    let options = members.remove("options");
    if options.as_ref().is_some_and(|options| !options.is_object()) {
        return invalid_body("'Expected type object' on property options");
    }
    if let Err(refused) = keep_extra(connection, members) {
        return refused;
    }
    if options.is_some() {
        connection.options = options;
    }
    let shown = full(id, connection);
    state.changed = true;
    TenantAnswer::json(200, Value::Object(shown))
}

/// `DELETE /connections/{id}`: 202. Users and tokens go with it.
///
/// # If the answer is lost
/// The connection may be gone; asking again is answered 404 then.
pub(super) fn delete(tenant: &Tenant<'_>, state: &mut State, id: &str) -> TenantAnswer {
    if state.connections.remove(id).is_none() {
        return no_connection();
    }
    state.tick();
    TenantAnswer::json(202, json!({ "deleted_at": millis(tenant.now) }))
}

/// `GET /connections-scim-configurations`: the SCIM-enabled connections of the tenant.
pub(super) fn list_configs(state: &State, ask: &TenantRequest) -> TenantAnswer {
    let page = match Page::checkpoint(ask) {
        Ok(page) => page,
        Err(refused) => return refused,
    };
    let entries = behind(state, &page).filter(|(_, connection)| connection.scim.is_some());
    let shown = page.wrap("scim_configurations", entries, |id, connection| {
        connection.scim.as_ref().map_or(Value::Null, |config| shown_config(id, connection, config))
    });
    TenantAnswer::json(200, shown)
}

/// `GET …/scim-configuration`.
pub(super) fn read_config(state: &State, id: &str) -> TenantAnswer {
    let Some(connection) = state.connections.get(id) else {
        return no_connection();
    };
    match &connection.scim {
        Some(config) => TenantAnswer::json(200, shown_config(id, connection, config)),
        None => not_found(),
    }
}

/// `POST …/scim-configuration`, with an empty body, `{}`, or attribute and mapping.
///
/// # If the answer is lost
/// SCIM may be configured; asking again is answered 400 then.
pub(super) fn create_config(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    id: &str,
) -> TenantAnswer {
    let wanted = if ask.body.is_empty() { Ok(Map::new()) } else { object(&ask.body) };
    let wanted = match wanted.and_then(ConfigChange::read) {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    let Some(connection) = state.connections.get_mut(id) else {
        return no_connection();
    };
    if connection.scim.is_some() {
        // The wording is Auth0's own.
        return refusal(400, "SCIM configuration alreay exists for connection", None);
    }
    let capable = ["samlp", "oidc", "okta", "waad"].contains(&connection.strategy.as_str());
    if !capable {
        return no_scim(tenant, connection);
    }
    // The option that Auth0 keeps for "Use common endpoint".
    let options = connection.options.as_ref();
    let common = options.and_then(|options| options.get("waad_common_endpoint"));
    if connection.strategy == "waad" && common.and_then(Value::as_bool) == Some(true) {
        let said =
            "SCIM cannot be enabled for this connection when the Azure AD common endpoint is used.";
        return refusal(400, said, None);
    }
    let mut config = ScimConfig::new(tenant.now);
    config.mapping = wanted.mapping;
    if let Some(attribute) = wanted.user_id_attribute {
        config.user_id_attribute = attribute;
    }
    let shown = shown_config(id, connection, &config);
    connection.scim = Some(config);
    state.changed = true;
    TenantAnswer::json(201, shown)
}

/// `PATCH …/scim-configuration`: both members are required.
///
/// # If the answer is lost
/// The change may be made; making it again changes only `updated_on`.
pub(super) fn update_config(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    id: &str,
) -> TenantAnswer {
    let wanted = match object(&ask.body).and_then(ConfigChange::read) {
        Ok(wanted) => wanted,
        Err(refused) => return refused,
    };
    let (Some(attribute), Some(new_mapping)) = (wanted.user_id_attribute, wanted.mapping) else {
        return invalid_body("'Missing required property: user_id_attribute or mapping'");
    };
    let Some(connection) = state.connections.get_mut(id) else {
        return no_connection();
    };
    let Some(config) = &mut connection.scim else {
        return not_found();
    };
    config.user_id_attribute = attribute;
    config.mapping = Some(new_mapping);
    config.updated_on = tenant.now;
    state.changed = true;
    read_config(state, id)
}

/// `DELETE …/scim-configuration`: 204, also when there is none. The tokens go with it.
///
/// # If the answer is lost
/// It may be gone; asking again is harmless.
pub(super) fn delete_config(tenant: &Tenant<'_>, state: &mut State, id: &str) -> TenantAnswer {
    let order = state.tick();
    let Some(connection) = state.connections.get_mut(id) else {
        return no_connection();
    };
    connection.scim = None;
    for token in connection.tokens.iter_mut().filter(|token| token.died.is_none()) {
        token.died = Some((tenant.now, order));
    }
    TenantAnswer::no_content()
}

/// `GET …/scim-configuration/default-mapping`.
pub(super) fn default_mapping(state: &State, id: &str) -> TenantAnswer {
    if state.connections.contains_key(id) {
        TenantAnswer::json(200, json!({ "mapping": mapping::default() }))
    } else {
        no_connection()
    }
}

fn behind<'a>(
    state: &'a State,
    page: &Page,
) -> impl Iterator<Item = (&'a String, &'a Connection)> + use<'a> {
    let start = match page.after() {
        Some(id) => Bound::Excluded(id),
        None => Bound::Unbounded,
    };
    state.connections.range::<str, _>((start, Bound::Unbounded))
}

/// The whole object, as it is answered when no fields are named.
fn full(id: &str, connection: &Connection) -> Map<String, Value> {
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    set("id", json!(id));
    set("name", json!(connection.name));
    set("strategy", json!(connection.strategy));
    set("options", connection.options.clone().unwrap_or_else(|| json!({})));
    set("is_domain_connection", json!(false));
    set("enabled_clients", json!([]));
    set("realms", json!([connection.name]));
    // Database connections have no button and were recorded without these two.
    if connection.strategy != "auth0" {
        set("show_as_button", json!(false));
        set("display_name", json!(connection.name));
    }
    for (name, value) in &connection.extra {
        set(name, value.clone());
    }
    members
}

fn shown_config(id: &str, connection: &Connection, config: &ScimConfig) -> Value {
    json!({
        "tenant_name": "sandbox",
        "connection_id": id,
        "connection_name": connection.name,
        "strategy": connection.strategy,
        "mapping": config.mapping.clone().unwrap_or_else(mapping::default),
        "updated_on": millis(config.updated_on),
        "created_at": millis(config.created_at),
        "user_id_attribute": config.user_id_attribute,
    })
}

fn object(body: &[u8]) -> Result<Map<String, Value>, TenantAnswer> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err(invalid_body("'Expected type object' on property body")),
        Err(_) => Err(refusal(400, "Invalid request payload JSON format", None)),
    }
}

fn keep_extra(
    connection: &mut Connection,
    members: Map<String, Value>,
) -> Result<(), TenantAnswer> {
    if let Some(name) = members.keys().find(|name| !EXTRA.contains(&name.as_str())) {
        return Err(invalid_body(&format!("'Additional properties not allowed: {name}'")));
    }
    connection.extra.extend(members);
    Ok(())
}

/// What a request says of a SCIM configuration.
struct ConfigChange {
    user_id_attribute: Option<String>,
    mapping: Option<Value>,
}

impl ConfigChange {
    fn read(mut members: Map<String, Value>) -> Result<Self, TenantAnswer> {
        let user_id_attribute = match members.remove("user_id_attribute") {
            None => None,
            Some(Value::String(attribute)) if !attribute.is_empty() => Some(attribute),
            Some(_) => return Err(refusal(400, "Invalid payload", None)),
        };
        let mapping = members.remove("mapping");
        if mapping.as_ref().is_some_and(|mapping| !mapping::fits(mapping)) {
            return Err(refusal(400, "Invalid mapping provided", None));
        }
        match members.keys().next() {
            Some(name) => {
                Err(invalid_body(&format!("'Additional properties not allowed: {name}'")))
            }
            None => Ok(Self { user_id_attribute, mapping }),
        }
    }
}

/// The `fields` and `include_fields` parameters.
struct Fields<'a> {
    names: Option<Vec<&'a str>>,
    include: bool,
}

impl<'a> Fields<'a> {
    fn read(ask: &'a TenantRequest) -> Self {
        Self {
            names: ask.param("fields").map(|text| text.split(',').collect()),
            include: ask.param("include_fields") != Some("false"),
        }
    }

    /// Leaves out what was not asked for; `is_domain_connection` was recorded to come anyway.
    fn of(&self, mut members: Map<String, Value>) -> Value {
        if let Some(names) = &self.names {
            members.retain(|name, _| {
                (names.contains(&name.as_str()) == self.include)
                    || (self.include && name == "is_domain_connection")
            });
        }
        Value::Object(members)
    }
}
