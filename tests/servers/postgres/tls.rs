//! Encrypted connections: the server shows who it is, or nothing is said to it.

use scimitar_test_support::{
    ledger_conformance::{
        run,
        sample::{key, put, record},
    },
    postgres::Postgres,
};

use super::site::{assert_unavailable, settings, trusting, try_open};

#[test]
fn only_the_right_server_is_spoken_to() {
    run(async {
        let mut server = Postgres::start(&[]).await;
        let at = |host: &str, port: u16| {
            format!("postgres://postgres@{host}:{port}/postgres?sslmode=verify-full")
        };
        let plain = trusting(&at("localhost", server.port), &server.certify());
        assert_unavailable(try_open(plain.clone()).await.map(drop), "does not support encryption");
        server.fall();
        server.rise().await;
        let ledger = try_open(plain.clone()).await.unwrap();
        put(&ledger, &record(&key("con_1"))).await;
        let encrypted = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE ssl AND application_name = 'scimitar'";
        assert!(server.number("postgres", encrypted).await > 0);
        let unknown = settings(&at("localhost", server.port));
        assert_unavailable(try_open(unknown).await.map(drop), "this system does not know");
        let other_name = trusting(&at("127.0.0.1", server.port), &plain.ca_file.clone().unwrap());
        assert_unavailable(try_open(other_name).await.map(drop), "is for another name");
        let mut stranger = Postgres::start(&[]).await;
        let wrong = trusting(&at("localhost", server.port), &stranger.certify());
        assert_unavailable(try_open(wrong).await.map(drop), "no encrypted connection to localhost");
        let no_file = trusting(&at("localhost", server.port), std::path::Path::new("/none.pem"));
        assert_unavailable(try_open(no_file).await.map(drop), "`ca_file` /none.pem cannot be used");
    });
}
