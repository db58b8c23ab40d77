//! Characters that a terminal does not show, or that change the order in which it shows others.

use std::{borrow::Cow, fmt::Write};

/// Whether a character has no width of its own or turns the direction of writing: a text that holds
/// one is not what it looks like.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text with each such character escaped as JSON escapes it: what is a JSON document stays the
/// same document.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_invisible(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown.into()
}

/// Whether a text is one plain word to every shell, and no option: letters, digits, `.`, `_`, `-`, `:`,
/// `@`, `+`, `/` and `,`, and not `-` first.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && odd_one(text).is_none()
}

/// The first character that a shell could read as something else.
#[must_use]
pub fn odd_one(text: &str) -> Option<char> {
    text.chars().find(|c| {
        let plain = c.is_ascii_alphanumeric() || "._-:@+/,".contains(*c);
        let letter = !c.is_ascii() && !c.is_whitespace() && !c.is_control() && !is_invisible(*c);
        !(plain || letter)
    })
}

/// The text as one word of a command that people copy into a shell.
#[must_use]
pub fn shell_word(text: &str) -> Cow<'_, str> {
    if is_plain(text) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_the_shell_is_quoted_only_where_it_must_be() {
        for plain in ["initech-okta", "a/b:c@d+e,f.g_h", "zoë-東京", "file:/run/a.token"] {
            assert!(is_plain(plain) && shell_word(plain) == plain, "{plain}");
        }
        let odd = ["", "-x", "--all", "$(id)", "a;b", "`id`", "*", "a b", "~", "a=b", "a\u{200b}"];
        for odd in odd {
            assert_eq!(shell_word(odd), format!("'{odd}'"));
        }
        assert_eq!(shell_word("a'b"), r"'a'\''b'");
    }

    #[test]
    fn what_turns_the_writing_is_escaped_and_json_stays_what_it_is() {
        for plain in ["initech-okta", "Zoë – 東京 ✓ …", "عربي", "\u{1b}[31mred", ""] {
            assert!(matches!(visible(plain), Cow::Borrowed(_)), "{plain:?}");
        }
        assert_eq!(visible("a\u{202e}b\u{200b}"), "a\\u202eb\\u200b");
        let value = serde_json::json!({ "why": "pay\u{2066}load \u{e0041}\u{feff}" });
        let text = value.to_string();
        let shown = visible(&text);
        assert!(shown.is_ascii() && shown.contains("\\u2066"), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
