//! Templates (Jinja) over plain values: strict, and without a loader, functions or includes.

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

/// So many signs, opening brackets and `not` may follow one another: the parser follows each with a call of its own
/// and does not count them, and a stack that is used up ends the process.
const DEEPEST: usize = 50;

/// An engine that knows no name but those that it is given, and escapes nothing.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment
}

/// The names that a template uses; those of a table as `table.name`, where `nested`.
///
/// # Errors
/// When it is no template.
pub(crate) fn names(
    environment: &Environment<'_>,
    text: &str,
    nested: bool,
) -> Result<BTreeSet<String>, Error> {
    if too_deep(text) {
        let words =
            format!("more than {DEEPEST} signs, opening brackets or `not` follow one another");
        return Err(Error::new(ErrorKind::SyntaxError, words));
    }
    let template = environment.template_from_str(text)?;
    Ok(template.undeclared_variables(nested).into_iter().collect())
}

/// Whether more than [`DEEPEST`] signs, opening brackets or `not` follow one another in an expression; space between
/// them does not count.
fn too_deep(text: &str) -> bool {
    let spaced = expressions(text).replace(['-', '+', '(', '['], " - ");
    let runs = spaced.split_whitespace().map(|word| matches!(word, "-" | "not"));
    let longest = runs.fold((0, 0), |(run, longest): (usize, usize), prefix| {
        let run = if prefix { run + 1 } else { 0 };
        (run, longest.max(run))
    });
    longest.1 > DEEPEST
}

/// What stands between the delimiters, without what is quoted there: a line of dashes in the text nests nothing.
fn expressions(text: &str) -> String {
    let mut found = String::new();
    let (mut inside, mut quote) = (false, None);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (inside, quote, char) {
            (false, _, '{') if chars.next_if(|next| matches!(next, '{' | '%')).is_some() => {
                inside = true;
                found.push_str(" { ");
            }
            (false, ..) => {}
            (true, Some(_), '\\') => drop(chars.next()),
            (true, Some(end), char) => quote = quote.filter(|_| char != end),
            (true, None, '"' | '\'') => {
                quote = Some(char);
                found.push_str(" quoted ");
            }
            (true, None, '}' | '%') if chars.next_if_eq(&'}').is_some() => inside = false,
            (true, None, char) => found.push(char),
        }
    }
    found
}

/// What to say of a name that there is not.
pub(crate) fn unknown_name(name: &str, known: &[&str]) -> String {
    let nearest =
        known.iter().map(|known| (strsim::damerau_levenshtein(known, name), *known)).min();
    match nearest {
        Some((distance, known)) if distance <= name.len().div_ceil(2) => {
            format!("there is no {name:?}; did you mean {known:?}?")
        }
        Some(_) | None => format!("there is no {name:?}; there are {}", known.join(", ")),
    }
}

/// Why a template cannot be used; `names` says what may stand in it.
pub(crate) fn unusable(problem: &Error, names: &str) -> String {
    let what = match (problem.kind() == ErrorKind::UndefinedError, problem.detail()) {
        (true, _) => format!("it uses something that is not there; {names}"),
        (false, Some(detail)) => detail.to_owned(),
        (false, None) => problem.kind().to_string(),
    };
    format!("the template cannot be used: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nests_too_deeply_is_an_error_and_no_end_of_the_process() {
        for prefix in ["-", "- ", "not ", "not\n", "-not -", "(-", "(not("] {
            let text = format!("{{{{ {}1 }}}}", prefix.repeat(20_000));
            let problem = names(&environment(), &text, false).unwrap_err();
            assert!(
                unusable(&problem, "").contains("more than 50 signs, opening brackets"),
                "{prefix}: {problem}"
            );
        }
        let dashes = "-".repeat(200);
        let usual = format!(
            "{dashes}{{%- if not a -%}} {dashes} {{{{ -b ~ '{dashes}' }}}}{{% endif -%}}{dashes}"
        );
        assert_eq!(names(&environment(), &usual, false).unwrap().len(), 2);
    }
}
