//! The tables inside a declared issuer's: its three requests, and where in a token everything is.

use reqwest::Method;

use super::{
    spec::{CallSpec, CreateCall, ListCall, Members, Paging, Pointers, Times},
    template::{Body, Path, Text, Var},
};
use crate::table::{Table, Value};

/// What may be left out, but is not half-right: `None` where it is wrong.
pub(super) fn flat<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

/// The keys that all three requests have.
fn call(table: &Table<'_>, method: Method, success: &[u16], allowed: &[Var]) -> Option<CallSpec> {
    let path = table.require("path", "\"…\"").and_then(|value| {
        let refuse = |why| value.refuse(format!("`path`: {why}"), "write another");
        Path::parse(value.string()?, allowed).map_err(refuse).ok()
    });
    let query = table.get("query").map(|value| {
        let table = value.table("`query`")?;
        table
            .values()
            .map(|(name, value)| {
                let refuse = |why| value.refuse(format!("`query`: {why}"), "write another");
                let text = Text::parse(value.string()?, allowed).map_err(refuse).ok()?;
                Some((name.to_owned(), text))
            })
            .collect::<Option<Vec<_>>>()
    });
    let success = match table.get("success") {
        None => Some(success.to_vec()),
        Some(value) => value.list("a list of statuses").and_then(|items| {
            let status = |item: Value<'_>| item.integer(200..=299)?.try_into().ok();
            items.into_iter().map(status).collect()
        }),
    };
    Some(CallSpec {
        method,
        path: path?,
        query: flat(query)?.unwrap_or_default(),
        success: success?,
    })
}

/// `list`.
pub(super) fn list(table: Table<'_>) -> Option<ListCall> {
    let call = call(&table, Method::GET, &[200], Var::OF_LIST);
    let items = table.require("items", "\"/data\"").and_then(|value| pointers(&value));
    let paging = table.get("paging").map(|value| paging(&value));
    let only = table.get("only").map(|value| {
        let items = value.list("a list of tables")?;
        items.into_iter().map(only).collect::<Option<Vec<_>>>()
    });
    table.finish(&[]);
    Some(ListCall {
        call: call?,
        items: items?,
        paging: flat(paging)?.unwrap_or(Paging::None),
        only: flat(only)?.unwrap_or_default(),
    })
}

fn only(value: Value<'_>) -> Option<(Pointers, String)> {
    let table = value.table("`only`")?;
    let at = table.require("at", "\"/kind\"").and_then(|value| pointers(&value));
    let is = table.require("is", "\"scim\"").and_then(|value| value.string());
    table.finish(&[]);
    Some((at?, is?.to_owned()))
}

fn paging(value: &Value<'_>) -> Option<Paging> {
    let table = value.table("`paging`")?;
    let by = table.require("by", "\"link\"")?;
    let next = || table.require("next", "\"/next\"").and_then(|value| pointers(&value));
    let parameter = || {
        let value = table.require("parameter", "\"page\"")?;
        value.string().map(str::to_owned)
    };
    let paging = match by.word(&[("link", 0), ("token", 1), ("number", 2)])? {
        0 => next().map(|next| Paging::Link { next }),
        1 => {
            let (next, parameter) = (next(), parameter());
            next.zip(parameter).map(|(next, parameter)| Paging::Mark { next, parameter })
        }
        _ => {
            let parameter = parameter();
            let first = table.get("first").map(|value| value.integer(0..=1));
            let total = table.get("total").map(|value| pointers(&value));
            match (parameter, flat(first), flat(total)) {
                (Some(parameter), Some(first), Some(total)) => {
                    Some(Paging::Number { parameter, first: first.unwrap_or(1), total })
                }
                _ => None,
            }
        }
    };
    table.finish(&[]);
    paging
}

/// `create`.
pub(super) fn create(table: Table<'_>) -> Option<CreateCall> {
    let method = match table.get("method") {
        Some(value) => value.word(&[("POST", false), ("PUT", true)]),
        None => Some(false),
    };
    let method = method.map(|put| if put { Method::PUT } else { Method::POST });
    let call = call(&table, method.clone().unwrap_or(Method::POST), &[200, 201], Var::OF_CREATE);
    let body = table.get("body").map(|value| {
        // Said where a body is no table.
        drop(value.table("`body`")?);
        let refuse = |why| value.refuse(format!("`body`: {why}"), "write another");
        Body::parse(value.data(), Var::OF_CREATE).map_err(refuse).ok()
    });
    let item = table.get("item").map(|value| pointers(&value));
    let value = table.require("value", "\"/token\"").and_then(|value| pointers(&value));
    table.finish(&[]);
    method?;
    Some(CreateCall {
        call: call?,
        body: flat(body)?,
        item: flat(item)?.unwrap_or_else(|| Pointers(vec![String::new()])),
        value: value?,
    })
}

/// `delete`.
pub(super) fn delete(table: Table<'_>) -> Option<CallSpec> {
    let method = match table.get("method") {
        Some(value) => value.word(&[("DELETE", false), ("POST", true)]),
        None => Some(false),
    };
    let method = method.map(|post| if post { Method::POST } else { Method::DELETE });
    let call = call(&table, method.clone().unwrap_or(Method::DELETE), &[200, 204], Var::OF_DELETE);
    let names_it = call.as_ref().is_none_or(|call| call.vars().any(|var| var == Var::TokenId));
    if !names_it {
        table.findings().error(
            table.at(),
            format!("{} does not name the token", table.name()),
            "write {{ token_id }} in its path",
        );
    }
    table.finish(&[]);
    method?;
    call.filter(|_| names_it)
}

/// `tokens`.
pub(super) fn members(table: Table<'_>) -> Option<Members> {
    let must =
        |key: &'static str| table.require(key, "\"/POINTER\"").and_then(|value| pointers(&value));
    let may = |key: &'static str| flat(table.get(key).map(|value| pointers(&value)));
    let (id, created) = (must("id"), must("created"));
    let (name, expires, last_used, scopes) =
        (may("name"), may("expires"), may("last_used"), may("scopes"));
    let times = match table.get("times") {
        Some(value) => value.word(&[
            ("rfc3339", Times::Rfc3339),
            ("unix", Times::Unix),
            ("unix_ms", Times::UnixMs),
        ]),
        None => Some(Times::Rfc3339),
    };
    table.finish(&[]);
    Some(Members {
        id: id?,
        created: created?,
        name: name?,
        expires: expires?,
        last_used: last_used?,
        scopes: scopes?,
        times: times?,
    })
}

/// One JSON pointer, or several of which the first that finds something counts.
fn pointers(value: &Value<'_>) -> Option<Pointers> {
    const HOW: &str = "write a JSON pointer such as \"/data\", or \"\" for the whole answer";
    let pointer = |value: &Value<'_>, text: &str| {
        let fits = text.is_empty() || text.starts_with('/');
        if !fits {
            value.refuse(format!("`{}` is not a JSON pointer", value.key()), HOW);
        }
        fits.then(|| text.to_owned())
    };
    if let Some(text) = value.as_str() {
        return pointer(value, text).map(|pointer| Pointers(vec![pointer]));
    }
    let items = value.list("a JSON pointer such as \"/data\", or a list of them")?;
    if items.is_empty() {
        value.refuse(format!("`{}` is empty", value.key()), HOW);
        return None;
    }
    let one = |item: Value<'_>| pointer(&item, item.string()?);
    items.into_iter().map(one).collect::<Option<Vec<_>>>().map(Pointers)
}
