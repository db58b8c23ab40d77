//! `name = "^cust-"`: what a connection must be called.

use std::{fmt, sync::Arc};

use regex_automata::{
    Input,
    dfa::{Automaton, dense},
    nfa::thompson,
    util::syntax,
};

/// How large a pattern may become: one that runs in bounded time and space whatever it is run on.
const LARGEST: usize = 1 << 20;

/// A regular expression over bytes, found anywhere in a name unless it says otherwise.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    compiled: Arc<dense::DFA<Vec<u32>>>,
}

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// Why it is none, in words.
    pub fn try_new(text: &str) -> Result<Self, String> {
        // Names are ASCII where Auth0 made them; `.` is one byte, `\d` and `\w` are ASCII.
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let size = dense::Config::new()
            .dfa_size_limit(Some(LARGEST))
            .determinize_size_limit(Some(LARGEST));
        // Counted repetitions of each other are large before they are a DFA.
        let nfa = thompson::Config::new().nfa_size_limit(Some(LARGEST));
        let built = dense::Builder::new().syntax(syntax).thompson(nfa).configure(size).build(text);
        let compiled = built.map_err(|error| {
            // What is wrong is said by the innermost cause; its place is marked on lines of its own.
            let words = crate::error::chain(&error);
            let last = words.lines().map(str::trim).rfind(|line| !line.is_empty());
            last.unwrap_or_default().trim_start_matches("error: ").to_owned()
        })?;
        Ok(Self { text: text.to_owned(), compiled: Arc::new(compiled) })
    }

    /// Whether a name has it.
    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        // Without look-around for Unicode words no search gives up.
        matches!(self.compiled.try_search_fwd(&Input::new(name)), Ok(Some(_)))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_anywhere_unless_anchored() {
        for (pattern, name, expected) in [
            ("^cust-", "cust-a", true),
            ("^cust-", "my-cust-a", false),
            ("cust", "my-cust-a", true),
            ("^cust-[0-9]+$", "cust-12", true),
            ("^cust-\\d+$", "cust-12x", false),
            ("^(eu|us)-.*-prod$", "us-acme-prod", true),
            ("(?i)^CUST", "cust-a", true),
            ("\\bprod\\b", "a-prod-b", true),
            ("^.$", "é", false),
            ("", "anything", true),
        ] {
            assert_eq!(Pattern::try_new(pattern).unwrap().fits(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_in_words() {
        for bad in ["(", "[a", "a{2,1}", "*", "(?P<n>", "a{999}{999}{999}"] {
            let words = Pattern::try_new(bad).unwrap_err();
            assert!(!words.is_empty() && !words.contains('\n'), "{bad}: {words}");
        }
    }
}
