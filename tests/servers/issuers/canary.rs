//! No secret of a declared issuer anywhere but where it belongs: a life of a connection at the highest
//! verbosity, and then a search through everything that was written or printed.

use std::{fs, path::Path};

use aws_smithy_types::base64;
use scimitar::sandbox::{Act, Rule};
use scimitar_test_support::{
    issuers::{
        About, Api, CONFLUENT_CLOUD, Double, GRAFANA, HCP_TERRAFORM, SCALEWAY, SECRET, bearer,
    },
    provider_conformance::Mischief,
};

use super::site::{SECRET_FILE, Site};
use crate::rotation::world::files;

/// An issuer for each way of showing who asks.
const WAYS: [(&str, Api); 4] = [
    ("bearer", HCP_TERRAFORM),
    ("header", SCALEWAY),
    ("basic", CONFLUENT_CLOUD),
    ("oauth", WITH_A_LOGIN),
];

/// Grafana's tokens, behind access tokens of a client-credentials grant.
const WITH_A_LOGIN: Api = Api {
    about: |asked| {
        if asked.path == "/oauth/token" { About::Login } else { (GRAFANA.about)(asked) }
    },
    authorized: |asked| bearer(asked).is_some_and(|token| token.starts_with("access-canary-")),
    ..GRAFANA
};

/// The declaration with that method in `auth`.
fn by(method: &str, double: &Double, text: String) -> String {
    if method != "oauth" {
        assert!(text.contains(&format!("method = \"{method}\"")), "{text}");
        return text;
    }
    let bearer = format!("{{ method = \"bearer\", token = {{ file = \"{SECRET_FILE}\" }} }}");
    assert!(text.contains(&bearer), "{text}");
    let login = format!(
        "{{ method = \"oauth\", token_url = \"{}/oauth/token\", client_id = \"client\", \
         client_secret = {{ file = \"{SECRET_FILE}\" }} }}",
        double.url
    );
    text.replace(&bearer, &login)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_declared_issuer_shows_anywhere() {
    for (method, api) in WAYS {
        let site = Site::start(api, |double, text| by(method, double, text)).await;
        let mut printed = String::new();
        let mut run = |arguments: &[&str], status: Option<i32>| {
            let all: Vec<&str> = arguments.iter().copied().chain(["-vvv"]).collect();
            let ended = site.call(&all).env("SCIMITAR_LOG", "trace").run();
            let said = format!("{method} {arguments:?}: {}\n{}", ended.stdout, ended.stderr);
            assert!(status.is_none_or(|status| ended.status == Some(status)), "{said}");
            printed.push_str(&said);
        };
        run(&["--rotate-now"], Some(0));
        run(&["--rotate-now", "--output", "json"], Some(0));
        for arguments in [
            &["check"][..],
            &["check", "--online"],
            &["plan", "--output", "json"],
            &["permissions"],
            &["status", "--output", "json"],
            &["--once", "--dry-run"],
            &["--once", "--wait", "--timeout", "60s"],
        ] {
            run(arguments, Some(0));
        }
        // Answers that repeat what they were asked with, and some that cannot be read.
        let acts = [
            Act::Status(401),
            Act::Status(400),
            Act::ErrorAfter,
            Act::Truncate,
            Act::CutAfter(180),
        ];
        for act in acts {
            site.double.add(Rule::new("POST", api.tokens, act));
            run(&["--rotate-now", "--timeout", "1s"], None);
            site.double.clear();
        }
        site.double.add(Rule::new("GET", "/", Act::Status(401)));
        run(&["check", "--online"], Some(1));
        site.double.clear();
        run(&["--rotate-now", "--compromised"], None);
        run(&["explain", site.name()], Some(0));
        search(&site, method, &printed);
    }
}

/// Searches what was printed and every file but the sinks' own and the secret's.
fn search(site: &Site, method: &str, printed: &str) {
    let pair = base64::encode(format!("API_KEY:{SECRET}"));
    let mut secrets = site.double.secrets();
    secrets.extend([SECRET.to_owned(), pair]);
    assert!(secrets.contains(&site.file()), "the search would find the value in the sink");
    assert!(printed.len() > 10_000, "the highest verbosity says something");
    assert!(printed.contains("on demand"), "answers that repeat credentials are shown");
    let silent = |what: &str, text: &str| {
        for secret in &secrets {
            let at = text.find(secret.as_str());
            let around = at.map(|at| text.get(at.saturating_sub(200)..at + secret.len()));
            assert!(at.is_none(), "{method}: {what} holds {secret}: {around:?}");
        }
    };
    silent("what was printed", printed);
    let is_sink = |path: &Path| path.extension().is_some_and(|it| it == "token");
    let mut searched = Vec::new();
    for (path, bytes) in files(site.folder()) {
        if !is_sink(&path) && path != site.path(SECRET_FILE) {
            silent(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
            searched.push(path);
        }
    }
    for name in ["ledger.db", "scimitar.prom", "audit.jsonl"] {
        assert!(searched.contains(&site.path(name)), "{name} was searched: {searched:?}");
        assert!(!fs::read(site.path(name)).unwrap().is_empty(), "{name}");
    }
}
