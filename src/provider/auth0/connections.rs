//! Which connections of a tenant have SCIM: by the tenant-wide list, or, where a tenant does not have
//! that (older releases of the private cloud), by asking about each.

use reqwest::Method;
use serde::{Deserialize, de::DeserializeOwned};

use super::{Auth0, config::STRATEGIES};
use crate::{
    error::{Code, Fault},
    http::{BodyLost, Endpoint, Reply, Request},
    provider::{
        Urgency,
        connections::{Found, Pages, Wanted},
        operation::{Kind, Operation},
    },
    token::ConnectionId,
};

/// As many as one page can hold (Auth0's API description: `take` is 1 to 100).
const PAGE: u32 = 100;

/// What a connection without SCIM is answered; one that was deleted since the list has none either.
const WITHOUT_SCIM: [Code; 3] =
    [Code::NoConnection, Code::ScimNotConfigured, Code::ScimUnsupported];

/// A page of the tenant-wide list.
#[derive(Deserialize)]
struct ConfigsAnswer {
    scim_configurations: Vec<ConfigAnswer>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct ConfigAnswer {
    connection_id: String,
    connection_name: String,
    strategy: String,
}

/// A page of all connections.
#[derive(Deserialize)]
struct ConnectionsAnswer {
    connections: Vec<ConnectionAnswer>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct ConnectionAnswer {
    id: String,
    name: String,
    strategy: String,
}

impl Auth0 {
    /// `None`: the tenant does not know the tenant-wide list.
    pub(super) async fn with_scim(&self) -> Result<Option<Vec<Found>>, Fault> {
        let words = "list the connections that have SCIM".to_owned();
        let operation = self.operation(Kind::Discover, words);
        let (mut pages, mut from, mut take) = (Pages::default(), None, PAGE);
        loop {
            let list = "connections-scim-configurations";
            let to = self.page(list, take, from.as_deref(), &operation)?;
            let reply = match self.get(&operation, &to).await? {
                (reply, None) => reply,
                // Only of the first page: what was there is not taken for never having been.
                (reply, Some(_)) if reply.status == 404 && from.is_none() => return Ok(None),
                (_, Some(fault)) => return Err(fault),
            };
            // Each comes with its whole mapping, and an answer that is too large is not read.
            if reply.body().err() == Some(BodyLost::TooLong) && take > 1 {
                take = (take / 4).max(1);
                continue;
            }
            let page: ConfigsAnswer = read(&operation, &reply)?;
            let found = page.scim_configurations.into_iter().map(|item| {
                found(item.connection_id, item.connection_name, item.strategy, &operation, &reply)
            });
            from = pages
                .add(found.collect::<Result<_, _>>()?, page.next)
                .map_err(|why| operation.unreadable(&reply, why))?;
            if from.is_none() {
                return Ok(Some(pages.all()));
            }
        }
    }

    /// Lists all connections of the strategies that can have SCIM, and asks about each that is wanted.
    pub(super) async fn one_by_one(&self, wanted: &Wanted<'_>) -> Result<Vec<Found>, Fault> {
        let operation = self.operation(Kind::Connections, "list the connections".to_owned());
        let (mut pages, mut from) = (Pages::default(), None);
        loop {
            // Whole connections hold the secrets of identity providers: they are not asked for.
            let mut to = self
                .page("connections", PAGE, from.as_deref(), &operation)?
                .query("fields", "id,name,strategy")
                .query("include_fields", "true");
            for strategy in STRATEGIES {
                to = to.query("strategy", strategy);
            }
            let (reply, refused) = self.get(&operation, &to).await?;
            if let Some(fault) = refused {
                return Err(fault);
            }
            let page: ConnectionsAnswer = read(&operation, &reply)?;
            let found = page
                .connections
                .into_iter()
                .map(|item| found(item.id, item.name, item.strategy, &operation, &reply));
            from = pages
                .add(found.collect::<Result<_, _>>()?, page.next)
                .map_err(|why| operation.unreadable(&reply, why))?;
            if from.is_none() {
                break;
            }
        }
        let mut enabled = Vec::new();
        for one in pages.all().into_iter().filter(|one| wanted(one)) {
            if self.has_scim(&one.id).await? {
                enabled.push(one);
            }
        }
        Ok(enabled)
    }

    async fn has_scim(&self, connection: &ConnectionId) -> Result<bool, Fault> {
        let words = format!("read the SCIM configuration of {connection}");
        let operation = self.operation(Kind::Discover, words);
        let path = ["api", "v2", "connections", connection.as_str(), "scim-configuration"];
        let to = self.endpoint(&path, &operation)?;
        match self.get(&operation, &to).await? {
            (_, None) => Ok(true),
            (_, Some(fault)) if WITHOUT_SCIM.contains(&fault.code) => Ok(false),
            (_, Some(fault)) => Err(fault),
        }
    }

    fn page(
        &self,
        list: &str,
        take: u32,
        from: Option<&str>,
        operation: &Operation,
    ) -> Result<Endpoint, Fault> {
        let to = self.endpoint(&["api", "v2", list], operation)?.query("take", &take.to_string());
        Ok(match from {
            Some(from) => to.query("from", from),
            None => to,
        })
    }

    /// The answer, and the fault that it is where it is no success.
    async fn get(
        &self,
        operation: &Operation,
        to: &Endpoint,
    ) -> Result<(Reply, Option<Fault>), Fault> {
        let (reply, access) = self
            .caller
            .ask(self, operation, Urgency::Routine, None, || Request::new(Method::GET, to))
            .await?;
        let secrets = [access.token.expose()];
        let fault = (reply.status != 200).then(|| operation.refused(&reply, &secrets));
        Ok((reply, fault))
    }
}

fn read<T: DeserializeOwned>(operation: &Operation, reply: &Reply) -> Result<T, Fault> {
    reply.json().map_err(|why| operation.unreadable(reply, &why))
}

fn found(
    id: String,
    name: String,
    strategy: String,
    operation: &Operation,
    reply: &Reply,
) -> Result<Found, Fault> {
    let id = ConnectionId::try_new(id)
        .map_err(|_| operation.unreadable(reply, "a connection in it has no readable id"))?;
    Ok(Found { id, name, strategy })
}
