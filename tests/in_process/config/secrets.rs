//! Secrets: only by reference, never quoted.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use scimitar::{
    config::{ProviderConfig, SecretError, Secrets, load_for},
    provider::auth0::{Auth0Config, ClientAuth},
};

use super::support::{Bench, proxy, refused_in};

const CANARY: &str = "canary-2f81c0";

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

fn provider(keys: &str) -> String {
    format!("[providers.a]\ntype = \"auth0\"\ndomain = \"a.b\"\nclient_id = \"c\"\n{keys}\n")
}

fn loaded(bench: &Bench, keys: &str) -> ProviderConfig {
    let config = bench.load(&provider(keys)).unwrap_or_else(|problems| panic!("{problems}"));
    config.providers.into_values().next().unwrap()
}

fn auth0(bench: &Bench, keys: &str) -> Auth0Config {
    loaded(bench, keys).of::<Auth0Config>().unwrap().clone()
}

fn secret(bench: &Bench, keys: &str) -> Result<String, SecretError> {
    let (ClientAuth::Secret(secret) | ClientAuth::AssertionKey(secret)) = auth0(bench, keys).auth;
    secret.read(&bench.env).map(|text| text.expose().to_owned())
}

#[test]
fn each_kind_of_reference_is_read() {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "from-env".to_owned());
    bench.write("s.txt", "from-file\n");
    bench.write("creds/c", "from-credential\r\n");
    let folder = bench.path("creds").display().to_string();
    bench.env.insert("CREDENTIALS_DIRECTORY".to_owned(), folder);
    bench.write("key.pem", KEY);
    let read = |keys: &str| secret(&bench, keys).unwrap();
    assert_eq!(read("client_secret = { env = \"S\" }"), "from-env");
    assert_eq!(read("client_secret = { file = \"s.txt\" }"), "from-file");
    assert_eq!(read("client_secret = { credential = \"c\" }"), "from-credential");
    assert_eq!(read("client_assertion_key = { file = \"key.pem\" }"), KEY.trim_end());
}

#[test]
fn a_changed_file_is_read_again() {
    let bench = Bench::new();
    bench.write("s.txt", "before");
    let ClientAuth::Secret(secret) = auth0(&bench, "client_secret = { file = \"s.txt\" }").auth
    else {
        panic!("not a secret");
    };
    bench.write("s.txt", "after");
    assert_eq!(secret.read(&bench.env).unwrap().expose(), "after");
    fs::remove_file(bench.path("s.txt")).unwrap();
    assert_eq!(secret.read(&bench.env).unwrap_err(), SecretError::NoFile);
}

#[test]
fn a_literal_is_refused_with_the_way_to_move_it() {
    for literal in [
        format!("\"{CANARY}\""),
        format!("'''{CANARY}'''"),
        format!("[\"{CANARY}\"]"),
        "12345".to_owned(),
    ] {
        for key in ["client_secret", "client_assertion_key"] {
            refused_in(
                &Bench::new(),
                &provider(&format!("{key} = «{literal}")),
                &format!("`{key}` takes a reference, never the secret itself"),
                &format!(
                    "move it to a file that only scimitar's user can read, and write {key} = {{ \
                     file = \"PATH\" }}\nor into the environment: {key} = {{ env = \"NAME\" }}, or \
                     pass it by systemd: {key} = {{ credential = \"NAME\" }}\nanyone who could \
                     read this file may know it: replace it at the provider"
                ),
            );
        }
    }
}

