//! Every way to log in that the server offers, and how a log-in is kept and lost.

use std::{process::Command, sync::Arc};

use async_trait::async_trait;
use aws_smithy_types::base64;
use scimitar::{
    aws_identity::{AwsIdentity, Origin, Sts},
    clock::{Clock, SystemClock},
    error::{Class, Code, Fault},
    secret::Secret,
    sink::{
        Fence, Sink,
        vault::{Identity, Method, ServerSettings},
    },
};
use serde_json::{Value, json};

use super::{
    bao::{self, Bao, ROOT, unique},
    scripted::{Scripted, answer},
    sink_conformance::{assert_holds, delivery, promote},
    site::{VaultSite, http_settings, server, server_settings, sink, source},
};

/// An AppRole with the policy of a site.
pub(crate) struct Approle {
    pub(crate) mount: String,
    pub(crate) role_id: String,
    pub(crate) secret_id: String,
}

impl Approle {
    pub(crate) async fn of(site: &VaultSite, more: Value) -> Self {
        let (bao, mount) = (site.bao, unique("approle"));
        bao.must("POST", &format!("sys/auth/{mount}"), json!({ "type": "approle" })).await;
        let mut role = more;
        role["token_policies"] = json!([site.policy]);
        bao.must("POST", &format!("auth/{mount}/role/r"), role).await;
        let id = bao.must("GET", &format!("auth/{mount}/role/r/role-id"), Value::Null).await;
        let secret = bao.must("POST", &format!("auth/{mount}/role/r/secret-id"), json!({})).await;
        Self {
            mount,
            role_id: text(&id["data"]["role_id"]),
            secret_id: text(&secret["data"]["secret_id"]),
        }
    }

    /// A wrapping token with a secret id in it.
    pub(crate) async fn wrapped(&self, bao: &Bao) -> String {
        let path = format!("auth/{}/role/r/secret-id", self.mount);
        let wrap = [("X-Vault-Wrap-TTL", "5m")];
        let (_, made) = bao.ask_with(ROOT, "POST", &path, json!({}), &wrap).await;
        text(&made["wrap_info"]["token"])
    }

    pub(crate) fn method(&self, secret_id: &str, wrapped: bool) -> Method {
        let role_id = self.role_id.clone();
        Method::Approle { role_id, secret_id: source(secret_id), wrapped, single_use: false }
    }

    pub(crate) fn settings(&self, site: &VaultSite) -> ServerSettings {
        server_settings(&site.bao.url, self.method(&self.secret_id, false), &self.mount)
    }

    /// Ends every token that this AppRole gave.
    pub(crate) async fn revoke_all(&self, bao: &Bao) {
        let path = format!("sys/leases/revoke-prefix/auth/{}/login", self.mount);
        bao.must("POST", &path, Value::Null).await;
    }

    /// Those of its tokens that live.
    pub(crate) async fn accessors(&self, bao: &Bao) -> Vec<Value> {
        let path = format!("sys/leases/lookup/auth/{}/login", self.mount);
        let (_, listed) = bao.ask("LIST", &path, Value::Null).await;
        listed["data"]["keys"].as_array().cloned().unwrap_or_default()
    }

    /// How many of its tokens live.
    pub(crate) async fn living(&self, bao: &Bao) -> usize {
        self.accessors(bao).await.len()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[tokio::test]
async fn an_approle_logs_in_once_and_gives_its_token_back() {
    let site = VaultSite::new(2, None).await;
    let approle = Approle::of(&site, json!({ "token_ttl": "10m" })).await;
    let server = server(approle.settings(&site));
    let sink = sink(&server, &site.path());
    for generation in 1..=3 {
        promote(&sink, generation).await;
    }
    assert_eq!(approle.living(site.bao).await, 1, "one log-in for all calls");
    server.close().await;
    assert_eq!(approle.living(site.bao).await, 0);
    assert_holds(&sink.read().await.unwrap(), &delivery(3));
}

#[tokio::test]
async fn a_refused_log_in_needs_a_person_and_shows_no_secret() {
    let site = VaultSite::new(2, None).await;
    let approle = Approle::of(&site, json!({})).await;
    let secret = "canary-secret-id-0123456789";
    for method in [approle.method(secret, false), Method::Token(source(secret))] {
        let server = server(server_settings(&site.bao.url, method, &approle.mount));
        let fault = sink(&server, &site.path()).read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
        assert!(!format!("{fault:?} {server:?}").contains(secret));
    }
}

#[tokio::test]
async fn a_wrapped_secret_id_is_unwrapped_once_and_reuse_is_reported() {
    let site = VaultSite::new(2, None).await;
    let approle = Approle::of(&site, json!({ "token_ttl": "10m" })).await;
    let wrapping = approle.wrapped(site.bao).await;
    let settings =
        || server_settings(&site.bao.url, approle.method(&wrapping, true), &approle.mount);
    let first = server(settings());
    let sink_of_first = sink(&first, &site.path());
    promote(&sink_of_first, 1).await;
    let fault = sink(&server(settings()), &site.path()).read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
    assert!(fault.detail.contains("POSSIBLE INTERCEPTION"), "{fault}");
    assert!(fault.detail.contains("each start of scimitar needs a new one"), "{fault}");
    assert!(!format!("{fault:?} {first:?}").contains(&wrapping));
    // The secret id itself is kept in memory: it logs in again.
    approle.revoke_all(site.bao).await;
    assert_holds(&sink_of_first.read().await.unwrap(), &delivery(1));
}

/// A public key, a token that is signed with its other half, and a certificate of it.
async fn signed(claims: Value) -> (String, String, String) {
    const SCRIPT: &str = "
import datetime, json, sys, jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization as s
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'cluster')])
now = datetime.datetime.now(datetime.timezone.utc)
cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
    .public_key(key.public_key()).serial_number(1).not_valid_before(now)
    .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))
