//! One connection of the world: its tokens, its sinks, its clients, and what is known of it that
//! the product cannot know.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use scimitar::{
    rotation::{
        policy::{Policy, Verify},
        record::Record,
        scim_config::ScimConfig,
    },
    sink::{Marks, Place, Version},
    token::{Scopes, TokenId, TokenName},
};

use super::{
    outages::CutOff,
    places::Home,
    uptake::Behind,
    world::{Ms, Pid},
};

/// Every secret part begins with this, so that one search finds any value anywhere.
pub(crate) const CANARY: &str = "5ca1ab1ec0ffee";

/// A token at the provider, and the truth about it.
#[derive(Clone, Debug)]
pub(crate) struct Tok {
    pub(crate) value: Arc<str>,
    /// True time.
    pub(crate) made: Ms,
    /// The provider's clock.
    pub(crate) created: Ms,
    /// The provider's clock.
    pub(crate) until: Option<Ms>,
    pub(crate) scopes: Scopes,
    pub(crate) name: Option<TokenName>,
    /// The process that asked for it; `None`: a person.
    pub(crate) maker: Option<Pid>,
    pub(crate) deleted: Option<Ms>,
    pub(crate) deleted_by_person: bool,
    /// An operator declared it leaked.
    pub(crate) condemned: bool,
    /// When the product's own hand last took it out of a sink of the policy, or replaced it there.
    pub(crate) left_a_sink: Option<Ms>,
    /// It is, or was, in some sink.
    pub(crate) in_a_sink: bool,
    /// When every sink of the policy held it for the first time.
    pub(crate) delivered: Option<Ms>,
    /// It was written down by its id: from then on nobody can take it for another's.
    pub(crate) recorded: bool,
    /// The SCIM endpoint accepted it from a probe.
    pub(crate) proven: bool,
    /// It was delivered although nothing could be learnt of it.
    pub(crate) waived: bool,
    /// It expired where it was in use, and no fair chance was left to replace it.
    pub(crate) expired_fairly: bool,
    pub(crate) last_client_use: Option<Ms>,
    /// Uses as the provider will show them: (shown from, in true time; what it shows).
    pub(crate) marks: Vec<(Ms, Ms)>,
    /// The policy in force when it was made.
    pub(crate) policy: usize,
}

/// Who put a thing where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    Worker(Pid),
    Person,
    Restored,
}

/// What a sink holds.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) value: Arc<str>,
    pub(crate) marks: Option<Marks>,
    pub(crate) author: Author,
}

/// An identity provider that takes its token from a sink.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) period: Ms,
    /// How long it goes on with a value before it reads the sink again.
    pub(crate) reread: Ms,
    pub(crate) holds: Option<Held>,
    pub(crate) read_at: Ms,
}

/// A sink.
#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) place: Place,
    pub(crate) readable: bool,
    /// Its writes ask the fence and happen at once, as the file sink's do.
    pub(crate) fenced: bool,
    pub(crate) in_policy: bool,
    /// Its `[sinks.NAME]` is still there when it left the policy.
    pub(crate) reopens: bool,
    pub(crate) version: u64,
    pub(crate) held: Option<Held>,
    pub(crate) changed: Ms,
    /// Earlier states, for a restore.
    pub(crate) past: Vec<Option<Held>>,
    pub(crate) client: Option<Client>,
    /// It can keep a token beside what its readers get, and keeps what they got before.
    pub(crate) stages: bool,
    pub(crate) staged: Option<Held>,
    pub(crate) earlier: Option<Held>,
    /// Others than the product put something there, or took something away.
    pub(crate) meddled: bool,
    /// Which box it is in, as the product sees it.
    pub(crate) container: u64,
    /// What readers have, while the product sees another box.
    pub(crate) home: Option<Home>,
    /// The client behind it, where it does not use at once what is put there.
    pub(crate) behind: Option<Behind>,
}

/// A time in which something beyond the product's power stood in the way.
#[derive(Clone, Debug)]
pub(crate) struct Disturbance {
    pub(crate) from: Ms,
    pub(crate) to: Ms,
    pub(crate) why: &'static str,
}

/// What one process did for one connection under its present claim.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attempt {
    /// What it last listed; taken by its next create.
    pub(crate) listed: Option<Vec<TokenId>>,
    pub(crate) anonymous: bool,
    pub(crate) proved: BTreeSet<usize>,
    /// When it last read each sink.
    pub(crate) reads: BTreeMap<usize, Ms>,
    /// Its call was given a policy under which nothing is changed.
    pub(crate) observes: bool,
    /// The sinks that its call was given.
    pub(crate) sinks: BTreeSet<usize>,
    /// What it minted itself, under any claim.
    pub(crate) minted: BTreeSet<TokenId>,
}

