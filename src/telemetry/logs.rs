//! Logs: lines or JSON on standard error, or the journal, for people and for their log store.

pub mod journal;
mod json;
mod text;

use std::io;

use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterFn, LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::{Layered, SubscriberExt},
    util::{SubscriberInitExt, TryInitError},
};

use crate::error::system_words;

/// The environment variable that holds filter directives, such as `scimitar::engine=debug`.
pub const VARIABLE: &str = "SCIMITAR_LOG";

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line.
    Text,
    /// A JSON object on a line.
    Json,
    /// systemd's journal, with fields.
    Journald,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `[log] format`; `None`: text, but for a daemon the journal where its output goes there, and
    /// JSON where no terminal watches.
    pub format: Option<Format>,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// Whether this is the daemon, which says what it does unasked.
    pub daemon: bool,
    /// Whether standard error is a terminal.
    pub terminal: bool,
    /// Whether it leads to systemd's journal.
    pub journal: bool,
    /// Whether it is to be coloured.
    pub colours: bool,
    /// What [`VARIABLE`] holds.
    pub directives: Option<String>,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The environment variable holds something else than filter directives.
    #[error(
        "{VARIABLE} does not hold valid filter directives (example: scimitar=debug,hyper=info)"
    )]
    Directives(#[source] tracing_subscriber::filter::ParseError),
    /// It was set up before; a defect.
    #[error("logging was set up twice")]
    Twice(#[source] TryInitError),
}

/// Starts logging for the process. Called once, when `[log] format` is known.
///
/// # Errors
/// When the directives cannot be read, or logging was started before.
pub fn init<W>(options: &Options, writer: W) -> Result<(), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (subscriber, trouble) = build(options, writer)?;
    subscriber.try_init().map_err(LogError::Twice)?;
    if let Some(error) = trouble {
        tracing::warn!(
            error = %system_words(&error),
            "cannot reach the journal at {}; logging to standard error instead. Set format = \
             \"json\" or \"text\" in [log], or give the process access to the socket",
            journal::SOCKET
        );
    }
    Ok(())
}

/// The subscriber that [`init`] installs.
///
/// # Errors
/// When the directives cannot be read.
pub fn subscriber<W>(options: &Options, writer: W) -> Result<Subscriber, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    build(options, writer).map(|(subscriber, _)| subscriber)
}

