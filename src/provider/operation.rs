//! What every provider's calls have in common: what they are for, and what a lost answer means.

use crate::{
    error::{Class, Code, Fault},
    http::{Reply, Sent, Unanswered},
    token::{Listed, Minted, Scope, TokenName},
};

/// A call to a provider, and the words for it.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    /// As in "could not …".
    pub(super) words: String,
    /// Where it is sent to.
    pub(super) host: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Create,
    Revoke,
    /// Which connections have SCIM.
    Discover,
    /// Which connections there are.
    Connections,
    /// What a connection's SCIM configuration is.
    ReadConfig,
    CreateConfig,
    ReplaceConfig,
}

impl Kind {
    /// The metrics label.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Create => "create",
            Self::Revoke => "revoke",
            Self::Discover => "discover",
            Self::Connections => "connections",
            Self::ReadConfig => "read_config",
            Self::CreateConfig => "create_config",
            Self::ReplaceConfig => "replace_config",
        }
    }

    pub(super) fn changes_something(self) -> bool {
        match self {
            Self::List | Self::Discover | Self::Connections | Self::ReadConfig => false,
            Self::Create | Self::Revoke | Self::CreateConfig | Self::ReplaceConfig => true,
        }
    }

    /// What a failure is that says nothing about whether the call took effect.
    pub(super) fn class_of_unknown(self) -> Class {
        if self.changes_something() { Class::Ambiguous } else { Class::Transient }
    }
}

impl Operation {
    pub(super) fn fault(&self, class: Class, code: Code, detail: String) -> Fault {
        Fault::new(self.words.clone(), class, code, detail)
    }

    /// The fault of a request that got no answer.
    pub(super) fn unanswered(&self, unanswered: Unanswered) -> Fault {
        let class = match unanswered.sent {
            Sent::No if unanswered.code == Code::Invalid => Class::Terminal,
            Sent::No => Class::Transient,
            Sent::Perhaps => self.kind.class_of_unknown(),
        };
        self.fault(class, unanswered.code, unanswered.detail)
    }

    /// The fault of an answer that came as a success but cannot be read as one.
    pub(super) fn unreadable(&self, reply: &Reply, why: &str) -> Fault {
        let detail = format!("{} answered {}, but {why}", self.host, reply.status);
        self.fault(self.kind.class_of_unknown(), Code::Unreadable, detail)
    }

    /// The token that was made, unless what would be stored and shown of it holds its value.
    pub(super) fn made(&self, reply: &Reply, made: Minted) -> Result<Minted, Fault> {
        let Listed { id, scopes, name, .. } = &made.token;
        let scopes = scopes.iter().map(Scope::as_str);
        let name = name.iter().map(TokenName::as_str);
        let leaks = scopes.chain(name).chain([id.as_str()]).any(|text| made.value.is_in(text));
        if leaks {
            return Err(self.unreadable(reply, "the new token's id contains its value"));
        }
        Ok(made)
    }

    /// What a status other than a success means, whatever the service.
    pub(super) fn meaning(&self, status: u16) -> (Class, Code) {
        let unknown = self.kind.class_of_unknown();
        match status {
            401 => (Class::Terminal, Code::Unauthorized),
            402 | 403 => (Class::Terminal, Code::Forbidden),
            404 => (Class::Terminal, Code::NoConnection),
            408 => (unknown, Code::Timeout),
            409 if self.kind == Kind::Create => (Class::Terminal, Code::NoSlot),
            409 => (Class::Transient, Code::Unavailable),
            429 => (Class::Transient, Code::Throttled),
            400..=499 => (Class::Terminal, Code::Invalid),
            500..=599 => (unknown, Code::Unavailable),
            _ => (unknown, Code::Unreadable),
        }
    }

    /// The fault of an answer other than a success: what was answered, and the way out.
    pub(super) fn failed(
        &self,
        reply: &Reply,
        answered: String,
        (class, code): (Class, Code),
        way_out: &str,
    ) -> Fault {
        let detail = if way_out.is_empty() {
            answered
        } else {
            format!("{}; {way_out}", answered.trim_end_matches('.'))
        };
        self.fault(class, code, detail).retry_after(reply.retry_after())
    }

    /// The fault of a redirect, which Scimitar does not follow.
    pub(super) fn redirected(&self, reply: &Reply) -> ((Class, Code), String) {
        let target = reply.redirect().unwrap_or("an unknown address");
        let way_out = format!(
            "a redirect to {target}, which Scimitar does not follow: credentials are sent only to \
             the configured host; check the addresses in the provider's configuration"
        );
        let class = if self.kind.changes_something() { Class::Ambiguous } else { Class::Terminal };
        ((class, Code::Invalid), way_out)
    }
}

/// What stands for an HTTP status in metrics where there was none.
pub(super) fn code_word(code: Code) -> &'static str {
    match code {
        Code::Unreachable => "unreachable",
        Code::Timeout => "timeout",
        Code::Invalid => "not_sent",
        Code::Unavailable
        | Code::NoSlot
        | Code::Unauthorized
        | Code::Forbidden
        | Code::NoConnection
        | Code::ScimNotConfigured
        | Code::ScimUnsupported
        | Code::Throttled
        | Code::Unreadable
        | Code::Changed
        | Code::ForeignOwner
        | Code::PlaceChanged
        | Code::ForeignContent
        | Code::Io
        | Code::ClaimLost => "lost",
    }
}
