//! What can be typed, parsed once into an [`Invocation`] that cannot hold a contradiction.

mod args;
mod examples;
mod select;
mod shot;
mod subcommand;
mod values;

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

pub use self::{
    args::{definition, parse},
    select::{CONDITIONS, Condition, Named, Selection},
    values::Until,
};

use crate::{
    clock::Timestamp,
    import::Tool,
    rotation::probe_user::ProbeUserName,
    secret::Secret,
    token::{ConnectionName, ProviderName, TokenId, looks_like_a_value},
};

/// One call of the program.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// The configuration file.
    pub config: PathBuf,
    /// How results are printed.
    pub output: Output,
    /// How often `-v` was given.
    pub verbosity: u8,
    /// Results, warnings and errors alone.
    pub quiet: bool,
    /// Nothing was typed after the program's name.
    pub bare: bool,
}

/// What is done with a ledger as a whole. A ledger is named by its url, or by a configuration file
/// whose `[state]` is used.
#[derive(Clone, Debug)]
pub enum StateCommand {
    /// Moves it with everything in it; the old one cannot be used afterwards.
    Copy {
        /// The old one.
        from: String,
        /// The new one, which is empty.
        to: String,
    },
    /// Reopens one that was moved to another one, which is lost.
    Reopen {
        /// Which one.
        ledger: String,
    },
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Command {
    /// Something with a ledger as a whole.
    State(StateCommand),
    /// The daemon, in the foreground.
    Run,
    /// `--rotate-now`: rotate these connections (all, when nothing selects some), then exit.
    RotateNow {
        /// Which ones.
        of: Selection,
        /// `--all` was given.
        all: bool,
        /// Their current and previous tokens have leaked.
        compromised: bool,
        /// How many at a time, and how far.
        bulk: Bulk,
        /// How long to stay, and whether to change anything.
        shot: OneShot,
    },
    /// `--once`: do whatever is due, then exit.
    Once {
        /// Which connections.
        of: Selection,
        /// How long to stay, and whether to change anything.
        shot: OneShot,
    },
    /// Validates the configuration and lists all errors.
    Check {
        /// Also log in everywhere and test each permission.
        online: bool,
    },
    /// Prints what will happen and when.
    Plan {
        /// Which connections.
        of: Selection,
        /// How far to look ahead.
        until: Duration,
    },
    /// Shows the state of each connection.
    Status {
        /// Which connections.
        of: Selection,
        /// How the list is shown.
        list: List,
        /// Exit as `--once` would.
        exit_code: bool,
        /// Keep running, and show what changes.
        watch: bool,
    },
    /// The last changes of connections.
    History {
        /// Which connections.
        of: Selection,
    },
    /// The names of connections, a line each, for completions.
    Names,
    /// The same in sentences.
    Explain {
        /// Which connections.
        of: Selection,
    },
    /// Lists every token that is known.
    Tokens {
        /// Which connections.
        of: Selection,
    },
    /// Takes over a token that something else minted.
    Adopt {
        /// Which connection.
        connection: ConnectionName,
        /// Which token.
        token_id: TokenId,
    },
    /// Makes a token that no sink holds a previous one.
    Retire {
        /// Which connection.
        connection: ConnectionName,
        /// Which token.
        token_id: TokenId,
    },
    /// Takes over the tokens that a state of Terraform or Pulumi names.
    AdoptAll {
        /// The state.
        state: PathBuf,
    },
    /// Accepts that a location was moved: it is delivered to there.
    AcceptPlace {
        /// Which connection.
        connection: ConnectionName,
        /// Its location, or its sink's name.
        place: String,
    },
    /// Accepts that a person deleted a throw-away user (`verify = "write"`).
    AcceptUserGone {
        /// Which connection.
        connection: ConnectionName,
        /// Its name.
        user: ProbeUserName,
    },
    /// Revokes one token.
    Revoke {
        /// Which connection.
        connection: ConnectionName,
        /// Which token.
        token_id: TokenId,
        /// Also the one that the sinks hold.
        force: bool,
    },
    /// Pauses connections: nothing is started or revoked until a given time.
    Pause {
        /// Which connections.
        of: Selection,
        /// When it ends.
        until: Until,
        /// Why.
        reason: String,
    },
    /// Ends a pause.
    Resume {
        /// Which connections.
        of: Selection,
    },
    /// Notes that a person took a token to the client that uses it.
    Handoff {
        /// Which connections.
        of: Selection,
        /// Which client, where several wait.
        client: Option<String>,
        /// Which token, where it was offered several.
        token_id: Option<TokenId>,
    },
    /// Lists the connections that `[[discover]]` finds.
    Discover {
        /// At which provider; `None`: at all.
        provider: Option<ProviderName>,
        /// Accepts the list even if many connections are missing from it.
        accept: bool,
    },
    /// Prints the minimum permissions required.
    Permissions,
    /// Tells whether the daemon on this machine is ready.
    Healthcheck,
    /// Verifies an audit log.
    AuditVerify {
        /// The files, oldest first; `-` is standard input.
        files: Vec<PathBuf>,
        /// The hash of a line that must be present.
        head: Option<String>,
    },
    /// The tenant to rehearse against.
    Sandbox(Sandbox),
    /// Prints a file that belongs to the program.
    Print(Artefact),
    /// Prints the connections that take over what another tool manages.
    Import {
        /// Which tool.
        tool: Tool,
        /// Its state.
        state: PathBuf,
    },
}

/// How a list of connections is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// In which order; `None`: as text the worst first, else that of the files.
    pub sort: Option<Sort>,
    /// Each connection, also where a terminal cannot show that many.
    pub all: bool,
}

