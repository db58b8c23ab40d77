//! The ways to show the list: what can be chosen, what is, and the address of each.

use serde::Serialize;

use super::{
    overview::Overview,
    query::{MODES, Sort, State, Wanted},
};

/// Within how many days tokens expire, to choose from.
const DAYS: [u16; 6] = [1, 3, 7, 14, 30, 90];

/// A way to show the list.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    word: String,
    label: String,
    address: String,
    count: usize,
    chosen: bool,
}

/// A parameter that the form does not show.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    name: &'static str,
    value: String,
}

/// The head of a column.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    class: &'static str,
    label: &'static str,
    /// Where the list is sorted by it; `None` where that cannot be.
    address: Option<String>,
    title: &'static str,
    /// How it is sorted, in the words of `aria-sort`; `None` where it is not.
    sorted: Option<&'static str>,
}

/// The heads of all columns.
pub(super) fn columns(wanted: &Wanted) -> [Column; 7] {
    let by = wanted.sort.unwrap_or(Sort::State);
    let plain = |class, label| Column { class, label, address: None, title: "", sorted: None };
    let column = |class, label, sort, title, order| {
        let asked = Wanted { sort: Some(sort), page: 0, ..wanted.clone() };
        let sorted = (sort == by).then_some(order);
        Column { title, address: Some(asked.address()), sorted, ..plain(class, label) }
    };
    let axis = "Tokens on one axis of 90 days";
    [
        // Neither up nor down.
        column("c-state", "State", Sort::State, "Worst first", "other"),
        column("c-name", "Connection", Sort::Name, "By name", "ascending"),
        plain("c-provider", "Provider"),
        column("c-age", "Age", Sort::Age, "Oldest first", "descending"),
        column("c-axis", axis, Sort::Expiry, "Soonest expiry first", "ascending"),
        column("c-next", "Next step", Sort::Next, "Next rotation first", "ascending"),
        plain("c-sinks", "Sinks"),
    ]
}

pub(super) fn states(wanted: &Wanted, overview: &Overview) -> Vec<Choice> {
    let choice = |(state, word, label): (State, &'static str, &'static str)| Choice {
        word: word.to_owned(),
        label: label.to_owned(),
        address: Wanted { state, page: 0, ..wanted.clone() }.address(),
        count: overview.entries.iter().filter(|entry| state.holds(entry)).count(),
        chosen: wanted.state == state,
    };
    let shown = |it: &(State, _, _)| it.0 != State::Unchanged || wanted.state == it.0;
    State::ALL.into_iter().filter(shown).map(choice).collect()
}

fn option(word: &str, label: String, chosen: bool) -> Choice {
    Choice { word: word.to_owned(), label, address: String::new(), count: 0, chosen }
}

pub(super) fn sorts(wanted: &Wanted) -> Vec<Choice> {
    let sort = wanted.sort.unwrap_or(Sort::State);
    Sort::ALL
        .into_iter()
        .map(|(it, word, label)| {
            let word = if it == Sort::State { "" } else { word };
            option(word, label.to_owned(), it == sort)
        })
        .collect()
}

pub(super) fn modes(wanted: &Wanted) -> Vec<Choice> {
    let any = option("", "any mode".to_owned(), wanted.mode.is_none());
    let each = MODES
        .into_iter()
        .map(|(mode, word)| option(word, format!("{word} only"), wanted.mode == Some(mode)));
    std::iter::once(any).chain(each).collect()
}

pub(super) fn days(wanted: &Wanted) -> Vec<Choice> {
    let any = option("", "any expiry".to_owned(), wanted.days.is_none());
    let other = wanted.days.filter(|days| !DAYS.contains(days));
    let each = DAYS.into_iter().chain(other).map(|days| {
        let label =
            if days == 1 { "within 1 day".to_owned() } else { format!("within {days} days") };
        option(&days.to_string(), label, wanted.days == Some(days))
    });
    std::iter::once(any).chain(each).collect()
}

/// What no control of the form says.
pub(super) fn kept(wanted: &Wanted) -> Vec<Kept> {
    let shown = ["q", "mode", "days", "sort", "page"];
    let all = wanted.parameters().into_iter();
    all.filter(|(name, _)| !shown.contains(name))
        .map(|(name, value)| Kept { name, value })
        .collect()
}

pub(super) fn chips(wanted: &Wanted) -> Vec<Choice> {
    let without = |wanted: Wanted, label: String| Choice {
        address: Wanted { page: 0, ..wanted }.address(),
        ..option("", label, true)
    };
    let mut chips = Vec::new();
    if !wanted.provider.is_empty() {
        let label = format!("provider {}", wanted.provider);
        chips.push(without(Wanted { provider: String::new(), ..wanted.clone() }, label));
    }
    if !wanted.sink.is_empty() {
        let label = format!("sink {}", wanted.sink);
        chips.push(without(Wanted { sink: String::new(), ..wanted.clone() }, label));
    }
    if !wanted.cause.is_empty() {
        let label = format!("cause {}", wanted.cause);
        chips.push(without(Wanted { cause: String::new(), ..wanted.clone() }, label));
    }
    if !wanted.text.is_empty() {
        let label = format!("“{}”", wanted.text);
        chips.push(without(Wanted { text: String::new(), ..wanted.clone() }, label));
    }
    chips
}
