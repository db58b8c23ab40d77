//! Whose credentials are used, and which are never asked for.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use scimitar::{
    error::{Class, Code},
    sink::{Sink, aws::Role},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    secrets_manager::{Mishap::Refused, SecretsManager},
    sink_conformance::*,
    strict::StrictSite,
};

const ROLE: &str = "arn:aws:iam::111122223333:role/team/scimitar";

#[tokio::test]
async fn a_role_is_taken_on_with_what_its_trust_policy_asks_for() {
    let site = StrictSite::new(None).await;
    let mut settings = site.settings();
    settings.account.role = Some(Role {
        arn: ROLE.to_owned(),
        external_id: Some("initech".to_owned()),
        session_tags: BTreeMap::from([("team".to_owned(), "identity".to_owned())]),
    });
    settings.account.expect_role_arn = Some(ROLE.to_owned());
    let sink = site.sink_with(settings);
    promote(&sink, 1).await;
    sink.read().await.unwrap();
    let asked = site.aws.world().asked.clone();
    let of = |call: &str| asked.iter().filter(|asked| asked.call == call).collect::<Vec<_>>();
    let assumed = of("AssumeRole");
    assert_eq!(assumed.len(), 2, "once for each service, for as long as it lasts");
    assert_eq!(assumed[0].key, "TEST");
    for (field, value) in [
        ("RoleArn", ROLE),
        ("ExternalId", "initech"),
        ("Tags.member.1.Key", "team"),
        ("Tags.member.1.Value", "identity"),
        ("RoleSessionName", "scimitar"),
    ] {
        assert_eq!(assumed[0].body[field], value);
    }
    assert_eq!(of("GetCallerIdentity").len(), 1, "asked at first use");
    assert!(asked.iter().all(|asked| asked.call == "AssumeRole" || asked.key == "ASSUMED"));
}

#[tokio::test]
async fn an_unexpected_role_is_found_before_any_other_call() {
    let site = StrictSite::new(None).await;
    site.aws.world().caller =
        "arn:aws:sts::111122223333:assumed-role/node-role/i-0123456789".to_owned();
    let mut settings = site.settings();
    settings.account.expect_role_arn = Some(ROLE.to_owned());
    let sink = site.sink_with(settings);
    for _ in 0..2 {
        let fault = sink.read().await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
        for arn in [ROLE, "assumed-role/node-role/i-0123456789"] {
            assert!(fault.detail.contains(arn), "{fault}");
        }
    }
    assert_eq!(site.aws.count("DescribeSecret"), 0);
    // Mended, it is not held against it.
    site.aws.world().caller = "arn:aws:sts::111122223333:assumed-role/scimitar/session".to_owned();
    sink.read().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_not_be_taken_on_needs_a_person() {
    let site = StrictSite::new(None).await;
    let mut settings = site.settings();
    settings.account.role =
        Some(Role { arn: ROLE.to_owned(), external_id: None, session_tags: BTreeMap::new() });
    let sink = site.sink_with(settings);
    site.aws.world().next("AssumeRole", Refused(403, "AccessDenied"));
    let fault = sink.read().await.unwrap_err();
    assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Unauthorized), "{fault}");
    assert!(fault.detail.contains("trust policy"), "{fault}");
    site.aws.world().next("AssumeRole", Refused(503, "ServiceUnavailable"));
    let fault = sink.read().await.unwrap_err();
    assert_eq!(fault.class, Class::Transient, "{fault}");
    sink.read().await.unwrap();
}

/// Counts connections, and answers each the same.
pub(crate) async fn always(status: u16, body: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    let answer = format!(
        "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, count)
}

/// Runs `check --online` in the environment that is said, and no other.
pub(crate) async fn check(folder: &Path, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    command.args(["--config", "c.toml", "check", "--online", "-vvv"]).current_dir(folder);
    command.env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr)
}

