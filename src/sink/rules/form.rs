//! What a secret holds of a token: the fields of a JSON object, or the value alone.

use zeroize::Zeroizing;

use super::{
    Keys,
    document::{Document, Keyed, Layout},
    elsewhere, lost,
    marks::understood,
    secret_version::{Body, SecretVersion},
    tags::{self, Tags},
};
use crate::{
    error::{Class, Code, Fault},
    sink::{Contents, Delivery, Elsewhere, Loss, payload::PayloadError},
    token::{Digest, TokenValue},
};

/// What a secret holds of a token.
#[derive(Debug)]
pub(in crate::sink) enum Form {
    /// Keys of a JSON object.
    Keys(Keys),
    /// The value, and nothing else.
    Raw,
}

impl Form {
    /// Whether the value leaves no room for marks beside it.
    pub(in crate::sink) fn marks_in_tags(&self) -> bool {
        match self {
            Self::Keys(keys) => !keys.hold_marks(),
            Self::Raw => true,
        }
    }

    /// What a version means. One of another form than ours holds no token of ours: taken for one that
    /// is delivered, it would be left as it is until its readers lose it with the next rotation.
    pub(in crate::sink) fn understand(&self, held: &SecretVersion, tags: &Tags) -> Contents {
        let beside = |value: &Digest| tags::of_value(tags, value);
        match (self, &held.document, &held.body) {
            (Self::Keys(keys), Some(document), _) => keys.understand(document, beside),
            (Self::Raw, None, Body::Text(text)) if !is_structured(text) => {
                understood(TokenValue::try_new(line(text).to_owned()).ok(), None, beside)
            }
            (Self::Keys(_), None, _) | (Self::Raw, _, Body::Text(_) | Body::Binary(_)) => {
                Contents::Unmarked { value: None }
            }
        }
    }

    /// What a delivery takes away from whoever put it there.
    pub(in crate::sink) fn loss(&self, held: &SecretVersion, contents: &Contents) -> Loss {
        if matches!(contents, Contents::Marked { .. }) {
            return Loss::Nothing;
        }
        let lost = |words: &str| Loss::Unparsed(words.to_owned());
        match (self, &held.document, &held.body) {
            (_, _, Body::Binary(_)) => lost(BINARY),
            (Self::Raw, Some(_), _) => lost(
                "its value is a JSON object, and this delivery (format = \"raw\") would replace all \
                 of it",
            ),
            (_, None, Body::Text(text)) if text.trim().is_empty() => Loss::Nothing,
            (Self::Raw, None, Body::Text(text)) if is_structured(text) => lost(
                "its value looks like JSON, and this delivery (format = \"raw\") would replace all \
                 of it",
            ),
            (Self::Raw, None, Body::Text(_)) => Loss::Value,
            (Self::Keys(_), None, Body::Text(text)) if is_structured(text) => {
                lost("its value looks like JSON, but is not a valid JSON object")
            }
            (Self::Keys(_), None, Body::Text(_)) => lost(
                "its value is plain text, not a JSON object (format = \"raw\" delivers the token alone, \
                 as plain text)",
            ),
            (Self::Keys(keys), Some(document), Body::Text(_)) => keys.loss(document),
        }
    }

    /// The strings of a version that could be a token, beside the one that a delivery wrote.
    pub(in crate::sink) fn elsewhere(&self, held: &SecretVersion) -> Vec<Elsewhere> {
        match (self, &held.document, &held.body) {
            (Self::Keys(keys), Some(document), _) => keys.elsewhere(document),
            (Self::Raw, Some(document), _) => document.elsewhere(|_| false),
            (_, None, Body::Text(text)) => elsewhere::in_no_form(text.as_bytes()),
            (_, None, Body::Binary(_)) => Vec::new(),
        }
    }

    /// The content of the version that is to be: ours in the place of ours, the rest as it is.
    pub(in crate::sink) fn compose(
        &self,
        held: Option<&SecretVersion>,
        delivery: &Delivery,
    ) -> Result<Zeroizing<Vec<u8>>, PayloadError> {
        let keys = match self {
            Self::Raw => return Ok(Zeroizing::new(delivery.value.expose().as_bytes().to_vec())),
            Self::Keys(keys) => keys,
        };
        let nothing = Document::default();
        let document = held.and_then(|held| held.document.as_ref());
        keys.composed(document.unwrap_or(&nothing), delivery, Layout::Line)
    }
}

const BINARY: &str = "its value is binary, which no reader of a token expects";

/// Refuses what would be lost; `overwrite`: it may be.
pub(in crate::sink) fn refuse_loss(
    operation: &str,
    loss: &Loss,
    overwrite: bool,
) -> Result<(), Fault> {
    let Some(words) = lost(loss, overwrite) else { return Ok(()) };
    let detail = format!(
        "{words}; Scimitar does not replace it. Deliver to another place, or, if nobody needs the content, set \
         overwrite = true in this delivery for one rotation"
    );
    Err(Fault::new(operation, Class::Terminal, Code::ForeignContent, detail))
}

/// Text without the line end that an editor leaves.
fn line(text: &str) -> &str {
    text.trim_end_matches(['\r', '\n'])
}

