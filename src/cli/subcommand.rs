//! The subcommands in clap's terms, and their way into a [`Command`].

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{ArgGroup, Subcommand};

use super::{
    Artefact, Command, Condition, List, Named, Rate, Sandbox, Selection, Sort, StateCommand, Until,
    values::{
        condition, duration, hash, name, named, pattern, probe_user, provider, reason, secret,
        token_id, until,
    },
};
use crate::{
    import::Tool,
    pattern::Pattern,
    rotation::probe_user::ProbeUserName,
    secret::Secret,
    token::{ConnectionName, ProviderName, TokenId},
};

/// One of these has to be said.
fn whose() -> ArgGroup {
    ArgGroup::new("whose").multiple(true).required(true)
}

/// How connections are selected beside their names.
#[derive(Debug, clap::Args)]
pub(super) struct SelectArgs {
    /// Only connections of this provider
    #[arg(long, value_name = "NAME", value_parser = provider)]
    pub(super) provider: Option<ProviderName>,
    /// Only connections whose names fit this pattern: * is anything, ? one character
    #[arg(long = "match", value_name = "GLOB", value_parser = pattern)]
    pub(super) matching: Option<Pattern>,
    /// Only connections that stand so: due, failing, refused, waiting, paused, attention, unmanaged,
    /// drift, expired, expiring<30d; given several times, all must hold
    #[arg(long = "where", value_name = "STANDING", value_parser = condition)]
    pub(super) conditions: Vec<Condition>,
}

