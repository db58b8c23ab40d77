//! What can be typed, parsed once into an [`Invocation`] that cannot hold a contradiction.

mod args;
mod select;
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
}

/// What is done with a ledger as a whole. A ledger is named by its url, or by a configuration file
/// whose `[state]` is meant.
#[derive(Clone, Debug)]
pub enum StateCommand {
    /// Moves it with everything that it knows; the old one is of no use from then on.
    Copy {
        /// The old one.
        from: String,
        /// The new one, in which nothing is yet.
        to: String,
    },
    /// Makes one of use again that was moved to another that is lost.
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
        /// All of them, said in so many words.
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
    /// Says everything that is wrong with the configuration.
    Check {
        /// Log in everywhere and prove each right.
        online: bool,
    },
    /// Says what will happen and when.
    Plan {
        /// Which connections.
        of: Selection,
        /// How far to look ahead.
        until: Duration,
    },
    /// Says where each connection stands.
    Status {
        /// Which connections.
        of: Selection,
        /// How the list is shown.
        list: List,
        /// Exit as `--once` would.
        exit_code: bool,
    },
    /// The same in sentences.
    Explain {
        /// Which connections.
        of: Selection,
    },
    /// Lists every token that is known.
    Tokens {
        /// Of which connections.
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
    /// Takes a place for the one that is delivered to, although it was moved.
    AcceptPlace {
        /// Which connection.
        connection: ConnectionName,
        /// Its location, or its sink's name.
        place: String,
    },
    /// Takes a throw-away user of a proof by writing for gone, because a person says so.
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
    /// Starts and revokes nothing until a moment.
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
        /// Takes the list although many connections are missing from it.
        accept: bool,
    },
    /// Says the least that the services have to grant.
    Permissions,
    /// Says whether the daemon on this machine is ready.
    Healthcheck,
    /// Checks that an audit log is what was written.
    AuditVerify {
        /// The files, oldest first; `-` is standard input.
        files: Vec<PathBuf>,
        /// The hash of a line that has to be there.
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
    /// In which order; `None`: that of the files.
    pub sort: Option<Sort>,
    /// Each connection, also where a terminal cannot show that many.
    pub all: bool,
}

/// An order of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// By name.
    Name,
    /// The one that expires next first.
    Expiry,
    /// The one that is rotated next first.
    Next,
    /// What fails first, then what is refused, what waits, and the rest.
    Standing,
}

/// A file that belongs to the program; none needs a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Artefact {
    /// The JSON Schema of the configuration.
    Schema,
    /// What a shell needs to complete the command line.
    Completions(clap_complete::Shell),
    /// The manual page.
    Man,
}

/// What `--rotate-now` and `--once` share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneShot {
    /// Stay until the older tokens are revoked.
    pub wait: bool,
    /// How long to try; `None` (only with `wait`): as long as it takes.
    pub timeout: Option<Duration>,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
}

/// How a call over many connections is held back, and from where it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// How many are worked on before the next are begun; `None`: all.
    pub batch: Option<NonZeroUsize>,
    /// After so many failures no further one is begun; `None`: when each of the first few fails.
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
    /// Requests a second, sustained.
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

/// Whether `--output json` was asked for, as far as a command line that is wrong can say.
#[must_use]
pub fn wants_json(args: &[OsString]) -> bool {
    let options: Vec<&OsStr> =
        args.iter().map(OsString::as_os_str).take_while(|arg| *arg != "--").collect();
    options.iter().any(|arg| *arg == "--output=json")
        || options
            .windows(2)
            .any(|pair| matches!(pair, [flag, value] if *flag == "--output" && *value == "json"))
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
