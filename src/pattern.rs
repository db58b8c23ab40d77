//! Patterns of `*` (any number of characters) and `?` (one): of file names and of names of connections.

use std::fmt;

/// Whether a name fits a pattern. One pass over the name, whatever the pattern.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // Which beginnings of the pattern fit the name so far.
    let mut fitting = vec![false; pattern.len() + 1];
    if let Some(start) = fitting.first_mut() {
        *start = true;
    }
    pass_stars(&pattern, &mut fitting);
    for c in name.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for (index, part) in pattern.iter().enumerate() {
            let here = fitting.get(index).copied().unwrap_or_default();
            if let Some(stays) = next.get_mut(index) {
                *stays |= *part == '*' && here;
            }
            if let Some(goes_on) = next.get_mut(index + 1) {
                *goes_on |= (*part == '?' || *part == c) && here;
            }
        }
        pass_stars(&pattern, &mut next);
        fitting = next;
    }
    fitting.last().copied().unwrap_or_default()
}

fn pass_stars(pattern: &[char], fitting: &mut [bool]) {
    for (index, part) in pattern.iter().enumerate() {
        let here = *part == '*' && fitting.get(index).copied().unwrap_or_default();
        if let Some(behind) = fitting.get_mut(index + 1) {
            *behind |= here;
        }
    }
}

/// A pattern of names of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Accepts what is not empty and holds no white space, as no name does.
    ///
    /// # Errors
    /// In words.
    pub fn try_new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > 512 {
            return Err("a pattern has 1 to 512 characters");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("names contain no white space, so patterns must not either");
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a text is meant as one: no name of a connection holds `*` or `?`.
    #[must_use]
    pub fn is_in(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// Whether a name fits.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_anything_and_a_question_mark_one_character() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.toml.bak", false),
            ("?-*.toml", "1-a.toml", true),
            ("?-*.toml", "12-a.toml", false),
            ("**", "anything", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1b2b3", false),
            ("?", "é", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        assert!(!fits(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn only_what_could_fit_a_name_is_a_pattern() {
        for text in ["", "a b", "a\n", &"a".repeat(513)] {
            assert!(Pattern::try_new(text).is_err(), "{text:?}");
        }
        assert!(Pattern::try_new("cust-*").is_ok_and(|pattern| pattern.fits("cust-1")));
        assert!(Pattern::is_in("a?") && Pattern::is_in("*") && !Pattern::is_in("initech-okta"));
    }
}