token = jwt.encode(json.loads(sys.argv[1]), key, 'ES256')
print(json.dumps([public.decode(), token, cert.public_bytes(s.Encoding.PEM).decode()]))
";
    let made = tokio::task::spawn_blocking(move || {
        let python = super::venv::bin().join("python");
        Command::new(python).args(["-c", SCRIPT, &claims.to_string()]).output().unwrap()
    });
    let made = made.await.unwrap();
    assert!(made.status.success(), "{made:?}");
    serde_json::from_slice(&made.stdout).unwrap()
}

#[tokio::test]
async fn a_json_web_token_logs_in() {
    let site = VaultSite::new(2, None).await;
    let expires = SystemClock.now().timestamp() + 600;
    let claims = json!({ "iss": "me", "aud": "vault", "sub": "scimitar", "exp": expires, "nbf": expires - 1200 });
    let (public, token, _) = signed(claims).await;
    let mount = unique("jwt");
    let bao = site.bao;
    bao.must("POST", &format!("sys/auth/{mount}"), json!({ "type": "jwt" })).await;
    let config = json!({ "jwt_validation_pubkeys": [public], "default_role": "r" });
    bao.must("POST", &format!("auth/{mount}/config"), config).await;
    let role = json!({
        "role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "sub",
        "token_policies": [site.policy],
    });
    bao.must("POST", &format!("auth/{mount}/role/r"), role).await;
    for (generation, role) in [(1, Some("r".to_owned())), (2, None)] {
        let method = Method::Jwt { role, jwt: source(&token) };
        let server = server(server_settings(&bao.url, method, &mount));
        promote(&sink(&server, &site.path()), generation).await;
    }
    let method = Method::Jwt { role: Some("other".to_owned()), jwt: source(&token) };
    let server = server(server_settings(&bao.url, method, &mount));
    let fault = sink(&server, &site.path()).read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
}

/// OpenBao asks a cluster whose the token is; here that is one that always knows.
#[tokio::test]
async fn a_service_account_logs_in() {
    let site = VaultSite::new(2, None).await;
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "status": { "authenticated": true, "user": {
            "username": "system:serviceaccount:idm:scimitar", "uid": "u-1",
            "groups": ["system:serviceaccounts"],
        } },
    });
    let cluster = Scripted::start(move |_| answer(201, &[], review.clone())).await;
    let expires = SystemClock.now().timestamp() + 600;
    let claims = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:idm:scimitar",
        "exp": expires, "iat": expires - 700,
        "kubernetes.io/serviceaccount/namespace": "idm",
        "kubernetes.io/serviceaccount/service-account.name": "scimitar",
        "kubernetes.io/serviceaccount/service-account.uid": "u-1",
    });
    let (_, token, certificate) = signed(claims).await;
    let mount = unique("kubernetes");
    let bao = site.bao;
    bao.must("POST", &format!("sys/auth/{mount}"), json!({ "type": "kubernetes" })).await;
    let config = json!({
        "kubernetes_host": cluster.url, "disable_local_ca_jwt": true,
        "token_reviewer_jwt": token, "kubernetes_ca_cert": certificate,
    });
    bao.must("POST", &format!("auth/{mount}/config"), config).await;
    let role = json!({
        "bound_service_account_names": ["scimitar"],
        "bound_service_account_namespaces": ["idm"], "token_policies": [site.policy],
    });
    bao.must("POST", &format!("auth/{mount}/role/r"), role).await;
    let method = Method::Kubernetes { role: "r".to_owned(), jwt: Some(source(&token)) };
    promote(&sink(&server(server_settings(&bao.url, method, &mount)), &site.path()), 1).await;
    assert!(cluster.seen().iter().any(|asked| asked.path.ends_with("/tokenreviews")));
}

