//! Templates (Jinja) over plain values: strict, and without a loader, functions or includes.

mod bounds;

use std::collections::BTreeSet;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

/// So many signs, opening brackets and `not` may follow one another: the parser follows each with a call of its own
/// and does not count them, and a stack that is used up ends the process.
const DEEPEST: usize = 50;

/// What stands for the begin of an expression among [`expressions`].
const BEGINS: char = ';';

/// An engine that knows no name but those that it is given, and escapes nothing.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    bounds::bind(&mut environment);
    environment
}

/// Fills a template in.
///
/// # Errors
/// When it fails on these values, or would come to more than any place takes.
pub(crate) fn rendered(
    environment: &Environment<'_>,
    text: &str,
    context: Value,
) -> Result<String, Error> {
    bounds::render(&environment.template_from_str(text)?, context)
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
        let words = format!("more than {DEEPEST} signs, opening brackets or `not` in a row");
        return Err(Error::new(ErrorKind::SyntaxError, words));
    }
    bounds::check(text, &expressions(text))
        .map_err(|words| Error::new(ErrorKind::SyntaxError, words))?;
    let template = environment.template_from_str(text)?;
    Ok(template.undeclared_variables(nested).into_iter().collect())
}

/// Whether more than [`DEEPEST`] signs, opening brackets or `not` in a row in an expression; space between
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
                found.extend([' ', BEGINS, ' ']);
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
        Some(_) | None => format!("there is no {name:?}; the names are {}", known.join(", ")),
    }
}

/// Why a template cannot be used; `names` says what may stand in it.
pub(crate) fn unusable(problem: &Error, names: &str) -> String {
    let what = match (problem.kind() == ErrorKind::UndefinedError, problem.detail()) {
        (true, _) => format!("it uses an unknown name; {names}"),
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

    /// Each of these would take gigabytes, or hours.
    #[test]
    fn little_does_not_become_much() {
        let quoted = format!("{{{{ {}'\\\\'{} }}}}", "[".repeat(40), "] ~ ''".repeat(40));
        let loops = "{% for a in b %}".repeat(9) + "x" + &"{% endfor %}".repeat(9);
        let nested = "{% if b %}".repeat(31) + &"{% endif %}".repeat(31);
        for text in [
            "{{ 'x' | indent(4000000000) }}",
            "{{ 'x' | indent(width=4000000000, first=true) }}",
            "{{ 'x' * 100000000 }}",
            "{{ [1] * 100000000 }}",
            "{{ 9 ** 9 ** 9 }}",
            "{{ '%1000000000d' | format(1) }}",
            "{{ '%*d' | format(1000000000, 1) }}",
            "{{ 'x' | slice(4000000000) }}",
            "{{ 'x' | list | batch(4000000000, 'y') }}",
            "{% set c = b %}{% set c = c ~ c %}{{ c }}",
            "{% with c = b %}{{ c }}{% endwith %}",
            "{%- filter indent(9) -%}{{ b }}{% endfilter %}",
            "{% for a in b recursive %}{{ loop(b) }}{% endfor %}",
            "{{ b | replace('', 'yyyyyyyy') | replace('', 'yyyyyyyy') | replace('', 'yyyyyyyy') \
              | replace('', 'yyyyyyyy') | replace('', 'yyyyyyyy') }}",
            "{{ b | join('yyyyyyyyyyyyyyyy') | join('yyyyyyyyyyyyyyyy') | join('yyyyyyyyyyyyyyyy') }}",
            &("{{ b".to_owned() + &" | list | string".repeat(20) + " }}"),
            &"x".repeat(17 * 1024),
            &quoted,
            &loops,
            &nested,
        ] {
            let environment = environment();
            let context = Value::from_pairs([("b", "x".repeat(50))]);
            let made = names(&environment, text, false)
                .and_then(|_| rendered(&environment, text, context));
            let problem = made.expect_err(text);
            assert!(!unusable(&problem, "").is_empty(), "{problem}");
        }
    }

    #[test]
    fn what_templates_are_written_for_still_works() {
        for (text, made) in [
            ("{{ b | replace(' ', '-') | lower }}", "id-team"),
            ("{% if b %}{{ b | upper }}{% elif c %}{% else %}none{% endif %}", "ID TEAM"),
            (
                "{%- for word in b | split(' ') -%}{{ loop.index }}{{ word }} {% endfor %}",
                "1Id 2team ",
            ),
            ("{{ b | indent(2, true) }} {{ '%s:%03d' | format(b, 7) }}", "  Id team Id team:007"),
            ("{{ b | split(' ') | map('upper') | select | join(', ') }}", "ID, TEAM"),
            ("{{ ((b ~ 'x') | list | length) + 1 }} {{ b in ['Id team', 'other'] }}", "9 True"),
        ] {
            let environment = environment();
            names(&environment, text, false).unwrap();
            let context = Value::from_pairs([("b", "Id team")]);
            assert_eq!(rendered(&environment, text, context).unwrap(), made, "{text}");
        }
        let long = "{% for a in b %}".to_owned() + &"y".repeat(8_000) + "{% endfor %}";
        let context = Value::from_pairs([("b", "x".repeat(500))]);
        let problem = rendered(&environment(), &long, context).unwrap_err();
        assert!(problem.to_string().contains("longer than 1024 KiB"), "{problem}");
    }
}
