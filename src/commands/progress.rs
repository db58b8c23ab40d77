//! Progress on standard error: a spinner a connection on a terminal, plain lines when piped.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc;
use tracing_subscriber::fmt::MakeWriter;

use super::screen::Screen;
use crate::{
    control::wire::Event,
    engine::progress::{Progress, Silent},
    shown::visible,
    token::ConnectionName,
};

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

/// Standard error, shared by spinners, log lines and messages, none of which may tear another.
#[derive(Clone, Debug)]
pub struct Console {
    bars: Option<MultiProgress>,
    quiet: bool,
    /// Who is spoken to instead, over the control socket.
    caller: Option<Caller>,
}

/// A person or a script at the other end of the control socket.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What is said to it.
    pub events: mpsc::UnboundedSender<Event>,
    /// What it answers.
    pub answers: Arc<tokio::sync::Mutex<mpsc::Receiver<Option<String>>>>,
    /// What its results are shown on.
    pub screen: Screen,
    /// Whether it answers questions.
    pub asks: bool,
}

impl Caller {
    /// One that went away is told nothing; its command is parked by who listens to it.
    fn say(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

impl Console {
    /// Standard error, with spinners when it is a terminal that can draw them.
    #[must_use]
    pub fn stderr() -> Self {
        let draws = io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { bars: draws.then(MultiProgress::new), quiet: false, caller: None }
    }

    /// The other end of the control socket.
    #[must_use]
    pub fn of(caller: Caller) -> Self {
        Self { bars: None, quiet: false, caller: Some(caller) }
    }

    /// The same without progress and notes.
    #[must_use]
    pub fn quiet(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// Whether progress and notes are left out.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// What results are shown on.
    #[must_use]
    pub fn screen(&self) -> Screen {
        self.caller.as_ref().map_or_else(Screen::stdout, |caller| caller.screen)
    }

    /// Writes results to standard output while work goes on.
    ///
    /// # Errors
    /// When nobody reads them any more.
    pub fn show(&self, text: &str) -> io::Result<()> {
        if let Some(caller) = &self.caller {
            Event::out(&visible(text)).for_each(|event| caller.say(event));
            return Ok(());
        }
        let write = || {
            let mut out = io::stdout().lock();
            out.write_all(visible(text).as_bytes())?;
            out.flush()
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Whether a person is there to answer.
    #[must_use]
    pub fn asks(&self) -> bool {
        match &self.caller {
            Some(caller) => caller.asks,
            None => io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Asks the person; `None` when nothing could be read.
    pub async fn ask(&self, question: &str) -> Option<String> {
        if let Some(caller) = &self.caller {
            caller.say(Event::Ask(question.to_owned()));
            return caller.answers.lock().await.recv().await.flatten();
        }
        self.print(question);
        let read = || {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).ok().map(|_| line)
        };
        tokio::task::spawn_blocking(read).await.ok().flatten()
    }

    /// Prints text for people; it ends with a line break of its own.
    pub fn print(&self, text: &str) {
        // Standard error may be closed; there is nowhere left to say so.
        let _ = self.make_writer().write_all(text.as_bytes());
    }

    /// Shows how far a call over many connections is.
    #[must_use]
    pub fn overall(&self) -> Overall {
        let bar = self.bars.as_ref().filter(|_| !self.quiet).map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TURN);
            bar
        });
        Overall { console: self.clone(), bar }
    }

    /// Shows what goes on.
    #[must_use]
    pub fn progress(&self) -> Arc<dyn Progress> {
        if let Some(caller) = &self.caller {
            return Arc::new(Told(caller.clone()));
        }
        match &self.bars {
            _ if self.quiet => Arc::new(Silent),
            Some(bars) => {
                Arc::new(Spinners { bars: bars.clone(), running: Mutex::new(BTreeMap::new()) })
            }
            None => Arc::new(Lines { out: Mutex::new(io::stderr()) }),
        }
    }
}

/// How far a call over many connections is: a line that stays on a terminal, else one now and then.
#[derive(Clone, Debug)]
pub struct Overall {
    console: Console,
    bar: Option<ProgressBar>,
}

impl Overall {
    /// Shows it; where nothing can be drawn, milestones alone.
    pub fn show(&self, words: &str, milestone: bool) {
        if let Some(caller) = &self.console.caller {
            return caller.say(Event::Overall { words: words.to_owned(), milestone });
        }
        match &self.bar {
            Some(bar) => bar.set_message(words.to_owned()),
            None if milestone && !self.console.quiet => self.console.print(&format!("{words}\n")),
            None => {}
        }
    }

    /// It leaves nothing behind: the results that follow say how it ended.
    pub fn end(&self) {
        if let Some(caller) = &self.console.caller {
            caller.say(Event::OverallEnd);
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = ConsoleWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        ConsoleWriter { bars: self.bars.as_ref(), caller: self.caller.as_ref() }
    }
}

/// One writer to a [`Console`]; each write is whole.
#[derive(Debug)]
pub struct ConsoleWriter<'a> {
    bars: Option<&'a MultiProgress>,
    caller: Option<&'a Caller>,
}

impl Write for ConsoleWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(caller) = self.caller {
            caller.say(Event::Err(String::from_utf8_lossy(bytes).into_owned()));
            return Ok(bytes.len());
        }
        let text = std::str::from_utf8(bytes).map(visible);
        let shown = text.as_ref().map_or(bytes, |text| text.as_bytes());
        let write = || io::stderr().lock().write_all(shown);
        match self.bars {
            Some(bars) => bars.suspend(write)?,
            None => write()?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// A spinner for each connection that something is being done for.
#[derive(Debug)]
struct Spinners {
    bars: MultiProgress,
    running: Mutex<BTreeMap<ConnectionName, ProgressBar>>,
}

impl Progress for Spinners {
    fn step(&self, connection: &ConnectionName, words: &str) {
        let mut running = lock(&self.running);
        let bar = running.entry(connection.clone()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}  {msg}  {elapsed}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(connection.to_string());
            bar.enable_steady_tick(TURN);
            bar
        });
        bar.set_message(visible(words).into_owned());
    }

    fn done(&self, connection: &ConnectionName, _words: &str) {
        // The results that follow say how it ended; the spinner leaves nothing behind.
        if let Some(bar) = lock(&self.running).remove(connection) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}

/// What goes on, told over the control socket; the other end shows it.
#[derive(Debug)]
struct Told(Caller);

impl Progress for Told {
    fn step(&self, connection: &ConnectionName, words: &str) {
        self.0.say(Event::Step { connection: connection.to_string(), words: words.to_owned() });
    }

    fn done(&self, connection: &ConnectionName, words: &str) {
        self.0.say(Event::Done { connection: connection.to_string(), words: words.to_owned() });
    }
}

/// A line for each step.
struct Lines<W> {
    out: Mutex<W>,
}

impl<W> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lines")
    }
}

impl<W: Write + Send> Progress for Lines<W> {
    fn step(&self, connection: &ConnectionName, words: &str) {
        // A reader that went away does not stop a rotation.
        let line = format!("{connection}: {words}");
        let _ = writeln!(lock(&self.out), "{}", visible(&line));
    }

    fn done(&self, connection: &ConnectionName, words: &str) {
        // Its result is printed where it is empty.
        if !words.is_empty() {
            self.step(connection, words);
        }
    }
}

/// A panic elsewhere does not make what is shown any less true.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn piped_progress_is_a_line_a_step() {
        let lines = Lines { out: Mutex::new(Vec::new()) };
        let name = ConnectionName::try_new("initech-okta").unwrap();
        lines.step(&name, "creating a replacement");
        lines.done(&name, "rotated");
        let text = String::from_utf8(lines.out.into_inner().unwrap()).unwrap();
        assert_eq!(text, "initech-okta: creating a replacement\ninitech-okta: rotated\n");
    }

    #[test]
    fn a_spinner_goes_when_its_connection_is_done() {
        let spinners = Spinners {
            bars: MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden()),
            running: Mutex::new(BTreeMap::new()),
        };
        let name = ConnectionName::try_new("initech-okta").unwrap();
        spinners.step(&name, "creating a replacement");
        spinners.step(&name, "proving it");
        assert_eq!(lock(&spinners.running)[&name].message(), "proving it");
        spinners.done(&name, "rotated");
        assert!(lock(&spinners.running).is_empty());
    }
}
