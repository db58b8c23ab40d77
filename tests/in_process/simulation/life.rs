//! A life: what one seed draws, and how it is lived to its end.

use std::sync::Arc;

use scimitar::{
    rotation::policy::{
        Capabilities, Lead, Mode, OnDrift, Policy, Retire, ScopePolicy, Share, Terms, Unmanaged,
        Verify,
    },
    rotation::schedule::Schedule,
    sink::Place,
    token::{
        ConnectionId, ConnectionKey, ConnectionName, MintRequest, PlaceKey, ProviderName, Scope,
        Scopes, SinkName, Tenant,
    },
};

use super::{
    configuring,
    conn::{Author, Client, Conn, Held, Manners, Sink},
    executor::{Ended, Executor},
    faults::{Op, Rates},
    fleet, held,
    people::{Deed, seconds},
    process::{Job, What},
    rng::Rng,
    uptake,
    world::{Action, DAWN, DAY, Event, HOUR, MINUTE, Ms, Outage, SECOND, Service, Sim, World},
};

/// What a life came to, for a count of what was exercised.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lived {
    pub(crate) days: i64,
    pub(crate) calls: u64,
    pub(crate) mints: u64,
    pub(crate) deletes: u64,
    pub(crate) deaths: u64,
    pub(crate) digest: u64,
}

/// The first `count` of Auth0's scopes for users.
pub(crate) fn scopes(count: usize) -> Scopes {
    ["get", "post", "put", "patch", "delete"]
        .iter()
        .take(count)
        .map(|verb| Scope::try_new(format!("{verb}:users")).expect("a plain scope"))
        .collect()
}

/// A policy without any peculiarity: a month, a third, a day.
pub(crate) fn plain_policy(name: &str, manners: &Manners) -> Policy {
    Policy {
        name: ConnectionName::try_new(name).expect("a plain name"),
        provider: ProviderName::try_new("acme").expect("a plain name"),
        key: ConnectionKey {
            tenant: Tenant::try_new("acme.example").expect("a plain name"),
            connection: ConnectionId::try_new(format!("con_{name}")).expect("a plain name"),
        },
        capabilities: Capabilities {
            cap: manners.cap.and_then(|cap| u32::try_from(cap).ok()),
            shortest_life: Some(seconds(901 * SECOND)),
            life_step: seconds(SECOND),
            last_used: manners.last_used,
            scopes: true,
            user_scopes: None,
            read_scope: Scope::try_new("get:users").ok(),
            names: false,
            id_in_value: false,
            default_scopes: std::collections::BTreeSet::new(),
        }
        .into(),
        survey_interval: seconds(HOUR),
        terms: Terms {
            scopes: ScopePolicy::Exactly(scopes(5)),
            token_lifetime: Some(seconds(30 * DAY)),
            rotate_before: Share::try_new(0.33).map(Lead::Share),
            ..Terms::default()
        }
        .into(),
    }
}

/// A sink that nobody has written to.
pub(crate) fn sink(name: &str, nth: usize, readable: bool, fenced: bool) -> Sink {
    let location = format!("{name}/{nth}");
    Sink {
        place: Place {
            key: PlaceKey::new(if fenced { "file" } else { "vault" }, &location),
            sink: SinkName::try_new(format!("sink{nth}")).expect("a plain name"),
            location,
            delivery: serde_json::json!({ "nth": nth }).into(),
        },
        readable,
        fenced,
        in_policy: true,
        reopens: true,
        version: 0,
        held: None,
        changed: DAWN,
        past: Vec::new(),
        client: None,
        stages: false,
        staged: None,
        earlier: None,
        meddled: false,
        container: 1,
        home: None,
        behind: None,
    }
}

/// One that can keep a token beside what its readers get.
pub(crate) fn staging(name: &str, nth: usize) -> Sink {
    Sink { stages: true, ..sink(name, nth, true, false) }
}

fn draw_manners(rng: &mut Rng) -> Manners {
    let rarely = |rng: &mut Rng, of: &[Ms]| if rng.one_in(4) { rng.pick(of) } else { 0 };
    // What holds a slot is listed: a token that cannot be seen cannot be cleared away.
    let expired_listed = !rng.one_in(3);
    Manners {
        cap: if rng.one_in(6) { None } else { Some(2) },
        id_in_value: !rng.one_in(5),
        last_used: !rng.one_in(6),
        mark_delay: rarely(rng, &[5 * SECOND, 2 * MINUTE, HOUR]),
        mark_grain: rarely(rng, &[SECOND, MINUTE, HOUR]).max(1),
        list_lag: rarely(rng, &[SECOND, 20 * SECOND, 5 * MINUTE]),
        grant_error: rarely(rng, &[-SECOND, SECOND, 2 * SECOND, -40 * SECOND]),
        accept_delay: rarely(rng, &[SECOND, 10 * SECOND, 50 * SECOND]),
        reject_delay: rarely(rng, &[SECOND, MINUTE]),
        expired_hold: expired_listed && !rng.one_in(3),
        expired_listed,
        dated: true,
        wild_date: rarely(rng, &[-30 * DAY, -2 * HOUR, 2 * HOUR, 2 * DAY, 40 * DAY]),
    }
}

