//! The example that is shipped, and what happens to it in unsteady hands.

use std::path::Path;

use scimitar::{
    config::load,
    provider::sandbox::SandboxConfig,
    sink::{KINDS, Kind},
};

use super::support::{Bench, KUBECONFIG};

/// Credentials as Google writes them, of the kind that holds no secret.
const GOOGLE: &str = r#"{"type":"external_account","audience":"//iam.googleapis.com/x",
    "subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
    "token_url":"https://sts.googleapis.com/v1/token","credential_source":{"file":"/run/token"}}"#;

fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml"))
        .unwrap()
}

/// Every key that the configuration has, in the spelling of the file.
pub(crate) const KEYS: &str = "include state url server listen control socket log format audit engine max_parallel survey_interval \
    request_timeout http ca_file proxy metrics textfile instance_name per_connection_limit defaults providers type data_dir face \
    rate_limit per_second burst share domain base_url client_id client_secret vault aws \
    client_assertion_key audience host account_id token scheme tenant media_type scim_endpoint cap \
    shortest_life longest_life life_step always_expires header user password token_url scope list query success \
    items paging by next parameter first total only at is body item value delete tokens id created expires \
    last_used times env file credential sinks directory connections name provider \
    connection_id scim_configuration ensure user_id_attribute \
     mapping auth0 scim scopes token_lifetime rotate_before max_age schedule timezone jitter window freeze overlap \
    revoke_after_use revoke_when_idle revoke_at_latest verify mode unmanaged on_drift notify_before deliver_to \
    sink owner group shared payload labels custom_metadata address namespace auth method role_id secret_id wrapped single_use role \
    jwt header_value sts_region sts_endpoint token tls client_cert client_key path mount region endpoint_url sts_endpoint_url \
    kubeconfig context command target tier parameter assume_role_arn external_id session_tags expect_role_arn create kms_key_id tags restore \
    description overwrite project location credentials alias client link field bearer note cloud graph_url authority \
    service_principal job template append certificate token_file secret_name org_url api_token private_key key_id app_id hooks on exec webhook url secret headers content_type secrets timeout discover strategy watch expires_at";

#[test]
fn the_example_is_fine_as_it_stands() {
    let bench = Bench::new();
    let config = bench.load(&example()).unwrap_or_else(|problems| panic!("{problems}"));
    let others: Vec<_> = config
        .warnings
        .iter()
        .map(|warning| bench.line(warning))
        .filter(|line| !line.contains(" lies on "))
        .collect();
    assert_eq!(others, [""; 0]);
    assert_eq!(config.state.file(), Some(&*bench.path("example-data/ledger.db")));
    assert_eq!(config.connections.len(), 1);
    let connection = &config.connections[0];
    assert_eq!(connection.terms.retire.overlap.as_secs(), 60);
    let sandbox = config.providers[&connection.provider].of::<SandboxConfig>().unwrap();
    assert_eq!(sandbox.data_dir, Some(bench.path("example-data/sandbox")));
}

#[test]
fn the_example_shows_every_key() {
    let text = example();
    let words: Vec<_> = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let missing: Vec<_> = KEYS.split_whitespace().filter(|key| !words.contains(key)).collect();
    assert_eq!(missing, [""; 0]);
}

