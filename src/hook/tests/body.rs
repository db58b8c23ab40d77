//! Bodies in a service's own form.

use super::*;
use crate::secret::Secret;

fn json() -> ContentType {
    ContentType::try_new(ContentType::DEFAULT).unwrap()
}

fn parsed(source: &str) -> Result<BodyTemplate, String> {
    BodyTemplate::parse(source, json(), ["key"].into_iter())
}

/// What happened, in words that mean something to every form.
fn odd(words: &str) -> Message {
    let happening = Happening {
        occasion: Occasion::Failed,
        at: fixture::now(),
        token: None,
        previous: None,
        expires_at: None,
        generation: 7,
        threshold: None,
        reason: Some("terminal".to_owned()),
        words: words.to_owned(),
    };
    let id = Digest::of(b"odd");
    let notice = Notice { id, number: 4, happening, begun: None, until: None, trouble: None };
    Message::new(&fixture::empty(), &notice)
}

fn filled(template: &BodyTemplate, message: &Message) -> String {
    let secrets = [("key".to_owned(), Secret::new("k\"ey".to_owned()))].into();
    String::from_utf8(template.render(message, &secrets).unwrap().to_vec()).unwrap()
}

#[test]
fn whatever_happened_json_stays_json() {
    let template = parsed(
        r#"{ "text": "{{ event }}: {{ why[:40] }}", "key": "{{ secrets.key }}", "n": {{ number + 1 }},
            "until": {% if expires_at %}"{{ expires_at }}"{% else %}null{% endif %},
            "id": "{{ (event ~ '/' ~ token_id)[:9] }}", "who": "{{ connection | upper }}" }"#,
    )
    .unwrap();
    let words = "a \"quote\", \\ and\na line\u{7}, {{ why }}";
    let sent: serde_json::Value = serde_json::from_str(&filled(&template, &odd(words))).unwrap();
    let who = fixture::empty().name.to_string().to_uppercase();
    let expected = serde_json::json!({
        "text": format!("failed: {words}"),
        "key": "k\"ey",
        "n": 5,
        "until": null,
        "id": "failed/",
        "who": who,
    });
    assert_eq!(sent, expected);
    let sent: serde_json::Value = serde_json::from_str(&filled(&template, &message())).unwrap();
    assert_eq!(sent["until"], "2026-12-22T04:00:00Z");
    assert!(!format!("{template:?}").contains("k\"ey"));
}

#[test]
fn form_fields_and_plain_text_have_rules_of_their_own() {
    let with = |content_type: &str, source: &str| {
        let content_type = ContentType::try_new(content_type).unwrap();
        let template = BodyTemplate::parse(source, content_type, [].into_iter()).unwrap();
        filled(&template, &odd("a=1&b=\"ü\"\n"))
    };
    let fields = with("application/x-www-form-urlencoded", "message={{ why }}&n={{ number }}");
    assert_eq!(fields, "message=a%3D1%26b%3D%22%C3%BC%22%0A&n=4");
    let text = with("text/plain; charset=utf-8", "{{ event }}: {{ why }}");
    assert_eq!(text, "failed: a=1&b=\"ü\"\n");
    for content_type in ["application/vnd.api+json", "Application/JSON; charset=utf-8"] {
        assert_eq!(with(content_type, "[\"{{ why }}\"]"), "[\"a=1&b=\\\"ü\\\"\\n\"]");
    }
    for other in ["text/html", "application/xml", "", "json", "application/json\n"] {
        assert!(ContentType::try_new(other).is_none(), "{other}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_beforehand() {
    for (source, words) in [
        ("{ \"a\": \"{{ whi }}\" }", "there is no \"whi\"; did you mean \"why\"?"),
        ("{ \"a\": \"{{ secrets.kex }}\" }", "did you mean \"secrets.key\"?"),
        ("{ \"a\": \"{{ secrets }}\" }", "there is no \"secrets\""),
        ("{% if false %}{{ secrets.none_such }}{% endif %}1", "there is no \"secrets.none_such\""),
        ("{ \"a\": \"{{ why.text }}\" }", "there is no \"why.text\""),
        ("{ \"a\": \"{{ token }}\" }", "there is no \"token\""),
        ("{ \"a\": {{ why }} }", "it is not JSON once it is filled in (line 1, column 8)"),
        ("{ \"a\": \"{{ why }}\", }", "it is not JSON once it is filled in"),
        ("{{ why }}", "it is not JSON once it is filled in"),
        ("{ \"a\": \"{{ why \" }", "the template cannot be used: "),
        ("{ \"a\": \"{{ [why] }}\" }", "only text and numbers can be filled in"),
        ("{ \"a\": {{ expires_at or 0 }} }", "it is not JSON once it is filled in"),
        ("{% include 'x' %}", "the template cannot be used: "),
    ] {
        let refused = parsed(source).unwrap_err();
        assert!(refused.contains(words), "{source}: {refused}");
    }
}

#[test]
fn every_field_can_be_filled_in() {
    let all: Vec<_> =
        FIELDS.iter().map(|name| format!("\"{name}\": \"{{{{ {name} }}}}\"")).collect();
    let template = parsed(&format!("{{ {} }}", all.join(", "))).unwrap();
    let sent: serde_json::Value = serde_json::from_str(&filled(&template, &message())).unwrap();
    for (name, text) in message().fields() {
        assert_eq!(sent[name], text.unwrap_or_default(), "{name}");
    }
    assert_eq!(sent["token_id"], "tok_2");
}
