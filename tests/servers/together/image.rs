//! The memory of the daemon that runs: soon after a rotation it holds no value of a token, neither the new
//! one nor the one before.

use std::{io, time::Duration};

use scimitar_test_support::{bao::pause, image::Image};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    binary::{LIMIT, Running},
    three::Three,
};

/// How long after the last call a value may be there.
const SOON: Duration = Duration::from_secs(5);

/// Set to 1 where the tests have no root's rights: the memory is then not looked at.
const WITHOUT: &str = "SCIMITAR_WITHOUT_ROOT";

/// Waits until all places hold one token, and the tenant knows no other: its value.
async fn settled(three: &Three, but: Option<&str>) -> String {
    let began = Instant::now();
    loop {
        let (there, _) =
            three.bao.ask("GET", &format!("{}/data/initech", three.mount), Value::Null).await;
        let file = three.folder.path().join("out/token").exists();
        if file && there == 200 && three.aws().await.is_object() {
            let held = three.held().await;
            let known = three.tokens().await;
            let (id, values) = held.first_key_value().unwrap();
            let value = values.first().unwrap().0.clone();
            if held.len() == 1 && known.iter().eq([id]) && Some(value.as_str()) != but {
                return value;
            }
        }
        assert!(began.elapsed() < LIMIT, "it does not settle");
        pause(100).await;
    }
}

/// The part of a value that is a secret: what is in front of it is the token's id.
fn secret(value: &str) -> &str {
    value.split_once('.').unwrap().1
}

/// Waits until none of these is in its memory.
async fn forgets(daemon: &Running, values: &[&str]) {
    let began = Instant::now();
    loop {
        let image = Image::of(daemon.pid()).unwrap();
        // Also a part of a value is too much.
        let parts = values.iter().flat_map(|value| {
            let (one, other) = secret(value).split_at(secret(value).len() / 2);
            [one, other]
        });
        let places: Vec<_> = parts.flat_map(|part| image.places(part.as_bytes())).collect();
        if places.is_empty() {
            return;
        }
        assert!(began.elapsed() < SOON, "after {SOON:?}: {}", places.join("\n"));
        pause(100).await;
    }
}

#[expect(clippy::print_stderr, reason = "a test that is not run says so")]
#[tokio::test(flavor = "multi_thread")]
async fn soon_after_a_rotation_no_value_is_in_memory() {
    let three = Three::new().await;
    let daemon = three.minted(&["run"]).await;
    let held = Image::of(daemon.pid());
    three.tenant.faults().release().await;
    let first = settled(&three, None).await;
    let held = match held {
        Ok(held) => held,
        // Closed to everybody but root.
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            assert!(
                std::env::var(WITHOUT).is_ok_and(|value| value == "1"),
                "the daemon's memory can be read by root only; {WITHOUT}=1 lets this test pass without"
            );
            eprintln!("not tested, since {WITHOUT}=1: the daemon's memory");
            return;
        }
    };
    assert!(held.length() > 1024 * 1024, "{}", held.length());
    assert!(!held.places(secret(&first).as_bytes()).is_empty(), "what is in use is found");
    forgets(&daemon, &[&first]).await;
    // In use or not, it is revoked, and so the daemon replaces it at once.
    let id = first.split_once('.').unwrap().0;
    three.run(&["revoke", "initech", "--token-id", id, "--force"]).await.exits(0);
    daemon.signal("HUP");
    let second = settled(&three, Some(&first)).await;
    forgets(&daemon, &[&first, &second]).await;
    daemon.signal("TERM");
    tokio::task::spawn_blocking(move || daemon.ended()).await.unwrap().exits(0);
}
