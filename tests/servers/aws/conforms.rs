//! The conformance suite over both servers.

use super::{
    moto::Moto,
    sink_conformance::*,
    site::{MotoSite, template},
    strict::StrictSite,
};

/// A server in which rights and signatures are looked at, whoever asks: one for each test.
async fn guarding() -> &'static Moto {
    Box::leak(Box::new(Moto::start().await))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_with_the_least_rights_conforms() {
    let moto = guarding().await;
    everything(async || MotoSite::guarded(moto, None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_with_marks_in_tags_conforms() {
    let moto = guarding().await;
    let payload =
        || template(&[("SCIM_TOKEN", "Bearer {{ token }}"), ("URL", "{{ scim_endpoint }}")]);
    everything(async || MotoSite::guarded(moto, Some(payload())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stricter_server_conforms() {
    everything(async || StrictSite::new(None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stricter_server_with_marks_in_tags_conforms() {
    let payload = || template(&[("SCIM_TOKEN", "{{ token }}")]);
    everything(async || StrictSite::new(Some(payload())).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_with_plain_text_conforms() {
    let moto = guarding().await;
    everything(async || MotoSite::raw(moto).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stricter_server_with_plain_text_conforms() {
    everything(StrictSite::raw).await;
}
