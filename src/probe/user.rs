//! The operations on throw-away users, over HTTP.

use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    SeenUser, SeenUsers, UserAct, UserAnswer,
    scim::{ACCEPT, ScimAnswer, ScimClient, lost},
};
use crate::{
    error::{Class, Code, Fault},
    http::{Endpoint, NotAnEndpoint, Reply, Request, quote},
    rotation::probe_user::ProbeUserName,
    token::{ScimUserId, TokenValue},
};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// RFC 7644's own media type.
const SCIM_JSON: &str = "application/scim+json";

/// So many users are asked for, in case the filter is not obeyed.
const MOST: &str = "100";

impl ScimClient {
    /// Sends one operation. What comes back is read for ids, names and whether a user is active; nothing
    /// else of other people's users is kept.
    pub(super) async fn about_user(
        &self,
        endpoint: &Url,
        token: &TokenValue,
        act: &UserAct,
    ) -> UserAnswer {
        let host = endpoint.host_str().unwrap_or_default();
        let operation = format!("{} a throw-away user at {host}", act.op());
        let to = match target(endpoint, act) {
            Ok(to) => to,
            Err(error) => {
                let why = error.to_string();
                let fault = Fault::new(operation, Class::Terminal, Code::Invalid, why);
                return UserAnswer::Inconclusive(fault);
            }
        };
        let mut request = Request::new(method(act), &to)
            .accept(ACCEPT)
            .bearer(token.expose())
            .within(self.request_timeout);
        if let Some(body) = body(act) {
            request = request.body(SCIM_JSON, Zeroizing::new(body.to_string().into_bytes()));
        }
        match self.http.send(request).await {
            Ok(reply) => meant(&ScimAnswer { operation, reply }, token),
            Err(unanswered) => UserAnswer::Inconclusive(lost(operation, unanswered)),
        }
    }
}

/// An id is one segment of the path, whatever it holds.
fn target(endpoint: &Url, act: &UserAct) -> Result<Endpoint, NotAnEndpoint> {
    let endpoint = Endpoint::try_new(endpoint.clone())?;
    match act {
        UserAct::Create(_) => endpoint.join(&["Users"]),
        UserAct::Search(name) => {
            let filter = format!("userName eq \"{name}\"");
            Ok(endpoint.join(&["Users"])?.query("filter", &filter).query("count", MOST))
        }
        UserAct::Read(id)
        | UserAct::Replace(id, _)
        | UserAct::Patch(id)
        | UserAct::Deactivate(id)
        | UserAct::Delete(id) => endpoint.join(&["Users", id.as_str()]),
    }
}

fn method(act: &UserAct) -> Method {
    match act {
        UserAct::Create(_) => Method::POST,
        UserAct::Read(_) | UserAct::Search(_) => Method::GET,
        UserAct::Replace(..) => Method::PUT,
        UserAct::Patch(_) | UserAct::Deactivate(_) => Method::PATCH,
        UserAct::Delete(_) => Method::DELETE,
    }
}

fn body(act: &UserAct) -> Option<Value> {
    let patch = |path: &str, value: Value| {
        Some(json!({
            "schemas": [PATCH],
            "Operations": [{ "op": "replace", "path": path, "value": value }],
        }))
    };
    match act {
        UserAct::Create(name) => Some(user(name, "Scimitar probe")),
        UserAct::Replace(_, name) => Some(user(name, "Scimitar probe, replaced")),
        UserAct::Patch(_) => patch("displayName", json!("Scimitar probe, changed")),
        UserAct::Deactivate(_) => patch("active", json!(false)),
        UserAct::Read(_) | UserAct::Search(_) | UserAct::Delete(_) => None,
    }
}

/// What an identity provider would send of somebody.
fn user(name: &ProbeUserName, display: &str) -> Value {
    json!({
        "schemas": [USER],
        "userName": name.as_str(),
        "externalId": name.as_str(),
        "name": { "givenName": "Scimitar", "familyName": "Probe" },
        "displayName": display,
        "active": true,
        "emails": [{ "value": name.as_str(), "type": "work", "primary": true }],
    })
}

fn meant(answer: &ScimAnswer, token: &TokenValue) -> UserAnswer {
    match answer.reply.status {
        200..=299 => UserAnswer::Done(seen(&answer.reply, token)),
        401 => UserAnswer::Unauthorized,
        403 => UserAnswer::Forbidden,
        404 | 410 => UserAnswer::NotThere,
        408 | 429 => UserAnswer::Inconclusive(answer.inconclusive()),
        status @ (400..=499 | 501) => {
            UserAnswer::Refused { status, words: words(&answer.reply, token) }
        }
        _ => UserAnswer::Inconclusive(answer.inconclusive()),
    }
}

