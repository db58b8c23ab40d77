//! The issuers that `examples/providers` declares, each as its documentation describes its API.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::double::{About, Api, Asked, Token, bearer};

/// What every issuer here wants.
pub const SECRET: &str = "issuer-canary-77aa";

const YEAR: TimeDelta = TimeDelta::days(365);

pub const ALL: [Api; 5] = [HCP_TERRAFORM, CLOUDFLARE, CONFLUENT_CLOUD, GRAFANA, SCALEWAY];

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn moment(json: &Value) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(json.as_str()?).ok()?.with_timezone(&Utc))
}

fn with_bearer(asked: &Asked) -> bool {
    bearer(asked).as_deref() == Some(SECRET)
}

/// One page of items by `page` and `size`, counted from 1.
fn paged(asked: &Asked, items: &[Value], page: &str, size: usize) -> Vec<Value> {
    let nth: usize = asked.query.get(page).map_or(1, |page| page.parse().unwrap());
    items.iter().skip((nth - 1) * size).take(size).cloned().collect()
}

/// Requests about a list of tokens at `list`, and about one behind `one`.
fn about(asked: &Asked, list: &str, one: &str, scim: &str) -> About {
    match asked.method.as_str() {
        _ if asked.path.starts_with(scim) => About::Scim,
        "GET" if asked.path == list => About::List,
        "POST" if asked.path == list => About::Create,
        "DELETE" => {
            asked.path.strip_prefix(one).map_or(About::Elsewhere, |id| About::Delete(id.to_owned()))
        }
        _ => About::Elsewhere,
    }
}

pub const HCP_TERRAFORM: Api = Api {
    file: "hcp-terraform",
    host: "https://app.terraform.io",
    tokens: "/api/v2/",
    about: |asked| {
        about(
            asked,
            "/api/v2/scim-configurations/scimconf-0123456789abcdef/authentication-tokens",
            "/api/v2/authentication-tokens/",
            "/scim/v2/scimconf-0123456789abcdef/",
        )
    },
    authorized: with_bearer,
    wants: |asked| {
        let typed = asked.headers.get("content-type").map(String::as_str);
        let data = &asked.body["data"];
        if typed != Some("application/vnd.api+json") || data["type"] != "authentication-tokens" {
            return Err(400);
        }
        let name = data["attributes"]["description"].as_str().map(str::to_owned);
        // Expiry is mandatory: a year where none is asked for, 30 days at least.
        let text = &data["attributes"]["expired-at"];
        let asked_for =
            if text.is_null() { asked.now.checked_add_signed(YEAR) } else { moment(text) };
        let expires = asked_for.ok_or(400_u16)?;
        let life = expires - asked.now;
        let fits = life >= TimeDelta::days(30) && life <= YEAR;
        if fits { Ok((name, Some(expires))) } else { Err(400) }
    },
    show: |token| {
        json!({ "id": token.id, "type": "authentication-tokens", "attributes": {
            "created-at": rfc3339(token.created), "description": token.name, "token": null,
            "last-used-at": token.used.map(rfc3339), "expired-at": token.expires.map(rfc3339),
            "is-ttl-rejected": false,
        }})
    },
    made: |token| {
        let mut data = (HCP_TERRAFORM.show)(token);
        data["attributes"]["token"] = json!(token.value);
        (201, json!({ "data": data }))
    },
    page: |asked, items| {
        let total = items.len();
        let page = paged(asked, &items, "page[number]", 2);
        json!({ "data": page, "meta": { "pagination": { "total-count": total } } })
    },
    shows_use: true,
    deleted: 204,
};

pub const CLOUDFLARE: Api = Api {
    file: "cloudflare",
    host: "https://api.cloudflare.com",
    tokens: "/client/v4/accounts/ACCOUNT/tokens",
    about: |asked| {
        let list = "/client/v4/accounts/ACCOUNT/tokens";
        about(asked, list, &format!("{list}/"), "/client/v4/accounts/ACCOUNT/scim/v2/")
    },
    authorized: with_bearer,
    wants: |asked| {
        let policy = &asked.body["policies"][0];
        let resource = &policy["resources"]["com.cloudflare.api.account.ACCOUNT"];
        if policy["permission_groups"][0]["id"] != "PERMISSION_GROUP" || resource != "*" {
            return Err(400);
        }
        let text = &asked.body["expires_on"];
        let expires = if text.is_null() { None } else { Some(moment(text).ok_or(400_u16)?) };
        Ok((asked.body["name"].as_str().map(str::to_owned), expires))
    },
    show: |token| {
        let mut shown = json!({
            "id": token.id, "name": token.name, "status": "active",
            "issued_on": rfc3339(token.created),
            "policies": [{ "permission_groups": [{ "id": "PERMISSION_GROUP" }] }],
        });
        if let Some(expires) = token.expires {
            shown["expires_on"] = json!(rfc3339(expires));
        }
        if let Some(used) = token.used {
            shown["last_used_on"] = json!(rfc3339(used));
        }
        shown
    },
    made: |token| {
        let mut result = (CLOUDFLARE.show)(token);
        result["value"] = json!(token.value);
        (200, json!({ "success": true, "errors": [], "messages": [], "result": result }))
    },
    page: |asked, mut items| {
        // An account has API tokens for other things as well.
        items.push(json!({
            "id": "other", "name": "DNS", "status": "active", "issued_on": "2026-01-01T00:00:00Z",
            "policies": [{ "permission_groups": [{ "id": "DNS" }] }],
        }));
        let total = items.len();
        let page = paged(asked, &items, "page", 2);
        json!({ "success": true, "result": page, "result_info": { "total_count": total } })
    },
    shows_use: true,
    deleted: 200,
};

