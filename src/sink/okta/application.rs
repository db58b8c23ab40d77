//! An application as Okta describes it, and whether its provisioning connection can be given a token.

use serde::Deserialize;

use super::settings::OktaTarget;
use crate::{
    error::{Class, Code, Fault},
    http::quote,
};

/// The application whose connection has an address of its own.
const WITH_ADDRESS: &str = "zscalerbyz";

/// The applications whose connections take a token (Okta's guide "Set up an app provisioning connection").
const TAKE_A_TOKEN: [&str; 2] = ["okta_org2org", WITH_ADDRESS];

/// One application.
#[derive(Debug, Deserialize)]
pub(super) struct Application {
    /// Which integration it is of.
    name: String,
}

/// A provisioning connection. What it was given is not in it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    auth_scheme: Option<String>,
    #[serde(default)]
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    #[serde(default)]
    auth_scheme: Option<String>,
}

impl Application {
    /// Whether its connection can be given a token as the delivery says.
    pub(super) fn check(&self, operation: &str, target: &OktaTarget) -> Result<(), Fault> {
        let words = match (self.name.as_str(), &target.base_url) {
            (WITH_ADDRESS, None) => format!(
                "it is of the kind {WITH_ADDRESS}, whose connection has its own address: write \
                 base_url = \"https://…/scim\" in the delivery, as its Provisioning tab in Okta shows it"
            ),
            (name, Some(_)) if name != WITH_ADDRESS && TAKE_A_TOKEN.contains(&name) => format!(
                "it is of the kind {name}, whose connection has no address of its own: remove base_url from \
                 the delivery"
            ),
            (name, _) if TAKE_A_TOKEN.contains(&name) => return Ok(()),
            (name, _) => format!(
                "it is of the kind {}, and Okta's API can set the token only of {}: use a sink \
                 of type = \"handoff\", with which a person pastes the token into Okta",
                quote(name, &[]),
                TAKE_A_TOKEN.join(" and ")
            ),
        };
        Err(Fault::new(operation, Class::Terminal, Code::Invalid, words))
    }
}

impl Connection {
    /// By what it logs in: it says so in one place or in two.
    fn schemes(&self) -> Vec<&str> {
        let profile = self.profile.as_ref().and_then(|profile| profile.auth_scheme.as_deref());
        self.auth_scheme.as_deref().into_iter().chain(profile).collect()
    }

    /// Whether a token would take the place of something else than a token.
    pub(super) fn check(&self, operation: &str) -> Result<(), Fault> {
        if !self.schemes().contains(&"OAUTH2") {
            return Ok(());
        }
        let words = "its provisioning connection logs in by OAuth 2.0, which a token would replace: nothing \
                     was changed. Set the connection to a token in Okta, or remove the application from \
                     deliver_to";
        Err(Fault::new(operation, Class::Terminal, Code::Invalid, words))
    }

    /// Whether it is in use with a token, as far as the answer to a write says. What it says otherwise leaves
    /// open whether the token was kept.
    pub(super) fn took(&self, operation: &str) -> Result<(), Fault> {
        let schemes = self.schemes();
        let other = schemes.iter().copied().find(|scheme| *scheme != "TOKEN");
        if self.status.as_deref() == Some("ENABLED") && !schemes.is_empty() && other.is_none() {
            return Ok(());
        }
        let text = |text: Option<&str>| text.map_or_else(|| "none".to_owned(), |it| quote(it, &[]));
        let words = format!(
            "answered 200, but does not confirm that the token is in use (status {}, authScheme {}): it may not \
             have stored it. Check the application's Provisioning tab in Okta; the previous token is kept",
            text(self.status.as_deref()),
            text(other.or_else(|| schemes.first().copied())),
        );
        Err(Fault::new(operation, Class::Ambiguous, Code::Invalid, words))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn target(base_url: Option<&str>) -> OktaTarget {
        OktaTarget { app_id: "0oa1".to_owned(), base_url: base_url.map(str::to_owned) }
    }

    #[test]
    fn only_two_kinds_of_application_take_a_token() {
        let address = Some("https://scim.zscaler.example/1/2/scim");
        for (name, base_url, words) in [
            ("okta_org2org", None, None),
            ("zscalerbyz", address, None),
            ("okta_org2org", address, Some("remove base_url")),
            ("zscalerbyz", None, Some("write base_url = ")),
            ("office365", None, Some("use a sink of type = \"handoff\"")),
            ("scim2testapp_oauthbearertoken", address, Some("use a sink of type = \"handoff\"")),
            ("", None, Some("use a sink of type = \"handoff\"")),
        ] {
            let app = Application { name: name.to_owned() };
            let checked = app.check("deliver", &target(base_url));
            assert_eq!(checked.is_ok(), words.is_none(), "{name}");
            if let (Err(fault), Some(words)) = (checked, words) {
                assert_eq!(fault.class, Class::Terminal);
                assert!(fault.detail.contains(words), "{fault}");
            }
        }
    }

    #[test]
    fn only_a_connection_in_use_with_a_token_took_it() {
        let read = |value: &Value| serde_json::from_value::<Connection>(value.clone()).unwrap();
        let token = json!({ "authScheme": "TOKEN" });
        for (answer, took) in [
            (json!({ "authScheme": "TOKEN", "status": "ENABLED", "profile": token }), true),
            (json!({ "status": "ENABLED", "profile": token }), true),
            (json!({ "authScheme": "TOKEN", "status": "ENABLED" }), true),
            (json!({ "authScheme": "TOKEN", "status": "UNKNOWN", "profile": token }), false),
            (json!({ "authScheme": "UNKNOWN", "status": "ENABLED", "profile": token }), false),
            (
                json!({ "authScheme": "TOKEN", "status": "ENABLED",
                     "profile": { "authScheme": "UNKNOWN" } }),
                false,
            ),
            (json!({ "authScheme": "TOKEN", "status": "DISABLED", "profile": token }), false),
            (json!({ "authScheme": "OAUTH2", "status": "ENABLED" }), false),
            (json!({ "authScheme": "TOKEN", "profile": token }), false),
            (json!({ "status": "ENABLED" }), false),
            (json!({}), false),
        ] {
            let said = read(&answer).took("deliver");
            assert_eq!(said.is_ok(), took, "{answer}");
            if let Err(fault) = said {
                assert_eq!(fault.class, Class::Ambiguous, "the token may be there: {answer}");
            }
        }
        assert!(read(&json!({ "status": "DISABLED", "authScheme": "TOKEN" })).check("x").is_ok());
        for oauth in
            [json!({ "authScheme": "OAUTH2" }), json!({ "profile": { "authScheme": "OAUTH2" } })]
        {
            assert!(read(&oauth).check("x").is_err(), "{oauth}");
        }
    }
}
