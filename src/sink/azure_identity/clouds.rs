//! The clouds of Microsoft: where log-ins and Microsoft Graph are (its documentation "Microsoft Graph
//! national cloud deployments").

use reqwest::Url;

use super::Authority;
use crate::{
    http::Endpoint,
    kind::{self, BuildError},
};

/// A cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Cloud {
    Global,
    UsGovernment,
    UsGovernmentDod,
    China,
}

impl Cloud {
    /// The words for them.
    pub(in crate::sink) const WORDS: [(&'static str, Self); 4] = [
        ("global", Self::Global),
        ("us_government", Self::UsGovernment),
        ("us_government_dod", Self::UsGovernmentDod),
        ("china", Self::China),
    ];

    fn login(self) -> &'static str {
        match self {
            Self::Global => "https://login.microsoftonline.com",
            Self::UsGovernment | Self::UsGovernmentDod => "https://login.microsoftonline.us",
            Self::China => "https://login.chinacloudapi.cn",
        }
    }

    fn graph(self) -> &'static str {
        match self {
            Self::Global => "https://graph.microsoft.com",
            Self::UsGovernment => "https://graph.microsoft.us",
            Self::UsGovernmentDod => "https://dod-graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Where Graph is, if it is not reached elsewhere, and where log-ins to it are.
    ///
    /// # Errors
    /// When an address is of no use.
    pub(in crate::sink) fn graph_of(
        self,
        elsewhere: Option<&Url>,
        authority: Option<&Url>,
    ) -> Result<(Endpoint, Authority), BuildError> {
        let own = |text: &str| Url::parse(text).map_err(|error| BuildError::of(&error));
        let endpoint = |given: Option<&Url>, text: &str| match given {
            Some(url) => kind::endpoint(url),
            None => kind::endpoint(&own(text)?),
        };
        let login = endpoint(authority, self.login())?;
        let resource = self.graph().to_owned();
        Ok((endpoint(elsewhere, self.graph())?, Authority { login, resource }))
    }
}
