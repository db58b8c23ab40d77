//! The command line in clap's terms, and its way into an [`Invocation`].

use std::{ffi::OsString, path::PathBuf, sync::LazyLock};

use clap::{
    ArgAction, CommandFactory, FromArgMatches, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    Command, Invocation, Named, Output, examples,
    shot::{RotateArgs, ShotArgs},
    subcommand::{SelectArgs, Sub},
    values::named,
};
use crate::revision;

/// What `--version` prints behind the name.
static VERSION: LazyLock<String> = LazyLock::new(revision::version);

/// Parses the command line, the program's own name first.
///
/// # Errors
/// Bad usage, in clap's words; `--help` and `--version` as clap hands them over.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, clap::Error> {
    let mut command = Args::command();
    let typed: Vec<OsString> = args.into_iter().collect();
    let bare = typed.len() < 2;
    let matches = matches(&mut command, typed)?;
    let args = Args::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let invocation = args.into_invocation();
    let invocation = invocation.map_err(|(kind, message)| command.error(kind, message))?;
    Ok(Invocation { bare, ..invocation })
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
        if names.is_none() && args.iter().any(|arg| arg == "--once") {
            let message = format!("--once takes no names; use `scimitar once {name}`");
            return Err(command.error(ErrorKind::ArgumentConflict, message));
        }
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
    about = "Rotates SCIM bearer tokens: creates them ahead of expiry, proves, delivers, waits until the \
             previous token is no longer used, then revokes it.",
    after_help = examples::TOP,
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
        default_value = "/etc/scimitar/scimitar.toml",
        value_hint = clap::ValueHint::FilePath
    )]
    config: PathBuf,

    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// Print results, warnings and errors only: no progress and no notes
    #[arg(short, long, global = true, conflicts_with = "verbosity")]
    quiet: bool,

    /// Log more: -v what happens, -vv each request, -vvv everything (SCIMITAR_LOG takes filter
    /// directives)
    #[arg(short = 'v', long = "verbose", global = true, action = ArgAction::Count)]
    verbosity: u8,

    /// Same as `scimitar rotate`: rotate the named connections now (all, when none is named), then exit
    #[arg(long, num_args = 0.., value_name = "CONNECTION", value_parser = named, conflicts_with = "once")]
    rotate_now: Option<Vec<Named>>,

    /// Same as `scimitar once`: do whatever is due (rotate, deliver, heal, revoke), then exit
    #[arg(long)]
    once: bool,

    #[command(flatten, next_help_heading = "Options of --rotate-now and --once")]
    shot: ShotArgs,

    #[command(flatten)]
    rotate: RotateArgs,

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
            ("--wait", self.shot.wait),
            ("--timeout", self.shot.timeout.is_some()),
            ("--dry-run", self.shot.dry_run),
            ("--compromised", self.rotate.compromised),
            ("--all", self.rotate.all),
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
        if self.rotate.compromised && self.rotate_now.is_none() {
            let message = "--compromised needs --rotate-now".to_owned();
            return Err((ErrorKind::MissingRequiredArgument, message));
        }
        let brakes = [
            ("--batch", self.rotate.batch.is_some()),
            ("--stop-after", self.rotate.stop_after.is_some()),
            ("--since", self.rotate.since.is_some()),
        ];
        if let Some((flag, _)) = brakes.iter().find(|flag| flag.1 && self.rotate_now.is_none()) {
            let message = format!("{flag} needs --rotate-now");
            return Err((ErrorKind::MissingRequiredArgument, message));
        }
        if self.rotate.all && self.rotate_now.is_none() {
            return Err((
                ErrorKind::MissingRequiredArgument,
                "--all needs --rotate-now".to_owned(),
            ));
        }
        if self.rotate.all && self.rotate_now.as_ref().is_some_and(|named| !named.is_empty()) {
            let message = "--all cannot be used with names of connections".to_owned();
            return Err((ErrorKind::ArgumentConflict, message));
        }
        if !one_shot && !given.is_empty() {
            let message = format!("{} needs --rotate-now or --once", given.join(", "));
            return Err((ErrorKind::MissingRequiredArgument, message));
        }
        let command = match (self.command, self.rotate_now) {
            (Some(command), _) => command.into_command(),
            (None, Some(connections)) => self.rotate.rotate(self.of.with(connections), &self.shot),
            (None, None) if self.once => self.shot.once(self.of.with(Vec::new())),
            (None, None) => Command::Run,
        };
        Ok(Invocation {
            command,
            config: self.config,
            output: self.output,
            verbosity: self.verbosity,
            quiet: self.quiet,
            bare: false,
        })
    }
}
