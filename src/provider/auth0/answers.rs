//! What Auth0's answers mean.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    clock::{ProviderClock, ProviderTime, Timestamp, Told},
    error::{Class, Code, Fault},
    http::{Reply, quote},
    provider::{
        Revoked,
        auth0::rights::{how_to_grant, scope},
        operation::{Kind, Operation},
    },
    token::{
        Listed, Listing, MintRequest, Minted, Scope, Scopes, TokenId, TokenValue,
        looks_like_a_value,
    },
};

impl Operation {
    /// The fault of an answer other than a success. `secrets` are kept out of the words.
    pub(super) fn refused(&self, reply: &Reply, secrets: &[&str]) -> Fault {
        let status = reply.status;
        let said = ApiError::of(reply);
        let answered = format!("{} answered {status}{}", self.host, said.words(secrets));
        let usual = self.meaning(status);
        let (meaning, way_out) = match status {
            300..=399 => self.redirected(reply),
            401 => (
                usual,
                "the access token is rejected, even after a new log-in: check that audience \
                 is the tenant's own Management API"
                    .to_owned(),
            ),
            402 | 403 => (usual, self.forbidden(&said)),
            404 => {
                let (code, way_out) = said.not_found();
                ((Class::Terminal, code), way_out.to_owned())
            }
            409 if self.kind == Kind::Create => {
                (usual, "a connection has at most two tokens: revoke one first".to_owned())
            }
            _ => (usual, String::new()),
        };
        self.failed(reply, answered, meaning, &way_out)
    }

    fn forbidden(&self, said: &ApiError) -> String {
        match said.error_code.as_deref() {
            Some("insufficient_entitlement") => {
                "the tenant's plan does not include SCIM: its owner must change the plan".to_owned()
            }
            Some(_) | None => how_to_grant(scope(self.kind)),
        }
    }

    /// A complete list, or a fault: a shorter list would be taken for tokens that are gone.
    pub(super) fn listing(&self, reply: &Reply) -> Result<Listing, Fault> {
        let items: Vec<ItemAnswer> = reply.json().map_err(|why| self.unreadable(reply, &why))?;
        let mut listing =
            Listing { tokens: Vec::with_capacity(items.len()), provider_time: reply.date() };
        for (index, item) in items.into_iter().enumerate() {
            let place = index + 1;
            let token = item.listed().ok_or_else(|| {
                let why = format!("token {place} of its list has no readable id or times");
                self.unreadable(reply, &why)
            })?;
            if listing.get(&token.id).is_some() {
                let why = format!("token {place} of its list is a duplicate");
                return Err(self.unreadable(reply, &why));
            }
            listing.tokens.push(token);
        }
        Ok(listing)
    }

    /// The token that was made. What cannot be read may have been made all the same.
    pub(super) fn minted(&self, reply: &Reply, request: &MintRequest) -> Result<Minted, Fault> {
        let answer: CreateAnswer = reply.json().map_err(|why| self.unreadable(reply, &why))?;
        let value = TokenValue::try_new(answer.token)
            .map_err(|_| self.unreadable(reply, "the token in the answer is not valid"))?;
        let mut item = answer.item;
        if item.scopes.is_none() {
            let asked = request.scopes.iter().map(ToString::to_string).collect();
            item.scopes = Some(asked);
        }
        let token = item
            .listed()
            .ok_or_else(|| self.unreadable(reply, "the new token has no readable id or times"))?;
        self.made(reply, Minted { token, value })
    }

    /// What a DELETE was answered.
    pub(super) fn revoked(&self, reply: &Reply, secrets: &[&str]) -> Result<Revoked, Fault> {
        match reply.status {
            200 | 204 => Ok(Revoked::Deleted),
            404 if !ApiError::of(reply).names_another_cause() => Ok(Revoked::NotFound),
            _ => Err(self.refused(reply, secrets)),
        }
    }
}

/// An error of the Management API, or of the log-in: two shapes, every member optional.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    message: Option<String>,
    #[serde(default, rename = "errorCode")]
    error_code: Option<String>,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) error_description: Option<String>,
}

impl ApiError {
    pub(super) fn of(reply: &Reply) -> Self {
        reply.json().unwrap_or_default()
    }

    /// `: message (code)`, or nothing.
    pub(super) fn words(&self, secrets: &[&str]) -> String {
        let message = self.message.as_deref().or(self.error_description.as_deref());
        let code = self.error_code.as_deref().or(self.error.as_deref());
        match (message, code) {
            (Some(message), Some(code)) if message != code => {
                format!(": {} ({})", quote(message, secrets), quote(code, secrets))
            }
            (Some(only), _) | (None, Some(only)) => format!(": {}", quote(only, secrets)),
            (None, None) => String::new(),
        }
    }

