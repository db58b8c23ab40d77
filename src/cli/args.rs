//! The command line in clap's terms, and its way into an [`Invocation`].

use std::{
    ffi::OsString, net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::LazyLock, time::Duration,
};

use clap::{
    ArgAction, ArgGroup, CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{Artefact, Command, Invocation, OneShot, Output, Rate, Sandbox};
use crate::{
    secret::Secret,
    token::{ConnectionName, TokenId, looks_like_a_value},
};

/// How long a one-shot tries when it is not told.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The longest duration that can be asked for (100 years), so that adding it to a time cannot
/// overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

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
    #[arg(long, num_args = 0.., value_name = "CONNECTION", value_parser = name, conflicts_with = "once")]
    rotate_now: Option<Vec<ConnectionName>>,

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
    /// at once. For more than one connection, name them or add --all; on a terminal you are then asked
    /// to confirm. A single connection needs neither, and is not asked about
    #[arg(long)]
    compromised: bool,

    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Debug, Subcommand)]
enum Sub {
    /// Run the daemon, in the foreground (also without any command)
    Run,
    /// Say everything that is wrong with the configuration
    Check {
        /// Also log in to every provider and sink and prove each right that a rotation needs
        #[arg(long)]
        online: bool,
    },
    /// Say what will happen and when; changes nothing
    Plan {
        /// Which connections [default: all]
        #[arg(value_name = "CONNECTION", value_parser = name)]
        connections: Vec<ConnectionName>,
        /// How far to look ahead
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
        until: Duration,
    },
    /// Say where each connection stands
    Status {
        /// Which connections [default: all]
        #[arg(value_name = "CONNECTION", value_parser = name)]
        connections: Vec<ConnectionName>,
        /// Exit as --once would, instead of with 0
        #[arg(long)]
        exit_code: bool,
    },
    /// Say in sentences why a connection waits, what it waits for, and until when
    Explain {
        /// Which connection
        #[arg(value_parser = name)]
        connection: ConnectionName,
    },
    /// Take over a token that something else minted, or a place that was moved
    #[command(group = ArgGroup::new("what").args(["token_id", "place"]).required(true))]
    Adopt {
        /// Which connection
        #[arg(value_parser = name)]
        connection: ConnectionName,
        /// The token's id: it becomes the current token; a sink has to hold it
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: Option<TokenId>,
        /// Retire the token by the policy instead; no sink may hold it
        #[arg(long, conflicts_with = "place")]
        retire: bool,
        /// A location or a sink's name: deliver there although it is in another folder, account or
        /// cluster than before
        #[arg(long, value_name = "PLACE")]
        place: Option<String>,
    },
    /// Revoke one token; refuses the one that the sinks hold
    Revoke {
        /// Which connection
        #[arg(value_parser = name)]
        connection: ConnectionName,
        /// The token's id
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: TokenId,
        /// Also when the sinks hold it; the connection is then due at once
        #[arg(long)]
        force: bool,
    },
    /// Say the least that providers and sinks have to grant; asks nobody
    Permissions,
    /// Exit with 0 when the daemon on this machine is ready; needs [server]
    Healthcheck,
    /// Work with the audit log
    Audit {
        #[command(subcommand)]
        command: AuditSub,
    },
    /// Serve an Auth0-compatible tenant to rehearse against
    Sandbox {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4400")]
        listen: SocketAddr,
        /// Where its state lives [default: in memory]
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
        /// The only client that may log in [default: any]
        #[arg(long, value_name = "ID", requires = "client_secret")]
        client_id: Option<String>,
        /// That client's secret
        #[arg(long, value_name = "SECRET", requires = "client_id", value_parser = secret)]
        client_secret: Option<Secret>,
        /// The rate limit, in requests a second [default: none]
        #[arg(long, value_name = "N")]
        rate: Option<NonZeroU32>,
        /// How many requests may come at once [default: the rate]
        #[arg(long, value_name = "N", requires = "rate")]
        burst: Option<NonZeroU32>,
    },
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Print what a shell needs to complete this command line
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff
    Man,
}

