//! The walk: every state that can be reached with so much trouble, breadth first, each once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use chrono::TimeDelta;
use scimitar::{clock::rfc3339, token::Scopes};

use super::{
    model::{World, lease},
    worker::{Turn, Worker},
};

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// A worker finds the connection due.
    Start(usize),
    Step(usize, Turn),
    /// `kill -9`.
    Crash(usize),
    /// Who holds the claim stands still until its lease has ended.
    Freeze,
    /// A human makes a token at the provider.
    Adds,
    /// A human revokes a token there.
    Revokes(usize),
    /// What nobody waits for any more takes effect.
    Arrives(usize),
    /// Time passes until something is to be done.
    Waits,
}

/// How a walk went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) states: usize,
    /// The longest way to a state, in actions.
    pub(crate) depth: usize,
    /// States in which no time is left, from which all was seen to end well.
    pub(crate) ends: usize,
    /// How a promise was broken, and the shortest way there.
    pub(crate) broken: Option<String>,
}

/// From an end without any more trouble, it is well after this long.
const CALM: TimeDelta = TimeDelta::hours(40);

impl World {
    /// All that can happen now, with what it costs.
    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        let trouble = self.troubles > 0;
        for nth in 0..2 {
            // They are alike: where both could, the first one does.
            let other = nth == 1 && matches!(self.workers[0], Worker::Idle);
            if self.can_start(nth) && !other {
                actions.push(Action::Start(nth));
            }
            if self.can_step(nth) {
                let turns = self.turns(nth).into_iter();
                let turns = turns.take(if trouble { usize::MAX } else { 1 });
                actions.extend(turns.map(|turn| Action::Step(nth, turn)));
            }
            if trouble && matches!(self.workers[nth], Worker::Running(_)) {
                actions.push(Action::Crash(nth));
            }
        }
        let works = self.workers.iter().any(|worker| matches!(worker, Worker::Running(_)));
        actions.extend((trouble && works && self.is_claimed()).then_some(Action::Freeze));
        actions.extend((0..self.late.len()).map(Action::Arrives));
        if trouble {
            let human = self.tokens.iter().any(|token| token.by_human && token.alive);
            actions.extend((!human).then_some(Action::Adds));
            let alive = (0..self.tokens.len()).filter(|nth| self.tokens[*nth].alive);
            actions.extend(alive.map(Action::Revokes));
        }
        let idle = !(0..2).any(|nth| self.can_step(nth) || self.can_start(nth));
        if idle && self.waits > 0 {
            actions.push(Action::Waits);
        }
        actions
    }

    fn act(&mut self, action: Action) {
        let costs = match action {
            Action::Start(_) | Action::Arrives(_) | Action::Waits => false,
            Action::Step(_, turn) => turn != Turn::Works,
            Action::Crash(_) | Action::Freeze | Action::Adds | Action::Revokes(_) => true,
        };
        self.troubles -= usize::from(costs);
        match action {
            Action::Start(nth) => self.start(nth),
            Action::Step(nth, turn) => self.step(nth, turn),
            Action::Crash(nth) => self.crash(nth),
            Action::Freeze => {
                let until = self.now + lease() + TimeDelta::seconds(1);
                self.passed(until, false);
            }
            Action::Adds => {
                let life = self.rules.policy.terms.token_lifetime;
                self.create(true, life, Scopes::new());
            }
            Action::Revokes(nth) => {
                self.tokens[nth].alive = false;
                self.tokens[nth].removed_by_human = true;
            }
            Action::Arrives(nth) => {
                let (_, effect) = self.late.remove(nth);
                self.arrive(effect);
            }
            Action::Waits => {
                let wake = self.ledger.written.record.wake_at.unwrap_or(self.now);
                // A claim that nobody holds any more ends with its lease.
                let free = if self.is_claimed() { self.ledger.until } else { self.now };
                let pauses = self.workers.iter().filter_map(Worker::pauses_until);
                let until = pauses.chain([wake.max(free)]).min().unwrap_or(wake);
                self.waits = self.waits.saturating_sub(1);
                self.passed(until.max(self.now), true);
            }
        }
        self.promise_1();
    }

    /// What happens where nothing goes wrong any more.
    fn calmly(&self) -> Action {
        let first = |can: &dyn Fn(usize) -> bool| (0..2).find(|nth| can(*nth));
        let steps = first(&|nth| self.can_step(nth)).map(|nth| Action::Step(nth, Turn::Works));
        let starts = || first(&|nth| self.can_start(nth)).map(Action::Start);
        steps.or_else(starts).unwrap_or(Action::Waits)
    }

    /// Goes on without trouble for so long.
    pub(crate) fn calm(&mut self, time: TimeDelta) {
        let until = self.now + time;
        (self.troubles, self.waits) = (0, usize::MAX);
        for _ in 0..5_000 {
            if self.now >= until || self.broken.is_some() {
                return;
            }
            self.act(self.calmly());
        }
        self.violate("7 it never gives up: 5000 steps without an end");
    }

    /// The same until a worker is about to begin the next pass after this moment.
    pub(crate) fn calm_until_due(&mut self, time: TimeDelta) {
        self.calm(time);
        while !matches!(self.workers, [Worker::Idle, Worker::Idle]) {
            self.act(self.calmly());
        }
        assert_eq!(self.broken, None);
    }

    fn words(&self) -> String {
        let record = &self.ledger.written.record;
        let tokens = self.tokens.iter().filter(|token| token.alive);
        let tokens: Vec<&str> = tokens.map(|token| token.listed.id.as_str()).collect();
        let sinks = self.sinks.each_ref().map(|sink| {
            sink.held.as_ref().map_or_else(|| "nothing".to_owned(), |(id, _)| id.to_string())
        });
        format!(
            "{} {} | {} | sinks hold {} | {} | {}",
            rfc3339(self.now),
            record.phase_name(),
            tokens.join(" "),
            sinks.join(", "),
            self.workers[0].words(),
            self.workers[1].words(),
        )
    }
}

