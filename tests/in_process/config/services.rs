//! What `docs/hooks.md` shows for chat and incident services, as it stands there, against doubles that
//! are as strict as those services.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use chrono::DateTime;
use scimitar::{
    clock::{Clock, SystemClock},
    config::{HookCall, HookConfig},
    hook::{Hook, Message, Webhook, WebhookSettings},
    http::{Http, HttpSettings},
    rotation::{
        notice::{Happening, Notice, OCCASIONS, Occasion},
        record::Record,
    },
    secret::SecretSource,
    token::{ConnectionId, ConnectionKey, ConnectionName, Digest, ProviderName, Tenant, TokenId},
};
use serde_json::Value;

use super::support::Bench;

const PAGE: &str = include_str!("../../../docs/hooks.md");

/// What a service says to a request: its status, or what it refuses.
type Judge = fn(&Uri, &Value) -> Result<StatusCode, String>;

/// A service; what it refused, and how many requests it took.
struct Service {
    origin: String,
    said: Arc<Mutex<(Vec<String>, usize)>>,
}

impl Service {
    async fn start(judge: Judge) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let said: Arc<Mutex<(Vec<String>, usize)>> = Arc::default();
        let noted = Arc::clone(&said);
        let take = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let judged = judged(&method, &uri, &headers, &body, judge);
            let mut said = noted.lock().unwrap();
            let status = match judged {
                Ok(status) => {
                    said.1 += 1;
                    status
                }
                Err(words) => {
                    said.0.push(words);
                    StatusCode::BAD_REQUEST
                }
            };
            async move { status }
        };
        let app = Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { origin, said }
    }
}

fn judged(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
    judge: Judge,
) -> Result<StatusCode, String> {
    must(*method == Method::POST, "it is no POST")?;
    let json = headers.get("content-type").is_some_and(|kind| kind == "application/json");
    must(json, "it is not application/json")?;
    let body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    judge(uri, &body)
}

fn must(holds: bool, words: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words.to_owned()) }
}

fn only(value: &Value, known: &[&str]) -> Result<(), String> {
    let table = value.as_object().ok_or("it is no object")?;
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("there is no {key}")),
        None => Ok(()),
    }
}

/// A text that is there, and not longer than that.
fn text<'v>(value: &'v Value, pointer: &str, longest: usize) -> Result<&'v str, String> {
    let text = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    must(!text.is_empty(), &format!("{pointer} is missing"))?;
    must(text.chars().count() <= longest, &format!("{pointer} is too long"))?;
    Ok(text)
}

fn items<'v>(value: &'v Value, pointer: &str) -> Result<&'v Vec<Value>, String> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.filter(|items| !items.is_empty()).ok_or_else(|| format!("{pointer} is missing"))
}

const SLACK: &str = "/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx";

/// An incoming webhook: what stands in `mrkdwn` escapes its three control characters.
fn slack(uri: &Uri, body: &Value) -> Result<StatusCode, String> {
    must(uri.path() == SLACK, "no_service")?;
    only(body, &["text", "blocks"])?;
    let unescaped = |text: &str| text.contains(['<', '>']);
    must(!unescaped(text(body, "/text", 4_000)?), "text is not escaped")?;
    let blocks = items(body, "/blocks")?;
    must(blocks.len() <= 50, "too many blocks")?;
    for block in blocks {
        only(block, &["type", "text"])?;
        must(block["type"] == "section", "invalid_blocks")?;
        only(&block["text"], &["type", "text"])?;
        must(block["text"]["type"] == "plain_text", "invalid_blocks")?;
        text(block, "/text/text", 3_000)?;
    }
    Ok(StatusCode::OK)
}

const TEAMS: &str = "/powerautomate/automations/direct/workflows/0a1b/triggers/manual/paths/invoke";
const TEAMS_QUERY: &str =
    "api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=k3y-canary_0123456789abcdef";

