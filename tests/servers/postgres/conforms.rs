//! What every ledger must do, straight on the server.

scimitar_test_support::ledger_conforms!(
    crate::postgres::site::lab().await,
    a_dead_holders_claim_ends_with_its_lease,
    what_others_act_on_is_not_due
);