impl SelectArgs {
    pub(super) fn with(self, named: Vec<Named>) -> Selection {
        let Self { provider, matching, conditions } = self;
        Selection { named, provider, matching, conditions }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Sub {
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
        /// Which connections: names, or patterns of names with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// How far to look ahead
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
        until: Duration,
    },
    /// Say where each connection stands
    Status {
        /// Which connections: names, or patterns of names with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// In which order [default: that of the configuration]
        #[arg(long, value_enum, value_name = "ORDER")]
        sort: Option<Sort>,
        /// Each connection, also where there are more than the terminal shows at once; else these are
        /// summed up
        #[arg(long)]
        all: bool,
        /// Exit as --once would, instead of with 0
        #[arg(long)]
        exit_code: bool,
    },
    /// Say in sentences why a connection waits, what it waits for, and until when
    #[command(group = whose().args(["connections", "provider", "matching", "conditions"]))]
    Explain {
        /// Which connections: names, or patterns of names with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
    },
    /// List every token that the ledger knows, with the watched ones; asks nobody
    Tokens {
        /// Of which connections: names, or patterns of names with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
    },
    /// List the connections that [[discover]] finds at a provider
    Discover {
        /// At which provider (all, when none is named)
        #[arg(value_parser = provider, required_if_eq("accept", "true"))]
        provider: Option<ProviderName>,
        /// Accept the list as it is, although many connections are missing from it
        #[arg(long)]
        accept: bool,
    },
    /// Take over a token that something else minted, or a place that was moved
    ///
    /// Or note that a person has deleted a throw-away user of a proof by writing.
    #[command(group = ArgGroup::new("what").args(["token_id", "place", "user_gone", "all_from"]).required(true))]
    Adopt {
        /// Which connection
        #[arg(value_parser = name, required_unless_present = "all_from")]
        connection: Option<ConnectionName>,
        /// The token's id: it becomes the current token; a sink has to hold it
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: Option<TokenId>,
        /// Retire the token by the policy instead; no sink may hold it
        #[arg(long, conflicts_with_all = ["place", "user_gone", "all_from"])]
        retire: bool,
        /// A location or a sink's name: deliver there although it is in another folder, account or
        /// cluster than before
        #[arg(long, value_name = "PLACE")]
        place: Option<String>,
        /// A throw-away user (verify = "write") that a person has deleted: it is looked for no more
        #[arg(long, value_name = "USER", value_parser = probe_user)]
        user_gone: Option<ProbeUserName>,
        /// A state of Terraform or Pulumi: take over each token that it names, as the current one where
        /// a sink holds it, else to be retired
        #[arg(long, value_name = "STATE", conflicts_with = "connection")]
        all_from: Option<PathBuf>,
    },
    /// Print the connections that take over SCIM tokens from Terraform or Pulumi
    ///
    /// With the steps, as comments. Reads the state only; changes nothing and copies no value
    Import {
        /// Whose state it is
        #[arg(value_enum)]
        tool: ImportFrom,
        /// The state: a .tfstate file, or what `terraform show -json` or `pulumi stack export` printed
        #[arg(value_name = "STATE")]
        state: PathBuf,
    },
    /// Move the ledger to another file or database
    State {
        #[command(subcommand)]
        command: StateSub,
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
    /// Start and revoke nothing until a moment
    ///
    /// A token that would expire is rotated all the same, and a leak does not wait.
    #[command(group = whose().args(["connections", "provider", "matching", "conditions", "all"]))]
    Pause {
        /// Which connections: names, or patterns of names with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// All connections
        #[arg(long, conflicts_with = "connections")]
        all: bool,
        /// When the pause ends: a time as in 2026-12-24T06:00:00Z, a date (its first moment in UTC), or a
        /// duration from now
        #[arg(long, value_name = "WHEN", value_parser = until)]
        until: Until,
        /// Why, for those who find it paused
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// End a pause now
    #[command(group = whose().args(["connections", "provider", "matching", "conditions", "all"]))]
    Resume {
        /// Which connections: names, or patterns of names with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// All connections
        #[arg(long, conflicts_with = "connections")]
        all: bool,
    },
    /// Note that a person has put the new token into the client that uses it
    ///
    /// `scimitar explain CONNECTION` says what is to be put where. Once this is noted and the provider has
    /// seen the new token in use, the previous token is revoked by the policy.
    Handoff {
        /// Which connections: names, or patterns of names with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named, required = true)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// The client has the token and uses it
        #[arg(long, required = true)]
        done: bool,
        /// Which client, where a connection has several: as in its `deliver_to`, or the sink's name
        #[arg(long, value_name = "CLIENT")]
        client: Option<String>,
        /// Which token it has; needed where it was offered another one before that one was confirmed
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: Option<TokenId>,
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

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum ImportFrom {
    /// Terraform or OpenTofu
    Terraform,
    /// Pulumi
    Pulumi,
}

/// What is done with a ledger as a whole.
#[derive(Debug, Subcommand)]
pub(super) enum StateSub {
    /// Move it with everything that it knows
    ///
    /// A ledger is named by its url, as in [state], or by a configuration file (.toml) whose [state] is
    /// meant. With a url, the password is taken from $PGPASSWORD. Stop what uses the old one first; it is
    /// of no use afterwards. Whatever ends in between, the same command goes on
    Copy {
        /// The old one
        from: String,
        /// The new one, in which nothing is yet
        to: String,
    },
    /// Use one again that was moved, when the one it was moved to is lost for good
    Reopen {
        /// The one that was moved
        ledger: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditSub {
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

impl Sub {
    pub(super) fn into_command(self) -> Command {
        match self {
            Self::Run => Command::Run,
            Self::Check { online } => Command::Check { online },
            Self::Plan { connections, of, until } => {
                Command::Plan { of: of.with(connections), until }
            }
            Self::Status { connections, of, sort, all, exit_code } => {
                let list = List { sort, all };
                Command::Status { of: of.with(connections), list, exit_code }
            }
            Self::Discover { provider, accept } => Command::Discover { provider, accept },
            Self::Tokens { connections, of } => Command::Tokens { of: of.with(connections) },
            Self::Explain { connections, of } => Command::Explain { of: of.with(connections) },
            Self::Adopt { connection: Some(connection), user_gone: Some(user), .. } => {
                Command::AcceptUserGone { connection, user }
            }
            Self::Adopt { connection, token_id, retire, place, all_from, user_gone: _ } => {
                match (connection, token_id, all_from) {
                    (Some(connection), Some(token_id), _) if retire => {
                        Command::Retire { connection, token_id }
                    }
                    (Some(connection), Some(token_id), _) => {
                        Command::Adopt { connection, token_id }
                    }
                    (Some(connection), None, _) => {
                        Command::AcceptPlace { connection, place: place.unwrap_or_default() }
                    }
                    // clap has seen to it that a state is there where no connection is.
                    (None, _, state) => Command::AdoptAll { state: state.unwrap_or_default() },
                }
            }
            Self::Import { tool, state } => {
                let tool = match tool {
                    ImportFrom::Terraform => Tool::Terraform,
                    ImportFrom::Pulumi => Tool::Pulumi,
                };
                Command::Import { tool, state }
            }
            Self::Revoke { connection, token_id, force } => {
                Command::Revoke { connection, token_id, force }
            }
            Self::Pause { connections, of, until, reason, all: _ } => {
                Command::Pause { of: of.with(connections), until, reason }
            }
            Self::Resume { connections, of, all: _ } => {
                Command::Resume { of: of.with(connections) }
            }
            Self::Handoff { connections, of, done: _, client, token_id } => {
                Command::Handoff { of: of.with(connections), client, token_id }
            }
            Self::State { command } => Command::State(match command {
                StateSub::Copy { from, to } => StateCommand::Copy { from, to },
                StateSub::Reopen { ledger } => StateCommand::Reopen { ledger },
            }),
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