/// Draws a policy that `check` would let pass; the second value is how long a generation lasts.
fn draw_policy(rng: &mut Rng, name: &str, manners: &Manners) -> (Policy, Ms) {
    let life = rng.pick(&[3 * HOUR, 8 * HOUR, DAY, 7 * DAY, 30 * DAY]);
    let life = life + rng.below(life / 4) / SECOND * SECOND;
    let lead = life * rng.range(15, 45) / 100;
    let expires = !rng.one_in(6);
    let overlap = (lead * rng.pick(&[5, 20, 50, 100]) / 100).min(life - lead - MINUTE);
    let mut policy = plain_policy(name, manners);
    policy.terms.token_lifetime = expires.then(|| seconds(life));
    policy.terms.rotate_before = expires.then(|| Lead::Fixed(seconds(lead)));
    policy.terms.max_age = (!expires).then(|| seconds(life - lead));
    if !expires && rng.one_in(2) {
        policy.capabilities.shortest_life = None;
    }
    if rng.one_in(5) {
        policy.terms.scopes = ScopePolicy::Inherit;
    }
    policy.terms.verify = if rng.one_in(6) { Verify::Off } else { Verify::Read };
    policy.terms.unmanaged = if rng.one_in(4) { Unmanaged::Retire } else { Unmanaged::Report };
    policy.terms.on_drift = if rng.one_in(2) { OnDrift::Restore } else { OnDrift::Report };
    policy.survey_interval = seconds((life / rng.pick(&[8, 16, 32])).clamp(5 * MINUTE, 2 * DAY));
    policy.terms.retire = draw_retire(rng, overlap, lead, manners.last_used);
    // A schedule's longest gap may not exceed what is left when a token is due.
    let ticks =
        [("17 3 * * *", 26 * HOUR), ("40 */2 * * *", 4 * HOUR), ("0 9 * * Mon-Fri", 74 * HOUR)];
    let (ticks, gap) = rng.pick(&ticks);
    if expires && lead > gap && rng.one_in(3) {
        policy.terms.schedule = Schedule::parse(ticks, "Europe/Berlin").ok();
    }
    (policy, life)
}

fn draw_retire(rng: &mut Rng, overlap: Ms, lead: Ms, last_used: bool) -> Retire {
    Retire {
        overlap: seconds(overlap),
        after_use: last_used && rng.one_in(2),
        when_idle: (last_used && rng.one_in(3)).then(|| seconds(overlap / 2)),
        at_latest: rng.one_in(2).then(|| seconds(rng.range(overlap, lead.max(overlap)))),
    }
}

fn draw_rates(rng: &mut Rng) -> Rates {
    let rate = |rng: &mut Rng| rng.pick(&[0, 0, 0, 1_000, 5_000, 20_000]);
    let all = [
        Op::List,
        Op::Create,
        Op::Revoke,
        Op::Anonymous,
        Op::Probe,
        Op::Read,
        Op::Prove,
        Op::Stage,
        Op::Promote,
        Op::Forget,
    ];
    Rates {
        refuse: rate(rng),
        lose: rate(rng),
        late: rate(rng),
        die: rng.pick(&[0, 0, 1_000, 3_000, 10_000]),
        freeze: rng.pick(&[0, 0, 0, 500, 2_000]),
        weak: rng.one_in(2).then(|| (rng.pick(&all), rng.pick(&[50_000, 250_000]))),
        ledger: rng.one_in(3),
        slowest: rng.pick(&[50, 500, 3_000]),
        slow_sinks: rng.one_in(4),
    }
}

fn draw_sinks(rng: &mut Rng, name: &str, life: Ms) -> Vec<Sink> {
    let count = rng.pick(&[1, 1, 2, 2, 3]);
    let spare = usize::from(rng.one_in(4));
    (0..count + spare)
        .map(|nth| {
            let readable = nth == 0 || !rng.one_in(4);
            let fenced = readable && rng.one_in(2);
            let mut sink = sink(name, nth, readable, fenced);
            sink.in_policy = nth < count;
            let period = (life / rng.pick(&[30, 60, 120])).max(MINUTE);
            sink.client = (!rng.one_in(5)).then(|| Client {
                period,
                reread: period * rng.pick(&[1, 1, 3]),
                holds: None,
                read_at: 0,
            });
            sink
        })
        .collect()
}

