//! `[providers.NAME]`, by type.

use serde_json::Value;

use crate::table::{
    http,
    shape::{
        Keys, any_of_these, by_default, fitting, guarded_url, positive, secret, share, table, text,
        whole, word,
    },
};

const HOST: &str =
    r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$";

/// One provider.
pub(super) fn provider() -> Value {
    any_of_these("A service that issues tokens.", &[auth0(), dbt_cloud(), sandbox()])
}

fn auth0() -> Value {
    const SECRET: &str = "The application's secret; by reference only.";
    const KEY: &str = "The application's private key (RSA, PEM), for private_key_jwt.";
    const AUDIENCE: &str = "The Management API's identifier. Default: \"https://DOMAIN/api/v2/\".";
    let keys = table("An Auth0 tenant.")
        .tag("type", "auth0")
        .must("domain", fitting("The tenant's domain, or its own.", HOST, "acme.eu.auth0.com"))
        .must("client_id", fitting("The machine-to-machine application.", r"^\S+$", "client"))
        .either("client_secret", secret(SECRET))
        .either("client_assertion_key", secret(KEY))
        .may(
            "audience",
            fitting(AUDIENCE, r"^https?://[^@?#]+$", "https://acme.eu.auth0.com/api/v2/"),
        )
        .may("base_url", base_url());
    limits(keys).may("http", http::schema()).build()
}

fn dbt_cloud() -> Value {
    const TOKEN: &str = "A token with the account-admin permission set; by reference only.";
    const ACCOUNT: &str = "The account's number.";
    let scheme = word("How the token is announced. Default: \"Token\".", &["Token", "Bearer"]);
    let keys = table("An account of dbt Cloud.")
        .tag("type", "dbt_cloud")
        .must("host", fitting("The host in the account's address.", HOST, "cloud.getdbt.com"))
        .must("account_id", whole(ACCOUNT, 1, u64::MAX, 12_345))
        .must("token", secret(TOKEN))
        .may("scheme", by_default("Token", scheme))
        .may("base_url", base_url());
    limits(keys).may("http", http::schema()).build()
}

fn sandbox() -> Value {
    const DATA: &str = "Where it keeps its state, so that a second run finds what the first left. \
                        Default: nowhere.";
    const FACE: &str = "Which provider it behaves as. Default: \"auth0\".";
    let keys = table("The rehearsal tenant, inside this process; its tokens are worth nothing.")
        .tag("type", "sandbox")
        .may("data_dir", text(DATA, "example-data/sandbox"))
        .may("face", by_default("auth0", word(FACE, &["auth0", "dbt_cloud"])));
    limits(keys).build()
}

fn base_url() -> Value {
    const ABOUT: &str = "Where it is reached instead; http only to this machine. For a stand-in \
                         such as `scimitar sandbox`.";
    guarded_url(ABOUT, "http://127.0.0.1:4400")
}

fn limits(keys: Keys) -> Keys {
    const LIMIT: &str = "The provider's request limit. Default: learnt from its answers, or as it \
                         documents it; the sandbox's: none.";
    const SHARE: &str = "How much of that limit is used, at most. Default: \"50%\".";
    let limit = table(LIMIT)
        .must("per_second", positive("Requests a second, in the long run.", 100_000.0, 16.0))
        .must("burst", whole("Requests at once.", 1, 1_000_000, 50))
        .build();
    keys.may("rate_limit", limit).may("share", by_default("50%", share(SHARE, "50%")))
}
