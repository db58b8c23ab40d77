//! What a person has to do, as it is configured.

use serde::{Deserialize, Serialize};

use crate::{
    error::Fault,
    sink::{
        Place, Remembered,
        rules::{invalid, remembered},
    },
    token::{PlaceKey, SinkName},
};

/// The kind in a [`PlaceKey`].
pub(super) const KIND: &str = "handoff";

/// `[sinks.NAME]` of type `handoff`, as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoffSettings {
    /// What the configuration calls it.
    pub sink: SinkName,
}

/// A `deliver_to` entry, also as the ledger remembers it ([`Place::delivery`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoffTarget {
    /// Which client, for people.
    pub client: String,
    /// Where the token is pasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The name of the field there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Whether the word "Bearer" goes in front of it there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bearer: bool,
    /// What else the person should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl HandoffTarget {
    /// The delivery to a remembered place.
    pub(super) fn remembered(place: &Place) -> Result<Self, Fault> {
        remembered(place)
    }

    pub(super) fn checked(&self, settings: &HandoffSettings) -> Result<(Place, String), Fault> {
        let operation = format!("use {} in [sinks.{}]", self.client, settings.sink);
        let delivery =
            Remembered::of(self).map_err(|problem| invalid(&operation, problem.to_string()))?;
        let key = PlaceKey::new(KIND, &self.client);
        let (sink, location) = (settings.sink.clone(), self.client.clone());
        Ok((Place { key, sink, location, delivery }, self.instructions()))
    }

    /// What a person has to do with the token, as in "copy it and …".
    fn instructions(&self) -> String {
        let link = self.link.as_ref().map_or_else(String::new, |link| format!(" ({link})"));
        let field = match &self.field {
            Some(field) => format!("the field \"{field}\" of "),
            None => String::new(),
        };
        let bearer = if self.bearer {
            "with the word \"Bearer\" and a space in front"
        } else {
            "without the word \"Bearer\""
        };
        let note = self.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
        format!("paste it into {field}{}{link}, {bearer}{note}", self.client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_told_where_and_how() {
        let plain = HandoffTarget {
            client: "OneLogin: initech".to_owned(),
            link: None,
            field: None,
            bearer: false,
            note: None,
        };
        let words = plain.instructions();
        assert_eq!(words, "paste it into OneLogin: initech, without the word \"Bearer\"");
        let all = HandoffTarget {
            client: "Okta: initech".to_owned(),
            link: Some("https://acme-admin.okta.com/admin/app/1#tab-provisioning".to_owned()),
            field: Some("API Token".to_owned()),
            bearer: true,
            note: Some("ask #identity first".to_owned()),
        };
        assert_eq!(
            all.instructions(),
            "paste it into the field \"API Token\" of Okta: initech \
             (https://acme-admin.okta.com/admin/app/1#tab-provisioning), with the word \"Bearer\" and a \
             space in front (ask #identity first)"
        );
        let settings = HandoffSettings { sink: SinkName::try_new("people").unwrap() };
        let (place, _) = all.checked(&settings).unwrap();
        assert_eq!(place.key.to_string(), "handoff:Okta: initech");
        assert_eq!(HandoffTarget::remembered(&place).unwrap(), all, "as the ledger remembers it");
    }
}
