//! From the first token to the end of the overlap.

use chrono::TimeDelta;
use scimitar::sandbox::{Act, Rule};
use scimitar_test_support::{
    issuers::{ALL, CONFLUENT_CLOUD},
    provider_conformance::Mischief,
};

use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn each_declared_issuer_is_rotated() {
    for api in ALL {
        let site = Site::start(api, |_, text| text).await;
        assert_eq!(site.run(&["--rotate-now"]).row()["outcome"], "rotated", "{}", api.file);
        assert_eq!(site.values(), [site.file()], "{}", api.file);
        let first = site.file();
        assert_eq!(site.run(&["--rotate-now"]).row()["outcome"], "rotated", "{}", api.file);
        assert_eq!(site.values(), [first, site.file()], "{}", api.file);
        site.run(&["--once", "--wait", "--timeout", "60s"]);
        assert_eq!(site.values(), [site.file()], "{}", api.file);
        let row = site.run(&["status"]).row();
        assert_eq!(row["phase"], "steady", "{row}");
    }
}

/// Confluent Cloud's tokens have no name and lives in whole minutes: what is asked for is granted, and
/// by it a token is recognised whose create was lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_token_is_known_by_its_life_in_minutes() {
    for act in [Act::DropAfter, Act::ErrorAfter, Act::Truncate] {
        let site = Site::start(CONFLUENT_CLOUD, |_, text| text).await;
        site.run(&["--rotate-now"]);
        let first = site.file();
        let once =
            Rule { count: Some(1), ..Rule::new("POST", CONFLUENT_CLOUD.tokens, act.clone()) };
        site.double.add(once);
        let row = site.run(&["--rotate-now"]).row();
        assert_eq!(row["outcome"], "rotated", "{act:?}: {row}");
        let made = site.double.secrets();
        assert_eq!(made.len(), 3, "{act:?}: the one whose answer was lost is among them");
        assert_eq!(site.values(), [first, site.file()], "{act:?}: and was revoked");
        for token in site.double.tokens() {
            let life = token.expires.unwrap() - token.created;
            assert!(life < TimeDelta::days(90) && life.num_seconds() % 60 == 0, "{life}");
        }
    }
}
