//! What a declared issuer's answers mean: where in their JSON everything is.

use serde_json::Value as Json;
use zeroize::Zeroize;

use super::spec::{Members, Paging, Pointers, Times};
use crate::{
    clock::{ProviderTime, Timestamp},
    error::{Code, Fault},
    http::{Reply, quote},
    provider::{operation::Operation, pages::Page},
    token::{Listed, Scope, Scopes, TokenId, TokenName, looks_like_a_value},
};

/// JSON that may hold a token's value: every text in it is wiped when it is dropped.
pub(super) struct Wiped(pub(super) Json);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(json: &mut Json) {
    match json {
        Json::String(text) => text.zeroize(),
        Json::Array(items) => items.iter_mut().for_each(wipe),
        Json::Object(members) => members.values_mut().for_each(wipe),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

impl Pointers {
    /// The first that finds something other than `null`.
    pub(super) fn find<'j>(&self, json: &'j Json) -> Option<&'j Json> {
        self.0.iter().filter_map(|pointer| json.pointer(pointer)).find(|found| !found.is_null())
    }

    /// Takes the text out that the first of them finds, without a copy.
    pub(super) fn take_text(&self, json: &mut Json) -> Option<String> {
        self.0.iter().find_map(|pointer| match json.pointer_mut(pointer)? {
            Json::String(text) if !text.is_empty() => Some(std::mem::take(text)),
            Json::String(_)
            | Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Array(_)
            | Json::Object(_) => None,
        })
    }

    /// Whether what holds the member is there, with or without the member.
    fn leads_somewhere(&self, json: &Json) -> bool {
        self.0.iter().any(|pointer| {
            let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
            json.pointer(parent).is_some_and(Json::is_object)
        })
    }
}

impl Times {
    /// A moment as it is written; `None`: it is none.
    fn read(self, json: &Json) -> Option<ProviderTime> {
        let number = || json.as_i64().or_else(|| json.as_str()?.trim().parse().ok());
        match self {
            Self::Rfc3339 => {
                let text = json.as_str()?.trim().replacen(' ', "T", 1);
                ProviderTime::parse(&text).or_else(|| ProviderTime::parse(&format!("{text}Z")))
            }
            Self::Unix => Timestamp::from_timestamp(number()?, 0).map(ProviderTime::told),
            Self::UnixMs => Timestamp::from_timestamp_millis(number()?).map(ProviderTime::told),
        }
    }

    /// A moment that may be absent: `null`, an empty text, 0, and the year 1 all say "never".
    fn optional(self, json: Option<&Json>) -> Option<Option<ProviderTime>> {
        let Some(json) = json else { return Some(None) };
        let says_never = json.as_str().is_some_and(|text| {
            let text = text.trim();
            text.is_empty() || text == "0" || text.starts_with("0001-01-01")
        });
        if json.is_null() || says_never || json.as_i64() == Some(0) {
            return Some(None);
        }
        self.read(json).map(Some)
    }
}

impl Members {
    /// The id of a token.
    pub(super) fn id(&self, item: &Json) -> Option<TokenId> {
        match self.id.find(item)? {
            Json::String(text) => TokenId::try_answered(text),
            Json::Number(number) => TokenId::try_answered(&number.to_string()),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// Whether it says when it was made.
    pub(super) fn has_created(&self, item: &Json) -> bool {
        self.created.find(item).is_some()
    }

    /// A token as a list shows it; `None` when its id or a time cannot be read.
    pub(super) fn listed(&self, item: &Json) -> Option<Listed> {
        let of = |pointers: &Option<Pointers>| pointers.as_ref().and_then(|it| it.find(item));
        Some(Listed {
            id: self.id(item)?,
            created_at: self.times.read(self.created.find(item)?)?,
            valid_until: self.times.optional(of(&self.expires))?,
            last_used_at: self.times.optional(of(&self.last_used))?,
            scopes: scopes(of(&self.scopes))?,
            // What could not be a name of ours says nothing here.
            name: of(&self.name)
                .and_then(Json::as_str)
                .filter(|name| !looks_like_a_value(name))
                .and_then(|name| TokenName::try_new(name).ok()),
        })
    }
}

/// A list of scopes, or one text with spaces between them.
fn scopes(json: Option<&Json>) -> Option<Scopes> {
    let words: Vec<&str> = match json {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::String(text)) => text.split_whitespace().collect(),
        Some(Json::Array(items)) => items.iter().map(Json::as_str).collect::<Option<_>>()?,
        Some(Json::Bool(_) | Json::Number(_) | Json::Object(_)) => return None,
    };
    let scopes = words.into_iter().map(|word| {
        let scope = Scope::try_new(word).ok()?;
        (!looks_like_a_value(word)).then_some(scope)
    });
    scopes.collect()
}

/// Where the next page of a list is.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Nowhere: this was the last one.
    Nowhere,
    /// At this link.
    Link(String),
    /// Behind this mark.
    Mark(String),
    /// It is the next number.
    Number,
}

impl Paging {
    /// Where the next page is; `None`: the answer does not say it as declared.
    pub(super) fn next(&self, json: &Json) -> Option<Next> {
        let (pointers, next): (_, fn(String) -> Next) = match self {
            Self::None => return Some(Next::Nowhere),
            Self::Number { .. } => return Some(Next::Number),
            Self::Link { next } => (next, Next::Link),
            Self::Mark { next, .. } => (next, Next::Mark),
        };
        match pointers.find(json) {
            // A list would seem complete if the place were declared wrong.
            None => pointers.leads_somewhere(json).then_some(Next::Nowhere),
            Some(Json::String(text)) if text.is_empty() => Some(Next::Nowhere),
            Some(Json::String(text)) => Some(next(text.clone())),
            Some(Json::Number(number)) => Some(next(number.to_string())),
            Some(Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_)) => None,
        }
    }

    /// How many tokens there are in all, if it says.
    fn total(&self, json: &Json) -> Option<usize> {
        let Self::Number { total: Some(total), .. } = self else { return None };
        total.find(json)?.as_u64().and_then(|total| usize::try_from(total).ok())
    }
}

