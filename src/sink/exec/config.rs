//! The kind `exec`: `[sinks.NAME]`, and what `deliver_to` says of what a program is given.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    ExecSink, schema,
    settings::{ExecSettings, ExecTarget, Format, KIND as PLACES, TARGET, location},
};
use crate::{
    kind::{BuildError, Grant, Parts},
    rotation::policy::Mode,
    sink::{
        Kind, Place, Service,
        entry::payload,
        kind::{Known, Opened, SinkConfig, Spot, Target},
        payload::PlainTemplate,
    },
    table::{
        Keyring, Table, Value,
        amount::SECOND,
        program::{argument, command},
    },
    token::SinkName,
};

/// The kind.
pub static KIND: Kind = Kind {
    name: "exec",
    places: PLACES,
    location: "target",
    schema: schema::sink,
    delivery_schema: schema::target,
    read: |table, _, keyring| Some(Arc::new(sink(table, keyring)?)),
    absent: None,
    store: None,
    reopen: None,
};

/// How long a program may take where that is not said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// No program may take longer: the claim on its connection is held for 120 s.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(90);

/// A program, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// The program; absolute.
    pub program: PathBuf,
    /// Its arguments, which are templates.
    pub arguments: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl SinkConfig for ExecConfig {
    fn deliver(&self, entry: &Table<'_>, _known: &Known<'_>) -> (Option<Spot>, Option<Target>) {
        let target = target(entry);
        let place = |target: &ExecTarget| {
            let place = location(&self.program, &target.target);
            Spot::Named(format!("{PLACES}:{place}"))
        };
        (target.as_ref().map(place), target.map(Target::new))
    }

    /// What the program needs only whoever wrote it knows.
    fn grant(&self, _: &SinkName, _: &[(&Target, Mode)]) -> Option<Grant> {
        None
    }

    fn readable(&self) -> bool {
        false
    }

    fn reads_files_once(&self) -> bool {
        false
    }

    fn build(&self, name: &SinkName, _: &Parts) -> Result<Arc<dyn Service>, BuildError> {
        let Self { program, arguments, timeout } = self.clone();
        let settings = ExecSettings::try_new(name, program, &arguments, timeout);
        Ok(Arc::new(Arc::new(settings.map_err(BuildError::new)?)))
    }
}

#[async_trait]
impl Service for Arc<ExecSettings> {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn open(&self, target: &Target) -> Opened {
        let target: &ExecTarget = target.of_kind()?;
        Ok(Arc::new(ExecSink::try_new(self, target.clone())?))
    }

    fn reopen(&self, place: &Place) -> Opened {
        let target = ExecTarget::remembered(self, place)?;
        Ok(Arc::new(ExecSink::try_new(self, target)?))
    }
}

/// Reads the rest of a `[sinks.NAME]`.
fn sink(table: &Table<'_>, keyring: Keyring<'_>) -> Option<ExecConfig> {
    const HOW: &str = "command = [\"/usr/local/bin/push-token\", \"{{ target }}\"]";
    let read = table
        .require("command", "[\"/usr/local/bin/push-token\", \"{{ target }}\"]")
        .and_then(|value| command(&value, keyring.secrets, HOW));
    let timeout = match table.get("timeout") {
        Some(value) => value.duration(SECOND..=LONGEST_TIMEOUT),
        None => Some(DEFAULT_TIMEOUT),
    };
    let (program, arguments) = read?;
    let arguments: Vec<Option<String>> = arguments.iter().map(template).collect();
    let arguments = arguments.into_iter().collect::<Option<_>>()?;
    Some(ExecConfig { program, arguments, timeout: timeout? })
}

/// An argument, which is a template over what everybody may see.
fn template(value: &Value<'_>) -> Option<String> {
    let text = argument(value)?;
    if let Err(error) = PlainTemplate::parse(&text, &[TARGET]) {
        value.refuse(
            format!("`command`: {}", error.message),
            "an argument may use target, connection, token_id and the other fields of the payload, except \
             the token",
        );
        return None;
    }
    Some(text)
}

/// Reads what `deliver_to` says of what a program is given.
fn target(table: &Table<'_>) -> Option<ExecTarget> {
    let target = table.require("target", "\"initech\"").and_then(|value| {
        let text = value.string()?;
        if text.chars().any(char::is_control) {
            value.refuse("`target` must be one line", "write a name such as \"initech\"");
            return None;
        }
        Some(text.to_owned())
    });
    let formats = [("raw", Format::Raw), ("json", Format::Json)];
    let format = table.get("format").and_then(|value| value.word(&formats)).unwrap_or_default();
    let bare = (format == Format::Raw).then_some("write format = \"json\" beside it");
    let payload = table.get("payload").and_then(|value| payload(&value, bare, false));
    Some(ExecTarget { target: target?, format, payload })
}
