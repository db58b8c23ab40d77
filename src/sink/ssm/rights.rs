//! The least that a role must be allowed, as an IAM policy.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{
    aws_identity::{host, partition},
    sink::aws::{Account, account_in},
};

/// What a policy is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs<'a> {
    /// Where the parameters are.
    pub account: &'a Account,
    /// The names of those that are delivered to.
    pub names: BTreeSet<String>,
    /// The names of those that are only watched.
    pub watched: BTreeSet<String>,
    /// Whether marks are in tags.
    pub marks: bool,
    /// Whether deliveries put tags there.
    pub tags: bool,
}

/// The policy that allows just this.
#[must_use]
pub fn policy(needs: &Needs<'_>) -> Value {
    let account = needs.account;
    let mut actions = BTreeSet::from(["ssm:GetParameter", "ssm:PutParameter"]);
    if needs.marks {
        actions.extend([
            "ssm:AddTagsToResource",
            "ssm:ListTagsForResource",
            "ssm:RemoveTagsFromResource",
        ]);
    } else if needs.tags {
        actions.extend(["ssm:AddTagsToResource", "ssm:RemoveTagsFromResource"]);
    } else if account.create && !account.tags.is_empty() {
        actions.insert("ssm:AddTagsToResource");
    }
    let (region, own) = (&account.region, account.last_role().and_then(account_in).unwrap_or("*"));
    let partition = partition(region);
    let arn = |name: &String| {
        // The slash in front of a path is the one behind the resource's type.
        let path = name.strip_prefix('/').unwrap_or(name);
        format!("arn:{partition}:ssm:{region}:{own}:parameter/{path}")
    };
    let statement = |sid: &str, actions: BTreeSet<&str>, names: &BTreeSet<String>| {
        let resources: Vec<String> = names.iter().map(arn).collect();
        json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources })
    };
    let mut statements = Vec::new();
    if !needs.names.is_empty() {
        statements.push(statement("Deliver", actions, &needs.names));
    }
    if !needs.watched.is_empty() {
        let mut actions = BTreeSet::from(["ssm:GetParameter"]);
        actions.extend(needs.marks.then_some("ssm:ListTagsForResource"));
        statements.push(statement("Watch", actions, &needs.watched));
    }
    if let Some(key) = &account.kms_key_id {
        let of_region = format!("arn:{partition}:kms:{region}:{own}");
        let mut condition = json!({ "StringEquals": { "kms:ViaService": host("ssm", region) } });
        let resource = if key.starts_with("arn:") && key.contains(":key/") {
            key.clone()
        } else if let Some(alias) = key.rsplit_once("alias/").map(|(_, alias)| alias) {
            // A policy names keys, and an alias only as a condition.
            condition["ForAnyValue:StringEquals"] =
                json!({ "kms:ResourceAliases": format!("alias/{alias}") });
            format!("{of_region}:key/*")
        } else {
            format!("{of_region}:key/{key}")
        };
        // Encrypt for the standard tier, GenerateDataKey for the advanced one.
        let used: &[&str] = match needs.names.is_empty() {
            true => &["kms:Decrypt"],
            false => &["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
        };
        statements.push(json!({
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": used,
            "Resource": resource,
            "Condition": condition,
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_of_the_parameter_store_is_allowed_than_is_asked_for() {
        let account = Account {
            expect_role_arn: Some("arn:aws:iam::111122223333:role/scimitar".to_owned()),
            ..Account::of_region("eu-central-1")
        };
        let names = BTreeSet::from(["/scim/initech".to_owned(), "plain".to_owned()]);
        let watched = BTreeSet::new();
        let needs =
            Needs { account: &account, names: names.clone(), watched, marks: false, tags: false };
        let least = policy(&needs);
        assert_eq!(
            least["Statement"],
            json!([{
                "Sid": "Deliver",
                "Effect": "Allow",
                "Action": ["ssm:GetParameter", "ssm:PutParameter"],
                "Resource": [
                    "arn:aws:ssm:eu-central-1:111122223333:parameter/scim/initech",
                    "arn:aws:ssm:eu-central-1:111122223333:parameter/plain",
                ],
            }])
        );
        let keyed = Account { kms_key_id: Some("alias/scim".to_owned()), ..account.clone() };
        let marked = Needs { account: &keyed, marks: true, ..needs };
        let more = policy(&marked);
        assert_eq!(more["Statement"][0]["Action"].as_array().unwrap().len(), 5);
        let key = &more["Statement"][1];
        assert_eq!(
            key["Condition"]["StringEquals"]["kms:ViaService"],
            "ssm.eu-central-1.amazonaws.com"
        );
        assert_eq!(key["Resource"], "arn:aws:kms:eu-central-1:111122223333:key/*");
        let read = policy(&Needs { names: BTreeSet::new(), watched: names, ..marked });
        let read = read["Statement"].as_array().unwrap();
        assert_eq!(read[0]["Action"], json!(["ssm:GetParameter", "ssm:ListTagsForResource"]));
        assert_eq!((read.len(), &read[1]["Action"]), (2, &json!(["kms:Decrypt"])));
    }
}
