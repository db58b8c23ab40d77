//! `type = "dbt_cloud"`: an account, its one connection, and what has no meaning there.

use scimitar::{
    config::Config,
    provider::dbt_cloud::{DbtCloudConfig, Scheme},
    rotation::policy::{Lead, Policy, ScopePolicy},
};

use super::support::{Bench, LIFETIME};

const KEYS: &str = "host = \"cloud.getdbt.com\"\naccount_id = 70403103916054\n";
const TOKEN: &str = "token = { file = \"t\" }\n";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("t", "dbt-token\n");
    bench
}

/// One connection of an account that is fine but for `provider` and `connection`.
fn text(provider: &str, connection: &str) -> String {
    format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n[providers.warehouse]\ntype = \"dbt_cloud\"\n\
         {provider}[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
         [[connections]]\nname = \"people\"\nprovider = \"warehouse\"\n\
         deliver_to = [{{ sink = \"disk\", file = \"one.token\" }}]\n{connection}"
    )
}

#[track_caller]
fn load(provider: &str, connection: &str) -> Config {
    let text = text(provider, connection);
    bench().load(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[track_caller]
fn problems(provider: &str, connection: &str) -> Vec<String> {
    bench().problems(&text(provider, connection))
}

fn policy(config: &Config) -> Policy {
    let connection = &config.connections[0];
    let provider = &config.providers[&connection.provider];
    connection.policy(provider.capabilities().into(), std::time::Duration::from_secs(3_600))
}

#[test]
fn an_account_is_one_connection_and_needs_no_id_for_it() {
    let keys = format!("{KEYS}{TOKEN}");
    for id in ["", "connection_id = \"70403103916054\"\n"] {
        let config = load(&keys, &format!("max_age = \"90d\"\n{id}"));
        let policy = policy(&config);
        assert_eq!(policy.key.to_string(), "cloud.getdbt.com/70403103916054/70403103916054");
        assert_eq!(policy.terms.scopes, ScopePolicy::InheritOrDefault);
        assert!(policy.capabilities.names && !policy.capabilities.scopes);
        let provider = config.providers.values().next().unwrap();
        let account = provider.of::<DbtCloudConfig>().unwrap();
        assert_eq!(account.base_url.as_str(), "https://cloud.getdbt.com/");
        assert_eq!((account.scheme, provider.pace().share.get()), (Scheme::Token, 0.5));
        assert_eq!(provider.pace().limit, None);
    }
    let given = format!(
        "host = \"AB123.us1.dbt.com\"\naccount_id = 7\n{TOKEN}scheme = \"Bearer\"\n\
         base_url = \"http://127.0.0.1:4400\"\nshare = \"10%\"\n\
         rate_limit = {{ per_second = 10, burst = 5 }}\n"
    );
    let config = load(&given, "schedule = \"0 3 * * Mon\"\n");
    assert_eq!(policy(&config).key.tenant.as_str(), "ab123.us1.dbt.com/7");
    let provider = config.providers.values().next().unwrap();
    let account = provider.of::<DbtCloudConfig>().unwrap();
    assert_eq!(account.base_url.as_str(), "http://127.0.0.1:4400/");
    assert_eq!(account.scheme, Scheme::Bearer);
    assert_eq!(provider.pace().limit.map(|limit| limit.burst), Some(5));
}

#[test]
fn what_is_missing_or_cannot_be_is_said() {
    assert_eq!(
        Bench::new().problems("[providers.warehouse]\ntype = \"dbt_cloud\"\n"),
        [
            "scimitar.toml:1:1: `host` is missing in [providers.warehouse] | write host = \
             \"cloud.getdbt.com\"",
            "scimitar.toml:1:1: `account_id` is missing in [providers.warehouse] | write \
             account_id = 12345",
            "scimitar.toml:1:1: `token` is missing in [providers.warehouse] | write token = { \
             credential = \"NAME\" }",
        ]
    );
    let one = |keys: &str| {
        let found = problems(keys, "max_age = \"90d\"\n");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].split_once(": ").unwrap().1.to_owned()
    };
    for bad in ["https://cloud.getdbt.com", "cloud.getdbt.com/api", "cloud"] {
        assert_eq!(
            one(&format!("host = \"{bad}\"\naccount_id = 1\n{TOKEN}")),
            "`host` is not a host name | write only the host, as in the address of your account: \
             host = \"cloud.getdbt.com\", or such as \"ab123.us1.dbt.com\""
        );
    }
    for (bad, words) in [
        ("0", "`account_id` must be a whole number above 0"),
        ("-1", "`account_id` must be a whole number above 0"),
        ("99999999999999999999", "`account_id` must be a whole number above 0"),
        ("\"12345\"", "`account_id` must be a whole number, not a string"),
    ] {
        let found = one(&format!("host = \"cloud.getdbt.com\"\naccount_id = {bad}\n{TOKEN}"));
        assert_eq!(found.split(" | ").next(), Some(words), "{bad}");
    }
    assert_eq!(
        one(&format!("{KEYS}{TOKEN}scheme = \"bearer\"\n")),
        "`scheme` cannot be \"bearer\" | it is one of \"Token\", \"Bearer\""
    );
    let literal = one(&format!("{KEYS}token = \"canary-secret\"\n"));
    assert!(literal.starts_with("`token`") && !literal.contains("canary"), "{literal}");
    assert_eq!(
        one(&format!("{KEYS}{TOKEN}base_url = \"http://cloud.getdbt.com\"\n")),
        "`base_url` is http:// to another machine: credentials would be readable | write \
         https://HOST, or http://127.0.0.1:PORT for a server on this machine"
    );
    assert_eq!(
        one(&format!("{KEYS}{TOKEN}domain = \"acme.eu.auth0.com\"\n")),
        "unknown key `domain` in [providers.warehouse] | the keys here are: account_id, base_url, \
         host, http, rate_limit, scheme, share, token, type"
    );
}

/// Mistakes of a provider are not followed by misleading ones about its connections.
#[test]
fn a_connection_is_not_blamed_for_its_providers_mistakes() {
    for id in ["", "connection_id = \"12345\"\n"] {
        let keys = format!("host = \"cloud.getdbt.com\"\naccount_id = 0\n{TOKEN}");
        assert_eq!(problems(&keys, &format!("max_age = \"90d\"\n{id}")).len(), 1, "{id}");
    }
}

#[test]
fn keys_without_meaning_are_refused_and_not_taken_from_defaults() {
    let keys = format!("{KEYS}{TOKEN}");
    let dull = "has no effect here: the tokens of `warehouse`";
    let age = "leave it out; max_age, or a schedule, says when a token is replaced";
    for (key, words) in [
        (LIFETIME, format!("`token_lifetime` {dull} do not expire | {age}")),
        ("rotate_before = \"10d\"\n", format!("`rotate_before` {dull} do not expire | {age}")),
        ("scopes = [\"get:users\"]\n", format!("`scopes` {dull} have no scopes | leave it out")),
        ("scopes = \"inherit\"\n", format!("`scopes` {dull} have no scopes | leave it out")),
        (
            "connection_id = \"12345\"\n",
            "`connection_id` is not the one connection of this account | leave it out, \
             or write connection_id = \"70403103916054\""
                .to_owned(),
        ),
    ] {
        let found = problems(&keys, &format!("max_age = \"90d\"\n{key}"));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(found[0].ends_with(&words), "{found:?}");
    }
    // What stands in [defaults] may be meant for others.
    let defaults =
        format!("{keys}[defaults]\n{LIFETIME}rotate_before = \"10d\"\nscopes = [\"get:users\"]\n");
    for when in ["max_age = \"90d\"\n", "schedule = \"0 3 * * Mon\"\n"] {
        let policy = policy(&load(&defaults, when));
        assert_eq!(policy.terms.token_lifetime, None, "{when}");
        assert!(!matches!(policy.terms.rotate_before, Some(Lead::Fixed(_))), "{when}");
        assert_eq!(policy.terms.scopes, ScopePolicy::InheritOrDefault, "{when}");
    }
    let found = problems(&defaults, "");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with(
            "under this policy no rotation ever becomes due: the token does not expire | set max_age \
             = \"90d\", or a schedule"
        ),
        "{found:?}"
    );
    let never = problems(&keys, "max_age = \"12h\"\n");
    assert!(never[0].contains("`max_age` (12h) is not longer than `overlap`"), "{never:?}");
}

#[test]
fn an_account_is_configured_once() {
    let keys = format!("{KEYS}{TOKEN}");
    let again = "max_age = \"90d\"\n[[connections]]\nname = \"again\"\nprovider = \"warehouse\"\n\
                 max_age = \"90d\"\ndeliver_to = [{ sink = \"disk\", file = \"two.token\" }]\n";
    let found = problems(&keys, again);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("is configured twice"), "{found:?}");
}

/// A user made there may take a licence: no token is proven by writing.
#[test]
fn no_token_is_proven_by_writing_there() {
    let keys = format!("{KEYS}{TOKEN}");
    let refused = problems(&keys, "max_age = \"90d\"\nverify = \"write\"\n");
    let said = "`verify = \"write\"` cannot be used with `warehouse`: this provider is not known to support creating \
                and deleting a user without side effects";
    assert!(refused.len() == 1 && refused[0].contains(said), "{refused:?}");
    // From [defaults] it may be meant for others.
    let text = text(&keys, "max_age = \"90d\"\n");
    let text = format!("[defaults]\nverify = \"write\"\n{text}");
    let config = bench().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(policy(&config).terms.verify, scimitar::rotation::policy::Verify::Read);
}
