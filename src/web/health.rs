//! `/livez` and `/readyz`: worked out anew at every request.

use axum::{http::StatusCode, response::Response};
use chrono::TimeDelta;

use super::text;
use crate::{
    clock::Timestamp,
    engine::live::Live,
    words::{date_seen, moment, short, since},
};

/// The scheduler goes round at least once a minute; without it for this long it is stuck.
const STUCK: TimeDelta = TimeDelta::minutes(3);

/// Whether the scheduler goes round.
pub(super) fn live(live: &Live, now: Timestamp) -> Response {
    let beat = live.beat();
    if is_stuck(beat, now) {
        let words = format!(
            "the scheduler last ran at {}; it should run every minute: restart the service\n",
            moment(beat, now)
        );
        return text(StatusCode::SERVICE_UNAVAILABLE, words);
    }
    text(StatusCode::OK, "ok\n".to_owned())
}

/// Whether the scheduler has not gone round for too long.
pub(super) fn is_stuck(beat: Timestamp, now: Timestamp) -> bool {
    now - beat > STUCK
}

/// Whether anything keeps the daemon from its work. The trouble of one connection does not.
pub(super) fn ready(live: &Live, now: Timestamp) -> Response {
    let obstacles = live.obstacles();
    // Whoever asks this alone (`scimitar healthcheck`) has to hear of it as well.
    if is_stuck(live.beat(), now) {
        return self::live(live, now);
    }
    if obstacles.is_empty() {
        return text(StatusCode::OK, "ok\n".to_owned());
    }
    let lines = obstacles.iter().map(|reason| line(&reason.words, reason.since, now));
    text(StatusCode::SERVICE_UNAVAILABLE, lines.collect())
}

/// One line, whatever the words hold.
fn line(words: &str, at: Timestamp, now: Timestamp) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    format!("{} (for {}, since {})\n", words.join(" "), short(since(at, now)), date_seen(at, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::parse_timestamp, engine::live::Obstacle};

    #[test]
    fn it_lives_while_the_scheduler_goes_round() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let daemon = Live::starting(Vec::new(), now);
        assert_eq!(live(&daemon, now + TimeDelta::minutes(3)).status(), StatusCode::OK);
        let late = now + TimeDelta::seconds(181);
        assert_eq!(live(&daemon, late).status(), StatusCode::SERVICE_UNAVAILABLE);
        daemon.note_beat(late);
        assert_eq!(live(&daemon, late).status(), StatusCode::OK);
        // The host's clock was set back.
        assert_eq!(live(&daemon, now).status(), StatusCode::OK);
    }

    #[test]
    fn it_is_ready_while_nothing_is_in_the_way() {
        let now = parse_timestamp("2026-11-22T04:00:00Z").unwrap();
        let daemon = Live::starting(Vec::new(), now);
        assert_eq!(ready(&daemon, now).status(), StatusCode::SERVICE_UNAVAILABLE);
        daemon.cleared(Obstacle::Starting);
        assert_eq!(ready(&daemon, now).status(), StatusCode::OK);
        daemon.blocked(Obstacle::Ledger, now, "the ledger\nis full");
        assert_eq!(ready(&daemon, now).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    #[test]
    fn what_is_in_the_way_says_for_how_long_on_one_line() {
        let now = parse_timestamp("2026-11-22T04:00:14Z").unwrap();
        let at = now - TimeDelta::seconds(14);
        let expected = "the ledger is full (for 14s, since 2026-11-22 04:00 UTC)\n";
        assert_eq!(line("the ledger\nis full", at, now), expected);
    }
}
