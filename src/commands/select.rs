//! Which of the configured connections a command is about.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    output::{Failure, FailureClass},
    session::Session,
};
use crate::{
    app::{self, Use},
    cli::{Condition, Named, Selection},
    clock::{Clock, Timestamp},
    config::ProviderConfig,
    engine::{report::Outcome, stored_status},
    ledger::Ledger,
    rotation::{
        policy::Policy,
        record::Record,
        status::{ConnectionStatus, WatchStatus},
        view,
        watch::Watch,
    },
    shared::Shared,
    token::{ConnectionName, ProviderName},
};

/// How alike two names must be for one to be offered for the other.
const ALIKE: f64 = 0.7;

/// How many names are listed where none is alike.
const FEW: usize = 5;

/// What the configuration names: connections, each with its provider, and watched tokens without one.
pub(super) type Configured = BTreeMap<ConnectionName, Option<ProviderName>>;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) connections: BTreeSet<ConnectionName>,
    /// In the order of the files.
    pub(super) watches: Vec<Watch>,
}

impl Session<'_> {
    /// Which connections were asked for. What fits no connection as configured is an error, and so is a
    /// watched token; how connections stand may leave none, which is said.
    pub(super) async fn named(
        &self,
        selection: &Selection,
    ) -> Result<BTreeSet<ConnectionName>, Failure> {
        let mut selected = select(&self.everything(), &self.providers(), selection)?;
        let only_watches = || self.config.watches.iter().filter(|watch| !watch.shadowed);
        if let Some(watch) = only_watches().find(|watch| selection.names(&watch.name)) {
            return Err(Failure::new(FailureClass::Usage, only_watched(watch)));
        }
        selected.retain(|name| !only_watches().any(|watch| watch.name == *name));
        if selected.is_empty() && selection.says_whose() {
            return Err(Failure::new(FailureClass::Usage, nothing_left(selection)));
        }
        if selection.conditions.is_empty() {
            return Ok(selected);
        }
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let asked = selected.len();
        let held = self.that_stand(ledger.as_ref(), selected, &selection.conditions).await?;
        if held.is_empty() {
            self.voice.note(&none_stands(asked, &selection.conditions));
        }
        Ok(held)
    }

    /// Which connections and watched tokens were asked for; else as [`named`](Self::named).
    pub(super) async fn asked(&self, selection: &Selection) -> Result<Asked, Failure> {
        let selected = select(&self.everything(), &self.providers(), selection)?;
        let watches = self.config.watches.iter();
        let watches = watches.filter(|watch| selected.contains(&watch.name)).cloned();
        let mut asked = Asked { watches: watches.collect(), connections: selected };
        for watch in asked.watches.iter().filter(|watch| !watch.shadowed) {
            asked.connections.remove(&watch.name);
        }
        if selection.conditions.is_empty() {
            return Ok(asked);
        }
        let ledger = app::open_ledger(&self.config.state, Use::Look, &self.env).await?;
        let count = asked.connections.len() + asked.watches.len();
        let held = self.that_stand(ledger.as_ref(), asked.connections, &selection.conditions);
        asked.connections = held.await?;
        let now = self.clock.now();
        asked.watches.retain(|watch| {
            selection.conditions.iter().all(|condition| watch_holds(*condition, watch, now))
        });
        if asked.connections.is_empty() && asked.watches.is_empty() {
            self.voice.note(&none_stands(count, &selection.conditions));
        }
        Ok(asked)
    }

    fn everything(&self) -> Configured {
        let connections = self.config.connections.iter();
        let watches = self.config.watches.iter();
        connections
            .map(|connection| (connection.name.clone(), Some(connection.provider.clone())))
            .chain(watches.filter(|watch| !watch.shadowed).map(|watch| (watch.name.clone(), None)))
            .collect()
    }

    fn providers(&self) -> BTreeSet<ProviderName> {
        self.config.providers.keys().cloned().collect()
    }

    /// Those among them that stand so now, by what is on record.
    async fn that_stand(
        &self,
        ledger: &dyn Ledger,
        names: BTreeSet<ConnectionName>,
        conditions: &[Condition],
    ) -> Result<BTreeSet<ConnectionName>, Failure> {
        let now = self.clock.now();
        let mut held = BTreeSet::new();
        for policy in self.policies().filter(|policy| names.contains(&policy.name)) {
            let stored = ledger.load(&policy.key).await?;
            let record = stored.map(|stored| stored.record);
            let (status, _) =
                stored_status::looked_up(ledger, &policy, record.as_ref(), now).await?;
            if conditions.iter().all(|condition| holds(*condition, &status, record.as_ref(), now)) {
                held.insert(policy.name);
            }
        }
        Ok(held)
    }

    /// The policies of the configuration, in the order of the files.
    pub(super) fn policies(&self) -> impl Iterator<Item = Policy> {
        let surveys = self.config.surveys();
        let of = |(name, provider): (&ProviderName, &ProviderConfig)| {
            let can = Shared::from(provider.capabilities());
            Some((name.clone(), (can, surveys.get(name)?.interval)))
        };
        let providers: BTreeMap<_, _> = self.config.providers.iter().filter_map(of).collect();
        self.config.connections.iter().filter_map(move |connection| {
            let (can, survey) = providers.get(&connection.provider)?;
            Some(connection.policy(can.clone(), *survey))
        })
    }
}

