//! States of several versions, as the tools write them; the values in them are canaries.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

const VALUE: &str =
    "tok_cw8iYTPrN6Fzb6xi.c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ff";

fn kept(document: &Value) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    std::fs::write(&file, document.to_string()).unwrap();
    (folder, file)
}

fn read_of(tool: Tool, document: &Value) -> Result<State, ImportError> {
    let (_folder, file) = kept(document);
    let any = read_any(&file);
    let read = read(tool, &file);
    if let (Ok(read), Ok(any)) = (&read, &any) {
        assert_eq!(read, any);
    }
    read
}

fn attributes() -> Value {
    json!({
        "connection_id": "con_Hvg6w4PSvAVOoCJ2",
        "created_at": "2025-11-06T03:50:37.836Z",
        "id": "con_Hvg6w4PSvAVOoCJ2",
        "scopes": ["get:users", "post:users"],
        "token": VALUE,
        "token_id": "tok_cw8iYTPrN6Fzb6xi",
    })
}

fn version_4(instances: &Value) -> Value {
    json!({
        "version": 4, "terraform_version": "1.9.8", "serial": 12, "lineage": "a", "outputs": {},
        "resources": [
            { "mode": "data", "type": "auth0_connection_scim_token", "name": "read", "instances": [
                { "attributes": attributes() } ] },
            { "mode": "managed", "type": "auth0_connection", "name": "okta", "instances": [
                { "attributes": { "id": "con_Hvg6w4PSvAVOoCJ2" } } ] },
            { "module": "module.sso[\"eu\"]", "mode": "managed", "name": "my_scim_token",
              "type": "auth0_connection_scim_token", "instances": instances },
            { "mode": "managed", "type": "dbtcloud_scim_config_token", "name": "okta", "instances": [
                { "attributes": { "id": 12345, "name": "okta-scim", "token_string": VALUE } } ] },
        ],
    })
}

/// What was read, as a handover; asserts that no value is in it, and that it is TOML.
fn handed_over(state: &State) -> String {
    let text = handover(state, "terraform.tfstate");
    assert!(!text.contains("c0ffee") && !format!("{state:?}").contains("c0ffee"), "{text}");
    let _: toml::Table = text.parse().unwrap();
    text
}

