//! Redirects, certificate authorities and proxies.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, mpsc},
    time::Duration,
};

use reqwest::{Method, Url};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use scimitar::{
    clock::SystemClock,
    error::{Class, Code},
    http::{Endpoint, Http, HttpError, HttpSettings, Request, Sent},
    probe::{ProbeAnswer, ScimClient, ScimProbe},
    provider::{Provider, kind::Needs},
    rotation::policy::Mode,
    token::TokenValue,
};

use super::{
    call, connection, endpoint,
    fake::{Fake, Kind, reply},
    http, http_with, mint, provider, settings, token_id, value, with_clock,
};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/in_process/provider/data");

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}

#[tokio::test]
async fn credentials_follow_no_redirect() {
    let elsewhere = Fake::start().await;
    for status in [301, 302, 303, 307, 308] {
        let fake = Fake::start().await;
        let location = format!("{}/there?code=query-canary", elsewhere.url);
        let away = reply(status, "").with("location", location);
        let (auth0, connection) = (provider(&fake), connection());
        for kind in [Kind::List, Kind::Create, Kind::Revoke, Kind::Scim] {
            fake.always(kind, away.clone());
        }
        let mut faults = vec![
            auth0.list(call(&connection)).await.unwrap_err(),
            auth0.create(call(&connection), &mint()).await.unwrap_err(),
            auth0.revoke(call(&connection), &token_id()).await.unwrap_err(),
        ];
        let scim = auth0.scim_endpoint(&connection);
        let token = TokenValue::try_new(value()).unwrap();
        let probe = ScimClient::new(http(), Duration::from_secs(5));
        let ProbeAnswer::Inconclusive(fault) = probe.read(&scim, &token).await else {
            panic!("a redirect proves nothing");
        };
        faults.push(fault);
        fake.always(Kind::Login, away);
        faults.push(auth0.prove(&[], Needs::of(Mode::Rotate)).await.unwrap_err());
        for fault in faults {
            let text = format!("{fault}");
            let words = "a redirect to 127.0.0.1, which Scimitar does not follow: credentials are \
                         sent only to the configured host";
            assert!(text.contains(words), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }
    assert_eq!(elsewhere.total(), 0);
}

/// Answers every request over TLS with an empty list, and says what it was asked.
fn tls_server() -> (u16, mpsc::Receiver<String>) {
    tls_server_with(&data("server.pem"), &data("server.key"))
}

/// The same with another certificate.
pub(crate) fn tls_server_with(chain: &Path, key: &Path) -> (u16, mpsc::Receiver<String>) {
    let chain = CertificateDer::pem_file_iter(chain).unwrap();
    let chain = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(StreamOwned::new(session, stream.unwrap()));
            let mut first = String::new();
            // A handshake that was refused ends here.
            if stream.read_line(&mut first).unwrap_or(0) == 0 {
                continue;
            }
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]";
            stream.get_mut().write_all(answer).unwrap();
            stream.get_mut().flush().unwrap();
            if tell.send(first).is_err() {
                return;
            }
        }
    });
    (port, asked)
}

#[tokio::test]
async fn a_private_ca_is_trusted_only_where_ca_file_names_it() {
    let (port, asked) = tls_server();
    let trusting = http_with(Some(data("ca.pem")), Duration::from_secs(5));
    for host in ["127.0.0.1", "localhost"] {
        for fresh in [false, true] {
            let to = endpoint(&format!("https://{host}:{port}/x"));
            let mut request = Request::new(Method::GET, &to).bearer("secret");
            if fresh {
                request = request.fresh();
            }
            let reply = trusting.send(request).await.unwrap();
            assert_eq!(reply.body().unwrap(), b"[]");
            assert_eq!(asked.recv().unwrap(), "GET /x HTTP/1.1\r\n");
        }
    }
    let to = endpoint(&format!("https://127.0.0.1:{port}/x"));
    let unanswered = http().send(Request::new(Method::GET, &to)).await.unwrap_err();
    assert_eq!((unanswered.sent, unanswered.code), (Sent::No, Code::Unreachable));
    assert!(unanswered.detail.contains("certificate"), "{unanswered}");
    assert!(unanswered.detail.contains("`ca_file`"), "{unanswered}");
    assert!(asked.try_recv().is_err(), "nothing was sent");

    // And a create is therefore known not to have happened.
    let auth0 = with_clock(settings(&format!("https://127.0.0.1:{port}")), Arc::new(SystemClock));
    let fault = auth0.list(call(&connection())).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable));
}

