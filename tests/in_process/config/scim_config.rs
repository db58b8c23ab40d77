//! `[connections.scim_configuration]`: what it may say, and where.

use scimitar::rotation::scim_config::WantedConfig;

use super::support::{CONNECTION, HEAD, LIFETIME, accepted, refused};

fn with(keys: &str) -> String {
    format!("{HEAD}{CONNECTION}{LIFETIME}scim_configuration = {keys}\n")
}

#[test]
fn the_default_or_a_whole_mapping_is_asked_for() {
    let config = accepted(&with("{ ensure = true }"), &[]);
    assert_eq!(config.connections[0].terms.scim_config, Some(WantedConfig::Default));
    let none = accepted(&format!("{HEAD}{CONNECTION}{LIFETIME}"), &[]);
    assert_eq!(none.connections[0].terms.scim_config, None);
    let config = accepted(
        &with(
            "{ user_id_attribute = \"sub\", mapping = [{ auth0 = \"blocked\", scim = \"active\" }] }",
        ),
        &[],
    );
    let Some(WantedConfig::Exactly(wanted)) = &config.connections[0].terms.scim_config else {
        panic!("{config:?}");
    };
    assert_eq!((wanted.user_id_attribute.as_str(), wanted.mapping.len()), ("sub", 1));
}

#[test]
fn what_cannot_be_a_configuration_is_refused_in_its_place() {
    refused(
        &with("{ ensure = «false }"),
        "`ensure` can only be true",
        "leave the whole table out to ignore the SCIM configuration",
    );
    refused(
        &with("{ user_id_attribute = \"sub\", mapping = «[] }"),
        "`mapping` is empty: no user could be created",
        "write mapping = [{ auth0 = \"preferred_username\", scim = \"userName\" }, …], or ensure = true \
         alone for Auth0's default mapping",
    );
    refused(
        &with(
            "{ user_id_attribute = \"sub\", mapping = [{ auth0 = \"a\", scim = \"b\" }, «{ scim = \"b\", auth0 = \"a\" }] }",
        ),
        "`mapping` lists this pair of `b` twice",
        "leave one out",
    );
    let face = HEAD.replace("type = \"sandbox\"\n", "type = \"sandbox\"\nface = \"dbt_cloud\"\n");
    let connection = CONNECTION.replace("connection_id = \"con_okta000000000001\"\n", "");
    refused(
        &format!(
            "{face}{connection}max_age = \"90d\"\nscim_configuration = «{{ ensure = true }}\n"
        ),
        "`scim_configuration` has no effect here: the connections of `box` have no SCIM configuration that can be set",
        "leave it out",
    );
}

#[test]
fn a_mapping_that_loses_leavers_is_warned_of() {
    let text = with(
        "{ user_id_attribute = \"sub\", mapping = [{ auth0 = \"email\", scim = \"userName\" }] }",
    );
    let line = text.lines().count();
    accepted(
        &text,
        &[&format!(
            "scimitar.toml:{line}:61: `mapping` does not map `active`: deactivated users keep \
             access | add {{ auth0 = \"blocked\", scim = \"active\" }}, as Auth0's default mapping has it"
        )],
    );
}