/// A state as it was reached.
type Way = BTreeMap<u64, Option<(u64, Action)>>;

/// Walks from `root` with so much trouble in each life.
pub(crate) fn walk(root: &World, troubles: usize, waits: usize) -> Walk {
    let root = World { troubles, waits, ..root.clone() };
    let mut done = Walk::default();
    let mut way = Way::from([(root.print(), None)]);
    let mut good = BTreeSet::new();
    let mut frontier = vec![(root.print(), root.clone())];
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (print, world) in frontier.drain(..) {
            let actions = world.actions();
            let over = actions.iter().all(|action| {
                !matches!(action, Action::Start(_) | Action::Step(..) | Action::Waits)
            });
            if over {
                done.ends += 1;
                if let Some(how) = ends_badly(&world, &mut good) {
                    done.broken = Some(told(&root, &way, print, None, &how));
                    done.states = way.len();
                    return done;
                }
            }
            for action in actions {
                let mut after = world.clone();
                after.act(action);
                if let Some(how) = &after.broken {
                    done.broken = Some(told(&root, &way, print, Some(action), how));
                    done.states = way.len();
                    return done;
                }
                let reached = after.print();
                if let std::collections::btree_map::Entry::Vacant(new) = way.entry(reached) {
                    new.insert(Some((print, action)));
                    next.push((reached, after));
                }
            }
        }
        done.depth += usize::from(!next.is_empty());
        frontier = next;
    }
    done.states = way.len();
    done
}

/// Goes on from an end without trouble. Where a human's token keeps the slot that a rotation needs, the
/// human takes it away, as a refusal says.
fn ends_badly(world: &World, good: &mut BTreeSet<u64>) -> Option<String> {
    let how = goes_badly(world, good)?;
    let mut helped = world.clone();
    let mut helps = false;
    for token in helped.tokens.iter_mut().filter(|token| token.by_human && token.alive) {
        (token.alive, token.removed_by_human) = (false, true);
        helps = true;
    }
    if helps { goes_badly(&helped, good) } else { Some(how) }
}

/// `good` are the states from which all was seen to end well.
fn goes_badly(world: &World, good: &mut BTreeSet<u64>) -> Option<String> {
    let mut world = World { troubles: 0, waits: usize::MAX, ..world.clone() };
    let until = world.now + CALM;
    let mut passed = Vec::new();
    for _ in 0..5_000 {
        let print = world.print();
        if good.contains(&print) {
            good.extend(passed);
            return None;
        }
        passed.push(print);
        if world.now >= until {
            break;
        }
        world.act(world.calmly());
        if let Some(how) = world.broken {
            return Some(how);
        }
    }
    let how = world.unwell();
    if how.is_none() {
        good.extend(passed);
    }
    how.map(|how| format!("5 it always ends well: {how} ({})", world.words()))
}

/// The way to a state, one line an action.
fn told(root: &World, way: &Way, to: u64, last: Option<Action>, how: &str) -> String {
    let mut actions: Vec<Action> = last.into_iter().collect();
    let mut at = to;
    while let Some(Some((before, action))) = way.get(&at) {
        actions.push(*action);
        at = *before;
    }
    actions.reverse();
    let mut world = root.clone();
    let mut text = format!("{how}\n  {}\n", world.words());
    for action in actions {
        world.act(action);
        let _ = writeln!(text, "  {action:?}\n      {}", world.words());
    }
    text
}

/// The scenes from which walks begin.
pub(crate) fn scenes(sabotage: super::model::Sabotage) -> Vec<(&'static str, World)> {
    let first = World::new(sabotage);
    let mut settled = first.clone();
    settled.calm_until_due(TimeDelta::hours(1));
    assert_eq!(settled.unwell(), None, "{}", settled.words());
    let mut due = settled.clone();
    let lead = due.ledger.written.record.next_rotation.unwrap() - due.now;
    due.calm_until_due(lead - TimeDelta::hours(13));
    while due.ledger.written.record.wake_at != due.ledger.written.record.next_rotation {
        due.calm_until_due(TimeDelta::seconds(1));
    }
    due.passed(due.ledger.written.record.wake_at.unwrap(), true);
    let mut retires = due.clone();
    retires.calm_until_due(TimeDelta::seconds(1));
    retires.passed(retires.ledger.written.record.wake_at.unwrap(), true);
    let scenes = vec![
        ("the first meeting", first),
        ("a rotation is due", due),
        ("an older token's time has come", retires),
    ];
    let rules = |world: &World| Arc::as_ptr(&world.rules);
    assert!(scenes.iter().all(|(_, world)| rules(world) == rules(&scenes[0].1)));
    scenes
}
