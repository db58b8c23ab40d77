//! The tables of a declared issuer, as JSON Schema.

use serde_json::{Value as Schema, json};

use crate::{
    provider::table::limits,
    table::{
        StoreWord, http,
        shape::{
            any_of_these, by_default, credential, duration, fitting, guarded_url, list, map,
            switch, table, text, whole, word,
        },
    },
};

/// The provider's table.
pub(super) fn schema(stores: &[StoreWord]) -> Schema {
    const ABOUT: &str = "An issuer of tokens, declared by its requests and the fields of its \
                         answers.";
    const TENANT: &str = "The name of the tenant in the ledger. Default: the host in base_url.";
    const MEDIA: &str = "The type of the bodies that are sent. Default: \"application/json\".";
    const SCIM: &str = "Its SCIM endpoint; templates are allowed in the path.";
    const CAP: &str = "How many live tokens a connection may have. Default: no limit is known.";
    const SHORT: &str = "The shortest lifetime that can be requested. Default: \"1s\".";
    const LONG: &str = "The longest lifetime that can be requested. Default: no limit is known.";
    const STEP: &str = "Lifetimes are granted in whole multiples of this. Default: \"1m\" where a create \
                        sends lifetime.minutes, else \"1s\".";
    const ALWAYS: &str = "Whether tokens expire even if no lifetime is requested.";
    const SCOPES: &str = "The scopes that its tokens can have, where a create sends scopes.";
    let media = word(MEDIA, &["application/json", "application/vnd.api+json"]);
    let scope = fitting("A scope.", r"^\S{1,128}$", "get:users");
    let scim = guarded_url(SCIM, "https://api.example.com/scim/v2/{{ connection.id }}");
    let keys = table(ABOUT)
        .tag("type", "http")
        .must("base_url", guarded_url("What its paths begin with.", "https://api.example.com/v2"))
        .may("tenant", fitting(TENANT, r"^\S{1,512}$", "api.example.com"))
        .must("auth", auth(stores))
        .may("media_type", by_default("application/json", media))
        .must("scim_endpoint", scim)
        .may("cap", whole(CAP, 1, 1_000_000, 2))
        .may("shortest_life", by_default("1s", duration(SHORT, "30d")))
        .may("longest_life", duration(LONG, "365d"))
        .may("life_step", duration(STEP, "1m"))
        .may("always_expires", by_default(false, switch(ALWAYS)))
        .may("scopes", list(SCOPES, &scope))
        .must("list", list_call())
        .must("create", create_call())
        .must("delete", delete_call())
        .must("tokens", members());
    limits(keys).may("http", http::schema()).build()
}

fn auth(stores: &[StoreWord]) -> Schema {
    let secret = |about| credential(about, stores);
    let url = guarded_url("Where access tokens are issued.", "https://login.example.com/token");
    let branches = [
        table("A bearer token.")
            .tag("method", "bearer")
            .must("token", secret("The token; by reference only."))
            .build(),
        table("A header of the issuer's own.")
            .tag("method", "header")
            .must("header", fitting("Its name.", r"^[A-Za-z0-9-]+$", "X-Auth-Token"))
            .must("header_value", secret("Its value; by reference only."))
            .build(),
        table("A user name and a password.")
            .tag("method", "basic")
            .must("user", fitting("The user, or an API key.", r"^\S+$", "KEY"))
            .must("password", secret("The password, or the key's secret; by reference only."))
            .build(),
        table("OAuth 2.0 client credentials.")
            .tag("method", "oauth")
            .must("token_url", url)
            .must("client_id", fitting("The client.", r"^\S+$", "client"))
            .must("client_secret", secret("Its secret; by reference only."))
            .may("scope", text("The scope to request.", "tokens:write"))
            .may("audience", text("The audience to request.", "https://api.example.com"))
            .build(),
    ];
    any_of_these("The credentials.", &branches)
}

/// One JSON pointer, or several of which the first that finds something counts.
fn pointer(about: &str, example: &str) -> Schema {
    let one = fitting("A JSON pointer.", "^(/.*)?$", example);
    let mut several = list("Several: the first one that matches is used.", &one);
    several["minItems"] = json!(1);
    any_of_these(about, &[one, several])
}

