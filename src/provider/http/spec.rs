//! An issuer as its tables declare it.

use std::{collections::BTreeSet, time::Duration};

use reqwest::{Method, Url};

use super::template::{Body, Path, Text, Var};
use crate::{rotation::policy::Capabilities, token::Scope};

/// Expiry moments are computed here and judged there a little later: lives that are asked for by
/// their end are longer than the shortest one by this much.
const ON_THE_WAY: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Its requests, its answers, and what its tokens can be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    pub(super) base_url: Url,
    /// The type of the bodies that are sent.
    pub(super) media_type: &'static str,
    pub(super) scim: Scim,
    /// How many live tokens a connection may have.
    pub(super) cap: Option<u32>,
    pub(super) shortest: Duration,
    pub(super) longest: Option<Duration>,
    /// Lives are whole multiples of this; `None`: of what a create sends them in.
    pub(super) step: Option<Duration>,
    /// Tokens expire also where no life is asked for.
    pub(super) always_expires: bool,
    pub(super) scopes: BTreeSet<Scope>,
    pub(super) members: Members,
    pub(super) list: ListCall,
    pub(super) create: CreateCall,
    pub(super) delete: CallSpec,
}

/// The SCIM endpoint: a fixed host, and a path with templates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scim {
    pub(super) origin: Url,
    pub(super) path: Path,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CallSpec {
    pub(super) method: Method,
    pub(super) path: Path,
    pub(super) query: Vec<(String, Text)>,
    /// The statuses that say that it was done.
    pub(super) success: Vec<u16>,
}

/// The list, and how its pages follow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ListCall {
    pub(super) call: CallSpec,
    /// Where the tokens are.
    pub(super) items: Pointers,
    pub(super) paging: Paging,
    /// Which of them are meant: each has these texts in these places.
    pub(super) only: Vec<(Pointers, String)>,
}

/// The create, and where its answer has what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CreateCall {
    pub(super) call: CallSpec,
    pub(super) body: Option<Body>,
    /// Where the token is, as lists show it.
    pub(super) item: Pointers,
    /// Where its value is.
    pub(super) value: Pointers,
}

/// JSON pointers; the first that finds something counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pointers(pub(super) Vec<String>);

/// Where in a token everything is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Members {
    pub(super) id: Pointers,
    pub(super) created: Pointers,
    pub(super) name: Option<Pointers>,
    pub(super) expires: Option<Pointers>,
    pub(super) last_used: Option<Pointers>,
    pub(super) scopes: Option<Pointers>,
    pub(super) times: Times,
}

/// How moments are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Rfc3339,
    Unix,
    UnixMs,
}

/// How the pages of a list follow each other.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Paging {
    /// There is one.
    None,
    /// Each has a link to the next.
    Link { next: Pointers },
    /// Each has a mark for the next, which goes into a parameter.
    Mark { next: Pointers, parameter: String },
    /// They have numbers, which go into a parameter.
    Number { parameter: String, first: u32, total: Option<Pointers> },
}

impl CallSpec {
    /// What its path and its query name.
    pub(super) fn vars(&self) -> impl Iterator<Item = Var> + '_ {
        let query = self.query.iter().flat_map(|(_, text)| text.vars());
        self.path.segments.iter().flat_map(Text::vars).chain(query)
    }
}

impl Spec {
    /// What a create names.
    pub(super) fn asks(&self) -> Vec<Var> {
        let body = self.create.body.iter().flat_map(Body::vars);
        body.chain(self.create.call.vars()).collect()
    }

    /// Whether a list is that of one connection of several.
    pub(super) fn lists_a_connection(&self) -> bool {
        self.list.call.vars().any(|var| var == Var::Connection)
    }

    /// Whether a delete reaches the tokens of other connections as well: their ids alone name them.
    pub(super) fn deletes_by_id_alone(&self) -> bool {
        self.lists_a_connection() && self.delete.vars().all(|var| var != Var::Connection)
    }

    pub(super) fn asks_name(&self) -> bool {
        self.asks().contains(&Var::Name)
    }

    pub(super) fn asks_scopes(&self) -> bool {
        self.asks().contains(&Var::Scopes)
    }

    /// The shortest life that can be asked for; `None`: none can.
    pub(super) fn shortest_life(&self) -> Option<Duration> {
        let asks = self.asks();
        let moment = asks.iter().any(|var| var.is_moment());
        let way = if moment { ON_THE_WAY } else { Duration::ZERO };
        asks.iter().any(|var| var.is_life()).then(|| self.shortest + way)
    }

    /// What a create sends lives in whole numbers of.
    pub(super) fn unit(&self) -> Duration {
        let minutes = self.asks().contains(&Var::LifeMinutes);
        if minutes { MINUTE } else { SECOND }
    }

    /// What lives are whole multiples of.
    pub(super) fn life_step(&self) -> Duration {
        self.step.unwrap_or_else(|| self.unit())
    }

    /// The decisions' view of it.
    pub(super) fn capabilities(&self) -> Capabilities {
        Capabilities {
            cap: self.cap,
            shortest_life: self.shortest_life(),
            life_step: self.life_step(),
            last_used: self.members.last_used.is_some(),
            scopes: self.asks_scopes(),
            user_scopes: None,
            read_scope: None,
            names: self.asks_name(),
            id_in_value: false,
            default_scopes: if self.asks_scopes() { self.scopes.clone() } else { BTreeSet::new() },
        }
    }

    /// Why a rotation would not be safe.
    pub(super) fn observe_only(&self) -> Option<&'static str> {
        let recognisable = self.asks_name() || self.members.expires.is_some();
        (!recognisable).then_some(
            "they have neither a name nor an expiry, so Scimitar could not recognise a token whose create \
             answer was lost",
        )
    }
}
