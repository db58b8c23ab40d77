//! What is wrong with a configuration: where, what, and the way out. All of it, not the first.

use std::fmt;

use serde::Serialize;

/// One mistake (or warning). Its words never quote a line of the file, so that no secret that
/// stands in the wrong place is repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as it was named; `environment` when no file is to blame.
    pub file: String,
    /// The line, from 1; `None` when no place in a file is to blame.
    pub line: Option<u32>,
    /// The column in characters, from 1; `None` when no place in a file is to blame.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// The way out, where there is one.
    pub hint: Option<String>,
}

impl Problem {
    /// The same as its [`Display`](fmt::Display), in one line: for logs.
    #[must_use]
    pub fn in_a_line(&self) -> String {
        self.to_string().replace("\n  help: ", "; ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        for line in self.hint.iter().flat_map(|hint| hint.lines()) {
            write!(f, "\n  help: {line}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration: never empty, in the order of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Takes what was found; the caller found something.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The problems, in the order of the files.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "error: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name that was probably meant, if one is close enough.
pub(crate) fn nearest<'k>(
    asked: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let plain = |name: &str| name.to_lowercase().replace('-', "_");
    // A name of any length can be asked for; the distance is only of interest for short ones.
    if asked.len() > 128 {
        return None;
    }
    let asked = plain(asked);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&asked, &plain(name)), name))
        .filter(|(distance, name)| *distance <= (name.len().max(asked.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean …", or else the whole list.
pub(crate) fn suggest<'k>(
    asked: &str,
    known: impl IntoIterator<Item = &'k str> + Clone,
    list: &str,
) -> String {
    match nearest(asked, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<_> = known.into_iter().collect();
            if names.is_empty() {
                format!("{list}: none")
            } else {
                format!("{list}: {}", names.join(", "))
            }
        }
    }
}

/// A name from the file as it may be shown: in one line, and not without end.
pub(crate) fn shown(name: &str) -> String {
    const LONGEST: usize = 64;
    let mut text: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if name.chars().count() > LONGEST {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_across_typing_errors_and_dashes() {
        let known = ["rotate_before", "overlap", "max_age"];
        assert_eq!(nearest("overlpa", known), Some("overlap"));
        assert_eq!(nearest("rotate-before", known), Some("rotate_before"));
        assert_eq!(nearest("MaxAge", known), Some("max_age"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest(&"x".repeat(10_000), known), None);
    }

    #[test]
    fn a_name_is_shown_in_one_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }

    #[test]
    fn display_has_a_place_a_message_and_the_way_out() {
        let problem = Problem {
            file: "a.toml".to_owned(),
            line: Some(3),
            column: Some(7),
            message: "unknown key `x`".to_owned(),
            hint: Some("did you mean `y`?".to_owned()),
        };
        let unread = Problem { line: None, column: None, hint: None, ..problem.clone() };
        let problems = Problems::new(vec![problem, unread]);
        assert_eq!(
            problems.to_string(),
            "error: a.toml:3:7: unknown key `x`\n  help: did you mean `y`?\n\
             error: a.toml: unknown key `x`"
        );
        assert_eq!(
            serde_json::to_value(&problems).unwrap()[1],
            serde_json::json!({"file": "a.toml", "line": null, "column": null,
                "message": "unknown key `x`", "hint": null})
        );
    }
}
