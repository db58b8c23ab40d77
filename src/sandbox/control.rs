//! `/sandbox/…`: the same faults for a sandbox that runs by itself. Served only on request.

use serde::Deserialize;
use serde_json::json;

use super::{
    faults::{Faults, Rule},
    quirks::Quirks,
    wire::{TenantAnswer, TenantRequest, not_found, refusal},
};
use crate::error;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    quirks: Option<Quirks>,
}

/// `POST /sandbox/faults` adds rules and sets quirks, `DELETE` removes them all;
/// `POST /sandbox/release` lets go what waits; `GET` and `DELETE /sandbox/requests` read and
/// empty the log of requests.
///
/// # If the answer is lost
/// The rules may be there; `DELETE /sandbox/faults` makes sure that they are not.
pub(super) async fn answer(faults: &Faults, ask: &TenantRequest) -> TenantAnswer {
    match (ask.method.as_str(), ask.parts().as_slice()) {
        ("POST", ["sandbox", "faults"]) => {
            let order: Order = match serde_json::from_slice(&ask.body) {
                Ok(order) => order,
                Err(error) => return refusal(400, &error::chain(&error), None),
            };
            if let Some(quirks) = order.quirks {
                faults.quirks(|now| *now = quirks);
            }
            for rule in order.rules {
                if let Err(error) = faults.add(rule) {
                    return refusal(500, &error::chain(&error), None);
                }
            }
            TenantAnswer::no_content()
        }
        ("DELETE", ["sandbox", "faults"]) => {
            faults.clear();
            TenantAnswer::no_content()
        }
        ("POST", ["sandbox", "release"]) => {
            faults.release().await;
            TenantAnswer::no_content()
        }
        ("GET", ["sandbox", "requests"]) => TenantAnswer::json(200, json!(faults.requests())),
        ("DELETE", ["sandbox", "requests"]) => {
            faults.forget_requests();
            TenantAnswer::no_content()
        }
        _ => not_found(),
    }
}
