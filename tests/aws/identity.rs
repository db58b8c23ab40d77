//! A request that says whose credentials these are, looked at by somebody else.

use std::sync::Arc;

use reqwest::Client;
use scimitar::{
    clock::SystemClock,
    secret::Secret,
    sink::aws::{AwsIdentity, Origin, SignedIdentity},
};

use crate::{
    moto::{Keys, Moto, policy},
    site::http_settings,
};

const OPERATION: &str = "log in to vault.example.com";

async fn signed(keys: &Keys, headers: &[(&str, &str)]) -> SignedIdentity {
    let origin = Origin::Keys { id: keys.id.clone(), key: Secret::new(keys.key.clone()) };
    let identity = AwsIdentity::try_new(origin, http_settings(), Arc::new(SystemClock)).unwrap();
    identity.signed(OPERATION, headers).await.unwrap()
}

/// Sends it on, as a Vault server does that was shown it.
async fn shown(moto: &Moto, signed: &SignedIdentity) -> (u16, String) {
    let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let mut request = client.post(&moto.url).body(signed.body);
    for (name, value) in signed.headers.iter().filter(|(name, _)| name != "content-length") {
        request = request.header(name.as_str(), value.as_str());
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn sts_knows_whose_it_is_and_takes_no_changed_one() {
    let moto = Moto::start().await;
    let keys = moto.user("rotator").await;
    moto.grant(&keys, &policy(&["sts:GetCallerIdentity"])).await;
    moto.guard(true).await;
    let mut signed = signed(&keys, &[("x-vault-aws-iam-server-id", "vault.example.com")]).await;
    assert_eq!((signed.method, signed.url.as_str()), ("POST", "https://sts.amazonaws.com/"));
    let (status, answer) = shown(&moto, &signed).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains(":user/rotator</Arn>"), "{answer}");
    // What binds it to one server is signed as well.
    let bound = |(name, _): &&mut (String, _)| name == "x-vault-aws-iam-server-id";
    **signed.headers.iter_mut().find(bound).map(|(_, value)| value).unwrap() = "other".to_owned();
    let (status, answer) = shown(&moto, &signed).await;
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains("SignatureDoesNotMatch"), "{answer}");
    assert!(!format!("{signed:?}").contains("Signature"), "a credential is not shown");
}
