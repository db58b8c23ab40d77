//! The status page: how things are, every connection on one line, and a page for each.

use std::sync::LazyLock;

use axum::{
    http::{StatusCode, request::Parts},
    response::Response,
};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;

use super::{
    Site, address,
    card::Card,
    gzip, health,
    list::List,
    moment::Moment,
    query::{Wanted, with_query},
    text, with_type,
};
use crate::{
    clock::{Timestamp, rfc3339},
    error::chain,
    words::date_seen,
};

const HTML: &str = "text/html; charset=utf-8";

/// After so many seconds the page is loaded again, where somebody asks for that.
const OFTEN: u32 = 30;

macro_rules! within_the_shell {
    ($inside:literal) => {
        concat!(
            include_str!("page/head.html"),
            include_str!($inside),
            include_str!("page/foot.html")
        )
    };
}

/// The templates: every value that they are given is escaped.
static TEMPLATES: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_template("list", within_the_shell!("page/list.html"))?;
    environment.add_template("connection", within_the_shell!("page/connection.html"))?;
    Ok(environment)
});

/// The list that this address asks for.
pub(super) async fn answer(site: &Site, asked: &Parts) -> Response {
    let wanted = Wanted::of(&asked.uri);
    let now = site.engine.clock.now();
    let again = |refresh| Wanted { refresh, ..wanted.clone() }.address();
    let shell = site.shell(wanted.refresh, again, now);
    match site.list(&wanted, now).await {
        Ok(list) => {
            let title = match list.persons {
                0 => "Scimitar".to_owned(),
                persons => format!("({persons}) Scimitar"),
            };
            let skip = if list.total > 0 { "#connections" } else { "#main" };
            let page = ListPage { shell: Shell { title, skip, ..shell }, list: Some(list) };
            render(asked, StatusCode::OK, "list", &page)
        }
        Err(error) => {
            let shell = Shell { unread: Some(chain(&error)), ..shell };
            let page = ListPage { shell, list: None };
            render(asked, StatusCode::SERVICE_UNAVAILABLE, "list", &page)
        }
    }
}

/// The page of the connection with this name.
pub(super) async fn connection(site: &Site, name: &str, asked: &Parts) -> Response {
    let now = site.engine.clock.now();
    let refresh = Wanted::of(&asked.uri).refresh;
    let again = |refresh: Option<u32>| {
        let refresh = refresh.map(|refresh| ("refresh", refresh.to_string()));
        let parameters: Vec<_> = refresh.into_iter().collect();
        with_query(&address::of_connection(name), &parameters)
    };
    let shell = site.shell(refresh, again, now);
    let shell = Shell { title: format!("{name} · Scimitar"), ..shell };
    let Some(connection) = site.connection(name) else {
        let missing = Some(name.to_owned());
        let page = ConnectionPage { shell, card: None, missing };
        return render(asked, StatusCode::NOT_FOUND, "connection", &page);
    };
    match site.card(&connection, now).await {
        Ok(card) => {
            let page = ConnectionPage { shell, card: Some(card), missing: None };
            render(asked, StatusCode::OK, "connection", &page)
        }
        Err(error) => {
            let shell = Shell { unread: Some(chain(&error)), ..shell };
            let page = ConnectionPage { shell, card: None, missing: None };
            render(asked, StatusCode::SERVICE_UNAVAILABLE, "connection", &page)
        }
    }
}

fn render(asked: &Parts, status: StatusCode, template: &str, page: &impl Serialize) -> Response {
    let rendered = TEMPLATES.as_ref().map_err(ToString::to_string).and_then(|environment| {
        let template = environment.get_template(template).map_err(|error| error.to_string())?;
        template.render(Serde(page)).map_err(|error| error.to_string())
    });
    match rendered {
        Ok(html) => written(asked, status, html),
        Err(defect) => {
            tracing::error!(
                error = defect,
                "the status page could not be rendered; please report this bug: {defect}"
            );
            let words = "the page could not be rendered: this is a bug; `scimitar status` shows \
                         the same\n";
            text(StatusCode::INTERNAL_SERVER_ERROR, words.to_owned())
        }
    }
}

/// A page, packed for a reader who can unpack it.
fn written(asked: &Parts, status: StatusCode, html: String) -> Response {
    let wanted = gzip::is_accepted(&asked.headers);
    let packed = wanted.then(|| gzip::packed(&html)).and_then(Result::ok);
    let is_packed = packed.is_some();
    let mut response = match packed {
        Some(bytes) => with_type(status, HTML, bytes),
        None => with_type(status, HTML, html),
    };
    gzip::tell(response.headers_mut(), is_packed);
    response
}

#[derive(Debug, Serialize)]
struct ListPage {
    #[serde(flatten)]
    shell: Shell,
    /// `None` when the ledger cannot be read; then `unread` says why.
    list: Option<List>,
}

#[derive(Debug, Serialize)]
struct ConnectionPage {
    #[serde(flatten)]
    shell: Shell,
    card: Option<Card>,
    /// The name that no connection has.
    missing: Option<String>,
}

/// What is around every page.
#[derive(Debug, Serialize)]
struct Shell {
    /// What the first link of all leads to.
    skip: &'static str,
    title: String,
    version: &'static str,
    now: String,
    clock: String,
    started: Moment,
    configuration: Moment,
    rejected: Option<Rejected>,
    obstacles: Vec<Obstacle>,
    unread: Option<String>,
    /// After so many seconds the page is loaded again.
    refresh: Option<u32>,
    here: String,
    here_once: String,
    here_often: String,
}

#[derive(Debug, Serialize)]
struct Obstacle {
    words: String,
    since: Moment,
}

/// A reload that changed nothing.
#[derive(Debug, Serialize)]
struct Rejected {
    words: String,
    at: Moment,
}

impl Site {
    fn shell(
        &self,
        refresh: Option<u32>,
        again: impl Fn(Option<u32>) -> String,
        now: Timestamp,
    ) -> Shell {
        let configuration = self.live.configuration();
        let rejected = configuration.rejected.map(|(at, words)| Rejected {
            words: words.trim_end_matches('.').to_owned(),
            at: Moment::of(at, now),
        });
        let read_at = configuration.read_at;
        let mut read = Moment::of(read_at, now);
        if read_at.date_naive() == now.date_naive() {
            read.clock = read_at.format("%H:%M UTC").to_string();
        }
        Shell {
            skip: "#main",
            title: "Scimitar".to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            now: rfc3339(now),
            clock: date_seen(now, now),
            started: Moment::of(self.live.started(), now),
            configuration: read,
            rejected,
            obstacles: self.obstacles(now),
            unread: None,
            refresh,
            here: again(refresh),
            here_once: again(None),
            here_often: again(Some(OFTEN)),
        }
    }

    fn obstacles(&self, now: Timestamp) -> Vec<Obstacle> {
        let mut obstacles: Vec<Obstacle> = self
            .live
            .obstacles()
            .into_iter()
            .map(|reason| Obstacle { words: reason.words, since: Moment::of(reason.since, now) })
            .collect();
        let beat = self.live.beat();
        if health::is_stuck(beat, now) {
            let words = "the scheduler has stopped: restart the service".to_owned();
            obstacles.push(Obstacle { words, since: Moment::of(beat, now) });
        }
        obstacles
    }
}
