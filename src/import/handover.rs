//! What is written for an operator: the connections as TOML, and the steps that hand the tokens over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{ManagedToken, State, Tool, names::unique};
use crate::token::ConnectionId;

/// One connection to be, with its tokens in the state.
struct Connection<'a> {
    name: String,
    kind: &'static str,
    id: Option<&'a ConnectionId>,
    tokens: Vec<&'a ManagedToken>,
}

/// The connections that take over the tokens of `state`, as TOML, with the steps in comments. `file` is
/// how it is called.
#[must_use]
pub fn handover(state: &State, file: &str) -> String {
    let connections = connections(state);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut text, state, file, &connections);
    for connection in &connections {
        let _ = table(&mut text, connection);
    }
    let _ = steps(&mut text, state, file, &connections);
    text
}

fn connections(state: &State) -> Vec<Connection<'_>> {
    let mut taken = BTreeSet::new();
    let mut at: BTreeMap<(&str, Option<&ConnectionId>), usize> = BTreeMap::new();
    let mut connections: Vec<Connection<'_>> = Vec::new();
    for token in &state.tokens {
        let key = (token.kind, token.connection.as_ref());
        let nth = *at.entry(key).or_insert_with(|| {
            connections.push(Connection {
                name: unique(&token.label, &mut taken),
                kind: token.kind,
                id: token.connection.as_ref(),
                tokens: Vec::new(),
            });
            connections.len() - 1
        });
        if let Some(connection) = connections.get_mut(nth) {
            connection.tokens.push(token);
        }
    }
    connections
}

