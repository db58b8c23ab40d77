//! Templates in the requests of a declared issuer: `{{ name }}` in texts, paths and the text leaves of
//! a JSON body. A body is composed as data, never as text, so that no value can change its shape.

use std::{fmt, time::Duration};

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Map, Value as Json};

use crate::{
    clock::{ProviderTime, Told},
    token::Scopes,
};

/// What a template can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Var {
    Connection,
    TokenId,
    Name,
    LifeSeconds,
    LifeMinutes,
    ExpiresRfc3339,
    ExpiresUnix,
    ExpiresUnixMs,
    Scopes,
}

/// How each of them is written.
const WORDS: [(&str, Var); 9] = [
    ("connection.id", Var::Connection),
    ("token_id", Var::TokenId),
    ("name", Var::Name),
    ("lifetime.seconds", Var::LifeSeconds),
    ("lifetime.minutes", Var::LifeMinutes),
    ("expires.rfc3339", Var::ExpiresRfc3339),
    ("expires.unix", Var::ExpiresUnix),
    ("expires.unix_ms", Var::ExpiresUnixMs),
    ("scopes", Var::Scopes),
];

impl Var {
    /// What a list of tokens is asked with.
    pub(super) const OF_LIST: &[Self] = &[Self::Connection];
    /// What a token is deleted with.
    pub(super) const OF_DELETE: &[Self] = &[Self::Connection, Self::TokenId];
    /// What a token is made with.
    pub(super) const OF_CREATE: &[Self] = &[
        Self::Connection,
        Self::Name,
        Self::LifeSeconds,
        Self::LifeMinutes,
        Self::ExpiresRfc3339,
        Self::ExpiresUnix,
        Self::ExpiresUnixMs,
        Self::Scopes,
    ];

    fn word(self) -> &'static str {
        WORDS.iter().find(|(_, var)| *var == self).map_or("", |(word, _)| word)
    }

    /// Whether it says how long a token is to live.
    pub(super) fn is_life(self) -> bool {
        matches!(self, Self::LifeSeconds | Self::LifeMinutes) || self.is_moment()
    }

    /// Whether it says when a token is to expire.
    pub(super) fn is_moment(self) -> bool {
        matches!(self, Self::ExpiresRfc3339 | Self::ExpiresUnix | Self::ExpiresUnixMs)
    }
}

/// What they stand for in one request.
pub(super) struct Filling<'a> {
    pub(super) connection: &'a str,
    pub(super) token_id: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    pub(super) life: Option<Duration>,
    pub(super) scopes: Option<&'a Scopes>,
    pub(super) now: ProviderTime,
}

impl Filling<'_> {
    fn value(&self, var: Var) -> Option<Json> {
        let expires =
            || Some(self.now + self.life.and_then(|life| TimeDelta::from_std(life).ok())?);
        match var {
            Var::Connection => Some(self.connection.into()),
            Var::TokenId => self.token_id.map(Json::from),
            Var::Name => self.name.map(Json::from),
            Var::LifeSeconds => self.life.map(|life| life.as_secs().into()),
            // Never longer than asked for.
            Var::LifeMinutes => self.life.map(|life| (life.as_secs() / 60).into()),
            Var::ExpiresRfc3339 => {
                expires().map(|at| at.as_told().to_rfc3339_opts(SecondsFormat::Millis, true).into())
            }
            Var::ExpiresUnix => expires().map(|at| at.as_told().timestamp().into()),
            Var::ExpiresUnixMs => expires().map(|at| at.as_told().timestamp_millis().into()),
            Var::Scopes => self
                .scopes
                .filter(|scopes| !scopes.is_empty())
                .map(|scopes| scopes.iter().map(|scope| Json::from(scope.as_str())).collect()),
        }
    }

    /// The same as text; scopes are separated by spaces.
    fn text(&self, var: Var) -> Option<String> {
        match self.value(var)? {
            Json::String(text) => Some(text),
            Json::Array(items) => {
                Some(items.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" "))
            }
            other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_)) => {
                Some(other.to_string())
            }
        }
    }
}

/// A text with templates in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Plain(String),
    Var(Var),
}

impl Text {
    /// Reads one that may name `allowed`.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(super) fn parse(text: &str, allowed: &[Var]) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (word, behind) = after.split_once("}}").ok_or("a `{{` has no `}}`")?;
            let word = word.trim();
            let var = WORDS.iter().find(|(known, _)| *known == word).map(|(_, var)| *var);
            let var = var.filter(|var| allowed.contains(var)).ok_or_else(|| {
                let known: Vec<_> = allowed.iter().map(|var| var.word()).collect();
                format!("there is no `{word}` here; the names are {}", known.join(", "))
            })?;
            if !before.is_empty() {
                pieces.push(Piece::Plain(before.to_owned()));
            }
            pieces.push(Piece::Var(var));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Plain(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// What it names.
    pub(super) fn vars(&self) -> impl Iterator<Item = Var> + '_ {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Plain(_) => None,
            Piece::Var(var) => Some(*var),
        })
    }

    /// The text.
    ///
    /// # Errors
    /// What it names and there is not.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Result<String, &'static str> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Plain(text) => Ok(text.clone()),
                Piece::Var(var) => filling.text(*var).ok_or_else(|| var.word()),
            })
            .collect()
    }

    /// The text as JSON: what is nothing but one name stands for its value, a number or a list
    /// where it is one. `None`: there is no such value.
    fn json(&self, filling: &Filling<'_>) -> Result<Option<Json>, &'static str> {
        match self.0.as_slice() {
            [Piece::Var(var)] => Ok(filling.value(*var)),
            _ => self.fill(filling).map(|text| Some(Json::String(text))),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Plain(text) => f.write_str(text),
            Piece::Var(var) => write!(f, "{{{{ {} }}}}", var.word()),
        })
    }
}

