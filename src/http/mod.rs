//! One HTTP client: time-outs, no redirects, no retries, no secrets in errors.
//!
//! Whoever calls decides what an answer means; here it is only decided whether there was one, and
//! if not, whether the request can have reached the service.

mod client;
mod endpoint;
mod reply;
mod words;

pub use client::{Http, HttpError, HttpSettings, Request};
pub use endpoint::{Endpoint, NotAnEndpoint};
pub use reply::{BodyLost, LARGEST_BODY, Reply, Sent, Unanswered};
pub use words::quote;