#[test]
fn terraform_version_4_is_read() {
    let keyed = json!([
        { "index_key": "acme \"x\"", "attributes": attributes() },
        { "index_key": 1, "deposed": "0badcafe", "attributes": attributes() },
    ]);
    let state = read_of(Tool::Terraform, &version_4(&keyed)).unwrap();
    assert_eq!(state.tokens.len(), 2, "{state:?}");
    let [auth0, dbt] = state.tokens.as_slice() else { panic!("{state:?}") };
    assert_eq!(
        auth0.address,
        r#"module.sso["eu"].auth0_connection_scim_token.my_scim_token["acme \"x\""]"#
    );
    assert_eq!(auth0.connection.as_ref().unwrap().as_str(), "con_Hvg6w4PSvAVOoCJ2");
    assert_eq!((auth0.token.as_str(), auth0.scopes.len()), ("tok_cw8iYTPrN6Fzb6xi", 2));
    assert!(auth0.has_value && dbt.has_value);
    assert_eq!((dbt.token.as_str(), &dbt.connection), ("12345", &None));

    let text = handed_over(&state);
    for expected in [
        "# SCIM tokens: 2. Connections: 2. Values in that file: 2; none was copied.",
        "connection_id = \"con_Hvg6w4PSvAVOoCJ2\"",
        "scopes = [\"get:users\", \"post:users\"]",
        "provider = \"dbt_cloud\"",
        "\ntoken_lifetime = \"90d\"",
        "\nmax_age = \"90d\"",
        "#        from = module.sso.auth0_connection_scim_token.my_scim_token\n",
        "#          destroy = false",
        "terraform state rm 'module.sso[\"eu\"].auth0_connection_scim_token.my_scim_token[\"acme \\\"x\\\"\"]'",
        "scimitar adopt --all-from terraform.tfstate",
        "--token-id tok_cw8iYTPrN6Fzb6xi --retire",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn terraform_version_3_is_read() {
    let document = json!({
        "version": 3, "serial": 1, "lineage": "a",
        "modules": [
            { "path": ["root"], "resources": {} },
            { "path": ["root", "sso"], "resources": {
                "auth0_connection_scim_token.okta.0": {
                    "type": "auth0_connection_scim_token",
                    "primary": { "id": "x", "attributes": {
                        "connection_id": "con_Hvg6w4PSvAVOoCJ2", "token_id": "tok_cw8iYTPrN6Fzb6xi",
                        "token": VALUE, "scopes.#": "1", "scopes.1538": "get:users" } } } } },
        ],
    });
    let state = read_of(Tool::Terraform, &document).unwrap();
    let [token] = state.tokens.as_slice() else { panic!("{state:?}") };
    assert_eq!(token.address, "module.sso.auth0_connection_scim_token.okta[0]");
    assert_eq!(token.scopes.iter().map(Scope::as_str).collect::<Vec<_>>(), ["get:users"]);
    assert!(handed_over(&state).contains("name = \"okta-0\""));
}

#[test]
fn what_terraform_show_prints_is_read() {
    let resource = json!({
        "address": "module.a.module.b.auth0_connection_scim_token.t", "mode": "managed", "name": "t",
        "type": "auth0_connection_scim_token", "values": attributes(), "sensitive_values": { "token": true },
    });
    let inner = json!({ "resources": [resource], "address": "module.a.module.b" });
    let document = json!({
        "format_version": "1.0", "terraform_version": "1.9.8",
        "values": { "root_module": { "child_modules": [{ "child_modules": [inner] }] } },
    });
    let state = read_of(Tool::Terraform, &document).unwrap();
    assert_eq!(state.tokens.len(), 1, "{state:?}");
    assert!(
        handed_over(&state).contains("from = module.a.module.b.auth0_connection_scim_token.t\n")
    );
    let empty = read_of(Tool::Terraform, &json!({ "format_version": "1.0" })).unwrap();
    assert!(handed_over(&empty).contains("Nothing to take over"));
}

#[test]
fn both_forms_of_a_pulumi_state_are_read() {
    let urn =
        "urn:pulumi:prod::sso::auth0:index/connectionScimToken:ConnectionScimToken::okta token";
    let secret = json!({ "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": VALUE });
    let resource = |delete: bool| {
        json!({
            "urn": urn, "custom": true, "id": "con_Hvg6w4PSvAVOoCJ2", "delete": delete,
            "type": "auth0:index/connectionScimToken:ConnectionScimToken",
            "outputs": { "connectionId": "con_Hvg6w4PSvAVOoCJ2", "tokenId": "tok_cw8iYTPrN6Fzb6xi",
                "scopes": ["get:users"], "token": secret },
        })
    };
    let dbt = json!({
        "urn": "urn:pulumi:prod::sso::dbtcloud:index/scimConfigToken:ScimConfigToken::dbt",
        "type": "dbtcloud:index/scimConfigToken:ScimConfigToken", "id": "12345",
        "outputs": { "name": "okta-scim" },
    });
    let resources = json!([resource(true), resource(false), dbt]);
    let exported = json!({ "version": 3, "deployment": { "resources": resources } });
    let stored = json!({ "version": 3, "checkpoint": { "latest": { "resources": resources } } });
    for document in [exported, stored] {
        let state = read_of(Tool::Pulumi, &document).unwrap();
        let [auth0, dbt] = state.tokens.as_slice() else { panic!("{state:?}") };
        assert_eq!((auth0.address.as_str(), auth0.label.as_str()), (urn, "okta token"));
        assert!(auth0.has_value && !dbt.has_value);
        assert_eq!(dbt.token.as_str(), "12345");
        let text = handed_over(&state);
        assert!(text.contains(&format!("pulumi state delete '{urn}'")), "{text}");
        assert!(text.contains("Values in that file: 1;"), "{text}");
    }
    let stack = json!({ "version": 3, "deployment": { "manifest": {} } });
    assert_eq!(read_of(Tool::Pulumi, &stack).unwrap().tokens, []);
}

#[test]
fn what_is_no_state_is_refused_with_the_way_out() {
    for (tool, document, words) in [
        (Tool::Terraform, json!({ "encrypted_data": "x", "serial": 1 }), "tofu show -json"),
        (Tool::Terraform, json!({ "version": 5, "serial": 1 }), "version 5"),
        (Tool::Terraform, json!({ "version": 4 }), "no list of resources"),
        (Tool::Terraform, json!([1]), "not a Terraform state"),
        (Tool::Pulumi, json!({ "version": 4, "resources": [] }), "pulumi stack export"),
        (Tool::Pulumi, json!({ "version": 9, "deployment": {} }), "versions 3 and 4"),
    ] {
        let error = read_of(tool, &document).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    std::fs::write(&file, format!("{{\"token\": \"{VALUE}\" oops")).unwrap();
    let error = read_any(&file).unwrap_err().to_string();
    assert!(error.contains("not JSON (line 1, column") && !error.contains("c0ffee"), "{error}");
    for (text, words) in [
        ("[".repeat(200) + &"]".repeat(200), "nested more than 127 levels deep"),
        ("{\"serial\": 1e999}".to_owned(), "a number too large to be read (line 1, column"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = read_any(&file).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("not JSON"), "{error}");
    }
    let deep = "[".repeat(127) + &"]".repeat(127);
    std::fs::write(&file, deep).unwrap();
    let error = read_any(&file).unwrap_err().to_string();
    assert!(!error.contains("levels deep"), "{error}");
    let error = read_any(Path::new("/dev/zero")).unwrap_err().to_string();
    assert_eq!(error, "/dev/zero: it is larger than 256 MiB: not a state");
    let error = read_any(Path::new("/nowhere/state")).unwrap_err().to_string();
    assert_eq!(error, "could not read /nowhere/state: No such file or directory");
}

/// A resource that cannot be read is said without what it holds, and the others are read.
#[test]
fn a_damaged_resource_is_said_and_shows_no_value() {
    let mut swapped = attributes();
    swapped["token_id"] = json!(VALUE);
    let without = json!({ "connection_id": "con_Hvg6w4PSvAVOoCJ2" });
    let foreign = json!({ "token_id": "tok_1", "connection_id": "con 1\nx", "token": VALUE });
    let mut escaping = attributes();
    escaping["connection_id"] = json!("con\\");
    let instances = json!([
        { "index_key": "back", "attributes": escaping },
        { "index_key": 0, "attributes": swapped },
        { "index_key": 1, "attributes": without },
        { "index_key": 2, "attributes": foreign },
        { "index_key": 3 },
        { "index_key": 4, "attributes": attributes() },
    ]);
    let state = read_of(Tool::Terraform, &version_4(&instances)).unwrap();
    assert_eq!((state.tokens.len(), state.unreadable.len()), (3, 4), "{state:?}");
    let text = handed_over(&state);
    assert_eq!(text.matches("# NOT TAKEN OVER: ").count(), 4, "{text}");
}

#[test]
fn two_tokens_of_one_connection_are_one_connection() {
    let mut other = attributes();
    other["token_id"] = json!("tok_0000000000000002");
    let instances = json!([{ "index_key": 0, "attributes": attributes() }, { "index_key": 1, "attributes": other }]);
    let state = read_of(Tool::Terraform, &version_4(&instances)).unwrap();
    let text = handed_over(&state);
    assert!(text.contains("SCIM tokens: 3. Connections: 2."), "{text}");
    assert!(text.contains("# More than one token: keep the one in use."), "{text}");
}

/// Whatever a state holds where an id or an address belongs, a value is never shown.
#[test]
fn a_value_in_the_wrong_place_is_not_shown() {
    let with = |key: &str, wrong: Value| {
        let mut attributes = attributes();
        attributes[key] = wrong;
        version_4(&json!([{ "attributes": attributes }]))
    };
    let named = |key: &str, wrong: &str| {
        let mut state = version_4(&json!([{ "attributes": attributes() }]));
        state["resources"][2][key] = json!(wrong);
        state
    };
    let of_another = VALUE.replace("cw8i", "xx8i");
    for (state, words) in [
        (with("token_id", json!(VALUE)), "token id is not valid"),
        (with("connection_id", json!(VALUE)), "connection id is not valid"),
        (with("connection_id", json!(of_another)), "connection id is not valid"),
        (with("scopes", json!(["get:users", VALUE])), "scopes is not valid"),
        (named("name", VALUE), "address contains a token's value"),
        (named("module", &format!("module.{VALUE}")), "address contains a token's value"),
        (
            version_4(&json!([{ "index_key": of_another, "attributes": attributes() }])),
            "address contains a token's value",
        ),
    ] {
        let read = read_of(Tool::Terraform, &state).unwrap();
        let text = handed_over(&read);
        assert!(text.contains("NOT TAKEN OVER") && text.contains(words), "{words}: {text}");
        assert_eq!(read.tokens.len(), 1, "the other one is read: {text}");
    }
}

#[test]
fn what_powershell_wrote_is_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    let state = version_4(&json!([{ "attributes": attributes() }])).to_string();
    std::fs::write(&file, format!("\u{feff}{state}")).unwrap();
    assert_eq!(read(Tool::Terraform, &file).unwrap().tokens.len(), 2);
    let utf_16: Vec<u8> =
        format!("\u{feff}{state}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&file, utf_16).unwrap();
    let said = read_any(&file).unwrap_err().to_string();
    assert!(said.contains("UTF-16") && said.contains("-Encoding utf8"), "{said}");
}
