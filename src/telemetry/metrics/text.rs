//! Prometheus' text format, written line by line: with very many connections nothing is held but
//! the text itself.

use std::fmt::Write;

/// One metric and its series, as text.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    /// Its lines so far, in pieces: a text that grows as a whole is held twice while it does.
    full: Vec<String>,
    lines: String,
}

/// How large a piece is that is full, in bytes.
const PIECE: usize = 64 * 1024;

/// As long as nearly every line is at most.
const LINE: usize = 1024;

impl Family {
    /// A metric that can go up and down.
    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::of(name, help, "gauge")
    }

    /// A metric that only goes up.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::of(name, help, "counter")
    }

    /// A distribution.
    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::of(name, help, "histogram")
    }

    fn of(name: &'static str, help: &'static str, kind: &'static str) -> Self {
        Self { name, help, kind, full: Vec::new(), lines: String::new() }
    }

    /// Adds a series; no two may have the same labels. Labels come in the order of their names.
    pub(super) fn put(&mut self, labels: &[(&str, &str)], value: f64) {
        self.line("", labels, value);
    }

    /// Adds a distribution's series: how many values were at most each bound, which are cumulated
    /// here, how many there were, and their sum. `labels` come before `le` in the order of names.
    pub(super) fn put_distribution(
        &mut self,
        labels: &[(&str, &str)],
        bounds: &[f64],
        distribution: &Distribution,
    ) {
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(&distribution.counts) {
            below += count;
            let bound = bound.to_string();
            self.line("_bucket", &with_bound(labels, &bound), whole(below));
        }
        self.line("_bucket", &with_bound(labels, "+Inf"), whole(distribution.count));
        self.line("_sum", labels, distribution.sum);
        self.line("_count", labels, whole(distribution.count));
    }

    /// Its name and its text, in pieces; `None` where it has no series.
    pub(super) fn finish(self) -> Option<(String, Vec<String>)> {
        let Self { name, help, kind, full, lines } = self;
        if full.is_empty() && lines.is_empty() {
            return None;
        }
        let mut pieces = vec![format!("# HELP {name} {help}\n# TYPE {name} {kind}\n")];
        pieces.extend(full);
        pieces.push(lines);
        Some((name.to_owned(), pieces))
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        if self.lines.len() >= PIECE {
            let piece = String::with_capacity(PIECE + LINE);
            self.full.push(std::mem::replace(&mut self.lines, piece));
        }
        let lines = &mut self.lines;
        lines.push_str(self.name);
        lines.push_str(suffix);
        for (at, (label, content)) in labels.iter().enumerate() {
            lines.push(if at == 0 { '{' } else { ',' });
            lines.push_str(label);
            lines.push_str("=\"");
            push_escaped(lines, content);
            lines.push('"');
        }
        if !labels.is_empty() {
            lines.push('}');
        }
        // Writing to a string cannot fail.
        let _ = match value {
            0.0 => lines.write_str(" 0\n"),
            1.0 => lines.write_str(" 1\n"),
            _ => writeln!(lines, " {value}"),
        };
    }
}

fn push_escaped(lines: &mut String, content: &str) {
    if !content.contains(['\\', '"', '\n']) {
        lines.push_str(content);
        return;
    }
    for c in content.chars() {
        match c {
            '\\' => lines.push_str("\\\\"),
            '"' => lines.push_str("\\\""),
            '\n' => lines.push_str("\\n"),
            other => lines.push(other),
        }
    }
}

/// Values, by the bounds that they lie between.
#[derive(Clone, Debug, Default)]
pub(super) struct Distribution {
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Distribution {
    /// Counts a value; the bounds are the same for each.
    pub(super) fn observe(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len(), 0);
        if let Some(at) = bounds.iter().position(|bound| value <= *bound)
            && let Some(count) = self.counts.get_mut(at)
        {
            *count += 1;
        }
        self.count += 1;
        self.sum += value;
    }
}

/// `le` comes before `provider`, the only label that distributions have.
fn with_bound<'a>(labels: &[(&'a str, &'a str)], bound: &'a str) -> Vec<(&'a str, &'a str)> {
    [("le", bound)].into_iter().chain(labels.iter().copied()).collect()
}

/// A count as Prometheus has it.
pub(super) fn whole(count: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^53, which nothing here is counted to"
    )]
    let count = count as f64;
    count
}

/// The same of a number of things in memory.
pub(super) fn amount(count: usize) -> f64 {
    whole(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Yes or no.
pub(super) fn truth(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_prometheus_reads_them() {
        let mut family = Family::gauge("a_b", "What it says.");
        family.put(&[("connection", "a\"b\\c\nd"), ("provider", "p")], 1_795_320_000.5);
        family.put(&[], -1.0);
        let (name, text) = family.finish().unwrap();
        assert_eq!(name, "a_b");
        assert_eq!(
            text.concat(),
            "# HELP a_b What it says.\n# TYPE a_b gauge\n\
             a_b{connection=\"a\\\"b\\\\c\\nd\",provider=\"p\"} 1795320000.5\na_b -1\n"
        );
        assert_eq!(Family::counter("a", "b").finish(), None);
    }

    #[test]
    fn a_distribution_is_cumulated() {
        let bounds = [0.0, 10.0];
        let mut distribution = Distribution::default();
        for value in [-5.0, 3.0, 4.0, 100.0] {
            distribution.observe(&bounds, value);
        }
        let mut family = Family::histogram("h", "H.");
        family.put_distribution(&[("provider", "p")], &bounds, &distribution);
        let (_, text) = family.finish().unwrap();
        let text = text.concat();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "h_bucket{le=\"0\",provider=\"p\"} 1",
                "h_bucket{le=\"10\",provider=\"p\"} 3",
                "h_bucket{le=\"+Inf\",provider=\"p\"} 4",
                "h_sum{provider=\"p\"} 102",
                "h_count{provider=\"p\"} 4",
            ]
        );
    }
}
