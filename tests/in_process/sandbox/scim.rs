//! The SCIM endpoint: log-in, scopes, and users as an identity provider handles them.

use serde_json::{Value, json};

use super::support::{Bench, NOBODY, OKTA, Reply};

const EVERYTHING: [&str; 10] = [
    "get:users",
    "post:users",
    "put:users",
    "patch:users",
    "delete:users",
    "get:groups",
    "post:groups",
    "put:groups",
    "patch:groups",
    "delete:groups",
];

fn assert_error(reply: &Reply, status: u16, kind: Option<&str>) {
    let body = reply.json();
    assert_eq!(reply.status, status, "{body}");
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    assert_eq!(body["status"], status.to_string());
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    assert_eq!(body.get("scimType").and_then(Value::as_str), kind, "{body}");
    assert!(reply.header("content-type").unwrap().starts_with("application/scim+json"));
}

#[tokio::test]
async fn only_tokens_of_the_connection_get_in() {
    let bench = Bench::start().await;
    let (id, value) = bench.mint(OKTA).await;
    let users = format!("{OKTA}/Users?count=1");
    let good = bench.scim(Some(&value), "GET", &users, None).await;
    assert_eq!(good.status, 200);
    let body = good.json();
    assert_eq!(body["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    assert_eq!(
        (&body["totalResults"], &body["startIndex"], &body["itemsPerPage"]),
        (&json!(3), &json!(1), &json!(1))
    );
    for (token, path) in [
        (None, users.clone()),
        (Some("wrong"), users.clone()),
        (Some(id.as_str()), users.clone()),
        (Some(bench.access.as_str()), users.clone()),
        (Some(value.as_str()), "con_waad000000000001/Users?count=1".to_owned()),
        (None, format!("{OKTA}/ServiceProviderConfig")),
    ] {
        let refused = bench.scim(token, "GET", &path, None).await;
        assert_error(&refused, 401, None);
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert_error(
        &bench.scim(Some(&value), "GET", &format!("{NOBODY}/Users"), None).await,
        404,
        None,
    );
    bench.api("DELETE", &format!("{}/{id}", Bench::tokens(OKTA)), None).await;
    assert_error(&bench.scim(Some(&value), "GET", &users, None).await, 401, None);
}

#[tokio::test]
async fn each_call_needs_its_own_scope() {
    let bench = Bench::start().await;
    let (_, value) = bench.mint_with(OKTA, json!({ "scopes": ["post:groups"] })).await;
    for (method, path, status) in [
        ("GET", "Users", 403),
        ("GET", "Users/x", 403),
        ("POST", "Users/.search", 403),
        ("POST", "Users", 403),
        ("PUT", "Users/x", 403),
        ("PATCH", "Users/x", 403),
        ("DELETE", "Users/x", 403),
        ("GET", "Groups", 403),
        ("POST", "Groups", 400),
        ("GET", "ServiceProviderConfig", 200),
        ("DELETE", "ServiceProviderConfig", 405),
        ("DELETE", "Users", 405),
        ("POST", ".search", 501),
    ] {
        let body = (method != "GET").then(|| json!({}));
        let reply = bench.scim(Some(&value), method, &format!("{OKTA}/{path}"), body).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_user_comes_changes_and_leaves() {
    let bench = Bench::start().await;
    let (_, value) = bench.mint_with(OKTA, json!({ "scopes": EVERYTHING })).await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        bench.scim(Some(&value), method, &format!("{OKTA}/{path}"), body).await
    };
    let joan = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "joan@example.com", "externalId": "E-17", "password": "canary",
        "name": { "givenName": "Joan" }, "id": "mine",
    });
    let made = call("POST", "Users", Some(joan.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let user = made.json();
    let id = user["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("okta|initech-okta|"), "{id}");
    assert_eq!(user["active"], true);
    assert!(!made.text.contains("canary"));
    assert_eq!(made.header("location"), user["meta"]["location"].as_str());
    assert_error(&call("POST", "Users", Some(joan)).await, 409, Some("uniqueness"));

    // Okta looks a user up before anything else.
    for (filter, found) in [
        (r#"userName eq "JOAN@example.com""#, 1),
        (r#"externalId eq "E-17" and active eq true"#, 1),
        (r#"externalId eq "E-17" or active eq true"#, 4),
        (r#"userName eq "nobody""#, 0),
    ] {
        let path = format!("Users?filter={}", filter.replace(' ', "%20").replace('"', "%22"));
        assert_eq!(call("GET", &path, None).await.json()["totalResults"], found, "{filter}");
        let search = json!({ "filter": filter, "count": 1 });
        let reply = call("POST", "Users/.search", Some(search)).await;
        assert_eq!(reply.json()["totalResults"], found, "{filter}");
    }
    let sorted = call("GET", "Users?filter=userName%20sw%20%22j%22", None).await;
    assert_error(&sorted, 400, Some("invalidFilter"));

    let path = format!("Users/{}", id.replace('|', "%7C"));
    let leave = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{ "op": "Replace", "path": "active", "value": "False" }],
    });
    let left = call("PATCH", &path, Some(leave)).await;
    assert_eq!((left.status, &left.json()["active"]), (200, &json!(false)));
    let replaced = call("PUT", &path, Some(json!({ "userName": "joan2@example.com" }))).await;
    assert_eq!(replaced.json()["externalId"], Value::Null);
    let shown = call("GET", &format!("{path}?attributes=userName"), None).await.json();
    assert_eq!(shown.as_object().unwrap().len(), 3);
    assert_eq!(shown["userName"], "joan2@example.com");
    let shown = call("GET", &format!("{path}?excludedAttributes=meta,active"), None).await.json();
    assert!(shown.get("meta").is_none() && shown.get("active").is_none());
    let taken = json!({ "userName": "ada@initech-okta.example" });
    assert_error(&call("PUT", &path, Some(taken)).await, 409, Some("uniqueness"));
    let bad = json!({ "Operations": [{ "op": "remove", "path": "userName" }] });
    assert_error(&call("PATCH", &path, Some(bad)).await, 400, Some("invalidValue"));

    let gone = call("DELETE", &path, None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    for method in ["GET", "DELETE", "PUT", "PATCH"] {
        let body = (method != "GET").then(|| json!({}));
        assert_error(&call(method, &path, body).await, 404, None);
    }
}

#[tokio::test]
async fn groups_have_members_that_come_and_go() {
    let bench = Bench::start().await;
    let (_, value) = bench.mint_with(OKTA, json!({ "scopes": EVERYTHING })).await;
    let call = async |method: &str, path: &str, body: Option<Value>| {
        bench.scim(Some(&value), method, &format!("{OKTA}/{path}"), body).await
    };
    let made = call("POST", "groups", Some(json!({ "displayName": "Staff" }))).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let path = format!("Groups/{}", made.json()["id"].as_str().unwrap());
    let add = json!({ "Operations": [{ "op": "add", "path": "members",
        "value": [{ "value": "a" }, { "value": "b" }] }] });
    assert_eq!(
        call("PATCH", &path, Some(add)).await.json()["members"].as_array().unwrap().len(),
        2
    );
    let remove = json!({ "Operations": [{ "op": "remove", "path": r#"members[value eq "a"]"# }] });
    let left = call("PATCH", &path, Some(remove)).await.json();
    assert_eq!(left["members"], json!([{ "value": "b" }]));
    let found = call("GET", "Groups?filter=displayName%20eq%20%22staff%22", None).await.json();
    assert_eq!(found["totalResults"], 1);
    assert_error(&call("POST", "Groups", Some(json!({}))).await, 400, Some("invalidValue"));
    assert_eq!(call("DELETE", &path, None).await.status, 204);
}
