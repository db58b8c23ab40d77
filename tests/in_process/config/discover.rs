//! `[[discover]]`: rules, and the connections that are made of what was found.

use std::collections::BTreeMap;

use scimitar::{
    clock::parse_timestamp,
    config::{Config, Secrets, discover::Inventories},
    ledger::inventory::{Inventory, Member},
    token::{ConnectionId, ProviderName},
};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, accepted, refused};

const RULE: &str = r#"[[discover]]
provider = "box"
strategy = ["okta", "waad"]
name = "^cust-"
token_lifetime = "30d"
deliver_to = [{ sink = "disk", file = "{{ connection.name }}.token" }]
"#;

/// A connection at the provider: id, name, strategy, and since when it is known.
type At<'a> = (&'a str, &'a str, &'a str, u32);

fn inventories(members: &[At<'_>]) -> Inventories {
    let time = |minute: u32| parse_timestamp(&format!("2026-11-22T04:{minute:02}:00Z")).unwrap();
    let connections = members
        .iter()
        .map(|(id, name, strategy, since)| {
            let member = Member {
                name: (*name).to_owned(),
                strategy: (*strategy).to_owned(),
                since: time(*since),
            };
            (ConnectionId::try_new(*id).unwrap(), member)
        })
        .collect();
    let inventory = Inventory { at: time(0), connections, held: None };
    BTreeMap::from([(ProviderName::try_new("box").unwrap(), inventory)])
}

fn with(text: &str, members: &[At<'_>]) -> Config {
    let bench = Bench::new();
    let config = bench.load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let expanded = config.with(&inventories(members), &bench.env, Secrets::Needed);
    expanded.unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn names(config: &Config) -> Vec<&str> {
    config.connections.iter().map(|one| one.name.as_str()).collect()
}

fn refusals(config: &Config) -> Vec<(&str, &str)> {
    config.refused.iter().map(|one| (one.id.as_str(), one.why.as_str())).collect()
}

#[test]
fn what_matches_becomes_a_connection_as_if_written_down() {
    let text = format!("{HEAD}{RULE}");
    let found = with(
        &text,
        &[
            ("con_a000000000000001", "cust-a", "okta", 0),
            ("con_a000000000000002", "cust-b", "samlp", 0),
            ("con_a000000000000003", "staff", "okta", 0),
            ("con_a000000000000004", "cust-d", "waad", 0),
        ],
    );
    assert_eq!(names(&found), ["cust-a", "cust-d"]);
    assert_eq!(found.refused, []);
    let written = "[[connections]]\nname = \"cust-a\"\nprovider = \"box\"\n\
                   connection_id = \"con_a000000000000001\"\ntoken_lifetime = \"30d\"\n\
                   deliver_to = [{ sink = \"disk\", file = \"cust-a.token\" }]\n";
    let written = accepted(&format!("{HEAD}{written}"), &[]);
    let (one, other) = (&found.connections[0], &written.connections[0]);
    assert_eq!((&one.name, &one.key, &one.terms), (&other.name, &other.key, &other.terms));
    assert_eq!(one.deliveries.len(), 1);
    // Nothing is known yet: nothing is rotated, and that is no error.
    assert_eq!(names(&accepted(&text, &[])), Vec::<&str>::new());
}

#[test]
fn a_connection_that_is_written_down_wins() {
    let text = format!("{HEAD}{CONNECTION}{LIFETIME}{RULE}");
    let found = with(
        &text,
        &[
            ("con_okta000000000001", "cust-one", "okta", 0),
            ("con_a000000000000001", "cust-a", "okta", 0),
        ],
    );
    assert_eq!(names(&found), ["one", "cust-a"]);
    assert_eq!(found.refused, []);
}

#[test]
fn of_two_rules_the_first_that_matches_holds() {
    let other = RULE.replace("^cust-", ".*").replace("30d", "60d").replace(".token", ".other");
    let found = with(
        &format!("{HEAD}{RULE}{other}"),
        &[
            ("con_a000000000000001", "cust-a", "okta", 0),
            ("con_a000000000000002", "staff", "okta", 0),
        ],
    );
    assert_eq!(names(&found), ["cust-a", "staff"]);
    assert_ne!(found.connections[0].terms, found.connections[1].terms);
}

#[test]
fn what_cannot_be_is_refused_alone() {
    let rule = RULE.replace("^cust-", ".*");
    let found = with(
        &format!("{HEAD}{CONNECTION}{LIFETIME}{rule}"),
        &[
            ("con_a000000000000001", "a/../../etc", "okta", 0),
            ("con_a000000000000002", "a b", "okta", 0),
            ("con_a000000000000003", "good", "okta", 0),
            ("con_a000000000000004", "one", "okta", 0),
            ("con_a000000000000005", "..", "okta", 0),
            ("not-an-id", "also", "okta", 0),
        ],
    );
    assert_eq!(names(&found), ["one", "good"]);
    let why: BTreeMap<_, _> = refusals(&found).into_iter().collect();
    assert_eq!(why.len(), 5, "{why:#?}");
    for id in ["con_a000000000000001", "con_a000000000000002", "con_a000000000000005"] {
        assert!(why[id].starts_with("its connection.name cannot be part of a path"), "{why:#?}");
    }
    assert!(why["con_a000000000000004"].contains("`one` is used twice"), "{why:#?}");
    assert!(why["not-an-id"].contains("connection_id"), "{why:#?}");
}

#[test]
fn of_two_with_one_place_the_one_known_longer_has_it() {
    let rule = RULE.replace("{{ connection.name }}", "{{ connection.strategy }}-{{provider}}");
    let members = [
        ("con_a000000000000001", "cust-new", "okta", 5),
        ("con_a000000000000002", "cust-old", "okta", 0),
    ];
    let found = with(&format!("{HEAD}{rule}"), &members);
    assert_eq!(names(&found), ["cust-old"]);
    let [(id, why)] = refusals(&found)[..] else { panic!("{:?}", found.refused) };
    assert_eq!(id, "con_a000000000000001");
    assert!(why.starts_with("two deliveries go to one place: "), "{why}");
    assert!(why.contains("okta-box.token"), "{why}");
}

#[test]
fn mistakes_in_a_rule_are_errors_of_the_configuration() {
    let wrong = |from: &str, to: &str| format!("{HEAD}{}", RULE.replace(from, to));
    let hint = "the names in a [[discover]] are {{ connection.name }}, {{ connection.id }}, \
                {{ connection.strategy }}, {{ provider }}";
    refused(
        &wrong("\"{{ connection.name }}.token\"", "«\"{{ connection.nme }}.token\""),
        "`file` has an unknown template: connection.nme",
        hint,
    );
    refused(
        &wrong("token_lifetime = \"30d\"", "token_lifetime = «\"5m\""),
        "`token_lifetime` must be at least 15m 1s",
        "this is 5m",
    );
    refused(
        &wrong("strategy = [\"okta\", \"waad\"]", "strategy = «[]"),
        "`strategy` is empty: nothing would ever match",
        "write strategy = [\"okta\"], or leave it out for all of them",
    );
    refused(
        &wrong("name = \"^cust-\"", "connection_id = «\"con_okta000000000001\""),
        "`connection_id` has no effect here: a [[discover]] finds connections",
        "leave it out, or write one connection under [[connections]]",
    );
    let bad = Bench::new().problems(&wrong("\"^cust-\"", "\"(\""));
    let [line] = &bad[..] else { panic!("{bad:?}") };
    assert!(line.contains("`name` is not a regular expression: "), "{line}");
    let face = HEAD.replace("data_dir", "face = \"dbt_cloud\"\ndata_dir");
    let rule = RULE.replace("provider = \"box\"", "provider = «\"box\"");
    refused(
        &format!("{face}{rule}"),
        "the connections of `box` cannot be discovered: a dbt Cloud account has one connection",
        "write each under [[connections]]",
    );
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let one = RULE.replace("{{ connection.name }}", "all").replace("\"waad\"", "\"oktaa\"");
    let config = accepted(
        &format!("{HEAD}{one}"),
        &[
            "scimitar.toml:11:21: no connection with SCIM has the strategy \"oktaa\" | did you mean \
             \"okta\"?",
            "scimitar.toml:14:15: every connection that matches would be delivered to this one place: \
             the first is rotated, the others are refused | put {{ connection.name }} or {{ \
             connection.id }} into it",
        ],
    );
    assert_eq!(config.discover.len(), 1);
}

#[test]
fn included_files_may_hold_rules_too() {
    let bench = Bench::new();
    bench.write("d/more.toml", RULE);
    let config = bench.load(&format!("include = [\"d/*.toml\"]\n{HEAD}")).unwrap();
    let members = [("con_a000000000000001", "cust-a", "okta", 0)];
    // The files are those that were read: what is written to them since is for the next reload.
    bench.write("d/more.toml", "nonsense = 1\n");
    let found = config.with(&inventories(&members), &bench.env, Secrets::Needed).unwrap();
    assert_eq!(names(&found), ["cust-a"]);
    assert_eq!(found.sha256, config.sha256);
}

#[test]
fn five_thousand_connections_are_made_of_one_rule() {
    let ids: Vec<_> =
        (0..5_000).map(|nth| (format!("con_{nth:016}"), format!("cust-{nth}"))).collect();
    let members: Vec<At<'_>> = ids.iter().map(|(id, name)| (&**id, &**name, "okta", 0)).collect();
    let found = with(&format!("{HEAD}{RULE}"), &members);
    assert_eq!((found.connections.len(), found.refused.len()), (5_000, 0));
    assert_eq!(found.warnings.iter().filter(|one| !one.message.contains(" lies on ")).count(), 0);
}

#[test]
fn a_found_connection_wins_over_a_watch_of_its_name() {
    let watch = "[[watch]]\nname = \"cust-a\"\nexpires_at = 2099-03-01\n";
    for text in [format!("{HEAD}{watch}{RULE}"), format!("{HEAD}{RULE}{watch}")] {
        let found = with(
            &text,
            &[
                ("con_a000000000000001", "cust-a", "okta", 1),
                ("con_a000000000000002", "cust-b", "okta", 2),
            ],
        );
        assert_eq!(names(&found), ["cust-a", "cust-b"]);
        assert!(refusals(&found).is_empty(), "{:?}", refusals(&found));
        assert!(found.watches[0].shadowed);
        let warned = |config: &Config| {
            let mut warnings = config.warnings.iter();
            warnings.any(|warning| {
                warning.message.contains("cust-a is also the name of a discovered connection")
            })
        };
        assert!(warned(&found), "{:?}", found.warnings);
        let none = with(&text, &[("con_a000000000000002", "cust-b", "okta", 2)]);
        assert!(!none.watches[0].shadowed && !warned(&none));
        // Two connections still cannot have one name.
        let twice = with(
            &text,
            &[
                ("con_a000000000000001", "cust-a", "okta", 1),
                ("con_a000000000000003", "cust-a", "okta", 2),
            ],
        );
        assert_eq!(names(&twice), ["cust-a"]);
        assert_eq!(refusals(&twice).len(), 1);
    }
    // What is written down may not share a name.
    let watch = "[[watch]]\nname = \"one\"\nexpires_at = 2099-03-01\n";
    let both = format!("{HEAD}{watch}{CONNECTION}{LIFETIME}");
    assert!(Bench::new().load(&both).unwrap_err().to_string().contains("`one` is used twice"));
}
