//! The pure core alone: how many decisions a second one core makes.

use std::{hint::black_box, time::Duration};

use scimitar::{
    ledger::format,
    rotation::{
        decide::{Draw, Rest, Situation, Status, Step, Timeouts, decide},
        event::Event,
        observe::Observed,
        request::RotationRequest,
    },
};

use super::{figure::Book, rate::per_second, sample::Sample};

/// Checks that a decision is the one that its figure speaks of.
type Check = fn(&Step) -> bool;

pub(crate) fn run(book: &mut Book) -> anyhow::Result<()> {
    let steady = Sample::steady(1)?;
    let mut unseen = steady.clone();
    unseen.observed = Observed::default();
    let idle: Check = |step| matches!(step, Step::Rest(Rest { status: Status::Idle, .. }));
    let cases: [(&str, Sample, Check); 5] = [
        ("nothing seen yet: look", unseen, |step| matches!(step, Step::Look { .. })),
        ("steady, just seen: rest", steady.clone(), idle),
        ("steady with a schedule: rest", Sample::with_a_schedule()?, idle),
        ("an older token waits: rest", Sample::with_an_older()?, |step| {
            matches!(step, Step::Rest(Rest { status: Status::Waiting, .. }))
        }),
        ("delivering: promote", Sample::delivering()?, |step| matches!(step, Step::Promote(_))),
    ];
    for (name, sample, check) in &cases {
        let situation = Situation {
            policy: &sample.policy,
            record: &sample.record,
            observed: &sample.observed,
            now: sample.now,
            request: &RotationRequest::Due,
            ledger: &sample.ledger,
            ending: None,
            timeouts: Timeouts { request: Duration::from_secs(30), probe: Duration::from_secs(60) },
            draw: Draw::default(),
        };
        let decision = decide(&situation);
        anyhow::ensure!(check(&decision.step), "{name}: decided {:?}", decision.step);
        let samples = per_second(|| {
            black_box(decide(black_box(&situation)));
            anyhow::Ok(())
        })?;
        book.note("decide", name, "decisions/s", samples)?;
    }

    let rested = Event::Rested {
        at: steady.now,
        work_at: steady.record.work_at,
        wake_at: steady.record.wake_at,
        next_rotation: steady.record.next_rotation,
        decided: None,
        warnings: steady.record.warnings.clone(),
        noticed: None,
    };
    let samples = per_second(|| {
        let applied = steady.record.clone().apply(black_box(rested.clone()))?;
        black_box(applied);
        anyhow::Ok(())
    })?;
    book.note("decide", "clone and apply an event", "events/s", samples)?;

    let document = format::encode(&steady.record)?;
    let samples = per_second(|| {
        black_box(format::encode(black_box(&steady.record))?);
        anyhow::Ok(())
    })?;
    book.note("decide", "encode a record", "records/s", samples)?;
    let samples = per_second(|| {
        black_box(format::decode(black_box(&document))?);
        anyhow::Ok(())
    })?;
    book.note("decide", "decode a record", "records/s", samples)
}
