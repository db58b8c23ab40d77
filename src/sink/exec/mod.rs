//! The sink that is a program: the value on its standard input, and an exit status that says whether it
//! was delivered.
//!
//! What the program did with it cannot be asked. So the place is not readable: it counts as holding a
//! token from the moment that its delivery is written down, a connection needs a readable sink beside it,
//! and a program has to bear the same token twice.

mod config;
mod schema;
mod settings;
mod status;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use zeroize::Zeroizing;

pub use self::{
    config::{ExecConfig, KIND},
    settings::{ExecSettings, ExecTarget, Format},
};
use self::{settings::Checked, status::Meaning};
use crate::{
    child::{self, Ended, NotRun, Program},
    error::{Class, Code, Fault, system_words},
    sink::{
        Delivery, Fence, Place, Reading, Sink, Version, WriteCheck,
        rules::{
            document::{Document, Layout},
            invalid,
        },
    },
};

/// One program that one connection's token is given to.
pub struct ExecSink {
    settings: Arc<ExecSettings>,
    checked: Checked,
}

impl fmt::Debug for ExecSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSink").field("checked", &self.checked).finish_non_exhaustive()
    }
}

impl ExecSink {
    /// Checks the delivery. Nothing is run.
    ///
    /// # Errors
    /// [`Code::Invalid`] when it cannot be one.
    pub fn try_new(settings: &Arc<ExecSettings>, target: ExecTarget) -> Result<Self, Fault> {
        let checked = target.checked(settings)?;
        Ok(Self { settings: Arc::clone(settings), checked })
    }

    fn operation(&self, verb: &str) -> String {
        format!("{verb} {}", self.checked.place.location)
    }

    /// What the program reads.
    fn input(&self, operation: &str, delivery: &Delivery) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.checked.format {
            Format::Raw => Ok(Zeroizing::new(delivery.value.expose().as_bytes().to_vec())),
            Format::Json => {
                let nothing: Document = Document::default();
                let composed = self.checked.keys.composed(&nothing, delivery, Layout::Line);
                composed.map_err(|error| invalid(operation, error.to_string()))
            }
        }
    }

    fn arguments(&self, operation: &str, delivery: &Delivery) -> Result<Vec<String>, Fault> {
        let target = [(settings::TARGET, self.checked.target.as_str())];
        let render = |template: &crate::sink::payload::PlainTemplate| {
            let text = template.render(delivery, &target);
            text.map_err(|error| invalid(operation, error.to_string()))
        };
        self.settings.arguments.iter().map(render).collect()
    }

    fn not_run(&self, operation: &str, why: NotRun) -> Fault {
        let program = self.settings.program.display();
        let fault = |class, code, words| Fault::new(operation, class, code, words);
        match why {
            NotRun::Untrusted(found) => {
                let words = format!("{program} is not run: {}; {}", found.trouble, found.hint);
                fault(Class::Terminal, Code::Forbidden, words)
            }
            NotRun::Start(error) => {
                let words = format!("{program} cannot be started: {}", system_words(&error));
                fault(Class::Terminal, Code::Io, words)
            }
            NotRun::Signals(error) => fault(Class::Transient, Code::Io, system_words(&error)),
            NotRun::Unseen => {
                // It may have read what it was given.
                fault(
                    Class::Ambiguous,
                    Code::Io,
                    "it ended before Scimitar could watch it".to_owned(),
                )
            }
        }
    }

    fn judge(&self, operation: &str, ended: &Ended) -> Result<(), Fault> {
        let program = self.settings.program.display();
        let fault = |class, code, words| Err(Fault::new(operation, class, code, words));
        match ended {
            Ended::Itself(status) => {
                let Some(how) = child::badly(*status) else { return Ok(()) };
                let Meaning { class, code, words } = status::meaning(status.code());
                fault(class, code, format!("{program} {how}{words}"))
            }
            Ended::Late(how) => {
                let words = format!(
                    "{program} did not end within {} and was killed by {how}; `timeout` of the sink sets \
                     the limit",
                    crate::clock::spelled(self.settings.timeout)
                );
                fault(Class::Ambiguous, Code::Timeout, words)
            }
            Ended::Unknown(error) => {
                let words = format!("{program} cannot be waited for: {}", system_words(error));
                fault(Class::Ambiguous, Code::Io, words)
            }
        }
    }
}

#[async_trait]
impl Sink for ExecSink {
    fn place(&self) -> &Place {
        &self.checked.place
    }

    fn readable(&self) -> bool {
        false
    }

    /// The program ends with the worker that waits for it.
    fn lingers(&self) -> Duration {
        Duration::ZERO
    }

    async fn read(&self) -> Result<Reading, Fault> {
        Ok(Reading::unasked())
    }

    fn write_check(&self) -> WriteCheck {
        WriteCheck::Each
    }

    /// That the program is there, and that nobody else could have put another one there. What it would do
    /// only it knows.
    async fn prove_writable(&self, _: &Reading) -> Result<(), Fault> {
        let operation = self.operation("check the permission to run");
        let program = &self.settings.program;
        if let Some(found) = child::trust::untrusted(program) {
            return Err(self.not_run(&operation, NotRun::Untrusted(found)));
        }
        match nix::unistd::access(program, nix::unistd::AccessFlags::X_OK) {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.not_run(&operation, NotRun::Start(errno.into()))),
        }
    }

    /// Runs the program.
    ///
    /// # If the answer is lost
    /// The program may have passed the token on. It is run again with the same one.
    async fn promote(
        &self,
        delivery: &Delivery,
        _: &Version,
        fence: &dyn Fence,
    ) -> Result<Version, Fault> {
        let operation = self.operation("deliver to");
        let input = self.input(&operation, delivery)?;
        let arguments = self.arguments(&operation, delivery)?;
        fence.check().await?;
        let program = Program {
            path: &self.settings.program,
            arguments: &arguments,
            variables: Vec::new(),
            timeout: self.settings.timeout,
        };
        let ran = child::run(program, input).await;
        let ran = ran.map_err(|why| self.not_run(&operation, why))?;
        // What it says may hold the value in any form: only its length is told.
        let (out, err) = (ran.out.len(), ran.err.len());
        let place = &self.checked.place.location;
        tracing::debug!(place = %place, out, err, "{place}: the program wrote {out} bytes to its standard output and {err} to its standard error, which are not shown: they may hold the token");
        self.judge(&operation, &ran.ended)?;
        Ok(Version(delivery.marks.token_id.to_string()))
    }
}
