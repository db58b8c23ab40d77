//! What others put there: it is kept, or refused with the way out, and lost only when told.

use std::path::Path;

use scimitar::{
    error::{Class, Code, Fault},
    sink::{
        Contents, Loss, Reading, Sink,
        aws::{AwsSink, AwsTarget},
    },
};
use serde_json::{Value, json};

use super::{
    moto::{self, Moto},
    rotates::{delivering, exits, printed, scimitar},
    sink_conformance::*,
    site::{MotoSite, named, sink_of, template},
    strict::StrictSite,
};

async fn made(moto: &'static Moto, mut body: Value) -> MotoSite {
    let site = MotoSite::new(moto, None);
    body["Name"] = json!(site.name);
    site.must("CreateSecret", body).await;
    site
}

fn as_is(site: &MotoSite) -> AwsTarget {
    named(&site.name)
}

fn is_foreign(fault: &Fault, words: &str) {
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::ForeignContent), "{fault}");
    assert!(fault.detail.contains(words), "{words}: {fault}");
    assert!(fault.detail.contains("overwrite = true"), "the way out: {fault}");
}

/// A delivery may write over what was seen, and then nothing is left to be lost.
async fn is_replaced(sink: &AwsSink, seen: &Reading) {
    sink.prove_writable(seen).await.unwrap();
    promote(sink, 1).await;
    let seen = sink.read().await.unwrap();
    assert_holds(&seen, &delivery(1));
    assert_eq!(seen.loss, Loss::Nothing);
}

/// A text that is no JSON object is the property of whoever put it there, also where it is a token:
/// its readers would not find that in an object.
#[tokio::test]
async fn plain_text_is_never_turned_into_an_object() {
    let moto = moto::shared().await;
    for (text, words) in [
        ("tok_by_hand.0123", "plain text"),
        ("tok_by_hand.0123\n", "format = \"raw\""),
        ("the password of a neighbour", "plain text"),
        ("[1]", "looks like JSON"),
        ("{\"token\": \"x\", }", "looks like JSON"),
    ] {
        let site = made(moto, json!({ "SecretString": text })).await;
        let before = (site.current().await, site.labels().await);
        for payload in [None, Some(template(&[("T", "{{ token }}")]))] {
            let sink = sink_of(site.settings(), AwsTarget { payload, ..as_is(&site) });
            let seen = sink.read().await.unwrap();
            let Contents::Unmarked { value: None } = &seen.contents else { panic!("{seen:?}") };
            assert!(matches!(&seen.loss, Loss::Unparsed(why) if why.contains(words)), "{seen:?}");
            is_foreign(&sink.prove_writable(&seen).await.unwrap_err(), words);
            is_foreign(&sink.stage(&delivery(1), &Gate::open()).await.unwrap_err(), words);
            let written = sink.promote(&delivery(1), &seen.version, &Gate::open()).await;
            is_foreign(&written.unwrap_err(), words);
        }
        assert_eq!((site.current().await, site.labels().await), before, "{text}");
        // Told, it is replaced.
        let sink = sink_of(site.settings(), AwsTarget { overwrite: true, ..as_is(&site) });
        assert!(sink.overwrites());
        let seen = sink.read().await.unwrap();
        assert!(matches!(seen.loss, Loss::Unparsed(_)), "it is said all the same");
        is_replaced(&sink, &seen).await;
    }
}

#[tokio::test]
async fn bytes_are_refused_before_anything_else() {
    for raw in [false, true] {
        let site = made(moto::shared().await, json!({ "SecretBinary": "//79" })).await;
        let before = site.labels().await;
        let sink = sink_of(site.settings(), AwsTarget { raw, ..as_is(&site) });
        is_foreign(&sink.read().await.unwrap_err(), "is binary");
        let overwriting =
            sink_of(site.settings(), AwsTarget { raw, overwrite: true, ..as_is(&site) });
        let seen = overwriting.read().await.unwrap();
        assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
        is_foreign(&sink.prove_writable(&seen).await.unwrap_err(), "is binary");
        let written = sink.promote(&delivery(1), &seen.version, &Gate::open()).await;
        is_foreign(&written.unwrap_err(), "is binary");
        assert_eq!(site.labels().await, before);
        overwriting.prove_writable(&seen).await.unwrap();
        promote(&overwriting, 1).await;
        assert_holds(&sink.read().await.unwrap(), &delivery(1));
    }
}