#[derive(Debug, Subcommand)]
enum AuditSub {
    /// Check that nothing was changed, taken out or put in; asks nobody and needs no configuration
    Verify {
        /// The files, oldest first; - is standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The hash of a line that has to be there, as the log told it (audit_head)
        #[arg(long, value_name = "HASH", value_parser = hash)]
        head: Option<String>,
    },
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
        if self.command.is_some() && !given.is_empty() {
            let message = format!("a command cannot be used with {}", given.join(", "));
            return Err((ErrorKind::ArgumentConflict, message));
        }
        if self.compromised && self.rotate_now.is_none() {
            let message = "--compromised needs --rotate-now".to_owned();
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
        let shot = OneShot {
            wait: self.wait,
            timeout: self.timeout.or_else(|| (!self.wait).then_some(TIMEOUT)),
            dry_run: self.dry_run,
        };
        let command = match (self.command, self.rotate_now) {
            (Some(command), _) => command.into_command(),
            (None, Some(connections)) => {
                let (all, compromised) = (self.all, self.compromised);
                Command::RotateNow { connections, all, compromised, shot }
            }
            (None, None) if self.once => Command::Once { shot },
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

impl Sub {
    fn into_command(self) -> Command {
        match self {
            Self::Run => Command::Run,
            Self::Check { online } => Command::Check { online },
            Self::Plan { connections, until } => Command::Plan { connections, until },
            Self::Status { connections, exit_code } => Command::Status { connections, exit_code },
            Self::Explain { connection } => Command::Explain { connection },
            Self::Adopt { connection, token_id, retire, place } => match (token_id, place) {
                (Some(token_id), _) if retire => Command::Retire { connection, token_id },
                (Some(token_id), _) => Command::Adopt { connection, token_id },
                (None, place) => {
                    Command::AcceptPlace { connection, place: place.unwrap_or_default() }
                }
            },
            Self::Revoke { connection, token_id, force } => {
                Command::Revoke { connection, token_id, force }
            }
            Self::Permissions => Command::Permissions,
            Self::Healthcheck => Command::Healthcheck,
            Self::Audit { command: AuditSub::Verify { files, head } } => {
                Command::AuditVerify { files, head }
            }
            Self::Sandbox { listen, data_dir, client_id, client_secret, rate, burst } => {
                Command::Sandbox(Sandbox {
                    listen,
                    data_dir,
                    client: client_id.zip(client_secret),
                    rate: rate
                        .map(|per_second| Rate { per_second, burst: burst.unwrap_or(per_second) }),
                })
            }
            Self::Schema => Command::Print(Artefact::Schema),
            Self::Completions { shell } => Command::Print(Artefact::Completions(shell)),
            Self::Man => Command::Print(Artefact::Man),
        }
    }
}

fn name(text: &str) -> Result<ConnectionName, String> {
    no_value(text)?;
    ConnectionName::try_new(text).map_err(|error| error.to_string())
}

fn token_id(text: &str) -> Result<TokenId, String> {
    no_value(text)?;
    TokenId::try_new(text).map_err(|error| error.to_string())
}

fn no_value(text: &str) -> Result<(), String> {
    if looks_like_a_value(text) {
        return Err("that looks like a token's value, which belongs on no command line; \
                    its id is the part before the dot"
            .to_owned());
    }
    Ok(())
}

fn hash(text: &str) -> Result<String, String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a hash has 64 hexadecimal digits".to_owned())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap's value parsers return a Result")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text.to_owned()))
}

/// Durations as in the configuration: `90s`, `15m`, `24h`, `30d`, `2w`.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write it as 90s, 15m, 24h, 30d or 2w"))?;
    if duration.is_zero() || duration > LONGEST {
        return Err("it must be more than nothing and at most 100 years".to_owned());
    }
    Ok(duration)
}