impl Operation {
    /// The fault of a declared issuer's answer other than a success.
    pub(super) fn issuer_refused(&self, reply: &Reply, secrets: &[&str]) -> Fault {
        let answered = format!("{} answered {}{}", self.host, reply.status, said(reply, secrets));
        let usual = self.meaning(reply.status);
        let (meaning, way_out) = match reply.status {
            300..=399 => self.redirected(reply),
            401 => (usual, "the credentials in `auth` are rejected".to_owned()),
            402 | 403 => {
                let way_out = "the credentials in `auth` need the permissions that `scimitar \
                               permissions` prints";
                (usual, way_out.to_owned())
            }
            404 => {
                let way_out = "services answer this both for what does not exist and for what is not \
                               permitted: check base_url, the paths and connection_id";
                (usual, way_out.to_owned())
            }
            _ if usual.1 == Code::NoSlot => {
                (usual, "no further token can be created: revoke one first".to_owned())
            }
            _ => (usual, String::new()),
        };
        self.failed(reply, answered, meaning, &way_out)
    }

    /// One page of a list, and where the next one is.
    pub(super) fn issuer_page(
        &self,
        reply: &Reply,
        members: &Members,
        items: &Pointers,
        paging: &Paging,
        kept: impl Fn(&Json) -> bool,
    ) -> Result<(Page, Vec<TokenId>, Next), Fault> {
        let json: Json = reply.json().map_err(|why| self.unreadable(reply, &why))?;
        let list = items
            .find(&json)
            .and_then(Json::as_array)
            .ok_or_else(|| self.unreadable(reply, "there is no list at `list.items`"))?;
        let (mut tokens, mut others) = (Vec::with_capacity(list.len()), Vec::new());
        for (index, item) in list.iter().enumerate() {
            let token = members.listed(item).ok_or_else(|| {
                let why = format!("token {} of its list has no readable id or times", index + 1);
                self.unreadable(reply, &why)
            })?;
            if !kept(item) {
                others.push(token.id.clone());
            }
            tokens.push(token);
        }
        let next = paging
            .next(&json)
            .ok_or_else(|| self.unreadable(reply, "the next page cannot be found with `paging`"))?;
        let page = Page {
            tokens,
            total: paging.total(&json),
            is_last: (next != Next::Number).then_some(next == Next::Nowhere),
            provider_time: reply.date(),
        };
        Ok((page, others, next))
    }
}

/// What an answer says of itself, where services usually say it.
fn said(reply: &Reply, secrets: &[&str]) -> String {
    const PLACES: [&str; 9] = [
        "/message",
        "/errors/0/detail",
        "/errors/0/message",
        "/errors/0/title",
        "/errors/0",
        "/error/message",
        "/error_description",
        "/error",
        "/detail",
    ];
    let json: Json = reply.json().unwrap_or_default();
    let words = PLACES.iter().find_map(|place| json.pointer(place)?.as_str());
    words.map_or_else(String::new, |words| format!(": {}", quote(words, secrets)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::rfc3339;

    fn pointers(of: &[&str]) -> Pointers {
        Pointers(of.iter().map(|&it| it.to_owned()).collect())
    }

    #[test]
    fn moments_are_read_as_declared_and_never_is_never() {
        let at = "2026-11-22T04:00:00Z";
        let read = |times: Times, json: Json| times.optional(Some(&json));
        for (times, json) in [
            (Times::Rfc3339, json!(at)),
            (Times::Rfc3339, json!("2026-11-22 04:00:00")),
            (Times::Unix, json!(1_795_320_000)),
            (Times::Unix, json!("1795320000")),
            (Times::UnixMs, json!(1_795_320_000_000_i64)),
        ] {
            let found = read(times, json.clone()).flatten().map(rfc3339);
            assert_eq!(found.as_deref(), Some(at), "{json}");
            for never in [json!(null), json!(""), json!(0), json!("0001-01-01T00:00:00Z")] {
                assert_eq!(read(times, never.clone()), Some(None), "{never}");
            }
            assert_eq!(read(times, json!("soon")), None);
            assert_eq!(read(times, json!([1])), None);
        }
    }

    #[test]
    fn a_list_ends_only_where_it_says_so() {
        let link = Paging::Link { next: pointers(&["/metadata/next"]) };
        assert_eq!(link.next(&json!({ "metadata": {} })), Some(Next::Nowhere));
        assert_eq!(link.next(&json!({ "metadata": { "next": null } })), Some(Next::Nowhere));
        let next = Some(Next::Link("x".to_owned()));
        assert_eq!(link.next(&json!({ "metadata": { "next": "x" } })), next);
        assert_eq!(link.next(&json!({ "data": [] })), None);
        assert_eq!(link.next(&json!({ "metadata": { "next": {} } })), None);
    }

    #[test]
    fn the_value_is_taken_out_and_the_rest_wiped() {
        let mut json = json!({ "a": { "token": "value" }, "b": ["value"] });
        assert_eq!(pointers(&["/x", "/a/token"]).take_text(&mut json).as_deref(), Some("value"));
        assert_eq!(json["a"]["token"], "");
        assert_eq!(pointers(&["/a/token", "/a"]).take_text(&mut json), None);
        wipe(&mut json);
        assert_eq!(json["b"][0], "");
    }
}
