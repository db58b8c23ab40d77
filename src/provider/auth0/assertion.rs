//! JSON Web Tokens: the assertion that proves who we are, and the scope that an access token
//! carries.

use jsonwebtoken::{Algorithm, EncodingKey, Header, dangerous};
use serde::{Deserialize, Serialize};

use crate::{
    clock::{Entropy, ProviderTime, Told},
    secret::Secret,
};

/// `client_assertion_type` of RFC 7523.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is good for, in seconds: what Auth0 advises (it allows five minutes).
const LIFE: i64 = 60;

/// How far back `iat` lies: Auth0 refuses one that is more than 10 s ahead of its clock.
const BACK: i64 = 10;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

/// Signs an assertion with RS256. `now` is known as far as the provider told it.
///
/// # Errors
/// In words, when the key is not an RSA private key in PEM.
pub(super) fn sign(
    key: &Secret,
    client_id: &str,
    audience: &str,
    now: ProviderTime,
    entropy: &dyn Entropy,
) -> Result<Secret, String> {
    // The library's errors are not shown: they may quote what they could not read.
    let refused = || {
        "client_assertion_key is not an RSA private key of at least 2048 bits in PEM \
         (-----BEGIN PRIVATE KEY-----); nothing was sent"
            .to_owned()
    };
    let key = EncodingKey::from_rsa_pem(key.expose().as_bytes()).map_err(|_| refused())?;
    let iat = now.as_told().timestamp() - BACK;
    let claims = Claims {
        iss: client_id,
        sub: client_id,
        aud: audience,
        iat,
        exp: iat + LIFE,
        jti: format!("{:016x}{:016x}", entropy.bits(), entropy.bits()),
    };
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
        .map(Secret::new)
        .map_err(|_| refused())
}

/// Whether assertions can be signed with this key.
#[must_use]
pub(super) fn signs(key: &Secret) -> bool {
    let key = EncodingKey::from_rsa_pem(key.expose().as_bytes());
    let signed =
        key.and_then(|key| jsonwebtoken::encode(&Header::new(Algorithm::RS256), &(), &key));
    signed.is_ok()
}

/// The `scope` claim of an access token that is a JWT. It is the provider's own word to us over
/// an authenticated connection, so its signature is not ours to check.
pub(super) fn scope_in(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Granted {
        scope: String,
    }
    let granted = dangerous::insecure_decode::<Granted>(token).ok()?;
    Some(granted.claims.scope)
}
