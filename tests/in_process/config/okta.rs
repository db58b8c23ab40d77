//! Provisioning connections in Okta: the org, the log-in, the applications.

use std::any::Any;

use scimitar::sink::okta::{OktaConfig, OktaTarget};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused, refused_in};
use crate::provider::assertion::key_pair;

const ORG: &str = "org_url = \"https://acme.okta.com\"\n";
const TOKEN: &str = "auth = { method = \"api_token\", api_token = { credential = \"okta\" } }\n";
const TO: &str = "{ sink = \"disk\", file = \"one.token\" }, { sink = \"o\", app_id = \"0oa1\" }";

fn delivering(sink: &str, to: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", to);
    format!("{HEAD}[sinks.o]\ntype = \"okta\"\n{sink}{connection}{LIFETIME}")
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.write("c/okta", "00token");
    let folder = bench.path("c").display().to_string();
    bench.env.insert("CREDENTIALS_DIRECTORY".to_owned(), folder);
    bench
}

#[test]
fn an_org_and_an_application_are_read() {
    let to = TO.replace("0oa1\"", "0oa1\", base_url = \"https://scim.zscaler.example/1/2/scim\"");
    let config = bench().load(&delivering(&format!("{ORG}{TOKEN}"), &to));
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let sink = config.sinks.iter().find(|(name, _)| name.as_str() == "o").unwrap().1;
    let sink: &dyn Any = &**sink;
    let okta = sink.downcast_ref::<OktaConfig>().unwrap();
    assert_eq!(okta.org_url.host_str(), Some("acme.okta.com"));
    let target: &OktaTarget = config.connections[0].deliveries[1].to.of_kind().unwrap();
    assert_eq!(target.app_id, "0oa1");
    assert_eq!(target.base_url.as_deref(), Some("https://scim.zscaler.example/1/2/scim"));
}

#[test]
fn what_okta_does_not_take_is_refused() {
    let sink = format!("{ORG}{TOKEN}");
    for (sink, to, message, hint) in [
        (
            format!("org_url = «\"https://acme-admin.okta.com\"\n{TOKEN}"),
            TO.to_owned(),
            "`org_url` is the address of the Admin Console, not of the org",
            "write org_url = \"https://acme.okta.com\"",
        ),
        (
            format!("org_url = «\"https://acme.okta.com/api/v1\"\n{TOKEN}"),
            TO.to_owned(),
            "`org_url` must not hold a path",
            "write org_url = \"https://acme.okta.com\"",
        ),
        (
            sink.clone(),
            TO.replace("\"0oa1\"", "«\"0oa/1\""),
            "`app_id` may hold letters, digits and _ - only",
            "copy it from the address of the application in the Admin Console: it begins with 0oa",
        ),
        (
            sink.clone(),
            TO.replace("\"0oa1\"", "\"0oa1\", base_url = «\"http://scim.example.com\""),
            "`base_url` is http:// to another machine: the token would be readable",
            "write base_url = \"https://scim.zscaler.example/1/2/scim\"",
        ),
    ] {
        refused_in(&bench(), &delivering(&sink, &to), message, hint);
    }
    // One application has one connection.
    let twice = format!("{TO}, {{ sink = \"o\", app_id = \"0oa1\" }}");
    let found = bench().problems(&delivering(&sink, &twice));
    assert!(found.len() == 1 && found[0].contains("two deliveries go to one place"), "{found:?}");
}

/// What was given to Okta is never shown again.
#[test]
fn an_application_alone_can_not_be_read_back() {
    let sink = format!("{ORG}{TOKEN}");
    let found = bench().problems(&delivering(&sink, "{ sink = \"o\", app_id = \"0oa1\" }"));
    assert!(found.len() == 1 && found[0].contains("no sink that can be read back"), "{found:?}");
}

#[test]
fn how_to_log_in_to_okta_is_said_by_reference() {
    let auth = |auth: &str| delivering(&format!("{ORG}auth = {{ {auth} }}\n"), TO);
    refused(
        &auth("method = «\"oauth\""),
        "`method` cannot be \"oauth\"",
        "it is one of \"api_token\", \"private_key\"",
    );
    let bench = bench();
    bench.write("c/okta", "SSWS 00canary");
    let found =
        bench.problems(&auth("method = \"api_token\", api_token = { credential = \"okta\" }"));
    assert!(found.len() == 1 && found[0].contains("begins with \"SSWS \""), "{found:?}");
    assert!(!found[0].contains("canary"), "{found:?}");
    let by_key = auth(
        "method = \"private_key\", client_id = \"0oa2\", key_id = \"k\", private_key = { file = \"key.pem\" }",
    );
    bench.write("key.pem", key_pair().0);
    assert_eq!(bench.problems(&by_key), [""; 0]);
    bench.write("key.pem", "canary");
    let found = bench.problems(&by_key);
    assert!(found.len() == 1 && found[0].contains("not an RSA private key"), "{found:?}");
    assert!(!found[0].contains("canary"), "{found:?}");
}
