//! What the services behind sinks answer: to a read, or to a delivery from its first read to what is
//! said beside it.

use std::sync::Arc;

use reqwest::Url;
use scimitar::{
    aws_identity::Origin,
    http::{Endpoint, HttpSettings},
    rotation::policy::Mode,
    secret::Secret,
    sink::{
        Delivery, Fence, Sink,
        aws::{Account, AccountSettings, AwsAccount, AwsSink, AwsTarget},
        ssm::{ParameterStore, SsmSink, SsmTarget},
    },
    token::{SinkName, TokenId},
};
use tokio::time::timeout;

use super::wire::{CONNECTION, HANGS, Quick, REQUEST, Service, block_on, built, feed, read, split};
use crate::sink_conformance::{Gate, delivery};

/// A configuration with one sink, and a readable one beside it.
fn sink(kind: &str, to: &str) -> String {
    format!(
        "[state]\nurl = \"sqlite://ledger.db\"\n[engine]\nrequest_timeout = \"{REQUEST}\"\n\
         [providers.p]\ntype = \"auth0\"\ndomain = \"acme.eu.auth0.com\"\nclient_id = \"c\"\n\
         client_secret = {{ env = \"SECRET\" }}\n[sinks.disk]\ntype = \"file\"\ndirectory = \"tokens\"\n\
         [sinks.s]\n{kind}{CONNECTION}connection_id = \"con_0123456789abcdef\"\ntoken_lifetime = \"30d\"\n\
         deliver_to = [{{ sink = \"s\", {to} }}, {{ sink = \"disk\", file = \"one.token\" }}]\n"
    )
}

/// A place of a sink that asks nobody.
pub(super) fn alone(kind: &str, to: &str, act: impl AsyncFnOnce(&dyn Sink, &Delivery, &dyn Fence)) {
    let config = read(&sink(kind, to)).unwrap();
    block_on(async {
        let app = built(&config, 1).await.unwrap();
        let places = app.connections.first().unwrap().places.open().unwrap();
        let place = places.first().unwrap();
        act(&**place, &delivery(1), &Gate::open()).await;
    });
}

/// One call, or all of a delivery.
async fn deliver(sink: &dyn Sink, call: &str) {
    match call {
        "rights" => {
            drop(sink.missing_rights(Mode::Rotate).await);
            drop(sink.untried_rights().await);
        }
        "forget" => {
            let id = TokenId::try_new("tok_1").unwrap();
            let seen = sink.read().await.ok();
            drop(sink.forget(&id, seen.as_ref().map(|seen| &seen.version)).await);
        }
        _ => {
            let Ok(seen) = sink.read().await else { return };
            drop(sink.caveat());
            if call != "deliver" {
                return;
            }
            let (parcel, fence) = (delivery(2), Gate::open());
            if sink.prove_writable(&seen).await.is_err() {
                return;
            }
            drop(sink.stage(&parcel, &fence).await);
            let Ok(version) = sink.promote(&parcel, &seen.version, &fence).await else { return };
            drop(sink.client(&version).await);
            drop(sink.say_beside(&parcel, &fence).await);
        }
    }
}

fn ask(data: &[u8], config: fn(u16) -> String) {
    feed(data, config, async |call, app| {
        let places = app.connections.first().unwrap().places.open().unwrap();
        let place = places.first().unwrap();
        deliver(&**place, call).await;
        for service in app.services.values() {
            service.close().await;
        }
    });
}

pub(super) fn vault(data: &[u8]) {
    ask(data, |port| {
        let kind = format!(
            "type = \"vault\"\naddress = \"http://127.0.0.1:{port}\"\n\
             auth = {{ method = \"approle\", role_id = \"r\", secret_id = {{ env = \"SECRET\" }} }}\n"
        );
        sink(&kind, "path = \"secret/scim/initech\", custom_metadata = { team = \"a\" }")
    });
}

pub(super) fn kubernetes(data: &[u8]) {
    ask(data, |port| {
        let config = format!(
            "kind: Config\nclusters:\n- name: c\n  cluster: {{ server: 'http://127.0.0.1:{port}' }}\n\
             users:\n- name: u\n  user: {{ token: t }}\ncontexts:\n- name: prod\n  \
             context: {{ cluster: c, user: u }}\n"
        );
        super::files::in_folder(|folder| {
            let file = super::files::write(folder, "wire/kubeconfig", config.as_bytes());
            let kind = format!(
                "type = \"kubernetes\"\nkubeconfig = {{ file = \"{}\" }}\ncontext = \"prod\"\n\
                 namespace = \"scim\"\n",
                file.display()
            );
            sink(&kind, "secret = \"scim-initech\", labels = { team = \"a\" }")
        })
    });
}