/// A flow that begins when a Teams webhook request is received: an adaptive card and nothing else.
fn teams(uri: &Uri, body: &Value) -> Result<StatusCode, String> {
    must(
        uri.path() == TEAMS && uri.query() == Some(TEAMS_QUERY),
        "DirectApiAuthorizationRequired",
    )?;
    must(body.to_string().len() <= 28 * 1024, "it is larger than 28 KiB")?;
    only(body, &["type", "attachments"])?;
    must(body["type"] == "message", "it is no message")?;
    for attachment in items(body, "/attachments")? {
        only(attachment, &["contentType", "contentUrl", "content"])?;
        let kind = &attachment["contentType"];
        must(kind == "application/vnd.microsoft.card.adaptive", "no card")?;
        let card = &attachment["content"];
        only(card, &["$schema", "type", "version", "body"])?;
        must(card["type"] == "AdaptiveCard", "no card")?;
        must(["1.2", "1.3", "1.4"].iter().any(|it| card["version"] == *it), "another version")?;
        for element in items(card, "/body")? {
            match element["type"].as_str() {
                Some("TextBlock") => {
                    only(element, &["type", "text", "size", "weight", "wrap"])?;
                    text(element, "/text", 10_000)?;
                }
                Some("RichTextBlock") => {
                    for run in items(element, "/inlines")? {
                        must(run["type"] == "TextRun", "no TextRun")?;
                        text(run, "/text", 10_000)?;
                    }
                }
                Some("FactSet") => {
                    for fact in items(element, "/facts")? {
                        text(fact, "/title", 100)?;
                        text(fact, "/value", 1_000)?;
                    }
                }
                other => return Err(format!("there is no element {other:?}")),
            }
        }
    }
    Ok(StatusCode::ACCEPTED)
}

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Events API v2.
fn pagerduty(uri: &Uri, body: &Value) -> Result<StatusCode, String> {
    must(uri.path() == "/v2/enqueue" && uri.query().is_none(), "404")?;
    only(body, &["routing_key", "event_action", "dedup_key", "payload"])?;
    must(body["routing_key"] == ROUTING_KEY, "Length of 'routing_key' is incorrect")?;
    must(body["event_action"] == "trigger", "invalid event_action")?;
    text(body, "/dedup_key", 255)?;
    let payload = &body["payload"];
    const KNOWN: [&str; 7] =
        ["summary", "source", "severity", "timestamp", "component", "class", "custom_details"];
    only(payload, &KNOWN)?;
    text(payload, "/summary", 1_024)?;
    text(payload, "/source", 1_024)?;
    let severity = text(payload, "/severity", 10)?;
    must(["critical", "error", "warning", "info"].contains(&severity), "invalid severity")?;
    DateTime::parse_from_rfc3339(text(payload, "/timestamp", 40)?).map_err(|e| e.to_string())?;
    must(payload["custom_details"].is_object(), "no details")?;
    Ok(StatusCode::ACCEPTED)
}

/// The block behind a mark, whose files are the bench's.
fn shown(bench: &Bench, mark: &str) -> String {
    let (_, behind) = PAGE.split_once(&format!("<!-- test: {mark} -->\n```toml\n")).unwrap();
    let (block, _) = behind.split_once("```").unwrap();
    block.replace("/etc/scimitar/", &format!("{}/", bench.path("etc").display()))
}

fn message(occasion: Occasion, whole: bool, words: &str) -> Message {
    let key = ConnectionKey {
        tenant: Tenant::try_new("acme.eu.auth0.com").unwrap(),
        connection: ConnectionId::try_new("con_0123456789abcdef").unwrap(),
    };
    let name = ConnectionName::try_new("initech-okta").unwrap();
    let record = Record::new(key, name, ProviderName::try_new("acme").unwrap());
    let id = |id: &str| TokenId::try_new(id).unwrap();
    let happening = Happening {
        occasion,
        at: SystemClock.now(),
        token: whole.then(|| id("tok_2")),
        previous: whole.then(|| id("tok_1")),
        expires_at: None,
        generation: 7,
        threshold: None,
        reason: whole.then(|| "terminal".to_owned()),
        words: words.to_owned(),
    };
    let id = Digest::of(words.as_bytes());
    let notice = Notice { id, number: 3, happening, begun: None, until: None, trouble: None };
    Message::new(&record, &notice)
}