fn draw_deed(rng: &mut Rng, conn: &Conn, life: Ms) -> Deed {
    let sink = rng.index(conn.sinks.len());
    match rng.below(32) {
        0 => Deed::CreateToken,
        1 => Deed::DeleteHeld,
        2 => Deed::DeleteOther,
        3 => Deed::RotateByHand,
        4 => Deed::Scribble { sink },
        5 => Deed::Empty { sink },
        6 | 7 => Deed::Restore { sink },
        8 => Deed::Neighbour { sink },
        9 => Deed::AddSink { sink },
        10 => Deed::RemoveSink { sink },
        11 => {
            let mut policy = Policy::clone(conn.policy());
            let overlap = life * rng.range(2, 14) / 100;
            let lead = overlap;
            policy.terms.retire = draw_retire(rng, overlap, lead, conn.manners.last_used);
            if rng.one_in(4) {
                policy.terms.mode = Mode::Observe;
            }
            Deed::Policy(Box::new(policy))
        }
        12 => {
            Deed::ClockJump(rng.pick(&[-3 * HOUR, -7 * MINUTE, -20 * SECOND, 9 * MINUTE, 5 * HOUR]))
        }
        13 | 14 => Deed::RotationRequest { what: What::Rotate, wait: rng.one_in(2) },
        15 => Deed::RotationRequest { what: What::Compromised, wait: rng.one_in(2) },
        16 => Deed::RotationRequest { what: What::Due, wait: rng.one_in(2) },
        17 => Deed::Stop,
        18 | 19 => Deed::KillAll,
        20 | 21 => Deed::LedgerCopy,
        22 => Deed::LedgerRestore,
        23 => Deed::RotationRequest { what: What::Adopt, wait: rng.one_in(2) },
        24 => Deed::RotationRequest { what: What::Revoke, wait: rng.one_in(2) },
        25 | 26 => Deed::MoveAway { sink },
        27 | 28 => Deed::Forge { sink },
        29 => Deed::Narrow(rng.range(1, 6).unsigned_abs() as usize),
        30 => Deed::Restore { sink },
        _ => Deed::LedgerLose,
    }
}

/// Another kind of provider: its tokens have names and neither expiry, scopes nor a known limit, and
/// their values do not say which token they are.
fn name_tokens(policy: &mut Policy, manners: &mut Manners) {
    manners.cap = None;
    manners.id_in_value = false;
    policy.capabilities.cap = None;
    policy.capabilities.shortest_life = None;
    policy.capabilities.scopes = false;
    policy.capabilities.read_scope = None;
    policy.capabilities.names = true;
    policy.terms.scopes = ScopePolicy::Inherit;
}

/// Draws a life's world and its calendar; answers when the faults stop and how long a generation
/// lasts.
pub(crate) fn draw(seed: u64) -> (World, Ms, Ms) {
    let mut rng = Rng::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let manners = draw_manners(&mut rng);
    let (mut policy, life) = draw_policy(&mut rng, "a", &manners);
    let mut manners = manners;
    if policy.terms.token_lifetime.is_none() && !Rng::new(!seed).one_in(3) {
        name_tokens(&mut policy, &mut manners);
    }
    let mut of_holds = Rng::new(seed.rotate_left(17) ^ 0x4a05_e5ed);
    held::draw_policy(&mut of_holds, &mut policy, life);
    let mut of_configs = Rng::new(seed.rotate_left(41) ^ 0xc0f1_65ed);
    configuring::draw_policy(&mut of_configs, &mut policy);
    let mut sinks = draw_sinks(&mut rng, "a", life);
    let mut of_sinks = Rng::new(seed.rotate_left(32) ^ 0x57a6_ed00);
    for sink in sinks.iter_mut().filter(|sink| sink.readable && !sink.fenced) {
        sink.stages = of_sinks.one_in(2);
    }
    let mut of_clients = Rng::new(seed.rotate_left(23) ^ 0xc11e_47ed);
    uptake::draw(&mut of_clients, &mut sinks, life);
    uptake::settle_policy(&mut policy, &sinks);
    policy.capabilities.id_in_value = manners.id_in_value;
    let conn = Conn::new(policy, manners, sinks, 0);
    let mut world = World::new(seed, vec![conn]);
    world.rates = draw_rates(&mut rng);
    world.provider_offset = rng.pick(&[0, 0, -800, 40 * SECOND, -10 * MINUTE, 3 * HOUR]);
    world.downtime = rng.pick(&[SECOND, MINUTE, life / 50]);
    begin_with(&mut world, &mut rng);
    let faults_end = DAWN + life * 3;
    let any = |rng: &mut Rng| DAWN + rng.below(faults_end - DAWN);
    for _ in 0..rng.pick(&[0, 0, 1, 2, 4, 8]) {
        let deed = draw_deed(&mut rng, &world.conns[0], life);
        let at = any(&mut rng);
        world.schedule(at, Event::People { conn: 0, deed });
    }
    for _ in 0..rng.pick(&[0, 0, 0, 1, 2]) {
        let sinks = world.conns[0].sinks.len();
        let sink = rng.index(sinks);
        let what =
            rng.pick(&[Service::Provider, Service::Endpoint, Service::Sink(sink), Service::Ledger]);
        let what =
            if what == Service::Endpoint && rng.one_in(3) { Service::Nonsense } else { what };
        let from = any(&mut rng);
        let longest = life / rng.pick(&[2, 10, 100]);
        let to = from + rng.below(longest);
        world.conns[0].disturb(from, to, "an outage");
        world.outages.push(Outage { conn: Some(0), node: None, what, from, to });
    }
    for nth in 0..world.conns[0].sinks.len() {
        let at = DAWN + rng.below(HOUR);
        world.schedule(at, Event::Client { conn: 0, sink: nth });
    }
    uptake::schedule(&mut of_clients, &mut world);
    configuring::draw_deeds(&mut of_configs, &mut world, faults_end);
    held::draw_pauses(&mut of_holds, &mut world, life, faults_end);
    world.schedule(faults_end, Event::People { conn: 0, deed: Deed::Calm });
    world.schedule(DAWN + 1, Event::Act(Action::Start(Job::Daemon(0))));
    if rng.one_in(6) {
        let at = any(&mut rng);
        world.schedule(at, Event::Act(Action::Start(Job::Daemon(0))));
    }
    (world, faults_end, life)
}

