//! The tables of a declared issuer.

use std::{collections::BTreeSet, iter, sync::Arc};

use async_trait::async_trait;
use reqwest::{Url, header::HeaderName};
use serde_json::json;

use super::{
    Issuer,
    auth::{Auth, Credentials},
    requests::{create, delete, flat, list, members},
    schema::schema,
    spec::{CallSpec, Scim, Spec},
    template::{Path, Var},
};
use crate::{
    kind::{BuildError, Grant, endpoint},
    provider::{
        caller::Caller,
        kind::{
            Built, ConnectionIds, Declared, Kind, Lives, Needs, Reading, ScopeWords, Site,
            UsualLimit,
        },
        newest::NewestClock,
        session::Session,
        table::{guarded, plain_word},
    },
    rotation::policy::{Capabilities, Mode},
    table::{
        HttpConfig, Keyring, SecretRef, Table, Value,
        amount::{LONGEST, SECOND},
        http::http,
        secret::reference,
    },
    token::{ConnectionId, Scope, Tenant},
};

/// So many requests a second an issuer is taken to allow that does not say.
const LOWEST_RATE: f64 = 1.0;

/// Issuers that the configuration declares.
pub(in crate::provider) const KIND: Kind = Kind {
    word: "http",
    read,
    schema,
    ids: ConnectionIds {
        pattern: r"\S+",
        about: "For `type = \"http\"`: what `connection.id` stands for in its paths.",
        example: "…",
        read: connection_id,
    },
    scopes: ScopeWords::Declared,
    shortest_life: None,
    configuration: None,
    managed: None,
};

/// The types of bodies that can be sent.
const MEDIA_TYPES: [&str; 2] = ["application/json", "application/vnd.api+json"];

/// A declared issuer.
#[derive(Clone, Debug, PartialEq)]
struct IssuerConfig {
    tenant: Tenant,
    /// The one connection that there is, called as the tenant, where a list names none.
    only: Option<ConnectionId>,
    spec: Spec,
    auth: Auth<SecretRef, Url>,
    http: HttpConfig,
}

#[async_trait]
impl Declared for IssuerConfig {
    fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    fn capabilities(&self) -> Capabilities {
        self.spec.capabilities()
    }

    fn scopes(&self) -> Vec<&str> {
        self.spec.scopes.iter().map(Scope::as_str).collect()
    }

    fn lives(&self) -> Lives {
        Lives {
            shortest: self.spec.shortest_life(),
            longest: self.spec.longest,
            step: self.spec.life_step(),
            always: self.spec.always_expires,
        }
    }

    fn observe_only(&self) -> Option<&str> {
        self.spec.observe_only()
    }

    fn only_connection(&self) -> Option<&ConnectionId> {
        self.only.as_ref()
    }

    fn usual_limit(&self) -> UsualLimit {
        UsualLimit::Learnt { least: LOWEST_RATE }
    }

    fn http(&self) -> Option<&HttpConfig> {
        Some(&self.http)
    }

    fn grant(&self, table: String, needs: Needs) -> Option<Grant> {
        let base = self.spec.base_url.as_str().trim_end_matches('/');
        let of = |call: &CallSpec| format!("{} {base}/{}", call.method, call.path);
        let writes = [&self.spec.create.call, &self.spec.delete];
        let writes = writes.into_iter().filter(|_| needs.mode == Mode::Rotate);
        let requests: Vec<String> =
            iter::once(&self.spec.list.call).chain(writes).map(of).collect();
        Some(Grant {
            table,
            kind: KIND.word,
            at: self.tenant.to_string(),
            namespace: None,
            to: "the requests that the credentials in `auth` must be allowed to send",
            policy: requests.join("\n") + "\n",
            rights: json!({ "requests": requests }),
        })
    }

