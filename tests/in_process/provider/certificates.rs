//! What is said of a certificate that is refused: a sentence for each reason.

use std::{path::PathBuf, time::Duration};

use reqwest::Method;
use scimitar::{
    error::Code,
    http::{Request, Sent},
};

use super::{
    endpoint, http_with,
    transport::{data, tls_server_with},
};

async fn refused(chain: &str, host: &str, ca_file: Option<PathBuf>) -> String {
    let (port, asked) = tls_server_with(&data(chain), &data("server.key"));
    let to = endpoint(&format!("https://{host}:{port}/x"));
    let http = http_with(ca_file, Duration::from_secs(5));
    let unanswered = http.send(Request::new(Method::GET, &to)).await.unwrap_err();
    assert_eq!((unanswered.sent, unanswered.code), (Sent::No, Code::Unreachable), "{unanswered}");
    assert!(asked.try_recv().is_err(), "nothing was sent");
    let text = unanswered.to_string();
    assert!(text.starts_with(&format!("no connection to {host}:{port}: ")), "{chain}: {text}");
    assert!(text.ends_with("; nothing was sent"), "{text}");
    assert!(!text.contains("Other("), "no dependency's own words: {text}");
    text
}

#[tokio::test]
async fn each_reason_has_its_own_message_and_no_advice_already_taken() {
    let ours = Some(data("certificates/ca.pem"));
    for (chain, words) in [
        ("expired", "its certificate expired on 2021-01-01 00:00 UTC"),
        ("future", "its certificate is not valid before 2120-01-01 00:00 UTC"),
        ("name", "its certificate is for another name (vault.other.example)"),
        ("client", "its certificate is not meant for servers"),
        ("authority", "its certificate is that of a certificate authority (CA:TRUE)"),
        ("sha1", "is too weak or too old (SHA-1"),
        ("weak", "too weak (RSA under 2048 bits)"),
        ("nonca", "issued by a certificate that is not an authority"),
    ] {
        let own = ["weak", "nonca"].contains(&chain);
        let own = own.then(|| data(&format!("certificates/{chain}-ca.pem")));
        let chain = format!("certificates/{chain}.pem");
        let text = refused(&chain, "127.0.0.1", own.or_else(|| ours.clone())).await;
        assert!(text.contains(words), "{chain}: {text}");
        assert!(!text.contains("name its PEM file"), "{chain}: {text}");
    }
}

#[tokio::test]
async fn an_unknown_issuer_is_told_of_by_where_it_was_looked_for() {
    let text = refused("server.pem", "localhost", None).await;
    assert!(text.contains("name its PEM file in `ca_file`"), "{text}");
    let other = data("certificates/ca.pem");
    let text = refused("server.pem", "localhost", Some(other.clone())).await;
    let words = format!("neither this system nor the file {} (`ca_file`) holds", other.display());
    assert!(text.contains(&words) && !text.contains("name its PEM file"), "{text}");
}
