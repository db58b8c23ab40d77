//! A request that says whose credentials these are, looked at by somebody else.

use std::sync::Arc;

use reqwest::Client;
use scimitar::{
    aws_identity::{AwsIdentity, Origin, SignedIdentity, Sts},
    clock::SystemClock,
    secret::Secret,
};

use super::{
    moto::{Keys, Moto, policy},
    site::{endpoint, http_settings},
};

const OPERATION: &str = "log in to vault.example.com";

async fn signed(keys: &Keys, sts: Sts, headers: &[(&str, &str)]) -> SignedIdentity {
    let origin = Origin::Keys { id: keys.id.clone(), key: Secret::new(keys.key.clone()) };
    let clock = Arc::new(SystemClock);
    let identity = AwsIdentity::try_new(origin, sts, http_settings(), clock).unwrap();
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
    let bound_to = [("x-vault-aws-iam-server-id", "vault.example.com")];
    let mut signed = signed(&keys, Sts::new(None, None), &bound_to).await;
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

/// A server that asks the STS of a region, as each does in a partition without a global one, gets a
/// request that is signed for that.
#[tokio::test]
async fn a_region_has_an_sts_of_its_own() {
    let user = "x".to_owned();
    let keys = Keys { user, id: "AKIDEXAMPLE".to_owned(), key: "k3y".to_owned() };
    let private = endpoint("https://vpce-0a1b.sts.eu-central-1.vpce.amazonaws.com:8443").unwrap();
    for (region, at, host, scope) in [
        (None, None, "sts.amazonaws.com", "us-east-1"),
        (Some("eu-central-1"), None, "sts.eu-central-1.amazonaws.com", "eu-central-1"),
        (Some("cn-north-1"), None, "sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        (Some("us-gov-west-1"), None, "sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        (Some("us-iso-east-1"), None, "sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        (Some("eusc-de-east-1"), None, "sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        (
            Some("eu-central-1"),
            Some(&private),
            "vpce-0a1b.sts.eu-central-1.vpce.amazonaws.com:8443",
            "eu-central-1",
        ),
    ] {
        let signed = signed(&keys, Sts::new(region, at), &[]).await;
        assert_eq!(signed.url, format!("https://{host}/"));
        let header = |name: &str| {
            let found = signed.headers.iter().find(|(header, _)| header == name);
            found.map(|(_, value)| value.as_str()).unwrap()
        };
        assert_eq!(header("host"), host);
        let signature = header("authorization");
        assert!(signature.contains(&format!("/{scope}/sts/aws4_request")), "{signature}");
    }
}
