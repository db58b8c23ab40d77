//! What can be told of an AppRole secret id: without using it where it works once, and afterwards how
//! long and how often it still works.

use std::sync::Arc;

use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    answers::{self, Effect},
    auth::Method,
    path::check_path,
    server::VaultServer,
    wire::Raw,
};
use crate::{clock::parse_timestamp, error::Fault, secret::Secret, words::date};

/// How long before its end a secret id is warned of.
const SOON: TimeDelta = TimeDelta::days(7);

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Wrapping {
    creation_time: String,
    creation_ttl: i64,
}

#[derive(Deserialize)]
struct SecretIdState {
    #[serde(default)]
    secret_id_num_uses: u64,
    #[serde(default)]
    expiration_time: String,
}

impl VaultServer {
    /// Why `check --online` does not log in: that would use up what works once. What can be asked
    /// without using it is asked.
    ///
    /// # Errors
    /// When the log-in would be refused.
    pub async fn left_alone(&self) -> Result<Option<String>, Fault> {
        let Method::Approle { secret_id, wrapped, single_use, .. } = &self.settings.auth.method
        else {
            return Ok(None);
        };
        if !wrapped && !single_use {
            return Ok(None);
        }
        let secret = self.secret("secret_id", secret_id)?;
        let state = if *wrapped {
            format!("the wrapping token of the secret id {}", self.wrapping(&secret).await?)
        } else {
            "the secret id works once (single_use)".to_owned()
        };
        Ok(Some(format!(
            "{}: {state} and was kept for the next start of Scimitar, so neither the log-in nor \
             its permissions were checked",
            self.logging_in()
        )))
    }

    /// Until when a wrapping token is good; it is looked up and not used.
    async fn wrapping(&self, wrapping: &Secret) -> Result<String, Fault> {
        let body = json!({ "token": wrapping.expose() }).to_string().into_bytes();
        let call = Raw::post("sys/wrapping/lookup".to_owned(), Zeroizing::new(body));
        let reply = self.ask("look up the wrapping token", call, None).await?;
        if matches!(reply.status, 400 | 403) && answers::errors(&reply).is_some() {
            return Err(self.unauthorized(
                "the wrapping token of the secret id is not valid: it has expired or was used. \
                 Issue a new one. If Scimitar did not use it, somebody else may have read the \
                 secret id: revoke it",
            ));
        }
        if reply.status != 200 {
            return Err(answers::refused(&self.logging_in(), &reply, Effect::None));
        }
        let found: Data<Wrapping> = reply
            .json()
            .map_err(|words| answers::unreadable(&self.logging_in(), &words, Effect::None))?;
        let made = parse_timestamp(&found.data.creation_time);
        let life = TimeDelta::try_seconds(found.data.creation_ttl);
        let until = made.zip(life).and_then(|(made, life)| made.checked_add_signed(life));
        Ok(until.map_or_else(
            || "is valid".to_owned(),
            |until| format!("is valid until {}", date(until)),
        ))
    }

    /// Looks up the secret id that the log-in was made with, where the policy grants that, and keeps
    /// what an operator should know of it.
    pub(super) async fn look_up_secret_id(self: &Arc<Self>) {
        let words = self.about_secret_id().await;
        *self.noted() = words;
    }

    async fn about_secret_id(self: &Arc<Self>) -> Option<String> {
        let Method::Approle { secret_id, wrapped: false, .. } = &self.settings.auth.method else {
            return None;
        };
        let secret = self.secret("secret_id", secret_id).ok()?;
        let access = self.access().await.ok()?;
        let role = access.role()?;
        check_path(role).ok()?;
        let mount = &self.settings.auth.mount;
        let body = json!({ "secret_id": secret.expose() }).to_string().into_bytes();
        let path = format!("auth/{mount}/role/{role}/secret-id/lookup");
        let call = Raw::post(path, Zeroizing::new(body));
        // Who may not ask learns nothing: no rotation needs it.
        let reply = self.ask("look up the secret id", call, Some(&access.token)).await.ok()?;
        let said = match reply.status {
            204 => Some(used_up()),
            200 => about(&reply.json::<Data<SecretIdState>>().ok()?.data, self.clock.now()),
            _ => None,
        };
        said.map(|said| format!("{}: {said}", self.logging_in()))
    }
}

fn used_up() -> String {
    "the secret id works once, and this log-in has used it: issue another one before the next \
     start of Scimitar, and set single_use = true in `auth` so that `check --online` leaves it alone"
        .to_owned()
}

fn about(state: &SecretIdState, now: crate::clock::Timestamp) -> Option<String> {
    let ends = parse_timestamp(&state.expiration_time);
    // A time in the past stands for no end.
    let ends = ends.filter(|ends| now < *ends && *ends - now <= SOON);
    match (state.secret_id_num_uses, ends) {
        (0, None) => None,
        (0, Some(ends)) => {
            Some(format!("the secret id expires at {}: issue another one before that", date(ends)))
        }
        (uses, ends) => {
            let until = ends.map(|ends| format!(" until {}", date(ends))).unwrap_or_default();
            let times =
                if uses == 1 { "once more".to_owned() } else { format!("{uses} times more") };
            Some(format!(
                "the secret id works {times}{until} (secret_id_num_uses): every start of Scimitar \
                 and every `check --online` uses it once; issue another one in time"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_id_that_ends_soon_is_told() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let state = |uses, ends: &str| {
            let state =
                SecretIdState { secret_id_num_uses: uses, expiration_time: ends.to_owned() };
            about(&state, now)
        };
        for never in ["", "0001-01-01T00:00:00Z", "2026-12-22T04:00:00Z"] {
            assert_eq!(state(0, never), None, "{never}");
        }
        let soon = "2026-11-28T04:00:00Z";
        assert!(state(0, soon).unwrap().contains("expires at 2026-11-28 04:00 UTC"));
        assert!(state(1, "").unwrap().starts_with("the secret id works once more (secret_id"));
        assert!(state(3, soon).unwrap().contains("3 times more until 2026-11-28 04:00 UTC"));
    }
}