    async fn build(&self, site: Site<'_>) -> Result<Built, BuildError> {
        let Site { name, parts, http, pace, budget } = site;
        let secret = |reference: &SecretRef| parts.credential(reference);
        let auth = match &self.auth {
            Auth::Bearer(token) => Auth::Bearer(secret(token)),
            Auth::Header(name, value) => Auth::Header(name.clone(), secret(value)),
            Auth::Basic(user, password) => Auth::Basic(user.clone(), secret(password)),
            Auth::Client { token_url, client_id, secret: reference, scope, audience } => {
                Auth::Client {
                    token_url: endpoint(token_url)?,
                    client_id: client_id.clone(),
                    secret: secret(reference),
                    scope: scope.clone(),
                    audience: audience.clone(),
                }
            }
        };
        let (clock, metrics) = (Arc::clone(&parts.clock), parts.metrics.clone());
        let credentials = Credentials {
            provider: name.clone(),
            auth,
            http: http.clone(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            timeout: parts.request_timeout,
            session: Session::default(),
        };
        let caller = Caller {
            name: name.clone(),
            account: self.tenant.to_string(),
            http,
            clock,
            metrics,
            budget,
            rate_limit: pace.limit,
            timeout: parts.request_timeout,
        };
        let base = endpoint(&self.spec.base_url)?;
        let clock = NewestClock::default();
        let (only, spec) = (self.only.clone(), self.spec.clone());
        Ok(Built::remote(Arc::new(Issuer { spec, only, base, credentials, caller, clock })))
    }
}

fn read(&Reading { table, outer, keyring, .. }: &Reading<'_, '_>) -> Option<Arc<dyn Declared>> {
    let base_url =
        table.require("base_url", "\"https://api.example.com\"").and_then(|value| guarded(&value));
    let tenant = table.get("tenant").map(|value| tenant(&value));
    let media_type = match table.get("media_type") {
        Some(value) => value.word(&MEDIA_TYPES.map(|word| (word, word))),
        None => Some(MEDIA_TYPES[0]),
    };
    let auth = table.require("auth", "{ method = \"bearer\", token = { credential = \"NAME\" } }");
    let auth = auth.and_then(|value| read_auth(&value, keyring));
    let scim = table
        .require("scim_endpoint", "\"https://api.example.com/scim/v2\"")
        .and_then(|value| scim(&value));
    let cap = table.get("cap").map(|value| value.integer(1..=1_000_000));
    let life = |key| table.get(key).map(|value| value.duration(SECOND..=LONGEST));
    let (shortest, longest) = (life("shortest_life"), life("longest_life"));
    let step = life("life_step");
    let always_expires = table.get("always_expires").map(|value| value.boolean());
    let scopes = table.get("scopes").map(|value| scopes(&value));
    let list = inner(table, "list").and_then(|table| list(table));
    let create = inner(table, "create").and_then(|table| create(table));
    let delete = inner(table, "delete").and_then(|table| delete(table));
    let members = inner(table, "tokens").and_then(|table| members(table));
    let http = http(table, keyring).or(outer);

    let base_url = base_url?;
    let tenant = match tenant {
        Some(tenant) => tenant?,
        None => Tenant::try_new(base_url.host_str()?).ok()?,
    };
    let spec = Spec {
        base_url,
        media_type: media_type?,
        scim: scim?,
        cap: flat(cap)?,
        shortest: flat(shortest)?.unwrap_or(SECOND),
        longest: flat(longest)?,
        step: flat(step)?,
        always_expires: flat(always_expires)?.unwrap_or(false),
        scopes: flat(scopes)?.unwrap_or_default(),
        members: members?,
        list: list?,
        create: create?,
        delete: delete?,
    };
    contradictions(table, &spec)?;
    let only = match spec.lists_a_connection() {
        true => None,
        false => Some(ConnectionId::try_new(tenant.as_str()).ok()?),
    };
    Some(Arc::new(IssuerConfig { tenant, only, spec, auth: auth?, http }))
}

/// What is asked for must be shown by lists, else it could not be told what was made.
fn contradictions(table: &Table<'_>, spec: &Spec) -> Option<()> {
    let refuse = |message: &str, hint: &str| {
        table.findings().error(table.at(), format!("{}: {message}", table.name()), hint);
    };
    let before = table.findings().count();
    if spec.asks_name() && spec.members.name.is_none() {
        refuse(
            "`create` sends a name, but `tokens` does not say where lists show it",
            "write name = \"/POINTER\" in [providers.NAME.tokens]",
        );
    }
    let expires = spec.shortest_life().is_some() || spec.always_expires;
    if expires && spec.members.expires.is_none() {
        refuse(
            "its tokens expire, but `tokens` does not say where lists show the expiry",
            "write expires = \"/POINTER\" in [providers.NAME.tokens]",
        );
    }
    if spec.asks_scopes() && spec.scopes.is_empty() {
        refuse("`create` sends scopes, but `scopes` is missing", "name them in `scopes`");
    }
    if spec.longest.is_some_and(|longest| longest < spec.shortest) {
        refuse("`longest_life` is shorter than `shortest_life`", "correct one of them");
    }
    let (step, unit) = (spec.life_step().as_secs(), spec.unit().as_secs());
    if !step.is_multiple_of(unit) {
        refuse(
            "`create` sends lifetimes in whole minutes, but `life_step` is not a number of whole minutes",
            "set life_step = \"1m\" or a multiple, or leave it out",
        );
    }
    (table.findings().count() == before).then_some(())
}

/// A table inside the provider's that must be there.
fn inner<'s>(table: &Table<'s>, key: &'static str) -> Option<Table<'s>> {
    let value = table.require(key, "{ … }")?;
    value.table(format!("`{key}` of {}", table.name()))
}

fn tenant(value: &Value<'_>) -> Option<Tenant> {
    let refuse = |error| value.refuse(format!("`tenant`: {error}"), "write another");
    Tenant::try_new(value.string()?).map_err(refuse).ok()
}

fn connection_id(value: &Value<'_>) -> Option<ConnectionId> {
    let refuse = |error| value.refuse(format!("`connection_id`: {error}"), "copy it again");
    ConnectionId::try_new(value.string()?).map_err(refuse).ok()
}

fn scopes(value: &Value<'_>) -> Option<BTreeSet<Scope>> {
    let items = value.list("a list of scopes")?;
    let scope = |item: Value<'_>| {
        let refuse = |error| item.refuse(format!("`scopes`: {error}"), "write another");
        Scope::try_new(item.string()?).map_err(refuse).ok()
    };
    items.into_iter().map(scope).collect()
}

