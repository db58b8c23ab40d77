//! The pictures of the page in README and docs: made of the real server by
//! `UPDATE_ARTEFACTS=1 … servers web::pictures`, and small.

use std::{fs, path::PathBuf, sync::Arc};

use chrono::TimeDelta;
use scimitar::rotation::{
    pause::Pause,
    policy::{Mode, Terms},
    record::Record,
};

use super::{
    chromium::Browser,
    fleet, sample,
    site::{Stand, connection, now},
};

/// The largest that a picture may be, in bytes.
const LARGEST: usize = 120_000;

/// A picture: its name, what it is of, the path, the window and the scheme.
type Picture = (&'static str, &'static str, &'static str, (u32, u32), &'static str);

const PICTURES: [Picture; 8] = [
    ("light", "mixed", "/", (1400, 1000), "light"),
    ("dark", "mixed", "/", (1400, 1000), "dark"),
    ("phone", "mixed", "/", (390, 844), "light"),
    ("all-clear", "well", "/", (1400, 1000), "light"),
    ("many", "many", "/?sort=expiry", (1400, 1000), "light"),
    ("failing", "failing", "/", (1400, 1000), "light"),
    ("empty", "empty", "/", (1400, 500), "light"),
    ("connection", "mixed", "/c/umbrella-entra", (1400, 1000), "light"),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/pictures")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_are_there_and_small() {
    if std::env::var_os("UPDATE_ARTEFACTS").is_some() {
        let many = (0..5_000_i64)
            .map(|index| sample::quiet(&format!("customer-{index:04}"), (index * 13) % 29, 40));
        let sets: [(&str, Vec<Record>); 5] = [
            ("mixed", fleet::mixed()),
            ("well", fleet::well()),
            ("failing", fleet::failing()),
            ("many", many.collect()),
            ("empty", Vec::new()),
        ];
        let mut stands = Vec::new();
        for (name, mut records) in sets {
            if name != "many" {
                special(&mut records);
            }
            let stand = Stand::of(&records, &[]).await;
            observe(&stand, &records);
            stand.live.reloaded(now() - TimeDelta::minutes(12), Ok(()));
            stands.push((name, stand));
        }
        let urls: Vec<_> = stands.iter().map(|(name, stand)| (*name, stand.url(""))).collect();
        tokio::task::spawn_blocking(move || take(&urls)).await.unwrap();
    }
    for (name, ..) in PICTURES {
        let path = folder().join(format!("{name}.webp"));
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(bytes.starts_with(b"RIFF"), "{name}");
        assert!(bytes.len() <= LARGEST, "{name} has {} bytes", bytes.len());
    }
}

/// One that is paused.
fn special(records: &mut [Record]) {
    if let Some(record) = records.iter_mut().find(|it| it.name.as_str() == "oscorp-okta") {
        record.pause = Some(Pause {
            since: now() - TimeDelta::hours(2),
            until: now() + TimeDelta::days(2),
            by: "alice".to_owned(),
            reason: "tenant migration, CHG-1234".to_owned(),
        });
    }
}

/// One that is only watched.
fn observe(stand: &Stand, records: &[Record]) {
    let connections = records.iter().map(|record| {
        let mut connection = connection(record);
        if record.name.as_str() == "abstergo-entra" {
            let mut policy = (*connection.policy).clone();
            policy.terms = Terms { mode: Mode::Observe, ..Terms::default() }.into();
            connection.policy = Arc::new(policy);
        }
        Arc::new(connection)
    });
    stand.live.set_connections(connections.collect());
}

fn take(urls: &[(&str, String)]) {
    let mut browser = Browser::start();
    fs::create_dir_all(folder()).unwrap();
    for (name, of, path, (width, height), scheme) in PICTURES {
        let url = urls.iter().find(|(set, _)| *set == of).unwrap();
        browser.window(width, height, scheme);
        browser.open(&format!("{}{path}", url.1));
        let mut quality = 90;
        let mut bytes = browser.shot("webp", quality, false);
        while bytes.len() > LARGEST && quality > 50 {
            quality -= 10;
            bytes = browser.shot("webp", quality, false);
        }
        fs::write(folder().join(format!("{name}.webp")), bytes).unwrap();
    }
}
