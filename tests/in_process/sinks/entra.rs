//! The sink that is a provisioning job of Entra ID against a stand-in for Microsoft Graph: what is validated,
//! written and started, what each answer means, and that nothing secret is shown.

use std::{fmt::Write, sync::Arc, time::Duration};

use reqwest::Url;
use scimitar::{
    clock::{SystemClock, SystemEntropy},
    error::{Class, Code, Fault},
    http::{Endpoint, HttpSettings},
    rotation::{
        policy::Mode,
        uptake::{Account, Uptake},
    },
    secret::{Secret, SecretSource},
    sink::{
        Reading, Sink, Version,
        azure_identity::{Authority, Identity},
        entra::{EntraSink, EntraTarget, Graph as Tenant, GraphSettings},
    },
    token::SinkName,
};
use scimitar_test_support::{
    cloud::Mishap::{Foreign, GarbledAfter, LostAfter, LostBefore, Refused, RefusedAfter},
    graph::{self, CLIENT, Graph, JOB, PRINCIPAL, SECRET, TENANT},
    heard::Heard,
    sink_conformance::{CANARY, Gate, delivery},
};
use serde_json::json;

const ADDRESS: &str = "?aadOptscim062020";

fn target() -> EntraTarget {
    let append = Some(ADDRESS.to_owned());
    EntraTarget { service_principal: PRINCIPAL.to_owned(), job: None, template: None, append }
}

fn sink_of(graph: &Graph, target: EntraTarget) -> EntraSink {
    let endpoint = || Endpoint::try_new(Url::parse(&graph.url).unwrap()).unwrap();
    let settings = GraphSettings {
        sink: SinkName::try_new("entra").unwrap(),
        graph: endpoint(),
        authority: Authority {
            login: endpoint(),
            resource: "https://graph.microsoft.com".to_owned(),
        },
        identity: Identity::ClientSecret {
            tenant: TENANT.to_owned(),
            client: CLIENT.to_owned(),
            secret: SecretSource::new(|| Ok(Secret::new(SECRET.to_owned()))),
        },
        http: HttpSettings {
            ca_file: None,
            proxy: None,
            request_timeout: Duration::from_secs(10),
            user_agent: "scimitar/test".to_owned(),
        },
    };
    let tenant = Tenant::try_new(settings, Arc::new(SystemClock), Arc::new(SystemEntropy));
    EntraSink::try_new(&tenant.unwrap(), target).unwrap()
}

fn unasked() -> Version {
    Version(Version::UNASKED.to_owned())
}

async fn promote(sink: &EntraSink, generation: u64) -> Result<Version, Fault> {
    sink.promote(&delivery(generation), &unasked(), &Gate::open()).await
}

fn credential(graph: &Graph, key: &str) -> Option<String> {
    graph.world().rules.credentials.get(key).cloned()
}

/// Whether the service principal has this token.
fn has(graph: &Graph, generation: u64) -> bool {
    credential(graph, "SecretToken").as_deref() == Some(delivery(generation).value.expose())
}

fn order(graph: &Graph) -> Vec<String> {
    let world = graph.world();
    let asked = world.asked.iter().filter(|asked| !asked.path.ends_with("/token"));
    asked
        .map(|asked| format!("{} {}", asked.method, asked.path.rsplit('/').next().unwrap()))
        .collect()
}

#[tokio::test]
async fn it_is_validated_then_written_then_started() {
    let graph = graph::start().await;
    graph.world().rules.credentials.insert("SyncAll".to_owned(), "false".to_owned());
    let sink = sink_of(&graph, target());
    assert!(!sink.readable());
    assert_eq!(sink.uptake(), Uptake::ByClient);
    let version = promote(&sink, 1).await.unwrap();
    assert_eq!(version.0, "2026-11-22T04:00:00Z", "by Microsoft's own clock");
    assert!(has(&graph, 1));
    let address = format!("{}{ADDRESS}", delivery(1).scim_endpoint);
    assert_eq!(credential(&graph, "BaseAddress"), Some(address));
    assert_eq!(credential(&graph, "SyncAll").as_deref(), Some("false"), "sent again as it was");
    let steps =
        ["GET jobs", "GET secrets", "POST validateCredentials", "PUT secrets", "POST start"];
    assert_eq!(order(&graph), steps);
}

