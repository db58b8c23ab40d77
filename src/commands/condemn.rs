//! Before `--compromised` revokes the tokens of more than one connection: it is meant, and a person at a
//! terminal says so.

use std::collections::BTreeSet;

use super::{
    output::{Failure, FailureClass},
    process::Stop,
    progress::Console,
};
use crate::{config::Config, token::ConnectionName};

/// What was typed.
pub(super) struct Asked<'a> {
    /// The connections that were asked for.
    pub(super) names: &'a BTreeSet<ConnectionName>,
    /// Whether it was said whose tokens leaked, or that all did.
    pub(super) said: bool,
    pub(super) dry_run: bool,
}

/// What would be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach {
    connections: usize,
    places: usize,
}

/// Whether it may begin. Names that are not configured are the matter of who selects them.
///
/// # Errors
/// When more than one connection would be condemned and neither names nor `--all` were given, or when
/// the answer at the terminal is not yes; nothing was done.
pub(super) async fn allowed(
    config: &Config,
    asked: &Asked<'_>,
    stop: &Stop,
    console: &Console,
) -> Result<(), Failure> {
    let reach = reach(config, asked.names);
    if reach.connections < 2 {
        return Ok(());
    }
    if !asked.said {
        return Err(refused(format!(
            "--compromised would replace and revoke the tokens of all {} connections at once; name \
             the ones that leaked (or select them with --provider or --match), or add --all; nothing \
             was done",
            reach.connections
        )));
    }
    // Who is not at a terminal has said all there is to say.
    if asked.dry_run || !console.asks() {
        return Ok(());
    }
    let question = question(reach);
    match stop.token.run_until_cancelled(console.ask(&question)).await {
        Some(Some(line)) if is_yes(&line) => Ok(()),
        Some(_) | None => Err(refused("not confirmed; nothing was done".to_owned())),
    }
}

fn refused(message: String) -> Failure {
    Failure::new(FailureClass::Usage, message)
}

fn reach(config: &Config, names: &BTreeSet<ConnectionName>) -> Reach {
    let condemned: Vec<_> =
        config.connections.iter().filter(|connection| names.contains(&connection.name)).collect();
    Reach {
        connections: condemned.len(),
        places: condemned.iter().map(|connection| connection.deliveries.len()).sum(),
    }
}

fn question(reach: Reach) -> String {
    let places = if reach.places == 1 {
        "1 location".to_owned()
    } else {
        format!("{} locations", reach.places)
    };
    format!(
        "--compromised replaces the tokens of {} connections and revokes the old ones at once. The \
         new tokens are delivered to {places}; at least {} clients, one for each location, lose access \
         until they read the new token there.\nContinue? [y/N] ",
        reach.connections, reach.places
    )
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (text, yes) in [
            ("y\n", true),
            ("YES\r\n", true),
            ("", false),
            ("\n", false),
            ("n\n", false),
            ("yep\n", false),
        ] {
            assert_eq!(is_yes(text), yes, "{text:?}");
        }
        let asked = question(Reach { connections: 3, places: 5 });
        assert!(
            asked.contains("tokens of 3 connections") && asked.contains("5 locations"),
            "{asked}"
        );
        assert!(asked.contains("at least 5 clients") && asked.ends_with("[y/N] "), "{asked}");
    }
}
