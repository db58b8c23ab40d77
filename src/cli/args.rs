//! The command line in clap's terms, and its way into an [`Invocation`].

use std::{ffi::OsString, num::NonZeroUsize, path::PathBuf, sync::LazyLock, time::Duration};

use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    Bulk, Command, Invocation, Named, OneShot, Output,
    subcommand::{SelectArgs, Sub},
    values::{duration, named, time},
};
use crate::clock::Timestamp;

/// How long a one-shot tries when it is not told.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The revision that was built, where the build says so.
const REVISION: Option<&str> = option_env!("SCIMITAR_REVISION");

/// What `--version` prints behind the name.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let version = env!("CARGO_PKG_VERSION");
    REVISION.map_or_else(|| version.to_owned(), |revision| format!("{version} ({revision})"))
});

/// Parses the command line, the program's own name first.
///
/// # Errors
/// Bad usage, in clap's words; `--help` and `--version` as clap hands them over.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let mut command = Args::command();
    let matches = matches(&mut command, args.into_iter().collect())?;
    let args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    args.into_invocation().map_err(|(kind, message)| command.error(kind, message))
}

/// What clap finds. Behind another flag of `--rotate-now`, it takes a connection's name for a command:
/// such names are put behind `--rotate-now` itself, in their order.
fn matches(
    command: &mut clap::Command,
    mut args: Vec<OsString>,
) -> Result<clap::ArgMatches, clap::Error> {
    let mut names = args.iter().position(|arg| arg == "--rotate-now").map(|flag| flag + 1);
    loop {
        let error = match command.try_get_matches_from_mut(&args) {
            Ok(matches) => return Ok(matches),
            Err(error) => error,
        };
        let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand) else {
            return Err(error);
        };
        let behind = |(place, _): &(usize, &OsString)| names.is_some_and(|flag| *place > flag);
        let found = args.iter().enumerate().filter(behind).find(|(_, arg)| *arg == name.as_str());
        let (Some((place, _)), Some(flag)) = (found, names) else { return Err(error) };
        let name = args.remove(place);
        args.insert(flag, name);
        names = Some(flag + 1);
    }
}

/// The command line as clap knows it, for what is made of it: completions and the manual.
#[must_use]
pub fn definition() -> clap::Command {
    Args::command()
}

#[derive(Debug, Parser)]
#[command(
    name = "scimitar",
    version = VERSION.as_str(),
    about = "Rotates SCIM bearer tokens: mints ahead of expiry, proves, delivers, waits until the \
             older one is out of use, revokes.",
    after_help = "Without a command, --rotate-now or --once it is the daemon (as `scimitar run`).\n\n\
                  Exit status: 0 done, or nothing was due; 1 a connection failed; 2 bad usage or \
                  configuration, nothing was done; 3 a connection is refused until an operator \
                  decides; 130, 143 interrupted, parked safely.",
    max_term_width = 100
)]
struct Args {
    /// The configuration file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SCIMITAR_CONFIG",
        hide_env_values = true,
        default_value = "/etc/scimitar/scimitar.toml"
    )]
    config: PathBuf,

    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// Log more: -v what happens, -vv each request, -vvv everything (SCIMITAR_LOG takes filter
    /// directives)
    #[arg(short = 'v', long = "verbose", global = true, action = ArgAction::Count)]
    verbosity: u8,

    /// Rotate the named connections now (all of them when none is named), then exit
    #[arg(long, num_args = 0.., value_name = "CONNECTION", value_parser = named, conflicts_with = "once")]
    rotate_now: Option<Vec<Named>>,

    /// With --rotate-now: all connections, said in so many words; --compromised asks for names or this
    #[arg(long)]
    all: bool,

    /// Do whatever is due (rotate, deliver, heal, revoke), then exit
    #[arg(long)]
    once: bool,

    /// With --rotate-now or --once: stay until the older tokens are revoked
    #[arg(long)]
    wait: bool,

    /// With --rotate-now or --once: how long to try [default: 2m; with --wait: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// With --rotate-now or --once: say what would be done, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,

    /// With --rotate-now: the current and previous tokens have leaked; replace, deliver, revoke
    /// at once. For more than one connection, name them (--provider and --match do so too) or add --all;
    /// on a terminal you are then asked to confirm. A single connection needs neither, and is not asked
    /// about
    #[arg(long)]
    compromised: bool,

    /// With --rotate-now: work on so many connections before the next are begun [default: all]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,

    /// With --rotate-now: begin no further connection after so many failures [default: when each of the
    /// first few fails]
    #[arg(long, value_name = "N")]
    stop_after: Option<NonZeroUsize>,

    /// With --rotate-now: what was rotated after this moment is done already; goes on with a call that
    /// ended early
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,

    #[command(flatten)]
    of: SelectArgs,

    #[command(subcommand)]
    command: Option<Sub>,
}

