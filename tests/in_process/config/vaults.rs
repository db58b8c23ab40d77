//! Vault sinks: the server, the log-in, the paths.

use std::any::Any;

use scimitar::sink::vault::{Method, Sts, VaultConfig, VaultTarget};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, proxy, refused_in};

const CANARY: &str = "canary-2f81c0";

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n";

const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n";

const AUTH: &str = "auth = { method = \"token\", token = { file = \"token\" } }\n";

/// A folder with every file that the tests name.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.write("token", format!("{CANARY}\n"));
    bench.write("cert.pem", CERTIFICATE);
    bench.write("key.pem", KEY);
    bench
}

fn vault(keys: &str) -> String {
    format!("[sinks.v]\ntype = \"vault\"\n{keys}")
}

fn at(keys: &str) -> String {
    vault(&format!("address = \"https://vault.example.com:8200\"\n{keys}"))
}

fn read(bench: &Bench, text: &str) -> VaultConfig {
    let config = bench.load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let sink: &dyn Any = &**config.sinks.values().next().unwrap();
    sink.downcast_ref::<VaultConfig>().unwrap().clone()
}

fn refused(marked: &str, message: &str, hint: &str) {
    refused_in(&bench(), marked, message, hint);
}

#[test]
fn every_method_and_every_key_is_read() {
    let bench = bench();
    let sink = read(&bench, &at(AUTH));
    assert_eq!(sink.address.as_str(), "https://vault.example.com:8200/");
    assert_eq!((&sink.namespace, &sink.client), (&None, &None));
    assert_eq!(sink.auth.mount, "token");
    assert!(matches!(sink.auth.method, Method::Token(_)));

    let tls = "namespace = \"/org/team-a/\"\nhttp = { proxy = \"http://proxy:3128\" }\n\
               tls = { ca_file = \"cert.pem\", client_cert = \"cert.pem\", \
               client_key = { file = \"key.pem\" } }\n";
    let method = |auth: &str| read(&bench, &at(&format!("{tls}auth = {auth}\n")));
    let sink = method(
        "{ method = \"approle\", role_id = \"r\", secret_id = { file = \"token\" }, \
         wrapped = true, single_use = true, mount = \"team/approle\", namespace = \"/org/\" }",
    );
    assert_eq!((sink.auth.namespace.as_deref(), sink.inside().as_str()), (Some("org"), "team-a/"));
    assert_eq!(sink.namespace.as_deref(), Some("org/team-a"));
    assert_eq!(sink.auth.mount, "team/approle");
    assert_eq!(sink.http.ca_file, Some(bench.path("cert.pem")));
    assert_eq!(sink.http.proxy, proxy("http://proxy:3128"));
    assert_eq!(sink.client.unwrap().cert, bench.path("cert.pem"));
    assert!(matches!(sink.auth.method, Method::Approle { wrapped: true, single_use: true, .. }));
    let sink = method("{ method = \"kubernetes\", role = \"r\" }");
    assert!(matches!(sink.auth.method, Method::Kubernetes { jwt: None, .. }));
    let sink = method("{ method = \"jwt\", jwt = { file = \"token\" } }");
    assert!(matches!(sink.auth.method, Method::Jwt { role: None, .. }));
    let sink = method("{ method = \"cert\", role = \"r\" }");
    assert!(matches!(sink.auth.method, Method::Cert { role: Some(_) }));
    let sink =
        method("{ method = \"aws_iam\", role = \"r\", header_value = \"vault.example.com\" }");
    assert_eq!(sink.auth.mount, "aws");
    let Method::AwsIam { role, header_value, identity } = sink.auth.method else { panic!() };
    assert_eq!((role.unwrap(), header_value.unwrap()), ("r".into(), "vault.example.com".into()));
    assert_eq!(identity, Sts { region: None, endpoint: None });
    let sink = method(
        "{ method = \"aws_iam\", sts_region = \"cn-north-1\", sts_endpoint = \"https://sts.x.com\" }",
    );
    let Method::AwsIam { identity, .. } = sink.auth.method else { panic!() };
    assert_eq!(identity.region.as_deref(), Some("cn-north-1"));
    assert_eq!(identity.endpoint.unwrap().as_str(), "https://sts.x.com/");
}

