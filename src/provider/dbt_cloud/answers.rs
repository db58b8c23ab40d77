//! What dbt Cloud's answers mean.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    clock::ProviderTime,
    error::{Class, Code, Fault},
    http::{Reply, quote},
    provider::{
        Revoked,
        operation::{Kind, Operation},
        pages::Page,
    },
    token::{Listed, Minted, Scopes, TokenId, TokenName, TokenValue, looks_like_a_value},
};

/// What has to be done about an answer of 403, or of 404, which may mean the same.
const RIGHTS: &str = "the token needs the account-admin permission set, and SCIM needs a plan that \
                      includes it";

impl Operation {
    /// The fault of an answer other than a success. `secrets` are kept out of the words.
    pub(super) fn dbt_refused(&self, reply: &Reply, secrets: &[&str]) -> Fault {
        let status = reply.status;
        let said = Status::of(reply);
        let words = said.as_ref().map_or_else(String::new, |said| said.words(secrets));
        let answered = format!("{} answered {status}{words}", self.host);
        let usual = self.meaning(status);
        let (meaning, way_out) = match status {
            300..=399 => self.redirected(reply),
            401 => (
                usual,
                "the token is rejected: check that it still exists in dbt Cloud, and whether the \
                 account needs scheme = \"Bearer\""
                    .to_owned(),
            ),
            402 | 403 => (usual, RIGHTS.to_owned()),
            404 if said.is_some() => (
                usual,
                format!(
                    "dbt Cloud gives the same answer for what does not exist and for what is not \
                     permitted: check host and account_id; {RIGHTS}"
                ),
            ),
            404 => (
                (Class::Terminal, Code::Unreadable),
                "this is not dbt Cloud's answer for something that does not exist: check host and \
                 base_url"
                    .to_owned(),
            ),
            409 if self.kind == Kind::Create => {
                (usual, "the account allows no further token: revoke one first".to_owned())
            }
            429 => (usual, "the whole account is blocked for five minutes".to_owned()),
            _ => (usual, String::new()),
        };
        self.failed(reply, answered, meaning, &way_out)
    }

    /// One page of a list.
    pub(super) fn page(&self, reply: &Reply) -> Result<Page, Fault> {
        let answer: Envelope<Vec<ItemAnswer>> = self.envelope(reply)?;
        let items =
            answer.data.ok_or_else(|| self.unreadable(reply, "the answer has no `data`"))?;
        let mut tokens = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let token = item.listed().ok_or_else(|| {
                let why = format!("token {} of its list has no readable id or times", index + 1);
                self.unreadable(reply, &why)
            })?;
            tokens.push(token);
        }
        let pagination = answer.extra.and_then(|extra| extra.pagination).unwrap_or_default();
        if pagination.count.is_some_and(|count| count != tokens.len()) {
            return Err(self.unreadable(reply, "its page does not have as many entries as it says"));
        }
        let total = pagination.total_count;
        Ok(Page { tokens, total, is_last: None, provider_time: reply.date() })
    }

    /// The token that was made. What cannot be read may have been made all the same.
    pub(super) fn dbt_minted(&self, reply: &Reply, asked: &TokenName) -> Result<Minted, Fault> {
        let answer: Envelope<CreateAnswer> = self.envelope(reply)?;
        let made = answer.data.ok_or_else(|| self.unreadable(reply, "the answer has no `data`"))?;
        let CreateAnswer { token_string, id, name, created_at, last_used } = made;
        let value = TokenValue::try_new(token_string)
            .map_err(|_| self.unreadable(reply, "the token in the answer is not valid"))?;
        let name = name.or_else(|| Some(asked.as_str().to_owned()));
        let token = ItemAnswer { id, name, created_at, last_used }
            .listed()
            .ok_or_else(|| self.unreadable(reply, "the new token has no readable id or times"))?;
        self.made(reply, Minted { token, value })
    }

    /// What a DELETE was answered.
    pub(super) fn dbt_revoked(&self, reply: &Reply, secrets: &[&str]) -> Result<Revoked, Fault> {
        match reply.status {
            204 => Ok(Revoked::Deleted),
            // Not documented, but all other calls answer so.
            200 => self.envelope::<Value>(reply).map(|_| Revoked::Deleted),
            // Whether it was there or is not ours to see is not known: a complete list tells.
            404 if Status::of(reply).is_some() => Ok(Revoked::NotFound),
            _ => Err(self.dbt_refused(reply, secrets)),
        }
    }

    /// The answer's envelope, if that says as well that all went well.
    fn envelope<T: for<'de> Deserialize<'de>>(&self, reply: &Reply) -> Result<Envelope<T>, Fault> {
        let answer: Envelope<T> = reply.json().map_err(|why| self.unreadable(reply, &why))?;
        let failed = answer.status.as_ref().is_some_and(|status| status.is_success == Some(false));
        if failed {
            return Err(self.unreadable(reply, "reports a failure in the body"));
        }
        Ok(answer)
    }
}

