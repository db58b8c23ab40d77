//! Answers that are not what the tenant would say.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    dbt,
    made::millis,
    ratelimit::too_many_requests,
    wire::{Body, TenantAnswer, oauth_refusal, reason, refusal, scim_refusal},
};
use crate::clock::parse_timestamp;

/// 429 in the shape of the API asked.
pub(super) fn throttled(path: &str, retry_after: Option<u64>) -> TenantAnswer {
    let answer = if path.starts_with("/oauth/") {
        oauth_refusal(429, "too_many_requests", "Client quota exceeded")
    } else if path.starts_with("/scim/") || path.starts_with("/api/v3/") {
        refusal_for(path, 429, "Too many requests", "")
    } else {
        too_many_requests()
    };
    match retry_after {
        Some(seconds) => answer.with("retry-after", seconds.to_string()),
        None => answer,
    }
}

/// A failure in the shape of the API asked.
pub(super) fn failed(path: &str, status: u16) -> TenantAnswer {
    refusal_for(path, status, reason(status), "internal_error")
}

/// A 404 in the words of the API asked, where that has words of its own for it.
pub(super) fn away(path: &str, otherwise: TenantAnswer) -> TenantAnswer {
    if path.starts_with("/api/v3/") { failed(path, 404) } else { otherwise }
}

/// What a proxy says when the service behind it is away.
pub(super) fn bad_gateway() -> TenantAnswer {
    TenantAnswer::text(
        502,
        "text/html",
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
         <center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
    )
}

/// The first half of the body.
pub(super) fn truncated(answer: &TenantAnswer) -> TenantAnswer {
    let bytes = answer.bytes();
    let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
    TenantAnswer { body: Body::Text(String::from_utf8_lossy(half).into_owned()), ..answer.clone() }
}

/// Members that a later version of the API might add.
pub(super) fn with_extra_members(mut answer: TenantAnswer) -> TenantAnswer {
    fn add(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.values_mut().for_each(add);
                members.insert("x_added_later".to_owned(), json!({ "a": [1, null] }));
            }
            Value::Array(items) => items.iter_mut().for_each(add),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    if let Body::Json(value) = &mut answer.body {
        add(value);
    }
    answer
}

/// Moves every `valid_until`.
pub(super) fn valid_until_off(mut answer: TenantAnswer, seconds: i64) -> TenantAnswer {
    fn shift(value: &mut Value, by: TimeDelta) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    match value.as_str().filter(|_| name == "valid_until") {
                        Some(text) => {
                            let at = parse_timestamp(text).and_then(|at| at.checked_add_signed(by));
                            *value = at.map_or(Value::Null, |at| json!(millis(at)));
                        }
                        None => shift(value, by),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| shift(item, by)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    if let Body::Json(value) = &mut answer.body {
        shift(value, TimeDelta::try_seconds(seconds).unwrap_or_default());
    }
    answer
}

/// A refusal in the shape of the API that the path belongs to.
pub(super) fn refusal_for(path: &str, status: u16, message: &str, code: &str) -> TenantAnswer {
    if path.starts_with("/oauth/") {
        oauth_refusal(status, code, message)
    } else if path.starts_with("/scim/") || dbt::is_scim(path) {
        scim_refusal(status, None, message)
    } else if dbt::is_admin(path) {
        dbt::failed(status)
    } else {
        refusal(status, message, Some(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_until_moves() {
        let answer = TenantAnswer::json(
            200,
            json!([{ "valid_until": "2026-11-22T00:00:00.000Z", "created_at": "x" }, {}]),
        );
        let Body::Json(moved) = valid_until_off(answer, -61).body else {
            panic!("JSON stays JSON")
        };
        assert_eq!(
            moved,
            json!([{ "valid_until": "2026-11-21T23:58:59.000Z", "created_at": "x" }, {}])
        );
    }

    #[test]
    fn half_a_body_is_no_json() {
        let half = truncated(&TenantAnswer::json(200, json!([{ "token_id": "tok_1" }])));
        assert!(serde_json::from_slice::<Value>(&half.bytes()).is_err());
        assert_eq!(half.status, 200);
    }
}