#[tokio::test]
async fn a_bad_ca_file_stops_only_what_needs_it_until_it_is_fixed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let (port, _asked) = tls_server();
    let fake = Fake::start().await;
    let http = build(Some(path.clone()), None).unwrap();
    let good = std::fs::read_to_string(data("ca.pem")).unwrap();
    let cut: String = good.lines().take(5).map(|line| format!("{line}\n")).collect();
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let second = good.trim_end().lines().count() + 2;
    for (content, words) in [
        (None, "No such file".to_owned()),
        (Some(String::new()), "it holds no certificate in PEM".to_owned()),
        (Some("hello".to_owned()), "it holds no certificate in PEM".to_owned()),
        (
            Some(format!("# ours\n{bad}")),
            "line 2: the certificate that begins here cannot be".to_owned(),
        ),
        (
            Some(format!("{good}\n{bad}")),
            format!("line {second}: the certificate that begins here cannot be read"),
        ),
        (Some(cut.clone()), "line 1: the CERTIFICATE that begins here is cut short".to_owned()),
        (
            Some(format!("{cut}{good}")),
            "line 1: the CERTIFICATE that begins here has no end before line 6".to_owned(),
        ),
        (Some(format!("\u{feff}{good}")), "line 1: the file begins with a byte order".to_owned()),
        (
            Some(good.replace("-----END CERTIFICATE-----", "-----END CERT")),
            "this line is cut short or damaged".to_owned(),
        ),
    ] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let to = endpoint(&format!("https://127.0.0.1:{port}/x"));
        let unanswered = http.send(Request::new(Method::GET, &to)).await.unwrap_err();
        assert_eq!((unanswered.sent, unanswered.code), (Sent::No, Code::Invalid), "{unanswered}");
        let text = unanswered.to_string();
        assert!(text.starts_with(&format!("`ca_file` {}: ", path.display())), "{text}");
        assert!(text.contains(&words), "{words}: {text}");
        let plain = endpoint(&format!("{}/api/v2/x", fake.url));
        assert_eq!(http.send(Request::new(Method::GET, &plain)).await.unwrap().status, 200);
    }
    std::fs::write(&path, good).unwrap();
    let to = endpoint(&format!("https://127.0.0.1:{port}/x"));
    assert_eq!(http.send(Request::new(Method::GET, &to)).await.unwrap().status, 200);
}

fn build(ca_file: Option<PathBuf>, proxy: Option<&str>) -> Result<Http, HttpError> {
    Http::try_new(HttpSettings {
        ca_file,
        proxy: proxy.map(|proxy| Url::parse(proxy).unwrap()),
        request_timeout: Duration::from_secs(5),
        user_agent: "scimitar/test".to_owned(),
    })
}

#[tokio::test]
async fn a_proxy_is_asked_for_other_machines_and_never_for_this_one() {
    let (proxy, fake) = (Fake::start().await, Fake::start().await);
    let url = proxy.url.replace("http://", "http://user:proxy-canary@");
    let http = build(Some(data("ca.pem")), Some(&url)).unwrap();
    assert!(!format!("{http:?}").contains("canary"));

    let here = endpoint(&format!("{}/api/v2/x", fake.url));
    assert_eq!(http.send(Request::new(Method::GET, &here)).await.unwrap().status, 200);
    let (port, _asked) = tls_server();
    let here = endpoint(&format!("https://localhost:{port}/x"));
    assert_eq!(http.send(Request::new(Method::GET, &here)).await.unwrap().status, 200);
    assert_eq!(proxy.total(), 0);

    let elsewhere = endpoint("https://acme.invalid/oauth/token?query-canary=1");
    let request = Request::new(Method::POST, &elsewhere).bearer("bearer-canary");
    let unanswered = http.send(request).await.unwrap_err();
    assert_eq!((unanswered.sent, unanswered.code), (Sent::No, Code::Unreachable));
    let shown = format!("{unanswered} {unanswered:?}");
    assert!(shown.contains("acme.invalid") && !shown.contains("canary"), "{shown}");
    let asked = proxy.seen(Kind::Other);
    assert_eq!((asked.len(), asked[0].method.as_str()), (1, "CONNECT"));
    assert_eq!(asked[0].target, "acme.invalid:443");
    assert!(!asked[0].headers.contains_key("authorization"));
    assert!(asked[0].headers.contains_key("proxy-authorization"));

    let error = build(None, Some("socks5://127.0.0.1:1")).unwrap_err();
    assert!(error.to_string().contains("socks5"), "{error}");
}

