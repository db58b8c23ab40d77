//! Three connections of a rehearsal tenant, rotated by the real binary, and their metrics served
//! over HTTP.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{Router, extract::State, http::HeaderName, http::header::CONTENT_TYPE, routing::get};
use scimitar::{
    clock::{Clock, SystemClock},
    commands::wiring::{self, House, Use},
    config::{self, Environment},
    engine::{progress::Silent, scrape},
};

use crate::binary::Call;

/// What Prometheus' text format is announced as.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

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
             [defaults]\ntoken_lifetime = \"30d\"\nrotate_before = \"10d\"\n\
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
        fs::write(site.path("scimitar.toml"), text).unwrap();
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
        let house = self.house().await;
        scrape::text(&house.engine, &house.connections).await.unwrap()
    }

    /// Serves `/metrics` until the test ends.
    pub(crate) async fn serve(&self) -> SocketAddr {
        let house = Arc::new(self.house().await);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/metrics", get(metrics)).with_state(house);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        address
    }

    async fn house(&self) -> House {
        let env: Arc<dyn Environment> = Arc::new(BTreeMap::<String, String>::new());
        let config = config::load(&self.path("scimitar.toml"), env.as_ref()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let built = wiring::build(&config, &env, &clock, Arc::new(Silent), Use::Look).await;
        let house = built.unwrap();
        house.engine.metrics.config_reload(clock.now(), true);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn metrics(State(house): State<Arc<House>>) -> ([(HeaderName, &'static str); 1], String) {
    let text = scrape::text(&house.engine, &house.connections).await.unwrap();
    ([(CONTENT_TYPE, TEXT)], text)
}

/// A file of the project.
pub(crate) fn of_project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

pub(crate) fn read(name: &str) -> String {
    fs::read_to_string(of_project(name)).unwrap()
}
