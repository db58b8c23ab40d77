//! Where a declaration is wrong, or an answer is not as declared.

use scimitar::{
    error::{Class, Code},
    provider::{Call, Urgency},
    token::ConnectionId,
};

use scimitar_test_support::{
    issuers::{self, About, Api, Double, bearer, declaration},
    provider_conformance::{Mischief, request},
};

use super::{load, open};

/// What `change` makes of a shipped declaration; its provider and its connection.
async fn changed(
    api: Api,
    change: (&str, &str),
) -> (Double, std::sync::Arc<dyn scimitar::provider::Provider>, ConnectionId) {
    let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
    let text = declaration(&double, folder.path());
    assert!(text.contains(change.0), "{}", change.0);
    let config = load(&text.replace(change.0, change.1), folder.path()).unwrap();
    let connection = config.connections[0].key.connection.clone();
    (double, open(&config), connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_without_its_value_in_the_answer_is_ambiguous() {
    for (from, to) in [
        ("value = \"/data/attributes/token\"", "value = \"/data/token\""),
        ("item = \"/data\"", "item = \"/result\""),
        ("id = \"/id\"", "id = \"/number\""),
        ("created = \"/attributes/created-at\"", "created = \"/attributes/description\""),
    ] {
        let (double, provider, connection) = changed(issuers::HCP_TERRAFORM, (from, to)).await;
        let call = Call { connection: &connection, urgency: Urgency::Routine, not_after: None };
        let fault = provider.create(call, &request(&*provider, 1)).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Ambiguous, Code::Unreadable), "{fault}");
        assert_eq!(double.tokens().len(), 1, "it was made all the same");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_as_declared_is_no_list() {
    for (api, from, to) in [
        (issuers::HCP_TERRAFORM, "items = \"/data\"", "items = \"/meta\""),
        (issuers::HCP_TERRAFORM, "id = \"/id\"", "id = \"/number\""),
        (issuers::CONFLUENT_CLOUD, "\"/metadata/next\"", "\"/links/next\""),
        (issuers::GRAFANA, "created = \"/created\"", "created = \"/made\""),
    ] {
        let (double, sound, connection) = changed(api, (from, from)).await;
        let call = Call { connection: &connection, urgency: Urgency::Routine, not_after: None };
        for nth in 0..3 {
            sound.create(call, &request(&*sound, nth)).await.unwrap();
        }
        assert_eq!(sound.list(call).await.unwrap().tokens.len(), 3);
        let folder = tempfile::tempdir().unwrap();
        let config =
            load(&declaration(&double, folder.path()).replace(from, to), folder.path()).unwrap();
        let fault = open(&config).list(call).await.unwrap_err();
        assert_eq!((fault.class, fault.code), (Class::Transient, Code::Unreadable), "{fault}");
    }
}

/// Credentials go along with a link: it is followed nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_another_place_is_not_followed() {
    let elsewhere = Double::start(issuers::CONFLUENT_CLOUD).await;
    let mut api = issuers::CONFLUENT_CLOUD;
    api.page = |_, items| {
        let metadata = serde_json::json!({ "next": "http://127.0.0.2:9/org/v2/scim-tokens" });
        serde_json::json!({ "data": items, "metadata": metadata })
    };
    let (_double, provider, connection) = changed(api, ("x", "x")).await;
    let call = Call { connection: &connection, urgency: Urgency::Routine, not_after: None };
    let fault = provider.list(call).await.unwrap_err();
    assert!(
        fault.to_string().contains("its next page is on another host than base_url"),
        "{fault}"
    );
    assert!(elsewhere.requests().is_empty());
}

/// A token that bears neither name nor expiry could not be told from others after a lost answer.
#[tokio::test(flavor = "multi_thread")]
async fn without_names_and_expiry_tokens_are_only_watched() {
    let (double, folder) = (Double::start(issuers::SCALEWAY).await, tempfile::tempdir().unwrap());
    let text = declaration(&double, folder.path())
        .replace("always_expires = true\n", "")
        .replace("expires = \"/expires_at\"\n", "");
    let text = text + "max_age = \"90d\"\n";
    let problems = load(&text, folder.path()).unwrap_err().to_string();
    let words =
        "the tokens of `scaleway` cannot be rotated: they have neither a name nor an expiry";
    assert!(problems.contains(words) && problems.contains("mode = \"observe\""), "{problems}");
    load(&format!("{text}mode = \"observe\"\n"), folder.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declaration_that_contradicts_itself_is_refused() {
    for (api, from, to, words) in [
        (
            issuers::HCP_TERRAFORM,
            "name = \"/attributes/description\"\n",
            "",
            "`create` sends a name, but `tokens` does not say where lists show it",
        ),
        (
            issuers::GRAFANA,
            "expires = \"/expiration\"\n",
            "",
            "its tokens expire, but `tokens` does not say where lists show the expiry",
        ),
        (issuers::GRAFANA, "{{ name }}", "{{ token_id }}", "there is no `token_id` here"),
        (issuers::GRAFANA, "/{{ token_id }}\"", "\"", "does not name the token"),
        (issuers::GRAFANA, "items = \"\"", "items = \"data\"", "`items` is not a JSON pointer"),
        (
            issuers::HCP_TERRAFORM,
            "token_lifetime = \"90d\"",
            "token_lifetime = \"400d\"",
            "is not a lifetime that `hcp-terraform` grants | set token_lifetime to at most 365d",
        ),
        (
            issuers::HCP_TERRAFORM,
            "token_lifetime = \"90d\"",
            "token_lifetime = \"20d\"",
            "`token_lifetime` must be at least 30d 1m",
        ),
        (
            issuers::SCALEWAY,
            "connection_id =",
            "token_lifetime = \"90d\"\nconnection_id =",
            "the tokens of `scaleway` have the lifetime that the provider sets",
        ),
    ] {
        let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
        let text = declaration(&double, folder.path());
        assert!(text.contains(from), "{from}");
        let problems = load(&text.replace(from, to), folder.path()).unwrap_err();
        let told: Vec<_> = problems
            .iter()
            .map(|it| format!("{} | {}", it.message, it.hint.as_deref().unwrap_or_default()))
            .collect();
        assert!(told.iter().any(|told| told.contains(words)), "{words}: {told:?}");
    }
}

/// An access token of a client-credentials grant: shared by calls, and got afresh once after a 401.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_access_token_is_replaced_once_and_shared() {
    let mut api = issuers::GRAFANA;
    api.about = |asked| {
        if asked.path == "/oauth/token" { About::Login } else { (issuers::GRAFANA.about)(asked) }
    };
    // The first one is refused.
    api.authorized = |asked| bearer(asked).is_some_and(|token| token == "access-canary-2");
    let from = "{ method = \"bearer\", token = { env = \"ISSUER\" } }";
    let to = "{ method = \"oauth\", token_url = \"URL/oauth/token\", client_id = \"c\", \
              client_secret = { env = \"ISSUER\" }, scope = \"tokens\" }";
    let (double, folder) = (Double::start(api).await, tempfile::tempdir().unwrap());
    let text = declaration(&double, folder.path()).replace(from, &to.replace("URL", &double.url));
    let config = load(&text, folder.path()).unwrap();
    let provider = open(&config);
    let connection = config.connections[0].key.connection.clone();
    let call = Call { connection: &connection, urgency: Urgency::Routine, not_after: None };
    provider.create(call, &request(&*provider, 1)).await.unwrap();
    provider.list(call).await.unwrap();
    let asked: Vec<_> =
        double.requests().into_iter().map(|it| it.method + " " + &it.path).collect();
    let tokens = "/api/serviceaccounts/12/tokens";
    let (login, create, list) =
        ("POST /oauth/token", format!("POST {tokens}"), format!("GET {tokens}"));
    assert_eq!(asked, [login, &create, login, &create, &list, &list]);
}
