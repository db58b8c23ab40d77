//! The facts of exchanges that were recorded against Auth0 (2024-06-26, 2024-10-14, 2025-05 and
//! 2025-11): request, status, members, kinds of values. The sandbox must agree with each.

use serde_json::json;

use super::{
    kinds::{Kind, assert_json, assert_members},
    support::{Bench, NOBODY, OKTA},
};

const CONNECTION: &[(&str, Kind)] = &[
    ("id", Kind::ConnectionId),
    ("options", Kind::Object),
    ("strategy", Kind::Is("okta")),
    ("name", Kind::Is("Test-Okta-Connection-1728906791")),
    ("is_domain_connection", Kind::Truth),
    ("show_as_button", Kind::Truth),
    ("display_name", Kind::Is("Test-Okta-Connection-1728906791")),
    ("enabled_clients", Kind::EmptyList),
    ("realms", Kind::Texts),
];

const OPTIONS: &[(&str, Kind)] = &[
    ("client_id", Kind::Is("4ef8d976-71bd-4473-a7ce-087d3f0fafd8")),
    ("client_secret", Kind::Is("mySecret")),
    ("domain", Kind::Is("domain.okta.com")),
    ("authorization_endpoint", Kind::Is("https://example.com")),
    ("issuer", Kind::Is("https://example.com")),
    ("jwks_uri", Kind::Is("https://example.com/jwks")),
    ("userinfo_endpoint", Kind::Is("https://domain.okta.com/oauth2/v1/userinfo")),
    ("token_endpoint", Kind::Is("https://domain.okta.com/oauth2/v1/token")),
    ("scope", Kind::Is("openid")),
    ("upstream_params", Kind::Object),
    ("oidc_metadata", Kind::Object),
    ("schema_version", Kind::Is("oidc-V4")),
    ("type", Kind::Is("back_channel")),
    ("attribute_map", Kind::Object),
    ("connection_settings", Kind::Object),
];

const CONFIG: &[(&str, Kind)] = &[
    ("tenant_name", Kind::Text),
    ("connection_id", Kind::ConnectionId),
    ("connection_name", Kind::Is("Test-Okta-Connection-1728906791")),
    ("strategy", Kind::Is("okta")),
    ("mapping", Kind::Mapping),
    ("updated_on", Kind::Time),
    ("created_at", Kind::Time),
    ("user_id_attribute", Kind::Text),
];

const MADE: &[(&str, Kind)] = &[
    ("token_id", Kind::TokenId),
    ("token", Kind::TokenValue),
    ("scopes", Kind::Texts),
    ("created_at", Kind::Time),
];

const LISTED: &[(&str, Kind)] =
    &[("token_id", Kind::TokenId), ("created_at", Kind::Time), ("scopes", Kind::Texts)];

async fn okta(bench: &Bench) -> String {
    let reply = bench
        .api(
            "POST",
            "connections",
            Some(json!({
                "name": "Test-Okta-Connection-1728906791",
                "strategy": "okta",
                "options": {
                    "client_id": "4ef8d976-71bd-4473-a7ce-087d3f0fafd8",
                    "client_secret": "mySecret",
                    "domain": "domain.okta.com",
                    "authorization_endpoint": "https://example.com",
                    "issuer": "https://example.com",
                    "jwks_uri": "https://example.com/jwks",
                    "userinfo_endpoint": null,
                    "token_endpoint": null,
                    "scope": "openid",
                    "upstream_params": { "screen_name": { "alias": "login_hint" } },
                },
            })),
        )
        .await;
    assert_json(&reply, 201, "create connection");
    let made = reply.json();
    assert_members(&made, CONNECTION, "create connection");
    assert_members(&made["options"], OPTIONS, "create connection, options");
    assert_eq!(
        made["options"]["upstream_params"],
        json!({ "screen_name": { "alias": "login_hint" } })
    );
    assert_eq!(made["options"]["connection_settings"], json!({ "pkce": "auto" }));
    made["id"].as_str().unwrap().to_owned()
}

async fn gone(bench: &Bench, id: &str) {
    let reply = bench.api("DELETE", &format!("connections/{id}"), None).await;
    assert_json(&reply, 202, "delete connection");
    assert_members(&reply.json(), &[("deleted_at", Kind::Time)], "delete connection");
}

/// An empty answer.
async fn no_content(bench: &Bench, path: &str) {
    let reply = bench.api("DELETE", path, None).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{path}");
}

