//! The subcommands in clap's terms, and their way into a [`Command`].

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{ArgGroup, Subcommand};

use super::{
    Artefact, Command, Condition, List, Named, Rate, Sandbox, Selection, Sort, StateCommand, Until,
    examples,
    shot::{RotateArgs, ShotArgs},
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
    /// Only connections whose names match this pattern: * is anything, ? one character
    #[arg(long = "match", value_name = "GLOB", value_parser = pattern)]
    pub(super) matching: Option<Pattern>,
    /// Only connections in this state: due, failing, refused, waiting, paused, attention, unmanaged,
    /// drift, expired, expiring<30d; given several times, all must hold
    #[arg(long = "where", value_name = "STATE", value_parser = condition)]
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
    /// Run the daemon in the foreground (also without any command)
    ///
    /// SIGHUP reloads the configuration; one with errors changes nothing. SIGTERM ends the daemon once the
    /// step in hand is finished or parked.
    #[command(after_help = examples::RUN)]
    Run,
    /// Rotate connections now, then exit
    ///
    /// First does what is due. The overlap still holds: the previous token is revoked later by the daemon
    /// or `scimitar once`, or by this call with --wait.
    #[command(
        after_help = examples::ROTATE,
        group = whose().args(["connections", "provider", "matching", "conditions", "all"])
    )]
    Rotate {
        /// Which connections: names, or patterns with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named, conflicts_with = "all")]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        #[command(flatten)]
        rotate: RotateArgs,
        #[command(flatten)]
        shot: ShotArgs,
    },
    /// Do whatever is due (rotate, deliver, heal, revoke), then exit
    #[command(after_help = examples::ONCE)]
    Once {
        /// Which connections: names, or patterns with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        #[command(flatten)]
        shot: ShotArgs,
    },
    /// Validate the configuration and list all errors
    #[command(after_help = examples::CHECK)]
    Check {
        /// Also log in to every provider and sink and test each permission that a rotation needs
        #[arg(long)]
        online: bool,
    },
    /// Print what will happen and when; changes nothing
    #[command(after_help = examples::PLAN)]
    Plan {
        /// Which connections: names, or patterns with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// How far to look ahead
        #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = duration)]
        until: Duration,
    },
    /// Show the state of each connection, worst first
    #[command(after_help = examples::STATUS)]
    Status {
        /// Which connections: names, or patterns with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// In which order [default: worst first]
        #[arg(long, value_enum, value_name = "ORDER")]
        sort: Option<Sort>,
        /// Every connection, even if there are more than the terminal can show at once
        #[arg(long)]
        all: bool,
        /// Exit non-zero if any connection has failed (1) or needs an operator (3)
        #[arg(long)]
        exit_code: bool,
        /// Keep running: redraw on a terminal, print what changes when piped
        #[arg(short, long, conflicts_with = "exit_code")]
        watch: bool,
    },
    /// Explain in sentences why a connection waits, what for, and until when
    #[command(
        after_help = examples::EXPLAIN,
        group = whose().args(["connections", "provider", "matching", "conditions"])
    )]
    Explain {
        /// Which connections: names, or patterns with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
    },
    /// Print the last changes of a connection, and who made them
    ///
    /// Oldest first: rotations, deliveries, revocations, failures, refusals, drift, pauses, adoptions. Checks
    /// that found nothing to do are counted in one line.
    #[command(
        after_help = examples::HISTORY,
        group = whose().args(["connections", "provider", "matching", "conditions"])
    )]
    History {
        /// Which connections: names, or patterns with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
    },
    /// Print the names of connections, for completions
    #[command(name = "__names", hide = true)]
    Names,
    /// List all known tokens, including watched ones (offline)
    #[command(after_help = examples::TOKENS)]
    Tokens {
        /// Which connections: names, or patterns with * and ? [default: all]
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
    },
    /// List the connections that [[discover]] finds at a provider
    #[command(after_help = examples::DISCOVER)]
    Discover {
        /// At which provider [default: all]
        #[arg(value_parser = provider, required_if_eq("accept", "true"))]
        provider: Option<ProviderName>,
        /// Accept the list even if many connections are missing from it
        #[arg(long)]
        accept: bool,
    },
    /// Take over a token Scimitar did not create, or a sink location that was moved
    ///
    /// Or confirm that a person has deleted a throw-away user that `verify = "write"` left behind.
    #[command(after_help = examples::ADOPT, group = ArgGroup::new("what").args(["token_id", "place", "user_gone", "all_from"]).required(true))]
    Adopt {
        /// Which connection
        #[arg(value_parser = name, required_unless_present = "all_from")]
        connection: Option<ConnectionName>,
        /// The token's id: becomes the current token; a sink has to hold it
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: Option<TokenId>,
        /// Retire the token by the policy instead; no sink may hold it
        #[arg(long, conflicts_with_all = ["place", "user_gone", "all_from"])]
        retire: bool,
        /// A location or a sink's name: deliver there even though its folder, account or cluster has
        /// changed
        #[arg(long, value_name = "PLACE")]
        place: Option<String>,
        /// A throw-away user (verify = "write") that a person has deleted: stop looking for it
        #[arg(long, value_name = "USER", value_parser = probe_user)]
        user_gone: Option<ProbeUserName>,
        /// A Terraform or Pulumi state: take over each token in it, as the current one where a sink holds
        /// it, otherwise to be retired
        #[arg(long, value_name = "STATE", conflicts_with = "connection")]
        all_from: Option<PathBuf>,
    },
    /// Print configuration that takes over SCIM tokens from Terraform or Pulumi
    ///
    /// Includes the next steps as comments. Only reads the state; changes nothing, copies no token value
    #[command(after_help = examples::IMPORT)]
    Import {
        /// Which tool made the state
        #[arg(value_enum)]
        tool: ImportFrom,
        /// The state: a .tfstate file, or the output of `terraform show -json` or `pulumi stack export`
        #[arg(value_name = "STATE")]
        state: PathBuf,
    },
    /// Move the ledger to another file or database
    #[command(after_help = examples::STATE)]
    State {
        #[command(subcommand)]
        command: StateSub,
    },
    /// Revoke one token; refuses to revoke the token in use
    #[command(after_help = examples::REVOKE)]
    Revoke {
        /// Which connection
        #[arg(value_parser = name)]
        connection: ConnectionName,
        /// The token's id
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: TokenId,
        /// Revoke it even if it is the token in use; the connection is then due at once
        #[arg(long)]
        force: bool,
    },
    /// Pause connections: rotate and revoke nothing until the given time
    ///
    /// A token that would expire is still rotated, and so is a compromised one.
    #[command(after_help = examples::PAUSE, group = whose().args(["connections", "provider", "matching", "conditions", "all"]))]
    Pause {
        /// Which connections: names, or patterns with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// All connections
        #[arg(long, conflicts_with = "connections")]
        all: bool,
        /// When the pause ends: a time (2026-12-24T06:00:00Z), a date (00:00 UTC) or a duration (8h)
        #[arg(long, value_name = "WHEN", value_parser = until)]
        until: Until,
        /// Why, for people who find it paused
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
    },
    /// End a pause now
    #[command(after_help = examples::RESUME, group = whose().args(["connections", "provider", "matching", "conditions", "all"]))]
    Resume {
        /// Which connections: names, or patterns with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// All connections
        #[arg(long, conflicts_with = "connections")]
        all: bool,
    },
    /// Confirm that a person has put the new token into the client that uses it
    ///
    /// `scimitar explain CONNECTION` says what to put where. Once confirmed, and once the provider has seen
    /// the new token in use, the previous token is revoked by the policy.
    #[command(after_help = examples::HANDOFF, group = whose().args(["connections", "provider", "matching", "conditions"]))]
    Handoff {
        /// Which connections: names, or patterns with * and ?
        #[arg(value_name = "CONNECTION", value_parser = named)]
        connections: Vec<Named>,
        #[command(flatten)]
        of: SelectArgs,
        /// The client has the token and uses it
        #[arg(long, required = true)]
        done: bool,
        /// Which client, where a connection has several: as in its `deliver_to`, or the sink's name
        #[arg(long, value_name = "CLIENT")]
        client: Option<String>,
        /// Which token it has; needed if several tokens were issued for it and none is confirmed yet
        #[arg(long, value_name = "ID", value_parser = token_id)]
        token_id: Option<TokenId>,
    },
    /// Print the minimum permissions required (offline)
    #[command(after_help = examples::PERMISSIONS)]
    Permissions,
    /// Exit 0 if the daemon on this machine is ready; needs [server]
    #[command(after_help = examples::HEALTHCHECK)]
    Healthcheck,
    /// Work with the audit log
    #[command(after_help = examples::AUDIT)]
    Audit {
        #[command(subcommand)]
        command: AuditSub,
    },
    /// Serve an Auth0-compatible tenant to rehearse against
    #[command(after_help = examples::SANDBOX)]
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
        /// The rate limit, in requests per second [default: none]
        #[arg(long, value_name = "N")]
        rate: Option<NonZeroU32>,
        /// How many requests may come at once [default: the rate]
        #[arg(long, value_name = "N", requires = "rate")]
        burst: Option<NonZeroU32>,
    },
    /// Print the JSON Schema of the configuration, for editors
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Generate shell completions
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff
    #[command(after_help = examples::MAN)]
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
    /// Move a ledger with everything in it
    ///
    /// A ledger is named by its url, as in [state], or by a configuration file (.toml) whose [state] is
    /// used. With a url, the password is taken from $PGPASSWORD. Stop everything that uses the old one
    /// first; it cannot be used afterwards. If interrupted, run the same command again to continue
    #[command(after_help = examples::STATE_COPY)]
    Copy {
        /// The old one
        from: String,
        /// The new one; must be empty
        to: String,
    },
    /// Reopen a ledger that was moved, if the one it was moved to is lost for good
    #[command(after_help = examples::STATE_REOPEN)]
    Reopen {
        /// The one that was moved
        ledger: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditSub {
    /// Verify that no line was changed, removed or added (offline, needs no configuration)
    #[command(after_help = examples::VERIFY)]
    Verify {
        /// The files, oldest first; - is standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// The hash of a line that must be present, as logged in audit_head
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
            Self::Rotate { connections, of, rotate, shot } => {
                rotate.rotate(of.with(connections), &shot)
            }
            Self::Once { connections, of, shot } => shot.once(of.with(connections)),
            Self::Status { connections, of, sort, all, exit_code, watch } => {
                let list = List { sort, all };
                Command::Status { of: of.with(connections), list, exit_code, watch }
            }
            Self::History { connections, of } => Command::History { of: of.with(connections) },
            Self::Names => Command::Names,
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
