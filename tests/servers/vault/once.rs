//! What works once is not used up by a check, and what ends soon is told.

use scimitar::error::{Class, Code};
use scimitar::sink::Sink;
use serde_json::{Value, json};

use super::{
    bao::ROOT,
    logins::Approle,
    rotates::{delivering, exits, keep, scimitar},
    sink_conformance::promote,
    site::{VaultSite, server, server_settings, sink},
};

/// A site, an AppRole, and a configuration that joins them with a tenant inside the process.
struct Once {
    site: VaultSite,
    approle: Approle,
    folder: tempfile::TempDir,
}

impl Once {
    /// `auth`: what is added to the log-in; the file `secret-id` holds what `secret` says.
    async fn new(role: Value, auth: &str) -> Self {
        let site = VaultSite::new(2, None).await;
        let approle = Approle::of(&site, role).await;
        let folder = delivering(&site, &approle, auth, "");
        let once = Self { site, approle, folder };
        once.keep(&once.approle.secret_id);
        once
    }

    fn keep(&self, secret: &str) {
        keep(self.folder.path(), secret);
    }

    async fn check(&self, status: i32) -> String {
        exits(&scimitar(self.folder.path(), &["check", "--online"]).await, status)
    }

    async fn rotate(&self, status: i32) -> String {
        exits(&scimitar(self.folder.path(), &["--rotate-now"]).await, status)
    }

    /// Lets the log-in look up its own secret id.
    async fn may_look_up(&self) {
        let mount = &self.site.mount;
        let lookup = format!("auth/{}/role/r/secret-id/lookup", self.approle.mount);
        let rights: Vec<(String, &[&str])> = vec![
            (format!("{mount}/*"), &["create", "read", "update"]),
            ("sys/capabilities-self".to_owned(), &["update"]),
            (lookup, &["update"]),
        ];
        self.site.bao.policy(&self.site.policy, &rights).await;
    }
}

#[tokio::test]
async fn a_wrapped_secret_id_is_looked_up_and_left_for_the_start() {
    let once = Once::new(json!({ "token_ttl": "10m" }), ", wrapped = true").await;
    let wrapping = once.approle.wrapped(once.site.bao).await;
    once.keep(&wrapping);
    for _ in 0..2 {
        let said = once.check(0).await;
        assert!(said.contains("warning: log in to 127.0.0.1"), "{said}");
        assert!(said.contains("the wrapping token of the secret id is valid until 20"), "{said}");
        assert!(said.contains("every permission that was tried is granted"), "{said}");
        assert!(!said.contains(&wrapping));
    }
    once.rotate(0).await;
    // Used by now: that is found before a start would stumble over it.
    let said = once.check(1).await;
    assert!(said.contains("it has expired or was used"), "{said}");
}

#[tokio::test]
async fn a_secret_id_that_works_once_is_not_used_by_a_check() {
    let role = || json!({ "token_ttl": "10m", "secret_id_num_uses": 1 });
    let once = Once::new(role(), ", single_use = true").await;
    for _ in 0..2 {
        let said = once.check(0).await;
        assert!(said.contains("the secret id works once (single_use) and was kept"), "{said}");
    }
    once.rotate(0).await;
    // Where nobody said so, it is used up, which is told with the way out.
    let once = Once::new(role(), "").await;
    once.may_look_up().await;
    let said = once.check(0).await;
    assert!(said.contains("this log-in has used it"), "{said}");
    assert!(said.contains("single_use = true"), "{said}");
    once.rotate(1).await;
}

#[tokio::test]
async fn a_secret_id_that_ends_soon_is_told() {
    let role = json!({ "token_ttl": "10m", "secret_id_num_uses": 5, "secret_id_ttl": "24h" });
    let once = Once::new(role, "").await;
    let said = once.check(0).await;
    assert!(!said.contains("works"), "who may not ask learns nothing: {said}");
    once.may_look_up().await;
    let said = once.check(0).await;
    assert!(said.contains("the secret id works 3 times more until 20"), "{said}");
    let lasting = Once::new(json!({ "token_ttl": "10m", "secret_id_ttl": "720h" }), "").await;
    lasting.may_look_up().await;
    let said = lasting.check(0).await;
    assert!(!said.contains("warning: log in"), "{said}");
}

/// A log-in that is good and a token that is not, for ever: after the second time it is not called a
/// lagging standby alone.
#[tokio::test]
async fn a_token_that_is_bound_to_other_addresses_is_told() {
    let site = VaultSite::new(2, None).await;
    let role = json!({ "token_ttl": "10m", "token_bound_cidrs": ["10.0.0.0/8"] });
    let approle = Approle::of(&site, role).await;
    let method = approle.method(&approle.secret_id, false);
    let there = server(server_settings(&site.bao.url, method, &approle.mount));
    let sink = sink(&there, &site.path());
    let first = sink.read().await.unwrap_err();
    assert_eq!((first.class, first.code), (Class::Transient, Code::Unavailable), "{first}");
    assert!(first.detail.contains("a standby that does not know it yet"), "{first}");
    assert!(!first.detail.contains("token_bound_cidrs"), "{first}");
    for _ in 0..2 {
        let again = sink.read().await.unwrap_err();
        assert!(again.detail.contains("(token_bound_cidrs of the role)"), "{again}");
    }
    let path = format!("auth/{}/role/r", approle.mount);
    let body = json!({ "token_bound_cidrs": [], "token_policies": [site.policy] });
    let (status, _) = site.bao.ask_as(ROOT, "POST", &path, body).await;
    assert!(status < 300);
    promote(&sink, 1).await;
}
