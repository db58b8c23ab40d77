//! What `rotate` and `--rotate-now`, `once` and `--once` share: the same flags, and the same commands.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    Bulk, Command, OneShot, Selection,
    values::{duration, time},
};
use crate::clock::Timestamp;

/// How long a one-shot call tries by default.
const TIMEOUT: Duration = Duration::from_secs(120);

/// How long a one-shot stays, and whether it changes anything.
#[derive(Debug, clap::Args)]
pub(super) struct ShotArgs {
    /// Stay until the previous tokens are revoked
    #[arg(long)]
    pub(super) wait: bool,

    /// How long to try [default: 2m; with --wait: no limit]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) timeout: Option<Duration>,

    /// Print what would be done; change nothing
    #[arg(long, conflicts_with = "wait")]
    pub(super) dry_run: bool,
}

/// Which rotation is asked for, and how a call over many connections is held back.
#[derive(Debug, clap::Args)]
pub(super) struct RotateArgs {
    /// All connections
    #[arg(long)]
    pub(super) all: bool,

    /// The current and previous tokens have leaked: replace, deliver and revoke at once
    ///
    /// Skips overlap, evidence of use and windows. More than one connection needs names, --provider,
    /// --match or --all; on a terminal you are then asked to confirm.
    #[arg(long)]
    pub(super) compromised: bool,

    /// Rotate this many connections, then the next ones [default: all]
    #[arg(long, value_name = "N")]
    pub(super) batch: Option<NonZeroUsize>,

    /// Start no further connection after this many failures [default: when each of the first 3 fails]
    #[arg(long, value_name = "N")]
    pub(super) stop_after: Option<NonZeroUsize>,

    /// Skip connections rotated after this time: continues a call that ended early
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<Timestamp>,
}

impl ShotArgs {
    fn shot(&self) -> OneShot {
        OneShot {
            wait: self.wait,
            timeout: self.timeout.or_else(|| (!self.wait).then_some(TIMEOUT)),
            dry_run: self.dry_run,
        }
    }

    /// `once`, `--once`.
    pub(super) fn once(&self, of: Selection) -> Command {
        Command::Once { of, shot: self.shot() }
    }
}

impl RotateArgs {
    /// `rotate`, `--rotate-now`.
    pub(super) fn rotate(&self, of: Selection, shot: &ShotArgs) -> Command {
        let bulk = Bulk {
            batch: self.batch,
            stop_after: self.stop_after,
            since: self.since,
            each: (shot.timeout.is_none() && !shot.wait).then_some(TIMEOUT),
        };
        let (all, compromised) = (self.all, self.compromised);
        Command::RotateNow { of, all, compromised, bulk, shot: shot.shot() }
    }
}
