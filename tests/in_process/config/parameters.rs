//! Parameters of AWS Systems Manager: the account, the tier, the names.

use std::any::Any;

use scimitar::sink::ssm::{SsmConfig, SsmTarget, Tier};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused};

fn delivering(sink: &str, to: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", to);
    format!(
        "{HEAD}[sinks.p]\ntype = \"aws_ssm\"\nregion = \"eu-central-1\"\n{sink}{connection}{LIFETIME}"
    )
}

const TO: &str = "{ sink = \"p\", parameter = \"/scim/initech\" }";

#[test]
fn an_account_and_a_tier_of_parameters_are_read() {
    let sink = "tier = \"intelligent-tiering\"\ncreate = false\nkms_key_id = \"alias/scim\"\n";
    let to = TO
        .replace("initech\"", "initech\", format = \"raw\", description = \"x\", overwrite = true");
    let bench = Bench::new();
    let config = bench.load(&delivering(sink, &to)).unwrap_or_else(|problems| panic!("{problems}"));
    let sink = config.sinks.iter().find(|(name, _)| name.as_str() == "p").unwrap().1;
    let sink: &dyn Any = &**sink;
    let ssm = sink.downcast_ref::<SsmConfig>().unwrap();
    assert_eq!(ssm.tier, Some(Tier::IntelligentTiering));
    assert!(!ssm.aws.account.create && ssm.aws.account.kms_key_id.as_deref() == Some("alias/scim"));
    let target: &SsmTarget = config.connections[0].deliveries[0].to.of_kind().unwrap();
    assert!(target.raw && target.overwrite && target.description.is_some());
    assert_eq!(target.parameter, "/scim/initech");
}

#[test]
fn what_the_parameter_store_does_not_take_is_refused() {
    let name = "write a name such as \"/scim/initech\"";
    for (given, message) in [
        ("scim/initech", "`parameter` is a path and must begin with /, as in /scim/initech"),
        ("/aws/x", "`parameter` begins with \"aws\" or \"ssm\", which AWS reserves"),
        ("/a b", "`parameter` may hold letters, digits and / _ . - only"),
    ] {
        let to = format!("{{ sink = \"p\", parameter = «\"{given}\" }}");
        refused(&delivering("", &to), message, name);
    }
    refused(
        &delivering("tier = «\"gold\"\n", TO),
        "`tier` cannot be \"gold\"",
        "it is one of \"standard\", \"advanced\", \"intelligent-tiering\"",
    );
    // A parameter that was deleted is gone.
    let problems = Bench::new().problems(&delivering("restore = true\n", TO));
    assert!(problems.len() == 1 && problems[0].contains("unknown key `restore`"), "{problems:?}");
    let twice = format!("{TO}, {TO}");
    let problems = Bench::new().problems(&delivering("", &twice));
    assert!(
        problems.len() == 1 && problems[0].contains("two deliveries go to one place"),
        "{problems:?}"
    );
}
