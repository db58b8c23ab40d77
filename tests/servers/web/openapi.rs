//! The OpenAPI document says what the answers are: every member of every answer is in it, and of the
//! type that it says.

use std::sync::Arc;

use chrono::TimeDelta;
use scimitar::{
    engine::live::Watched,
    rotation::{pause::Pause, policy::USUAL_NOTICE, watch::Watch},
    token::ConnectionName,
};
use serde_json::Value;

use super::{
    sample,
    site::{Stand, now},
};

/// What in a value is not as the schema says, by its place.
fn wrong(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').unwrap();
        return wrong(document, document.pointer(pointer).unwrap(), value, at, found);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|schema| {
            let mut found = Vec::new();
            wrong(document, schema, value, at, &mut found);
            found.is_empty()
        });
        if !fits {
            found.push(format!("{at}: {value} is none of {any:?}"));
        }
        return;
    }
    let allowed = |list: &Value| list.as_array().is_none_or(|list| list.contains(value));
    let is_const = schema.get("const").is_none_or(|constant| constant == value);
    if !allowed(&schema["enum"]) || !is_const {
        found.push(format!("{at}: {value} is not among {schema}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = match &schema["type"] {
        Value::Null => true,
        Value::String(one) => one == kind,
        several @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            several.as_array().unwrap().iter().any(|one| one == kind)
        }
    };
    if !fits {
        found.push(format!("{at}: {value} is {kind}, not {}", schema["type"]));
    }
    if schema["format"] == "date-time" && !value.is_null() {
        let time = value.as_str().and_then(scimitar::clock::parse_timestamp);
        if time.is_none() {
            found.push(format!("{at}: {value} is no time"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        wrong(document, &schema["items"], item, &format!("{at}/{index}"), found);
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        for (name, member) in members {
            match properties.get(name) {
                Some(schema) => wrong(document, schema, member, &format!("{at}/{name}"), found),
                None => found.push(format!("{at}/{name} is not described")),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap()) {
                found.push(format!("{at}/{} is missing", name.as_str().unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn every_answer_is_what_the_openapi_document_says() {
    let mut gallery = sample::gallery();
    gallery[0].pause = Some(Pause {
        since: now(),
        until: now() + TimeDelta::hours(8),
        by: "alice".to_owned(),
        reason: "migration".to_owned(),
    });
    let stand = Stand::of(&gallery, &[]).await;
    let watch = Watch {
        name: ConnectionName::try_new("by-hand").unwrap(),
        expires_at: now() + TimeDelta::days(1),
        owner: None,
        note: Some("two people".to_owned()),
        link: None,
        notify_before: USUAL_NOTICE.into_iter().collect(),
        shadowed: false,
    };
    stand.live.set_watched(Watched { tokens: [watch].to_vec().into(), hooks: Arc::default() });
    let (status, text) = stand.get("/api/v1/openapi.json").await;
    assert_eq!(status, 200);
    assert_eq!(text, include_str!("../../../docs/openapi.json"), "docs/ has what is served");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let schema = &document["components"]["schemas"]["Document"];
    let mut seen = Vec::new();
    for (path, status) in [
        ("/api/v1/connections", 200),
        ("/api/v1/connections?state=failed", 200),
        ("/api/v1/connections?state=x", 400),
        ("/api/v1/connections/globex-okta", 200),
        ("/api/v1/connections/nobody", 404),
    ] {
        let (answered, text) = stand.get(path).await;
        assert_eq!(answered, status, "{path}");
        let described = match path.strip_prefix("/api/v1/connections/") {
            Some(_) => "/api/v1/connections/{name}",
            None => "/api/v1/connections",
        };
        let responses = &document["paths"][described]["get"]["responses"];
        assert!(responses.get(status.to_string()).is_some(), "{path}: {status}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut found = Vec::new();
        wrong(&document, schema, &value, "", &mut found);
        assert_eq!(found, [""; 0], "{path}");
        seen.extend(value["results"].as_array().unwrap().clone());
    }
    // Nothing is described that no answer has.
    let rows = document["components"]["schemas"]["Row"]["properties"].as_object().unwrap();
    for name in rows.keys().filter(|name| *name != "owner") {
        assert!(seen.iter().any(|row| row.get(name).is_some()), "{name} is in no row");
    }
    let parameters = document["paths"]["/api/v1/connections"]["get"]["parameters"].clone();
    for parameter in parameters.as_array().unwrap() {
        let name = parameter["name"].as_str().unwrap();
        for word in parameter["schema"]["enum"].as_array().into_iter().flatten() {
            let path = format!("/api/v1/connections?{name}={}", word.as_str().unwrap());
            assert_eq!(stand.get(&path).await.0, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_described_is_found() {
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    let schema = &document["components"]["schemas"]["Sink"];
    let bad = serde_json::json!({ "sink": 1, "location": "a", "state": "gone", "more": true });
    let mut found = Vec::new();
    wrong(&document, schema, &bad, "", &mut found);
    assert_eq!(found.len(), 4, "{found:?}");
}
