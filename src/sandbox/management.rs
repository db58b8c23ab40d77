//! The Management API: who may call, and which call it is.

use super::{
    Tenant, connections,
    made::is_id,
    state::State,
    tokens,
    wire::{
        TenantAnswer, TenantRequest, insufficient_scope, invalid_path, not_found, unauthorized,
    },
};
use crate::token::Digest;

/// One call of the API.
#[derive(Clone, Copy)]
enum Call<'a> {
    ListConnections,
    CreateConnection,
    ReadConnection(&'a str),
    UpdateConnection(&'a str),
    DeleteConnection(&'a str),
    ListConfigs,
    ReadConfig(&'a str),
    CreateConfig(&'a str),
    UpdateConfig(&'a str),
    DeleteConfig(&'a str),
    ReadDefaultMapping(&'a str),
    ListTokens(&'a str),
    CreateToken(&'a str),
    DeleteToken(&'a str, &'a str),
}

/// Answers a request under `/api/v2/`: limit, log-in, scope, path, and then the call itself,
/// in the order in which Auth0 finds fault.
pub(super) fn answer(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    rest: &[&str],
) -> TenantAnswer {
    let Some(limit) = tenant.limit else {
        return unlimited(tenant, state, ask, rest);
    };
    let verdict = limit.take(&mut state.bucket, tenant.quirks.reset, tenant.now);
    state.changed = true;
    if verdict.allowed {
        verdict.mark(unlimited(tenant, state, ask, rest))
    } else {
        verdict.refusal()
    }
}

fn unlimited(
    tenant: &Tenant<'_>,
    state: &mut State,
    ask: &TenantRequest,
    rest: &[&str],
) -> TenantAnswer {
    let Some(call) = Call::of(ask.method.as_str(), rest) else {
        return not_found();
    };
    if let Err(refused) = authorize(tenant, state, ask, call.scope()) {
        return refused;
    }
    if let Some(id) = call.connection().filter(|id| !is_id("con", id)) {
        return invalid_path(&format!(
            "'String does not match pattern ^con_[A-Za-z0-9]{{16}}$: {id}' on property id (The \
             id of the connection)"
        ));
    }
    call.answer(tenant, state, ask)
}

fn authorize(
    tenant: &Tenant<'_>,
    state: &State,
    ask: &TenantRequest,
    scope: &str,
) -> Result<(), TenantAnswer> {
    let Some(bearer) = &ask.bearer else {
        return Err(unauthorized("Missing authentication"));
    };
    let Some(access) = state.access.get(Digest::of(bearer.as_bytes()).as_str()) else {
        return Err(unauthorized("Invalid token"));
    };
    if access.expires_at <= tenant.now {
        return Err(unauthorized("Expired token received for JSON Web Token validation"));
    }
    if access.scopes.iter().any(|granted| granted == scope) {
        Ok(())
    } else {
        Err(insufficient_scope(scope))
    }
}

impl<'a> Call<'a> {
    fn of(method: &str, rest: &[&'a str]) -> Option<Self> {
        Some(match (method, rest) {
            ("GET", ["connections"]) => Self::ListConnections,
            ("POST", ["connections"]) => Self::CreateConnection,
            ("GET", ["connections", id]) => Self::ReadConnection(id),
            ("PATCH", ["connections", id]) => Self::UpdateConnection(id),
            ("DELETE", ["connections", id]) => Self::DeleteConnection(id),
            ("GET", ["connections-scim-configurations"]) => Self::ListConfigs,
            ("GET", ["connections", id, "scim-configuration"]) => Self::ReadConfig(id),
            ("POST", ["connections", id, "scim-configuration"]) => Self::CreateConfig(id),
            ("PATCH", ["connections", id, "scim-configuration"]) => Self::UpdateConfig(id),
            ("DELETE", ["connections", id, "scim-configuration"]) => Self::DeleteConfig(id),
            ("GET", ["connections", id, "scim-configuration", "default-mapping"]) => {
                Self::ReadDefaultMapping(id)
            }
            ("GET", ["connections", id, "scim-configuration", "tokens"]) => Self::ListTokens(id),
            ("POST", ["connections", id, "scim-configuration", "tokens"]) => Self::CreateToken(id),
            ("DELETE", ["connections", id, "scim-configuration", "tokens", token]) => {
                Self::DeleteToken(id, token)
            }
            _ => return None,
        })
    }

    fn scope(self) -> &'static str {
        match self {
            Self::ListConnections | Self::ReadConnection(_) => "read:connections",
            Self::CreateConnection => "create:connections",
            Self::UpdateConnection(_) => "update:connections",
            Self::DeleteConnection(_) => "delete:connections",
            Self::ListConfigs | Self::ReadConfig(_) | Self::ReadDefaultMapping(_) => {
                "read:scim_config"
            }
            Self::CreateConfig(_) => "create:scim_config",
            Self::UpdateConfig(_) => "update:scim_config",
            Self::DeleteConfig(_) => "delete:scim_config",
            Self::ListTokens(_) => "read:scim_token",
            Self::CreateToken(_) => "create:scim_token",
            Self::DeleteToken(..) => "delete:scim_token",
        }
    }

    fn connection(self) -> Option<&'a str> {
        match self {
            Self::ListConnections | Self::CreateConnection | Self::ListConfigs => None,
            Self::ReadConnection(id)
            | Self::UpdateConnection(id)
            | Self::DeleteConnection(id)
            | Self::ReadConfig(id)
            | Self::CreateConfig(id)
            | Self::UpdateConfig(id)
            | Self::DeleteConfig(id)
            | Self::ReadDefaultMapping(id)
            | Self::ListTokens(id)
            | Self::CreateToken(id)
            | Self::DeleteToken(id, _) => Some(id),
        }
    }

    fn answer(self, tenant: &Tenant<'_>, state: &mut State, ask: &TenantRequest) -> TenantAnswer {
        match self {
            Self::ListConnections => connections::list(state, ask),
            Self::CreateConnection => connections::create(tenant, state, ask),
            Self::ReadConnection(id) => connections::read(state, ask, id),
            Self::UpdateConnection(id) => connections::update(state, ask, id),
            Self::DeleteConnection(id) => connections::delete(tenant, state, id),
            Self::ListConfigs => connections::list_configs(state, ask),
            Self::ReadConfig(id) => connections::read_config(state, id),
            Self::CreateConfig(id) => connections::create_config(tenant, state, ask, id),
            Self::UpdateConfig(id) => connections::update_config(tenant, state, ask, id),
            Self::DeleteConfig(id) => connections::delete_config(tenant, state, id),
            Self::ReadDefaultMapping(id) => connections::default_mapping(state, id),
            Self::ListTokens(id) => tokens::list(tenant, state, id),
            Self::CreateToken(id) => tokens::create(tenant, state, ask, id),
            Self::DeleteToken(id, token) => tokens::delete(tenant, state, id, token),
        }
    }
}
