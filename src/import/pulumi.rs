//! Pulumi's states: what `pulumi stack export` prints, and the checkpoint files of its own backends.
//!
//! Source: Pulumi's `sdk/go/common/apitype` (`DeploymentV3`, `VersionedCheckpoint`).

use serde_json::{Map, Value};

use super::{Resource, State, Tool, attributes, kind_of};

/// Whether it can be nothing but one.
pub(super) fn is_one(document: &Value) -> bool {
    document.get("deployment").is_some() || document.get("checkpoint").is_some()
}

/// Reads one.
pub(super) fn read(document: &Value) -> Result<State, String> {
    let exported = document.get("deployment");
    let stored = document.pointer("/checkpoint/latest");
    let (deployment, form) = match (exported, stored) {
        (Some(deployment), _) => (deployment, "what `pulumi stack export` printed"),
        (None, Some(latest)) => (latest, "Pulumi checkpoint"),
        (None, None) => {
            return Err(
                "this is not a Pulumi state: use the output of `pulumi stack export`".to_owned()
            );
        }
    };
    let version = document.get("version").and_then(Value::as_u64);
    if version != Some(3) && version != Some(4) {
        return Err(
            "versions 3 and 4 of Pulumi's state can be read: `pulumi stack export` of a newer \
                    Pulumi prints version 3"
                .to_owned(),
        );
    }
    let mut state = State {
        tool: Tool::Pulumi,
        form: form.to_owned(),
        tokens: Vec::new(),
        unreadable: Vec::new(),
    };
    // A stack without resources has no list of them.
    let resources = deployment.get("resources").and_then(Value::as_array);
    for resource in resources.into_iter().flatten() {
        let text = |key: &str| resource.get(key).and_then(Value::as_str);
        let (Some(of), Some(urn)) = (text("type"), text("urn")) else { continue };
        let Some((kind, managed)) = kind_of(|managed| managed.pulumi == of) else { continue };
        // What is yet to be deleted after a replacement, and what only reads.
        let leaving = resource.get("delete").and_then(Value::as_bool) == Some(true);
        let external = resource.get("external").and_then(Value::as_bool) == Some(true);
        if leaving || external {
            continue;
        }
        let mut held: Map<String, Value> =
            resource.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
        // A resource's own id stands beside its outputs.
        if let Some(id) = resource.get("id").filter(|id| !id.is_null()) {
            held.insert("id".to_owned(), id.clone());
        }
        let label = urn.rsplit("::").next().unwrap_or(urn).to_owned();
        let attributes = attributes(managed, &held, camel);
        match (Resource { address: urn.to_owned(), label, attributes }).token(kind, managed) {
            Ok(token) => state.tokens.push(token),
            Err(words) => state.unreadable.push(words),
        }
    }
    Ok(state)
}

/// `connection_id` as Pulumi calls it: `connectionId`.
fn camel(attribute: &str) -> String {
    let mut words = attribute.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}
