//! What the API does with a request, from its own documents: the API concepts ("Resource versions",
//! "Dry-run", "Updates to existing resources"), the API reference of Secret, and RBAC.

use serde_json::{Value, json};

use super::{Asked, Refusal, World, base64::decode};

/// The most that all values of a Secret may have together.
const LARGEST: usize = 1024 * 1024;

type Outcome = Result<(u16, Value), Refusal>;

fn refusal(status: u16, reason: &'static str, name: &str, words: String) -> Refusal {
    Refusal { status, reason, words, kind: "secrets", name: name.to_owned() }
}

/// Answers a request. Who asks is looked at first, then what is allowed, then what is there.
pub(super) fn carry_out(world: &mut World, asked: &Asked, kind: &str) -> Outcome {
    if !world.accounts.contains_key(&asked.token) {
        let words = "Unauthorized".to_owned();
        return Err(Refusal {
            status: 401,
            reason: "Unauthorized",
            words,
            kind: "",
            name: String::new(),
        });
    }
    let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    match (asked.verb, path.as_slice()) {
        ("create", ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]) => {
            Ok((201, review(world, asked)))
        }
        ("get", ["api", "v1", "namespaces", name]) => namespace(world, asked, name),
        ("get", ["api", "v1", "namespaces", namespace, "secrets", name]) => {
            allow(world, asked, namespace, name)?;
            Ok((200, there(world, namespace, name)?.clone()))
        }
        ("create", ["api", "v1", "namespaces", namespace, "secrets"]) => {
            allow(world, asked, namespace, "")?;
            create(world, asked, namespace)
        }
        ("patch", ["api", "v1", "namespaces", namespace, "secrets", name]) => {
            allow(world, asked, namespace, name)?;
            if kind != "application/merge-patch+json" {
                let words = format!("the body of the request was in an unknown format: {kind}");
                return Err(refusal(415, "UnsupportedMediaType", name, words));
            }
            patch(world, asked, namespace, name)
        }
        _ => Err(refusal(404, "NotFound", "", "the server could not find it".to_owned())),
    }
}

/// Whether a Role allows it: a rule with `resourceNames` never allows a create, whose name is not known
/// when it is authorized.
fn granted(world: &World, token: &str, wanted: [&str; 4]) -> bool {
    let [namespace, verb, resource, name] = wanted;
    let holds =
        |list: &Value, word: &str| list.as_array().into_iter().flatten().any(|one| one == word);
    world.accounts.get(token).into_iter().flatten().any(|role| {
        role["metadata"]["namespace"] == namespace
            && role["rules"].as_array().into_iter().flatten().any(|rule| {
                let names = &rule["resourceNames"];
                holds(&rule["apiGroups"], "")
                    && holds(&rule["verbs"], verb)
                    && holds(&rule["resources"], resource)
                    && (names.is_null() || holds(names, name))
            })
    })
}

fn allow(world: &World, asked: &Asked, namespace: &str, name: &str) -> Result<(), Refusal> {
    if granted(world, &asked.token, [namespace, asked.verb, "secrets", name]) {
        return Ok(());
    }
    let words = format!(
        "secrets \"{name}\" is forbidden: User \"system:serviceaccount:scim:scimitar\" cannot {} resource \
         \"secrets\" in API group \"\" in the namespace \"{namespace}\"",
        asked.verb
    );
    Err(refusal(403, "Forbidden", name, words))
}

fn namespace(world: &World, asked: &Asked, name: &str) -> Outcome {
    let of_it = |status, reason, words| Refusal {
        status,
        reason,
        words,
        kind: "namespaces",
        name: name.to_owned(),
    };
    if !granted(world, &asked.token, [name, "get", "namespaces", name]) {
        let words = format!("namespaces \"{name}\" is forbidden");
        return Err(of_it(403, "Forbidden", words));
    }
    let Some(uid) = world.namespaces.get(name) else {
        return Err(of_it(404, "NotFound", format!("namespaces \"{name}\" not found")));
    };
    let metadata = json!({ "name": name, "uid": uid, "resourceVersion": "1" });
    Ok((200, json!({ "kind": "Namespace", "apiVersion": "v1", "metadata": metadata })))
}

fn review(world: &World, asked: &Asked) -> Value {
    let wanted = &asked.body["spec"]["resourceAttributes"];
    let text = |name: &str| wanted[name].as_str().unwrap_or_default();
    let wanted = [text("namespace"), text("verb"), text("resource"), text("name")];
    let mut answer = asked.body.clone();
    answer["status"] = json!({ "allowed": granted(world, &asked.token, wanted) });
    answer
}

fn there<'w>(world: &'w World, namespace: &str, name: &str) -> Result<&'w Value, Refusal> {
    let found = world.secrets.get(&(namespace.to_owned(), name.to_owned()));
    found.ok_or_else(|| refusal(404, "NotFound", name, format!("secrets \"{name}\" not found")))
}

