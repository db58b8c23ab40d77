//! What a service said, made fit to be shown: short, on one line, without secrets.

use crate::shown::visible;

/// How much of a service's own words is shown.
const LONGEST_QUOTE: usize = 300;

/// A run of token characters this long is taken for a secret.
const LONGEST_WORD: usize = 40;

/// A service's words, on one line and shortened. Each of `secrets`, as it is and as JSON and forms write it,
/// every long run of characters that tokens are made of, and the query of every URL are left out.
#[must_use]
pub fn quote(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        // A service that quotes what it was sent may quote the JSON or the form.
        for written in [as_json(secret), as_form(secret), (*secret).to_owned()] {
            text = text.replace(&written, "[left out]");
        }
    }
    // Escaped: such a character could make what follows look like something else.
    let text = visible(&text);
    let words: Vec<String> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(word)
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= LONGEST_QUOTE {
        return line;
    }
    let mut short: String = line.chars().take(LONGEST_QUOTE).collect();
    short.push('…');
    short
}

fn as_json(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    let inside = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"'));
    inside.unwrap_or(secret).to_owned()
}

fn as_form(secret: &str) -> String {
    form_urlencoded::byte_serialize(secret.as_bytes()).collect()
}

fn word(word: &str) -> String {
    let word = match word.split_once('?') {
        Some((url, _)) if url.contains("://") => format!("{url}?[left out]"),
        Some(_) | None => word.to_owned(),
    };
    let is_token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '=');
    let mut shown = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars() {
        if is_token(c) {
            run.push(c);
        } else {
            shown.push_str(&kept(std::mem::take(&mut run)));
            shown.push(c);
        }
    }
    shown.push_str(&kept(run));
    shown
}

/// Kept unless it looks like a secret: long, and with a digit in it, which the words and paths of
/// messages rarely have.
fn kept(run: String) -> String {
    if run.len() >= LONGEST_WORD && run.bytes().any(|b| b.is_ascii_digit()) {
        "[left out]".to_owned()
    } else {
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_known_and_likely_are_left_out() {
        let long = format!("tok_aB3dE5gH7jK9mN1p.{}", "0a".repeat(32));
        let text = format!("token {long}\nof \"short-secret\" at https://h/p?code=canary is bad");
        assert_eq!(
            quote(&text, &["short-secret", ""]),
            "token [left out] of \"[left out]\" at https://h/p?[left out] is bad"
        );
    }

    #[test]
    fn a_secret_is_left_out_as_it_was_sent() {
        let secret = r#"a"b\c~d""#;
        let text = format!(
            "{} is none, nor is {secret}, nor client_secret=a%22b%5Cc%7Ed%22&x",
            serde_json::json!({ "k": secret })
        );
        assert_eq!(
            quote(&text, &[secret]),
            r#"{"k":"[left out]"} is none, nor is [left out], nor client_secret=[left out]&x"#
        );
    }

    #[test]
    fn what_turns_the_writing_is_escaped() {
        assert_eq!(quote("no\u{202e}such\u{200b} token", &[]), "no\\u202esuch\\u200b token");
    }

    #[test]
    fn plain_words_stay_and_are_shortened() {
        let text = "Insufficient scope, expected any of: read:scim_config.";
        assert_eq!(quote(text, &[]), text);
        let url = "see https://auth0.com/docs/authenticate/protocols/scim/configure-inbound-scim.";
        assert_eq!(quote(url, &[]), url);
        assert_eq!(quote(&"ä ".repeat(400), &[]).chars().count(), 301);
    }
}