#[tokio::test]
async fn a_certificate_logs_in_and_its_authority_has_to_be_known() {
    let bao = Bao::start(true).await;
    let file = |name: &str| std::fs::read_to_string(bao.certificates.join(name)).unwrap();
    bao.must("POST", "sys/auth/cert", json!({ "type": "cert" })).await;
    let role = json!({ "certificate": file("vault-cert.pem"), "token_policies": ["root-ish"] });
    bao.must("POST", "auth/cert/certs/scimitar", role).await;
    bao.policy("root-ish", &[("secret/*".to_owned(), &["create", "read", "update"] as &[&str])])
        .await;
    let mut settings =
        server_settings(&bao.url, Method::Cert { role: Some("scimitar".to_owned()) }, "cert");
    settings.identity = Some(Identity {
        cert: source(&file("vault-cert.pem")),
        key: source(&file("vault-key.pem")),
    });
    let unmanaged = sink(&server(settings.clone()), "secret/x").read().await.unwrap_err();
    assert_eq!((unmanaged.class, unmanaged.code), (Class::Transient, Code::Unreachable));
    assert!(unmanaged.detail.contains("certificate"), "{unmanaged}");
    // The files are read again when they change, without a restart.
    let (_, _, another) = signed(json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, another).unwrap();
    settings.http.ca_file = Some(ca_file.clone());
    let there = server(settings.clone());
    let sink_there = sink(&there, "secret/x");
    assert_eq!(sink_there.read().await.unwrap_err().code, Code::Unreachable);
    std::fs::write(&ca_file, file("vault-ca.pem")).unwrap();
    promote(&sink_there, 1).await;
    let other = Method::Cert { role: Some("another".to_owned()) };
    settings.auth.method = other;
    let fault = sink(&server(settings), "secret/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
}

#[tokio::test]
async fn a_namespace_goes_with_every_call() {
    let bao = bao::shared().await;
    let name = unique("ns");
    bao.must("POST", &format!("sys/namespaces/{name}"), json!({})).await;
    let inside = [("X-Vault-Namespace", name.as_str())];
    let within = async |method: &str, path: &str, body: Value| {
        let (status, answer) = bao.ask_with(ROOT, method, path, body, &inside).await;
        assert!(status < 300, "{path}: {status} {answer}");
        answer
    };
    let engine = json!({ "type": "kv", "options": { "version": "2" } });
    within("POST", "sys/mounts/kv", engine).await;
    let policy = "path \"kv/*\" { capabilities = [\"create\", \"read\", \"update\"] }";
    within("POST", "sys/policies/acl/p", json!({ "policy": policy })).await;
    within("POST", "sys/auth/approle", json!({ "type": "approle" })).await;
    within("POST", "auth/approle/role/r", json!({ "token_policies": ["p"] })).await;
    let id = within("GET", "auth/approle/role/r/role-id", Value::Null).await;
    let secret = within("POST", "auth/approle/role/r/secret-id", json!({})).await;
    let method = Method::Approle {
        role_id: text(&id["data"]["role_id"]),
        secret_id: source(&text(&secret["data"]["secret_id"])),
        wrapped: false,
        single_use: false,
    };
    let mut settings = server_settings(&bao.url, method, "approle");
    settings.namespace = Some(name.clone());
    let there = server(settings.clone());
    promote(&sink(&there, "kv/x"), 1).await;
    there.close().await;
    settings.namespace = None;
    let fault = sink(&server(settings), "kv/x").read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
}

/// Sealed, nothing is known and nothing is lost; unsealed, it goes on.
#[tokio::test]
async fn a_sealed_server_is_waited_for() {
    let bao = Bao::start(false).await;
    let server = server(server_settings(&bao.url, Method::Token(source(ROOT)), "token"));
    let sink = sink(&server, "secret/x");
    let version = promote(&sink, 1).await;
    bao.must("PUT", "sys/seal", Value::Null).await;
    let read = sink.read().await.unwrap_err();
    let write = sink
        .promote(&delivery(2), &version, &super::sink_conformance::Gate::open())
        .await
        .unwrap_err();
    for fault in [read, write] {
        assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
        assert!(fault.detail.contains("sealed"), "{fault}");
    }
    let unseal = json!({ "key": bao.unseal_key() });
    bao.must("PUT", "sys/unseal", unseal.clone()).await;
    // Between the last look and the write: nothing was written, and that is known.
    let fault = sink.promote(&delivery(2), &version, &Seal(&bao)).await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unavailable), "{fault}");
    bao.must("PUT", "sys/unseal", unseal).await;
    assert_holds(&sink.read().await.unwrap(), &delivery(1));
    promote(&sink, 2).await;
}

