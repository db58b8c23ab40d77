//! The users and groups of one connection.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    made::{alphanumeric, millis},
    patch, schemas,
    wire::{TenantAnswer, scim_refusal},
};
use crate::clock::{Entropy, Timestamp};

/// What is provisioned.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Directory {
    users: BTreeMap<String, Resource>,
    groups: BTreeMap<String, Resource>,
}

/// A user or a group, without `id`, `schemas` and `meta`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    created: Timestamp,
    modified: Timestamp,
    members: Map<String, Value>,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
}

/// Who and where, for answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) kind: Kind,
    /// The SCIM endpoint's URL, without a slash at its end.
    pub(super) base: &'a str,
    pub(super) now: Timestamp,
    /// Nothing follows from a user being deactivated: the mapping has no `active`.
    pub(super) loses_active: bool,
    /// Who is not active is in no answer.
    pub(super) hides_inactive: bool,
    /// No answer says who is active.
    pub(super) hides_active: bool,
}

impl Kind {
    /// The word in a token's scope.
    pub(super) fn scope(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group => "groups",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The attribute without which there is none.
    fn key(self) -> &'static str {
        match self {
            Self::User => "userName",
            Self::Group => "displayName",
        }
    }
}

impl Directory {
    /// The users that a connection starts with.
    pub(super) fn first(name: &str, strategy: &str, now: Timestamp) -> Self {
        let people =
            [("ada", "Ada", "Byron"), ("grace", "Grace", "Murray"), ("kurt", "Kurt", "Herzog")];
        let users = people.map(|(user, given, family)| {
            let address = format!("{user}@{name}.example");
            let Value::Object(members) = json!({
                "userName": address,
                "externalId": format!("{name}-{user}"),
                "name": { "givenName": given, "familyName": family },
                "displayName": format!("{given} {family}"),
                "active": true,
                "emails": [{ "value": address, "type": "work", "primary": true }],
            }) else {
                return (
                    String::new(),
                    Resource { created: now, modified: now, members: Map::new() },
                );
            };
            (format!("{strategy}|{name}|{user}"), Resource { created: now, modified: now, members })
        });
        Self { users: users.into(), groups: BTreeMap::new() }
    }

    /// Everything of a kind as it is answered.
    pub(super) fn all(&self, place: Place<'_>) -> impl Iterator<Item = Value> {
        let seen = self.kind(place.kind).iter().filter(move |(_, it)| !it.is_hidden(place));
        seen.map(move |(id, resource)| resource.shown(id, place))
    }

    /// One.
    pub(super) fn read(&self, place: Place<'_>, id: &str) -> TenantAnswer {
        match self.kind(place.kind).get(id).filter(|it| !it.is_hidden(place)) {
            Some(resource) => TenantAnswer::scim(200, resource.shown(id, place)),
            None => missing(place, id),
        }
    }

    /// `POST`: 201.
    ///
    /// # If the answer is lost
    /// It may exist; a user's name is taken then.
    pub(super) fn create(
        &mut self,
        place: Place<'_>,
        connection: (&str, &str),
        entropy: &dyn Entropy,
        body: Value,
    ) -> TenantAnswer {
        let mut members = match self.valid(place, None, body) {
            Ok(members) => members,
            Err(refused) => return refused,
        };
        if place.kind == Kind::User {
            members.entry("active").or_insert(json!(true));
        }
        let random = alphanumeric(entropy, 24);
        let id = match place.kind {
            // Auth0's user ids: strategy, connection and the id there.
            Kind::User => format!("{}|{}|{random}", connection.0, connection.1),
            Kind::Group => format!("grp_{random}"),
        };
        let resource = Resource { created: place.now, modified: place.now, members };
        let shown = resource.shown(&id, place);
        let location = location(place, &id);
        self.kind_mut(place.kind).insert(id, resource);
        TenantAnswer::scim(201, shown).with("location", location)
    }

    /// `PUT`: what is not in the body is gone.
    ///
    /// # If the answer is lost
    /// It may be replaced; replacing it again changes only `lastModified`.
    pub(super) fn replace(&mut self, place: Place<'_>, id: &str, body: Value) -> TenantAnswer {
        if !self.kind(place.kind).contains_key(id) {
            return missing(place, id);
        }
        match self.valid(place, Some(id), body) {
            Ok(members) => self.keep(place, id, members),
            Err(refused) => refused,
        }
    }

