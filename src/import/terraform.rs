//! Terraform's states: version 4 and 3 as they are stored, and what `terraform show -json` prints.
//!
//! Sources: HashiCorp's "JSON Output Format" and "State" pages; version 3 is that of Terraform 0.11 and
//! earlier, which keeps attributes as a flat map.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Resource, State, Tool, attributes, kind_of};
use crate::provider::kind::Managed;

/// Reads one.
pub(super) fn read(document: &Value) -> Result<State, String> {
    let mut state = State {
        tool: Tool::Terraform,
        form: String::new(),
        tokens: Vec::new(),
        unreadable: Vec::new(),
    };
    if document.get("encrypted_data").is_some() {
        return Err("this state is encrypted: write `tofu show -json` into a file and import that"
            .to_owned());
    }
    if document.get("format_version").is_some() {
        "what `terraform show -json` printed".clone_into(&mut state.form);
        let values = document.get("values").or_else(|| document.pointer("/prior_state/values"));
        if let Some(root) = values.and_then(|values| values.get("root_module")) {
            module(root, &mut state);
        }
        return Ok(state);
    }
    match document.get("version").and_then(Value::as_u64) {
        Some(4) => version_4(document, &mut state)?,
        Some(3) => version_3(document, &mut state)?,
        Some(version) if document.get("lineage").is_some() || document.get("serial").is_some() => {
            return Err(format!(
                "this is version {version} of Terraform's state; versions 3 and 4 can be read, and the \
                 output of `terraform show -json`"
            ));
        }
        Some(_) | None => {
            return Err("this is not a Terraform state: use its .tfstate file, or the output \
                        of `terraform show -json` or `terraform state pull`"
                .to_owned());
        }
    }
    Ok(state)
}

fn version_4(document: &Value, state: &mut State) -> Result<(), String> {
    "Terraform state, version 4".clone_into(&mut state.form);
    let resources = document.get("resources").and_then(Value::as_array);
    let resources = resources.ok_or("this state has no list of resources")?;
    for resource in resources {
        let text = |key: &str| resource.get(key).and_then(Value::as_str);
        if text("mode") != Some("managed") {
            continue;
        }
        let (Some(of), Some(name)) = (text("type"), text("name")) else { continue };
        let Some((kind, managed)) = kind_of(|managed| managed.terraform == of) else { continue };
        let module = text("module").map(|module| format!("{module}.")).unwrap_or_default();
        let instances = resource.get("instances").and_then(Value::as_array);
        for instance in instances.into_iter().flatten() {
            // What `create_before_destroy` has yet to destroy is replaced already.
            if instance.get("deposed").is_some() {
                continue;
            }
            let index = index(instance.get("index_key"));
            let address = format!("{module}{of}.{name}{index}");
            let held = instance.get("attributes").and_then(Value::as_object);
            note(state, kind, managed, address, name, held);
        }
    }
    Ok(())
}

/// `["key"]` or `[0]`, as an address has it.
fn index(key: Option<&Value>) -> String {
    match key {
        Some(Value::String(key)) => format!("[{}]", Value::String(key.clone())),
        Some(Value::Number(number)) => format!("[{number}]"),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => {
            String::new()
        }
    }
}

fn version_3(document: &Value, state: &mut State) -> Result<(), String> {
    "Terraform state, version 3".clone_into(&mut state.form);
    let modules = document.get("modules").and_then(Value::as_array);
    for module in modules.ok_or("this state has no list of modules")? {
        let path = module.get("path").and_then(Value::as_array).into_iter().flatten();
        let path: String = path
            .filter_map(Value::as_str)
            .filter(|step| *step != "root")
            .map(|step| format!("module.{step}."))
            .collect();
        let resources = module.get("resources").and_then(Value::as_object);
        for (key, resource) in resources.into_iter().flatten() {
            let of = resource.get("type").and_then(Value::as_str).unwrap_or_default();
            let Some((kind, managed)) = kind_of(|managed| managed.terraform == of) else {
                continue;
            };
            let name =
                key.strip_prefix(of).map_or(key.as_str(), |rest| rest.trim_start_matches('.'));
            // `name.0` is what is `name[0]` in an address.
            let indexed = name.rsplit_once('.').filter(|(_, index)| index.parse::<u32>().is_ok());
            let (name, index) = indexed.unwrap_or((name, ""));
            let index = if index.is_empty() { String::new() } else { format!("[{index}]") };
            let address = format!("{path}{of}.{name}{index}");
            let flat = resource.pointer("/primary/attributes").and_then(Value::as_object);
            let held = flat.map(unflattened);
            note(state, kind, managed, address, name, held.as_ref());
        }
    }
    Ok(())
}

/// `scopes.# = 2, scopes.123 = "…"` as a list.
fn unflattened(flat: &Map<String, Value>) -> Map<String, Value> {
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut held = Map::new();
    for (key, value) in flat {
        match key.split_once('.') {
            Some((_, "#" | "%")) => {}
            Some((list, _)) => lists.entry(list).or_default().push(value.clone()),
            None => drop(held.insert(key.clone(), value.clone())),
        }
    }
    held.extend(lists.into_iter().map(|(key, list)| (key.to_owned(), Value::Array(list))));
    held
}

/// A module of what `show -json` prints, and those in it.
fn module(module: &Value, state: &mut State) {
    // Modules within modules: on a list of our own, since a file says how deep they are.
    let mut modules = vec![module];
    while let Some(module) = modules.pop() {
        let resources = module.get("resources").and_then(Value::as_array);
        for resource in resources.into_iter().flatten() {
            let text = |key: &str| resource.get(key).and_then(Value::as_str);
            if text("mode") != Some("managed") || resource.get("deposed_key").is_some() {
                continue;
            }
            let (Some(of), Some(address)) = (text("type"), text("address")) else { continue };
            let Some((kind, managed)) = kind_of(|managed| managed.terraform == of) else {
                continue;
            };
            let name = text("name").unwrap_or(address);
            let held = resource.get("values").and_then(Value::as_object);
            note(state, kind, managed, address.to_owned(), name, held);
        }
        let inside = module.get("child_modules").and_then(Value::as_array);
        modules.extend(inside.into_iter().flatten());
    }
}

fn note(
    state: &mut State,
    kind: &'static str,
    managed: &Managed,
    address: String,
    name: &str,
    held: Option<&Map<String, Value>>,
) {
    let Some(held) = held else {
        state.unreadable.push(format!("{address}: it has no attributes"));
        return;
    };
    let key = address.rsplit_once('[').map(|(_, key)| key.trim_matches([']', '"']));
    let label = key.map_or_else(|| name.to_owned(), |key| format!("{name}-{key}"));
    let attributes = attributes(managed, held, str::to_owned);
    match (Resource { address, label, attributes }).token(kind, managed) {
        Ok(token) => state.tokens.push(token),
        Err(words) => state.unreadable.push(words),
    }
}
