//! Who we are to AWS, shown to a third party: a request that asks STS just that, signed and not sent.

use std::{fmt, sync::Arc, time::SystemTime};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{
    credentials::credentials as why_none,
    host::{Origin, found},
    partition::host,
    wire::Wire,
};
use crate::{
    clock::Clock,
    error::{Class, Code, Fault, chain},
    http::{Endpoint, Http, HttpSettings},
};

/// Where the global STS is, and the region that its signatures name (AWS's list of endpoints). It
/// is what a server that was not told otherwise sends such a request to.
const GLOBAL: (&str, &str) = ("sts.amazonaws.com", "us-east-1");

/// The STS that a request is signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sts {
    host: String,
    region: String,
}

impl Sts {
    /// The one of a region, reached where the region says or at `endpoint`; without a region the
    /// global one.
    #[must_use]
    pub fn new(region: Option<&str>, endpoint: Option<&Endpoint>) -> Self {
        let region_or_global = region.unwrap_or(GLOBAL.1);
        let host = match (endpoint, region) {
            (Some(endpoint), _) => endpoint.host(),
            (None, Some(region)) => host("sts", region),
            (None, None) => GLOBAL.0.to_owned(),
        };
        Self { host, region: region_or_global.to_owned() }
    }
}

/// What is asked.
const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// Credentials that are used for nothing but to say whose they are.
pub struct AwsIdentity {
    origin: Origin,
    sts: Sts,
    wire: Wire,
    clock: Arc<dyn Clock>,
    credentials: OnceCell<SharedCredentialsProvider>,
}

/// A signed `GetCallerIdentity`. Whoever has it can show it to STS for 15 minutes and learns a name
/// from it; it allows nothing else, but is a credential where it is believed.
pub struct SignedIdentity {
    /// The method.
    pub method: &'static str,
    /// Where it is meant for.
    pub url: String,
    /// The body.
    pub body: &'static str,
    /// The headers, the signature among them.
    pub headers: Vec<(String, Zeroizing<String>)>,
}

impl fmt::Debug for AwsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsIdentity")
    }
}

impl fmt::Debug for SignedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedIdentity").field("url", &self.url).finish_non_exhaustive()
    }
}

impl AwsIdentity {
    /// Nothing is asked of AWS yet.
    ///
    /// # Errors
    /// When the certificates or the proxy are of no use.
    pub fn try_new(
        origin: Origin,
        sts: Sts,
        http: HttpSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, Fault> {
        let request_timeout = http.request_timeout;
        let http = Http::try_new(http).map_err(|error| {
            let what = "find AWS credentials";
            Fault::new(what, Class::Terminal, Code::Invalid, error.to_string())
        })?;
        let wire = Wire { http, request_timeout };
        Ok(Arc::new(Self { origin, sts, wire, clock, credentials: OnceCell::new() }))
    }

    /// Signs the request with the credentials of this moment. `headers` are signed with it.
    ///
    /// # Errors
    /// When there are no credentials.
    pub async fn signed(
        &self,
        operation: &str,
        headers: &[(&str, &str)],
    ) -> Result<SignedIdentity, Fault> {
        let failed = |class, code, words: String| Fault::new(operation, class, code, words);
        let Sts { host, region } = &self.sts;
        let provider =
            self.credentials.get_or_init(async || found(&self.origin, region, &self.wire)).await;
        let credentials = provider.provide_credentials().await.map_err(|error| {
            let (class, code, words) = why_none(&error, &[]);
            failed(class, code, words)
        })?;
        let unsigned = |error: &dyn std::error::Error| {
            let words = format!("the request could not be signed: {}", chain(error));
            failed(Class::Terminal, Code::Invalid, words)
        };
        let length = BODY.len().to_string();
        let own = [
            ("content-length", length.as_str()),
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", host.as_str()),
        ];
        let url = format!("https://{host}/");
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("sts")
            .time(SystemTime::from(self.clock.now()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| unsigned(&error))?
            .into();
        let all = || own.iter().chain(headers).copied();
        let request =
            SignableRequest::new("POST", url.as_str(), all(), SignableBody::Bytes(BODY.as_bytes()))
                .map_err(|error| unsigned(&error))?;
        let (signed, _) = sign(request, &params).map_err(|error| unsigned(&error))?.into_parts();
        let kept = |name: &str, value: &str| (name.to_owned(), Zeroizing::new(value.to_owned()));
        let headers =
            all().chain(signed.headers()).map(|(name, value)| kept(name, value)).collect();
        Ok(SignedIdentity { method: "POST", url, body: BODY, headers })
    }
}