    /// `PATCH`.
    ///
    /// # If the answer is lost
    /// All operations may be done, or none.
    pub(super) fn patch(&mut self, place: Place<'_>, id: &str, body: &Value) -> TenantAnswer {
        let Some(resource) = self.kind(place.kind).get(id) else {
            return missing(place, id);
        };
        let mut members = resource.members.clone();
        if let Err((kind, detail)) = patch::apply(&mut members, body) {
            return scim_refusal(400, Some(kind), &detail);
        }
        match self.valid(place, Some(id), Value::Object(members)) {
            Ok(members) => self.keep(place, id, members),
            Err(refused) => refused,
        }
    }

    /// `DELETE`: 204.
    ///
    /// # If the answer is lost
    /// It may be gone; asking again is answered 404 then.
    pub(super) fn delete(&mut self, place: Place<'_>, id: &str) -> TenantAnswer {
        match self.kind_mut(place.kind).remove(id) {
            Some(_) => TenantAnswer::no_content(),
            None => missing(place, id),
        }
    }

    fn kind(&self, kind: Kind) -> &BTreeMap<String, Resource> {
        match kind {
            Kind::User => &self.users,
            Kind::Group => &self.groups,
        }
    }

    fn kind_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Resource> {
        match kind {
            Kind::User => &mut self.users,
            Kind::Group => &mut self.groups,
        }
    }

    /// Drops what only the server sets and passwords, and checks the key.
    fn valid(
        &self,
        place: Place<'_>,
        id: Option<&str>,
        body: Value,
    ) -> Result<Map<String, Value>, TenantAnswer> {
        let Value::Object(mut members) = body else {
            return Err(scim_refusal(400, Some("invalidSyntax"), "the body is not an object"));
        };
        for name in ["id", "meta", "schemas", "groups", "password"] {
            members.remove(name);
        }
        members.retain(|_, value| {
            !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty())
        });
        if place.loses_active && place.kind == Kind::User {
            members.insert("active".to_owned(), json!(true));
        }
        let key = place.kind.key();
        let Some(name) = members.get(key).and_then(Value::as_str).filter(|name| !name.is_empty())
        else {
            return Err(scim_refusal(400, Some("invalidValue"), &format!("{key} is required")));
        };
        let taken = place.kind == Kind::User
            && self.users.iter().any(|(other, resource)| {
                Some(other.as_str()) != id
                    && resource
                        .members
                        .get(key)
                        .and_then(Value::as_str)
                        .is_some_and(|other| other.to_lowercase() == name.to_lowercase())
            });
        if taken {
            return Err(scim_refusal(
                409,
                Some("uniqueness"),
                "a user with this userName already exists",
            ));
        }
        Ok(members)
    }

    fn keep(&mut self, place: Place<'_>, id: &str, members: Map<String, Value>) -> TenantAnswer {
        match self.kind_mut(place.kind).get_mut(id) {
            Some(resource) => {
                resource.members = members;
                resource.modified = place.now;
                TenantAnswer::scim(200, resource.shown(id, place))
            }
            None => missing(place, id),
        }
    }
}

impl Resource {
    fn is_hidden(&self, place: Place<'_>) -> bool {
        let inactive = self.members.get("active") == Some(&json!(false));
        place.kind == Kind::User && place.hides_inactive && inactive
    }

    fn shown(&self, id: &str, place: Place<'_>) -> Value {
        let mut members = self.members.clone();
        if place.hides_active {
            members.remove("active");
        }
        let mut urns = vec![match place.kind {
            Kind::User => schemas::USER,
            Kind::Group => schemas::GROUP,
        }];
        urns.extend(members.contains_key(schemas::ENTERPRISE).then_some(schemas::ENTERPRISE));
        members.insert("schemas".to_owned(), json!(urns));
        members.insert("id".to_owned(), json!(id));
        members.insert(
            "meta".to_owned(),
            json!({
                "resourceType": place.kind.name(),
                "created": millis(self.created),
                "lastModified": millis(self.modified),
                "location": location(place, id),
            }),
        );
        Value::Object(members)
    }
}

fn location(place: Place<'_>, id: &str) -> String {
    // The bars of Auth0's user ids are not allowed in a URL.
    format!("{}/{}s/{}", place.base, place.kind.name(), id.replace('|', "%7C"))
}

fn missing(place: Place<'_>, id: &str) -> TenantAnswer {
    scim_refusal(404, None, &format!("{} {id} not found", place.kind.name()))
}