/// Seals the server right before a write.
#[derive(Debug)]
struct Seal<'a>(&'a Bao);

#[async_trait]
impl Fence for Seal<'_> {
    async fn check(&self) -> Result<(), Fault> {
        self.0.must("PUT", "sys/seal", Value::Null).await;
        Ok(())
    }
}

/// The server's own limit, with the header that says how long to wait.
#[tokio::test]
async fn a_limit_on_requests_is_obeyed() {
    let bao = Bao::start(false).await;
    let headers = json!({ "enable_rate_limit_response_headers": true });
    bao.must("POST", "sys/quotas/config", headers).await;
    let limit = json!({ "rate": 1, "interval": "60s", "path": "secret/" });
    bao.must("POST", "sys/quotas/rate-limit/q", limit).await;
    let server = server(server_settings(&bao.url, Method::Token(source(ROOT)), "token"));
    let sink = sink(&server, "secret/x");
    let mut last = sink.read().await;
    for _ in 0..10 {
        if last.is_err() {
            break;
        }
        last = sink.read().await;
    }
    let fault = last.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Transient, Code::Throttled), "{fault}");
    let pause = fault.retry_after.unwrap().as_secs();
    assert!((1..=60).contains(&pause), "{pause}");
}

/// No server here has the method: what is sent is taken apart as Vault's documentation says. That the
/// signature is good is shown where there is an STS, in the tests of the AWS sink.
#[tokio::test]
async fn an_aws_login_is_a_signed_request_bound_to_the_server() {
    let there = Scripted::vault(|asked| {
        (asked.path == "/v1/auth/aws/login").then(|| {
            let granted = json!({ "client_token": "s.aws", "lease_duration": 600 });
            answer(200, &[], json!({ "auth": granted }))
        })
    })
    .await;
    let origin = Origin::Keys { id: "AKIDEXAMPLE".to_owned(), key: Secret::new("k3y".to_owned()) };
    let (sts, clock) = (Sts::new(None, None), Arc::new(SystemClock));
    let identity = AwsIdentity::try_new(origin, sts, http_settings(), clock).unwrap();
    let method = Method::AwsIam {
        role: Some("scimitar".to_owned()),
        header_value: Some("vault.example.com".to_owned()),
        identity,
    };
    let settings = server_settings(&there.url, method, "aws");
    promote(&sink(&server(settings), "kv/x"), 1).await;
    let seen = there.seen();
    let login = seen.iter().find(|asked| asked.path == "/v1/auth/aws/login").unwrap();
    assert_eq!((login.method.as_str(), login.header("x-vault-token")), ("POST", None));
    let body: Value = serde_json::from_str(&login.body).unwrap();
    let decoded = |name: &str| {
        let bytes = base64::decode(body[name].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(
        (&body["role"], &body["iam_http_request_method"]),
        (&json!("scimitar"), &json!("POST"))
    );
    assert_eq!(decoded("iam_request_url"), "https://sts.amazonaws.com/");
    assert_eq!(decoded("iam_request_body"), "Action=GetCallerIdentity&Version=2011-06-15");
    let headers: Value = serde_json::from_str(&decoded("iam_request_headers")).unwrap();
    assert_eq!(headers["x-vault-aws-iam-server-id"], json!(["vault.example.com"]));
    let signature = headers["authorization"][0].as_str().unwrap();
    assert!(signature.contains("Credential=AKIDEXAMPLE/") && signature.contains("/us-east-1/sts/"));
    assert!(signature.contains(";x-vault-aws-iam-server-id,"), "it is signed: {signature}");
    assert!(!login.body.contains("k3y"), "the key itself stays here");
    let write = seen.iter().find(|asked| asked.method == "POST" && asked.path == "/v1/kv/data/x");
    assert_eq!(write.unwrap().header("x-vault-token"), Some("s.aws"));
}