fn head(
    text: &mut String,
    state: &State,
    file: &str,
    connections: &[Connection<'_>],
) -> std::fmt::Result {
    let values = state.tokens.iter().filter(|token| token.has_value).count();
    writeln!(text, "# From {file} ({}).", state.form)?;
    writeln!(
        text,
        "# SCIM tokens: {}. Connections: {}. Values in that file: {values}; none was copied.",
        state.tokens.len(),
        connections.len()
    )?;
    for unreadable in &state.unreadable {
        writeln!(text, "# NOT TAKEN OVER: {}", commented(unreadable))?;
    }
    if connections.is_empty() {
        let kinds: Vec<&str> = super::KINDS
            .iter()
            .filter_map(|kind| kind.managed.as_ref())
            .map(|managed| match state.tool {
                Tool::Terraform => managed.terraform,
                Tool::Pulumi => managed.pulumi,
            })
            .collect();
        writeln!(
            text,
            "# Nothing to take over: no readable resource is a {}.",
            kinds.join(" or a ")
        )?;
    }
    Ok(())
}

fn table(text: &mut String, connection: &Connection<'_>) -> std::fmt::Result {
    let Connection { name, kind, id, tokens } = connection;
    writeln!(text)?;
    for token in tokens {
        writeln!(text, "# {} is {}", token.token, commented(&token.address))?;
    }
    if tokens.len() > 1 {
        writeln!(
            text,
            "# More than one token: keep the one in use. A provider that allows two tokens has no free slot \
             for a rotation until the other is revoked."
        )?;
    }
    writeln!(text, "[[connections]]")?;
    writeln!(text, "name = \"{name}\"")?;
    writeln!(
        text,
        "provider = \"{kind}\"   # the name of your [providers.…] with type = \"{kind}\""
    )?;
    if let Some(id) = id {
        writeln!(text, "connection_id = {}", basic(id.as_str()))?;
    }
    let scopes: BTreeSet<&str> =
        tokens.iter().flat_map(|token| &token.scopes).map(|scope| scope.as_str()).collect();
    if !scopes.is_empty() {
        let quoted: Vec<String> = scopes.iter().map(|scope| basic(scope)).collect();
        writeln!(text, "scopes = [{}]", quoted.join(", "))?;
    }
    // Terraform and Pulumi cannot ask for a life.
    let expires = super::KINDS.iter().any(|of| of.word == *kind && of.shortest_life.is_some());
    let (key, what) = if expires {
        ("token_lifetime", "the lifetime of new tokens")
    } else {
        ("max_age", "the age at which a token is replaced")
    };
    writeln!(text, "{key} = \"90d\"   # {what}; your choice")?;
    writeln!(
        text,
        "deliver_to = [{{ sink = \"disk\", file = \"{name}.token\" }}]   # one of your [sinks.…]"
    )
}

fn steps(
    text: &mut String,
    state: &State,
    file: &str,
    connections: &[Connection<'_>],
) -> std::fmt::Result {
    if connections.is_empty() {
        return Ok(());
    }
    writeln!(text)?;
    writeln!(text, "# --- The steps, in this order; no token is deleted by any of them ---")?;
    writeln!(text, "#")?;
    match state.tool {
        Tool::Terraform => terraform(text, state)?,
        Tool::Pulumi => pulumi(text, state)?,
    }
    writeln!(text, "#")?;
    writeln!(
        text,
        "# 2. Add the tables above to the configuration, then: scimitar check --online"
    )?;
    writeln!(text, "#")?;
    writeln!(
        text,
        "# 3. Where a sink holds the token in use already, Scimitar takes it over. Where none does, mint\n\
         #    a replacement first; the token in use stays valid:"
    )?;
    for connection in connections {
        writeln!(text, "#      scimitar rotate {}", connection.name)?;
    }
    writeln!(text, "#")?;
    writeln!(
        text,
        "# 4. Hand the tokens over. One that a sink holds becomes the current token; any other is\n\
         #    retired by the policy, once clients use the new one:\n\
         #      scimitar adopt --all-from {}\n\
         #    or one by one:",
        quoted(file)
    )?;
    for connection in connections {
        for token in &connection.tokens {
            writeln!(
                text,
                "#      scimitar adopt {} --token-id {} --retire",
                connection.name, token.token
            )?;
        }
    }
    writeln!(text, "#")?;
    writeln!(
        text,
        "# 5. Until its token is revoked, anyone who reads that state, an older version of it or a backup\n\
         #    has the value. `scimitar status` shows when it is revoked."
    )
}

/// Removes the resources from the state and keeps what they stand for.
fn terraform(text: &mut String, state: &State) -> std::fmt::Result {
    // A `removed` block names a resource with all its instances.
    let resources: BTreeSet<String> =
        state.tokens.iter().map(|token| without_keys(&token.address)).collect();
    writeln!(
        text,
        "# 1. Remove the resources from Terraform without deleting the tokens. Delete their `resource`\n\
         #    blocks and what refers to them, add these (Terraform 1.7 or OpenTofu 1.7, or later), and\n\
         #    apply. The plan must say \"will no longer be managed\", not \"will be destroyed\":"
    )?;
    for resource in &resources {
        writeln!(text, "#      removed {{")?;
        writeln!(text, "#        from = {}", commented(resource))?;
        writeln!(text, "#        lifecycle {{")?;
        writeln!(text, "#          destroy = false")?;
        writeln!(text, "#        }}")?;
        writeln!(text, "#      }}")?;
    }
    writeln!(
        text,
        "#    If OpenTofu does not accept `lifecycle` there, leave it out: such a version never deletes.\n\
         #    Earlier versions: delete the blocks and, before any apply, run"
    )?;
    for token in &state.tokens {
        writeln!(text, "#      terraform state rm {}", quoted(&token.address))?;
    }
    Ok(())
}

fn pulumi(text: &mut String, state: &State) -> std::fmt::Result {
    writeln!(
        text,
        "# 1. Remove the resources from Pulumi without deleting the tokens: delete them from the program\n\
         #    and run these before the next `pulumi up` (add --force where a resource is protected):"
    )?;
    for token in &state.tokens {
        writeln!(text, "#      pulumi state delete {}", quoted(&token.address))?;
    }
    Ok(())
}

/// An address without the keys of its instances: `module.a["x"].r.t[0]` is `module.a.r.t`.
fn without_keys(address: &str) -> String {
    let (mut plain, mut inside, mut in_text, mut escaped) = (String::new(), false, false, false);
    for letter in address.chars() {
        match letter {
            '[' if !inside => inside = true,
            ']' if inside && !in_text => inside = false,
            '"' if inside && !escaped => in_text = !in_text,
            letter if !inside => plain.push(letter),
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
    }
    plain
}

/// As a string of TOML: what JSON escapes TOML does, too.
fn basic(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// On one line, so that it stays in its comment.
fn commented(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let text = commented(text);
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@+=,".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