/// Whether a text begins as a JSON object or array does.
fn is_structured(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::payload::{PayloadTemplate, Wiped};

    fn held(text: &str) -> SecretVersion {
        SecretVersion::of("v".to_owned(), Body::Text(Wiped::new(text.to_owned())))
    }

    fn template() -> Form {
        let source = [("T".to_owned(), "Bearer {{ token }}".to_owned())];
        Form::Keys(Keys::new(Some(PayloadTemplate::parse(&source.into()).unwrap())))
    }

    fn fields() -> Form {
        Form::Keys(Keys::new(None))
    }

    fn seen(form: &Form, text: &str) -> (Option<String>, Loss) {
        let held = held(text);
        let contents = form.understand(&held, &Tags::new());
        let loss = form.loss(&held, &contents);
        match contents {
            Contents::Unmarked { value } => (value.map(|value| value.expose().to_owned()), loss),
            Contents::Marked { .. } | Contents::Empty => panic!("{contents:?}"),
        }
    }

    #[test]
    fn a_form_takes_no_other_form_for_its_own() {
        let token = || Some("tok_1.x".to_owned());
        for form in [fields(), template()] {
            for text in ["tok_1.x", "tok_1.x\n", "two words", "[1]", "\"tok_1.x\"", "{\"a\":1,}"] {
                let (value, loss) = seen(&form, text);
                assert_eq!(value, None, "{form:?} {text}");
                assert!(matches!(loss, Loss::Unparsed(_)), "{form:?} {text}: {loss:?}");
            }
            for (text, loss) in [("", Loss::Nothing), (" ", Loss::Nothing), ("{}", Loss::Nothing)] {
                assert_eq!(seen(&form, text), (None, loss), "{form:?} {text:?}");
            }
        }
        assert_eq!(seen(&fields(), r#"{"token":"tok_1.x"}"#), (token(), Loss::Value));
        assert_eq!(seen(&template(), r#"{"T":"Bearer tok_1.x"}"#), (token(), Loss::Value));
        assert_eq!(seen(&fields(), r#"{"T":"Bearer tok_1.x"}"#), (None, Loss::Nothing));
        assert_eq!(seen(&fields(), r#"{"provider":{"x":1}}"#), (None, Loss::Value));
        for nothing in [r#"{"token":null}"#, r#"{"token":""}"#] {
            assert_eq!(seen(&fields(), nothing), (None, Loss::Nothing), "{nothing}");
        }
        // A number that no machine holds hides nothing.
        let theirs = (Some("theirs".to_owned()), Loss::Value);
        assert_eq!(seen(&fields(), r#"{"token":"theirs","n":1e999}"#), theirs);
        for text in ["tok_1.x", "tok_1.x\n", "tok_1.x\r\n"] {
            assert_eq!(seen(&Form::Raw, text), (token(), Loss::Value), "{text:?}");
        }
        assert_eq!(seen(&Form::Raw, "two words"), (None, Loss::Value));
        assert_eq!(seen(&Form::Raw, "\n"), (None, Loss::Nothing));
        for text in ["{}", r#"{"token":"tok_1.x"}"#, r#"{"a":1,}"#, "[1]"] {
            let (value, loss) = seen(&Form::Raw, text);
            assert_eq!(value, None, "{text}");
            assert!(matches!(&loss, Loss::Unparsed(words) if words.contains("JSON")), "{text}");
        }
        let binary = SecretVersion::of("v".to_owned(), Body::Binary(Zeroizing::new(vec![0xff])));
        for form in [fields(), template(), Form::Raw] {
            let contents = form.understand(&binary, &Tags::new());
            assert!(matches!(contents, Contents::Unmarked { value: None }));
            assert_eq!(form.loss(&binary, &contents), Loss::Unparsed(BINARY.to_owned()));
        }
    }

    #[test]
    fn every_string_that_could_be_a_token_is_found_under_its_path() {
        let text = r#"{"OKTA_TOKEN":"tok_1.x","auth":{"header":"Bearer tok_2.y","list":["a b",["z"]]},
            "token":"tok_3.z","n":7,"words":"not one"}"#;
        let found = |form: &Form, text: &str| -> Vec<(String, String)> {
            let found = form.elsewhere(&held(text)).into_iter();
            found.map(|found| (found.key, found.value.expose().to_owned())).collect()
        };
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let others = vec![
            pair("OKTA_TOKEN", "tok_1.x"),
            pair("auth.header", "tok_2.y"),
            pair("auth.list.1.0", "z"),
        ];
        assert_eq!(found(&fields(), text), others);
        let all = [others, vec![pair("token", "tok_3.z")]].concat();
        assert_eq!(found(&template(), text), all);
        assert_eq!(found(&Form::Raw, text), all);
        // Where a payload has other text around the token, this is not what a delivery wrote.
        assert_eq!(found(&template(), r#"{"T":"tok_1.x"}"#), [pair("T", "tok_1.x")]);
        assert_eq!(found(&Form::Raw, "tok_1.x"), []);
        let beside = r#"{"token":"theirs","OKTA_TOKEN":"tok_1.x","n":[1e999]}"#;
        let all = [pair("OKTA_TOKEN", "tok_1.x"), pair("n", "[1e999]")];
        assert_eq!(found(&fields(), beside), all);
        assert!(!format!("{:?}", Form::Raw.elsewhere(&held(text))).contains("tok_1.x"));
    }

    #[test]
    fn what_may_be_lost_is_said_in_the_delivery() {
        let lost = Loss::Unparsed("it is a poem".to_owned());
        let fault = refuse_loss("write x", &lost, false).unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::ForeignContent));
        assert!(
            fault.detail.contains("it is a poem; ") && fault.detail.contains("overwrite = true")
        );
        for (loss, overwrite) in [(lost, true), (Loss::Value, false), (Loss::Nothing, false)] {
            assert_eq!(refuse_loss("write x", &loss, overwrite), Ok(()));
        }
    }
}
