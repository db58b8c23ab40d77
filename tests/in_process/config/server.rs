//! `[server]`: where the status page is, and who can reach it.

use super::support::{CONNECTION, HEAD, LIFETIME, accepted, refused};

#[test]
fn without_it_no_port_is_opened() {
    let config = accepted(&format!("{HEAD}{CONNECTION}{LIFETIME}"), &[]);
    assert_eq!(config.server, None);
}

#[test]
fn this_machine_is_let_in_without_a_word_and_others_with_one() {
    let text =
        |listen: &str| format!("{HEAD}[server]\nlisten = \"{listen}\"\n{CONNECTION}{LIFETIME}");
    for listen in ["127.0.0.1:9469", "[::1]:9469", "127.8.9.1:0"] {
        let config = accepted(&text(listen), &[]);
        assert_eq!(config.server.map(|server| server.listen.to_string()), Some(listen.to_owned()));
    }
    for listen in ["0.0.0.0:9469", "[::]:9469", "192.0.2.1:9469"] {
        accepted(
            &text(listen),
            &[
                "scimitar.toml:10:10: `listen` is reachable from other machines, and the status page has \
               no log-in | it shows names, token ids and errors, never a token, and changes nothing; for \
               this machine only, write listen = \"127.0.0.1:9469\"",
            ],
        );
    }
}

#[test]
fn what_is_no_address_is_refused_with_one_that_is() {
    let hint = "write listen = \"127.0.0.1:9469\", or \"0.0.0.0:9469\" for every interface: an \
                IP address, not a name; write IPv6 in brackets, \"[::1]:9469\"";
    for bad in ["127.0.0.1", ":9469", "localhost:9469", "http://127.0.0.1:9469", "::1:9469"] {
        refused(
            &format!("{HEAD}[server]\nlisten = «\"{bad}\"\n{CONNECTION}{LIFETIME}"),
            "`listen` is not an address with a port",
            hint,
        );
    }
    refused(
        &format!("{HEAD}[server]\nlisten = «9469\n{CONNECTION}{LIFETIME}"),
        "`listen` must be a string, not an integer",
        "",
    );
    refused(
        &format!("{HEAD}«[server]\n{CONNECTION}{LIFETIME}"),
        "`listen` is missing in [server]",
        "write listen = \"127.0.0.1:9469\"",
    );
    refused(
        &format!("{HEAD}[server]\nlisten = \"127.0.0.1:1\"\n«lisen = \"\"\n{CONNECTION}{LIFETIME}"),
        "unknown key `lisen` in [server]",
        "did you mean `listen`?",
    );
}
