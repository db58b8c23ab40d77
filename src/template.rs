//! Templates (Jinja) over plain values: strict, and without a loader, functions or includes.

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

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
) -> Result<BTreeSet<String>, minijinja::Error> {
    let template = environment.template_from_str(text)?;
    Ok(template.undeclared_variables(nested).into_iter().collect())
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
pub(crate) fn unusable(problem: &minijinja::Error, names: &str) -> String {
    let what = match (problem.kind() == ErrorKind::UndefinedError, problem.detail()) {
        (true, _) => format!("it uses something that is not there; {names}"),
        (false, Some(detail)) => detail.to_owned(),
        (false, None) => problem.kind().to_string(),
    };
    format!("the template cannot be used: {what}")
}