/// A folder with a configuration that delivers to a server, and a web identity's token.
pub(crate) fn folder(aws: &SecretsManager, proxy: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        r#"
[state]
url = "sqlite://ledger.db"
[engine]
request_timeout = "5s"
[providers.box]
type = "sandbox"
[sinks.a]
type = "aws_secrets_manager"
region = "eu-central-1"
endpoint_url = "{}"
http = {{ proxy = "{proxy}" }}
[[connections]]
name = "initech"
provider = "box"
connection_id = "con_okta000000000001"
token_lifetime = "30d"
deliver_to = [{{ sink = "a", name = "scim/initech" }}]
"#,
        aws.url
    );
    std::fs::write(folder.path().join("c.toml"), config).unwrap();
    std::fs::write(folder.path().join("jwt"), "header.jwt5ecret.signature").unwrap();
    folder
}

pub(crate) const GOOD: &str = "every permission that a rotation needs is granted";

/// What is set first decides: the instance's credentials are asked for only where there is nothing
/// else, so that nothing falls through to them.
#[tokio::test]
async fn an_instance_is_never_asked_where_something_else_is_set() {
    let aws = SecretsManager::start().await;
    let (metadata, asked) = always(403, "").await;
    let (proxy, proxied) = always(403, "").await;
    let asked = || asked.load(Ordering::SeqCst);
    let folder = folder(&aws, &proxy);
    let home = folder.path().display().to_string();
    let jwt = folder.path().join("jwt").display().to_string();
    let base = [("HOME", home.as_str()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata)];
    let with = async |more: &[(&str, &str)]| {
        aws.world().asked.clear();
        let said = check(folder.path(), &[&base, more].concat()).await;
        for secret in ["jwt5ecret", "assumed5ecret", "assumedt0ken", "pod5ecret", "podt0ken"] {
            assert!(!said.contains(secret), "{secret} is shown");
        }
        said
    };
    let signed_by = |key: &str| {
        let world = aws.world();
        let calls = world.asked.iter().filter(|asked| !asked.call.starts_with("AssumeRole"));
        let keys: Vec<&str> = calls.map(|asked| asked.key.as_str()).collect();
        !keys.is_empty() && keys.iter().all(|found| *found == key)
    };

    let said = with(&[("AWS_ACCESS_KEY_ID", "STATIC"), ("AWS_SECRET_ACCESS_KEY", "s")]).await;
    assert!(said.contains(GOOD) && signed_by("STATIC"), "{said}");
    assert!(said.contains("warning:") && said.contains("no dry run of CreateSecret"), "{said}");

    // A service account's role in EKS (IRSA).
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", jwt.as_str()), ("AWS_ROLE_ARN", ROLE)];
    let sts = [("AWS_ENDPOINT_URL_STS", aws.url.as_str())];
    let said = with(&[&web[..], &sts].concat()).await;
    assert!(said.contains(GOOD) && signed_by("ASSUMED"), "{said}");
    let exchange = aws.world().asked.clone();
    let exchange = exchange.iter().find(|asked| asked.call == "AssumeRoleWithWebIdentity");
    assert_eq!(exchange.unwrap().body["RoleArn"], ROLE);

    // Pod Identity, and a task's role in ECS.
    let pod = r#"{"AccessKeyId":"POD","SecretAccessKey":"pod5ecret","Token":"podt0ken",
        "Expiration":"2099-01-01T00:00:00Z"}"#;
    let (agent, _) = always(200, pod).await;
    let said = with(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{agent}/v1/credentials")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &jwt),
    ])
    .await;
    assert!(said.contains(GOOD) && signed_by("POD"), "{said}");

    // STS is asked through the proxy, which lets nobody through; that is the end of it.
    let said = with(&web).await;
    assert!(said.contains("there are no credentials: no connection to sts.eu-central-1"), "{said}");
    assert!(proxied.load(Ordering::SeqCst) > 0, "{said}");
    assert_eq!(asked(), 0, "with none of these");

    let said = with(&[]).await;
    assert!(asked() > 0, "nothing is set: the instance is asked\n{said}");
    assert!(said.contains("credentials"), "{said}");
}