/// Whether a connection stands so.
pub(super) fn holds(
    condition: Condition,
    status: &ConnectionStatus,
    record: Option<&Record>,
    now: Timestamp,
) -> bool {
    let left = record.and_then(|record| {
        Some(view::works_until(record)? - record.believed_clock().to_provider(now))
    });
    let shorter = |than: std::time::Duration| {
        left.is_some_and(|left| left.to_std().unwrap_or_default() < than)
    };
    match condition {
        Condition::Due => match record {
            None => true,
            Some(record) => {
                record.next_rotation.map_or_else(|| record.current.is_none(), |next| next <= now)
            }
        },
        Condition::Failing => status.outcome == Outcome::Failed,
        Condition::Refused => status.outcome == Outcome::Refused,
        Condition::Waiting => status.outcome == Outcome::Waiting,
        Condition::Paused => status.pause.is_some(),
        Condition::Attention => status.needs_person,
        Condition::Unmanaged => record.is_some_and(|record| !record.unmanaged.is_empty()),
        Condition::Drift => {
            record.is_some_and(|record| record.places().any(|sink| sink.drift.is_some()))
        }
        Condition::Expired => shorter(std::time::Duration::from_nanos(1)),
        Condition::Expiring(within) => shorter(within),
    }
}

/// Whether a watched token stands so.
fn watch_holds(condition: Condition, watch: &Watch, now: Timestamp) -> bool {
    let left = (watch.expires_at - now).to_std().unwrap_or_default();
    match condition {
        Condition::Expired => left.is_zero(),
        Condition::Expiring(within) => left < within,
        Condition::Attention => WatchStatus::of(watch, None, now).needs_person,
        Condition::Due
        | Condition::Failing
        | Condition::Refused
        | Condition::Waiting
        | Condition::Paused
        | Condition::Unmanaged
        | Condition::Drift => false,
    }
}

/// Why a command does nothing with a watched token, and what does.
fn only_watched(watch: &Watch) -> String {
    let name = &watch.name;
    let renewal = Some(watch.renewal()).filter(|words| !words.is_empty());
    let renewal = renewal.map(|words| format!(" ({words})")).unwrap_or_default();
    format!(
        "{name} is only watched ([[watch]] in the configuration): Scimitar cannot rotate, revoke or pause \
         it. Renew the token where it is issued{renewal} and change its `expires_at`; `scimitar status {name}` \
         and `scimitar explain {name}` show it"
    )
}

fn none_stands(asked: usize, conditions: &[Condition]) -> String {
    let words: Vec<String> =
        conditions.iter().map(|condition| format!("--where '{condition}'")).collect();
    let words = words.join(" ");
    match asked {
        1 => format!("the selected connection does not match {words}: nothing to do"),
        _ => format!("none of the {asked} selected connections matches {words}: nothing to do"),
    }
}

