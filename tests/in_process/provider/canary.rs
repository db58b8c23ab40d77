//! No secret in anything that is shown: every text that a person or a log could see is searched.

use std::{
    fmt::Debug,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use scimitar::{
    error::Fault,
    probe::{ScimClient, ScimProbe},
    provider::{Provider, auth0::Auth0, kind::Needs},
    rotation::{
        policy::Mode,
        scim_config::{ConfigChange, Diff, Mapping, ScimConfig},
    },
};
use scimitar_test_support::own_process;
use tracing_subscriber::fmt::MakeWriter;

use super::{
    CREATED, call, connection, dbt,
    fake::{Answer, Fake, Kind, Seen, reply},
    http, mint, provider, settings, token_id, value,
};

/// Everything that was logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The words of everything that a call can end with.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn debug(&mut self, shown: &impl Debug) -> &mut Self {
        self.0.push_str(&format!("{shown:?} {shown:#?}\n"));
        self
    }

    fn outcome<T: Debug>(&mut self, outcome: &Result<T, Fault>) {
        self.debug(outcome);
        if let Err(fault) = outcome {
            let json = serde_json::to_string(fault).unwrap();
            self.0.push_str(&format!("{fault} {json}\n"));
        }
    }
}

async fn everything_of_dbt_cloud(fake: &Fake, shown: &mut Shown) {
    let (dbt_cloud, account) = (dbt::provider(fake), dbt::account());
    shown.debug(&dbt_cloud);
    shown.outcome(&dbt_cloud.list(call(&account)).await);
    shown.outcome(&dbt_cloud.create(call(&account), &dbt::mint()).await);
    shown.outcome(&dbt_cloud.revoke(call(&account), &dbt::token_id()).await);
    shown.outcome(&dbt_cloud.prove(std::slice::from_ref(&account), Needs::of(Mode::Rotate)).await);
    let probe = ScimClient::new(http(), Duration::from_secs(5));
    let token = scimitar::token::TokenValue::try_new(dbt::VALUE.to_owned()).unwrap();
    shown.debug(&probe.read(&dbt_cloud.scim_endpoint(&account), &token).await);
}

async fn everything(auth0: &Auth0, shown: &mut Shown) {
    let connection = connection();
    shown.debug(&auth0);
    shown.outcome(&auth0.list(call(&connection)).await);
    shown.outcome(&auth0.create(call(&connection), &mint()).await);
    shown.outcome(&auth0.revoke(call(&connection), &token_id()).await);
    shown.outcome(&auth0.prove(std::slice::from_ref(&connection), Needs::of(Mode::Rotate)).await);
    shown.outcome(&auth0.scim_config(call(&connection), true).await);
    let config = ScimConfig { user_id_attribute: "sub".to_owned(), mapping: Mapping::new() };
    let replace = ConfigChange::Replace { by: config.clone(), diff: Diff::default() };
    for change in [ConfigChange::Create(None), ConfigChange::Create(Some(config)), replace] {
        shown.outcome(&auth0.configure(call(&connection), &change).await);
    }
    let probe = ScimClient::new(http(), Duration::from_secs(5));
    let token = scimitar::token::TokenValue::try_new(value()).unwrap();
    let endpoint = auth0.scim_endpoint(&connection);
    shown.debug(&probe).debug(&token);
    shown.debug(&probe.read(&endpoint, &token).await);
    shown.outcome(&probe.anonymous(&endpoint).await);
}

type Behaviour = Box<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// A service that quotes what it was sent, in every member and in a redirect's query.
fn echo(status: u16, seen: &Seen) -> Answer {
    let secret = seen.form().remove("client_secret").unwrap_or_default();
    let text = format!("{} {secret} {}", seen.credentials(), value());
    let body = format!(
        r#"{{"message":"no: {text}","errorCode":"{text}","error":"{text}","error_description":"{text}","status":{{"user_message":"{text}","developer_message":"no: {text}"}}}}"#
    );
    reply(status, body).with("location", format!("https://h/?x={}", value()))
}

#[tokio::test]
async fn no_secret_is_shown_or_logged_at_the_highest_level() {
    // It sets up the logs of the whole process.
    let test = "provider::canary::no_secret_is_shown_or_logged_at_the_highest_level";
    if !own_process::is_this(test) {
        return;
    }
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    let mut shown = Shown::default();
    let created = CREATED.replace("{VALUE}", &value());
    let cut = format!("HTTP/1.1 201 Created\r\ncontent-length: 900\r\n\r\n{created}");
    let mut answers: Vec<Behaviour> = Vec::new();
    for answer in [
        reply(201, created.clone()),
        reply(200, created.replace("\"tok_", "\"\u{7}tok_")),
        reply(201, format!("[{created}]")),
        Answer::Raw(cut),
        Answer::Drop,
        reply(200, dbt::created()),
        reply(200, dbt::created().replace("token_string\":\"", "token_string\":\"\u{7}")),
        reply(200, format!("[{}]", dbt::created())),
        reply(200, dbt::created().replace("true", "false")),
    ] {
        answers.push(Box::new(move |_| answer.clone()));
    }
    for status in [302, 400, 401, 403, 404, 409, 500] {
        answers.push(Box::new(move |seen| echo(status, seen)));
    }
    for answer in answers {
        let fake = Fake::start().await;
        let answer = Arc::new(answer);
        for kind in [Kind::List, Kind::Create, Kind::Revoke, Kind::Scim] {
            let answer = answer.clone();
            fake.on(kind, move |seen, _| answer(seen));
        }
        everything(&provider(&fake), &mut shown).await;
        everything_of_dbt_cloud(&fake, &mut shown).await;
        fake.on(Kind::Login, move |seen, _| answer(seen));
        everything(&provider(&fake), &mut shown).await;
    }
    shown.debug(&settings("http://127.0.0.1:1"));
    shown.debug(&dbt::settings("http://127.0.0.1:1"));

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // It was really listened to, and to the libraries as well.
    for source in ["scimitar::provider::caller", "reqwest::connect", "hyper_util::client"] {
        assert!(log.contains(source), "nothing of {source} was logged");
    }
    let hex = "0a".repeat(32);
    for (name, text) in [("log", &log), ("texts", &shown.0)] {
        for secret in ["access-token-canary", "client-secret-canary", dbt::TOKEN, dbt::VALUE, &hex]
        {
            let found = text.find(secret).map(|at| {
                let from = at.saturating_sub(300);
                text.get(from..at + 20).unwrap_or_default()
            });
            assert_eq!(found, None, "{secret} in the {name}");
        }
    }
}