fn path(example: &str) -> Schema {
    const ABOUT: &str = "Appended to base_url; each part is encoded. Templates: `{{ connection.id }}` \
                         and, in a delete, `{{ token_id }}`.";
    fitting(ABOUT, r"^[^?#]*[^?#/\s][^?#]*$", example)
}

fn query() -> Schema {
    let value = text("A value; templates as in the path.", "100");
    map("Parameters of the query.", r"^\S{1,128}$", &value)
}

fn success() -> Schema {
    list("The statuses that mean success.", &whole("A status.", 200, 299, 200))
}

fn list_call() -> Schema {
    const ONLY: &str = "Which tokens of the list belong here, if it contains others too: those that match \
                        all of these.";
    let only = table("A text in a field of the token.")
        .must("at", pointer("Where.", "/kind"))
        .must("is", text("The text.", "scim"))
        .build();
    let items = pointer("Where in the answer the tokens are.", "/data");
    table("How tokens are listed.")
        .must("path", path("connections/{{ connection.id }}/tokens"))
        .may("query", query())
        .may("success", success())
        .must("items", items)
        .may("paging", paging())
        .may("only", list(ONLY, &only))
        .build()
}

fn paging() -> Schema {
    let next = |about| pointer(about, "/meta/next");
    let parameter = |example| text("The parameter of the query that it goes into.", example);
    let first = json!({
        "type": "integer", "description": "The first number. Default: 1.", "minimum": 0,
        "maximum": 1, "default": 1, "examples": [1],
    });
    let branches = [
        table("By a link in the answer; it stays at the issuer.")
            .tag("by", "link")
            .must("next", next("Where the link is."))
            .build(),
        table("By a mark in the answer.")
            .tag("by", "token")
            .must("next", next("Where the mark is."))
            .must("parameter", parameter("page_token"))
            .build(),
        table("By number, until a page has nothing new or all tokens are read.")
            .tag("by", "number")
            .must("parameter", parameter("page"))
            .may("first", first)
            .may("total", pointer("Where the number of all tokens is.", "/meta/total"))
            .build(),
    ];
    any_of_these("How its pages follow each other. Default: there is one.", &branches)
}

fn create_call() -> Schema {
    const BODY: &str = "The JSON body. A text may hold templates: `connection.id`, `name`, \
                        `lifetime.seconds`, `lifetime.minutes`, `expires.rfc3339`, \
                        `expires.unix`, `expires.unix_ms`, `scopes`; a text that is only \
                        a template becomes its value, and is left out if there is none.";
    const ITEM: &str = "Where in the answer the token is, as lists show it. Default: the answer.";
    const VALUE: &str = "Where in the answer the token's value is.";
    let body = json!({
        "type": "object",
        "description": BODY,
        "examples": [{
            "name": "{{ name }}",
            "seconds": "{{ lifetime.seconds }}",
            "scopes": "{{ scopes }}",
        }],
    });
    table("How a token is created.")
        .may("method", by_default("POST", word("Default: \"POST\".", &["POST", "PUT"])))
        .must("path", path("connections/{{ connection.id }}/tokens"))
        .may("query", query())
        .may("success", success())
        .may("body", body)
        .may("item", pointer(ITEM, "/data"))
        .must("value", pointer(VALUE, "/data/token"))
        .build()
}

fn delete_call() -> Schema {
    table("How a token is deleted.")
        .may("method", by_default("DELETE", word("Default: \"DELETE\".", &["DELETE", "POST"])))
        .must("path", path("tokens/{{ token_id }}"))
        .may("query", query())
        .may("success", success())
        .build()
}

fn members() -> Schema {
    const TIMES: &str = "The format of times. Default: \"rfc3339\".";
    table("Where in a token its fields are.")
        .must("id", pointer("Its id.", "/id"))
        .must("created", pointer("When it was created.", "/created_at"))
        .may("name", pointer("Its name.", "/name"))
        .may("expires", pointer("When it expires.", "/expires_at"))
        .may("last_used", pointer("When it was last used.", "/last_used_at"))
        .may("scopes", pointer("What it may do.", "/scopes"))
        .may("times", by_default("rfc3339", word(TIMES, &["rfc3339", "unix", "unix_ms"])))
        .build()
}
