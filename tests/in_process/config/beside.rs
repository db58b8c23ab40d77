//! What a delivery says beside the value: what cannot be meant, and what the service would not take.

use scimitar::sink::{aws::AwsTarget, kubernetes::KubernetesTarget};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused_in};

const SINKS: &str = "[sinks.a]\ntype = \"aws_secrets_manager\"\nregion = \"eu-central-1\"\n\
    [sinks.v]\ntype = \"vault\"\naddress = \"https://vault.example.com\"\n\
    auth = { method = \"kubernetes\", role = \"scimitar\" }\n\
    [sinks.k]\ntype = \"kubernetes\"\nnamespace = \"scim\"\n";

const AWS: &str = "sink = \"a\", name = \"x\", tags";
const VAULT: &str = "sink = \"v\", path = \"secret/x\", custom_metadata";
const KUBERNETES: &str = "sink = \"k\", secret = \"x\", labels";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.env.insert("KUBERNETES_SERVICE_HOST".to_owned(), "10.0.0.1".to_owned());
    bench
}

fn delivering(to: &str, labels: &str, policy: &str) -> String {
    let to = format!("{{ {to} = {{ {labels} }} }}");
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", &to);
    format!("{HEAD}{SINKS}{connection}{LIFETIME}{policy}")
}

#[test]
fn what_no_tag_or_label_can_say_is_refused_in_its_place() {
    let choose = "choose another key";
    let long = format!("k = \"{}\"", "x".repeat(513));
    for (to, labels, message, hint) in [
        (
            AWS,
            "k = «\"{{ token }}\"",
            "`tags`: \"k\": the token's value must not be in metadata, which more people can read than the \
             secret",
            "remove {{ token }}; {{ token_id }} identifies the token",
        ),
        (
            AWS,
            "k = «\"{{ tokn_id }}\"",
            "`tags`: \"k\": there is no \"tokn_id\"; did you mean \"token_id\"?",
            "use one of the known names",
        ),
        (
            VAULT,
            "k = «\"{{ owner }}\"",
            "`custom_metadata`: \"k\": the connection has no owner",
            "write owner = \"identity team\" in the connection or in [defaults]",
        ),
        (
            AWS,
            "«\"scimitar:x\" = \"y\"",
            "`tags`: the key \"scimitar:x\" is reserved for Scimitar",
            choose,
        ),
        (
            AWS,
            "«\"aws:x\" = \"y\"",
            "`tags`: the key \"aws:x\" is reserved for AWS's own tags",
            choose,
        ),
        (
            VAULT,
            "«scimitar_x = \"y\"",
            "`custom_metadata`: the key \"scimitar_x\" is reserved for Scimitar",
            choose,
        ),
        (
            KUBERNETES,
            "«\"app.kubernetes.io/managed-by\" = \"y\"",
            "`labels`: the key \"app.kubernetes.io/managed-by\" is reserved for Scimitar",
            choose,
        ),
        (
            KUBERNETES,
            "k = «\"{{ expires_at }}\"",
            "`labels`: \"k\": the value \"2026-12-22T04:00:00Z\" is not a valid label value: up to 63 letters, \
             digits, - _ and ., a letter or digit at both ends",
            "use {{ expires_on }}, a day such as 2026-12-22, or {{ expires_unix }}, seconds since 1970",
        ),
    ] {
        refused_in(&bench(), &delivering(to, labels, ""), message, hint);
    }
    let problems = bench().problems(&delivering(VAULT, &long, ""));
    assert!(problems.len() == 1 && problems[0].contains("up to 512 bytes"), "{problems:?}");
    let many: Vec<String> = (0..41).map(|n| format!("k{n} = \"x\"")).collect();
    let problems = bench().problems(&delivering(AWS, &many.join(", "), ""));
    assert!(problems.len() == 1 && problems[0].contains("names 41; at most 40 are allowed"));
    // Each service has its own word.
    let problems = bench().problems(&delivering(&AWS.replace("tags", "labels"), "k = \"x\"", ""));
    assert!(problems.len() == 1 && problems[0].contains("unknown key `labels`"), "{problems:?}");
}

/// The names of the configuration itself are tried out as they are.
#[test]
fn a_label_is_tried_out_with_what_is_known() {
    let owner = "owner = \"identity team\"\n";
    let words = "`labels`: \"k\": the value \"identity team\" is not a valid label value: up to 63 letters, \
                 digits, - _ and ., a letter or digit at both ends";
    let hint = "use filters, such as {{ owner | replace(\" \", \"-\") }}";
    refused_in(&bench(), &delivering(KUBERNETES, "k = «\"{{ owner }}\"", owner), words, hint);
    let named = delivering(KUBERNETES, "k = \"{{ connection }}\"", "");
    let problems = bench().problems(&named.replace("name = \"one\"", "name = \"a:b\""));
    let words = "`labels`: \"k\": the value \"a:b\" is not a valid label value";
    assert!(problems.len() == 1 && problems[0].contains(words), "{problems:?}");
    for (to, labels) in [
        (
            KUBERNETES,
            "k = \"{{ owner | replace(' ', '-') }}\", \"example.com/on\" = \"{{ expires_on }}\"",
        ),
        (KUBERNETES, "at = \"{{ expires_unix }}\""),
        (AWS, "k = \"{{ owner }}\", \"expires at\" = \"{{ expires_at }}\""),
        (VAULT, "\"any key\" = \"{{ scopes }}; {{ scim_endpoint }}\""),
    ] {
        let config = bench().load(&delivering(to, labels, owner));
        let config = config.unwrap_or_else(|problems| panic!("{labels}: {problems}"));
        assert_eq!(config.connections[0].terms.owner.as_deref(), Some("identity team"));
        let to = &config.connections[0].deliveries[0].to;
        let tags = to.of_kind::<AwsTarget>().map(|to| !to.tags.is_empty());
        let labels = to.of_kind::<KubernetesTarget>().map(|to| !to.labels.is_empty());
        assert!(tags.unwrap_or(true) && labels.unwrap_or(true));
    }
    let defaults = format!("[defaults]\n{owner}");
    let text =
        delivering(AWS, "k = \"{{ owner }}\"", "").replace("[[conn", &format!("{defaults}[[conn"));
    let config = bench().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.connections[0].terms.owner.as_deref(), Some("identity team"));
}

/// What a connection is called at its provider is nobody's choice here: it keeps no token back.
#[test]
fn a_rule_is_tried_out_without_the_names_that_it_finds() {
    let to = format!(
        "{{ {} = {{ k = \"{{{{ connection }}}}\" }} }}",
        KUBERNETES.replace("\"x\"", "\"{{ connection.name }}\"")
    );
    let rule = format!(
        "{HEAD}{SINKS}[[discover]]\nprovider = \"box\"\ntoken_lifetime = \"30d\"\ndeliver_to = [{to}]\n"
    );
    assert_eq!(bench().problems(&rule), [""; 0]);
    let problems = bench().problems(&rule.replace("{{ connection }}", "{{ expires_at }}"));
    assert!(problems.len() == 1 && problems[0].contains("{{ expires_on }}"), "{problems:?}");
}