/// The same, and why it does not write to the journal although it should.
fn build<W>(options: &Options, writer: W) -> Result<(Subscriber, Option<io::Error>), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let mut trouble = None;
    let mut format = options.format();
    let mut lines: Option<Lines> = None;
    if format == Format::Journald {
        match journal::layer() {
            Ok(layer) => lines = Some(layer.boxed()),
            Err(error) => {
                trouble = Some(error);
                format = options.format_of_stream();
            }
        }
    }
    let lines = lines.unwrap_or_else(|| match format {
        Format::Json => json::Json(writer).boxed(),
        Format::Text | Format::Journald if options.verbosity == 0 => {
            text::layer(writer, options.colours).boxed()
        }
        Format::Text | Format::Journald => {
            tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(options.colours).boxed()
        }
    });
    let silenced: fn(&Metadata<'_>) -> bool = not_whole_requests;
    let registry = tracing_subscriber::registry().with(lines);
    Ok((registry.with(options.filter()?).with(filter_fn(silenced)), trouble))
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Lines behind two filters: what is asked for, and what is never shown.
pub type Subscriber = Layered<FilterFn, Layered<EnvFilter, Layered<Lines, Registry>>>;

/// AWS's SDK prints whole requests and answers below its own level of information, those for
/// credentials among them, and whole answers to a web identity at any level.
fn not_whole_requests(of: &Metadata<'_>) -> bool {
    let below = *of.level() > LevelFilter::INFO && of.target().starts_with("aws_smithy_runtime");
    !below && !of.target().starts_with("aws_config::web_identity_token")
}

impl Options {
    fn format(&self) -> Format {
        let journal = (self.daemon && self.journal).then_some(Format::Journald);
        self.format.or(journal).unwrap_or_else(|| self.format_of_stream())
    }

    fn format_of_stream(&self) -> Format {
        if self.daemon && !self.terminal { Format::Json } else { Format::Text }
    }

    /// `-v` is what was typed last and wins over the environment.
    fn filter(&self) -> Result<EnvFilter, LogError> {
        let directives = match (self.verbosity, &self.directives) {
            (0, Some(directives)) if !directives.is_empty() => directives,
            (0, _) if self.daemon => "scimitar=info",
            (0, _) => "scimitar=warn",
            (1, _) => "scimitar=info",
            (2, _) => "scimitar=debug",
            (3.., _) => "trace",
        };
        EnvFilter::try_new(directives).map_err(LogError::Directives)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, OnceLock},
    };

    use tracing::subscriber::{DefaultGuard, NoSubscriber};

    use super::*;

    /// Makes a subscriber this thread's own, for as long as the guard lives.
    ///
    /// While a process has one subscriber, `tracing` asks the thread that first comes by a line whether
    /// anybody wants it, and keeps the answer: a thread of another test, which has no subscriber, would
    /// silence the line for all. So there is always a second one.
    pub(in crate::telemetry) fn listening(
        subscriber: impl tracing::Subscriber + Send + Sync,
    ) -> DefaultGuard {
        static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| tracing::Dispatch::new(NoSubscriber::new()));
        tracing::subscriber::set_default(subscriber)
    }

    #[derive(Clone, Debug, Default)]
    pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut text = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
            text.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Buffer {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn options() -> Options {
        Options {
            format: None,
            verbosity: 0,
            daemon: false,
            terminal: false,
            journal: false,
            colours: false,
            directives: None,
        }
    }

    /// What is printed of one line a level, from us and from a dependency.
    fn printed(options: &Options) -> String {
        let buffer = Buffer::default();
        let subscriber = subscriber(options, buffer.clone()).unwrap();
        let _guard = listening(subscriber);
        let span = tracing::info_span!("rotation", connection = "initech-okta");
        let _entered = span.enter();
        tracing::warn!(target: "scimitar::engine", "ours-warn");
        tracing::info!(target: "scimitar::engine", why = "due", "ours-info");
        tracing::debug!(target: "scimitar::engine", "ours-debug");
        tracing::trace!(target: "scimitar::engine", "ours-trace");
        tracing::error!(target: "hyper", "theirs-error");
        tracing::trace!(target: "hyper", "theirs-trace");
        buffer.text()
    }

    #[test]
    fn a_daemon_logs_by_default_where_its_output_is_read() {
        let of =
            |daemon, terminal, journal| Options { daemon, terminal, journal, ..options() }.format();
        for terminal in [false, true] {
            assert_eq!(of(true, terminal, true), Format::Journald, "under systemd");
        }
        assert_eq!(of(true, false, false), Format::Json, "into a file or a pipe");
        assert_eq!(of(true, true, false), Format::Text, "for whoever watches");
        // A command answers whoever called it, although a unit may have done that.
        for terminal in [false, true] {
            assert_eq!(of(false, terminal, true), Format::Text);
            assert_eq!(of(false, terminal, false), Format::Text);
        }
        for format in [Format::Text, Format::Json, Format::Journald] {
            let asked = Options { format: Some(format), daemon: true, journal: true, ..options() };
            assert_eq!(asked.format(), format, "what is asked for holds");
        }
    }

    #[test]
    fn each_verbosity_shows_what_it_promises() {
        let words = ["ours-warn", "ours-info", "ours-debug", "ours-trace", "theirs-trace"];
        for (verbosity, daemon, shown) in
            [(0, false, 1), (0, true, 2), (1, false, 2), (2, false, 3), (3, false, 5)]
        {
            let text = printed(&Options { verbosity, daemon, ..options() });
            let seen = words.iter().filter(|word| text.contains(**word)).count();
            assert_eq!(seen, shown, "-v × {verbosity}, daemon {daemon}: {text}");
            assert!(words.iter().take(shown).all(|word| text.contains(word)));
        }
    }

    #[test]
    fn the_environment_is_heard_unless_verbosity_was_typed() {
        let quiet = Options { directives: Some("hyper=trace".to_owned()), ..options() };
        let text = printed(&quiet);
        assert!(text.contains("theirs-trace") && !text.contains("ours-"), "{text}");
        let typed = Options { verbosity: 1, ..quiet };
        assert!(!printed(&typed).contains("theirs"));
    }

    #[test]
    fn directives_that_cannot_be_read_are_an_error_with_a_way_out() {
        let options = Options { directives: Some("scimitar=loudly".to_owned()), ..options() };
        let error = subscriber(&options, io::stderr).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("SCIMITAR_LOG"), "{error}");
    }

    #[test]
    fn an_unwatched_daemon_logs_json_with_its_span() {
        let text = printed(&Options { daemon: true, ..options() });
        let line = text.lines().find(|line| line.contains("ours-info")).unwrap();
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["why"], "due");
        assert_eq!(line["connection"], "initech-okta");
        assert_eq!(line["target"], "scimitar::engine");
        assert_eq!(line["message"], "ours-info");
        let timestamp = line["timestamp"].as_str().unwrap();
        assert!(crate::clock::parse_timestamp(timestamp).is_some() && timestamp.ends_with('Z'));
        let text = printed(&Options { daemon: true, terminal: true, ..options() });
        assert!(text.contains("ours-info") && !text.starts_with('{'));
    }

    /// A token in a request's header, in its body and in the answer shows at no verbosity.
    #[tokio::test]
    async fn the_http_layers_log_no_token_at_the_highest_verbosity() {
        const CANARY: &str = "tok_canary.c0ffee";
        let buffer = Buffer::default();
        let loudest = Options { verbosity: 3, ..options() };
        let loudest = subscriber(&loudest, buffer.clone()).unwrap();
        let _guard = listening(loudest);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let echo =
            axum::Router::new().route("/", axum::routing::post(|body: String| async { body }));
        let server = tokio::spawn(async move { axum::serve(listener, echo).await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(url).bearer_auth(CANARY).body(CANARY);
        let answer = request.send().await.unwrap().text().await.unwrap();
        server.abort();
        assert_eq!(answer, CANARY);
        let text = buffer.text();
        assert!(text.contains("hyper"), "the layers below are heard: {text}");
        assert!(!text.contains("canary") && !text.contains("c0ffee"), "{text}");
    }
}
