//! The pictures of the state machines in `docs/protocol.md`, drawn by trying every event in every state.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use scimitar::rotation::record::{PHASES, Phase, RETIRING_STATES, Record};

use super::text;
use crate::machine::samples::{events, id, records};

/// Where they are.
const PAGE: &str = "docs/protocol.md";

/// What a token is before it is on its way out, and afterwards.
const NONE: &str = "[*]";

/// By where they begin and end: the names of the events.
type Edges = BTreeMap<(usize, usize), Vec<&'static str>>;

#[test]
fn the_pictures_show_what_apply_does() {
    let rotation = tried(&PHASES, phase);
    let older = ["tok_a", "tok_b", "tok_c"].map(|token| tried(&retiring_states(), older(token)));
    let older = older.into_iter().fold(Edges::new(), joined);
    for (label, drawn) in [
        ("state machine", drawn(&PHASES, Some(PHASES[0]), &rotation)),
        ("state machine of an older token", drawn(&retiring_states(), None, &older)),
    ] {
        let shown = text::blocks(&text::read(PAGE), label);
        assert_eq!(shown.len(), 1, "{label}");
        if text::updating() {
            text::update(PAGE, label, &[drawn]);
        } else {
            assert_eq!(shown[0], drawn, "UPDATE_README=1 cargo test readme:: rewrites it");
        }
    }
}

#[test]
fn every_phase_is_drawn() {
    let begun: BTreeSet<&str> = records().iter().map(Record::phase_name).collect();
    assert_eq!(begun, BTreeSet::from(PHASES));
    let drawn: BTreeSet<&str> = records().iter().map(older("tok_a")).collect();
    assert_eq!(drawn, retiring_states().into());
}

/// The rotation's own: whatever becomes of older tokens, it is steady meanwhile.
fn phase(record: &Record) -> &'static str {
    match record.phase {
        Phase::Steady => "steady",
        Phase::Minting(_) => "minting",
        Phase::Delivering(_) => "delivering",
    }
}

/// What one token is as an older one.
fn older(token: &'static str) -> impl Fn(&Record) -> &'static str {
    move |record| {
        let older = record.retiring.iter().find(|older| older.token.id == id(token));
        older.map_or(NONE, |older| older.state.as_str())
    }
}

fn retiring_states() -> [&'static str; 4] {
    let [waiting, announced, not_found] = RETIRING_STATES;
    [NONE, waiting, announced, not_found]
}

/// What every event makes of every record; what leaves it in its state is left out.
fn tried(states: &[&str], state: impl Fn(&Record) -> &'static str) -> Edges {
    let nth = |record: &Record| states.iter().position(|word| *word == state(record)).unwrap();
    let mut edges = Edges::new();
    for record in records() {
        for event in events() {
            let name = event.name();
            let Ok(after) = record.clone().apply(event) else { continue };
            let edge = (nth(&record), nth(&after));
            if edge.0 != edge.1 {
                edges = joined(edges, Edges::from([(edge, vec![name])]));
            }
        }
    }
    edges
}

fn joined(mut edges: Edges, more: Edges) -> Edges {
    for (edge, names) in more {
        let known = edges.entry(edge).or_default();
        for name in names {
            if !known.contains(&name) {
                known.push(name);
            }
        }
    }
    edges
}

/// In mermaid's words.
fn drawn(states: &[&str], first: Option<&str>, edges: &Edges) -> String {
    let mut drawn = "stateDiagram-v2\n".to_owned();
    if let Some(first) = first {
        writeln!(drawn, "    {NONE} --> {first}").unwrap();
    }
    for ((from, to), names) in edges {
        let (from, to) = (states[*from], states[*to]);
        writeln!(drawn, "    {from} --> {to} : {}", names.join(", ")).unwrap();
    }
    drawn
}