#[tokio::test]
async fn what_is_not_valid_changes_nothing() {
    for (name, class) in [
        ("SystemForCrossDomainIdentityManagementCredentialValidationFailure", Class::Terminal),
        ("CredentialValidationUnavailable", Class::Transient),
    ] {
        let graph = graph::start().await;
        graph.next("validate", Refused(400, name));
        let fault = promote(&sink_of(&graph, target()), 1).await.unwrap_err();
        assert_eq!(fault.class, class, "{fault}");
        assert_eq!(credential(&graph, "SecretToken").as_deref(), Some("old"));
        assert_eq!((graph.count("put"), graph.count("start")), (0, 0));
    }
}

#[tokio::test]
async fn a_write_is_refused_or_in_doubt_and_never_both() {
    for (way, class, wrote) in [
        (Refused(403, "Authorization_RequestDenied"), Class::Terminal, false),
        (Refused(409, "Conflict"), Class::Transient, false),
        (Refused(429, "TooManyRequests"), Class::Transient, false),
        (Refused(503, "ServiceUnavailable"), Class::Ambiguous, false),
        (RefusedAfter(504, "GatewayTimeout"), Class::Ambiguous, true),
        (Foreign(502), Class::Ambiguous, false),
        (Foreign(302), Class::Ambiguous, false),
        (LostBefore, Class::Ambiguous, false),
        (LostAfter, Class::Ambiguous, true),
    ] {
        let graph = graph::start().await;
        let sink = sink_of(&graph, target());
        graph.next("put", way.clone());
        let fault = promote(&sink, 1).await.unwrap_err();
        assert_eq!((fault.class, has(&graph, 1)), (class, wrote), "{way:?}: {fault}");
        // The same again does no harm.
        promote(&sink, 1).await.unwrap();
        assert!(has(&graph, 1), "{way:?}");
    }
}

/// The job has the token then, so it counts as perhaps delivered, and is given it again.
#[tokio::test]
async fn a_job_that_does_not_start_leaves_the_write_in_doubt() {
    let graph = graph::start().await;
    let sink = sink_of(&graph, target());
    graph.next("start", Refused(403, "Authorization_RequestDenied"));
    let fault = promote(&sink, 1).await.unwrap_err();
    assert_eq!((fault.class, has(&graph, 1)), (Class::Ambiguous, true), "{fault}");
    promote(&sink, 1).await.unwrap();
    assert_eq!(graph.world().rules.started.len(), 1);
}

#[tokio::test]
async fn a_quarantine_is_ended_and_a_pause_is_not() {
    let graph = graph::start().await;
    let sink = sink_of(&graph, target());
    graph.world().rules.status = json!({ "code": "Quarantine", "quarantine": { "reason": "EncounteredQuarantineException" } });
    let account = sink.client(&Version("2026-11-22T04:00:00Z".to_owned())).await.unwrap();
    assert!(matches!(account, Account::Stopped(_)), "{account:?}");
    promote(&sink, 1).await.unwrap();
    let restart =
        ("restart".to_owned(), json!({ "criteria": { "resetScope": "QuarantineState" } }));
    assert_eq!(graph.world().rules.started, [restart]);

    graph.world().rules.started.clear();
    graph.world().rules.status = json!({ "code": "Paused" });
    promote(&sink, 2).await.unwrap();
    assert!(has(&graph, 2) && graph.world().rules.started.is_empty(), "whoever paused it meant it");
}

#[tokio::test]
async fn only_a_later_cycle_shows_that_the_token_is_used() {
    let graph = graph::start().await;
    let sink = sink_of(&graph, target());
    graph.world().rules.cycle("2026-11-22T03:59:00Z");
    let given = promote(&sink, 1).await.unwrap();
    assert!(matches!(sink.client(&given).await.unwrap(), Account::Waits(_)));
    graph.world().rules.cycle("2026-11-22T04:20:00Z");
    assert_eq!(sink.client(&given).await.unwrap(), Account::Uses);
    // A version of which nothing is known proves nothing.
    let unknown = sink.client(&Version("made up".to_owned())).await.unwrap();
    assert!(matches!(unknown, Account::Waits(_)), "{unknown:?}");
    for way in [Refused(403, "Forbidden"), Foreign(200), GarbledAfter, LostAfter] {
        graph.next("job", way.clone());
        assert!(sink.client(&given).await.is_err(), "{way:?}");
    }
}

