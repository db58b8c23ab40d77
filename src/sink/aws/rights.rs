//! The least that a role must be allowed, as an IAM policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::settings::{Account, account_in};
use crate::aws_identity::host;
pub use crate::aws_identity::partition;

/// What a policy is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs<'a> {
    /// Where the secrets are, and what is done about those that are not there.
    pub account: &'a Account,
    /// The names of the secrets that are delivered to.
    pub names: BTreeSet<String>,
    /// The names of those that are only watched.
    pub watched: BTreeSet<String>,
    /// Whether tags are written: a secret is made with some, or a `payload` leaves no room for marks.
    pub tags: Tagging,
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
pub fn policy(needs: &Needs<'_>) -> Value {
    let Account { region, create, restore, kms_key_id, .. } = needs.account;
    let mut actions = BTreeSet::from([
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ]);
    if *create {
        actions.insert("secretsmanager:CreateSecret");
    }
    if *restore {
        actions.insert("secretsmanager:RestoreSecret");
    }
    match needs.tags {
        Tagging::Never => {}
        Tagging::AtCreation => {
            if *create {
                actions.insert("secretsmanager:TagResource");
            }
        }
        Tagging::Marks => {
            actions.extend(["secretsmanager:TagResource", "secretsmanager:UntagResource"]);
        }
    }
    let mut statements = Vec::new();
    if !needs.names.is_empty() {
        statements.push(json!({
            "Sid": "Deliver",
            "Effect": "Allow",
            "Action": actions,
            "Resource": needs.arns(&needs.names, region),
        }));
    }
    if !needs.watched.is_empty() {
        statements.push(json!({
            "Sid": "Watch",
            "Effect": "Allow",
            "Action": ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"],
            "Resource": needs.arns(&needs.watched, region),
        }));
    }
    if !needs.replicas.is_empty() {
        let replicas: Vec<String> =
            needs.replicas.iter().flat_map(|region| needs.arns(&needs.names, region)).collect();
        statements.push(json!({
            "Sid": "SeeReplicas",
            "Effect": "Allow",
            "Action": ["secretsmanager:DescribeSecret"],
            "Resource": replicas,
        }));
    }
    if let Some(key) = kms_key_id {
        statements.push(needs.key(key));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

impl Needs<'_> {
    /// The partition, and the account or any.
    fn owner(&self) -> (&'static str, &str) {
        let account = self.account.last_role().and_then(account_in);
        (partition(&self.account.region), account.unwrap_or("*"))
    }

    /// The secrets' ARNs: AWS ends each in a hyphen and six characters of its own.
    pub(super) fn arns(&self, names: &BTreeSet<String>, region: &str) -> Vec<String> {
        let (partition, account) = self.owner();
        let arn = |name| {
            format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}-??????")
        };
        names.iter().map(arn).collect()
    }

    /// The key, through Secrets Manager alone.
    fn key(&self, key: &str) -> Value {
        let ((partition, account), region) = (self.owner(), &self.account.region);
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
        let actions: &[&str] = match self.names.is_empty() {
            true => &["kms:Decrypt"],
            false => &["kms:Decrypt", "kms:GenerateDataKey"],
        };
        json!({
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": actions,
            "Resource": resource,
            "Condition": condition,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/scimitar";

    fn account() -> Account {
        Account {
            expect_role_arn: Some(ROLE.to_owned()),
            create: false,
            ..Account::of_region("eu-central-1")
        }
    }

    fn needs(account: &Account) -> Needs<'_> {
        let names = BTreeSet::from(["scim/initech".to_owned()]);
        Needs {
            account,
            names,
            watched: BTreeSet::new(),
            tags: Tagging::Never,
            replicas: BTreeSet::new(),
        }
    }

    #[test]
    fn what_is_only_watched_is_only_read() {
        let account =
            Account { kms_key_id: Some("0a".to_owned()), create: true, restore: true, ..account() };
        let rotated = needs(&account);
        let names = rotated.names.clone();
        let only = Needs { names: BTreeSet::new(), watched: names, ..needs(&account) };
        let read_only = policy(&Needs { tags: Tagging::Marks, ..only });
        let read = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"];
        assert_eq!(actions(&read_only), read);
        assert_eq!(read_only["Statement"][1]["Action"], json!(["kms:Decrypt"]));
        assert_eq!(read_only["Statement"].as_array().unwrap().len(), 2);
        let both = policy(&Needs { watched: BTreeSet::from(["x".to_owned()]), ..rotated });
        assert_eq!(both["Statement"][1]["Action"], json!(read));
        let resource = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:x-??????";
        assert_eq!(both["Statement"][1]["Resource"], json!([resource]));
        assert!(both["Statement"][2]["Action"].to_string().contains("GenerateDataKey"));
    }

    fn actions(policy: &Value) -> Vec<&str> {
        let actions = policy["Statement"][0]["Action"].as_array().unwrap();
        actions.iter().map(|action| action.as_str().unwrap()).collect()
    }

    #[test]
    fn no_more_is_allowed_than_what_is_asked_for() {
        let plain = account();
        let least = policy(&needs(&plain));
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
        let making = Account { create: true, restore: true, ..account() };
        let more = policy(&Needs { tags: Tagging::Marks, ..needs(&making) });
        for action in ["CreateSecret", "RestoreSecret", "TagResource", "UntagResource"] {
            let action = format!("secretsmanager:{action}");
            assert!(actions(&more).contains(&action.as_str()), "{action}");
        }
        let tagged = policy(&Needs { tags: Tagging::AtCreation, ..needs(&plain) });
        assert_eq!(actions(&tagged), actions(&least), "nothing is made, so nothing is tagged");
    }

    #[test]
    fn a_key_is_used_through_the_service_alone() {
        let key = "arn:aws:kms:eu-central-1:111122223333:key/0a";
        for (said, resource) in
            [(key, key), ("0a", key), ("alias/scim", "arn:aws:kms:eu-central-1:111122223333:key/*")]
        {
            let account = Account { kms_key_id: Some(said.to_owned()), ..account() };
            let policy = policy(&needs(&account));
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
        let account = Account {
            region: "cn-north-1".to_owned(),
            kms_key_id: Some("0a".to_owned()),
            ..account()
        };
        let policy = policy(&needs(&account)).to_string();
        assert!(policy.contains("arn:aws-cn:secretsmanager:cn-north-1:"), "{policy}");
        assert!(policy.contains("secretsmanager.cn-north-1.amazonaws.com.cn"), "{policy}");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
    }

    #[test]
    fn replicas_are_seen_and_not_written() {
        let replicas = BTreeSet::from(["us-east-1".to_owned()]);
        let any = Account { expect_role_arn: None, ..account() };
        let policy = policy(&Needs { replicas, ..needs(&any) });
        let statement = &policy["Statement"][1];
        assert_eq!(statement["Action"], json!(["secretsmanager:DescribeSecret"]));
        assert_eq!(
            statement["Resource"],
            json!(["arn:aws:secretsmanager:us-east-1:*:secret:scim/initech-??????"])
        );
    }
}
