//! SCIM PATCH (RFC 7644 section 3.5.2) on one resource.

use serde_json::{Map, Value};

use super::{filter::Filter, schemas};

/// Why a PATCH was refused: `scimType` and `detail`.
pub(super) type Refused = (&'static str, String);

/// Attributes that only the server sets.
const READ_ONLY: [&str; 4] = ["id", "meta", "groups", "schemas"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

/// Where an operation acts.
struct Target {
    /// The extension that the attribute belongs to.
    extension: Option<String>,
    /// None: the extension as a whole.
    attribute: Option<String>,
    filter: Option<Filter>,
    sub: Option<String>,
}

/// Applies all operations, or none.
///
/// # Errors
/// What is wrong with the first operation that cannot be carried out.
pub(super) fn apply(resource: &mut Map<String, Value>, body: &Value) -> Result<(), Refused> {
    let operations = member(body, "Operations")
        .and_then(Value::as_array)
        .ok_or_else(|| ("invalidSyntax", "Operations is missing".to_owned()))?;
    let mut changed = resource.clone();
    for operation in operations {
        one(&mut changed, operation)?;
    }
    *resource = changed;
    Ok(())
}

fn one(resource: &mut Map<String, Value>, operation: &Value) -> Result<(), Refused> {
    let name = member(operation, "op").and_then(Value::as_str).unwrap_or_default();
    let op = match name.to_ascii_lowercase().as_str() {
        "add" => Op::Add,
        "replace" => Op::Replace,
        "remove" => Op::Remove,
        _ => return Err(("invalidSyntax", format!("{name:?} is not an operation"))),
    };
    let value = member(operation, "value");
    let path = member(operation, "path").and_then(Value::as_str);
    match (op, path, value) {
        (Op::Remove, None, _) => Err(("noTarget", "remove needs a path".to_owned())),
        (Op::Remove, Some(path), value) => remove(resource, &Target::parse(path)?, value),
        (Op::Add | Op::Replace, _, None) => Err(("invalidValue", format!("{name} needs a value"))),
        (Op::Add | Op::Replace, Some(path), Some(value)) => {
            set(resource, op, &Target::parse(path)?, value)
        }
        (Op::Add | Op::Replace, None, Some(Value::Object(members))) => {
            for (path, value) in members {
                // A whole resource may be sent; what only the server sets is passed over.
                if !READ_ONLY.contains(&path.as_str()) {
                    set(resource, op, &Target::parse(path)?, value)?;
                }
            }
            Ok(())
        }
        (Op::Add | Op::Replace, None, Some(_)) => {
            Err(("invalidValue", "without a path the value must be an object".to_owned()))
        }
    }
}

impl Target {
    fn parse(path: &str) -> Result<Self, Refused> {
        let invalid = || ("invalidPath", format!("{path:?} is not a path that is known here"));
        let path = path.trim();
        let mut rest = path;
        let mut extension = None;
        if path.to_ascii_lowercase().starts_with("urn:") {
            let (urn, behind) = schemas::URNS
                .iter()
                .find_map(|urn| {
                    let (head, tail) = path.split_at_checked(urn.len())?;
                    head.eq_ignore_ascii_case(urn).then_some((*urn, tail))
                })
                .ok_or_else(invalid)?;
            rest = behind.strip_prefix([':', '.']).unwrap_or(behind);
            extension = (urn == schemas::ENTERPRISE).then(|| urn.to_owned());
            if rest.is_empty() {
                let whole = extension.is_some();
                return if whole {
                    Ok(Self { extension, attribute: None, filter: None, sub: None })
                } else {
                    Err(invalid())
                };
            }
        }
        let (attribute, filter, behind) = match rest.split_once('[') {
            Some((attribute, inside)) => {
                let (filter, behind) = inside.rsplit_once(']').ok_or_else(invalid)?;
                let filter = Filter::parse(filter).map_err(|detail| ("invalidFilter", detail))?;
                (attribute, Some(filter), behind)
            }
            None => match rest.split_once('.') {
                Some((attribute, sub)) => (attribute, None, sub),
                None => (rest, None, ""),
            },
        };
        let sub = behind.strip_prefix('.').unwrap_or(behind);
        let legal =
            |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "$_-".contains(c));
        if attribute.is_empty() || !legal(attribute) || !legal(sub) {
            return Err(invalid());
        }
        if READ_ONLY.iter().any(|name| name.eq_ignore_ascii_case(attribute)) {
            return Err(("mutability", format!("{attribute} cannot be changed")));
        }
        Ok(Self {
            extension,
            attribute: Some(schemas::canonical(attribute)),
            filter,
            sub: (!sub.is_empty()).then(|| sub.to_owned()),
        })
    }
}

fn set(
    resource: &mut Map<String, Value>,
    op: Op,
    target: &Target,
    value: &Value,
) -> Result<(), Refused> {
    let members = match &target.extension {
        Some(urn) => object_at(resource, urn)?,
        None => resource,
    };
    let Some(attribute) = &target.attribute else {
        let Value::Object(new) = value else {
            return Err(("invalidValue", "an extension is an object".to_owned()));
        };
        if op == Op::Replace {
            members.clear();
        }
        members.extend(new.clone());
        return Ok(());
    };
    if let Some(filter) = &target.filter {
        let items = array_at(members, attribute)?;
        if !items.iter().any(|item| filter.matches(item)) {
            // Entra adds to an address of a type that is not there yet; a replace finds nothing.
            match filter.pair() {
                Some((name, wanted)) if op == Op::Add => {
                    let mut item = Map::new();
                    item.insert(name.to_owned(), wanted.clone());
                    items.push(Value::Object(item));
                }
                _ => return Err(("noTarget", format!("no {attribute} matches the filter"))),
            }
        }
        for item in items.iter_mut().filter(|item| filter.matches(item)) {
            match (&target.sub, item) {
                (Some(sub), Value::Object(item)) => {
                    item.insert(sub.clone(), value.clone());
                }
                (_, item) => *item = value.clone(),
            }
        }
        return Ok(());
    }
    if let Some(sub) = &target.sub {
        object_at(members, attribute)?.insert(sub.clone(), value.clone());
        return Ok(());
    }
    let value = typed(attribute, value);
    match (op, members.get_mut(attribute), value) {
        (Op::Add, Some(Value::Array(items)), Value::Array(new)) => {
            for item in new {
                append(items, item);
            }
        }
        (Op::Add, Some(Value::Array(items)), item) => append(items, item),
        (Op::Add, Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
        (Op::Add | Op::Replace | Op::Remove, _, value) => {
            // One element was sent where a list belongs.
            let wrap = value.is_object() && schemas::multivalued(attribute);
            let value = if wrap { Value::Array(vec![value]) } else { value };
            members.insert(attribute.clone(), value);
        }
    }
    Ok(())
}

fn remove(
    resource: &mut Map<String, Value>,
    target: &Target,
    value: Option<&Value>,
) -> Result<(), Refused> {
    let Some(attribute) = &target.attribute else {
        resource.remove(target.extension.as_deref().unwrap_or_default());
        return Ok(());
    };
    if schemas::REQUIRED.contains(&attribute.as_str()) {
        return Err(("invalidValue", format!("{attribute} is required")));
    }
    let members = match &target.extension {
        Some(urn) => match resource.get_mut(urn) {
            Some(Value::Object(members)) => members,
            _ => return Ok(()),
        },
        None => resource,
    };
    let gone = match (members.get_mut(attribute), &target.filter, &target.sub) {
        (None, _, _) => false,
        (Some(Value::Array(items)), Some(filter), None) => {
            items.retain(|item| !filter.matches(item));
            items.is_empty()
        }
        (Some(Value::Array(items)), Some(filter), Some(sub)) => {
            for item in items.iter_mut().filter(|item| filter.matches(item)) {
                if let Value::Object(item) = item {
                    item.remove(sub);
                }
            }
            false
        }
        (Some(Value::Object(inner)), None, Some(sub)) => {
            inner.remove(sub);
            inner.is_empty()
        }
        // Entra names the members to remove in the value.
        (Some(Value::Array(items)), None, None) if value.is_some_and(Value::is_array) => {
            let named = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            items.retain(|item| !named.iter().any(|name| name.get("value") == item.get("value")));
            items.is_empty()
        }
        (Some(_), None, None) => true,
        (Some(_), _, _) => return Err(("noTarget", format!("{attribute} has no such part"))),
    };
    if gone {
        members.remove(attribute);
    }
    Ok(())
}

fn append(items: &mut Vec<Value>, item: Value) {
    // At most one is primary (RFC 7643 section 2.4).
    if item.get("primary") == Some(&Value::Bool(true)) {
        for old in items.iter_mut().filter_map(Value::as_object_mut) {
            old.remove("primary");
        }
    }
    if !items.contains(&item) {
        items.push(item);
    }
}

/// Entra sends truth values as text.
fn typed(attribute: &str, value: &Value) -> Value {
    match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("true") if attribute == "active" => Value::Bool(true),
        Some("false") if attribute == "active" => Value::Bool(false),
        _ => value.clone(),
    }
}

fn object_at<'a>(
    members: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Map<String, Value>, Refused> {
    members
        .entry(name)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
        .ok_or_else(|| ("invalidPath", format!("{name} has no parts")))
}

fn array_at<'a>(
    members: &'a mut Map<String, Value>,
    name: &str,
) -> Result<&'a mut Vec<Value>, Refused> {
    members
        .entry(name)
        .or_insert_with(|| Value::Array(Vec::new()))
        .as_array_mut()
        .ok_or_else(|| ("invalidPath", format!("{name} has one value only")))
}

