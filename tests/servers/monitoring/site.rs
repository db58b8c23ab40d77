//! Three connections of a sandbox, rotated by the real binary, and their metrics: as its
//! daemon serves them, as a one-shot leaves them, and with everything counted that can be.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use scimitar::{
    app::{self, App, Use},
    clock::{AgreedClock, Clock, SystemClock, Timestamp},
    config::{self, Environment},
    engine::{progress::Silent, scrape},
    rotation::{
        pause::Pause,
        probe_user::{ProbeUserName, UserOp, WritePlan, WriteProof},
        record::{Begun, Record},
        scim_config::{ScimState, Standing},
        uptake::{Account, Client, Uptake},
        watch::Watch,
    },
    telemetry::metrics::{Reader, Scrape},
    token::{ConnectionName, HookName, PlaceKey, ProviderName, SinkName},
};

use super::binary::{Call, Running};

/// What the daemon logs when it can be asked, with its address.
const OPEN: &str = "the status page is open";

/// A folder with a configuration, a ledger and what the binary left there.
pub(crate) struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    /// Three connections, each rotated twice, so that an older token waits.
    pub(crate) fn rotated(per_connection_limit: usize) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        let mut text = format!(
            "[state]\nurl = \"sqlite://ledger.db\"\n\
             [metrics]\ntextfile = \"scimitar.prom\"\nper_connection_limit = {per_connection_limit}\n\
             [defaults]\nrevoke_after_use = false\ntoken_lifetime = \"30d\"\nrotate_before = \"10d\"\n\
             scopes = [\"get:users\"]\n\
             [providers.acme]\ntype = \"sandbox\"\ndata_dir = \"tenant\"\n\
             [sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n"
        );
        let connections = ["con_okta000000000001", "con_waad000000000001", "con_samlp00000000001"];
        text.extend(connections.map(|id| {
            format!(
                "[[connections]]\nname = \"{id}-name\"\nprovider = \"acme\"\n\
                 connection_id = \"{id}\"\ndeliver_to = [{{ sink = \"disk\", file = \"{id}\" }}]\n"
            )
        }));
        site.configure(&text);
        for _ in 0..2 {
            let call = ["--config", "scimitar.toml", "--rotate-now"];
            Call::new(site.folder.path(), &call).run().exits(0);
        }
        site
    }

    /// What the one-shot left for node_exporter.
    pub(crate) fn textfile(&self) -> String {
        fs::read_to_string(self.path("scimitar.prom")).unwrap()
    }

    /// What `/metrics` answers.
    pub(crate) async fn exposition(&self) -> String {
        let app = self.app().await;
        scrape::text(&app.engine, &app.connections, &app.watched.tokens).await.unwrap().concat()
    }

    /// The same of a process that has counted everything once, and of connections that lack nothing
    /// that can be told of one.
    pub(crate) async fn busy(&self, reader: Reader) -> String {
        let App { engine, connections, .. } = self.app().await;
        let now = engine.clock.now();
        let metrics = &engine.metrics;
        let provider = ProviderName::try_new("acme").unwrap();
        let sink = SinkName::try_new("disk").unwrap();
        let hook = HookName::try_new("after-rotation").unwrap();
        metrics.configured(&[&provider], &[&sink], &[&hook]);
        metrics.provider_request(&provider, "list", "200");
        metrics.provider_throttled(&provider);
        metrics.rate_limit_remaining(&provider, 12);
        metrics.sink_write(&sink, "delivered");
        metrics.sink_request(&sink, "read", "ok");
        metrics.sink_up(&sink, true);
        metrics.config_differs(false);
        metrics.step("mint", Duration::from_millis(20));
        metrics.rotation(&provider, Duration::from_secs(2));
        metrics.hook_run(&hook, "failed");
        metrics.audit_missed(1);
        metrics.last_run(now, 3);
        metrics.discovered(&provider, 3, 0, true, now);
        let policies = connections.iter().map(|connection| connection.policy.as_ref());
        let mut scrape = Scrape::new(metrics, policies, reader, now);
        let page = engine.ledger.page(None, 10).await.unwrap();
        let records: Vec<_> = page.into_iter().map(|stored| held_up(stored.record)).collect();
        records.iter().for_each(|record| scrape.add(record));
        scrape.add_watched(&[watched(now)]);
        for key in scrape.wanted() {
            scrape.add_wanted(records.iter().find(|record| record.key == key).unwrap());
        }
        scrape.finish().unwrap().concat()
    }

    /// Starts the daemon, and waits until it can be asked.
    pub(crate) fn daemon(&self) -> (Running, SocketAddr) {
        let text = self.configuration();
        self.configure(&format!("{text}[server]\nlisten = \"127.0.0.1:0\"\n"));
        let call = ["--config", "scimitar.toml", "run"];
        let daemon = Call::new(self.folder.path(), &call).start();
        daemon.err.until_text(OPEN);
        let log = daemon.err.text();
        let line = log.lines().find(|line| line.contains(OPEN)).unwrap();
        let (_, behind) = line.split_once("http://").unwrap();
        let (address, _) = behind.split_once('/').unwrap();
        let address = address.parse().unwrap();
        (daemon, address)
    }

    /// The configuration, as it stands.
    pub(crate) fn configuration(&self) -> String {
        fs::read_to_string(self.path("scimitar.toml")).unwrap()
    }

    /// Writes another.
    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("scimitar.toml"), text).unwrap();
    }

    async fn app(&self) -> App {
        let env: Arc<dyn Environment> = Arc::new(BTreeMap::<String, String>::new());
        let config = config::load(&self.path("scimitar.toml"), env.as_ref()).unwrap();
        let clock = Arc::new(AgreedClock::new(Arc::new(SystemClock)));
        let built = app::build(&config, &env, &clock, Arc::new(Silent), Use::Look).await;
        let app = built.unwrap();
        app.engine.metrics.config_reload(clock.now(), true);
        app
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A token that no API shows.
fn watched(now: Timestamp) -> Watch {
    Watch {
        name: ConnectionName::try_new("aws-sso").unwrap(),
        expires_at: now + TimeDelta::days(200),
        owner: None,
        note: None,
        link: None,
        notify_before: [Duration::from_secs(14 * 86_400)].into(),
        shadowed: false,
    }
}

/// Its older token should have gone two hours ago but for evidence, and a place that cannot be asked
/// waits to be handed the token.
fn held_up(mut record: Record) -> Record {
    let (two_hours, clock) = (TimeDelta::hours(2), record.provider_clock());
    let older = record.retiring.first_mut().unwrap();
    older.retire.overlap = Duration::from_secs(60);
    older.retire.when_idle = Some(Duration::from_secs(7_200));
    older.superseded_at = older.superseded_at.map(|at| at - two_hours);
    // Later than any probe of ours can have arrived: a client's.
    let survey = record.survey.as_mut().unwrap();
    older.token.last_used_at = Some(survey.clock().to_provider(survey.at) + two_hours);
    for token in &mut survey.tokens {
        token.last_used_at = older.token.last_used_at;
    }
    let current = record.current.as_mut().unwrap();
    current.token.last_used_at = older.token.last_used_at;
    let mut place = record.sinks.values().next().unwrap().clone();
    place.place.key = PlaceKey::new("person", "hand-off");
    place.readable = false;
    place.holds = None;
    let at = clock.to_host(current.token.created_at - two_hours);
    place.begun = Some(Begun { id: current.token.id.clone(), at, replaces: None, spends: false });
    record.sinks.insert(place.place.key.clone(), place);
    let mut place = record.sinks.values().next().unwrap().clone();
    place.place.key = PlaceKey::new("client", "entra");
    (place.readable, place.uptake) = (false, Uptake::ByClient);
    place.client = Some(Client {
        asked: at,
        account: Some(Account::Stopped("it is in quarantine".to_owned())),
        stopped_since: Some(at),
        trouble: None,
    });
    record.sinks.insert(place.place.key.clone(), place);
    let mut place = record.sinks.values().next().unwrap().clone();
    place.place.key = PlaceKey::new("person", "okta");
    place.readable = false;
    place.uptake = Uptake::ByPerson { instructions: "put it there".to_owned() };
    record.sinks.insert(place.place.key.clone(), place);
    let (standing, since) = (Some(Standing::Missing), Some(at));
    record.scim = Some(ScimState { standing, since, ..ScimState::default() });
    let plan = WritePlan {
        user: ProbeUserName::drawn(7),
        ops: [UserOp::Create, UserOp::Delete].into(),
        left_out: BTreeMap::new(),
    };
    record.pause = Some(Pause {
        since: at,
        until: at + TimeDelta::days(1),
        by: "root".to_owned(),
        reason: "an upgrade".to_owned(),
    });
    let token = record.current.as_ref().unwrap().token.id.clone();
    record.write_proof = Some(WriteProof::new(token, &plan, at));
    record
}

/// A file of the project.
pub(crate) fn of_project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(of_project(name)).unwrap()
}