#[tokio::test]
async fn a_configuration_is_made_from_no_an_empty_or_a_full_body() {
    let mapping = json!([{ "auth0": "username", "scim": "userName" },
                         { "auth0": "email", "scim": "email" }]);
    let full = json!({ "user_id_attribute": "userName", "mapping": mapping });
    for (body, attribute, pairs) in
        [(None, "externalId", 32), (Some(json!({})), "externalId", 32), (Some(full), "userName", 2)]
    {
        let bench = Bench::start().await;
        let id = okta(&bench).await;
        let path = format!("connections/{id}/scim-configuration");
        let reply = bench.api("POST", &path, body.clone()).await;
        assert_json(&reply, 201, "create configuration");
        let made = reply.json();
        assert_members(&made, CONFIG, "create configuration");
        assert_eq!(made["user_id_attribute"], attribute);
        assert_eq!(made["mapping"].as_array().unwrap().len(), pairs);
        assert_eq!(made["connection_id"], id.as_str());
        assert_eq!(made["updated_on"], made["created_at"]);

        let reply = bench.api("GET", &path, None).await;
        assert_json(&reply, 200, "read configuration");
        assert_eq!(reply.json(), made);
        // Recorded: the second DELETE is answered like the first.
        no_content(&bench, &path).await;
        no_content(&bench, &path).await;
        let reply = bench.api("GET", &path, None).await;
        assert_json(&reply, 404, "read no configuration");
        assert_eq!(
            reply.json(),
            json!({ "statusCode": 404, "error": "Not Found", "message": "Not Found" })
        );
        gone(&bench, &id).await;
    }
}

#[tokio::test]
async fn a_configuration_is_changed() {
    let bench = Bench::start().await;
    let id = okta(&bench).await;
    let path = format!("connections/{id}/scim-configuration");
    let made = bench.api("POST", &path, Some(json!({}))).await.json();
    let mapping = json!([{ "auth0": "username", "scim": "userName" },
                         { "auth0": "email", "scim": "email" }]);
    let change = json!({ "user_id_attribute": "userName", "mapping": mapping });
    let reply = bench.api("PATCH", &path, Some(change)).await;
    assert_json(&reply, 200, "change configuration");
    let changed = reply.json();
    assert_members(&changed, CONFIG, "change configuration");
    assert_eq!(changed["mapping"], mapping);
    assert_eq!(changed["user_id_attribute"], "userName");
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_eq!(bench.api("GET", &path, None).await.json(), changed);
}

#[tokio::test]
async fn the_default_mapping_is_the_recorded_one() {
    let bench = Bench::start().await;
    let path = format!("connections/{OKTA}/scim-configuration/default-mapping");
    let reply = bench.api("GET", &path, None).await;
    assert_json(&reply, 200, "default mapping");
    assert_members(&reply.json(), &[("mapping", Kind::Mapping)], "default mapping");
    let mapping = reply.json()["mapping"].clone();
    assert_eq!(mapping[0], json!({ "auth0": "preferred_username", "scim": "userName" }));
    assert_eq!(
        mapping[31],
        json!({
            "auth0": "app_metadata.manager",
            "scim": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.manager",
        })
    );
}

#[tokio::test]
async fn a_token_is_made_listed_and_deleted() {
    let bench = Bench::start().await;
    let id = okta(&bench).await;
    bench.api("POST", &format!("connections/{id}/scim-configuration"), Some(json!({}))).await;
    let path = Bench::tokens(&id);
    let reply = bench.api("GET", &path, None).await;
    assert_json(&reply, 200, "list no tokens");
    assert_eq!(reply.text, "[]");

    let scopes = json!(["get:users", "post:users", "put:users", "patch:users"]);
    let reply = bench.api("POST", &path, Some(json!({ "scopes": scopes }))).await;
    assert_json(&reply, 201, "create token");
    let made = reply.json();
    assert_members(&made, MADE, "create token");
    assert_eq!(made["scopes"], scopes);
    // The recorded Content-Length: the same members, and no `valid_until`.
    assert_eq!(reply.text.len(), 233);

    let reply = bench.api("GET", &path, None).await;
    assert_json(&reply, 200, "list tokens");
    let list = reply.json();
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_members(&list[0], LISTED, "list tokens");
    for name in ["token_id", "created_at", "scopes"] {
        assert_eq!(list[0][name], made[name]);
    }
    let token = made["token_id"].as_str().unwrap();
    no_content(&bench, &format!("{path}/{token}")).await;
    assert_eq!(bench.api("GET", &path, None).await.text, "[]");
    gone(&bench, &id).await;
}

#[tokio::test]
async fn in_june_2024_members_that_do_not_apply_were_null() {
    let bench = Bench::start().await;
    bench.running.faults().quirks(|quirks| quirks.nulls = true);
    let reply = bench
        .api(
            "POST",
            &Bench::tokens(OKTA),
            Some(json!({ "scopes": ["get:users", "post:users", "put:users", "patch:users"] })),
        )
        .await;
    // The recorded Content-Length of the create answer of that time.
    assert_eq!(reply.text.len(), 252);
    let list = bench.api("GET", &Bench::tokens(OKTA), None).await.json();
    let members = list[0].as_object().unwrap();
    assert_eq!(members.len(), 5);
    assert!(members["valid_until"].is_null() && members["last_used_at"].is_null());
}