fn webhook(bench: &Bench, hook: &HookConfig) -> Webhook {
    let HookCall::Webhook(post) = &hook.call else { panic!("{hook:?}") };
    let env = bench.env.clone();
    let post = post.map(|secret| {
        let (secret, env) = (secret.clone(), env.clone());
        SecretSource::new(move || secret.read(&env).map_err(|error| error.to_string())).into()
    });
    let settings = WebhookSettings { name: hook.name.clone(), post, timeout: hook.timeout };
    let http = HttpSettings {
        ca_file: None,
        proxy: None,
        request_timeout: Duration::from_secs(30),
        user_agent: "scimitar/test".to_owned(),
    };
    Webhook::new(settings, Http::try_new(http).unwrap(), Arc::new(SystemClock))
}

/// Every event, in words of every kind, is taken by the service that the page shows.
async fn takes_all(mark: &str, judge: Judge, secret: (&str, &dyn Fn(&str) -> String)) {
    let service = Service::start(judge).await;
    let bench = Bench::new();
    let (file, text) = secret;
    bench.write(&format!("etc/{file}"), text(&service.origin));
    let block = shown(&bench, mark);
    let block = block.replace("https://events.pagerduty.com", &service.origin);
    let config = bench.load(&block).unwrap_or_else(|problems| panic!("{problems}\n{block}"));
    let [hook] = &config.hooks[..] else { panic!("{:?}", config.hooks) };
    let hook = webhook(&bench, hook);
    let long = "a \"quote\", a \\, <b> & an ü. ".repeat(300);
    let kinds = ["every sink holds tok_2", "line one\nline two\t\u{7}{{ why }}", &long];
    for occasion in OCCASIONS {
        for words in kinds {
            for whole in [true, false] {
                let ran = hook.run(&message(occasion, whole, words)).await;
                let refused = std::mem::take(&mut service.said.lock().unwrap().0);
                assert_eq!((ran, refused), (Ok(()), Vec::new()), "{occasion:?} {words}");
            }
        }
    }
    assert_eq!(service.said.lock().unwrap().1, OCCASIONS.len() * kinds.len() * 2);
}

#[tokio::test]
async fn slack_takes_what_the_page_shows() {
    takes_all("slack", slack, ("slack-url", &|origin| format!("{origin}{SLACK}\n"))).await;
}

#[tokio::test]
async fn microsoft_teams_takes_what_the_page_shows() {
    let url = |origin: &str| format!("{origin}{TEAMS}?{TEAMS_QUERY}\n");
    takes_all("teams", teams, ("teams-url", &url)).await;
}

#[tokio::test]
async fn pagerduty_takes_what_the_page_shows() {
    takes_all("pagerduty", pagerduty, ("pagerduty-key", &|_| format!("{ROUTING_KEY}\n"))).await;
}

#[test]
fn the_doubles_refuse_what_the_services_refuse() {
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    let slack = |body: Value| slack(&uri(SLACK), &body).is_ok();
    let section = |text: &str| {
        serde_json::json!({ "text": "t",
            "blocks": [{ "type": "section", "text": { "type": "plain_text", "text": text } }] })
    };
    assert!(slack(section("fine")));
    assert!(!slack(section("")) && !slack(section(&"x".repeat(3_001))));
    assert!(!slack(serde_json::json!({ "text": "<a>" })));
    let empty = serde_json::json!({});
    assert!(teams(&uri(&format!("{TEAMS}?{TEAMS_QUERY}")), &empty).is_err());
    assert!(pagerduty(&uri("/v2/enqueue"), &empty).is_err());
}