/// What a refusal says (RFC 7644 section 3.12), without the token.
fn words(reply: &Reply, token: &TokenValue) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        detail: Option<String>,
    }
    let detail = reply.json::<Refusal>().ok().and_then(|refusal| refusal.detail);
    let quoted = detail.map(|detail| format!(": {}", quote(&detail, &[token.expose()])));
    format!("it answered {}{}", reply.status, quoted.unwrap_or_default())
}

/// The users in an answer: a list's, or the one that it is about.
fn seen(reply: &Reply, token: &TokenValue) -> SeenUsers {
    let mut seen = reply.json::<Value>().map_or_else(|_| unreadable(), |body| users(&body));
    // Ids are stored and shown.
    let all = seen.users.len();
    seen.users.retain(|user| !user.id.as_str().contains(token.expose()));
    seen.unreadable |= seen.users.len() < all;
    seen
}

fn unreadable() -> SeenUsers {
    SeenUsers { unreadable: true, ..SeenUsers::default() }
}

fn users(body: &Value) -> SeenUsers {
    let total = member(body, "totalResults").and_then(Value::as_u64);
    let resources = match (member(body, "Resources"), total) {
        (Some(Value::Array(resources)), _) => resources.as_slice(),
        // Where there is nothing to show, the list itself may be left out.
        (None | Some(Value::Null), Some(_)) => &[],
        (Some(_), _) => return unreadable(),
        (None, None) => {
            let users: Vec<SeenUser> = one(body).into_iter().collect();
            return SeenUsers { unreadable: users.is_empty(), users, more: false };
        }
    };
    let shown = u64::try_from(resources.len()).unwrap_or(u64::MAX);
    let more = total.map_or(shown > 0, |total| total > shown);
    // One that cannot be read may be the one that is looked for.
    let users: Vec<SeenUser> = resources.iter().filter_map(one).collect();
    SeenUsers { unreadable: users.len() < resources.len(), users, more }
}

fn one(resource: &Value) -> Option<SeenUser> {
    let text = |name: &str| member(resource, name).and_then(Value::as_str);
    let active = member(resource, "active").and_then(|active| match active {
        Value::Bool(active) => Some(*active),
        // Some write it as a text.
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    });
    // These two are no segment of a path.
    let id = text("id").filter(|id| !matches!(*id, "." | ".."))?;
    Some(SeenUser { id: ScimUserId::try_new(id).ok()?, name: text("userName")?.to_owned(), active })
}

/// A member whatever the case of its name (RFC 7643 section 2.1).
fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let members = value.as_object()?;
    let same =
        |(other, value): (&String, &'v Value)| other.eq_ignore_ascii_case(name).then_some(value);
    members.get(name).or_else(|| members.iter().find_map(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ScimUserId {
        ScimUserId::try_new(text).unwrap()
    }

    #[test]
    fn an_id_is_one_segment_of_the_path_whatever_it_holds() {
        let endpoint = Url::parse("https://scim.example.com/v2").unwrap();
        let base = "/v2/Users/";
        for (text, encoded) in [
            ("samlp|acme|abc", "samlp%7Cacme%7Cabc"),
            ("../../other/Users/ada", "..%2F..%2Fother%2FUsers%2Fada"),
            ("a?b#c%2Fd", "a%3Fb%23c%252Fd"),
            ("a\\b", "a%5Cb"),
        ] {
            let to = target(&endpoint, &UserAct::Delete(id(text))).unwrap();
            assert_eq!(to.url().path(), format!("{base}{encoded}"), "{text}");
            assert_eq!(to.url().query(), None);
        }
    }

    #[test]
    fn a_list_and_a_single_user_are_read_alike() {
        let read = |json: &str| {
            let body: Value = serde_json::from_str(json).unwrap();
            users(&body)
        };
        let ada = SeenUser { id: id("a|1"), name: "ada".to_owned(), active: Some(false) };
        let shown = SeenUsers { users: vec![ada], ..SeenUsers::default() };
        assert_eq!(read(r#"{"id":"a|1","userName":"ada","active":false}"#), shown);
        assert_eq!(read(r#"{"ID":"a|1","username":"ada","active":"False"}"#), shown);
        let list = |total: u32| {
            format!(
                r#"{{"totalResults":{total},"Resources":[{{"id":"a|1","userName":"ada","active":false}}]}}"#
            )
        };
        assert_eq!(read(&list(1)), shown);
        assert_eq!(read(&list(2)), SeenUsers { more: true, ..shown.clone() });
        assert_eq!(read(r#"{"totalResults":0}"#), SeenUsers::default());
        assert!(read(r#"{"totalResults":3}"#).more);
        let nameless = r#"{"totalResults":2,"Resources":[{"id":"a|1","userName":"ada","active":false},{"id":"a|2"}]}"#;
        assert_eq!(read(nameless), SeenUsers { unreadable: true, ..shown });
        for odd in ["[]", "{}", "7", r#"{"id":".","userName":"ada"}"#, r#"{"Resources":{}}"#] {
            assert!(read(odd).unreadable, "{odd}");
        }
    }
}
