//! The least that a role must be allowed, as an IAM policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::aws_identity::host;
pub use crate::aws_identity::partition;

/// What a policy is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The partition, such as `aws`.
    pub partition: String,
    /// The account; `None`: whichever the role is in.
    pub account: Option<String>,
    /// The region.
    pub region: String,
    /// The secrets' names.
    pub names: BTreeSet<String>,
    /// Whether a secret that is not there is made (`create`).
    pub create: bool,
    /// Whether one that is scheduled for deletion is restored (`restore`).
    pub restore: bool,
    /// Whether tags are written: a secret is made with some, or a `payload` leaves no room for marks.
    pub tags: Tagging,
    /// The key, where it is not `aws/secretsmanager`: its ARN, its id, or its alias.
    pub kms_key_id: Option<String>,
    /// The regions that secrets are replicated to.
    pub replicas: BTreeSet<String>,
}

/// Which tags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagging {
    /// None.
    Never,
    /// When a secret is made.
    AtCreation,
    /// The marks of each token.
    Marks,
}

/// The policy that allows just this.
#[must_use]
pub fn policy(needs: &Needs) -> Value {
    let mut actions = BTreeSet::from([
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ]);
    if needs.create {
        actions.insert("secretsmanager:CreateSecret");
    }
    if needs.restore {
        actions.insert("secretsmanager:RestoreSecret");
    }
    match needs.tags {
        Tagging::Never => {}
        Tagging::AtCreation => {
            if needs.create {
                actions.insert("secretsmanager:TagResource");
            }
        }
        Tagging::Marks => {
            actions.extend(["secretsmanager:TagResource", "secretsmanager:UntagResource"]);
        }
    }
    let mut statements = vec![json!({
        "Sid": "Deliver",
        "Effect": "Allow",
        "Action": actions,
        "Resource": needs.secrets(&needs.region),
    })];
    if !needs.replicas.is_empty() {
        let replicas: Vec<String> =
            needs.replicas.iter().flat_map(|region| needs.secrets(region)).collect();
        statements.push(json!({
            "Sid": "SeeReplicas",
            "Effect": "Allow",
            "Action": ["secretsmanager:DescribeSecret"],
            "Resource": replicas,
        }));
    }
    if let Some(key) = &needs.kms_key_id {
        statements.push(needs.key(key));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

impl Needs {
    /// The secrets' ARNs: AWS ends each in a hyphen and six characters of its own.
    fn secrets(&self, region: &str) -> Vec<String> {
        let Self { partition, .. } = self;
        let account = self.account.as_deref().unwrap_or("*");
        let arn = |name| {
            format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-??????")
        };
        self.names.iter().map(arn).collect()
    }

    /// The key, through Secrets Manager alone.
    fn key(&self, key: &str) -> Value {
        let account = self.account.as_deref().unwrap_or("*");
        let Self { partition, region, .. } = self;
        let of_region = format!("arn:{partition}:kms:{region}:{account}");
        let mut condition = json!({
            "StringEquals": { "kms:ViaService": host("secretsmanager", region) },
        });
        let resource = if key.starts_with("arn:") && key.contains(":key/") {
            key.to_owned()
        } else if let Some(alias) = key.rsplit_once("alias/").map(|(_, alias)| alias) {
            // A policy names keys, and an alias only as a condition.
            condition["ForAnyValue:StringEquals"] =
                json!({ "kms:ResourceAliases": format!("alias/{alias}") });
            format!("{of_region}:key/*")
        } else {
            format!("{of_region}:key/{key}")
        };
        json!({
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": resource,
            "Condition": condition,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        Needs {
            partition: "aws".to_owned(),
            account: Some("111122223333".to_owned()),
            region: "eu-central-1".to_owned(),
            names: BTreeSet::from(["scim/initech".to_owned()]),
            create: false,
            restore: false,
            tags: Tagging::Never,
            kms_key_id: None,
            replicas: BTreeSet::new(),
        }
    }

    fn actions(policy: &Value) -> Vec<&str> {
        let actions = policy["Statement"][0]["Action"].as_array().unwrap();
        actions.iter().map(|action| action.as_str().unwrap()).collect()
    }

    #[test]
    fn no_more_is_allowed_than_what_is_asked_for() {
        let least = policy(&needs());
        assert_eq!(
            least,
            json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Sid": "Deliver",
                    "Effect": "Allow",
                    "Action": [
                        "secretsmanager:DescribeSecret",
                        "secretsmanager:GetSecretValue",
                        "secretsmanager:PutSecretValue",
                        "secretsmanager:UpdateSecretVersionStage",
                    ],
                    "Resource":
                        ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:scim/initech-??????"],
                }],
            })
        );
        let more = policy(&Needs { create: true, restore: true, tags: Tagging::Marks, ..needs() });
        for action in ["CreateSecret", "RestoreSecret", "TagResource", "UntagResource"] {
            let action = format!("secretsmanager:{action}");
            assert!(actions(&more).contains(&action.as_str()), "{action}");
        }
        let tagged = policy(&Needs { tags: Tagging::AtCreation, ..needs() });
        assert_eq!(actions(&tagged), actions(&least), "nothing is made, so nothing is tagged");
    }

    #[test]
    fn a_key_is_used_through_the_service_alone() {
        let key = "arn:aws:kms:eu-central-1:111122223333:key/0a";
        for (said, resource) in
            [(key, key), ("0a", key), ("alias/scim", "arn:aws:kms:eu-central-1:111122223333:key/*")]
        {
            let policy = policy(&Needs { kms_key_id: Some(said.to_owned()), ..needs() });
            let statement = &policy["Statement"][1];
            assert_eq!(statement["Resource"], resource);
            let condition = &statement["Condition"];
            assert_eq!(
                condition["StringEquals"]["kms:ViaService"],
                "secretsmanager.eu-central-1.amazonaws.com"
            );
            let aliased = !condition["ForAnyValue:StringEquals"].is_null();
            assert_eq!(aliased, said.starts_with("alias/"));
        }
    }

    #[test]
    fn a_partition_has_its_own_names() {
        let needs = Needs {
            partition: partition("cn-north-1").to_owned(),
            region: "cn-north-1".to_owned(),
            kms_key_id: Some("0a".to_owned()),
            ..needs()
        };
        let policy = policy(&needs).to_string();
        assert!(policy.contains("arn:aws-cn:secretsmanager:cn-north-1:"), "{policy}");
        assert!(policy.contains("secretsmanager.cn-north-1.amazonaws.com.cn"), "{policy}");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
    }

    #[test]
    fn replicas_are_seen_and_not_written() {
        let replicas = BTreeSet::from(["us-east-1".to_owned()]);
        let policy = policy(&Needs { replicas, account: None, ..needs() });
        let statement = &policy["Statement"][1];
        assert_eq!(statement["Action"], json!(["secretsmanager:DescribeSecret"]));
        assert_eq!(
            statement["Resource"],
            json!(["arn:aws:secretsmanager:us-east-1:*:secret:scim/initech-??????"])
        );
    }
}