/// A member by its name without regard to case, as several clients write it.
fn member<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(operations: &Value) -> Result<Value, Refused> {
        let Value::Object(mut user) = json!({
            "userName": "ada", "active": true, "name": { "givenName": "Ada" },
            "emails": [{ "value": "a@x", "type": "work", "primary": true }],
        }) else {
            panic!("an object")
        };
        apply(&mut user, &json!({ "Operations": *operations }))?;
        Ok(Value::Object(user))
    }

    #[test]
    fn what_okta_and_entra_send_is_understood() {
        let urn = schemas::ENTERPRISE;
        for (operations, pointer, expected) in [
            (json!([{ "op": "replace", "value": { "active": false } }]), "/active", json!(false)),
            (
                json!([{ "op": "Replace", "path": "active", "value": "False" }]),
                "/active",
                json!(false),
            ),
            (
                json!([{ "op": "add", "path": "name.familyName", "value": "L" }]),
                "/name",
                json!({ "givenName": "Ada", "familyName": "L" }),
            ),
            (
                json!([{ "op": "replace", "path": r#"emails[type eq "work"].value"#,
                "value": "b@x" }]),
                "/emails/0/value",
                json!("b@x"),
            ),
            (
                json!([{ "op": "add", "path": r#"emails[type eq "home"].value"#, "value": "h@x" }]),
                "/emails/1",
                json!({ "type": "home", "value": "h@x" }),
            ),
            (
                json!([{ "op": "add", "path": "emails", "value": [{ "value": "c@x",
                "primary": true }] }]),
                "/emails/0/primary",
                json!(null),
            ),
            (
                json!([{ "op": "add", "path": format!("{urn}:department"), "value": "D" }]),
                "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
                json!("D"),
            ),
            (json!([{ "op": "remove", "path": "name.givenName" }]), "/name", json!(null)),
            (
                json!([{ "op": "remove", "path": "emails", "value": [{ "value": "a@x" }] }]),
                "/emails",
                json!(null),
            ),
        ] {
            let user = patched(&operations).unwrap();
            let found = user.pointer(pointer).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{operations}");
        }
    }

    #[test]
    fn the_rest_is_refused_and_changes_nothing() {
        for (operation, kind) in [
            (json!({ "op": "remove" }), "noTarget"),
            (json!({ "op": "move", "path": "active" }), "invalidSyntax"),
            (json!({ "op": "replace", "path": "id", "value": "x" }), "mutability"),
            (json!({ "op": "remove", "path": "userName" }), "invalidValue"),
            (
                json!({ "op": "replace", "path": r#"emails[type eq "home"].value"#, "value": "h" }),
                "noTarget",
            ),
            (json!({ "op": "add", "path": "emails[type", "value": 1 }), "invalidPath"),
            (json!({ "op": "add", "path": "urn:x:y", "value": 1 }), "invalidPath"),
            (json!({ "op": "add", "path": "active" }), "invalidValue"),
        ] {
            let refused =
                patched(&json!([{ "op": "add", "path": "title", "value": "T" }, operation]));
            assert_eq!(refused.unwrap_err().0, kind, "{operation}");
        }
    }
}