#[tokio::test]
async fn a_configuration_is_deleted_while_a_token_lives() {
    let bench = Bench::start().await;
    let (_, value) = bench.mint(OKTA).await;
    let path = format!("connections/{OKTA}/scim-configuration");
    no_content(&bench, &path).await;
    bench.api("POST", &path, None).await;
    assert_eq!(bench.listed(OKTA).await, Vec::<String>::new());
    let users = format!("{OKTA}/Users");
    assert_eq!(bench.scim(Some(&value), "GET", &users, None).await.status, 401);
}

#[tokio::test]
async fn unknown_connections_are_told_apart_by_their_error_code() {
    let bench = Bench::start().await;
    let path = format!("connections/{NOBODY}/scim-configuration");
    for (method, body) in [("GET", None), ("POST", Some(json!({})))] {
        let reply = bench.api(method, &path, body).await;
        assert_json(&reply, 404, method);
        assert_eq!(
            reply.json(),
            json!({
                "statusCode": 404,
                "error": "Not Found",
                "message": "The connection does not exist",
                "errorCode": "inexistent_connection",
            })
        );
    }
}

#[tokio::test]
async fn connections_are_listed_in_three_shapes() {
    let bench = Bench::start().await;
    let database = json!({ "name": "Test-Auth0-Connection-List", "strategy": "auth0" });
    let reply = bench.api("POST", "connections", Some(database)).await;
    assert_json(&reply, 201, "create database connection");
    let members = [
        ("id", Kind::ConnectionId),
        ("options", Kind::Object),
        ("strategy", Kind::Is("auth0")),
        ("name", Kind::Is("Test-Auth0-Connection-List")),
        ("is_domain_connection", Kind::Truth),
        ("enabled_clients", Kind::EmptyList),
        ("realms", Kind::Texts),
    ];
    assert_members(&reply.json(), &members, "create database connection");
    assert_eq!(reply.json()["options"]["passwordPolicy"], "good");

    let query = "fields=id&include_fields=true&include_totals=true&per_page=50";
    let reply = bench.api("GET", &format!("connections?{query}"), None).await;
    assert_json(&reply, 200, "list with totals");
    let page = reply.json();
    assert_eq!(
        (&page["total"], &page["start"], &page["limit"]),
        (&json!(4), &json!(0), &json!(50))
    );
    for name in ["total", "start", "limit"] {
        assert!(Kind::Number.fits(&page[name]));
    }
    let items = page["connections"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    for item in items {
        // Recorded: `is_domain_connection` comes unasked.
        let members = [("id", Kind::ConnectionId), ("is_domain_connection", Kind::Truth)];
        assert_members(item, &members, "list with totals");
    }

    let reply = bench.api("GET", "connections?per_page=3&page=1&fields=id,name", None).await;
    assert_eq!(reply.json().as_array().unwrap().len(), 1);

    let reply = bench.api("GET", "connections?take=3&include_totals=true&per_page=50", None).await;
    let first = reply.json();
    assert_eq!(first["connections"].as_array().unwrap().len(), 3);
    assert_eq!(first.as_object().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let last = bench.api("GET", &format!("connections?take=3&from={next}"), None).await.json();
    assert_eq!(last["connections"].as_array().unwrap().len(), 1);
    assert_eq!(last.get("next"), None);

    let named = bench.api("GET", "connections?strategy=okta&strategy=waad", None).await.json();
    assert_eq!(named.as_array().unwrap().len(), 2);
    let named = bench.api("GET", "connections?name=initech-okta", None).await.json();
    assert_eq!(named[0]["id"], OKTA);
}

#[tokio::test]
async fn scim_enabled_connections_are_listed_by_checkpoint() {
    let bench = Bench::start().await;
    let database = json!({ "name": "plain", "strategy": "auth0" });
    bench.api("POST", "connections", Some(database)).await;
    let first = bench.api("GET", "connections-scim-configurations?take=2", None).await.json();
    let items = first["scim_configurations"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert!(items.iter().all(|item| Kind::Mapping.fits(&item["mapping"])));
    let next = first["next"].as_str().unwrap();
    let path = format!("connections-scim-configurations?take=2&from={next}");
    let last = bench.api("GET", &path, None).await.json();
    assert_eq!(last["scim_configurations"].as_array().unwrap().len(), 1);
    assert_eq!(last.get("next"), None);
}
