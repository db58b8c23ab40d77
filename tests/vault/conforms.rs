//! The conformance suite over both kinds of key-value engine.

use scimitar::error::{Class, Code};

use crate::{
    sink_conformance::*,
    site::{VaultSite, template},
};

/// [`everything`] wants a place at once, and a mount has to be waited for.
macro_rules! on_fresh_sites {
    ($fresh:expr; $($property:ident)+) => {$( $property(&$fresh).await; )+};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_conforms() {
    on_fresh_sites!(VaultSite::new(2, None).await;
        what_is_promoted_is_read_back
        a_stale_version_changes_nothing
        a_replay_is_harmless
        a_lost_fence_changes_nothing
        what_others_keep_there_stays
        the_token_of_another_connection_stays
        an_older_generation_never_wins
        another_ledgers_generation_is_no_bar
        what_cannot_be_understood_is_not_empty
        what_cannot_be_read_is_a_fault
        a_proof_leaves_no_trace
        a_proof_fails_where_a_write_would
        of_two_writers_one_wins
        a_remembered_place_survives_the_ledger
        no_value_shows
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_with_marks_beside_the_payload_conforms() {
    let payload =
        || Some(template(&[("SCIM_TOKEN", "Bearer {{ token }}"), ("URL", "{{ scim_endpoint }}")]));
    on_fresh_sites!(VaultSite::new(2, payload()).await;
        what_is_promoted_is_read_back
        a_stale_version_changes_nothing
        a_replay_is_harmless
        a_lost_fence_changes_nothing
        what_others_keep_there_stays
        the_token_of_another_connection_stays
        an_older_generation_never_wins
        another_ledgers_generation_is_no_bar
        what_cannot_be_understood_is_not_empty
        what_cannot_be_read_is_a_fault
        a_proof_leaves_no_trace
        a_proof_fails_where_a_write_would
        a_remembered_place_survives_the_ledger
        no_value_shows
    );
}

/// All but one law: of two writers at the same moment both can believe that they won, since
/// version 1 has no compare-and-set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_1_conforms_but_for_fencing() {
    on_fresh_sites!(VaultSite::new(1, None).await;
        what_is_promoted_is_read_back
        a_stale_version_changes_nothing
        a_replay_is_harmless
        a_lost_fence_changes_nothing
        what_others_keep_there_stays
        the_token_of_another_connection_stays
        an_older_generation_never_wins
        another_ledgers_generation_is_no_bar
        what_cannot_be_understood_is_not_empty
        what_cannot_be_read_is_a_fault
        a_proof_leaves_no_trace
        a_proof_fails_where_a_write_would
        a_remembered_place_survives_the_ledger
        no_value_shows
    );
}

#[tokio::test]
async fn version_1_has_no_room_for_marks_beside_a_payload() {
    let site = VaultSite::new(1, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))).await;
    let sink = site.open();
    let seen = sink.read().await.unwrap();
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&parcel(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("version 1 has no custom_metadata"), "{fault}");
    }
    assert!(site.data().await.is_null());
}