impl Args {
    /// What clap's own rules cannot say, and the types that the rest of the program takes.
    fn into_invocation(self) -> Result<Invocation, (ErrorKind, String)> {
        let one_shot = self.rotate_now.is_some() || self.once;
        let flags = [
            ("--rotate-now", self.rotate_now.is_some()),
            ("--once", self.once),
            ("--wait", self.wait),
            ("--timeout", self.timeout.is_some()),
            ("--dry-run", self.dry_run),
            ("--compromised", self.compromised),
            ("--all", self.all),
        ];
        let given: Vec<&str> = flags.iter().filter(|flag| flag.1).map(|flag| flag.0).collect();
        let selects = [
            ("--provider", self.of.provider.is_some()),
            ("--match", self.of.matching.is_some()),
            ("--where", !self.of.conditions.is_empty()),
        ];
        let given: Vec<&str> = given
            .into_iter()
            .chain(selects.iter().filter(|flag| flag.1).map(|flag| flag.0))
            .collect();
        if self.command.is_some() && !given.is_empty() {
            let message = format!("a command cannot be used with {}", given.join(", "));
            return Err((ErrorKind::ArgumentConflict, message));
        }
        if self.compromised && self.rotate_now.is_none() {
            let message = "--compromised needs --rotate-now".to_owned();
            return Err((ErrorKind::MissingRequiredArgument, message));
        }
        let brakes = [
            ("--batch", self.batch.is_some()),
            ("--stop-after", self.stop_after.is_some()),
            ("--since", self.since.is_some()),
        ];
        if let Some((flag, _)) = brakes.iter().find(|flag| flag.1 && self.rotate_now.is_none()) {
            let message = format!("{flag} needs --rotate-now");
            return Err((ErrorKind::MissingRequiredArgument, message));
        }
        if self.all && self.rotate_now.is_none() {
            return Err((
                ErrorKind::MissingRequiredArgument,
                "--all needs --rotate-now".to_owned(),
            ));
        }
        if self.all && self.rotate_now.as_ref().is_some_and(|named| !named.is_empty()) {
            let message = "--all cannot be used with names of connections".to_owned();
            return Err((ErrorKind::ArgumentConflict, message));
        }
        if !one_shot && !given.is_empty() {
            let message = format!("{} needs --rotate-now or --once", given.join(", "));
            return Err((ErrorKind::MissingRequiredArgument, message));
        }
        let bulk = Bulk {
            batch: self.batch,
            stop_after: self.stop_after,
            since: self.since,
            each: (self.timeout.is_none() && !self.wait).then_some(TIMEOUT),
        };
        let shot = OneShot {
            wait: self.wait,
            timeout: self.timeout.or_else(|| (!self.wait).then_some(TIMEOUT)),
            dry_run: self.dry_run,
        };
        let command = match (self.command, self.rotate_now) {
            (Some(command), _) => command.into_command(),
            (None, Some(connections)) => {
                let (all, compromised) = (self.all, self.compromised);
                Command::RotateNow { of: self.of.with(connections), all, compromised, bulk, shot }
            }
            (None, None) if self.once => Command::Once { of: self.of.with(Vec::new()), shot },
            (None, None) => Command::Run,
        };
        Ok(Invocation {
            command,
            config: self.config,
            output: self.output,
            verbosity: self.verbosity,
        })
    }
}
