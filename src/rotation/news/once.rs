//! What is told once for as long as it stands.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    clock::Timestamp,
    rotation::{
        notice::{Happening, Occasion},
        noticed::Noticed,
        record::{Record, SinkState},
        why::Reason,
    },
    token::{PlaceKey, TokenId},
    words::date,
};

/// So many unmanaged tokens that are found at once are told one by one; more are one event.
const SINGLY: usize = 8;

/// So many of them are named then.
const NAMED: usize = 20;

impl Record {
    /// What of it is news, in the order in which it is told.
    pub(super) fn once(&mut self, noticed: Noticed, at: Timestamp) -> Vec<Happening> {
        let mut told = std::mem::take(&mut self.notices.told);
        let wanted = |occasion| self.notices.wanted(occasion);
        let mut news = Vec::new();
        if wanted(Occasion::Expiring)
            && let Some(threshold) = told.expiring(noticed.expiring, |id| self.has(id))
        {
            news.extend(self.expiring(threshold, at));
        }
        if wanted(Occasion::Unmanaged) {
            let new = told.unmanaged(noticed.unmanaged, at);
            if new.len() > SINGLY {
                news.push(self.many_unmanaged(&new, at));
            } else {
                news.extend(new.iter().map(|id| self.unmanaged_news(id, at)));
            }
        }
        if wanted(Occasion::Drift) {
            let new = told.drift(noticed.drift, |place, since| {
                let drift = self.sinks.get(place).and_then(|sink| sink.drift.as_ref());
                drift.is_some_and(|drift| drift.since == since)
            });
            news.extend(new.iter().filter_map(|place| self.drifted(self.sinks.get(place)?)));
        }
        if wanted(Occasion::RevocationBlocked) {
            let leaving = self.retiring.iter().map(|retiring| &retiring.token.id);
            let new = told.revocation_blocked(noticed.revocation_blocked, leaving);
            news.extend(new.iter().map(|(id, why)| self.revocation_blocked(id, why, at)));
        }
        if wanted(Occasion::Handoff) {
            let new = told.handoff(noticed.handoff, at);
            let waits = |place: &&PlaceKey| new.contains(place);
            let handoffs = self.handoffs().filter(|(sink, ..)| waits(&&sink.place.key));
            news.extend(handoffs.map(|(_, id, words)| self.handed_off(id, words, at)));
        }
        self.notices.told = told;
        news
    }

    /// A place is about to be overwritten that somebody else wrote to, and no rest has told so.
    pub(super) fn mended(&self, place: &PlaceKey) -> Option<Happening> {
        let sink = self.sinks.get(place).filter(|sink| sink.was_ours && sink.trouble.is_none())?;
        let since = sink.drift.as_ref()?.since;
        (!self.notices.told.knows_drift(place, since)).then(|| self.drifted(sink))?
    }

    /// Whether a token is in use, on its way out, or listed.
    fn has(&self, id: &TokenId) -> bool {
        let current = self.current.iter().map(|current| &current.token);
        let retiring = self.retiring.iter().map(|retiring| &retiring.token);
        let listed = self.survey.iter().flat_map(|survey| &survey.tokens);
        current.chain(retiring).chain(listed).any(|token| token.id == *id)
    }

    fn expiring(&self, threshold: Duration, at: Timestamp) -> Option<Happening> {
        let token = &self.current.as_ref()?.token;
        let until = token.valid_until?;
        let over = until <= self.believed_clock().to_provider(at);
        let when = if over { "stopped working at" } else { "stops working at" };
        let so_far = self.decided.as_ref().map(|decided| format!("; {}", decided.words));
        let words = format!("{} {when} {}{}", token.id, date(until), so_far.unwrap_or_default());
        let happening = self.status(Occasion::Expiring, at, None, words);
        Some(Happening { threshold: Some(threshold), ..happening })
    }

    fn unmanaged_news(&self, id: &TokenId, at: Timestamp) -> Happening {
        let listed = self.survey.iter().flat_map(|survey| &survey.tokens);
        let token = listed.into_iter().find(|token| token.id == *id);
        let made = token.map(|token| format!(" (created at {})", date(token.created_at)));
        let made = made.unwrap_or_default();
        let ours = self.unmanaged.get(id).is_some_and(|it| it.probably_ours);
        let words = if ours {
            format!(
                "{id}{made} is not in use; it is probably left over from a create whose answer was lost"
            )
        } else {
            format!("{id}{made} was not created by Scimitar")
        };
        Happening {
            token: Some(id.clone()),
            expires_at: token.and_then(|token| token.valid_until),
            ..self.status(Occasion::Unmanaged, at, None, words)
        }
    }

    fn many_unmanaged(&self, ids: &[TokenId], at: Timestamp) -> Happening {
        let named: Vec<&str> = ids.iter().take(NAMED).map(TokenId::as_str).collect();
        let more = match ids.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let words = format!(
            "{} tokens were not created by Scimitar: {}{more}",
            ids.len(),
            named.join(", ")
        );
        Happening {
            token: None,
            expires_at: None,
            ..self.status(Occasion::Unmanaged, at, None, words)
        }
    }

    fn drifted(&self, sink: &SinkState) -> Option<Happening> {
        let drift = sink.drift.as_ref()?;
        let words = format!("{}: {}", sink.place.location, drift.what);
        Some(self.status(Occasion::Drift, drift.since, None, words))
    }

    fn handed_off(&self, id: &TokenId, words: String, at: Timestamp) -> Happening {
        let reason = Some(Reason::Handoff.as_str());
        Happening { token: Some(id.clone()), ..self.status(Occasion::Handoff, at, reason, words) }
    }

    fn revocation_blocked(&self, id: &TokenId, why: &BTreeSet<Reason>, at: Timestamp) -> Happening {
        let token = self.retiring.iter().map(|retiring| &retiring.token);
        let token = token.into_iter().find(|token| token.id == *id);
        let reasons: Vec<&str> = why.iter().map(|reason| reason.as_str()).collect();
        let because =
            if reasons.is_empty() { "no reason is known".to_owned() } else { reasons.join(", ") };
        let words = format!("{id} should have been revoked days ago and still works: {because}");
        let reason = reasons.first().copied();
        Happening {
            token: Some(id.clone()),
            expires_at: token.and_then(|token| token.valid_until),
            ..self.status(Occasion::RevocationBlocked, at, reason, words)
        }
    }
}