fn create(world: &mut World, asked: &Asked, namespace: &str) -> Outcome {
    let dry = dry(asked)?;
    let mut secret = asked.body.clone();
    let name = secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    if secret["metadata"]["namespace"] != namespace || secret["kind"] != "Secret" || name.is_empty()
    {
        let words = "the object provided does not fit the request".to_owned();
        return Err(refusal(400, "BadRequest", &name, words));
    }
    if !secret["metadata"]["resourceVersion"].is_null() {
        let words = "resourceVersion should not be set on objects to be created".to_owned();
        return Err(refusal(400, "BadRequest", &name, words));
    }
    if !world.namespaces.contains_key(namespace) {
        let words = format!("namespaces \"{namespace}\" not found");
        let name = namespace.to_owned();
        return Err(Refusal { status: 404, reason: "NotFound", words, kind: "namespaces", name });
    }
    let key = (namespace.to_owned(), name.clone());
    if world.secrets.contains_key(&key) {
        let words = format!("secrets \"{name}\" already exists");
        return Err(refusal(409, "AlreadyExists", &name, words));
    }
    if let Some(admission) = world.admission {
        admission(&mut secret);
    }
    validate(&secret, &name)?;
    if secret["type"].is_null() {
        secret["type"] = json!("Opaque");
    }
    managed(&mut secret, asked);
    if !dry {
        world.revision += 1;
        secret["metadata"]["resourceVersion"] = json!(world.revision.to_string());
        world.secrets.insert(key, secret.clone());
    }
    Ok((201, secret))
}

fn patch(world: &mut World, asked: &Asked, namespace: &str, name: &str) -> Outcome {
    let dry = dry(asked)?;
    let old = there(world, namespace, name)?.clone();
    if !asked.body.is_object() {
        return Err(refusal(400, "BadRequest", name, "the patch is no object".to_owned()));
    }
    let named = &asked.body["metadata"]["resourceVersion"];
    if !named.is_null() && *named != old["metadata"]["resourceVersion"] {
        let words = format!(
            "Operation cannot be fulfilled on secrets \"{name}\": the object has been modified; please \
             apply your changes to the latest version and try again"
        );
        return Err(refusal(409, "Conflict", name, words));
    }
    let mut new = old.clone();
    merge(&mut new, &asked.body);
    for fixed in ["/metadata/name", "/metadata/namespace", "/type"] {
        if new.pointer(fixed) != old.pointer(fixed) {
            return Err(refusal(422, "Invalid", name, format!("{fixed}: field is immutable")));
        }
    }
    let frozen = old["immutable"] == true;
    if frozen && (new["data"] != old["data"] || new["immutable"] != old["immutable"]) {
        let words = format!(
            "Secret \"{name}\" is invalid: data: Forbidden: field is immutable when `immutable` is set"
        );
        return Err(refusal(422, "Invalid", name, words));
    }
    if let Some(admission) = world.admission {
        admission(&mut new);
    }
    validate(&new, name)?;
    // What changes nothing is not written.
    if new == old {
        return Ok((200, old));
    }
    managed(&mut new, asked);
    if !dry {
        world.revision += 1;
        new["metadata"]["resourceVersion"] = json!(world.revision.to_string());
        world.secrets.insert((namespace.to_owned(), name.to_owned()), new.clone());
    }
    Ok((200, new))
}

fn dry(asked: &Asked) -> Result<bool, Refusal> {
    match asked.query.get("dryRun").map(String::as_str) {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let words = format!("dryRun: Unsupported value: {other}");
            Err(refusal(422, "Invalid", "", words))
        }
    }
}

/// Who wrote last is kept with the object.
fn managed(secret: &mut Value, asked: &Asked) {
    let manager = asked.query.get("fieldManager").map_or("unknown", String::as_str);
    secret["metadata"]["managedFields"] =
        json!([{ "manager": manager, "operation": "Update", "apiVersion": "v1" }]);
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in members {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

fn validate(secret: &Value, name: &str) -> Result<(), Refusal> {
    let invalid = |words: String| refusal(422, "Invalid", name, words);
    let mut size = 0;
    for (key, value) in secret["data"].as_object().into_iter().flatten() {
        let fits = key.len() <= 253
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !fits {
            return Err(invalid(format!("data[{key}]: Invalid value: a valid config key must …")));
        }
        let decoded = value.as_str().and_then(decode);
        let Some(bytes) = decoded else {
            let words = "illegal base64 data at input byte 0".to_owned();
            return Err(refusal(400, "BadRequest", name, words));
        };
        size += bytes.len();
    }
    if size > LARGEST {
        return Err(invalid("data: Too long: may not be more than 1048576 bytes".to_owned()));
    }
    for (key, value) in secret["metadata"]["labels"].as_object().into_iter().flatten() {
        let own = key.rsplit('/').next().unwrap_or_default();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let ends = |text: &str| {
            let end = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
            end(text.bytes().next()) && end(text.bytes().last())
        };
        let fits = |text: &str| text.len() <= 63 && text.bytes().all(plain) && ends(text);
        if own.is_empty() || !fits(own) || !value.as_str().is_some_and(fits) {
            return Err(invalid(format!("metadata.labels: Invalid value: \"{value}\"")));
        }
    }
    for (key, value) in secret["metadata"]["annotations"].as_object().into_iter().flatten() {
        let (prefix, own) = key.split_once('/').unwrap_or(("x", key));
        let plain = |text: &str, more: &[u8]| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if !plain(prefix, b"-.") || !plain(own, b"-._") || own.len() > 63 || !value.is_string() {
            return Err(invalid(format!("metadata.annotations: Invalid value: \"{key}\"")));
        }
    }
    Ok(())
}

/// The namespace and the name in the path of a Secret.
fn named(path: &str) -> (String, String) {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap().to_owned();
    (parts.nth(1).unwrap().to_owned(), name)
}

/// Somebody else adds a key.
pub(super) fn overtake(world: &mut World, path: &str) {
    let (namespace, name) = named(path);
    world.change(&namespace, &name, |secret| secret["data"]["theirs"] = json!("dGhlaXJz"));
}

/// Somebody else deletes it.
pub(super) fn delete(world: &mut World, path: &str) {
    world.secrets.remove(&named(path));
}
