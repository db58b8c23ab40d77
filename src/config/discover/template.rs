//! `{{ connection.name }}` in what a `[[discover]]` says of its sinks. Only plain characters are put in,
//! so that nothing that a connection is called leads to another place.

/// What can be filled in.
pub(in crate::config) const NAMES: [&str; 4] =
    ["connection.name", "connection.id", "connection.strategy", "provider"];

/// What tells one connection of a provider from the others.
const OWN: [&str; 2] = ["connection.name", "connection.id"];

/// Why a template was not filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Unrendered {
    /// There is no such name; `None`: braces are left open.
    Unknown(Option<String>),
    /// What stands for it could lead elsewhere.
    Unsafe {
        /// Such as `connection.name`.
        name: &'static str,
    },
}

/// The text with its templates filled in; `None` where there are none.
///
/// # Errors
/// When a name is not known, or what stands for it is not safe.
pub(super) fn render<'v>(
    text: &str,
    names: &impl Fn(&str) -> Option<&'v str>,
) -> Result<Option<String>, Unrendered> {
    if !text.contains("{{") {
        return Ok(None);
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, after) = behind.split_once("}}").ok_or(Unrendered::Unknown(None))?;
        let name = name.trim();
        let known = NAMES.into_iter().find(|known| *known == name).zip(names(name));
        let Some((name, value)) = known else {
            return Err(Unrendered::Unknown(Some(name.to_owned())));
        };
        if !is_safe(value) {
            return Err(Unrendered::Unsafe { name });
        }
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(Some(filled))
}

/// A plain word that is no path: it leads to no other folder and hides no file.
fn is_safe(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=128).contains(&value.len())
        && value.bytes().all(plain)
        && !value.starts_with(['.', '-'])
        && !value.contains("..")
}

/// The first name in a text that is not known; `Some("")` where braces are left open.
pub(in crate::config) fn unknown_name(text: &str) -> Option<String> {
    match render(text, &|_| Some("x")) {
        Err(Unrendered::Unknown(name)) => Some(name.unwrap_or_default()),
        Ok(_) | Err(Unrendered::Unsafe { .. }) => None,
    }
}

/// Whether a text is another for each connection.
pub(in crate::config) fn holds_names(text: &str) -> bool {
    let of = |value: &'static str| {
        render(text, &|name| Some(if OWN.contains(&name) { value } else { "x" }))
    };
    of("a") != of("b")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, name: &str) -> Result<Option<String>, Unrendered> {
        render(text, &|known| (known == "connection.name").then_some(name))
    }

    #[test]
    fn names_are_filled_in_and_nothing_else_is() {
        let scim = filled("scim/{{ connection.name }}/{{connection.name}}.json", "a-1");
        assert_eq!(scim, Ok(Some("scim/a-1/a-1.json".to_owned())));
        assert_eq!(filled("scim/{plain}", "a"), Ok(None));
        assert_eq!(unknown_name("x/{{ connection.nme }}").as_deref(), Some("connection.nme"));
        assert_eq!(unknown_name("x/{{ connection.name").as_deref(), Some(""));
        assert!(holds_names("{{ connection.id }}") && !holds_names("{{ connection.strategy }}"));
    }

    #[test]
    fn what_could_lead_elsewhere_is_not_filled_in() {
        for name in
            ["a/b", "..", ".a", "-a", "a..b", "", "a b", "é", "a\0", "a:b", &"a".repeat(129)]
        {
            let unsafe_one = Err(Unrendered::Unsafe { name: "connection.name" });
            assert_eq!(filled("scim/{{ connection.name }}", name), unsafe_one, "{name}");
        }
        for name in ["a", "Cust_1.prod-eu", "0"] {
            assert!(filled("{{ connection.name }}", name).is_ok(), "{name}");
        }
    }
}