/// What every answer with a body comes in. Unknown members are allowed.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    status: Option<Status>,
    data: Option<T>,
    #[serde(default)]
    extra: Option<Extra>,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    is_success: Option<bool>,
    #[serde(default)]
    user_message: Option<String>,
    #[serde(default)]
    developer_message: Option<String>,
}

impl Status {
    /// What an answer says of itself, if it is one of dbt Cloud's own.
    fn of(reply: &Reply) -> Option<Self> {
        let envelope: Envelope<Value> = reply.json().ok()?;
        envelope.status
    }

    /// `: message (message for developers)`, or nothing.
    fn words(&self, secrets: &[&str]) -> String {
        let said = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default().trim();
            (!text.is_empty()).then(|| quote(text, secrets))
        };
        match (said(&self.user_message), said(&self.developer_message)) {
            (Some(user), Some(developer)) if user != developer => {
                format!(": {user} ({developer})")
            }
            (Some(only), _) | (None, Some(only)) => format!(": {only}"),
            (None, None) => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Extra {
    #[serde(default)]
    pagination: Option<Pagination>,
}

#[derive(Default, Deserialize)]
struct Pagination {
    #[serde(default)]
    count: Option<usize>,
    #[serde(default)]
    total_count: Option<usize>,
}

/// A token as lists show it.
#[derive(Deserialize)]
struct ItemAnswer {
    id: Value,
    #[serde(default)]
    name: Option<String>,
    created_at: String,
    #[serde(default)]
    last_used: Option<String>,
}

/// A token as a create shows it, with its value: read member by member, so that no buffer on the
/// way holds a copy.
#[derive(Deserialize)]
struct CreateAnswer {
    token_string: String,
    id: Value,
    #[serde(default)]
    name: Option<String>,
    created_at: String,
    #[serde(default)]
    last_used: Option<String>,
}

impl ItemAnswer {
    fn listed(self) -> Option<Listed> {
        let id = match &self.id {
            Value::Number(number) => number.as_u64()?.to_string(),
            // Values begin so.
            Value::String(text) if !text.starts_with("dbt") => text.clone(),
            Value::String(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Array(_)
            | Value::Object(_) => return None,
        };
        let last_used_at = match self.last_used.as_deref() {
            None | Some("") => None,
            Some(text) => Some(time(text)?),
        };
        Some(Listed {
            id: TokenId::try_answered(&id)?,
            created_at: time(&self.created_at)?,
            valid_until: None,
            last_used_at,
            scopes: Scopes::new(),
            // What could not be a name of ours says nothing here.
            name: self
                .name
                .filter(|name| !looks_like_a_value(name))
                .and_then(|name| TokenName::try_new(name).ok()),
        })
    }
}

/// A time as dbt Cloud writes it: RFC 3339, or with a space, or without its offset.
fn time(text: &str) -> Option<ProviderTime> {
    let text = text.trim().replacen(' ', "T", 1);
    ProviderTime::parse(&text).or_else(|| ProviderTime::parse(&format!("{text}Z")))
}

#[cfg(test)]
mod tests {
    use super::time;
    use crate::clock::rfc3339;

    #[test]
    fn times_are_read_however_they_are_written() {
        for text in [
            "2026-05-01T12:00:00.000000Z",
            "2026-05-01T12:00:00+00:00",
            "2026-05-01 12:00:00.000000+00:00",
            "2026-05-01T12:00:00.000000",
            "2026-05-01 12:00:00",
            "2026-05-01T14:00:00+02:00",
        ] {
            assert_eq!(time(text).map(rfc3339).as_deref(), Some("2026-05-01T12:00:00Z"), "{text}");
        }
        for bad in ["", "yesterday", "2026-05-01", "1777636800"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