/// A kubeconfig alone: what is made of it, asked of nobody.
pub(super) fn of_kubeconfig(text: &str) {
    super::files::in_folder(|folder| {
        super::files::write(folder, "wire/other", text.as_bytes());
        for context in ["", "context = \"prod\"\n"] {
            let kind =
                format!("type = \"kubernetes\"\nkubeconfig = {{ file = \"other\" }}\n{context}");
            if let Ok(config) = read(&sink(&kind, "secret = \"scim-initech\"")) {
                drop(block_on(built(&config, 1)));
            }
        }
    });
}

pub(super) fn gcp(data: &[u8]) {
    ask(data, |port| {
        let kind = format!(
            "type = \"gcp_secret_manager\"\nproject = \"acme-identity\"\n\
             endpoint_url = \"http://127.0.0.1:{port}\"\n"
        );
        sink(&kind, "secret_id = \"scim-initech\", labels = { team = \"a\" }")
    });
}

pub(super) fn azure(data: &[u8]) {
    ask(data, |port| {
        let kind = format!(
            "type = \"azure_key_vault\"\nvault = \"http://127.0.0.1:{port}\"\n\
             authority = \"http://127.0.0.1:{port}\"\n\
             auth = {{ method = \"client_secret\", tenant = \"acme\", client_id = \"c\", \
             client_secret = {{ env = \"SECRET\" }} }}\n"
        );
        sink(&kind, "secret_name = \"scim-initech\", tags = { team = \"a\" }")
    });
}

pub(super) fn entra(data: &[u8]) {
    ask(data, |port| {
        let kind = format!(
            "type = \"entra\"\ngraph_url = \"http://127.0.0.1:{port}\"\n\
             authority = \"http://127.0.0.1:{port}\"\n\
             auth = {{ method = \"client_secret\", tenant = \"acme\", client_id = \"c\", \
             client_secret = {{ env = \"SECRET\" }} }}\n"
        );
        sink(&kind, "service_principal = \"11111111-2222-4333-8444-555555555555\"")
    });
}

pub(super) fn okta(data: &[u8]) {
    ask(data, |port| {
        let kind = format!(
            "type = \"okta\"\norg_url = \"http://127.0.0.1:{port}\"\n\
             auth = {{ method = \"api_token\", api_token = {{ env = \"SECRET\" }} }}\n"
        );
        sink(&kind, "app_id = \"0oa1\"")
    });
}

/// An account with keys at hand: the chain that finds them otherwise reads this process's environment.
fn account(port: u16) -> Arc<AwsAccount> {
    let endpoint = || {
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        Some(Endpoint::try_new(url).unwrap())
    };
    let settings = AccountSettings {
        sink: SinkName::try_new("aws").unwrap(),
        account: Account::of_region("eu-central-1"),
        endpoint: endpoint(),
        sts_endpoint: endpoint(),
        origin: Origin::Keys { id: "TEST".to_owned(), key: Secret::new("test".to_owned()) },
        http: HttpSettings {
            ca_file: None,
            proxy: None,
            request_timeout: std::time::Duration::from_secs(2),
            user_agent: "scimitar/test".to_owned(),
        },
    };
    AwsAccount::try_new(settings, Quick::clock()).unwrap()
}

fn ask_aws<S: Sink>(data: &[u8], open: impl Fn(Arc<AwsAccount>) -> S) {
    let (call, answers) = split(data);
    let service = Service::with(answers);
    block_on(async {
        let sink = open(account(service.port));
        tokio::select! {
            biased;
            done = timeout(HANGS, deliver(&sink, &call)) => done.expect("the call hangs"),
            () = service.serve() => {}
        }
    });
}

pub(super) fn aws(data: &[u8]) {
    ask_aws(data, |account| {
        let target = AwsTarget {
            name: "scim/initech".to_owned(),
            description: None,
            payload: None,
            raw: false,
            overwrite: false,
            tags: Default::default(),
        };
        AwsSink::try_new(&account, target).unwrap()
    });
}

pub(super) fn ssm(data: &[u8]) {
    ask_aws(data, |account| {
        let target = SsmTarget {
            parameter: "/scim/initech".to_owned(),
            description: None,
            payload: None,
            raw: false,
            overwrite: false,
            tags: Default::default(),
        };
        SsmSink::try_new(&Arc::new(ParameterStore { account, tier: None }), target).unwrap()
    });
}
