//! What came back, and what did not.

use std::{fmt, time::Duration};

use chrono::{Datelike, Utc};
use reqwest::{Response, Url, header, header::HeaderMap};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::{clock::ProviderTime, error::Code};

/// The most that is read of an answer.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// The longest pause that a service is taken at its word for.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a request that got no answer may have reached the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// No: there was no connection, so its first byte was never written.
    No,
    /// Perhaps, now or later.
    Perhaps,
}

/// A request without an answer. Holds no secret and no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Unanswered {
    /// Whether it may have reached the service.
    pub sent: Sent,
    /// [`Code::Unreachable`], [`Code::Timeout`], [`Code::Unavailable`] (the connection was lost),
    /// or [`Code::Invalid`] (it could not even be built).
    pub code: Code,
    /// What happened, in words, with the way out where there is one.
    pub detail: String,
}

/// Why an answer's body was not read to its end; its status stands all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyLost {
    /// The connection ended inside it.
    #[error("the answer was cut off")]
    Cut,
    /// The rest did not come in time.
    #[error("the answer did not end in time")]
    Slow,
    /// It is longer than [`LARGEST_BODY`].
    #[error("the answer is longer than 1 MiB")]
    TooLong,
}

/// An answer: a status, and a body that may have been lost.
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    headers: HeaderMap,
    body: Result<Zeroizing<Vec<u8>>, BodyLost>,
    redirect: Option<String>,
}

impl Reply {
    pub(super) async fn read(mut response: Response, keep: bool) -> Self {
        let redirect = response.status().is_redirection().then(|| target(&response)).flatten();
        let body = if keep { read(&mut response).await } else { drain(&mut response).await };
        Self {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
            redirect,
        }
    }

    /// The body.
    ///
    /// # Errors
    /// When it was not read to its end.
    pub fn body(&self) -> Result<&[u8], BodyLost> {
        match &self.body {
            Ok(body) => Ok(body),
            Err(lost) => Err(*lost),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// In words that quote nothing of it: it may hold a token.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        let body = self.body().map_err(|lost| lost.to_string())?;
        serde_json::from_slice(body).map_err(|error| {
            use serde_json::error::Category;
            let what = match error.classify() {
                Category::Io | Category::Syntax => "is not JSON",
                Category::Eof => "ends in the middle of its JSON",
                Category::Data => "is JSON with a different structure than documented",
            };
            format!("the answer {what} (line {}, column {})", error.line(), error.column())
        })
    }

    /// Where a redirect pointed to: the host alone.
    #[must_use]
    pub fn redirect(&self) -> Option<&str> {
        self.redirect.as_deref()
    }

    /// A header that holds a number, such as `x-ratelimit-remaining`.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// The service's clock: the `Date` header, whole seconds.
    #[must_use]
    pub fn date(&self) -> Option<ProviderTime> {
        http_date(self.text("date")?)
    }

    /// How long the service asked to be left alone: `Retry-After` in seconds, or as a date
    /// counted from its own `Date`.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let text = self.text("retry-after")?;
        let pause = match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST_PAUSE),
            Err(_) => (http_date(text)? - self.date()?).to_std().unwrap_or_default(),
        };
        Some(pause.min(LONGEST_PAUSE))
    }

    /// How long until the moment that a header holds in seconds since 1970, counted from the service's own
    /// `Date`.
    #[must_use]
    pub fn until(&self, name: &str) -> Option<Duration> {
        let at = chrono::DateTime::from_timestamp(self.number(name)?, 0)?;
        let pause = ProviderTime::told(at) - self.date()?;
        Some(pause.to_std().unwrap_or_default().min(LONGEST_PAUSE))
    }

    /// Every header that is text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// A header's text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().ok()?.trim())
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

fn http_date(text: &str) -> Option<ProviderTime> {
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc);
    (1970..=9999).contains(&at.year()).then_some(ProviderTime::told(at))
}

fn target(response: &Response) -> Option<String> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    let target: Url = response.url().join(location).ok()?;
    Some(target.host_str()?.to_owned())
}

async fn read(response: &mut Response) -> Result<Zeroizing<Vec<u8>>, BodyLost> {
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > LARGEST_BODY {
        return Err(BodyLost::TooLong);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = chunk(response).await? {
        if body.len() + chunk.as_ref().len() > LARGEST_BODY {
            return Err(BodyLost::TooLong);
        }
        body.extend_from_slice(chunk.as_ref());
    }
    Ok(body)
}

/// Reads the body away without keeping it, so that the connection can be used again.
async fn drain(response: &mut Response) -> Result<Zeroizing<Vec<u8>>, BodyLost> {
    let mut length = 0;
    while let Some(chunk) = chunk(response).await? {
        length += chunk.as_ref().len();
        if length > LARGEST_BODY {
            return Err(BodyLost::TooLong);
        }
    }
    Ok(Zeroizing::default())
}

async fn chunk(response: &mut Response) -> Result<Option<impl AsRef<[u8]>>, BodyLost> {
    response.chunk().await.map_err(
        |error| {
            if error.is_timeout() { BodyLost::Slow } else { BodyLost::Cut }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_in_a_year_that_cannot_be_is_none() {
        let date = |year: &str| http_date(&format!("Sun, 22 Nov {year} 04:00:00 GMT"));
        assert!(date("2026").is_some());
        // What follows from it would be beyond what can be counted.
        assert_eq!((date("1969"), date("262000")), (None, None));
    }
}