/// Some lives begin with a token that a person made and pasted.
fn begin_with(world: &mut World, rng: &mut Rng) {
    if rng.one_in(2) {
        return;
    }
    let request = MintRequest {
        scopes: scopes(5),
        life: world.conns[0].policy().terms.token_lifetime,
        name: None,
    };
    let Ok(made) = world.make(0, None, &request) else {
        return;
    };
    let value: Arc<str> = made.value.expose().into();
    let held = Held { value, marks: None, author: Author::Person };
    world.conns[0].put(0, Some(held), DAWN);
}

/// Lives one life to its end.
///
/// # Errors
/// The promise that was broken, and how.
pub(crate) fn live(seed: u64, tracing: bool) -> Result<Lived, String> {
    live_in(draw(seed), tracing)
}

/// The same with several replicas, on hosts whose clocks differ.
pub(crate) fn live_in_fleet(seed: u64, tracing: bool) -> Result<Lived, String> {
    let (mut world, faults_end, life) = draw(seed);
    fleet::draw_fleet(seed, &mut world, life, faults_end);
    live_in((world, faults_end, life), tracing)
}

fn live_in((mut world, faults_end, life): (World, Ms, Ms), tracing: bool) -> Result<Lived, String> {
    world.tracing = tracing;
    if tracing {
        let policy = Arc::clone(world.conns[0].policy());
        let (manners, rates) = (world.conns[0].manners.clone(), world.rates.clone());
        world.note(|| format!("{policy:#?}\n{manners:?}\n{rates:?}"));
    }
    let sim = Sim::new(world);
    let mut executor = Executor::new(sim.clone());
    let end = faults_end + (life * 3 / 2).max(6 * HOUR);
    let ended = executor.run(end);
    settle(&mut executor, ended, life)?;
    let world = sim.lock();
    let conn = &world.conns[0];
    Ok(Lived {
        days: (world.now - DAWN) / DAY,
        calls: world.calls,
        mints: conn.mints,
        deletes: conn
            .tokens
            .values()
            .filter(|tok| tok.deleted.is_some() && !tok.deleted_by_person)
            .count() as u64,
        deaths: world.deaths,
        digest: world.digest,
    })
}

/// Runs on until no rotation is under way, then asks for promise 5.
///
/// # Errors
/// The promise that was broken, and how.
pub(crate) fn settle(executor: &mut Executor, ended: Ended, life: Ms) -> Result<(), String> {
    let mut ended = ended;
    for _ in 0..8 {
        let until = {
            let world = executor.sim.lock();
            let quiet = (0..world.conns.len()).all(|conn| world.unwell(conn).is_none());
            if quiet || ended == Ended::Broken {
                break;
            }
            world.now + (life / 8).max(HOUR)
        };
        ended = executor.run(until);
    }
    let mut world = executor.sim.lock();
    for conn in 0..world.conns.len() {
        world.promise_5(conn);
    }
    world.broken.take().map_or(Ok(()), Err)
}
