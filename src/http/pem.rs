//! Certificates in PEM, and what is wrong with a file of them, by its line.

use std::fmt;

use reqwest::{Certificate, Client, Identity};

use super::unanswered::deepest;
use crate::secret::Secret;

/// Why a file of certificates is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPem {
    /// The line, from 1; `None` where none is to blame.
    pub line: Option<usize>,
    /// What is wrong, in words.
    pub words: String,
}

impl fmt::Display for BadPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.words),
            None => f.write_str(&self.words),
        }
    }
}

/// A section: its label, the line where it begins, and its text.
struct Section<'a> {
    label: &'a str,
    line: usize,
    text: String,
}

/// Reads and parses every certificate.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, BadPem> {
    let text = String::from_utf8_lossy(pem);
    let sections = sections(&text)?;
    let sections: Vec<_> = sections.iter().filter(|it| it.label == "CERTIFICATE").collect();
    if sections.is_empty() {
        let words = "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned();
        return Err(BadPem { line: None, words });
    }
    let mut all = Vec::new();
    for section in &sections {
        all.extend(section.certificate()?);
    }
    // Building a client is what looks into them.
    if parses(&all).is_err() {
        for section in &sections {
            parses(&section.certificate()?).map_err(|error| section.bad(&error))?;
        }
    }
    parses(&all).map_err(|error| BadPem { line: None, words: deepest(&error) })?;
    Ok(all)
}

impl Section<'_> {
    fn certificate(&self) -> Result<Vec<Certificate>, BadPem> {
        Certificate::from_pem_bundle(self.text.as_bytes()).map_err(|error| self.bad(&error))
    }

    fn bad(&self, error: &reqwest::Error) -> BadPem {
        let cause = deepest(error);
        let words = format!("the certificate that begins here cannot be read: {cause}");
        BadPem { line: Some(self.line), words }
    }
}

fn parses(certificates: &[Certificate]) -> reqwest::Result<()> {
    Client::builder().tls_certs_only(certificates.iter().cloned()).build().map(drop)
}

/// A certificate of our own with its private key, both in PEM.
///
/// # Errors
/// In words that hold nothing of the key.
pub fn identity(pem: &Secret) -> Result<Identity, String> {
    let identity = Identity::from_pem(pem.expose().as_bytes()).map_err(|error| deepest(&error))?;
    let built = Client::builder().identity(identity.clone()).tls_certs_only([]).build();
    built.map(|_| identity).map_err(|error| deepest(&error))
}

fn sections(text: &str) -> Result<Vec<Section<'_>>, BadPem> {
    let bad = |line, words: String| Err(BadPem { line: Some(line), words });
    if text.starts_with('\u{feff}') {
        let words =
            "the file begins with a byte order mark (U+FEFF); save it without one".to_owned();
        return bad(1, words);
    }
    let mut sections = Vec::new();
    let mut open: Option<Section<'_>> = None;
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        let label = |mark| line.strip_prefix(mark).and_then(|rest| rest.strip_suffix("-----"));
        if let Some(label) = label("-----BEGIN ") {
            if let Some(open) = open {
                return bad(
                    open.line,
                    format!("the {} that begins here has no end before line {number}", open.label),
                );
            }
            open = Some(Section { label, line: number, text: format!("{line}\n") });
        } else if let Some(label) = label("-----END ") {
            match open.take() {
                Some(mut section) if section.label == label => {
                    section.text.push_str(line);
                    section.text.push('\n');
                    sections.push(section);
                }
                Some(section) => {
                    let words = format!("this ends a {label}, but a {} was begun", section.label);
                    return bad(number, words);
                }
                None => return bad(number, format!("this ends a {label} that was not begun")),
            }
        } else if line.starts_with("-----") {
            return bad(number, "this line is cut short or damaged".to_owned());
        } else if let Some(section) = &mut open {
            section.text.push_str(line);
            section.text.push('\n');
        }
    }
    match open {
        None => Ok(sections),
        Some(open) => bad(
            open.line,
            format!(
                "the {0} that begins here is cut short: -----END {0}----- is missing",
                open.label
            ),
        ),
    }
}
