//! What every ledger must do, behind a pooler that gives each transaction another connection.

use scimitar_test_support::ledger_conformance::Lab;

use super::site::{fresh, lab_at};

async fn lab() -> Lab {
    let (server, _, database) = fresh().await;
    // Kept until the tests end: several use it at once.
    static POOLER: tokio::sync::OnceCell<scimitar_test_support::postgres::Pooler> =
        tokio::sync::OnceCell::const_new();
    let pooler = POOLER.get_or_init(|| server.pooler()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{database}", pooler.port);
    lab_at(server, database, url).await
}

scimitar_test_support::ledger_conforms!(
    lab().await,
    a_dead_holders_claim_ends_with_its_lease,
    what_others_act_on_is_not_due
);
