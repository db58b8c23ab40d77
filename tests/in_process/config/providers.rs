//! Mistakes in `[providers.NAME]`.

use super::support::{Bench, accepted, refused, unmarked};

/// The one problem of a provider that is fine but for `keys`, which hold the mark.
#[track_caller]
fn with(keys: &str) -> String {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    let (text, line, column) = unmarked(&format!(
        "[providers.a]\ntype = \"auth0\"\nclient_id = \"c\"\nclient_secret = {{ env = \"S\" }}\n{keys}"
    ));
    let problems = bench.problems(&text);
    let place = format!("scimitar.toml:{line}:{column}: ");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].strip_prefix(&place).unwrap_or_else(|| panic!("{problems:?} at {place}")).to_owned()
}

#[test]
fn what_is_missing_is_said_at_the_table() {
    assert_eq!(
        Bench::new().problems("\n [providers.a]\ntype = \"auth0\"\n"),
        [
            "scimitar.toml:2:2: `domain` is missing in [providers.a] | write domain = \
             \"acme.eu.auth0.com\"",
            "scimitar.toml:2:2: `client_id` is missing in [providers.a] | write client_id = \"…\"",
            "scimitar.toml:2:2: [providers.a] has no log-in method | write client_secret = \
             { credential = \"NAME\" }, or client_assertion_key = { file = \"key.pem\" } for \
             private_key_jwt",
        ]
    );
    assert_eq!(
        Bench::new().problems("[providers.a]\n"),
        ["scimitar.toml:1:1: `type` is missing in [providers.a] | write type = \"auth0\""]
    );
}

#[test]
fn values_that_cannot_be_are_refused() {
    for bad in
        ["https://a.auth0.com", "a.auth0.com/", "localhost", "a..b", "-a.b", "a.b:80", "a b.c"]
    {
        assert_eq!(
            with(&format!("domain = «\"{bad}\"\n")),
            "`domain` is not a host name | write only the host, such as domain = \
             \"acme.eu.auth0.com\""
        );
    }
    let https = " | write https://HOST, or http://127.0.0.1:PORT for a server on this machine";
    for (bad, words) in [
        (
            "http://acme.example",
            "`base_url` is http:// to another machine: credentials would be readable",
        ),
        (
            "http://127.0.0.1.example",
            "`base_url` is http:// to another machine: credentials would be readable",
        ),
        ("ftp://127.0.0.1", "`base_url` is neither https:// nor http:// to loopback"),
        ("https://acme.example/x", "`base_url` must not hold a path"),
    ] {
        assert_eq!(
            with(&format!("domain = \"a.b\"\nbase_url = «\"{bad}\"\n")),
            format!("{words}{https}")
        );
    }
    assert_eq!(
        with("domain = \"a.b\"\nbase_url = «\"https://u:canary@a.b\"\n"),
        "`base_url` must not hold a user name or password | write only the address"
    );
    assert_eq!(
        with("domain = \"a.b\"\nbase_url = «\"https://a.b?t=canary\"\n"),
        "`base_url` must not hold a query or fragment | end it before the `?` or `#`"
    );
    assert_eq!(
        with("domain = \"a.b\"\naudience = «\"https://a.b/api/v2\"\n"),
        "`audience` must end in a slash: Auth0 compares it character by character | write it with /api/v2/ at the end"
    );
    assert_eq!(
        with("domain = \"a.b\"\nshare = «\"0%\"\n"),
        "`share` must be more than 0% and at most 100% | write share = \"50%\""
    );
    assert_eq!(
        with("domain = \"a.b\"\nshare = «0.5\n"),
        "`share` must be a share such as \"50%\", not a float"
    );
    assert_eq!(
        with("domain = \"a.b\"\nrate_limit = «{ per_second = 16 }\n"),
        "`burst` is missing in `rate_limit` of [providers.a] | write burst = 50"
    );
    assert_eq!(
        with("domain = \"a.b\"\nrate_limit = { per_second = «0, burst = 1 }\n"),
        "`per_second` must be more than 0 and at most 100000"
    );
    assert_eq!(
        with("domain = \"a.b\"\nhttp = { proxy = «\"http://u:canary@proxy:3128\" }\n"),
        "`proxy` must not hold a user name or password | move the whole URL to a file that only scimitar's \
         user can read, and write proxy = { file = \"PATH\" }; { env = \"NAME\" } and \
         { credential = \"NAME\" } also work"
    );
    assert_eq!(
        with("domain = \"a.b\"\nhttp = { ca_file = «\"/missing.pem\" }\n"),
        "`ca_file` /missing.pem cannot be used: No such file or directory | name a readable file with the \
         certificates to trust, in PEM"
    );
}

#[test]
fn sandboxes_have_a_folder_of_their_own() {
    let sandbox =
        |name: &str, keys: &str| format!("[providers.{name}]\ntype = \"sandbox\"\n{keys}");
    refused(
        &sandbox("a", "data_dir = \"d\"\nface = «\"dbt\"\n"),
        "`face` cannot be \"dbt\"",
        "it is one of \"auth0\", \"dbt_cloud\"",
    );
    refused(
        &(sandbox("a", "data_dir = \"d\"\n") + &sandbox("«b", "data_dir = \"./d\"\n")),
        "the sandboxes `a` and `b` have the same data_dir",
        "give each its own folder, or use one provider for both",
    );
    accepted(
        &sandbox("a", ""),
        &["scimitar.toml:1:1: [providers.a] loses its tokens when the process ends | give it a \
             data_dir, so that a second run finds the tokens of the first"],
    );
}
