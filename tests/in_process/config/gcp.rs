//! Secrets at Google Cloud: the project, the credentials, the names.

use std::any::Any;

use scimitar::sink::gcp::{GcpConfig, GcpTarget};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused};

const TO: &str = "{ sink = \"g\", secret_id = \"scim-initech\" }";

fn delivering(sink: &str, to: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", to);
    format!("{HEAD}[sinks.g]\ntype = \"gcp_secret_manager\"\n{sink}{connection}{LIFETIME}")
}

const PROJECT: &str = "project = \"acme-identity\"\n";

#[test]
fn a_project_and_a_secret_at_google_are_read() {
    let sink = format!("{PROJECT}location = \"europe-west3\"\ncreate = false\n");
    let to = TO.replace("initech\"", "initech\", alias = \"scim\", format = \"raw\"");
    let config = Bench::new().load(&delivering(&sink, &to));
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let sink = config.sinks.iter().find(|(name, _)| name.as_str() == "g").unwrap().1;
    let sink: &dyn Any = &**sink;
    let google = sink.downcast_ref::<GcpConfig>().unwrap();
    assert_eq!(google.location.as_deref(), Some("europe-west3"));
    assert!(!google.create && google.credentials.is_none());
    let target: &GcpTarget = config.connections[0].deliveries[0].to.of_kind().unwrap();
    assert!(target.raw && target.alias.as_deref() == Some("scim"));
}

#[test]
fn what_google_does_not_take_is_refused() {
    let (id, alias) = ("write an ID such as \"scim-initech\"", "write an alias such as \"scim\"");
    for (to, message, hint) in [
        (
            "{ sink = \"g\", secret_id = «\"scim/initech\" }",
            "`secret_id` must have 1 to 255 letters, digits, - and _",
            id,
        ),
        (
            "{ sink = \"g\", secret_id = \"a\", alias = «\"latest\" }",
            "`alias` is the default without an alias: leave it out, or choose another alias",
            alias,
        ),
    ] {
        refused(&delivering(PROJECT, to), message, hint);
    }
    for (sink, message, hint) in [
        (
            "project = «\"123456789012\"\n",
            "`project` is a project's number; write the project's ID",
            "gcloud projects list shows it",
        ),
        (
            "project = \"acme-identity\"\nlocation = «\"europe\"\n",
            "`location` is not a region",
            "write one such as \"europe-west3\"",
        ),
    ] {
        refused(&delivering(sink, TO), message, hint);
    }
    let twice = format!("{TO}, {}", TO.replace("initech\"", "initech\", alias = \"scim\""));
    let problems = Bench::new().problems(&delivering(PROJECT, &twice));
    assert!(
        problems.len() == 1 && problems[0].contains("two deliveries go to one place"),
        "{problems:?}"
    );
}

/// What is wrong with credentials is said without anything of them.
#[test]
fn credentials_of_a_person_are_refused() {
    let bench = Bench::new();
    bench.write("key.json", r#"{"type":"authorized_user","refresh_token":"canary"}"#);
    let sink = format!("{PROJECT}credentials = {{ file = \"key.json\" }}\n");
    let problems = bench.problems(&delivering(&sink, TO));
    assert!(problems.len() == 1 && problems[0].contains("a person's log-in"), "{problems:?}");
    assert!(!problems[0].contains("canary"), "{problems:?}");
}
