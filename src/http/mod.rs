//! One HTTP client: time-outs, no redirects, no retries, no secrets in errors.
//!
//! Whoever calls decides what an answer means; here it is only decided whether there was one, and
//! if not, whether the request can have reached the service.

mod client;
mod endpoint;
pub mod pem;
pub mod proxy;
mod reply;
mod unanswered;
mod words;

pub use client::{Http, HttpError, HttpSettings, Request};
pub use endpoint::{Endpoint, NotAnEndpoint};
pub use reply::{BodyLost, LARGEST_BODY, Reply, Sent, Unanswered};
pub use unanswered::certificate_words;
pub use words::quote;
