//! Figures: what was measured, in which unit, how often, and how far the samples lie apart.

use std::{io::Write, time::Instant};

/// Everything that one call of a bench measures.
#[derive(Debug, Default)]
pub(crate) struct Book {
    lines: Vec<[String; 7]>,
}

/// What was measured, and its goal, where it has one: what it is to be at most.
pub(crate) struct Samples {
    values: Vec<f64>,
    goal: Option<f64>,
}

impl From<Vec<f64>> for Samples {
    fn from(values: Vec<f64>) -> Self {
        Self { values, goal: None }
    }
}

impl From<(Vec<f64>, f64)> for Samples {
    fn from((values, goal): (Vec<f64>, f64)) -> Self {
        Self { values, goal: Some(goal) }
    }
}

impl Book {
    /// Takes a figure down: one JSON line on standard output, and later a line of the table.
    pub(crate) fn note(
        &mut self,
        bench: &str,
        figure: &str,
        unit: &str,
        samples: impl Into<Samples>,
    ) -> anyhow::Result<()> {
        let Samples { values: mut samples, goal } = samples.into();
        samples.sort_by(f64::total_cmp);
        let (Some(min), Some(max), Some(median)) =
            (samples.first(), samples.last(), samples.get(samples.len() / 2))
        else {
            anyhow::bail!("{bench}, {figure}: there are no samples");
        };
        let line = serde_json::json!({
            "bench": bench,
            "figure": figure,
            "unit": unit,
            "median": rounded(*median),
            "min": rounded(*min),
            "max": rounded(*max),
            "samples": samples.len(),
            "goal": goal,
            "met": goal.map(|goal| *median <= goal),
        });
        writeln!(std::io::stdout(), "{line}")?;
        self.lines.push([
            format!("{bench}: {figure}"),
            shown(*median),
            unit.to_owned(),
            shown(*min),
            shown(*max),
            samples.len().to_string(),
            goal.map_or_else(String::new, |goal| {
                let met = if *median <= goal { "met" } else { "missed" };
                format!("at most {}: {met}", shown(goal))
            }),
        ]);
        Ok(())
    }

    /// Prints the table on standard error, so that standard output holds JSON lines alone.
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        let head = ["figure", "median", "unit", "min", "max", "samples", "goal"].map(str::to_owned);
        let widths: Vec<usize> = (0..head.len())
            .map(|column| {
                let lines = self.lines.iter().chain([&head]);
                lines.map(|line| line[column].chars().count()).max().unwrap_or_default()
            })
            .collect();
        let mut out = std::io::stderr().lock();
        for line in [&head].into_iter().chain(&self.lines) {
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                match column {
                    0 | 2 | 6 => write!(out, "{cell:width$}  ")?,
                    _ => write!(out, "{cell:>width$}  ")?,
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

/// The host's steady clock.
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a bench measures the host's own time")]
    Instant::now()
}

/// Three significant digits: more would only be noise.
fn rounded(number: f64) -> f64 {
    format!("{number:.2e}").parse().unwrap_or(number)
}

fn shown(number: f64) -> String {
    let number = rounded(number);
    let decimals = if number.abs() >= 100.0 { 0 } else { 3 };
    let text = format!("{number:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}