/// Runs one of these tests in a process of its own, whose environment can be chosen.
fn alone(test: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env("SCIMITAR_TEST_ALONE", test);
    for name in ["http", "https", "all", "no"] {
        command
            .env_remove(format!("{name}_proxy"))
            .env_remove(format!("{name}_proxy").to_uppercase());
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command.envs(environment.iter().copied()).output().unwrap()
}

fn is_alone(test: &str) -> bool {
    std::env::var("SCIMITAR_TEST_ALONE").is_ok_and(|alone| alone == test)
}

#[tokio::test]
async fn without_system_authorities_https_says_so_and_loopback_works() {
    let test = "provider::transport::without_system_authorities_https_says_so_and_loopback_works";
    if !is_alone(test) {
        let nowhere = [
            ("SSL_CERT_FILE", "/nonexistent/file"),
            ("SSL_CERT_DIR", "/nonexistent/folder"),
            ("HTTPS_PROXY", "http://127.0.0.1:1"),
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("ALL_PROXY", "http://127.0.0.1:1"),
        ];
        let output = alone(test, &nowhere);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    let fake = Fake::start().await;
    provider(&fake).list(call(&connection())).await.unwrap();

    let auth0 = with_clock(settings("https://acme.invalid"), Arc::new(SystemClock));
    let fault = auth0.list(call(&connection())).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreachable));
    assert!(fault.detail.contains("No CA certificates"), "{fault}");
    assert!(fault.detail.contains("`ca_file`"), "{fault}");

    // With a ca_file alone it can be gone on with: the proxy is what is missing then.
    let to = endpoint("https://acme.invalid");
    let http = http_with(Some(data("ca.pem")), Duration::from_secs(5));
    let unanswered = http.send(Request::new(Method::GET, &to)).await.unwrap_err();
    assert!(unanswered.detail.contains("refused"), "{unanswered}");
}

#[tokio::test]
async fn the_environment_names_the_proxy_where_the_settings_do_not() {
    let test = "provider::transport::the_environment_names_the_proxy_where_the_settings_do_not";
    if is_alone(test) {
        let http = http_with(Some(data("ca.pem")), Duration::from_secs(5));
        let to = endpoint("https://acme.invalid");
        http.send(Request::new(Method::GET, &to)).await.unwrap_err();
        return;
    }
    let proxy = Fake::start().await;
    let url = proxy.url.clone();
    let child = move || alone(test, &[("HTTPS_PROXY", &url)]);
    let output = tokio::task::spawn_blocking(child).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let asked = proxy.seen(Kind::Other);
    assert_eq!((asked.len(), asked[0].target.as_str()), (1, "acme.invalid:443"));
}

/// What is said when this proxy is of no use.
fn through(https_proxy: &str, test: &str) -> String {
    let output = alone(test, &[("HTTPS_PROXY", https_proxy)]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("canary"), "{text}");
    text.lines().find_map(|line| line.strip_prefix("SAID ")).unwrap().to_owned()
}

#[tokio::test]
async fn a_bad_proxy_is_named_without_password_and_never_bypassed() {
    let test = "provider::transport::a_bad_proxy_is_named_without_password_and_never_bypassed";
    if is_alone(test) {
        let http = http_with(Some(data("ca.pem")), Duration::from_secs(5));
        let to = endpoint("https://acme.invalid");
        let unanswered = http.send(Request::new(Method::GET, &to)).await.unwrap_err();
        assert_eq!(unanswered.sent, Sent::No);
        tell(&format!("SAID {unanswered}"));
        return;
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = through(&format!("http://u:canary@127.0.0.1:{free}"), test);
    let words = format!("no connection to acme.invalid through the proxy 127.0.0.1:{free} (");
    assert!(down.starts_with(&words) && down.contains("refused"), "{down}");
    let blank = through(&format!("http://u:canary@127.0.0.1:{free} "), test);
    assert_eq!(blank, "the environment variable HTTPS_PROXY begins or ends with white space");

    let http = build(Some(data("ca.pem")), Some(&format!("http://u:canary@127.0.0.1:{free}")));
    let to = endpoint("https://acme.invalid");
    let unanswered = http.unwrap().send(Request::new(Method::GET, &to)).await.unwrap_err();
    let shown = format!("{unanswered} {unanswered:?}");
    assert!(shown.starts_with(&words) && !shown.contains("canary"), "{shown}");
}

/// A line on standard output, which the test that started this one reads.
fn tell(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{line}").unwrap();
}

#[tokio::test]
async fn a_bearer_that_no_header_can_hold_is_not_sent() {
    let fake = Fake::start().await;
    let to: Endpoint = endpoint(&fake.url);
    let request = Request::new(Method::GET, &to).bearer("canary\r\nx: y");
    let unanswered = http().send(request).await.unwrap_err();
    assert_eq!((unanswered.sent, unanswered.code), (Sent::No, Code::Invalid));
    assert!(!format!("{unanswered:?}").contains("canary"));
    assert_eq!(fake.total(), 0);
}
