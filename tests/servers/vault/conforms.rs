//! The conformance suite over both kinds of key-value engine.

use scimitar::error::{Class, Code};
use serde_json::json;

use super::{
    sink_conformance::*,
    site::{VaultSite, template},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_conforms() {
    everything(async || VaultSite::new(2, None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_2_with_marks_beside_the_payload_conforms() {
    let payload =
        || template(&[("SCIM_TOKEN", "Bearer {{ token }}"), ("URL", "{{ scim_endpoint }}")]);
    everything(async || VaultSite::new(2, Some(payload())).await).await;
}

/// All but one law: of two writers at the same moment both can believe that they won, since
/// version 1 has no compare-and-set. It says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_1_conforms_but_for_fencing_and_says_so() {
    all_but_fencing(&async || VaultSite::new(1, None).await).await;
    for version in [1, 2] {
        let site = VaultSite::new(version, None).await;
        let sink = site.open();
        sink.read().await.unwrap();
        let said = sink.caveat().is_some_and(|said| said.contains("has no compare-and-set"));
        assert_eq!(said, version == 1);
    }
}

#[tokio::test]
async fn version_1_has_no_room_for_marks_beside_a_payload() {
    let site = VaultSite::new(1, Some(template(&[("SCIM_TOKEN", "{{ token }}")]))).await;
    let sink = site.open();
    let seen = sink.read().await.unwrap();
    let proof = sink.prove_writable(&seen).await.unwrap_err();
    let write = sink.promote(&delivery(1), &seen.version, &Gate::open()).await.unwrap_err();
    for fault in [proof, write] {
        assert_eq!((fault.class, fault.code), (Class::Terminal, Code::Invalid), "{fault}");
        assert!(fault.detail.contains("version 1 has no custom_metadata"), "{fault}");
    }
    assert!(site.data().await.is_null());
    // So none is advised for a token under another key.
    for (version, before) in [(1, None), (2, Some("Bearer "))] {
        let site = VaultSite::new(version, None).await;
        site.put(json!({ "header": "Bearer tok_1.x" })).await;
        let found = site.open().read().await.unwrap().elsewhere;
        assert_eq!(found.iter().map(|one| one.before).collect::<Vec<_>>(), [before], "{found:?}");
    }
}