/// Keys of ours that hold what we did not put there would be lost; those of others would not.
#[tokio::test]
async fn an_object_says_what_of_it_would_be_lost() {
    let moto = moto::shared().await;
    for (text, payload, loss) in [
        ("{}", None, Loss::Nothing),
        (r#"{"theirs":"x"}"#, None, Loss::Nothing),
        (r#"{"token":"tok_by_hand.0123"}"#, None, Loss::Value),
        (r#"{"provider":"of something else"}"#, None, Loss::Value),
        (r#"{"T":"tok_by_hand.0123"}"#, None, Loss::Nothing),
        (r#"{"T":"tok_by_hand.0123"}"#, Some(template(&[("T", "{{ token }}")])), Loss::Value),
        (r#"{"token":"tok_by_hand.0123"}"#, Some(template(&[("T", "{{ token }}")])), Loss::Nothing),
    ] {
        let site = made(moto, json!({ "SecretString": text })).await;
        let sink = sink_of(site.settings(), AwsTarget { payload, ..as_is(&site) });
        let seen = sink.read().await.unwrap();
        assert_eq!(seen.loss, loss, "{text}");
        // Whether that is drift at a place of ours is not for the sink to say.
        is_replaced(&sink, &seen).await;
    }
}

#[tokio::test]
async fn the_readers_token_is_found_under_whatever_key_it_stands() {
    let text = r#"{"OKTA_TOKEN":"tok_by_hand.0123","more":{"auth":"Bearer tok_2.x","n":1},
        "words":"not a token","token":"tok_ours.1"}"#;
    let site = made(moto::shared().await, json!({ "SecretString": text })).await;
    let found = async |to: AwsTarget| {
        let seen = sink_of(site.settings(), to).read().await.unwrap();
        assert!(!format!("{seen:?}").contains("tok_by_hand"), "a value is shown");
        let found = seen.elsewhere.into_iter();
        let found = found.map(|found| format!("{} {}", found.key, found.value.expose()));
        found.collect::<Vec<_>>()
    };
    let others = ["OKTA_TOKEN tok_by_hand.0123", "more.auth tok_2.x"];
    assert_eq!(found(as_is(&site)).await, others);
    let payload = Some(template(&[("OKTA_TOKEN", "{{ token }}")]));
    let to = AwsTarget { payload, ..as_is(&site) };
    assert_eq!(found(to).await, ["more.auth tok_2.x", "token tok_ours.1"]);
}

/// The secret is the token, before and after: its readers see nothing else.
#[tokio::test]
async fn plain_text_stays_plain_text() {
    let text = "tok_by_hand.0123\n";
    let site = made(moto::shared().await, json!({ "SecretString": text })).await;
    let site = MotoSite { raw: true, ..site };
    let sink = site.sink();
    let seen = sink.read().await.unwrap();
    let Contents::Unmarked { value: Some(value) } = &seen.contents else { panic!("{seen:?}") };
    assert_eq!((value.expose(), &seen.loss), ("tok_by_hand.0123", &Loss::Value));
    assert!(seen.elsewhere.is_empty());
    for generation in 1..=3 {
        sink.prove_writable(&sink.read().await.unwrap()).await.unwrap();
        promote(&sink, generation).await;
        let delivery = delivery(generation);
        assert_eq!(site.current().await.1, delivery.value.expose());
        let seen = site.sink().read().await.unwrap();
        assert_holds(&seen, &delivery);
        assert_eq!(seen.loss, Loss::Nothing);
    }
    assert!(site.tags().await.keys().all(|key| key.starts_with("scimitar:")));
    // The form is not changed under its readers: neither from here …
    let object = sink_of(site.settings(), as_is(&site));
    let seen = object.read().await.unwrap();
    is_foreign(&object.prove_writable(&seen).await.unwrap_err(), "format = \"raw\"");
    // … nor to here.
    let other = MotoSite::new(site.moto, None);
    promote(&other.sink(), 1).await;
    let raw = MotoSite { raw: true, ..other };
    let seen = raw.sink().read().await.unwrap();
    assert!(matches!(seen.contents, Contents::Unmarked { value: None }), "{seen:?}");
    is_foreign(&raw.sink().prove_writable(&seen).await.unwrap_err(), "JSON object");
}

/// As the ledger remembers it, it is the same delivery.
#[tokio::test]
async fn a_remembered_delivery_keeps_its_form() {
    let site = StrictSite::raw().await;
    promote(&site.sink(), 1).await;
    let account = scimitar::sink::aws::AwsAccount::try_new(
        site.settings(),
        std::sync::Arc::new(scimitar::clock::SystemClock),
    )
    .unwrap();
    let place = site.sink().place().clone();
    assert_eq!(place.delivery, json!({ "name": site.name, "raw": true }).into());
    let reopened = AwsSink::reopen(&account, &place).unwrap();
    assert_holds(&reopened.read().await.unwrap(), &delivery(1));
    assert!(!reopened.overwrites());
    let both = AwsTarget {
        raw: true,
        payload: Some(template(&[("T", "{{ token }}")])),
        ..named(&site.name)
    };
    let fault = AwsSink::try_new(&account, both).unwrap_err();
    assert_eq!(fault.code, Code::Invalid, "{fault}");
}

fn say(folder: &Path, name: &str, more: &str) {
    let path = folder.join("c.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let entry = format!("name = \"{name}\"");
    std::fs::write(&path, config.replace(&entry, &format!("{entry}{more}"))).unwrap();
}

/// The real program: a wrong `name` costs no neighbour its value.
#[tokio::test]
async fn anothers_secret_is_refused_before_a_mint_and_by_check() {
    let text = "the password of a neighbour";
    let site = made(moto::shared().await, json!({ "SecretString": text })).await;
    let folder = delivering(&site, "", "");
    let said = exits(&scimitar(folder.path(), &["check", "--online"]).await, 1);
    assert!(said.contains("plain text") && said.contains("overwrite = true"), "{said}");
    assert!(!said.contains("neighbour"), "what is there is not shown");
    let arguments = ["--rotate-now", "--timeout", "1s", "--output", "json"];
    let ended = scimitar(folder.path(), &arguments).await;
    assert_ne!(ended.status.code(), Some(0), "{}", printed(&ended));
    let document: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(document["results"][0]["token_id"], Value::Null, "nothing was minted: {document}");
    assert_eq!(site.current().await.1, text);
    say(folder.path(), &site.name, ", overwrite = true");
    exits(&scimitar(folder.path(), &["check", "--online"]).await, 0);
    exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
    assert!(site.current().await.1.as_str().unwrap().contains("\"token\":"));
}

/// The real program: what is delivered as plain text is rotated as that.
#[tokio::test]
async fn plain_text_is_rotated_as_plain_text() {
    let site = MotoSite::new(moto::shared().await, None);
    let folder = delivering(&site, "", "");
    say(folder.path(), &site.name, ", format = \"raw\"");
    let mut values = Vec::new();
    for _ in 0..2 {
        let said = exits(&scimitar(folder.path(), &["--rotate-now"]).await, 0);
        let (_, text) = site.current().await;
        let text = text.as_str().unwrap().to_owned();
        assert!(!text.contains(['{', '"', ' ', '\n']), "it is the token alone");
        assert!(!said.contains(&text), "a value is shown");
        values.push(text);
    }
    assert_ne!(values[0], values[1]);
    // Lost, the ledger is made again from the tags.
    std::fs::remove_file(folder.path().join("ledger.db")).unwrap();
    exits(&scimitar(folder.path(), &["--once"]).await, 0);
    assert_eq!(site.current().await.1, values[1].as_str());
    let said = printed(&scimitar(folder.path(), &["permissions"]).await);
    for right in ["secretsmanager:TagResource", "secretsmanager:UntagResource"] {
        assert!(said.contains(right), "{said}");
    }
}