pub const CONFLUENT_CLOUD: Api = Api {
    file: "confluent-cloud",
    host: "https://api.confluent.cloud",
    tokens: "/org/v2/scim-tokens",
    about: |asked| about(asked, "/org/v2/scim-tokens", "/org/v2/scim-tokens/", "/scim/v2/"),
    // `API_KEY:` and the secret, in base64.
    authorized: |asked| {
        let sent = asked.headers.get("authorization").map(String::as_str);
        sent == Some("Basic QVBJX0tFWTppc3N1ZXItY2FuYXJ5LTc3YWE=")
    },
    wants: |asked| {
        let number = &asked.body["expire_duration_mins"];
        let minutes = if number.is_null() { 259_200 } else { number.as_i64().ok_or(400_u16)? };
        let fits = (43_200..=1_051_200).contains(&minutes);
        if fits { Ok((None, Some(asked.now + TimeDelta::minutes(minutes)))) } else { Err(400) }
    },
    show: |token| {
        json!({
            "api_version": "org/v2", "kind": "ScimToken", "id": token.id, "connection_name": "sso",
            "metadata": { "created_at": rfc3339(token.created) },
            "expires_at": token.expires.map(rfc3339),
        })
    },
    made: |token| {
        let mut shown = (CONFLUENT_CLOUD.show)(token);
        shown["token"] = json!(token.value);
        (201, shown)
    },
    page: |asked, items| {
        let page = paged(asked, &items, "page_token", 2);
        let nth: usize = asked.query.get("page_token").map_or(1, |page| page.parse().unwrap());
        let mut metadata = json!({ "total_size": items.len() });
        if nth * 2 < items.len() {
            let next = format!("{}/org/v2/scim-tokens?page_token={}", asked.base, nth + 1);
            metadata["next"] = json!(next);
        }
        json!({ "api_version": "org/v2", "data": page, "metadata": metadata })
    },
    shows_use: false,
    deleted: 204,
};

pub const GRAFANA: Api = Api {
    file: "grafana",
    host: "https://example.grafana.net",
    tokens: "/api/serviceaccounts/12/tokens",
    about: |asked| {
        let list = "/api/serviceaccounts/12/tokens";
        let scim = "/apis/scim.grafana.app/v0alpha1/namespaces/default/";
        about(asked, list, &format!("{list}/"), scim)
    },
    authorized: with_bearer,
    wants: |asked| {
        let name = asked.body["name"].as_str().ok_or(400_u16)?;
        let life = asked.body["secondsToLive"].as_i64().filter(|life| *life > 0);
        let expires = life.map(|life| asked.now + TimeDelta::seconds(life));
        Ok((Some(name.to_owned()), expires))
    },
    show: |token| {
        json!({
            "id": token.id.parse::<u64>().unwrap(), "name": token.name, "role": "Viewer",
            "created": rfc3339(token.created), "expiration": token.expires.map(rfc3339),
            "secondsUntilExpiration": 0, "hasExpired": false,
        })
    },
    // It shows neither when the token was made nor when it expires.
    made: |token| {
        let id: u64 = token.id.parse().unwrap();
        (200, json!({ "id": id, "name": token.name, "key": token.value }))
    },
    page: |_, items| Value::Array(items),
    shows_use: false,
    deleted: 200,
};

pub const SCALEWAY: Api = Api {
    file: "scaleway",
    host: "https://api.scaleway.com",
    tokens: "/iam/v1alpha1/scim",
    about: |asked| {
        let scim = "/iam/v1alpha1/scim/0b5a6d8e-0000-4000-8000-000000000000";
        let one = "/iam/v1alpha1/scim-tokens/";
        about(asked, &format!("{scim}/tokens"), one, &format!("{scim}/v2/"))
    },
    authorized: |asked| asked.headers.get("x-auth-token").map(String::as_str) == Some(SECRET),
    // Nothing is asked for: the server sets how long a token lives.
    wants: |asked| match asked.body.as_object() {
        Some(body) if body.is_empty() => Ok((None, Some(asked.now + YEAR))),
        Some(_) | None => Err(400),
    },
    show: |token: &Token| {
        json!({
            "id": token.id, "scim_id": "0b5a6d8e-0000-4000-8000-000000000000",
            "created_at": rfc3339(token.created), "expires_at": token.expires.map(rfc3339),
        })
    },
    made: |token| (200, json!({ "token": (SCALEWAY.show)(token), "bearer_token": token.value })),
    page: |asked, items| {
        let total = items.len();
        json!({ "scim_tokens": paged(asked, &items, "page", 2), "total_count": total })
    },
    shows_use: false,
    deleted: 204,
};
