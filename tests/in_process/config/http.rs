//! Certificates and proxies: what is wrong inside the files that are named, and in the environment.

use scimitar::config::{Config, Problems, ProxyConfig, Secrets, load_for};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, proxy, unmarked};

const CA: &str = include_str!("../provider/data/ca.pem");

fn loaded(bench: &Bench, text: &str, secrets: Secrets) -> Result<Config, Problems> {
    let path = bench.write("scimitar.toml", text);
    load_for(&path, &bench.env, secrets)
}

fn provider(name: &str, http: &str) -> String {
    format!(
        "[providers.{name}]\ntype = \"auth0\"\ndomain = \"{name}.eu.auth0.com\"\nclient_id = \"c\"\n\
         client_secret = {{ env = \"S\" }}\nhttp = {{ {http} }}\n"
    )
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    bench
}

#[test]
fn check_names_the_line_of_a_bad_pem_file_and_a_run_goes_on() {
    let bench = bench();
    bench.write("good.pem", CA);
    let cut: String = CA.lines().take(4).map(|line| format!("{line}\n")).collect();
    for (content, words) in [
        (String::new(), "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        (format!("\u{feff}{CA}"), "line 1: the file begins with a byte order mark (U+FEFF)"),
        (
            format!("# ours\n{cut}"),
            "line 2: the CERTIFICATE that begins here is cut short: -----END CERTIFICATE----- is missing",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "line 1: the certificate that begins here cannot be read: ",
        ),
    ] {
        bench.write("bad.pem", &content);
        let marked = format!(
            "{HEAD}{}{}{CONNECTION}{LIFETIME}",
            provider("acme", "ca_file = \"good.pem\""),
            provider("other", "ca_file = «\"bad.pem\"")
        );
        let (text, line, column) = unmarked(&marked);
        let wanted =
            format!("scimitar.toml:{line}:{column}: `ca_file` bad.pem cannot be used: {words}");
        let problems = loaded(&bench, &text, Secrets::Checked).unwrap_err();
        let told: Vec<_> = problems.iter().map(|problem| bench.line(problem)).collect();
        assert!(told.len() == 1 && told[0].starts_with(&wanted), "{wanted}: {told:?}");
        let config = loaded(&bench, &text, Secrets::Needed).unwrap();
        let told: Vec<_> = config.warnings.iter().map(|warning| bench.line(warning)).collect();
        assert!(told.iter().any(|line| line.starts_with(&wanted)), "{wanted}: {told:?}");
    }
}

#[test]
fn a_certificate_of_our_own_and_its_key_are_a_pair() {
    let bench = bench();
    bench.write("cert.pem", include_str!("../provider/data/server.pem"));
    bench.write("key.pem", include_str!("../provider/data/server.key"));
    let text = |cert: &str| {
        format!(
            "{HEAD}[sinks.v]\ntype = \"vault\"\naddress = \"https://vault.example.com\"\n\
             auth = {{ method = \"cert\" }}\n\
             tls = {{ client_cert = \"{cert}\", client_key = {{ file = \"key.pem\" }} }}\n\
             {CONNECTION}{LIFETIME}"
        )
    };
    loaded(&bench, &text("cert.pem"), Secrets::Checked).unwrap();
    bench.write("ca.pem", CA);
    let problems = loaded(&bench, &text("ca.pem"), Secrets::Checked).unwrap_err().to_string();
    assert!(
        problems.contains("`client_cert` and `client_key` do not belong together: "),
        "{problems}"
    );
    let config = loaded(&bench, &text("ca.pem"), Secrets::Needed).unwrap();
    let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|line| line.contains("do not belong together")), "{told:?}");
}

#[test]
fn a_key_for_assertions_is_one_that_signs() {
    let bench = bench();
    bench.write("ec.pem", include_str!("../provider/data/server.key"));
    bench.write("cut.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    for key in ["ec.pem", "cut.pem"] {
        let provider = provider("acme", "").replace(
            "client_secret = { env = \"S\" }",
            &format!("client_assertion_key = {{ file = \"{key}\" }}"),
        );
        let text = format!("{HEAD}{provider}{CONNECTION}{LIFETIME}");
        let problems = loaded(&bench, &text, Secrets::Checked).unwrap_err().to_string();
        assert!(problems.contains("the private key cannot be used"), "{key}: {problems}");
        loaded(&bench, &text, Secrets::Needed).unwrap();
    }
}

#[test]
fn a_proxy_may_be_a_secret_for_each_provider_and_sink() {
    let mut bench = bench();
    bench.env.insert("P".to_owned(), "http://u:canary@one:3128".to_owned());
    bench.write("proxy", "http://u:can%20ary@two:3128\n");
    let text = format!(
        "{HEAD}[http]\nproxy = \"http://three:3128\"\n{}{}[sinks.aws]\n\
         type = \"aws_secrets_manager\"\nregion = \"eu-west-1\"\n\
         http = {{ proxy = {{ file = \"proxy\" }} }}\n{CONNECTION}{LIFETIME}",
        provider("acme", "proxy = { env = \"P\" }"),
        provider("other", "")
    );
    let config = loaded(&bench, &text, Secrets::Needed).unwrap();
    let of = |name: &str| {
        let found = config.providers.iter().find(|(it, _)| it.as_str() == name).unwrap();
        found.1.http().unwrap().proxy.clone()
    };
    assert_eq!(of("other"), proxy("http://three:3128"));
    let Some(ProxyConfig::Secret(secret)) = of("acme") else { panic!("{:?}", of("acme")) };
    assert_eq!(secret.read(&bench.env).unwrap().expose(), "http://u:canary@one:3128");
    assert!(!format!("{config:?}").contains("canary"));

    bench.env.insert("P".to_owned(), "\"http://u:canary@one:3128\"".to_owned());
    let problems = loaded(&bench, &text, Secrets::Needed).unwrap_err().to_string();
    assert!(problems.contains("`proxy`: the secret is not the URL of a proxy"), "{problems}");
    assert!(!problems.contains("canary"), "{problems}");
}

#[test]
fn an_invalid_proxy_variable_is_an_error_where_it_is_used() {
    let mut bench = bench();
    bench.env.insert("HTTPS_PROXY".to_owned(), "http://u:canary@proxy:3128 ".to_owned());
    let text = format!("{HEAD}{CONNECTION}{LIFETIME}");
    for secrets in [Secrets::Needed, Secrets::Checked] {
        let problems = loaded(&bench, &text, secrets).unwrap_err();
        let told: Vec<_> = problems.iter().map(|problem| bench.line(problem)).collect();
        let wanted = "environment: the environment variable HTTPS_PROXY begins or ends with \
                      white space | write http://proxy:3128, or";
        assert!(told.len() == 1 && told[0].starts_with(wanted), "{told:?}");
        assert!(!told[0].contains("canary"), "{told:?}");
    }
    loaded(&bench, &text, Secrets::Unneeded).unwrap();
    let named = format!("{HEAD}[http]\nproxy = \"http://proxy:3128\"\n{CONNECTION}{LIFETIME}");
    loaded(&bench, &named, Secrets::Needed).unwrap();
}
