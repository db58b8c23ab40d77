//! A log line for people: when, how urgent, what; then the fields that the message does not say.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use chrono::SecondsFormat;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::Layer,
    registry::LookupSpan,
};

use crate::clock::{Clock, SystemClock};

/// Writes lines to `writer`.
pub(super) fn layer<S, W>(writer: W, colours: bool) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours).event_format(Line)
}

#[derive(Clone, Copy, Debug)]
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let at = SystemClock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let level = *event.metadata().level();
        let (on, off) =
            if writer.has_ansi_escapes() { (colour(level), "\x1b[0m") } else { ("", "") };
        let mut said = Said::default();
        event.record(&mut said);
        write!(writer, "{at} {on}{level:>5}{off} {}", plain(&said.message))?;
        // A message about a connection, or with an error, says so itself: it is not said twice.
        for (name, value) in said.fields.iter().filter(|(_, value)| !says(&said.message, value)) {
            if value.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
                write!(writer, " {name}={value:?}")?;
            } else {
                write!(writer, " {name}={value}")?;
            }
        }
        writeln!(writer)
    }
}

/// Whether a message has a value in it as a word of its own. A single digit is too little to tell.
fn says(message: &str, value: &str) -> bool {
    let alone = |at: usize| {
        let (before, from) = message.split_at(at);
        let behind = from.strip_prefix(value).unwrap_or_default();
        !before.ends_with(char::is_alphanumeric) && !behind.starts_with(char::is_alphanumeric)
    };
    value.len() > 1 && message.match_indices(value).any(|(at, _)| alone(at))
}

/// What a server says may hold line ends, or what a terminal takes for commands: a line stays one line.
fn plain(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return message.into();
    }
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    message.chars().map(shown).collect()
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// What a line says.
#[derive(Debug, Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn take(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(text, "{value:?}");
        self.take(field, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Buffer, listening};
    use super::*;

    fn written(colours: bool, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let subscriber = tracing_subscriber::registry();
        let subscriber = tracing_subscriber::layer::SubscriberExt::with(
            subscriber,
            layer(buffer.clone(), colours),
        );
        let _guard = listening(subscriber);
        log();
        buffer.text()
    }

    #[test]
    fn a_field_that_the_message_says_is_not_said_twice() {
        let text = written(false, || {
            let span = tracing::error_span!("rotation", connection = "initech-okta");
            let _entered = span.enter();
            tracing::warn!(
                connection = "initech-okta",
                why = "no answer",
                attempt = 3,
                generation = 12,
                "error.type" = "timeout",
                path = "a b",
                absent = None::<&str>,
                "initech-okta: failing: no answer from a3 for 120s"
            );
        });
        let (at, line) = text.split_once(' ').unwrap();
        assert!(crate::clock::parse_timestamp(at).is_some(), "{text}");
        let line = line.trim_start();
        assert_eq!(
            line,
            "WARN initech-okta: failing: no answer from a3 for 120s attempt=3 generation=12 error.type=timeout path=\"a b\"\n"
        );
        assert!(written(true, || tracing::warn!("x")).contains("\x1b[33m WARN\x1b[0m x"));
    }

    #[test]
    fn a_line_stays_one_line_whatever_a_server_says() {
        let text = written(false, || {
            let said = "<html>\n\x1b[2J";
            tracing::warn!(said = "a\nb", "answered {said}");
        });
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(text.ends_with("answered <html>\\n\\u{1b}[2J said=\"a\\nb\"\n"), "{text:?}");
    }
}
