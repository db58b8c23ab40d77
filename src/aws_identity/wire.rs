//! The SDK's requests over the project's own HTTP client.
//!
//! So there is one client with its proxy, its certificate authorities and its time-outs, no redirect
//! is followed, no connection that idled away is written to, and of a request without an answer it
//! is known whether it can have been sent.
//!
//! The SDK prints answers where its own logs are at their highest verbosity, but for those that are
//! still to be read: as such they are handed to it.

use std::{str::FromStr, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use http::{HeaderName, HeaderValue, Method, header, header::HeaderMap};
use http_body_util::Full;
use reqwest::Url;
use zeroize::Zeroizing;

use crate::{
    error::Code,
    http::{Endpoint, Http, Request, Sent, Unanswered},
};

/// What every call of Secrets Manager is sent as.
const JSON: &str = "application/x-amz-json-1.1";

/// What every call of STS is sent as.
const FORM: &str = "application/x-www-form-urlencoded";

/// The calls that change nothing, by the last part of `X-Amz-Target`.
const READING: [&str; 2] = ["DescribeSecret", "GetSecretValue"];

/// Headers that hold what nobody else may see.
const SENSITIVE: [&str; 4] = [
    "authorization",
    "x-amz-security-token",
    "x-aws-ec2-metadata-token",
    "x-aws-ec2-metadata-token-ttl-seconds",
];

/// The project's client, as the SDK wants to have it.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub(crate) http: Http,
    pub(crate) request_timeout: Duration,
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // Who asks a host for its credentials asks for less time than a service gets.
        let asked = settings.connect_timeout().zip(settings.read_timeout());
        let within = asked.map_or(self.request_timeout, |(connect, read)| connect + read);
        SharedHttpConnector::new(Connector {
            http: self.http.clone(),
            within: within.min(self.request_timeout),
        })
    }
}

#[derive(Debug)]
struct Connector {
    http: Http,
    within: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (http, within) = (self.http.clone(), self.within);
        HttpConnectorFuture::new(async move {
            send(&http, request, within).await.map_err(|lost| {
                if lost.code == Code::Timeout {
                    ConnectorError::timeout(lost.into())
                } else {
                    ConnectorError::io(lost.into())
                }
            })
        })
    }
}

async fn send(
    http: &Http,
    request: HttpRequest,
    within: Duration,
) -> Result<HttpResponse, Unanswered> {
    let url = Url::parse(request.uri()).map_err(|_| unbuilt("it has no URL"))?;
    let to = Endpoint::of_this_host(url).map_err(|error| unbuilt(&error.to_string()))?;
    let method = Method::from_str(request.method()).map_err(|_| unbuilt("it has no method"))?;
    let body = request.body().bytes().map(|body| Zeroizing::new(body.to_vec()));
    let mut headers = HeaderMap::new();
    let mut kind = None;
    let mut reading = method == Method::GET;
    for (name, text) in request.headers() {
        match name {
            "content-type" => kind = Some([JSON, FORM].into_iter().find(|kind| *kind == text)),
            "content-length" | "user-agent" => {}
            _ => {
                if name == "x-amz-target" {
                    reading = text.rsplit('.').next().is_some_and(|call| READING.contains(&call));
                }
                let name =
                    HeaderName::from_str(name).map_err(|_| unbuilt("a header has no name"))?;
                let mut value = HeaderValue::from_str(text)
                    .map_err(|_| unbuilt("a header has characters that are not allowed"))?;
                value.set_sensitive(SENSITIVE.contains(&name.as_str()));
                headers.insert(name, value);
            }
        }
    }
    let mut sent = Request::new(method, &to).headers(headers).within(within);
    if !reading {
        sent = sent.fresh();
    }
    match (body.filter(|body| !body.is_empty()), kind) {
        (Some(body), Some(Some(kind))) => sent = sent.body(kind, body),
        (Some(_), Some(None) | None) => return Err(unbuilt("its body has an unknown type")),
        (None, _) => {}
    }
    let reply = http.send(sent).await?;
    let body = reply.body().map_err(|lost| Unanswered {
        sent: Sent::Perhaps,
        code: Code::Unreadable,
        detail: format!("{} answered {}, but {lost}", to.host(), reply.status),
    })?;
    let status = reply.status.try_into().map_err(|_| Unanswered {
        sent: Sent::Perhaps,
        code: Code::Unreadable,
        detail: format!("{} answered with no status", to.host()),
    })?;
    // As a stream: in one piece it would be printed, values and all.
    let stream = SdkBody::from_body_1_x(Full::new(body.to_vec().into()));
    let mut response = HttpResponse::new(status, stream);
    for (name, text) in reply.texts().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        // What the SDK cannot take it does not need.
        let _ = response.headers_mut().try_append(name.to_owned(), text.to_owned());
    }
    Ok(response)
}

fn unbuilt(detail: &str) -> Unanswered {
    Unanswered {
        sent: Sent::No,
        code: Code::Invalid,
        detail: format!("the request could not be built: {detail}"),
    }
}