/// How a connection's services behave.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) cap: Option<usize>,
    /// Values carry their id.
    pub(crate) id_in_value: bool,
    /// Lists show last uses.
    pub(crate) last_used: bool,
    /// How much later a use is shown.
    pub(crate) mark_delay: Ms,
    /// How coarse it is.
    pub(crate) mark_grain: Ms,
    /// How old what a list shows can be.
    pub(crate) list_lag: Ms,
    /// How much longer (shorter) a token lives than was asked for.
    pub(crate) grant_error: Ms,
    pub(crate) accept_delay: Ms,
    pub(crate) reject_delay: Ms,
    /// Expired tokens hold their slot.
    pub(crate) expired_hold: bool,
    /// Expired tokens are listed.
    pub(crate) expired_listed: bool,
    /// Answers carry a `Date`.
    pub(crate) dated: bool,
    /// By how much a single list's `Date` is wrong now and then.
    pub(crate) wild_date: Ms,
}

impl Manners {
    /// As Auth0 is documented, without any vice.
    pub(crate) fn plain() -> Self {
        Self {
            cap: Some(2),
            id_in_value: true,
            last_used: true,
            mark_delay: 0,
            mark_grain: 1,
            list_lag: 0,
            grant_error: 0,
            accept_delay: 0,
            reject_delay: 0,
            expired_hold: true,
            expired_listed: true,
            dated: true,
            wild_date: 0,
        }
    }
}

/// A connection.
pub(crate) struct Conn {
    pub(crate) tokens: BTreeMap<TokenId, Tok>,
    /// Users by id: their names, and whether they are active.
    pub(crate) users: BTreeMap<String, (String, bool)>,
    /// Its SCIM endpoint shows nobody who is inactive.
    pub(crate) hides_inactive: bool,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) manners: Manners,
    /// All policies there were, and since when.
    pub(crate) policies: Vec<(Ms, Arc<Policy>)>,
    pub(crate) disturbances: Vec<Disturbance>,
    pub(crate) attempts: BTreeMap<Pid, Attempt>,
    /// When a list's `Date` was last wrong.
    pub(crate) misdated: Ms,
    /// When a create was last refused for want of a slot.
    pub(crate) refused_slot: Option<Ms>,
    /// Tokens that a create of the product made.
    pub(crate) mints: u64,
    /// When an operator's call to rotate was last begun.
    pub(crate) asked: Option<Ms>,
    /// Since when intents written down may be lost with their ledger.
    pub(crate) lost_ledger: bool,
    /// What its hook was told of once for as long as it stands: in which notice, and when.
    pub(crate) told: BTreeMap<String, (String, Ms)>,
    /// What was last written down.
    pub(crate) record: Option<Arc<Record>>,
    pub(crate) next_id: u64,
    /// Somebody damaged a sink or the ledger.
    pub(crate) damaged: bool,
    /// A person rotated it by hand because of that.
    pub(crate) mended: bool,
    /// When it was paused, in true time.
    pub(crate) pauses: Vec<(Ms, Ms)>,
    /// Its SCIM configuration, where its policy looks after that.
    pub(crate) scim_config: Option<ScimConfig>,
    /// Readers who have a token that is dead.
    pub(crate) cut_off: CutOff,
}

impl Conn {
    /// Whether a value is taken for the token that its own beginning names, and nothing asks.
    pub(crate) fn believes_anything(&self) -> bool {
        let off = |policy: &Policy| policy.terms.verify == Verify::Off;
        self.manners.id_in_value && self.policies.iter().any(|(_, policy)| off(policy))
    }

    pub(crate) fn new(policy: Policy, manners: Manners, sinks: Vec<Sink>, first_id: u64) -> Self {
        Self {
            tokens: BTreeMap::new(),
            users: BTreeMap::new(),
            hides_inactive: false,
            sinks,
            manners,
            policies: vec![(0, Arc::new(policy))],
            disturbances: Vec::new(),
            attempts: BTreeMap::new(),
            misdated: 0,
            refused_slot: None,
            mints: 0,
            asked: None,
            lost_ledger: false,
            told: BTreeMap::new(),
            record: None,
            next_id: first_id,
            damaged: false,
            mended: false,
            pauses: Vec::new(),
            scim_config: None,
            cut_off: CutOff::default(),
        }
    }