#[test]
fn nothing_quotes_a_secret_wherever_it_was_put() {
    for keys in [
        format!("client_secret = \"{CANARY}\""),
        format!("client_secret = {{ env = \"{CANARY}\" }}"),
        format!("client_secret = {{ file = \"{CANARY}\" }}"),
        format!("client_secret = {{ file = \"{}\" }}", CANARY.repeat(500)),
        format!("client_secret = {{ credential = \"{CANARY}\" }}"),
        format!("client_secret = {{ credential = \"a/{CANARY}\" }}"),
        format!("client_secret = {{ env = \"a {CANARY}\" }}"),
        format!("client_secret = {{ value = \"{CANARY}\" }}"),
        format!("client_secret = {{ env = [\"{CANARY}\"] }}"),
        format!("client_secrt = \"{CANARY}\""),
        format!("client_secret = \"{CANARY}"),
        format!("client_secret = {CANARY}"),
        format!("client_secret = \"\\q{CANARY}\""),
        format!("client_secret = \"a\"\nclient_secret = \"{CANARY}\""),
        format!("client_secret \"{CANARY}\""),
        format!("base_url = \"https://x:{CANARY}@a.b\""),
        format!("base_url = \"https://a.b/?{CANARY}\""),
        format!("base_url = \"{CANARY}\""),
        format!("audience = \"{CANARY}\""),
        format!("http = {{ proxy = \"http://x:{CANARY}@a\" }}"),
        format!("share = \"{CANARY}\""),
        format!("client_id = \"{CANARY}\""),
        format!("domain = \"https://{CANARY}\""),
    ] {
        let bench = Bench::new();
        let problems = bench.load(&provider(&keys)).unwrap_err();
        let json = serde_json::to_string(&problems).unwrap();
        let all = format!("{problems} {problems:?} {json}");
        assert!(!all.contains(CANARY), "{keys}\n{all}");
    }
}

#[test]
fn the_environment_is_not_quoted_either() {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), CANARY.to_owned());
    let config = bench.load(&provider("client_secret = { env = \"S\" }")).unwrap();
    assert!(!format!("{config:?}").contains(CANARY));
    refused_in(
        &bench,
        &provider("client_assertion_key = «{ env = \"S\" }"),
        "`client_assertion_key`: this is not an RSA private key in PEM (-----BEGIN PRIVATE \
         KEY-----)",
        "it was read from the environment variable S",
    );
}

