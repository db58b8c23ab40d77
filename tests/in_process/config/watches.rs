//! `[[watch]]`: what is read, and every mistake that can be made in one.

use std::time::Duration;

use scimitar::{clock::rfc3339, rotation::watch::Watch};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, accepted, refused};

const NAMED: &str = "[[watch]]\nname = \"initech-sso\"\n";

/// One that is fine.
const FINE: &str = "[[watch]]\nname = \"initech-sso\"\nexpires_at = 2099-03-01\n";

fn read(keys: &str) -> Watch {
    let config = accepted(&format!("{HEAD}{NAMED}{keys}"), &[]);
    let [watch] = &config.watches[..] else { panic!("{:?}", config.watches) };
    watch.clone()
}

#[test]
fn a_day_ends_the_token_as_it_begins_in_utc() {
    for (written, expected) in [
        ("2099-03-01", "2099-03-01T00:00:00Z"),
        ("\"2099-03-01\"", "2099-03-01T00:00:00Z"),
        ("2099-03-01T12:00:00Z", "2099-03-01T12:00:00Z"),
        ("2099-03-01 12:00:00+02:00", "2099-03-01T10:00:00Z"),
        ("\"2099-03-01T12:00:00+02:00\"", "2099-03-01T10:00:00Z"),
    ] {
        let watch = read(&format!("expires_at = {written}\n"));
        assert_eq!(rfc3339(watch.expires_at), expected, "{written}");
    }
    let hint = "write a day, at whose start in UTC the token ends, such as 2027-03-01, or a time \
                such as 2027-03-01T12:00:00Z";
    for wrong in [
        "2099-03-01T12:00:00",
        "12:00:00",
        "\"in March\"",
        "\"2099-02-30\"",
        "\"2099-3-1\"",
        "1066-10-14",
    ] {
        refused(
            &format!("{HEAD}{NAMED}expires_at = «{wrong}\n"),
            "`expires_at` is neither a day nor a time with an offset",
            hint,
        );
    }
    refused(
        &format!("{HEAD}{NAMED}expires_at = «20990301\n"),
        "`expires_at` must be a date such as 2027-03-01, not an integer",
        "",
    );
}

#[test]
fn all_of_it_is_read_and_the_rest_has_its_defaults() {
    let bare = read("expires_at = 2099-03-01\n");
    assert_eq!(
        (bare.name.as_str(), bare.owner, bare.note, bare.link),
        ("initech-sso", None, None, None)
    );
    let days = |of: &Watch| -> Vec<u64> {
        of.notify_before.iter().map(|time| time.as_secs() / 86_400).collect()
    };
    assert_eq!(days(&read("expires_at = 2099-03-01\n")), [1, 3, 14]);
    let full = read(
        "expires_at = 2099-03-01\nowner = \"identity team\"\nnote = \"tell #identity\"\n\
         link = \"https://admin.example.com/scim?tab=1#tokens\"\nnotify_before = [\"30d\", \"7d\"]\n",
    );
    assert_eq!(full.owner.as_deref(), Some("identity team"));
    assert_eq!(full.note.as_deref(), Some("tell #identity"));
    assert_eq!(full.link.as_deref(), Some("https://admin.example.com/scim?tab=1#tokens"));
    assert_eq!(days(&full), [7, 30]);
    assert_eq!(full.notice(), Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(days(&read("expires_at = 2099-03-01\nnotify_before = []\n")), [0; 0]);
    let defaults = "[defaults]\nnotify_before = [\"9d\"]\n";
    let config = accepted(&format!("{HEAD}{defaults}{FINE}"), &[]);
    assert_eq!(days(&config.watches[0]), [9]);
}

#[test]
fn what_is_wrong_is_refused_at_its_place() {
    let with = |keys: &str| format!("{HEAD}{FINE}{keys}\n");
    refused(
        &format!("{HEAD}«[watch]\nname = \"x\"\n"),
        "`watch` is one table, not a list of them",
        "write [[watch]] with two brackets",
    );
    refused(
        &format!("{HEAD}«[[watch]]\nexpires_at = 2099-03-01\n"),
        "`name` is missing in [[watch]]",
        "write name = \"initech-sso\"",
    );
    refused(
        &format!("{HEAD}«{NAMED}"),
        "`expires_at` is missing in [[watch]]",
        "write expires_at = 2027-03-01",
    );
    refused(
        &format!("{HEAD}[[watch]]\nname = «\"-x\"\nexpires_at = 2099-03-01\n"),
        "`name`: a connection name must not begin with `-`, because a command would read it as an option",
        "choose another",
    );
    let link = "`link` must be an https:// address without a user name or password";
    for wrong in
        ["http://admin.example.com/", "https://u:p@admin.example.com/", "admin", "ftp://a/"]
    {
        let hint = "write the address of the page where the token is renewed";
        refused(&with(&format!("link = «\"{wrong}\"")), link, hint);
    }
    refused(
        &with("owner = «\"a\\nb\""),
        "`owner` must be one line",
        "write owner = \"identity team\"",
    );
    refused(
        &with("notify_before = [«\"1s\"]"),
        "`notify_before` must be at least 1m",
        "this is 1s",
    );
    refused(
        &with("«provider = \"box\""),
        "unknown key `provider` in [[watch]]",
        "the keys here are: expires_at, link, name, note, notify_before, owner",
    );
}

/// One label never means two things: neither beside a connection, nor in another file.
#[test]
fn a_name_is_used_once() {
    let bench = Bench::new();
    let again = |at: &str| {
        format!(
            "{at}: the connection name `one` is used twice | first at scimitar.toml:10:8; names are the \
             labels in metrics and results"
        )
    };
    let connection = format!("{HEAD}{CONNECTION}{LIFETIME}");
    let watch = "[[watch]]\nname = \"one\"\nexpires_at = 2099-03-01\n";
    let line = connection.lines().count() + 2;
    let both = format!("{connection}{watch}");
    assert_eq!(bench.problems(&both), [again(&format!("scimitar.toml:{line}:8"))]);
    bench.write("more.toml", watch);
    let found = bench.problems(&format!("include = [\"more.toml\"]\n{connection}"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("more.toml:2:8: the connection name `one`"), "{found:?}");
}

#[test]
fn a_date_that_is_past_is_a_warning() {
    let text = format!("{HEAD}{NAMED}expires_at = 2001-02-03\n");
    accepted(
        &text,
        &[
            "scimitar.toml:11:14: initech-sso expired at 2001-02-03 00:00 UTC (`expires_at`) | renew the \
           token and write its new date, or remove the [[watch]]",
        ],
    );
}
