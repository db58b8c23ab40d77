//! SCIM configurations that are missing, vanish or are changed: without one a connection has no tokens
//! and gets none, and nobody is locked out for longer than the product can help.

use scimitar::{
    error::{Class, Code, Fault},
    rotation::{
        policy::{Mode, OnDrift, Policy},
        scim_config::{ConfigChange, FoundConfig, Mapped, ScimConfig, WantedConfig},
    },
    token::TokenId,
};

use super::{
    people::Deed,
    rng::Rng,
    world::{DAWN, Event, Ms, World},
};

/// What some policies ask for.
pub(crate) fn asked() -> ScimConfig {
    config(&[("userName", "preferred_username"), ("active", "blocked")])
}

fn config(pairs: &[(&str, &str)]) -> ScimConfig {
    let mapped =
        |(scim, user): &(&str, &str)| Mapped { scim: (*scim).to_owned(), user: (*user).to_owned() };
    ScimConfig { user_id_attribute: "sub".to_owned(), mapping: pairs.iter().map(mapped).collect() }
}

/// Some policies ask for a configuration.
pub(crate) fn draw_policy(rng: &mut Rng, policy: &mut Policy) {
    if rng.one_in(3) {
        policy.terms.scim_config = Some(WantedConfig::Exactly(asked()));
    }
}

/// Some connections begin without one; some lose it, or somebody changes it.
pub(crate) fn draw_deeds(rng: &mut Rng, world: &mut World, faults_end: Ms) {
    if world.conns[0].policy().terms.scim_config.is_none() {
        return;
    }
    // One with tokens has a configuration.
    world.conns[0].scim_config = match rng.below(3) {
        0 if world.conns[0].tokens.is_empty() => None,
        1 => Some(config(&[("userName", "email")])),
        _ => Some(asked()),
    };
    for _ in 0..rng.pick(&[0, 1, 1, 2, 4]) {
        let at = DAWN + rng.below(faults_end - DAWN);
        let deed = if rng.one_in(2) { Deed::LoseConfig } else { Deed::ChangeConfig };
        world.schedule(at, Event::People { conn: 0, deed });
    }
}

/// What a connection without a configuration is answered.
fn missing(what: &str) -> Fault {
    Fault::new(what, Class::Terminal, Code::ScimNotConfigured, "404 Not Found")
}

impl World {
    /// Whether a connection has the configuration that its tokens need.
    ///
    /// # Errors
    /// What Auth0 answers where it has none.
    pub(crate) fn has_config(&self, index: usize, what: &str) -> Result<(), Fault> {
        let conn = &self.conns[index];
        let looked_after = conn.policy().terms.scim_config.is_some();
        if looked_after && conn.scim_config.is_none() { Err(missing(what)) } else { Ok(()) }
    }

    /// Somebody deletes the configuration: its tokens go with it.
    pub(crate) fn lose_config(&mut self, index: usize) {
        if self.conns[index].policy().terms.scim_config.is_none() {
            return;
        }
        self.conns[index].scim_config = None;
        let live = |tok: &super::conn::Tok| tok.deleted.is_none();
        let tokens = self.conns[index].tokens.iter().filter(|(_, tok)| live(tok));
        let tokens: Vec<TokenId> = tokens.map(|(id, _)| id.clone()).collect();
        for id in tokens {
            self.delete(index, None, &id);
        }
    }

    /// Somebody changes the mapping.
    pub(crate) fn change_config(&mut self, index: usize) {
        if let Some(there) = &mut self.conns[index].scim_config {
            *there = config(&[("userName", "email")]);
        }
    }

    /// What is there.
    pub(crate) fn found_config(&self, index: usize) -> Option<FoundConfig> {
        let there = self.conns[index].scim_config.clone();
        there.map(|config| FoundConfig { config, default: None })
    }

    /// The effect of a create or a replacement.
    ///
    /// # Errors
    /// What Auth0 refuses.
    pub(crate) fn configure(
        &mut self,
        index: usize,
        change: &ConfigChange,
    ) -> Result<ScimConfig, Fault> {
        let conn = &mut self.conns[index];
        match (change, &conn.scim_config) {
            (ConfigChange::Create(_), Some(_)) => {
                let said = "400 SCIM configuration alreay exists for connection";
                Err(Fault::new("create", Class::Transient, Code::Changed, said))
            }
            (ConfigChange::Replace { .. }, None) => Err(missing("replace")),
            (ConfigChange::Create(config), None) => {
                let config = config.clone().unwrap_or_else(asked);
                Ok(conn.scim_config.insert(config).clone())
            }
            (ConfigChange::Replace { by, .. }, Some(_)) => {
                Ok(conn.scim_config.insert(by.clone()).clone())
            }
        }
    }

    /// 6. A configuration is changed only where a policy says so.
    pub(crate) fn promise_6(&mut self, index: usize, change: &ConfigChange) {
        let may = |policy: &Policy| {
            policy.terms.mode == Mode::Rotate
                && match change {
                    ConfigChange::Create(_) => true,
                    ConfigChange::Replace { .. } => policy.terms.on_drift == OnDrift::Restore,
                }
        };
        // A call that is under way goes on by the policy that it began with.
        let mut policies = self.conns[index].policies.iter().rev().take(2);
        if !policies.any(|(_, policy)| may(policy)) {
            self.violate(
                "6 a configuration is changed only where that is asked for",
                format!("{change:?}"),
            );
        }
    }

    /// Why the configuration has not ended well, if it has not.
    pub(crate) fn config_unwell(&self, index: usize) -> Option<String> {
        let conn = &self.conns[index];
        let terms = &conn.policy().terms;
        let Some(WantedConfig::Exactly(wanted)) = &terms.scim_config else { return None };
        let Some(there) = &conn.scim_config else {
            return Some("its SCIM configuration is missing".to_owned());
        };
        (terms.on_drift == OnDrift::Restore && there != wanted)
            .then(|| "its SCIM configuration was not restored".to_owned())
    }
}