/// A token is good in the namespace of its log-in and below.
#[test]
fn the_login_namespace_is_at_or_above_that_of_the_secrets() {
    let auth = |namespace: &str| {
        format!(
            "auth = {{ method = \"token\", token = {{ file = \"token\" }}, namespace = {namespace} }}\n"
        )
    };
    let bench = bench();
    for (secrets, login, kept, inside) in [
        ("", "\"/\"", "", ""),
        ("namespace = \"a/b\"\n", "\"/\"", "", "a/b/"),
        ("namespace = \"a/b\"\n", "\"a\"", "a", "b/"),
        ("namespace = \"a/b\"\n", "\"a/b/\"", "a/b", ""),
    ] {
        let sink = read(&bench, &at(&format!("{secrets}{}", auth(login))));
        assert_eq!(sink.auth.namespace.as_deref(), Some(kept));
        assert_eq!(sink.inside(), inside);
    }
    assert_eq!(read(&bench, &at(AUTH)).auth.namespace, None);
    for secrets in ["", "namespace = \"a\"\n", "namespace = \"a/bc\"\n"] {
        refused(
            &at(&format!("{secrets}{}", auth("«\"a/b\""))),
            "the `namespace` of the log-in is neither that of the secrets nor one above it",
            "its token would not be valid there: write namespace = \"org/team\" beside auth = \
             { namespace = \"org\", … }",
        );
    }
    refused(
        &at(&auth("«\"a b\"")),
        "`namespace` is not valid",
        "write namespace = \"team-a\" or \"org/team-a\"",
    );
}

#[test]
fn all_that_is_missing_is_named() {
    let bench = bench();
    let problems = bench.problems(&vault("adress = \"https://v\"\n"));
    assert_eq!(
        problems,
        [
            "scimitar.toml:1:1: `address` is missing in [sinks.v] | write address = \
             \"https://vault.example.com:8200\"",
            "scimitar.toml:1:1: `auth` is missing in [sinks.v] | write auth = { method = \
             \"approle\", role_id = \"…\", secret_id = { credential = \"NAME\" } }",
            "scimitar.toml:3:1: unknown key `adress` in [sinks.v] | did you mean `address`?",
        ]
    );
    refused(
        &at("auth = «{ method = \"approle\", secret_id = { file = \"token\" } }\n"),
        "`role_id` is missing in `auth`",
        "write role_id = \"…\"",
    );
}

#[test]
fn addresses_that_give_a_token_away_are_refused() {
    for (address, words) in [
        (
            "http://vault.example.com:8200",
            "`address` is http:// to another machine: tokens would be readable",
        ),
        ("ftp://127.0.0.1", "`address` is neither https:// nor http:// to loopback"),
        (
            "https://vault.example.com/v1",
            "`address` must not hold a path; a namespace goes into `namespace`",
        ),
    ] {
        refused(
            &vault(&format!("address = «\"{address}\"\n{AUTH}")),
            words,
            "write address = \"https://HOST:8200\"; http:// is only for a server on this \
             machine, such as an agent",
        );
    }
    read(&bench(), &vault(&format!("address = \"http://127.0.0.1:8200\"\n{AUTH}")));
}

#[test]
fn methods_have_their_keys_and_no_others() {
    refused(
        &at("auth = { method = «\"aprole\" }\n"),
        "there is no method \"aprole\"",
        "did you mean `approle`?",
    );
    refused(
        &at("auth = { method = \"aws_iam\", header_value = «\"a b\" }\n"),
        "`header_value` is not a valid header value",
        "copy `iam_server_id_header_value` from the server: vault read auth/aws/config/client",
    );
    refused(
        &at("auth = { method = \"aws_iam\", «sts_endpoint = \"https://sts.x.com\" }\n"),
        "`sts_endpoint` needs the region that its requests are signed for",
        "write sts_region = \"eu-central-1\" beside it, both as the server has them: vault read \
         auth/aws/config/client",
    );
    refused(
        &at("auth = { method = \"aws_iam\", sts_region = «\"Frankfurt\" }\n"),
        "`sts_region` cannot be \"Frankfurt\"",
        "write the region's code, such as sts_region = \"eu-central-1\"",
    );
    refused(
        &at("auth = { method = \"token\", token = { file = \"token\" }, «wraped = true }\n"),
        "unknown key `wraped` in `auth`",
        "the keys here are: method, mount, namespace, token",
    );
    refused(
        &at("auth = { method = «\"cert\" }\n"),
        "`method = \"cert\"` needs a certificate",
        "write tls = { client_cert = \"cert.pem\", client_key = { file = \"key.pem\" } } beside \
         `auth`",
    );
    refused(
        &at(&format!("{AUTH}tls = {{ «client_cert = \"cert.pem\" }}\n")),
        "`client_cert` and `client_key` go together",
        "write client_cert = \"cert.pem\", client_key = { file = \"key.pem\" }",
    );
    refused(
        &at(&format!(
            "{AUTH}http = {{ ca_file = \"cert.pem\" }}\ntls = {{ «ca_file = \"cert.pem\" }}\n"
        )),
        "`ca_file` is in both `tls` and `http`",
        "keep one of them",
    );
}

