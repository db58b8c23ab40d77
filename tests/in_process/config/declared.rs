//! Providers of `type = "http"`: what their tables say of tokens, and what policies make of it.

use std::time::Duration;

use scimitar::{rotation::policy::ScopePolicy, token::Scope};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused_in};

/// An issuer whose tokens have scopes and neither names nor last use.
const ISSUER: &str = r#"[providers.issuer]
type = "http"
base_url = "https://issuer.example.com"
auth = { method = "bearer", token = { env = "S" } }
scim_endpoint = "https://issuer.example.com/scim"
shortest_life = "30d"
scopes = ["scim:read", "scim:write"]
list = { path = "{{ connection.id }}/tokens", items = "" }
create = { path = "{{ connection.id }}/tokens", body = { scopes = "{{ scopes }}", minutes = "{{ lifetime.minutes }}" }, value = "/token" }
delete = { path = "{{ connection.id }}/tokens/{{ token_id }}" }
tokens = { id = "/id", created = "/created", expires = "/expires", scopes = "/scopes" }
"#;

/// A connection of it, to be followed by a policy.
const TWO: &str = r#"[[connections]]
name = "two"
provider = "issuer"
connection_id = "2"
deliver_to = [{ sink = "disk", file = "two.token" }]
"#;

const NINETY: &str = "token_lifetime = \"90d\"\n";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    bench
}

fn exactly(scopes: &[&str]) -> ScopePolicy {
    ScopePolicy::Exactly(scopes.iter().map(|scope| Scope::try_new(*scope).unwrap()).collect())
}

#[test]
fn scopes_in_the_defaults_are_for_those_who_know_them() {
    let text = |scopes: &str| {
        format!("{HEAD}{ISSUER}[defaults]\nscopes = {scopes}\n{CONNECTION}{LIFETIME}{TWO}{NINETY}")
    };
    let policies = |scopes: &str| {
        let config = bench().load(&text(scopes)).unwrap_or_else(|problems| panic!("{problems}"));
        config.connections.iter().map(|one| one.terms.scopes.clone()).collect::<Vec<_>>()
    };
    let (none, inherit) = (ScopePolicy::InheritOrDefault, ScopePolicy::Inherit);
    assert_eq!(policies("[\"scim:write\"]"), [none.clone(), exactly(&["scim:write"])]);
    assert_eq!(policies("[\"get:users\"]"), [exactly(&["get:users"]), none]);
    assert_eq!(policies("\"inherit\""), [inherit.clone(), inherit]);
}

#[test]
fn scopes_in_the_defaults_that_nobody_has_are_refused() {
    let unknown = format!(
        "{HEAD}{ISSUER}[defaults]\nscopes = [«\"scim:wrote\"]\n{CONNECTION}{LIFETIME}{TWO}{NINETY}"
    );
    let hint = "did you mean \"scim:write\"?";
    refused_in(&bench(), &unknown, "there is no scope `scim:wrote`", hint);
}

#[test]
fn a_provider_that_knows_a_part_of_the_defaults_is_named_once() {
    let third = TWO.replace("two", "three").replace("\"2\"", "\"3\"");
    let text = format!(
        "{HEAD}{ISSUER}[defaults]\nscopes = «[\"get:users\", \"scim:write\"]\n{TWO}{NINETY}{third}{NINETY}"
    );
    refused_in(
        &bench(),
        &text,
        "`scopes` in [defaults]: the tokens of `issuer` can have scim:write, but not get:users",
        "set `scopes` in each connection of `issuer`; those in [defaults] then apply to the others",
    );
    let own = format!("{NINETY}scopes = [\"scim:write\"]\n");
    let sound = text.replace('«', "").replace(NINETY, &own);
    bench().load(&sound).unwrap_or_else(|problems| panic!("{problems}"));
}

/// Which scopes there are is not known before the table that names them is right.
#[test]
fn scopes_in_the_defaults_wait_for_a_table_that_is_wrong() {
    let told = |wrong: &str| {
        let rest = format!("[defaults]\nscopes = [\"scim:wrote\"]\n{CONNECTION}{LIFETIME}");
        bench().problems(&format!("{wrong}{rest}"))
    };
    let wrong = ISSUER.replace("items = \"\"", "items = 7");
    let found = told(&format!("{HEAD}{wrong}"));
    assert!(found.len() == 1 && found[0].contains("`items`"), "{found:?}");
    let wrong = HEAD.replace("data_dir = \"box\"", "data_dir = 7");
    let found = told(&format!("{wrong}{ISSUER}"));
    assert!(found.iter().any(|line| line.contains("there is no scope `scim:wrote`")), "{found:?}");
}

#[test]
fn lives_come_in_what_a_create_sends_them_in() {
    let step = |issuer: &str| {
        let text = format!("{HEAD}{issuer}{TWO}{NINETY}");
        let config = bench().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let provider = config.providers.values().find(|provider| !provider.is_sandbox());
        provider.unwrap().capabilities().life_step
    };
    let said =
        |step: &str| ISSUER.replace("scopes = [", &format!("life_step = \"{step}\"\nscopes = ["));
    assert_eq!(step(ISSUER), Duration::from_secs(60));
    assert_eq!(step(&said("10m")), Duration::from_secs(600));
    let seconds = ISSUER.replace("lifetime.minutes", "lifetime.seconds");
    assert_eq!(step(&seconds), Duration::from_secs(1));
    let odd = said("90s").replace("[providers.issuer]", "«[providers.issuer]");
    refused_in(
        &bench(),
        &format!("{HEAD}{odd}{TWO}{NINETY}"),
        "[providers.issuer]: `create` sends lifetimes in whole minutes, but `life_step` is not a number of whole minutes",
        "set life_step = \"1m\" or a multiple, or leave it out",
    );
}

#[test]
fn a_life_without_room_for_prints_is_told_of() {
    let warnings = |issuer: &str, life: &str| {
        let bench = bench();
        let text = format!("{HEAD}{issuer}{TWO}token_lifetime = \"{life}\"\n");
        let config = bench.load(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let lines = config.warnings.iter().map(|warning| bench.line(warning));
        lines.filter(|line| line.contains("leaves no room")).collect::<Vec<_>>()
    };
    let found = warnings(ISSUER, "30d");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains(
            ": `token_lifetime` (30d) leaves no room to give each token a distinct lifetime"
        ) && found[0].contains("(`issuer` grants at least 30d, in steps of 1m)")
            && found[0].ends_with("| set token_lifetime to at least 30d 3m"),
        "{found:?}"
    );
    assert_eq!(warnings(ISSUER, "43203m"), [""; 0]);
    let in_days =
        ISSUER.replace("scopes = [", "longest_life = \"45d\"\nlife_step = \"1d\"\nscopes = [");
    let found = warnings(&in_days, "45d");
    assert!(
        found.len() == 1 && found[0].contains("no lifetime that `issuer` grants is long enough"),
        "{found:?}"
    );
    let named = ISSUER
        .replace("minutes = ", "name = \"{{ name }}\", minutes = ")
        .replace("id = \"/id\"", "id = \"/id\", name = \"/name\"");
    assert_eq!(warnings(&named, "30d"), [""; 0], "its name tells it");
}
