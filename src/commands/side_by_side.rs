//! Work on many connections at once, in nobody's way.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
};

use tokio::task::JoinSet;

use crate::engine::pool::{Lane, Pool, Seat};

/// Does `work` for each item as far as the pool admits it, at most `limit` of a tenant at a time,
/// and gives back the results in the order of the items; `None` where the work panicked.
pub(super) async fn side_by_side<T, R, F>(
    pool: &Pool,
    items: Vec<T>,
    limit: NonZeroUsize,
    lane: impl Fn(&T) -> Lane,
    work: impl Fn(T, Seat) -> F,
) -> Vec<Option<R>>
where
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
{
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut waiting: BTreeMap<Lane, VecDeque<(usize, T)>> = BTreeMap::new();
    for (place, item) in items.into_iter().enumerate() {
        waiting.entry(lane(&item)).or_default().push_back((place, item));
    }
    pool.share_out(limit, waiting.keys());
    let mut running = JoinSet::new();
    loop {
        // One of each lane after the other, until none may begin.
        let mut begun = true;
        while begun {
            begun = false;
            for (lane, queue) in &mut waiting {
                if !queue.is_empty()
                    && pool.admits(lane)
                    && let Some((place, item)) = queue.pop_front()
                {
                    let work = work(item, pool.open(lane));
                    if queue.is_empty() {
                        pool.done(lane);
                    }
                    // It is large, and handing it on copies it several times.
                    let work = Box::pin(work);
                    running.spawn(async move { (place, work.await) });
                    begun = true;
                }
            }
        }
        let ended = tokio::select! {
            biased;
            ended = running.join_next() => ended,
            () = pool.changed() => continue,
        };
        let Some(ended) = ended else { return results };
        if let Ok((place, result)) = ended
            && let Some(slot) = results.get_mut(place)
        {
            *slot = Some(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::token::Tenant;

    #[tokio::test]
    async fn work_is_side_by_side_within_the_limit_and_in_order() {
        let limit = NonZeroUsize::new(3).unwrap();
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let lane = |_: &u32| lane("acme.example");
        let pool = Pool::default();
        let results = side_by_side(&pool, (0..20).collect(), limit, lane, |number, seat| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                let _seat = seat;
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..(20 - number) {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                assert_ne!(number, 7, "a defect in one");
                number
            }
        })
        .await;
        let wanted: Vec<_> = (0..20).map(|number| (number != 7).then_some(number)).collect();
        assert_eq!(results, wanted);
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    fn lane(tenant: &str) -> Lane {
        Lane::new(Tenant::try_new(tenant).unwrap(), [])
    }

    #[tokio::test]
    async fn a_tenant_whose_work_does_not_end_keeps_no_other_from_its_own() {
        let limit = NonZeroUsize::new(2).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(tokio::sync::Notify::new());
        let lane_of = |number: &usize| {
            lane(if number.is_multiple_of(2) { "hangs.example" } else { "acme.example" })
        };
        let pool = Pool::default();
        let results = side_by_side(&pool, (0..20).collect(), limit, lane_of, |number, seat| {
            let (done, all) = (Arc::clone(&done), Arc::clone(&all));
            async move {
                let _seat = seat;
                if number % 2 == 0 && done.load(Ordering::SeqCst) < 10 {
                    // Until the last one of the other tenant has ended.
                    all.notified().await;
                } else if number % 2 == 1 && done.fetch_add(1, Ordering::SeqCst) == 9 {
                    all.notify_waiters();
                }
                number
            }
        })
        .await;
        assert_eq!(results, (0..20).map(Some).collect::<Vec<_>>());
    }
}
