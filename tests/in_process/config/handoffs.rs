//! Hand-offs: what a person is told, and what a person's word alone is not good for.

use scimitar::sink::handoff::HandoffTarget;

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused_in};

fn delivering(more: &str, to: &str) -> String {
    let connection = CONNECTION.replace("{ sink = \"disk\", file = \"one.token\" }", to);
    format!("{HEAD}[sinks.people]\ntype = \"handoff\"\n{connection}{LIFETIME}{more}")
}

fn beside(entry: &str) -> String {
    delivering(
        "",
        &format!("{{ sink = \"disk\", file = \"one.token\" }}, {{ sink = \"people\", {entry} }}"),
    )
}

#[test]
fn what_a_person_is_told_is_read() {
    let bench = Bench::new();
    let entry = "client = \"Okta: initech\", link = \"https://acme-admin.okta.com/app?x=1#tab\", field = \"API Token\", bearer = true, note = \"ask first\"";
    let config = bench.load(&beside(entry)).unwrap_or_else(|problems| panic!("{problems}"));
    let target: &HandoffTarget = config.connections[0].deliveries[1].to.of_kind().unwrap();
    assert_eq!(target.client, "Okta: initech");
    assert_eq!(target.link.as_deref(), Some("https://acme-admin.okta.com/app?x=1#tab"));
    assert_eq!((target.field.as_deref(), target.bearer), (Some("API Token"), true));
    assert_eq!(target.note.as_deref(), Some("ask first"));
    assert_eq!(bench.problems(&beside("client = \"Okta\"")), [""; 0]);
}

#[test]
fn what_a_person_could_not_follow_is_refused() {
    let link = "`link` must be an https:// address without a user name or password";
    let how = "write the address of the page where the token is pasted, such as \
               \"https://acme-admin.okta.com/admin/app/…#tab-provisioning\"";
    for (entry, message, hint) in [
        ("client = «\"a\\nb\"", "`client` must be one line", "write client = \"Okta: initech\""),
        ("client = \"a\", link = «\"okta\"", link, how),
        ("client = \"a\", link = «\"http://okta.example\"", link, how),
        ("client = \"a\", link = «\"https://me:secret@okta.example\"", link, how),
    ] {
        refused_in(&Bench::new(), &beside(entry), message, hint);
    }
}

#[test]
fn a_persons_word_alone_lets_no_token_go() {
    let to = "{ sink = \"disk\", file = \"one.token\" }, { sink = \"people\", client = \"Okta\" }";
    refused_in(
        &Bench::new(),
        &delivering("revoke_after_use = «false\n", to),
        "`revoke_after_use = false` with a hand-off: the previous token would be revoked on a person's \
         confirmation, before any use of the new one was seen",
        "leave it out: the provider reports when the new token is first used, and the previous one is \
         kept until then",
    );
}
