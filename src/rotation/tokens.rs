//! Every token that is known of a connection, and what it is to people.

use serde::Serialize;

use super::{
    observe::is_dead,
    record::{Phase, Record},
    view::{self, Kind},
};
use crate::{
    clock::{ProviderTime, Timestamp},
    token::Listed,
};

/// What a token is to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// On its way to the sinks.
    New,
    /// What the sinks hold.
    Current,
    /// What they held before.
    Previous,
    /// Ours, and no sink ever got it.
    Orphan,
    /// Nobody's here.
    Unmanaged,
    /// Expired.
    Dead,
}

impl Role {
    /// The word.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Orphan => "orphan",
            Self::Unmanaged => "unmanaged",
            Self::Dead => "dead",
        }
    }
}

/// A token of a connection.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub role: Role,
    /// As it was last listed.
    pub token: &'a Listed,
    /// Until when it stays at least, where it is on its way out.
    pub stays: Option<ProviderTime>,
    /// Since when it is known to be gone at the provider, whatever its expiry says.
    pub gone: Option<ProviderTime>,
}

/// Every token that counts: the newest of ours first, those of nobody last.
#[must_use]
pub fn tokens(record: &Record) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    if let Phase::Delivering(delivery) = &record.phase {
        tokens.push(as_listed(record, Role::New, &delivery.token, None));
    }
    if let Some(current) = &record.current {
        let gone = view::gone_since(record);
        tokens.push(Token { gone, ..as_listed(record, Role::Current, &current.token, None) });
    }
    for retiring in &record.retiring {
        let role = match view::kind(retiring) {
            Kind::Previous => Role::Previous,
            Kind::Orphan => Role::Orphan,
            Kind::Unmanaged => Role::Unmanaged,
            Kind::Dead => Role::Dead,
        };
        tokens.push(as_listed(record, role, &retiring.token, view::overlap_ends(retiring)));
    }
    let listed = record.survey.iter().flat_map(|survey| &survey.tokens);
    for unmanaged in listed.filter(|token| record.unmanaged.contains_key(&token.id)) {
        if !record.retiring.iter().any(|retiring| retiring.token.id == unmanaged.id) {
            tokens.push(as_listed(record, Role::Unmanaged, unmanaged, None));
        }
    }
    tokens
}

/// The same, and behind them what is listed although it counts nowhere, such as expired tokens.
#[must_use]
pub fn all(record: &Record, now: Timestamp) -> Vec<Token<'_>> {
    let mut tokens = tokens(record);
    let Some(survey) = &record.survey else { return tokens };
    let there = record.believed_clock().to_provider(now);
    // The list is older than the DELETE of what was revoked since.
    let revoked =
        |token: &&Listed| record.deleted.get(&token.id).is_some_and(|at| *at >= survey.at);
    for token in survey.tokens.iter().filter(|token| !revoked(token)) {
        if !tokens.iter().any(|known| known.token.id == token.id) {
            let role = if is_dead(token, there) { Role::Dead } else { Role::Unmanaged };
            tokens.push(Token { role, token, stays: None, gone: None });
        }
    }
    tokens
}

fn as_listed<'a>(
    record: &'a Record,
    role: Role,
    token: &'a Listed,
    stays: Option<ProviderTime>,
) -> Token<'a> {
    Token { role, token: view::freshest(record, token), stays, gone: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rotation::fixture;

    #[test]
    fn every_token_is_there_in_its_role() {
        let record = fixture::troubled();
        let roles: Vec<_> = tokens(&record).iter().map(|token| token.role).collect();
        assert_eq!(roles, [Role::Current, Role::Previous, Role::Orphan, Role::Unmanaged]);
        assert!(tokens(&fixture::empty()).is_empty());
    }

    #[test]
    fn what_is_listed_and_counts_nowhere_is_told_last() {
        let mut record = fixture::troubled();
        let known = tokens(&record).len();
        let listed = &mut record.survey.as_mut().unwrap().tokens;
        listed.push(fixture::token("tok_dead", 60 * 24 * 60));
        listed.push(fixture::token("tok_fresh", 1));
        let all = all(&record, fixture::now());
        let told: Vec<_> = all.iter().map(|it| (it.role, it.token.id.as_str())).collect();
        assert_eq!(told[known..], [(Role::Dead, "tok_dead"), (Role::Unmanaged, "tok_fresh")]);
        let fresh = |record: &Record| {
            self::all(record, fixture::now()).iter().any(|it| it.token.id.as_str() == "tok_fresh")
        };
        let surveyed = record.survey.as_ref().unwrap().at;
        record.deleted.insert(fixture::id("tok_fresh"), surveyed);
        assert!(!fresh(&record), "revoked since the list");
        let before = surveyed - chrono::TimeDelta::seconds(1);
        record.deleted.insert(fixture::id("tok_fresh"), before);
        assert!(fresh(&record), "a list that is newer than the DELETE still shows it");
    }
}