/// What the example shows commented out is right as well: it is loaded with those lines live.
#[test]
fn the_examples_comments_are_true() {
    let bench = Bench::new();
    bench.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    bench.write("c/auth0-acme", "s");
    bench.write("c/ledger-password", "s");
    bench.write("c/vault-secret-id", "s");
    bench.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    bench.write("c/dbt-warehouse", "s");
    bench.write("c/kubeconfig", KUBECONFIG);
    bench.write("c/issuer", "s");
    bench.write("c/webhook-secret", format!("whsec_{}", "AAAA".repeat(8)));
    bench.write("c/chat-url", "https://chat.example.com/in?key=k");
    bench.write("c/chat-key", "Bearer k");
    bench.program("after-rotation", 0o755);
    let mut env = bench.env.clone();
    let folder = bench.path("c").display().to_string();
    env.insert("CREDENTIALS_DIRECTORY".to_owned(), folder);
    bench.write("c/google", GOOGLE);
    // What this build does not have is right in the one that has it.
    let absent: Vec<&Kind> = KINDS.into_iter().filter(|kind| kind.absent.is_some()).collect();
    let is_absent = |text: &str| {
        absent.iter().any(|kind| {
            text.contains(&format!("type = \"{}\"", kind.name))
                || text.contains("{ sink") && text.contains(&format!(" {} = ", kind.location))
        })
    };
    let built: Vec<String> = example()
        .split("\n\n")
        .filter(|paragraph| !paragraph.starts_with("# Secrets in") || !is_absent(paragraph))
        .map(str::to_owned)
        .collect();
    let live: String = built
        .join("\n\n")
        .lines()
        .filter(|line| !is_absent(line))
        .map(|line| {
            let text = line.trim_start();
            let code = text.strip_prefix("# ").filter(|code| {
                let key = code.split([' ', '.']).next().unwrap_or_default();
                let word = key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                (word && code.contains(" = ") && code.split(' ').nth(1) == Some("="))
                    || code.starts_with("{ sink")
                    || code.starts_with("[providers.")
                    || code.starts_with("[server]")
                    || code.starts_with("[control]")
                    || code.starts_with("[[hooks]]")
                    || code.starts_with("[connections.scim_configuration]")
                    || code.starts_with("[[discover]]")
                    || code.starts_with("[[watch]]")
                    || code.starts_with("[sinks.vault]")
                    || code.starts_with("[sinks.aws]")
                    || code.starts_with("[sinks.kubernetes]")
                    || code.starts_with("[sinks.push]")
                    || code.starts_with("[sinks.parameters]")
                    || code.starts_with("[sinks.google]")
                    || code.starts_with("[sinks.entra]")
                    || code.starts_with("[sinks.okta]")
                    || code.starts_with("[sinks.people]")
                    || code.starts_with("[sinks.azure]")
            });
            // Either this or the client secret.
            let code = code.filter(|code| !code.starts_with("client_assertion_key"));
            format!("{}\n", code.unwrap_or(line))
        })
        .collect();
    let live = live
        .replace("/etc/ssl/corp.pem", "ca.pem")
        // A file asks for no password.
        .replace("sqlite://example-data/ledger.db", "postgres://scimitar@db.example.com/scimitar")
        .replace("/usr/local/bin/after-rotation", "after-rotation")
        .replace("/etc/scimitar/vault.pem", "ca.pem")
        .replace("/etc/scimitar/vault-key.pem", "key.pem")
        // The two that contradict the minute of overlap being enough: none; but a share twice.
        .replace("\"…\"", "\"client\"")
        // With a hand-off, no token goes by time alone.
        .replace("\nrevoke_after_use = false", "\nrevoke_after_use = true");
    for key in [
        "\naudit",
        "\nmax_age",
        "\nschedule",
        "\nrevoke_at_latest",
        "\nproxy",
        "\n[providers.acme]",
        "\n[providers.warehouse]",
    ] {
        assert!(live.contains(key), "{key}\n{live}");
    }
    let path = bench.write("scimitar.toml", &live);
    let config = load(&path, &env).unwrap_or_else(|problems| panic!("{problems}\n{live}"));
    assert_eq!(config.providers.len(), 4);
    assert_eq!(config.connections[0].deliveries.len(), 12 - absent.len());
    assert_eq!(config.sinks.len(), 11 - absent.len());
    assert_eq!(config.server.map(|server| server.listen.port()), Some(9469));
    assert_eq!(config.hooks.len(), 3);
    assert_eq!(config.watches.len(), 1);
    super::schema::assert_fits(&live);
}

#[test]
fn many_mistakes_are_reported_at_once_in_order() {
    let text = example()
        .replace("max_parallel = 16", "max_parallel = \"many\"")
        .replace("type = \"file\"", "type = \"flie\"")
        .replace("provider = \"sandbox\"", "provider = \"sandbxo\"")
        .replace("overlap = \"1m\"", "overlap = 60")
        .replace("mode = \"rotate\"", "moed = \"rotate\"");
    let problems = Bench::new().load(&text).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.line.unwrap()).collect();
    let words: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(
        words,
        [
            "`max_parallel` must be a whole number, not a string",
            "there is no sink of type \"flie\"",
            "there is no provider `sandbxo`",
            "`overlap` must be a duration such as \"24h\", not an integer",
            "unknown key `moed` in [[connections]]",
        ]
    );
    assert!(lines.is_sorted(), "{lines:?}");
}

/// Cut off, and changed, at every byte: an answer each time, never a panic.
#[test]
fn no_damage_to_the_example_is_a_panic() {
    // Comments are of no interest to the reader, and most of the text.
    let code: String = example()
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let bench = Bench::new();
    let path = bench.path("scimitar.toml");
    let mut refused = 0_usize;
    let mut tried = 0_usize;
    for at in 0..code.len() {
        let bytes = code.as_bytes();
        let mut damaged = vec![bytes[..at].to_vec()];
        // Each byte meets some of these, and each of these many bytes.
        let damage = b"\"'[]{}=.#\n0a-%\xff\0";
        for step in 0..4 {
            let mut changed = bytes.to_vec();
            changed[at] = damage[(at + 4 * step + at / 16) % damage.len()];
            damaged.push(changed);
        }
        let mut without = bytes.to_vec();
        without.remove(at);
        damaged.push(without);
        for text in damaged {
            // A file that is made anew is not flushed to the disk, as one cut short would be.
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, text).unwrap();
            tried += 1;
            if let Err(problems) = load(&path, &bench.env) {
                refused += 1;
                assert!(problems.iter().len() > 0);
                assert!(!problems.to_string().is_empty());
            }
        }
    }
    assert!(refused > tried / 2, "{refused} of {tried}");
}