/// A path whose segments are templates: what they stand for cannot reach another path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) segments: Vec<Text>,
    /// Whether it ends with a slash.
    pub(super) slash: bool,
}

impl Path {
    /// Reads one.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(super) fn parse(text: &str, allowed: &[Var]) -> Result<Self, String> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let slash = inner.ends_with('/');
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.contains(['?', '#']) {
            return Err("a path must not contain `?` or `#`: use `query`".to_owned());
        }
        let segments: Result<Vec<_>, _> =
            inner.split('/').map(|segment| Text::parse(segment, allowed)).collect();
        let segments = segments?;
        if segments.iter().any(|segment| segment.0.is_empty()) {
            return Err("a part of the path is empty".to_owned());
        }
        Ok(Self { segments, slash })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, segment) in self.segments.iter().enumerate() {
            write!(f, "{}{segment}", if nth == 0 { "" } else { "/" })?;
        }
        f.write_str(if self.slash { "/" } else { "" })
    }
}

/// A JSON body with templates in its texts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Plain(Json),
    Text(Text),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Body {
    /// Reads one.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub(super) fn parse(json: Json, allowed: &[Var]) -> Result<Self, String> {
        Ok(match json {
            Json::String(text) => Self::Text(Text::parse(&text, allowed)?),
            Json::Array(items) => Self::List(
                items
                    .into_iter()
                    .map(|item| Self::parse(item, allowed))
                    .collect::<Result<_, _>>()?,
            ),
            Json::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(key, member)| Ok((key, Self::parse(member, allowed)?)))
                    .collect::<Result<_, String>>()?,
            ),
            plain @ (Json::Null | Json::Bool(_) | Json::Number(_)) => Self::Plain(plain),
        })
    }

    /// What it names.
    pub(super) fn vars(&self) -> Vec<Var> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(text) => text.vars().collect(),
            Self::List(items) => items.iter().flat_map(Self::vars).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, member)| member.vars()).collect(),
        }
    }

    /// The body. What stands for nothing is left out of it.
    ///
    /// # Errors
    /// What a text names and there is not.
    pub(super) fn fill(&self, filling: &Filling<'_>) -> Result<Option<Json>, &'static str> {
        Ok(match self {
            Self::Plain(plain) => Some(plain.clone()),
            Self::Text(text) => text.json(filling)?,
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(item.fill(filling)?);
                }
                Some(Json::Array(list))
            }
            Self::Object(members) => {
                let mut object = Map::new();
                for (key, member) in members {
                    if let Some(value) = member.fill(filling)? {
                        object.insert(key.clone(), value);
                    }
                }
                Some(Json::Object(object))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filling(life: Option<u64>) -> Filling<'static> {
        Filling {
            connection: "con\"}{{ name }}",
            token_id: None,
            name: Some("a \"name\""),
            life: life.map(Duration::from_secs),
            scopes: None,
            now: ProviderTime::parse("2026-11-22T04:00:00.5Z").unwrap(),
        }
    }

    fn filled(body: Json, life: Option<u64>) -> Json {
        Body::parse(body, Var::OF_CREATE).unwrap().fill(&filling(life)).unwrap().unwrap()
    }

    #[test]
    fn values_stay_values_whatever_they_hold() {
        let body = json!({
            "id": "{{ connection.id }}",
            "label": "x {{name}} y",
            "list": ["{{ name }}", 7, null, true],
            "minutes": "{{ lifetime.minutes }}",
            "text": "{{ lifetime.seconds }} s",
            "until": "{{ expires.rfc3339 }}",
            "unix": "{{ expires.unix }}",
            "scopes": "{{ scopes }}",
        });
        assert_eq!(
            filled(body, Some(150)),
            json!({
                "id": "con\"}{{ name }}",
                "label": "x a \"name\" y",
                "list": ["a \"name\"", 7, null, true],
                "minutes": 2,
                "text": "150 s",
                "until": "2026-11-22T04:02:30.500Z",
                "unix": 1_795_320_150,
            })
        );
    }

    #[test]
    fn only_a_whole_member_can_be_left_out_for_want_of_a_value() {
        let body = json!({ "minutes": "{{ lifetime.minutes }}", "name": "{{ name }}" });
        assert_eq!(filled(body, None), json!({ "name": "a \"name\"" }));
        let text = Body::parse(json!("{{ lifetime.seconds }} s"), Var::OF_CREATE).unwrap();
        assert_eq!(text.fill(&filling(None)).unwrap_err(), "lifetime.seconds");
    }

    #[test]
    fn what_there_is_not_cannot_be_named() {
        for (text, words) in [
            ("{{ token_id }}", "there is no `token_id` here"),
            ("{{ nonsense }}", "there is no `nonsense` here"),
            ("{{ name", "a `{{` has no `}}`"),
        ] {
            let refused = Text::parse(text, Var::OF_CREATE).unwrap_err();
            assert!(refused.starts_with(words), "{refused}");
        }
        for path in ["a//b", "", "/", "a?b", "a#b"] {
            assert!(Path::parse(path, Var::OF_LIST).is_err(), "{path}");
        }
        let path = Path::parse("/a/{{ connection.id }}/b/", Var::OF_LIST).unwrap();
        assert_eq!((path.segments.len(), path.slash), (3, true));
        assert_eq!(path.to_string(), "a/{{ connection.id }}/b/");
    }
}