    /// The policy now in force.
    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.policies[self.policies.len() - 1].1
    }

    pub(crate) fn disturb(&mut self, from: Ms, to: Ms, why: &'static str) {
        // Adjacent ones grow together, so that a long life does not collect thousands.
        if let Some(last) = self.disturbances.last_mut()
            && last.why == why
            && last.from <= from
            && from <= last.to
        {
            last.to = last.to.max(to);
            return;
        }
        self.disturbances.push(Disturbance { from, to, why });
    }

    /// Longest stretch within `from ‥ to` in which nothing stood in the way.
    pub(crate) fn longest_calm(&self, from: Ms, to: Ms) -> Ms {
        let mut spans: Vec<(Ms, Ms)> = self
            .disturbances
            .iter()
            .filter(|one| one.to > from && one.from < to)
            .map(|one| (one.from, one.to))
            .collect();
        let unmanaged = self.tokens.values().filter(|tok| tok.maker.is_none());
        spans.extend(unmanaged.filter_map(|tok| {
            let end = tok.deleted.unwrap_or(Ms::MAX);
            (end > from && tok.made < to).then_some((tok.made, end))
        }));
        spans.sort_unstable();
        let mut calm = 0;
        let mut at = from;
        for (begin, end) in spans {
            calm = calm.max(begin - at);
            at = at.max(end);
        }
        calm.max(to - at)
    }

    /// The token that a value belongs to.
    pub(crate) fn id_of(&self, value: &str) -> Option<TokenId> {
        let prefix = value.split('.').next()?;
        let id = TokenId::try_new(prefix).ok()?;
        self.tokens.get(&id).is_some_and(|tok| *tok.value == *value).then_some(id)
    }

    /// Whether the provider counts a token as valid (no propagation).
    pub(crate) fn is_live(&self, id: &TokenId, provider_now: Ms) -> bool {
        self.tokens.get(id).is_some_and(|tok| {
            tok.deleted.is_none() && tok.until.is_none_or(|until| provider_now < until)
        })
    }

    /// Which sinks hold a token now.
    pub(crate) fn holders(&self, id: &TokenId) -> Vec<usize> {
        self.sinks
            .iter()
            .enumerate()
            .filter(|(_, sink)| sink.holds(self).as_ref() == Some(id))
            .map(|(index, _)| index)
            .collect()
    }

    /// Replaces what a sink holds.
    pub(crate) fn put(&mut self, index: usize, held: Option<Held>, now: Ms) {
        let left = self.sinks[index].gives(self);
        let sink = &mut self.sinks[index];
        let by_worker = |held: &Option<Held>| {
            held.as_ref().is_some_and(|held| matches!(held.author, Author::Worker(_)))
        };
        // What people put there and take away again was never a delivery; and what they put into a
        // sink that cannot be asked, nobody can know.
        let known = sink.readable && by_worker(&held);
        let counts = sink.in_policy && (known || by_worker(&sink.held));
        let past = std::mem::replace(&mut sink.held, held);
        sink.meddled |= !by_worker(&sink.held);
        if sink.stages {
            sink.earlier.clone_from(&past);
        }
        if sink.past.len() < 8 {
            sink.past.push(past);
        }
        sink.version += 1;
        sink.changed = now;
        self.note_change(index, left, counts, now);
    }

    /// The readers of a sink have another token than before, by our hand or (not `counts`) others'.
    pub(crate) fn note_change(
        &mut self,
        index: usize,
        left: Option<TokenId>,
        counts: bool,
        now: Ms,
    ) {
        let came = self.sinks[index].holds(self);
        if left != came {
            let left =
                left.filter(|id| counts && self.sinks[index].gives(self).as_ref() != Some(id));
            if let Some(tok) = left.and_then(|id| self.tokens.get_mut(&id)) {
                tok.left_a_sink = Some(now);
            }
            let Some(id) = came else { return };
            let everywhere = self
                .sinks
                .iter()
                .filter(|sink| sink.in_policy)
                .all(|sink| sink.holds(self).as_ref() == Some(&id));
            if let Some(tok) = self.tokens.get_mut(&id) {
                tok.in_a_sink = true;
                if everywhere {
                    tok.delivered.get_or_insert(now);
                }
            }
        }
    }
}

impl Sink {
    /// The token that it holds, in truth.
    pub(crate) fn holds(&self, conn: &Conn) -> Option<TokenId> {
        conn.id_of(&self.real()?.value)
    }

    /// Its state as compare-and-set names it.
    pub(crate) fn state(&self) -> Version {
        Version(format!("v{}", self.version))
    }
}
