//! The other provider, from end to end: dbt Cloud's tokens have names and neither expiry nor a known
//! limit, and everything else holds as it does for Auth0.

use std::{collections::BTreeMap, fs, path::Path};

use chrono::TimeDelta;
use reqwest::Method;
use scimitar::sandbox::{Act, LateAnswer, Rule};
use serde_json::{Value, json};

use super::{
    binary::{Call, Ended},
    world::{CLIENT_SECRET, OKTA, World, side_by_side},
};

const ADMIN: &str = "/api/v3/accounts/12345/scim-config/tokens/";

/// The account's one connection, beside which another provider's may stand.
struct Account(World);

impl Account {
    fn new() -> Self {
        let world = World::new();
        let url = &world.config.base_url;
        let text = format!(
            "[state]\nurl = \"sqlite://ledger.db\"\n\
             [metrics]\ntextfile = \"scimitar.prom\"\n\
             [providers.warehouse]\ntype = \"dbt_cloud\"\nhost = \"cloud.getdbt.com\"\n\
             account_id = 12345\nbase_url = \"{url}\"\ntoken = {{ file = \"client-secret\" }}\n\
             [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
             [[connections]]\nname = \"people\"\nprovider = \"warehouse\"\nmax_age = \"90d\"\n\
             overlap = \"2s\"\nrevoke_after_use = false\ndeliver_to = [{{ sink = \"disk\", file = \"initech.token\" }}]\n"
        );
        fs::write(world.path("scimitar.toml"), text).unwrap();
        Self(world)
    }

    fn rotated() -> Self {
        let account = Self::new();
        account.0.run(&["--rotate-now"]).exits(0);
        account.0.faults.forget_requests();
        account
    }

    fn admin(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let base = self.0.back.url();
        let url = format!("{}{path}", base.as_str().trim_end_matches('/'));
        let mut request = self.0.client.request(method, url);
        request = request.header("authorization", format!("Token {CLIENT_SECRET}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.0.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
        })
    }

