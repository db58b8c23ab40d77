//! Tenants whose answers say nothing of their limit, neither the granted ones nor the refused.

use super::*;

fn mute(rate: f64, burst: u32) -> Tenant {
    Tenant { mute: true, ..Tenant::new(rate, burst, Reset::OneMore) }
}

/// So many connections take at most 1.3 times as long as they must, and one refusal for every ten
/// calls.
fn learns(connections: u32, rate: f64, burst: u32) {
    let (took, tenant) = learnt(connections as usize, mute(rate, burst), 1.0);
    let calls = connections * 4;
    let ideal = f64::from(calls - burst) / rate;
    let figures = format!("{took} s of {ideal} s, {tenant:?}");
    assert_eq!(tenant.accepted, calls, "{figures}");
    assert!(tenant.refused * 10 <= calls + tenant.refused, "{figures}");
    assert!(took <= ideal * 1.3, "{figures}");
}

#[test]
fn the_pace_of_two_a_second_is_learnt_from_429s_alone() {
    learns(20, 2.0, 2);
}

#[test]
fn the_pace_of_five_a_second_is_learnt_from_429s_alone() {
    learns(20, 5.0, 10);
    learns(30, 5.0, 10);
}

#[test]
fn other_limits_are_learnt_too() {
    for (rate, burst) in [(0.8, 5), (1.0, 1), (3.0, 3), (10.0, 10), (16.0, 50)] {
        learns(50, rate, burst);
    }
}

#[test]
fn a_limit_that_was_lowered_or_raised_is_learnt_again() {
    let scene = Scene::new(mute(16.0, 10), 1.0);
    scene.rotate(40, Vec::new());
    let before = scene.tenant.lock().unwrap().refused;
    scene.tenant.lock().unwrap().rate = 2.0;
    let took = scene.rotate(20, Vec::new());
    let refused = scene.tenant.lock().unwrap().refused - before;
    assert!(refused <= 10 && took <= 40.0 * 1.4, "lowered: {took} s, {refused} refused");
    scene.tenant.lock().unwrap().rate = 16.0;
    let took = scene.rotate(100, Vec::new());
    // As fast as before it would take 200 s.
    assert!(took <= 90.0, "raised: {took} s");
}

#[test]
fn a_tenant_that_was_shut_for_long_is_not_slow_afterwards() {
    let clock = Simulated::new();
    let budget = Arc::new(Budget::new(None, 1.0, clock.clone()));
    let (asked, opens) = (Arc::new(Mutex::new(0_u32)), clock.now() + TimeDelta::minutes(5));
    let tasks = (0..16).map(|_| -> Task {
        let (budget, clock, asked) = (budget.clone(), clock.clone(), asked.clone());
        Box::pin(async move {
            loop {
                let permit = budget.take(Urgency::Routine).await;
                *asked.lock().unwrap() += 1;
                clock.sleep_until(clock.now() + TimeDelta::milliseconds(40)).await;
                if clock.now() >= opens {
                    return permit.answered(Seen::default());
                }
                let _ = permit.throttled(None);
            }
        })
    });
    clock.run(tasks.collect());
    let late = (clock.now() - opens).as_seconds_f64();
    assert!(late <= 10.0, "{late} s");
    let asked = *asked.lock().unwrap() - 16;
    assert!(asked <= 45, "one asks after each pause: {asked}");
}

#[test]
fn two_refusals_with_a_rest_in_between_are_no_measure() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    let task = async {
        for _ in 0..2 {
            budget.take(Urgency::Routine).await.answered(Seen::default());
            let _ = budget.take(Urgency::Routine).await.throttled(None);
            budget.take(Urgency::Routine).await.answered(Seen::default());
            clock.advance(seconds(3600.0));
        }
        let began = clock.passed();
        for _ in 0..100 {
            budget.take(Urgency::Routine).await.answered(Seen::default());
        }
        assert_eq!(clock.passed(), began);
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(task);
}

#[tokio::test]
async fn what_hangs_holds_up_the_others_for_half_a_second() {
    let clock = Jumping::new();
    let budget = budget(&clock, None, 1.0);
    budget.take(Urgency::Routine).await.answered(Seen::default());
    let _hangs = budget.take(Urgency::Routine).await;
    let _too = budget.take(Urgency::Routine).await;
    assert_eq!(wait(&budget, &clock, Urgency::Routine).await, seconds(0.5));
}
