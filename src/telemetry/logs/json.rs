//! One JSON object a line: what an event says and what the spans around it say, side by side, so
//! that a field has one name whichever of them holds it.

use std::{fmt, io::Write};

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context, registry::LookupSpan};

use crate::clock::{Clock, SystemClock};

/// The members that every line has.
const OWN: [&str; 4] = ["timestamp", "level", "target", "message"];

/// What `log`'s records bring along; their target takes the place of ours.
const BRIDGED: &str = "log.";

/// Writes the lines.
pub(super) struct Json<W>(pub(super) W);

/// The fields of a span.
struct Fields(Map<String, Value>);

impl<S, W> Layer<S> for Json<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Gathered::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(Fields(fields.0));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(Fields(fields)) = span.extensions_mut().get_mut() {
            let mut later = Gathered::default();
            values.record(&mut later);
            fields.extend(later.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Gathered::default();
        event.record(&mut said);
        let meta = event.metadata();
        let target = said.0.remove("log.target").unwrap_or_else(|| json!(meta.target()));
        let now = SystemClock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let level = meta.level().as_str();
        let message = said.0.remove("message").unwrap_or_else(|| json!(""));
        let mut line = Map::new();
        // The innermost wins: of the spans the last, and the event over all of them.
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(Fields(fields)) = span.extensions().get() {
                add(&mut line, fields);
            }
        }
        add(&mut line, &said.0);
        // What every line has comes first: people read these as well.
        let own = format!(
            "{{\"timestamp\":\"{now}\",\"level\":\"{level}\",\"message\":{message},\"target\":{target}"
        );
        let rest = Value::Object(line).to_string();
        let rest = rest.strip_prefix('{').filter(|rest| *rest != "}");
        let text = rest.map_or_else(|| format!("{own}}}\n"), |rest| format!("{own},{rest}\n"));
        // There is nowhere to say that a log line could not be written.
        let _ = self.0.make_writer_for(meta).write_all(text.as_bytes());
    }
}

fn add(line: &mut Map<String, Value>, fields: &Map<String, Value>) {
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(BRIDGED)) {
        let name =
            if OWN.contains(&name.as_str()) { format!("field.{name}") } else { name.clone() };
        line.insert(name, value.clone());
    }
}

#[derive(Default)]
struct Gathered(Map<String, Value>);

impl Gathered {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Gathered {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}
