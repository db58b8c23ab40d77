//! Secrets in Azure Key Vault: the vault, the log-in, the names.

use std::any::Any;

use scimitar::sink::azure::{AzureConfig, AzureTarget};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused};

const TO: &str = "{ sink = \"a\", secret_name = \"scim-initech\" }";
const VAULT: &str = "vault = \"https://acme-scim.vault.azure.cn\"\n";
const MANAGED: &str = "auth = { method = \"managed_identity\" }\n";

fn delivering(sink: &str, to: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", to);
    format!("{HEAD}[sinks.a]\ntype = \"azure_key_vault\"\n{sink}{connection}{LIFETIME}")
}

#[test]
fn a_vault_and_a_secret_at_azure_are_read() {
    let to = TO.replace("initech\"", "initech\", format = \"raw\", overwrite = true");
    let config = Bench::new().load(&delivering(&format!("{VAULT}{MANAGED}"), &to));
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    let sink = config.sinks.iter().find(|(name, _)| name.as_str() == "a").unwrap().1;
    let sink: &dyn Any = &**sink;
    let azure = sink.downcast_ref::<AzureConfig>().unwrap();
    assert_eq!(azure.vault.host_str(), Some("acme-scim.vault.azure.cn"));
    let target: &AzureTarget = config.connections[0].deliveries[0].to.of_kind().unwrap();
    assert!(target.raw && target.overwrite);
}

#[test]
fn what_key_vault_does_not_take_is_refused() {
    refused(
        &delivering(
            &format!("{VAULT}{MANAGED}"),
            "{ sink = \"a\", secret_name = «\"scim_initech\" }",
        ),
        "`secret_name` must have 1 to 127 letters, digits and -",
        "write a name such as \"scim-initech\"",
    );
    refused(
        &delivering(&format!("vault = «\"https://a.vault.azure.net/secrets\"\n{MANAGED}"), TO),
        "`vault` must not hold a path",
        "write vault = \"https://acme-scim.vault.azure.net\"",
    );
    let problems = |sink: &str, to: &str| Bench::new().problems(&delivering(sink, to));
    let unknown = format!("vault = \"https://kv.example.com\"\n{MANAGED}");
    let found = problems(&unknown, TO);
    assert!(found.len() == 1 && found[0].contains("belongs to no known cloud"), "{found:?}");
    assert_eq!(
        problems(&format!("{unknown}authority = \"https://login.example.com\"\n"), TO),
        [""; 0]
    );
    // Its names are the same in any case.
    let twice = format!("{TO}, {}", TO.replace("scim-initech", "SCIM-initech"));
    let found = problems(&format!("{VAULT}{MANAGED}"), &twice);
    assert!(found.len() == 1 && found[0].contains("two deliveries go to one place"), "{found:?}");
}

/// What is not written, the pod is told; outside one it is missing.
#[test]
fn a_workload_identity_needs_its_pod_or_all_keys() {
    let sink = format!("{VAULT}auth = {{ method = \"workload_identity\", tenant = \"t\" }}\n");
    let mut bench = Bench::new();
    let problems = bench.problems(&delivering(&sink, TO));
    assert!(problems.len() == 1 && problems[0].contains("AZURE_CLIENT_ID"), "{problems:?}");
    for (name, value) in [("AZURE_CLIENT_ID", "c"), ("AZURE_FEDERATED_TOKEN_FILE", "/run/token")] {
        bench.env.insert(name.to_owned(), value.to_owned());
    }
    assert_eq!(bench.problems(&delivering(&sink, TO)), [""; 0]);
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let bench = Bench::new();
    bench.write("a.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let auth = "auth = { method = \"certificate\", tenant = \"t\", client_id = \"c\", \
                certificate = { file = \"a.pem\" } }\n";
    let problems = bench.problems(&delivering(&format!("{VAULT}{auth}"), TO));
    assert!(problems.len() == 1 && problems[0].contains("no private key"), "{problems:?}");
}
