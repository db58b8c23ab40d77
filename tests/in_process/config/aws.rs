//! AWS sinks: the account, the roles, the names.

use std::{any::Any, collections::BTreeMap};

use scimitar::{
    config::Config,
    sink::aws::{AwsConfig, AwsTarget},
};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, proxy, refused_in};

const ROLE: &str = "arn:aws:iam::123456789012:role/team/scimitar";

fn aws(keys: &str) -> String {
    format!("[sinks.a]\ntype = \"aws_secrets_manager\"\n{keys}")
}

fn at(keys: &str) -> String {
    aws(&format!("region = \"eu-central-1\"\n{keys}"))
}

fn read(bench: &Bench, text: &str) -> AwsConfig {
    let config = bench.load(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let sink: &dyn Any = &**config.sinks.values().next().unwrap();
    sink.downcast_ref::<AwsConfig>().unwrap().clone()
}

fn first(config: &Config) -> &AwsTarget {
    config.connections[0].deliveries[0].to.of_kind().unwrap()
}

fn refused(marked: &str, message: &str, hint: &str) {
    refused_in(&Bench::new(), marked, message, hint);
}

#[test]
fn a_region_is_enough_and_every_key_is_read() {
    let bench = Bench::new();
    bench.write("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
    let least = read(&bench, &at(""));
    assert_eq!(least.account.region, "eu-central-1");
    assert!(least.account.create && !least.account.restore);
    assert_eq!((&least.endpoint_url, &least.account.role), (&None, &None));
    let all = read(
        &bench,
        &at(&format!(
            "endpoint_url = \"http://127.0.0.1:15000\"\n\
             sts_endpoint_url = \"https://sts.example.com\"\nassume_role_arn = \"{ROLE}\"\n\
             external_id = \"a/b:1\"\nsession_tags = {{ team = \"identity\", empty = \"\" }}\n\
             expect_role_arn = \"{ROLE}\"\nkms_key_id = \"alias/scim\"\n\
             tags = {{ \"cost:center\" = \"12 34\" }}\ncreate = false\nrestore = true\n\
             http = {{ ca_file = \"cert.pem\", proxy = \"http://proxy:3128\" }}\n"
        )),
    );
    assert_eq!(all.endpoint_url.unwrap().as_str(), "http://127.0.0.1:15000/");
    assert_eq!(all.sts_endpoint_url.unwrap().as_str(), "https://sts.example.com/");
    let role = all.account.role.unwrap();
    assert_eq!((role.arn.as_str(), role.external_id.as_deref()), (ROLE, Some("a/b:1")));
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let session = BTreeMap::from([pair("team", "identity"), pair("empty", "")]);
    assert_eq!(role.session_tags, session);
    assert_eq!(all.account.expect_role_arn.as_deref(), Some(ROLE));
    assert_eq!(all.account.kms_key_id.as_deref(), Some("alias/scim"));
    assert_eq!(all.account.tags, BTreeMap::from([pair("cost:center", "12 34")]));
    assert!(!all.account.create && all.account.restore);
    assert_eq!(all.http.ca_file, Some(bench.path("cert.pem")));
    assert_eq!(all.http.proxy, proxy("http://proxy:3128"));
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let problems = Bench::new().problems(&aws(
        "regoin = \"eu-central-1\"\nexternal_id = \"x1\"\nsecret_access_key = \"canary\"\n",
    ));
    assert_eq!(
        problems,
        [
            "scimitar.toml:1:1: `region` is missing in [sinks.a] | write region = \"eu-central-1\"",
            "scimitar.toml:3:1: unknown key `regoin` in [sinks.a] | did you mean `region`?",
            "scimitar.toml:4:1: `external_id` belongs to a role, and no role is set | write \
             assume_role_arn = \"arn:aws:iam::123456789012:role/scimitar\" beside it",
            "scimitar.toml:5:1: `secret_access_key` is not a key of [sinks.a] | remove it: Scimitar uses \
             the credentials that AWS's own tools find (AWS_ACCESS_KEY_ID, AWS_PROFILE, a web \
             identity, a container's or an instance's role); assume_role_arn = \"…\" assumes another \
             role",
        ]
    );
}

#[test]
fn regions_endpoints_and_roles_are_what_they_should_be() {
    for region in ["Frankfurt", "eu-central", "eu_central_1", "EU-CENTRAL-1"] {
        refused(
            &aws(&format!("region = «\"{region}\"\n")),
            &format!("`region` cannot be \"{region}\""),
            "write the region's code, such as region = \"eu-central-1\"",
        );
    }
    for (url, words) in [
        ("http://aws.example.com", "is http:// to another machine: tokens would be readable"),
        ("ftp://127.0.0.1", "is neither https:// nor http:// to loopback"),
        ("https://aws.example.com/x", "must not hold a path"),
    ] {
        for key in ["endpoint_url", "sts_endpoint_url"] {
            refused(
                &at(&format!("{key} = «\"{url}\"\n")),
                &format!("`{key}` {words}"),
                "name only the endpoint, such as that of a VPC; leave it out to use the region's own",
            );
        }
    }
    for arn in ["scimitar", "arn:aws:iam::1234:role/x", "arn:aws:iam::123456789012:user/x"] {
        refused(
            &at(&format!("assume_role_arn = «\"{arn}\"\n")),
            "`assume_role_arn` is not the ARN of a role",
            "write assume_role_arn = \"arn:aws:iam::123456789012:role/scimitar\"",
        );
    }
    refused(
        &at("expect_role_arn = «\"arn:aws:sts::123456789012:assumed-role/x/y\"\n"),
        "`expect_role_arn` is not the ARN of a role",
        "this is a session's ARN; write its role's, such as \
         \"arn:aws:iam::123456789012:role/scimitar\"",
    );
}

#[test]
fn tags_are_ones_that_aws_takes() {
    const HOW: &str = "write tags as { team = \"identity\" }: keys of 1 to 128 and values of up to \
                       256 letters, digits, spaces and _ . : / = + - @";
    refused(&at("tags = { «\"a?\" = \"x\" }\n"), "`a?` is not a valid tag key", HOW);
    refused(&at("tags = { a = «\"x;\" }\n"), "`a` is not a valid tag value", HOW);
    for (key, whose) in [("aws:x", "AWS's own"), ("scimitar:x", "scimitar's own")] {
        refused(
            &at(&format!("tags = {{ «\"{key}\" = \"x\" }}\n")),
            &format!("`{key}` is reserved for {whose} tags"),
            "give the tag another key",
        );
    }
    let many: Vec<String> = (0..41).map(|n| format!("t{n} = \"x\"")).collect();
    refused(
        &at(&format!("tags = «{{ {} }}\n", many.join(", "))),
        "`tags` has 41 tags; at most 40 are allowed",
        "remove some of them",
    );
}

/// AWS takes them; what it warns of concerns those who look for secrets by a part of their ARN.
#[test]
fn a_name_may_end_as_an_arn_does() {
    for name in ["acme-secret", "acme-config", "initech-tokens", "scim-a1B2c3"] {
        let text = delivering(&format!("{{ sink = \"a\", name = \"{name}\" }}"));
        let config = Bench::new().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let to = first(&config);
        assert_eq!(to.name, name);
    }
}

#[test]
fn a_delivery_has_a_format_and_overwrites_only_when_told() {
    let read = |more: &str| {
        let text = delivering(&format!("{{ sink = \"a\", name = \"x\"{more} }}"));
        let config = Bench::new().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let to = first(&config);
        (to.raw, to.overwrite)
    };
    assert_eq!(read(""), (false, false));
    assert_eq!(read(", format = \"json\", overwrite = false"), (false, false));
    assert_eq!(read(", format = \"raw\", overwrite = true"), (true, true));
    refused(
        &delivering("{ sink = \"a\", name = \"x\", format = «\"env\" }"),
        "`format` cannot be \"env\"",
        "it is one of \"json\", \"raw\"",
    );
    refused(
        &delivering(
            "{ sink = \"a\", name = \"x\", format = \"raw\", «payload = { T = \"{{ token }}\" } }",
        ),
        "`payload` needs keys, and `format = \"raw\"` has none",
        "remove one of the two",
    );
}

fn delivering(entry: &str) -> String {
    let role = "assume_role_arn = \"arn:aws:iam::123456789012:role/x\"\n";
    format!("{HEAD}{CONNECTION}{LIFETIME}{}", at(role))
        .replace("{ sink = \"disk\", file = \"one.token\" }", entry)
}

#[test]
fn deliveries_have_a_name_and_two_at_one_place_are_refused() {
    let bench = Bench::new();
    let text = delivering(
        "{ sink = \"a\", name = \"scim/initech\", description = \"of initech\", \
         payload = { T = \"{{ token }}\" } }",
    );
    let config = bench.load(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let to = first(&config);
    assert_eq!(to.name, "scim/initech");
    assert_eq!(to.description.as_deref(), Some("of initech"));
    assert_eq!(to.payload.as_ref().unwrap().source()["T"], "{{ token }}");
    for (name, words) in [
        ("a b", "may hold letters, digits and / _ + = . @ - only"),
        (
            "arn:aws:secretsmanager:x",
            "is an ARN; write the secret's name (the account is that of the credentials)",
        ),
    ] {
        refused(
            &delivering(&format!("{{ sink = \"a\", name = «\"{name}\" }}")),
            &format!("`name` {words}"),
            "write a name such as \"scim/initech\"",
        );
    }
    refused(
        &delivering("«{ sink = \"a\" }"),
        "`name` is missing in `deliver_to`",
        "write name = \"scim/initech\"",
    );
    let twice = delivering("{ sink = \"a\", name = \"x\" }, { sink = \"b\", name = \"x\" }");
    let other = at("assume_role_arn = \"arn:aws:iam::123456789012:role/y\"\n");
    let problems = bench.problems(&format!("{twice}{}", other.replace("sinks.a", "sinks.b")));
    assert!(
        problems.iter().any(|line| line.contains("123456789012/eu-central-1/x")),
        "{problems:?}"
    );
    // Another account or region is another place.
    for other in [
        at("expect_role_arn = \"arn:aws:iam::999999999999:role/y\"\n"),
        aws("region = \"us-east-1\"\nexpect_role_arn = \"arn:aws:iam::123456789012:role/y\"\n"),
    ] {
        let text = format!("{twice}{}", other.replace("sinks.a", "sinks.b"));
        bench.load(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    }
}