#[test]
fn what_cannot_be_read_is_said_at_its_place() {
    let mut bench = Bench::new();
    bench.env.insert("EMPTY".to_owned(), "\n".to_owned());
    bench.write("open.txt", "s");
    let open = bench.path("open.txt");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    bench.write("large.txt", vec![b'x'; 65_537]);
    bench.write("exact.txt", vec![b'x'; 65_536]);
    bench.write("binary.txt", b"\xff\xfe");
    bench.write("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    fs::create_dir(bench.path("folder")).unwrap();
    symlink("large.txt", bench.path("link.txt")).unwrap();
    let whole = "name a file that holds the secret and nothing else";
    let folder = bench.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    for (reference, words, hint) in [
        (
            "{ env = \"UNSET\" }",
            "the environment variable that is named here is not set",
            "set it for the scimitar process (in a unit: Environment= or \
             EnvironmentFile=)",
        ),
        ("{ env = \"EMPTY\" }", "the secret is empty", "store the secret there, as text"),
        (
            "{ file = \"missing\" }",
            "the file that is named here does not exist",
            &format!("a relative path starts at {folder}"),
        ),
        (
            "{ file = \"open.txt\" }",
            "open.txt can be read or changed by every user (mode 0644)",
            "restrict access to it: chmod 600 open.txt",
        ),
        ("{ file = \"large.txt\" }", "large.txt is larger than 64 KiB: not a secret", whole),
        ("{ file = \"link.txt\" }", "link.txt is larger than 64 KiB: not a secret", whole),
        ("{ file = \"folder\" }", "folder is not a regular file", whole),
        ("{ file = \"/dev/zero\" }", "/dev/zero is not a regular file", whole),
        (
            "{ file = \"binary.txt\" }",
            "the secret is not UTF-8 text",
            "store the secret there, as text",
        ),
        (
            "{ credential = \"c\" }",
            "$CREDENTIALS_DIRECTORY is not set: no credentials were passed to this process",
            "only the unit has this credential (LoadCredential=NAME:/path); to run in the same way from a shell: systemd-run --wait --pipe \
             -p DynamicUser=yes -p User=scimitar -p StateDirectory=scimitar -p \
             StateDirectoryMode=0700 -p LoadCredential=NAME:/path scimitar …",
        ),
    ] {
        refused_in(
            &bench,
            &provider(&format!("client_secret = «{reference}")),
            &format!("`client_secret`: {words}"),
            hint,
        );
    }
    assert_eq!(secret(&bench, "client_secret = { file = \"exact.txt\" }").unwrap().len(), 65_536);
    refused_in(
        &bench,
        &provider("client_assertion_key = «{ file = \"locked.pem\" }"),
        "`client_assertion_key`: the private key is encrypted; save it without a passphrase",
        "it was read from the file locked.pem",
    );
    bench.env.insert("CREDENTIALS_DIRECTORY".to_owned(), folder.to_owned());
    refused_in(
        &bench,
        &provider("client_secret = «{ credential = \"c\" }"),
        "`client_secret`: there is no credential of that name in $CREDENTIALS_DIRECTORY",
        "pass it with LoadCredential= in the systemd unit, or use { file = \"…\" }",
    );
}

#[test]
fn what_is_elsewhere_stops_neither_status_nor_check() {
    let bench = Bench::new();
    bench.write("open.txt", "s");
    fs::set_permissions(bench.path("open.txt"), fs::Permissions::from_mode(0o644)).unwrap();
    let load = |reference: &str, secrets| {
        let path = bench.write("scimitar.toml", provider(&format!("client_secret = {reference}")));
        load_for(&path, &bench.env, secrets)
    };
    for (reference, warning) in [
        (
            "{ credential = \"c\" }",
            "scimitar.toml:5:17: `client_secret`: it can only be read inside the unit | to check it \
             as well: systemd-run --wait --pipe -p DynamicUser=yes -p User=scimitar -p \
             StateDirectory=scimitar -p StateDirectoryMode=0700 -p LoadCredential=NAME:/path \
             scimitar …",
        ),
        (
            "{ env = \"UNSET\" }",
            "scimitar.toml:5:17: `client_secret`: the environment variable that is named here is \
             not set | set it for the scimitar process (in a unit: Environment= or \
             EnvironmentFile=)",
        ),
    ] {
        let config = load(reference, Secrets::Checked).unwrap();
        let warnings: Vec<_> = config.warnings.iter().map(|found| bench.line(found)).collect();
        assert!(warnings.contains(&warning.to_owned()), "{warnings:?}");
        let config = load(reference, Secrets::Unneeded).unwrap();
        assert!(!format!("{:?}", config.warnings).contains("client_secret"));
        load(reference, Secrets::Needed).unwrap_err();
    }
    load("{ file = \"missing\" }", Secrets::Checked).unwrap();
    // What is wrong wherever it is read from stays a mistake.
    load("{ file = \"open.txt\" }", Secrets::Checked).unwrap_err();
    load("{ file = \"open.txt\" }", Secrets::Unneeded).unwrap();
    load("\"literal\"", Secrets::Unneeded).unwrap_err();
}

#[test]
fn references_name_one_place() {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    refused_in(
        &bench,
        &provider("client_secret = «{}"),
        "`client_secret` does not say where the secret is",
        "write one of { env = \"NAME\" }, { file = \"PATH\" }, { credential = \"NAME\" }, { vault = \
         \"secret/scimitar#client_secret\", sink = \"NAME\" }, { aws = \
         \"scimitar/acme#client_secret\", sink = \"NAME\" }",
    );
    refused_in(
        &bench,
        &provider("client_secret = «{ env = \"S\", file = \"s\" }"),
        "`client_secret` names more than one place",
        "keep one of env, file, credential, vault, aws",
    );
    refused_in(
        &bench,
        &provider("client_secret = { env = \"S\", «evn = \"S\" }"),
        "unknown key `evn` in `client_secret`",
        "did you mean `env`?",
    );
    bench.write("key.pem", KEY);
    refused_in(
        &bench,
        &provider(
            "client_secret = { env = \"S\" }\n«client_assertion_key = { file = \"key.pem\" }",
        ),
        "[providers.a] has both `client_secret` and `client_assertion_key`",
        "keep the one that the application is set up for",
    );
}

#[test]
fn auth0_has_its_defaults_and_all_its_keys() {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    let read = |keys: &str| loaded(&bench, &format!("client_secret = {{ env = \"S\" }}\n{keys}"));
    let auth0 = |keys: &str| read(keys).of::<Auth0Config>().unwrap().clone();
    let plain = auth0("");
    assert_eq!(plain.base_url.as_str(), "https://a.b/");
    assert_eq!(plain.audience, "https://a.b/api/v2/");
    assert_eq!(plain.tenant.as_str(), "a.b");
    assert_eq!(read("").pace().limit, None);
    assert!((read("").pace().share.get() - 0.5).abs() < 1e-9);

    bench.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    let full = read(
        "base_url = \"http://127.0.0.1:4400\"\naudience = \"https://x.y/api/v2/\"\n\
         rate_limit = { per_second = 2.5, burst = 50 }\nshare = \"100%\"\n\
         http = { ca_file = \"ca.pem\" }\n[http]\nproxy = \"http://proxy:3128\"\n",
    );
    let pace = full.pace();
    let full = full.of::<Auth0Config>().unwrap();
    assert_eq!(full.base_url.as_str(), "http://127.0.0.1:4400/");
    assert_eq!(full.audience, "https://x.y/api/v2/");
    let limit = pace.limit.unwrap();
    assert!((limit.per_second - 2.5).abs() < 1e-9);
    assert_eq!(limit.burst, 50);
    assert!((pace.share.get() - 1.0).abs() < 1e-9);
    assert_eq!(full.http.ca_file, Some(bench.path("ca.pem")));
    assert_eq!(full.http.proxy, proxy("http://proxy:3128"));
    for loopback in ["http://localhost:1", "http://[::1]:1", "http://127.9.9.9"] {
        auth0(&format!("base_url = \"{loopback}\"\n"));
    }
}

#[test]
fn what_is_odd_about_a_secret_is_warned_of_and_never_shown() {
    let bench = Bench::new();
    for (text, odd) in [
        (format!("{CANARY}\n\n"), "ends with more than one line end"),
        (format!("{CANARY}\r\n\r\n"), "ends with more than one line end"),
        (format!("{CANARY} \n"), "ends with white space"),
        (format!("{CANARY}\t"), "ends with white space"),
        (format!(" {CANARY}"), "begins with white space"),
        (format!("\u{feff}{CANARY}\n"), "begins with a byte order mark (U+FEFF)"),
        (format!("{CANARY}\0\n"), "holds a NUL byte"),
        (format!("\"{CANARY}\"\n"), "is in quotes"),
        (format!("'{CANARY}'"), "is in quotes"),
        (format!("CLIENT_SECRET={CANARY}\n"), "begins with NAME="),
        (format!("export SECRET={CANARY}\n"), "begins with NAME="),
        (format!("first\n{CANARY}\n"), "has more than one line"),
        (format!("{CANARY}\u{200b}x"), "holds an invisible character"),
        (format!("{CANARY}\u{1b}x"), "holds a control character"),
    ] {
        bench.write("s.txt", &text);
        let config = bench.load(&provider("client_secret = { file = \"s.txt\" }")).unwrap();
        let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        let wanted = format!("`client_secret`: the secret {odd}");
        assert_eq!(
            told.iter().filter(|line| line.lines().any(|line| line.ends_with(&wanted))).count(),
            1,
            "{told:?}"
        );
        assert!(!told.concat().contains(CANARY), "{told:?}");
        // Only the one line end that every editor adds is dropped.
        let kept = secret(&bench, "client_secret = { file = \"s.txt\" }").unwrap();
        assert!(text.starts_with(&kept) && text.len() <= kept.len() + 2, "{kept:?}");
    }
    bench.write("key.pem", KEY);
    for fine in ["YWJjZA==", "ABCD==", "A=B=", "s'e\"c", "it's", "x=1"] {
        bench.write("s.txt", format!("{fine}\n"));
        let config = bench.load(&provider("client_secret = { file = \"s.txt\" }")).unwrap();
        let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
        assert!(!told.iter().any(|line| line.contains("the secret")), "{fine}: {told:?}");
    }
    let config = bench.load(&provider("client_assertion_key = { file = \"key.pem\" }")).unwrap();
    let told: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(!told.iter().any(|line| line.contains("the secret")), "{told:?}");
}

/// A sink that can keep secrets, and the keys of a provider beside it.
fn beside_sinks(keys: &str) -> String {
    format!(
        "{}[sinks.v]\ntype = \"vault\"\naddress = \"https://v:8200\"\n\
         auth = {{ method = \"token\", token = {{ env = \"T\" }} }}\n\
         [sinks.disk]\ntype = \"file\"\ndirectory = \"out\"\n",
        provider(keys)
    )
}

#[test]
fn a_secret_in_a_sink_is_referred_to_and_not_read() {
    let mut bench = Bench::new();
    bench.env.insert("T".to_owned(), "t".to_owned());
    let keys = "client_secret = { vault = \"secret/scimitar#key\", sink = \"v\" }";
    let config = bench.load(&beside_sinks(keys)).unwrap_or_else(|problems| panic!("{problems}"));
    let stored = config.stored_secrets.into_iter().collect::<Vec<_>>();
    let [one] = stored.as_slice() else { panic!("{stored:?}") };
    assert_eq!((one.sink.as_str(), one.location.as_str()), ("v", "secret/scimitar#key"));
}

#[test]
fn a_reference_to_a_sink_that_keeps_none_is_refused() {
    let mut bench = Bench::new();
    bench.env.insert("T".to_owned(), "t".to_owned());
    for (keys, message, hint) in [
        (
            "client_secret = { vault = \"a/b#c\", sink = «\"zebra\" }",
            "there is no sink `zebra`",
            "the sinks of this configuration are: disk, v",
        ),
        (
            "client_secret = { vault = \"a/b#c\", sink = «\"disk\" }",
            "`vault` cannot be read from the sink `disk`",
            "that type of sink cannot supply secrets",
        ),
        (
            "client_secret = { aws = \"a/b#c\", sink = «\"v\" }",
            "`aws` cannot be read from the sink `v`",
            "write vault = \"…\" for that sink",
        ),
        (
            "client_secret = { vault = «\"a/b\", sink = \"v\" }",
            "`vault`: the location needs the secret's key after a `#`, as in \"…#key\"",
            "write vault = \"secret/scimitar#client_secret\"",
        ),
        (
            "client_secret = «{ vault = \"a/b#c\" }",
            "`sink` is missing in `client_secret`",
            "write sink = \"…\"",
        ),
        (
            "client_secret = «{ vault = \"a/b#c\", sink = \"v\", env = \"T\" }",
            "`client_secret` names more than one place",
            "keep one of env, file, credential, vault, aws",
        ),
        (
            "client_secret = { env = \"T\", sink = «\"v\" }",
            "`sink` has no effect: this secret is not stored in a sink",
            "leave it out",
        ),
    ] {
        refused_in(&bench, &beside_sinks(keys), message, hint);
    }
}

/// A sink is reached by it: it cannot be in a sink.
#[test]
fn a_sinks_own_secret_is_not_in_a_sink() {
    let bench = Bench::new();
    let text = "[sinks.v]\ntype = \"vault\"\naddress = \"https://v:8200\"\n\
                auth = { method = \"token\", token = «{ vault = \"a/b#c\", sink = \"v\" } }\n";
    let (text, ..) = super::support::unmarked(text);
    let problems = bench.problems(&text);
    assert!(problems.iter().any(|problem| problem.contains("does not say where the secret is")));
}