#[tokio::test]
async fn a_job_is_named_or_the_only_one() {
    let graph = graph::start().await;
    graph.world().rules.jobs = vec![(JOB, "scim"), ("other.0002", "customappsso")];
    let refused = |fault: Fault| {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        fault.to_string()
    };
    let words = refused(promote(&sink_of(&graph, target()), 1).await.unwrap_err());
    assert!(words.contains("other.0002 (template customappsso)"), "{words}");
    let of = |job: Option<&str>, template: Option<&str>| EntraTarget {
        job: job.map(str::to_owned),
        template: template.map(str::to_owned),
        ..target()
    };
    promote(&sink_of(&graph, of(Some(JOB), None)), 1).await.unwrap();
    promote(&sink_of(&graph, of(None, Some("customappsso"))), 2).await.unwrap();
    let words = refused(promote(&sink_of(&graph, of(None, Some("none"))), 3).await.unwrap_err());
    assert!(words.contains("of that template"), "{words}");
    graph.world().rules.jobs.clear();
    let words = refused(promote(&sink_of(&graph, target()), 3).await.unwrap_err());
    assert!(words.contains("set provisioning up"), "{words}");
    assert!(has(&graph, 2));
}

#[tokio::test]
async fn no_other_secret_of_the_application_is_lost() {
    let graph = graph::start().await;
    graph.world().rules.credentials.insert("ClientSecret".to_owned(), "theirs".to_owned());
    let sink = sink_of(&graph, target());
    let seen = Reading::new(unasked(), scimitar::sink::Contents::Unmarked { value: None });
    for fault in
        [sink.prove_writable(&seen).await.unwrap_err(), promote(&sink, 1).await.unwrap_err()]
    {
        assert!(fault.to_string().contains("ClientSecret"), "{fault}");
    }
    assert_eq!(credential(&graph, "ClientSecret").as_deref(), Some("theirs"));
    assert_eq!(graph.count("put"), 0);
}

#[tokio::test]
async fn a_missing_permission_is_named_before_anything_is_made() {
    let graph = graph::start().await;
    let sink = sink_of(&graph, target());
    assert_eq!(sink.missing_rights(Mode::Rotate).await.unwrap(), [""; 0]);
    graph.world().rules.roles = vec!["User.Read.All"];
    let missing = sink_of(&graph, target()).missing_rights(Mode::Rotate).await.unwrap();
    assert!(missing[0].contains("Application.ReadWrite.OwnedBy"), "{missing:?}");
    let missing = sink_of(&graph, target()).missing_rights(Mode::Observe).await.unwrap();
    assert!(missing[0].contains("Synchronization.Read.All"), "{missing:?}");
    graph.world().rules.roles = vec!["Synchronization.Read.All"];
    let sink = sink_of(&graph, target());
    assert_eq!(sink.missing_rights(Mode::Observe).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn nothing_secret_is_shown_at_the_highest_verbosity() {
    let (heard, guard) = Heard::listen();
    let graph = graph::start().await;
    let sink = sink_of(&graph, target());
    let mut shown = format!("{sink:?}");
    for verb in ["login", "job", "credentials", "validate", "put", "start"] {
        for way in [Refused(400, "BadRequest"), Foreign(500), LostAfter, GarbledAfter] {
            graph.next(verb, way);
            let done = promote(&sink_of(&graph, target()), 1).await;
            write!(shown, "{done:?}").unwrap();
        }
    }
    promote(&sink, 2).await.unwrap();
    drop(guard);
    let tokens: Vec<String> = {
        let world = graph.world();
        world
            .asked
            .iter()
            .map(|asked| asked.token().to_owned())
            .filter(|it| !it.is_empty())
            .collect()
    };
    let secrets = [CANARY.to_owned(), SECRET.to_owned()];
    heard.holds_none_of(&["hyper"], &[&secrets[..], &tokens].concat(), &shown);
}
