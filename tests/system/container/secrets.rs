//! Secrets as a pod has them: files behind links, which change under the daemon.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use scimitar::sandbox::{Act, Rule};

use super::{
    binary::Call,
    tenant::{SECRET, TOKENS, Tenant, connection, put, until},
};

/// What replaces the first secret.
const ANOTHER: &str = "client-secret-canary-77e2d415";

/// Writes a Secret's volume as the kubelet does: a folder of its own for each version, the link
/// `..data` swapped to it in one step, and each name a link into that.
fn mount(volume: &Path, secret: &str) {
    static VERSION: AtomicUsize = AtomicUsize::new(1);
    let version = format!("..2026_11_22_{}", VERSION.fetch_add(1, Ordering::SeqCst));
    put(&volume.join(&version).join("auth0-acme"), secret);
    let before = fs::read_link(volume.join("..data")).ok();
    symlink(&version, volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
    match before {
        Some(before) => fs::remove_dir_all(volume.join(before)).unwrap(),
        None => symlink("..data/auth0-acme", volume.join("auth0-acme")).unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_secret_is_used_at_the_next_login_without_restart() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let tenant = Tenant::start(here, SECRET, None).await.unwrap();
    mount(&here.join("secrets"), SECRET);
    let config = format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n[engine]\nsurvey_interval = \"1s\"\n{}\
         [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n{}",
        tenant.provider("secrets"),
        connection("{ sink = \"disk\", file = \"initech.token\" }"),
    );
    put(&here.join("scimitar.toml"), &config);
    let daemon = Call::new(here, &["--config", "scimitar.toml"]).start();
    daemon.err.until_text("\"outcome\":");
    let value = fs::read_to_string(here.join("tokens/initech.token")).unwrap();

    // The provider takes another secret from now on, and no access token of before.
    let address = tenant.address();
    drop(tenant);
    mount(&here.join("secrets"), ANOTHER);
    let mut again = Tenant::start(here, ANOTHER, Some(address)).await;
    for _ in 0..200 {
        if again.is_ok() {
            break;
        }
        super::bao::pause(10).await;
        again = Tenant::start(here, ANOTHER, Some(address)).await;
    }
    let tenant = again.unwrap();
    tenant.faults().forget_requests();
    tenant.faults().add(Rule::new("GET", "/api/v2/", Act::Status(401)).nth(1)).unwrap();
    assert_ne!(tenant.log_in(SECRET).await.0, 200, "the first secret is worth nothing now");
    // One is that by hand, and the daemon's may have come before it.
    until("another log-in", || tenant.asked("POST", "/oauth/token") > 1).await;
    let lists = tenant.asked("GET", TOKENS);
    until("lists after it", || tenant.asked("GET", TOKENS) > lists + 1).await;

    let status = Call::new(here, &["--config", "scimitar.toml", "status", "--output", "json"]);
    let row = status.run().exits(0).row();
    assert_eq!(row["error"], serde_json::Value::Null, "{row}");
    assert_eq!(row["token_id"].as_str(), value.split('.').next(), "{row}");
    daemon.signal("TERM");
    let ended = daemon.ended().exits(0);
    for secret in [SECRET, ANOTHER, value.as_str()] {
        assert!(!ended.stderr.contains(secret) && !ended.stdout.contains(secret));
    }
}
