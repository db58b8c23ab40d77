//! vaultrs' endpoints over the project's own HTTP client.
//!
//! vaultrs describes the calls (paths, bodies, headers); the client beneath it is ours. So there
//! are time-outs, no redirect takes a token elsewhere, nothing is read from the environment, and
//! every answer arrives whole: with its status, its headers, and the body of a 404, which the
//! crate's own client throws away.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method, header::HeaderMap};
use rustify::{
    endpoint::Endpoint as Call,
    enums::{RequestMethod, RequestType, ResponseType},
    errors::ClientError,
};
use vaultrs::api::EndpointMiddleware;
use zeroize::{Zeroize, Zeroizing};

use super::answer::{self, Answer};
use crate::{
    error::Code,
    http::{Endpoint, Http, Request, Sent, Unanswered},
    secret::Secret,
};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");

/// What a read has to have seen before it is answered (Vault Enterprise).
const INDEX: &str = "x-vault-index";

/// A Vault server, reached.
pub(super) struct Wire {
    pub(super) http: Http,
    pub(super) base: String,
}

/// What goes with one call beside the call itself.
#[derive(Clone, Copy, Default)]
pub(super) struct With<'a> {
    pub(super) token: Option<&'a Secret>,
    pub(super) index: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
}

impl Wire {
    /// Makes the call once and gives the answer, whatever its status.
    pub(super) async fn call<E: Call>(
        &self,
        call: E,
        with: With<'_>,
    ) -> Result<Arc<Answer>, Unanswered> {
        let token = with.token.map(Secret::expose).unwrap_or_default();
        // The crate would panic on what no header may hold.
        let namespace = with.namespace.unwrap_or_default();
        for (what, text) in [("token", token), ("namespace", namespace)] {
            if !fits_a_header(text) {
                return Err(unbuilt(format!(
                    "the {what} has characters that are not allowed in a header"
                )));
            }
        }
        let mut middle = EndpointMiddleware {
            token: token.to_owned(),
            version: "v1".to_owned(),
            wrap: None,
            namespace: with.namespace.map(str::to_owned),
        };
        let client = Client { wire: self, index: with.index, token: with.token };
        let done = call.with_middleware(&middle).exec(&client).await;
        middle.token.zeroize();
        let response = done.map_err(unanswered)?.response;
        let reply = response.extensions().get::<Arc<Answer>>().cloned();
        reply.ok_or_else(|| unbuilt("the call was not made".to_owned()))
    }
}

/// Whether text can be a header's value: visible ASCII.
pub(super) fn fits_a_header(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unbuilt(detail: String) -> Unanswered {
    Unanswered { sent: Sent::No, code: Code::Invalid, detail }
}

struct Client<'a> {
    wire: &'a Wire,
    index: Option<&'a str>,
    token: Option<&'a Secret>,
}

#[async_trait]
impl rustify::client::Client for Client<'_> {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, ClientError> {
        let (parts, body) = request.into_parts();
        let body = Zeroizing::new(body);
        let failed = |lost: Unanswered| ClientError::RequestError {
            source: lost.into(),
            url: self.wire.base.clone(),
            method: parts.method.to_string(),
        };
        let refused = |error: String| failed(unbuilt(error));
        let sent = answer::secrets(self.token, parts.uri.path(), &body);
        let url = parts.uri.to_string().parse().map_err(|_| refused("not a URL".to_owned()))?;
        let to = Endpoint::try_new(url).map_err(|error| refused(error.to_string()))?;
        let mut headers: HeaderMap = parts.headers;
        if let Some(token) = headers.get_mut(TOKEN) {
            token.set_sensitive(true);
        }
        if let Some(index) = self.index.and_then(|index| HeaderValue::from_str(index).ok()) {
            headers.insert(INDEX, index);
        }
        let kind = if parts.method == Method::PATCH {
            "application/merge-patch+json"
        } else {
            "application/json"
        };
        let mut request = Request::new(parts.method.clone(), &to).headers(headers);
        if !body.is_empty() {
            request = request.body(kind, body);
        }
        let reply = self.wire.http.send(request).await.map_err(failed)?;
        let mut response = http::Response::new(Vec::new());
        response.extensions_mut().insert(Arc::new(Answer::of(reply, sent)));
        Ok(response)
    }

    fn base(&self) -> &str {
        &self.wire.base
    }

    /// Every status is an answer: what it means is decided by who asked.
    async fn execute(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, ClientError> {
        self.send(request).await
    }
}

fn unanswered(error: ClientError) -> Unanswered {
    let words = error.to_string();
    let source = match error {
        ClientError::RequestError { source, .. } => source.downcast::<Unanswered>().ok(),
        ClientError::DataParseError { .. }
        | ClientError::EndpointBuildError { .. }
        | ClientError::GenericError { .. }
        | ClientError::RequestBuildError { .. }
        | ClientError::ReqwestBuildError { .. }
        | ClientError::ResponseError { .. }
        | ClientError::ResponseConversionError { .. }
        | ClientError::ResponseParseError { .. }
        | ClientError::ServerResponseError { .. }
        | ClientError::UrlBuildError { .. }
        | ClientError::UrlQueryParseError { .. }
        | ClientError::UrlParseError { .. } => None,
    };
    source.unwrap_or_else(|| unbuilt(format!("the request could not be built ({words})")))
}

/// A call that vaultrs lacks, or describes in a way that loses something.
pub(super) struct Raw {
    pub(super) method: RequestMethod,
    pub(super) path: String,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
}

impl Raw {
    pub(super) fn get(path: String) -> Self {
        Self { method: RequestMethod::GET, path, body: None }
    }

    pub(super) fn post(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: RequestMethod::POST, path, body: Some(body) }
    }

    /// RFC 7396: what is not named stays, what is `null` goes.
    pub(super) fn merge_patch(path: String, body: Zeroizing<Vec<u8>>) -> Self {
        Self { method: RequestMethod::PATCH, path, body: Some(body) }
    }
}

impl Call for Raw {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.as_deref().cloned())
    }
}
