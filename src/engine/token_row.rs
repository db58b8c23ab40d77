//! A token's row: what `tokens` says of each that the ledger knows.

use serde::Serialize;

use crate::{
    clock::{Timestamp, rfc3339},
    rotation::{
        policy::Policy,
        record::{Record, Survey},
        tokens, view,
        watch::Watch,
    },
    token::{ConnectionId, ConnectionName, ProviderName, SinkName, TokenId},
    words::{relative, since, span},
};

/// A token; `null` where nothing is known. Never its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRow {
    /// Whose it is: the name of a connection, or of a watched token.
    pub connection: ConnectionName,
    /// The connection's id.
    pub connection_id: Option<ConnectionId>,
    /// The provider's label.
    pub provider: Option<ProviderName>,
    /// The token's id.
    pub token_id: Option<TokenId>,
    /// What it is: `current`, `new`, `previous`, `orphan`, `unmanaged`, `dead` or `watched`.
    pub role: &'static str,
    /// Who is asked about it, where somebody wrote that down.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Option<String>,
    /// When it stops working; `None`: never.
    pub expires_at: Option<String>,
    /// When somebody else than Scimitar's own probe last used it, as far as the provider tells.
    pub last_used_at: Option<String>,
    /// Which places hold it, as they were last seen.
    pub sinks: Vec<HeldIn>,
    /// When the provider last listed it; `None`: it has not yet, or no provider is asked.
    pub seen_at: Option<String>,
    /// The same in the words of people.
    #[serde(skip)]
    pub told: Told,
}

/// A place that holds a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldIn {
    /// The sink's label.
    pub sink: SinkName,
    /// Where in it.
    pub location: String,
}

/// How long ago, or until when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How old it is.
    pub age: Option<String>,
    /// When it stops working.
    pub expires: Option<String>,
    /// When it was last used.
    pub used: Option<String>,
    /// When it was last listed.
    pub seen: Option<String>,
}

impl TokenRow {
    /// Every token of a connection that the ledger knows, by the last look at each.
    #[must_use]
    pub fn of(policy: &Policy, record: &Record, now: Timestamp) -> Vec<Self> {
        let survey = record.survey.as_ref();
        let tokens = tokens::all(record, now);
        let row = |it: &tokens::Token<'_>| {
            let token = it.token;
            let used = view::use_of(record, token);
            let listed = |list: &&Survey| list.tokens.iter().any(|listed| listed.id == token.id);
            let seen = survey.filter(listed).map(|survey| survey.at);
            let holds = record.sinks.values().filter(|sink| sink.holds.as_ref() == Some(&token.id));
            Self {
                connection: policy.name.clone(),
                connection_id: Some(policy.key.connection.clone()),
                provider: Some(policy.provider.clone()),
                token_id: Some(token.id.clone()),
                role: it.role.words(),
                owner: policy.terms.owner.clone(),
                created_at: Some(rfc3339(token.created_at)),
                expires_at: token.valid_until.map(rfc3339),
                last_used_at: used.map(rfc3339),
                sinks: holds
                    .map(|sink| HeldIn {
                        sink: sink.place.sink.clone(),
                        location: sink.place.location.clone(),
                    })
                    .collect(),
                seen_at: seen.map(rfc3339),
                told: Told {
                    age: Some(span(since(token.created_at, now))),
                    expires: match it.gone {
                        Some(_) => Some("gone".to_owned()),
                        None => token.valid_until.map(|at| relative(at, now)),
                    },
                    used: used.map(|at| relative(at, now)),
                    seen: seen.map(|at| relative(at, now)),
                },
            }
        };
        tokens.iter().map(row).collect()
    }

    /// A watched token: all that was written down of it.
    #[must_use]
    pub fn of_watched(watch: &Watch, now: Timestamp) -> Self {
        Self {
            connection: watch.name.clone(),
            connection_id: None,
            provider: None,
            token_id: None,
            role: "watched",
            owner: watch.owner.clone(),
            created_at: None,
            expires_at: Some(rfc3339(watch.expires_at)),
            last_used_at: None,
            sinks: Vec::new(),
            seen_at: None,
            told: Told { expires: Some(relative(watch.expires_at, now)), ..Told::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::{fixture, record::SinkState};

    #[test]
    fn each_token_has_its_times_and_its_places() {
        let record = fixture::troubled();
        let rows = TokenRow::of(&fixture::policy(), &record, fixture::now());
        let current = record.current.as_ref().unwrap();
        assert_eq!(rows.len(), 4);
        let first = &rows[0];
        assert_eq!((first.role, first.token_id.as_ref()), ("current", Some(&current.token.id)));
        assert_eq!(first.created_at, Some(rfc3339(current.token.created_at)));
        for row in &rows {
            let holds = |sink: &&SinkState| sink.holds == row.token_id;
            assert_eq!(row.sinks.len(), record.sinks.values().filter(holds).count(), "{row:?}");
            let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
            let is_listed = listed.clone().any(|token| Some(&token.id) == row.token_id.as_ref());
            assert_eq!(row.seen_at.is_some(), is_listed, "{row:?}");
        }
        assert!(rows.iter().any(|row| !row.sinks.is_empty()), "{rows:?}");
    }

    #[test]
    fn a_token_that_is_gone_has_no_days_left() {
        let record = fixture::gone();
        let rows = TokenRow::of(&fixture::policy(), &record, fixture::now());
        let told: Vec<_> = rows.iter().map(|row| row.told.expires.as_deref()).collect();
        assert_eq!(told, [Some("gone"), Some("in 10 days")]);
        assert_eq!(rows[0].expires_at, record.expires_at().map(rfc3339), "programs get the fact");
    }
}