    /// A 404 has three meanings; only the first is that the connection is gone.
    fn not_found(&self) -> (Code, &'static str) {
        let message = self.message.as_deref().unwrap_or_default();
        if self.error_code.as_deref() == Some("inexistent_connection")
            || message == "The connection does not exist"
        {
            return (Code::NoConnection, "check connection_id, and that it belongs to this tenant");
        }
        if message.contains("does not support SCIM")
            || message.contains("scim strategy not enabled")
        {
            return (
                Code::ScimUnsupported,
                "only connections of the strategies samlp, oidc, okta and waad have SCIM",
            );
        }
        if self.is_empty() {
            return (
                Code::Unreadable,
                "this is not Auth0's answer for something that does not exist: check the provider's \
                 domain and base_url",
            );
        }
        (
            Code::ScimNotConfigured,
            "SCIM is not set up for this connection: set it up in Auth0's dashboard under the \
             connection's Provisioning tab, or let Scimitar do it with \
             [connections.scim_configuration]",
        )
    }

    /// A 404 that is not about the token.
    fn names_another_cause(&self) -> bool {
        matches!(self.not_found(), (Code::NoConnection | Code::ScimUnsupported, _))
    }

    fn is_empty(&self) -> bool {
        self.message.is_none() && self.error_code.is_none() && self.error.is_none()
    }
}

/// A token as lists and creates show it. Unknown members are allowed; since 2024-10 members that
/// do not apply are left out, before they were `null`.
#[derive(Deserialize)]
struct ItemAnswer {
    #[serde(default)]
    token_id: Option<String>,
    #[serde(default)]
    created_at: Option<String>,
    #[serde(default)]
    valid_until: Option<String>,
    #[serde(default)]
    last_used_at: Option<String>,
    #[serde(default)]
    scopes: Option<Vec<String>>,
}

impl ItemAnswer {
    fn listed(self) -> Option<Listed> {
        let time = |text: Option<String>| match text {
            None => Some(None),
            Some(text) => ProviderTime::parse(&text).map(Some),
        };
        let scopes: Result<Scopes, _> =
            self.scopes.unwrap_or_default().into_iter().map(Scope::try_new).collect();
        Some(Listed {
            id: TokenId::try_answered(&self.token_id?)?,
            created_at: ProviderTime::parse(&self.created_at?)?,
            valid_until: time(self.valid_until)?,
            last_used_at: time(self.last_used_at)?,
            scopes: scopes
                .ok()
                .filter(|scopes| !scopes.iter().any(|scope| looks_like_a_value(scope.as_str())))?,
            name: None,
        })
    }
}

#[derive(Deserialize)]
struct CreateAnswer {
    token: String,
    #[serde(flatten)]
    item: ItemAnswer,
}

/// How long until `x-ratelimit-reset`, which is in Unix seconds, by the provider's own clock
/// where the answer says it.
pub(super) fn resets_in(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let reset = reply.number("x-ratelimit-reset")?;
    let now = reply.date().unwrap_or_else(|| ProviderClock::default().to_provider(now));
    let seconds = u64::try_from(reset.saturating_sub(now.as_told().timestamp())).unwrap_or(0);
    Some(Duration::from_secs(seconds))
}

/// How long a 429 asks to be left alone.
pub(super) fn pause(reply: &Reply, now: Timestamp) -> Option<Duration> {
    reply.retry_after().or_else(|| resets_in(reply, now))
}

/// The token id that a value begins with: `tok_` and 16 letters or digits, a dot, and 64
/// lower-case hex digits (as recorded from the live service).
pub(super) fn id_in(value: &TokenValue) -> Option<TokenId> {
    let (id, rest) = value.expose().split_once('.')?;
    let tail = id.strip_prefix("tok_")?;
    let is_id = tail.len() == 16 && tail.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_rest = rest.len() == 64 && rest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (is_id && is_rest).then(|| TokenId::try_new(id).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_read_only_from_values_that_look_as_recorded() {
        let hex = "0a".repeat(32);
        let id = |text: String| id_in(&TokenValue::try_new(text).unwrap());
        assert_eq!(
            id(format!("tok_cw8iYTPrN6Fzb6xi.{hex}")).unwrap().as_str(),
            "tok_cw8iYTPrN6Fzb6xi"
        );
        for other in [
            format!("tok_cw8iYTPrN6Fzb6x.{hex}"),
            format!("tok_cw8iYTPrN6Fzb6x-.{hex}"),
            format!("kot_cw8iYTPrN6Fzb6xi.{hex}"),
            format!("tok_cw8iYTPrN6Fzb6xi.{hex}0"),
            format!("tok_cw8iYTPrN6Fzb6xi.{}", hex.to_uppercase()),
            format!("tok_cw8iYTPrN6Fzb6xi{hex}"),
        ] {
            assert_eq!(id(other.clone()), None, "{other}");
        }
    }
}
