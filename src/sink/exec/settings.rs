//! A program and what it is given, as they are configured, checked before they are used.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    error::Fault,
    sink::{
        Place, Remembered,
        payload::{PayloadTemplate, PlainTemplate},
        rules::{Keys, invalid, not_remembered, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "exec";

/// The name of the delivery's own text in arguments.
pub(super) const TARGET: &str = "target";

/// What the program reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// The value alone, without a line end.
    #[default]
    Raw,
    /// One JSON object in one line, without a line end.
    Json,
}

/// `[sinks.NAME]` of type `exec`, as it runs.
#[derive(Debug)]
pub struct ExecSettings {
    pub(super) sink: SinkName,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<PlainTemplate>,
    pub(super) timeout: Duration,
}

impl ExecSettings {
    /// Checks the arguments, which are templates.
    ///
    /// # Errors
    /// When one cannot be filled in, or would hold the token.
    pub fn try_new(
        sink: &SinkName,
        program: PathBuf,
        arguments: &[String],
        timeout: Duration,
    ) -> Result<Self, Fault> {
        let parse = |text: &String| PlainTemplate::parse(text, &[TARGET]);
        let arguments = arguments.iter().map(parse).collect::<Result<_, _>>();
        let arguments = arguments.map_err(|error| {
            invalid(&format!("use `command` of [sinks.{sink}]"), error.to_string())
        })?;
        Ok(Self { sink: sink.clone(), program, arguments, timeout })
    }
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecTarget {
    /// What tells this place from the program's other ones.
    pub target: String,
    /// What the program reads.
    #[serde(default)]
    pub format: Format,
    /// What replaces the default payload of `json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<PayloadTemplate>,
}

/// Settings that passed every check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) place: Place,
    pub(super) target: String,
    pub(super) format: Format,
    pub(super) keys: Keys,
}

/// What a place is called, whichever sink names it.
pub(super) fn location(program: &std::path::Path, target: &str) -> String {
    format!("{} {target}", program.display())
}

impl ExecTarget {
    /// The delivery to a remembered place, if it is of this program.
    pub(super) fn remembered(settings: &ExecSettings, place: &Place) -> Result<Self, Fault> {
        let target: Self = remembered(place)?;
        let location = location(&settings.program, &target.target);
        if PlaceKey::new(KIND, &location) != place.key {
            let words = format!("is of another program than [sinks.{}] runs now", place.sink);
            return Err(not_remembered(place, &words));
        }
        Ok(target)
    }

    /// Checks everything that can be checked without running it.
    pub(super) fn checked(self, settings: &ExecSettings) -> Result<Checked, Fault> {
        let operation = format!("use {} in [sinks.{}]", self.target, settings.sink);
        if self.format == Format::Raw && self.payload.is_some() {
            let words = "`payload` needs keys, and `format = \"raw\"` has none".to_owned();
            return Err(invalid(&operation, words));
        }
        let location = location(&settings.program, &self.target);
        let delivery =
            Remembered::of(&self).map_err(|problem| invalid(&operation, problem.to_string()))?;
        let key = PlaceKey::new(KIND, &location);
        let place = Place { key, sink: settings.sink.clone(), location, delivery };
        let Self { target, format, payload } = self;
        Ok(Checked { place, target, format, keys: Keys::new(payload) })
    }
}