/// Which of the configured connections were asked for, apart from how they stand: all of them where
/// nothing was said.
///
/// # Errors
/// When something is not configured, or nothing is left; nothing was done. All that is wrong is said at
/// once.
pub(super) fn select(
    configured: &Configured,
    providers: &BTreeSet<ProviderName>,
    selection: &Selection,
) -> Result<BTreeSet<ConnectionName>, Failure> {
    let mut wrong: Vec<String> = Vec::new();
    let mut named: BTreeSet<&ConnectionName> = BTreeSet::new();
    for one in &selection.named {
        match one {
            Named::Name(name) => match configured.get_key_value(name) {
                Some((name, _)) => drop(named.insert(name)),
                None => wrong.push(format!(
                    "no connection named \"{name}\"{}",
                    nearest(
                        configured.keys().map(ConnectionName::as_str),
                        name.as_str(),
                        CONNECTIONS
                    )
                )),
            },
            Named::Like(pattern) => {
                let fitting = configured.keys().filter(|name| pattern.fits(name.as_str()));
                let fitting: Vec<_> = fitting.collect();
                if fitting.is_empty() {
                    wrong.push(format!("no connection name matches {pattern}"));
                }
                named.extend(fitting);
            }
        }
    }
    if let Some(provider) = selection.provider.as_ref().filter(|one| !providers.contains(*one)) {
        wrong.push(format!(
            "no provider named \"{provider}\"{}",
            nearest(providers.iter().map(ProviderName::as_str), provider.as_str(), PROVIDERS)
        ));
    }
    if !wrong.is_empty() {
        return Err(Failure::new(FailureClass::Usage, wrong.join("; ")));
    }
    let asked = |name: &ConnectionName, of: &Option<ProviderName>| {
        (selection.named.is_empty() || named.contains(name))
            && selection.provider.as_ref().is_none_or(|provider| of.as_ref() == Some(provider))
            && selection.matching.as_ref().is_none_or(|pattern| pattern.fits(name.as_str()))
    };
    let selected: BTreeSet<ConnectionName> = configured
        .iter()
        .filter(|(name, of)| asked(name, of))
        .map(|(name, _)| name.clone())
        .collect();
    if selected.is_empty() && selection.says_whose() {
        return Err(Failure::new(FailureClass::Usage, nothing_left(selection)));
    }
    Ok(selected)
}

/// What was asked for, and that no connection is all of it.
fn nothing_left(selection: &Selection) -> String {
    let names: Vec<String> = selection
        .named
        .iter()
        .map(|one| match one {
            Named::Name(name) => name.to_string(),
            Named::Like(pattern) => pattern.to_string(),
        })
        .collect();
    let names = (!names.is_empty()).then(|| format!("name {}", names.join(" or ")));
    let provider = selection.provider.as_ref().map(|provider| format!("provider {provider}"));
    let like = selection.matching.as_ref().map(|pattern| format!("pattern {pattern}"));
    let asked: Vec<String> = names.into_iter().chain(provider).chain(like).collect();
    format!("no connection matches {}; nothing was done", asked.join(", "))
}

const CONNECTIONS: &str = "connections";
const PROVIDERS: &str = "providers";

/// " (did you mean …?)", when something like it is configured.
fn nearest<'a>(known: impl Iterator<Item = &'a str> + Clone, name: &str, what: &str) -> String {
    known
        .clone()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or_else(|| there_are(known, what), |(_, known)| format!(" (did you mean {known}?)"))
}

