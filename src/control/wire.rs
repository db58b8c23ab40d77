//! What is said over the control socket: one JSON object a line, in both directions.
//!
//! The caller sends a [`Request`], then [`Word`]s; the daemon answers with [`Event`]s, the last one
//! [`Event::Exit`]. No secret is ever in any of them: a request holds what was typed, an answer what
//! the command prints.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// The version of the protocol. It grows when an older end would misunderstand a newer one.
pub const PROTOCOL: u32 = 1;

/// The longest request. A command line in Linux may be longer; nobody types that.
pub const LONGEST_REQUEST: usize = 256 * 1024;

/// The longest line of an answer: long answers come in pieces.
pub const LONGEST_EVENT: usize = 1024 * 1024;

/// How much of an answer is in one event.
const PIECE: usize = 64 * 1024;

/// The first thing that the daemon reads; the rest of a request is read if it knows the protocol.
#[derive(Debug, Deserialize)]
struct Hello {
    protocol: u32,
}

/// A command to be done by the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The version of the program that asks.
    pub version: String,
    /// The command line, the program's own name first.
    pub args: Vec<String>,
    /// The configuration file that is meant, absolute.
    pub config: String,
    /// How many lines the caller's terminal has; `None`: it prints to no terminal.
    pub lines: Option<usize>,
    /// How many columns it has.
    #[serde(default)]
    pub columns: Option<usize>,
    /// Whether results are shown in colour.
    #[serde(default)]
    pub colour: bool,
    /// Whether a person is there to answer questions.
    pub asks: bool,
}

/// What a caller says after its request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// A signal came: the command is to be parked.
    Stop(Signal),
    /// The answer to a question.
    Answer(Option<String>),
}

/// Which signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// `SIGINT`.
    Int,
    /// `SIGTERM`.
    Term,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The command begins.
    Accepted {
        /// The daemon's version.
        version: String,
    },
    /// It does not; nothing was done.
    Declined {
        /// Why not, in words.
        why: String,
    },
    /// For standard output.
    Out(String),
    /// For standard error.
    Err(String),
    /// What is done for a connection now.
    Step {
        /// Which one.
        connection: String,
        /// In words.
        words: String,
    },
    /// A connection is done.
    Done {
        /// Which one.
        connection: String,
        /// How it ended.
        words: String,
    },
    /// How far a call over many connections is.
    Overall {
        /// In words.
        words: String,
        /// Whether it is worth a line of its own.
        milestone: bool,
    },
    /// That call is over.
    OverallEnd,
    /// A question to the person.
    Ask(String),
    /// The daemon is there still.
    Alive,
    /// The command ended with this status.
    Exit(u8),
}

/// Why a request is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// Not JSON, or something is missing.
    Garbage,
    /// Of another version of the protocol.
    Protocol(u32),
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// When it is none that this version understands.
    pub fn parse(line: &str) -> Result<Self, BadRequest> {
        let hello: Hello = serde_json::from_str(line).map_err(|_| BadRequest::Garbage)?;
        if hello.protocol != PROTOCOL {
            return Err(BadRequest::Protocol(hello.protocol));
        }
        serde_json::from_str(line).map_err(|_| BadRequest::Garbage)
    }
}

impl Event {
    /// The events that a long text for standard output is sent in.
    pub fn out(text: &str) -> impl Iterator<Item = Self> {
        let mut left = text;
        std::iter::from_fn(move || {
            if left.is_empty() {
                return None;
            }
            let end = (0..=left.len().min(PIECE)).rev().find(|at| left.is_char_boundary(*at));
            // A character has at most four bytes: there is a boundary behind the first.
            let (piece, rest) = left.split_at_checked(end.unwrap_or(left.len()))?;
            left = rest;
            Some(Self::Out(piece.to_owned()))
        })
    }
}

/// One line, with its line break, as it is sent.
///
/// # Errors
/// When it cannot be serialised; a defect.
pub fn line_of<T: Serialize>(what: &T) -> io::Result<String> {
    let mut line = serde_json::to_string(what).map_err(io::Error::from)?;
    line.push('\n');
    Ok(line)
}

/// Reads the next line, without its line break; `None` at the end. Not to be dropped half done.
///
/// # Errors
/// When it is longer than `most`, is no text, is cut off, or cannot be read.
pub async fn next_line<R: AsyncBufRead + Unpin>(
    reader: &mut R,
    most: usize,
) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(limit).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        let words = if line.len() >= most { "the line is too long" } else { "the line is cut off" };
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the line is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            protocol: PROTOCOL,
            version: "0.1.0".to_owned(),
            args: vec!["scimitar".to_owned(), "explain".to_owned(), "initech-okta".to_owned()],
            config: "/etc/scimitar/scimitar.toml".to_owned(),
            lines: Some(24),
            columns: Some(80),
            colour: true,
            asks: false,
        }
    }

    #[test]
    fn a_request_survives_the_way_and_its_protocol_is_read_first() {
        let line = line_of(&request()).unwrap();
        assert_eq!(Request::parse(line.trim_end()), Ok(request()));
        assert_eq!(Request::parse(r#"{"protocol":7,"new":true}"#), Err(BadRequest::Protocol(7)));
        for garbage in ["", "{}", "GET / HTTP/1.1", r#"{"protocol":1}"#, "[1]", "null"] {
            assert_eq!(Request::parse(garbage), Err(BadRequest::Garbage), "{garbage}");
        }
        let grown = line.replacen('{', r#"{"later":1,"#, 1);
        assert_eq!(Request::parse(&grown), Ok(request()), "what is new is not in the way");
    }

    #[test]
    fn a_long_answer_is_sent_in_pieces_that_make_the_whole() {
        let text = "ä€🦀x".repeat(PIECE / 3);
        let pieces: Vec<_> = Event::out(&text).collect();
        assert!(pieces.len() > 2);
        let mut whole = String::new();
        for piece in pieces {
            let Event::Out(piece) = piece else { panic!("{piece:?}") };
            assert!(piece.len() <= PIECE);
            whole.push_str(&piece);
        }
        assert!(whole == text);
        assert_eq!(Event::out("").count(), 0);
    }

    #[tokio::test]
    async fn lines_are_read_up_to_a_limit() {
        let mut reader = &b"one\ntwo\n"[..];
        assert_eq!(next_line(&mut reader, 3).await.unwrap().as_deref(), Some("one"));
        assert_eq!(next_line(&mut reader, 3).await.unwrap().as_deref(), Some("two"));
        assert_eq!(next_line(&mut reader, 3).await.unwrap(), None);
        for (bytes, words) in [
            (&b"four\n"[..], "too long"),
            (&[b'x'; 100][..], "too long"),
            (&b"ab"[..], "cut off"),
            (&b"\xff\n"[..], "not UTF-8"),
        ] {
            let mut reader = bytes;
            let refused = next_line(&mut reader, 3).await.unwrap_err();
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }
}