#[test]
fn a_secret_is_never_written_here_and_never_shown() {
    let bench = bench();
    bench.write("two", format!("{CANARY}\n{CANARY}\n"));
    for auth in [
        format!("{{ method = \"token\", token = \"{CANARY}\" }}"),
        format!("{{ method = \"approle\", role_id = \"r\", secret_id = \"{CANARY}\" }}"),
        format!("{{ method = \"jwt\", jwt = \"{CANARY}\" }}"),
        "{ method = \"token\", token = { file = \"two\" } }".to_owned(),
    ] {
        let problems = bench.load(&at(&format!("auth = {auth}\n"))).unwrap_err();
        assert_eq!(problems.iter().len(), 1, "{problems}");
        assert!(!format!("{problems} {problems:?}").contains(CANARY));
    }
    let sink = read(&bench, &at(AUTH));
    assert!(!format!("{sink:?}").contains(CANARY));
}

fn delivering(entry: &str) -> String {
    format!("{HEAD}{CONNECTION}{LIFETIME}{}", at(AUTH))
        .replace("{ sink = \"disk\", file = \"one.token\" }", entry)
}

#[test]
fn a_delivery_has_a_path_and_may_have_a_mount_and_a_payload() {
    let entry = "{ sink = \"v\", path = \"team/kv/scim/one\", mount = \"team/kv\", \
                 payload = { SCIM-TOKEN = \"{{ token }}\" } }";
    let config = bench().load(&delivering(entry)).unwrap_or_else(|problems| panic!("{problems}"));
    let secret: &VaultTarget = config.connections[0].deliveries[0].to.of_kind().unwrap();
    assert_eq!(secret.path, "team/kv/scim/one");
    assert_eq!(secret.mount.as_deref(), Some("team/kv"));
    assert_eq!(secret.payload.as_ref().unwrap().source()["SCIM-TOKEN"], "{{ token }}");
}

#[test]
fn paths_stay_what_they_are() {
    const HOW: &str =
        "write a path such as \"secret/scim/initech\", the mount in front, without \"data/\"";
    let moved = "has an empty part, \".\" or \"..\": the server would read it as another path";
    for (path, words) in [
        ("secret/../sys/x", moved),
        ("secret/./x", moved),
        ("secret//x", moved),
        ("/secret/x", moved),
        ("secret/x/", moved),
        ("secret/a b", "holds white space or control characters"),
        (
            "secret/a%2e",
            "holds one of % ? # \\ *, which have a special meaning in a URL or a policy",
        ),
        ("secret", "names a mount and no secret in it"),
    ] {
        refused(
            &delivering(&format!("{{ sink = \"v\", path = «\"{path}\" }}")),
            &format!("`path` {words}"),
            HOW,
        );
    }
    refused(
        &delivering("{ sink = \"v\", path = \"secret/x\", mount = «\"kv\" }"),
        "`path` does not lie in this `mount`",
        "`path` begins with the mount",
    );
    refused(
        &delivering("{ sink = \"v\", path = \"secret/x\", «file = \"x\" }"),
        "unknown key `file` in `deliver_to`",
        "the keys here are: custom_metadata, mount, overwrite, path, payload, sink",
    );
}

#[test]
fn two_deliveries_to_one_secret_are_refused_across_sink_names() {
    let again = at(AUTH).replace("[sinks.v]", "[sinks.w]");
    let text =
        delivering("{ sink = \"v\", path = \"secret/x\" }, «{ sink = \"w\", path = \"secret/x\" }");
    let (_, line, _) = super::support::unmarked(&text);
    refused(
        &format!("{text}{again}"),
        "two deliveries go to one place: https://vault.example.com:8200/secret/x",
        &format!("the first is at scimitar.toml:{line}:15; give each a place of its own"),
    );
}