/// An order of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// By name.
    Name,
    /// The next to expire first.
    Expiry,
    /// The next to be rotated first.
    Next,
    /// Failed first, then refused, waiting, and the rest.
    Standing,
}

/// A file that belongs to the program; none needs a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artefact {
    /// The JSON Schema of the configuration.
    Schema,
    /// The shell completions.
    Completions(clap_complete::Shell),
    /// The manual page.
    Man,
}

/// What `--rotate-now` and `--once` share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneShot {
    /// Stay until the previous tokens are revoked.
    pub wait: bool,
    /// How long to try; `None` (only with `wait`): as long as it takes.
    pub timeout: Option<Duration>,
    /// Print what would be done, and change nothing.
    pub dry_run: bool,
}

/// How a call over many connections is held back, and from where it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// How many are rotated before the next ones are started; `None`: all.
    pub batch: Option<NonZeroUsize>,
    /// After this many failures no further one is started; `None`: when each of the first few fails.
    pub stop_after: Option<NonZeroUsize>,
    /// What was rotated after this moment is done already; `None`: when the call begins.
    pub since: Option<Timestamp>,
    /// How long each connection of many is tried, where the call as a whole has no limit of its own.
    pub each: Option<Duration>,
}

/// The options of `scimitar sandbox`.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where its state lives; `None`: in memory.
    pub data_dir: Option<PathBuf>,
    /// The only client that may log in; `None`: any.
    pub client: Option<(String, Secret)>,
    /// The tenant's limit; `None`: none.
    pub rate: Option<Rate>,
}

/// A tenant's rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Sustained requests per second.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document on standard output.
    Json,
}

/// Whether `--output json` was asked for, as far as this can be read from an invalid command line.
#[must_use]
pub fn wants_json(args: &[OsString]) -> bool {
    let options: Vec<&OsStr> =
        args.iter().map(OsString::as_os_str).take_while(|arg| *arg != "--").collect();
    let joined = |arg: &&OsStr| ["--output=json", "-ojson", "-o=json"].iter().any(|it| *arg == *it);
    let flag = |arg: &OsStr| arg == "--output" || arg == "-o";
    options.iter().any(joined)
        || options
            .windows(2)
            .any(|pair| matches!(pair, [name, value] if flag(name) && *value == "json"))
}

/// `text` without any token value or client secret that was typed: a value pasted where an id
/// belongs is in the shell's history already, but need not be in the log of a CI job as well.
#[must_use]
pub fn redact(text: String, args: &[OsString]) -> String {
    let mut secret_next = false;
    let mut secrets: Vec<String> = Vec::new();
    for arg in args.iter().map(|arg| arg.to_string_lossy()) {
        let (flag, value) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, value),
            Some(_) | None => ("", arg.as_ref()),
        };
        let named = secret_next || (flag.starts_with("--client-s") && !value.is_empty());
        if named || looks_like_a_value(value) {
            secrets.push(value.to_owned());
        }
        secret_next = arg.starts_with("--client-s") && flag.is_empty();
    }
    secrets
        .iter()
        .filter(|secret| !secret.is_empty() && !secret.starts_with("--"))
        .fold(text, |text, secret| text.replace(secret.as_str(), "[redacted]"))
}