    /// The account's tokens as they really are: ids and names.
    fn listed(&self) -> BTreeMap<String, String> {
        let (status, answer) = self.admin(Method::GET, ADMIN, None);
        assert_eq!(status, 200, "{answer}");
        let tokens = answer["data"].as_array().unwrap().iter();
        tokens
            .map(|token| (token["id"].to_string(), token["name"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// A person makes a token.
    fn mint(&self, name: &str) -> String {
        let (status, answer) = self.admin(Method::POST, ADMIN, Some(json!({ "name": name })));
        assert_eq!(status, 200, "{answer}");
        answer["data"]["id"].to_string()
    }

    fn works(&self, value: &str) -> u16 {
        let base = self.0.back.url();
        let url = format!("{base}api/v3/accounts/12345/scim/v2/Users?count=1");
        let sent = self.0.client.get(url).bearer_auth(value).send();
        self.0.block_on(sent).unwrap().status().as_u16()
    }

    /// One current token, listed, in the file, at work; and the row that says so.
    fn assert_sound(&self, when: &str) -> Value {
        let row = self.0.run(&["status"]).exits(0).row();
        let current = row["token_id"].as_str().unwrap_or_else(|| panic!("{when}: {row}"));
        assert!(self.listed().contains_key(current), "{when}: {row}");
        assert_eq!(self.works(&self.0.file()), 200, "{when}: {row}");
        row
    }
}

#[test]
fn a_first_meeting_then_a_rotation_with_its_overlap() {
    let account = Account::new();
    let row = account.0.run(&["--rotate-now"]).exits(0).row();
    assert_eq!((&row["outcome"], &row["provider"]), (&json!("rotated"), &json!("warehouse")));
    assert_eq!(row["connection_id"], "12345");
    assert_eq!(row["expires_at"], Value::Null);
    let first = account.0.file();
    let names = account.listed();
    assert_eq!(names.keys().next().map(String::as_str), row["token_id"].as_str());
    let name = names.values().next().unwrap();
    assert!(name.starts_with("scimitar/people/") && name.len() == 32, "{name}");
    account.assert_sound("after the first");

    let row = account.0.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    let second = account.0.file();
    assert_ne!(first, second);
    assert_eq!((account.works(&first), account.works(&second)), (200, 200), "the overlap");
    assert_eq!(account.listed().len(), 2);

    account.0.run(&["--once", "--wait", "--timeout", "60s"]).exits(0);
    assert_eq!((account.works(&first), account.works(&second)), (401, 200));
    let row = account.assert_sound("after the overlap");
    assert_eq!((&row["phase"], &row["warnings"]), (&json!("steady"), &json!([])), "{row}");
    assert_eq!(account.0.asked("POST", "tokens/"), 2, "each create was sent once");
}

/// There is no expiry: age is what makes it due. The ledger is lost in between, so that nothing but
/// the mark beside the token says which it is: its value does not.
#[test]
fn after_a_lost_ledger_the_token_is_known_and_due_by_its_age() {
    let account = Account::rotated();
    let first = account.0.file();
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = fs::remove_file(account.0.path(file));
    }
    let row = account.0.run(&["--once"]).exits(0).row();
    assert_eq!(account.listed().len(), 1, "taken over, not made anew: {row}");
    assert_eq!(account.0.file(), first);

    account.0.pass(TimeDelta::days(80));
    account.0.run(&["--once"]).exits(0);
    assert_eq!(account.0.file(), first, "not due yet");
    account.0.pass(TimeDelta::days(11));
    let row = account.0.run(&["--once"]).exits(0).row();
    assert_eq!(row["outcome"], "rotated", "{row}");
    assert_ne!(account.0.file(), first);
    assert_eq!(account.works(&first), 200, "beside it, for the overlap");
    account.assert_sound("after max_age");
}

#[test]
fn a_create_whose_caller_died_is_known_by_its_name_and_revoked() {
    side_by_side([(true, false), (true, true), (false, false), (false, true)], |(after, met)| {
        let when = format!("after its effect: {after}, met before: {met}");
        let account = if met { Account::rotated() } else { Account::new() };
        let before = account.listed();
        let act = if after { Act::HoldAfter } else { Act::HoldBefore };
        account.0.fault(Rule::new("POST", ADMIN, act).nth(1));
        let running = account.0.start(&["--rotate-now"]);
        account.0.until_held(1);
        running.kill_9();
        account.0.release();
        let lost = account.listed();
        assert_eq!(lost.len(), before.len() + 1, "{when}");
        let orphan = lost.keys().find(|id| !before.contains_key(*id)).unwrap();

        let ended = account.0.call(&["--once", "-v"]).run().exits(0);
        let name = &lost[orphan];
        let words = format!("{orphan} has the name {name} of a create whose answer was lost");
        assert!(ended.stderr.contains(&words), "{when}: {}", ended.stderr);
        let listed = account.listed();
        assert!(!listed.contains_key(orphan) && listed.len() == 1, "{when}: {listed:?}");
        account.assert_sound(&when);
    });
}

#[test]
fn a_lost_answer_costs_one_revoked_token_and_no_rotation() {
    side_by_side([Act::DropAfter, Act::ErrorAfter, Act::Truncate], |act| {
        let account = Account::rotated();
        let first = account.0.file();
        account.0.fault(Rule::new("POST", ADMIN, act.clone()).nth(1));
        let row = account.0.run(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{act:?}: {row}");
        assert_eq!(account.0.asked("POST", "tokens/"), 2, "{act:?}: asked anew, not again");
        assert_eq!(account.listed().len(), 2, "{act:?}: the orphan is gone, the older one stays");
        assert_eq!(account.works(&first), 200, "{act:?}");
        account.assert_sound("after a lost answer");
    });
}

#[test]
fn a_create_that_takes_effect_hours_late_is_known_by_its_name() {
    let account = Account::rotated();
    let late = Act::Late { answer: LateAnswer::Dropped, after: None };
    account.0.fault(Rule::new("POST", ADMIN, late).nth(1));
    account.0.run(&["--rotate-now"]).exits(0);
    account.0.pass(TimeDelta::hours(30));
    account.0.run(&["--once"]).exits(0);
    let before = account.listed().len();
    account.0.release();
    assert_eq!(account.listed().len(), before + 1, "the first create took effect after all");
    account.0.run(&["--once"]).exits(0);
    let left = account.listed().len();
    assert!(left <= before, "{left} of {before}");
    account.assert_sound("thirty hours later");
}

/// Of a lost ledger's create nothing is left but the name. It is shown, never revoked on a guess.
#[test]
fn an_orphan_of_a_lost_ledger_is_shown_with_how_to_revoke_it() {
    let account = Account::new();
    let ours = account.mint("scimitar/people/00000000000000aa");
    let theirs = account.mint("okta, by hand");
    let row = account.0.run(&["--rotate-now"]).exits(0).row();
    assert_eq!(account.listed().len(), 3, "{row}");
    let warnings: Vec<&str> =
        row["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let command = format!("`scimitar revoke people --token-id {ours}`");
    let says = |id: &str, words: &str| {
        warnings.iter().any(|said| said.starts_with(id) && said.contains(words))
    };
    assert!(says(&ours, &command), "{warnings:?}");
    assert!(says(&theirs, "(called okta, by hand)"), "{warnings:?}");
    assert!(!says(&theirs, "scimitar revoke"), "{warnings:?}");

    account.0.run(&["revoke", "people", "--token-id", &ours]).exits(0);
    let listed = account.listed();
    assert!(!listed.contains_key(&ours) && listed.contains_key(&theirs), "{listed:?}");
    account.assert_sound("after the command");
}

/// 404 is said of what is not there and of what is not permitted: a token is gone only when a
/// complete list shows it.
#[test]
fn a_404_to_a_revocation_proves_nothing() {
    let account = Account::rotated();
    let first = account.0.file();
    account.0.run(&["--rotate-now"]).exits(0);
    account.0.fault(Rule::new("DELETE", ADMIN, Act::Status(404)));
    let row = account.0.run(&["--once", "--wait", "--timeout", "8s"]).exits(1).row();
    assert!(account.0.deletes() > 0, "it was tried: {row}");
    assert_eq!(account.works(&first), 200);
    let row = account.assert_sound("after the 404");
    assert!(row["previous_token_id"].is_string(), "it is still known: {row}");
    assert_eq!(account.listed().len(), 2);
}

#[test]
fn a_429_leaves_the_account_alone_and_says_for_how_long() {
    let account = Account::rotated();
    account.0.fault(Rule::new("", ADMIN, Act::Throttle { retry_after: None }));
    let row = account.0.run(&["--rotate-now", "--timeout", "5s"]).exits(1).row();
    assert!(row.to_string().contains("429"), "{row}");
    assert!(row.to_string().contains("five minutes"), "{row}");
    assert_eq!(account.0.faults.requests().len(), 1, "nothing is sent in the cool-down");
}

#[test]
fn what_cannot_be_done_is_said_before_anything_is_made() {
    let account = Account::new();
    account.0.run(&["check", "--online"]).exits(0);
    account.0.fault(Rule::new("GET", ADMIN, Act::Status(404)));
    let row = account.0.run(&["check", "--online"]).exits(1).row();
    let words = row["error"]["message"].as_str().unwrap();
    assert!(words.contains("account-admin") && words.contains("account_id"), "{words}");
    assert_eq!(account.0.asked("POST", "tokens/"), 0);
}

#[test]
fn both_providers_are_served_by_one_configuration() {
    let account = Account::new();
    let more = format!(
        "[providers.acme]\ntype = \"auth0\"\ndomain = \"acme.eu.auth0.com\"\nbase_url = \"{}\"\n\
         client_id = \"rotator\"\nclient_secret = {{ file = \"client-secret\" }}\n\
         [[connections]]\nname = \"initech-okta\"\nprovider = \"acme\"\n\
         connection_id = \"{OKTA}\"\nscopes = [\"get:users\"]\ntoken_lifetime = \"30d\"\n\
         overlap = \"1m\"\nrevoke_after_use = false\ndeliver_to = [{{ sink = \"disk\", file = \"okta.token\" }}]\n",
        account.0.config.base_url
    );
    let text = fs::read_to_string(account.0.path("scimitar.toml")).unwrap() + &more;
    fs::write(account.0.path("scimitar.toml"), text).unwrap();
    let document = account.0.run(&["permissions"]).exits(0).json();
    let granted = document["permissions"].as_array().unwrap().iter();
    let granted: Vec<&str> = granted.map(|grant| grant["policy"].as_str().unwrap()).collect();
    let scopes = "read:scim_token create:scim_token delete:scim_token\n";
    assert_eq!(granted, [scopes, "account_admin\n"], "{document}");
    let document = account.0.run(&["--rotate-now"]).exits(0).json();
    let outcomes: Vec<&Value> =
        document["results"].as_array().unwrap().iter().map(|row| &row["outcome"]).collect();
    assert_eq!(outcomes, ["rotated", "rotated"], "{document}");
    assert_eq!((account.listed().len(), account.0.listed().len()), (1, 1));
    assert_eq!(account.works(&account.0.file()), 200);
}

/// The example that needs no account anywhere, as it stands, in a copy of its folder.
#[test]
fn the_example_rehearses_both_providers() {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/dbt-cloud.toml");
    fs::create_dir(folder.path().join("examples")).unwrap();
    fs::copy(example, folder.path().join("examples/dbt-cloud.toml")).unwrap();
    let call = |arguments: &[&str]| {
        let all =
            [&["--config", "examples/dbt-cloud.toml", "--output", "json"], arguments].concat();
        Call::new(folder.path(), &all).run()
    };
    let rows = |ended: Ended| ended.json()["results"].as_array().unwrap().clone();
    let first = rows(call(&["--rotate-now"]).exits(0));
    assert_eq!(
        (&first[0]["outcome"], &first[1]["outcome"]),
        (&json!("rotated"), &json!("rotated"))
    );
    assert!(first[0]["expires_at"].is_string() && first[1]["expires_at"].is_null(), "{first:?}");
    for file in ["initech-okta", "warehouse-people"] {
        let path = folder.path().join(format!("example-data/both/tokens/{file}.token"));
        assert!(!fs::read(path).unwrap().is_empty());
    }
    // Each as its provider allows: the one has two slots, the other no limit.
    call(&["--rotate-now"]).exits(0);
    let third = rows(call(&["--rotate-now"]).exits(3));
    assert_eq!(
        (&third[0]["outcome"], &third[1]["outcome"]),
        (&json!("refused"), &json!("rotated"))
    );
    assert_eq!(third[0]["reason"], "previous_in_use");
    let said = rows(call(&["check", "--online"]).exits(0));
    assert_eq!(said.len(), 2);
}

/// The page's example, as it stands but for the account.
#[test]
fn the_example_of_the_page_rotates() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dbt-cloud.md"));
    let page = page.unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let (_, rest) = example.split_once("\n[sinks.disk]").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n[providers.warehouse]\ntype = \"sandbox\"\n\
         face = \"dbt_cloud\"\ndata_dir = \"account\"\n[sinks.disk]{}",
        rest.replace("/run/scimitar", "tokens")
    );
    fs::write(folder.path().join("c.toml"), config).unwrap();
    let call = |arguments: &[&str]| {
        Call::new(folder.path(), &[&["--config", "c.toml", "--output", "json"], arguments].concat())
            .run()
    };
    for _ in 0..2 {
        let row = call(&["--rotate-now"]).exits(0).row();
        assert_eq!(row["outcome"], "rotated", "{row}");
    }
    assert!(!fs::read(folder.path().join("tokens/warehouse.token")).unwrap().is_empty());
}