/// The names to choose from: a few, and how many more.
fn there_are<'a>(known: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    let few: Vec<&str> = known.clone().take(FEW).collect();
    if few.is_empty() {
        return format!(" (no {what} configured)");
    }
    match known.count().saturating_sub(few.len()) {
        0 => format!(" (configured: {})", few.join(", ")),
        more => format!(" (configured: {}, and {more} more)", few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, pattern::Pattern, rotation::fixture};
    use chrono::TimeDelta;

    fn name(name: &str) -> ConnectionName {
        ConnectionName::try_new(name).unwrap()
    }

    fn provider(name: &str) -> ProviderName {
        ProviderName::try_new(name).unwrap()
    }

    fn configured(names: &[(&str, &str)]) -> Configured {
        names.iter().map(|(of, by)| (name(of), Some(provider(by)))).collect()
    }

    fn asked(configured: &Configured, selection: &Selection) -> Result<Vec<String>, (u8, String)> {
        let providers = configured.values().flatten().cloned().collect();
        select(configured, &providers, selection)
            .map(|names| names.iter().map(ToString::to_string).collect())
            .map_err(|failure| (failure.class.exit_status(), failure.message))
    }

    fn named(names: &[&str]) -> Selection {
        let one = |text: &&str| match Pattern::is_in(text) {
            true => Named::Like(Pattern::try_new(text).unwrap()),
            false => Named::Name(name(text)),
        };
        Selection { named: names.iter().map(one).collect(), ..Selection::default() }
    }

    #[test]
    fn naming_none_selects_all_and_a_wrong_name_does_nothing() {
        let all = configured(&[("initech-okta", "acme"), ("acme-entra", "acme")]);
        let nothing = Selection::default();
        assert_eq!(asked(&all, &nothing).unwrap(), ["acme-entra", "initech-okta"]);
        let one = asked(&all, &named(&["acme-entra", "acme-entra"]));
        assert_eq!(one.unwrap(), ["acme-entra"]);
        let wrong = asked(&all, &named(&["acme-entra", "initech-okte", "zzz", "q*"]));
        let words = "no connection named \"initech-okte\" (did you mean initech-okta?); \
                     no connection named \"zzz\" (configured: acme-entra, initech-okta); \
                     no connection name matches q*";
        assert_eq!(wrong, Err((2, words.to_owned())));
        let many: Vec<(&str, &str)> =
            ["a", "b", "c", "d", "e", "f", "g"].iter().map(|name| (*name, "acme")).collect();
        let (_, words) = asked(&configured(&many), &named(&["zzz"])).unwrap_err();
        assert_eq!(words, "no connection named \"zzz\" (configured: a, b, c, d, e, and 2 more)");
        let (_, words) = asked(&Configured::new(), &named(&["zzz"])).unwrap_err();
        assert!(words.ends_with("(no connections configured)"), "{words}");
        assert_eq!(asked(&Configured::new(), &nothing), Ok(Vec::new()));
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let all = configured(&[
            ("cust-1", "acme"),
            ("cust-2", "other"),
            ("cust-30", "acme"),
            ("staff", "acme"),
        ]);
        let acme = Selection { provider: Some(provider("acme")), ..Selection::default() };
        assert_eq!(asked(&all, &acme).unwrap(), ["cust-1", "cust-30", "staff"]);
        let both = Selection { matching: Pattern::try_new("cust-?").ok(), ..acme };
        assert_eq!(asked(&all, &both).unwrap(), ["cust-1"]);
        let three = Selection { named: named(&["cust-*", "staff"]).named, ..both.clone() };
        assert_eq!(asked(&all, &three).unwrap(), ["cust-1"]);
        let none = Selection { named: named(&["cust-2", "staff"]).named, ..both };
        let words = "no connection matches name cust-2 or staff, provider acme, pattern cust-?; \
                     nothing was done";
        assert_eq!(asked(&all, &none), Err((2, words.to_owned())));
        let wrong = Selection { provider: Some(provider("acne")), ..Selection::default() };
        let words = "no provider named \"acne\" (did you mean acme?)";
        assert_eq!(asked(&all, &wrong), Err((2, words.to_owned())));
    }

    #[test]
    fn how_a_connection_stands_is_read_from_its_record() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let month = std::time::Duration::from_secs(30 * 86_400);
        let of = |record: Option<&Record>, condition| {
            let status = record
                .map_or_else(ConnectionStatus::unseen, |it| ConnectionStatus::of(it, None, now));
            holds(condition, &status, record, now)
        };
        assert!(of(None, Condition::Due) && !of(None, Condition::Expiring(month)));
        let mut record = fixture::rotated();
        record.next_rotation = Some(now + TimeDelta::days(1));
        let current = record.current.as_mut().unwrap();
        let there = crate::clock::ProviderClock::default().to_provider(now);
        current.token.valid_until = Some(there + TimeDelta::days(29));
        record.survey = None;
        assert!(!of(Some(&record), Condition::Due));
        assert!(of(Some(&record), Condition::Expiring(month)));
        assert!(!of(Some(&record), Condition::Expiring(month / 2)));
        assert!(!of(Some(&record), Condition::Expired));
        record.next_rotation = Some(now);
        record.current.as_mut().unwrap().token.valid_until = Some(there);
        assert!(of(Some(&record), Condition::Due) && of(Some(&record), Condition::Expired));
        record.current.as_mut().unwrap().token.valid_until = None;
        assert!(!of(Some(&record), Condition::Expiring(month)), "it does not expire");
        assert!(of(Some(&fixture::gone()), Condition::Expired), "gone long before its expiry");
    }
}
