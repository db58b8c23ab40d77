//! A request and its answer as the tenant sees them, and the shapes of Auth0's errors.

use axum::{
    body::Body as HttpBody,
    http::{HeaderName, HeaderValue, Method, Response, StatusCode, header},
};
use reqwest::Url;
use serde_json::{Value, json};

use crate::clock::Timestamp;

/// A request, read to its end.
#[derive(Clone, Debug)]
pub(super) struct TenantRequest {
    pub(super) method: Method,
    /// The path without its query, as it was sent.
    pub(super) path: String,
    /// The decoded parts of the path, without empty ones.
    pub(super) segments: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    /// The value of `Authorization: Bearer …`.
    pub(super) bearer: Option<String>,
    /// The value of `Authorization: Token …`.
    pub(super) token: Option<String>,
    pub(super) content_type: String,
    /// Scheme and authority that the caller used, for links in answers.
    pub(super) origin: String,
    pub(super) body: Vec<u8>,
}

impl TenantRequest {
    /// The first value of a query parameter.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter that may be repeated.
    pub(super) fn params(&self, name: &str) -> Vec<&str> {
        self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The decoded parts of the path as a slice pattern can match them.
    pub(super) fn parts(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }
}

/// Splits a path at its slashes and decodes each part.
pub(super) fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty()).map(percent_decoded).collect()
}

/// Decodes `a=b&c=d`.
pub(super) fn pairs(form: &str) -> Vec<(String, String)> {
    let Ok(mut url) = Url::parse("http://sandbox/") else {
        return Vec::new();
    };
    url.set_query(Some(form));
    url.query_pairs().into_owned().collect()
}

fn percent_decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |offset: usize| {
            bytes.get(at + offset).and_then(|digit| char::from(*digit).to_digit(16))
        };
        if let (b'%', Some(high), Some(low)) = (byte, hex(1), hex(2)) {
            out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An answer before it is written.
#[derive(Clone, Debug)]
pub(super) struct TenantAnswer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Body,
}

/// What an answer carries.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Empty,
    Json(Value),
    Text(String),
}

impl TenantAnswer {
    /// JSON as the Management API sends it.
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: Body::Json(body),
        }
    }

    /// JSON as a SCIM endpoint sends it (RFC 7644 section 3.1).
    pub(super) fn scim(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/scim+json; charset=utf-8".to_owned())],
            body: Body::Json(body),
        }
    }

    /// Anything that is not JSON.
    pub(super) fn text(status: u16, content_type: &str, text: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: Body::Text(text.to_owned()),
        }
    }

    /// 204.
    pub(super) fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Body::Empty }
    }

    /// An answer without a body.
    pub(super) fn no_content_with(status: u16) -> Self {
        Self { status, ..Self::no_content() }
    }

    /// The same answer with one more header.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The bytes of the body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::Empty => Vec::new(),
            Body::Json(value) => value.to_string().into_bytes(),
            Body::Text(text) => text.clone().into_bytes(),
        }
    }

    /// Writes the answer with the tenant's own clock in `Date`.
    pub(super) fn into_response(self, now: Timestamp) -> Response<HttpBody> {
        let mut response = Response::new(HttpBody::from(self.bytes()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let headers = response.headers_mut();
        if let Ok(date) = HeaderValue::from_str(&date) {
            headers.insert(header::DATE, date);
        }
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// The Management API's error shape. `code` is optional there too.
pub(super) fn refusal(status: u16, message: &str, code: Option<&str>) -> TenantAnswer {
    let mut body = json!({
        "statusCode": status,
        "error": reason(status),
        "message": message,
    });
    if let (Some(code), Some(members)) = (code, body.as_object_mut()) {
        members.insert("errorCode".to_owned(), json!(code));
    }
    TenantAnswer::json(status, body)
}

/// The reason phrase that goes with a status.
pub(super) fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

/// 404 as for a path that nobody serves, and for a connection without SCIM.
pub(super) fn not_found() -> TenantAnswer {
    refusal(404, "Not Found", None)
}

/// 404: no such connection.
pub(super) fn no_connection() -> TenantAnswer {
    refusal(404, "The connection does not exist", Some("inexistent_connection"))
}

/// 404: the connection's strategy has no SCIM.
pub(super) fn scim_unsupported() -> TenantAnswer {
    refusal(
        404,
        "This connection type does not support SCIM. Please see our documentation for the \
         currently supported connection types: \
         https://auth0.com/docs/authenticate/protocols/scim/configure-inbound-scim.",
        None,
    )
}

/// 400: the body does not fit its schema.
pub(super) fn invalid_body(detail: &str) -> TenantAnswer {
    refusal(400, &format!("Payload validation error: {detail}."), Some("invalid_body"))
}

/// 400: a part of the path does not fit its pattern.
pub(super) fn invalid_path(detail: &str) -> TenantAnswer {
    refusal(400, &format!("Path validation error: {detail}."), Some("invalid_uri"))
}

/// 400: a query parameter does not fit its schema.
pub(super) fn invalid_query(detail: &str) -> TenantAnswer {
    refusal(400, &format!("Query validation error: {detail}."), Some("invalid_query_string"))
}

/// 401 in the shape that tells why a management token is refused.
pub(super) fn unauthorized(message: &str) -> TenantAnswer {
    TenantAnswer::json(
        401,
        json!({
            "statusCode": 401,
            "error": "Unauthorized",
            "message": message,
            "attributes": { "error": message },
        }),
    )
}

/// 403: the management token lacks the scope.
pub(super) fn insufficient_scope(scope: &str) -> TenantAnswer {
    refusal(
        403,
        &format!("Insufficient scope, expected any of: {scope}."),
        Some("insufficient_scope"),
    )
}

/// The log-in endpoint's error shape (RFC 6749 section 5.2).
pub(super) fn oauth_refusal(status: u16, error: &str, description: &str) -> TenantAnswer {
    TenantAnswer::json(status, json!({ "error": error, "error_description": description }))
}

/// A SCIM endpoint's error shape (RFC 7644 section 3.12).
pub(super) fn scim_refusal(status: u16, kind: Option<&str>, detail: &str) -> TenantAnswer {
    let mut body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": status.to_string(),
        "detail": detail,
    });
    if let (Some(kind), Some(members)) = (kind, body.as_object_mut()) {
        members.insert("scimType".to_owned(), json!(kind));
    }
    TenantAnswer::scim(status, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_part_by_part() {
        assert_eq!(
            segments("/scim/v2//Users/samlp%7Cacme%2Fx%7C1"),
            ["scim", "v2", "Users", "samlp|acme/x|1"]
        );
        assert_eq!(segments("/a%zz%4"), ["a%zz%4"]);
    }

    #[test]
    fn forms_are_decoded() {
        assert_eq!(
            pairs("a=b+c&a=%7C&d"),
            [("a", "b c"), ("a", "|"), ("d", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
    }
}