fn read_auth(value: &Value<'_>, keyring: Keyring<'_>) -> Option<Auth<SecretRef, Url>> {
    let table = value.table("`auth`")?;
    let secret = |key: &'static str| {
        let value = table.require(key, "{ credential = \"NAME\" }")?;
        reference(&value, keyring, |_| Ok(()))
    };
    let word = |key: &'static str| table.require(key, "\"…\"").and_then(|it| plain_word(&it));
    let auth = match table.require("method", "\"bearer\"")?.word(&[
        ("bearer", "bearer"),
        ("header", "header"),
        ("basic", "basic"),
        ("oauth", "oauth"),
    ])? {
        "bearer" => secret("token").map(Auth::Bearer),
        "header" => {
            let name = table.require("header", "\"X-Auth-Token\"").and_then(|it| header(&it));
            let secret = secret("header_value");
            name.zip(secret).map(|(name, secret)| Auth::Header(name, secret))
        }
        "basic" => {
            let user = word("user");
            let password = secret("password");
            user.zip(password).map(|(user, password)| Auth::Basic(user, password))
        }
        _ => {
            let token_url = table.require("token_url", "\"https://…\"").and_then(|it| guarded(&it));
            let client_id = word("client_id");
            let secret = secret("client_secret");
            let scope = table.get("scope").map(|it| it.string().map(str::to_owned));
            let audience = table.get("audience").map(|it| it.string().map(str::to_owned));
            match (token_url, client_id, secret, flat(scope), flat(audience)) {
                (Some(token_url), Some(client_id), Some(secret), Some(scope), Some(audience)) => {
                    Some(Auth::Client { token_url, client_id, secret, scope, audience })
                }
                _ => None,
            }
        }
    };
    table.finish(&[]);
    auth
}

fn header(value: &Value<'_>) -> Option<HeaderName> {
    let text = value.string()?;
    let name = HeaderName::try_from(text).ok();
    if name.is_none() {
        value.refuse("`header` is not the name of a header", "write header = \"X-Auth-Token\"");
    }
    name
}

/// The SCIM endpoint: templates stand behind the host.
fn scim(value: &Value<'_>) -> Option<Scim> {
    const HOW: &str = "write https://HOST/PATH; templates are allowed in the path";
    let text = value.string()?;
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let origin = Url::parse(&format!("{scheme}://{host}/")).ok();
    let origin = origin.filter(|url| crate::http::Endpoint::try_new(url.clone()).is_ok());
    let Some(origin) = origin else {
        value.refuse("`scim_endpoint` is not an address to which a token may be sent", HOW);
        return None;
    };
    match Path::parse(path, Var::OF_LIST) {
        Ok(path) if !path.slash => Some(Scim { origin, path }),
        Ok(_) => {
            value.refuse("`scim_endpoint` ends with a slash", HOW);
            None
        }
        Err(why) => {
            value.refuse(format!("`scim_endpoint`: {why}"), HOW);
            None
        }
    }
}
