//! `[[hooks]]`: what is read, and every mistake that can be made in one.

use std::time::Duration;

use scimitar::{
    config::HookCall,
    hook::{Address, FIELDS},
    rotation::notice::Occasion,
};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, refused_in};

const URL: &str = "url = \"https://hooks.example.com/in\"";
const SECRET: &str = "secret = { env = \"KEY\" }";

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.program("after", 0o755);
    bench.env.insert("KEY".to_owned(), format!("whsec_{}", "AAAA".repeat(8)));
    bench
}

fn refused(keys: &str, message: &str, hint: &str) {
    refused_in(&bench(), keys, message, hint);
}

#[test]
fn programs_and_webhooks_are_read_with_their_defaults() {
    let bench = bench();
    let text = format!(
        "[[hooks]]\non = [\"delivered\", \"revoked\"]\nexec = [\"after\", \"\", \"-x\"]\n\
         [[hooks]]\non = [\"failed\"]\nwebhook = {{ {URL}, {SECRET} }}\ntimeout = \"5m\"\n\
         [[hooks]]\nname = \"pager\"\non = [\"refused\"]\n\
         webhook = {{ url = \"http://127.0.0.1:9/\", {SECRET} }}\n"
    );
    let config = bench.load(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let [after, webhook, pager] = &config.hooks[..] else { panic!("{:?}", config.hooks) };
    assert_eq!(after.name.as_str(), "after");
    assert_eq!(after.on, [Occasion::Delivered, Occasion::Revoked].into());
    assert_eq!(after.timeout, Duration::from_secs(30));
    let arguments = vec![String::new(), "-x".to_owned()];
    assert_eq!(after.call, HookCall::Exec { program: bench.path("after"), arguments });
    assert_eq!(webhook.name.as_str(), "hooks.example.com");
    assert_eq!(webhook.timeout, Duration::from_secs(300));
    assert_eq!(pager.name.as_str(), "pager");
}

#[test]
fn thresholds_are_the_connections_own_or_the_defaults() {
    let read = |defaults: &str, own: &str| {
        let text = format!("{HEAD}[defaults]\n{defaults}{CONNECTION}{LIFETIME}{own}");
        let config = bench().load(&text).unwrap_or_else(|problems| panic!("{problems}"));
        let asked = config.connections[0].terms.notify_before.clone();
        asked.map(|asked| asked.iter().map(Duration::as_secs).collect::<Vec<_>>())
    };
    assert_eq!(read("", ""), None);
    let both = "notify_before = [\"3d\", \"14d\", \"1h\"]\n";
    assert_eq!(read(both, ""), Some(vec![3_600, 3 * 86_400, 14 * 86_400]));
    assert_eq!(read(both, "notify_before = []\n"), Some(vec![]));
    let own = |value: &str| format!("{HEAD}{CONNECTION}{LIFETIME}notify_before = {value}\n");
    refused(&own("[\"3d\", «\"10s\"]"), "`notify_before` must be at least 1m", "this is 10s");
    refused(
        &own("«\"3d\""),
        "`notify_before` must be a list of durations such as [\"14d\", \"3d\", \"1d\"], not a string",
        "",
    );
}

#[test]
fn a_hook_says_when_and_what() {
    refused(
        "«[hooks]\n",
        "`hooks` is one table, not a list of them",
        "write [[hooks]] with two brackets",
    );
    refused(
        "«[[hooks]]\nexec = [\"after\"]\n",
        "`on` is missing in [[hooks]]",
        "write on = [\"delivered\", \"failed\"]",
    );
    refused(
        "[[hooks]]\non = «[]\nexec = [\"after\"]\n",
        "`on` is empty: the hook would never run",
        "leave the hook out, or name an event",
    );
    refused(
        "[[hooks]]\non = [«\"rotated\"]\nexec = [\"after\"]\n",
        "`on` cannot be \"rotated\"",
        "it is one of \"delivered\", \"revoked\", \"failed\", \"refused\", \"expiring\", \"unmanaged\", \"drift\", \"revocation_blocked\", \"handoff\"",
    );
    refused(
        "[[hooks]]\non = [\"failed\", «\"failed\"]\nexec = [\"after\"]\n",
        "\"failed\" is listed twice",
        "leave one out",
    );
    refused(
        "«[[hooks]]\non = [\"failed\"]\n",
        "[[hooks]] does not say what to run",
        "write exec = [\"/usr/local/bin/after-rotation\"], or webhook = { url = \"https://…\", secret = { … } }",
    );
    refused(
        &format!(
            "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\n«webhook = {{ {URL}, {SECRET} }}\n"
        ),
        "a hook runs a program or calls a webhook, not both",
        "write one [[hooks]] for each",
    );
    refused(
        "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\ntimeout = «\"6m\"\n",
        "`timeout` must be at most 5m",
        "this is 6m",
    );
    refused(
        "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\n«command = \"x\"\n",
        "unknown key `command` in [[hooks]]",
        "the keys here are: exec, name, on, timeout, webhook",
    );
}

#[test]
fn names_are_unique_and_fit_a_label() {
    refused(
        "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\n[[hooks]]\non = [\"failed\"]\nexec = «[\"after\"]\n",
        "there is another hook with the name \"after\"",
        "give each its own: name = \"…\"; it is the label in metrics and logs",
    );
    refused(
        "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\nname = «\"a b\"\n",
        "`name`: a hook name must be 1 to 128 printable characters without spaces",
        "choose another",
    );
    let bench = bench();
    bench.program("after all", 0o755);
    refused_in(
        &bench,
        "[[hooks]]\non = [\"failed\"]\nexec = «[\"after all\"]\n",
        "no name for this hook can be derived from what it runs: a hook name must be 1 to 128 printable characters without spaces",
        "give it one: name = \"…\"",
    );
}

#[test]
fn a_hook_program_must_be_executable_and_not_world_writable() {
    let hook = |exec: &str| format!("[[hooks]]\non = [\"failed\"]\nexec = {exec}\n");
    let how = "write exec = [\"/path/of/program\", \"argument\", …]; no shell is involved";
    refused(&hook("«\"after\""), "`exec` must be a list: the program and its arguments", how);
    refused(&hook("«[]"), "`exec` is empty", how);
    refused(&hook("[\"after\", «1]"), "`exec` must be a string, not an integer", "");
    refused(
        &hook("[«\"gone\"]"),
        "`exec`: gone cannot be used: No such file or directory",
        "write the program's path, absolute or relative to this file's folder; $PATH is not searched",
    );
    let bench = bench();
    bench.program("closed", 0o644);
    bench.program("open", 0o777);
    std::fs::create_dir(bench.path("folder")).unwrap();
    let closed = "`exec`: closed cannot be executed";
    refused_in(&bench, &hook("[«\"closed\"]"), closed, "chmod +x closed");
    let open = "`exec`: open can be changed by every user (mode 0777)";
    refused_in(&bench, &hook("[«\"open\"]"), open, "restrict access to it: chmod o-w open");
    refused_in(&bench, &hook("[«\"folder\"]"), "`exec`: folder is not a file", "name a program");
    let below = bench.program("wide/after", 0o755);
    let wide = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(below.parent().unwrap(), wide).unwrap();
    let open = "`exec`: wide can be changed by every user (mode 0777)";
    refused_in(&bench, &hook("[«\"wide/after\"]"), open, "restrict access to it: chmod o-w wide");
}

#[test]
fn a_webhook_is_encrypted_and_signed() {
    let hook = |webhook: &str| format!("[[hooks]]\non = [\"failed\"]\nwebhook = {webhook}\n");
    refused(
        &hook(&format!("{{ url = «\"http://hooks.example.com/\", {SECRET} }}")),
        "`url` must begin with https://",
        "plain http is allowed only to this machine, such as http://127.0.0.1:8080/",
    );
    for (url, message) in [
        (
            "https://a.example/#canary",
            "`url`: the URL for a.example contains a fragment (#…): remove it",
        ),
        (
            "https://u:canary@a.example/",
            "`url`: the URL for a.example contains a user name or password: remove them",
        ),
    ] {
        let hook = hook(&format!("{{ url = «\"{url}\", {SECRET} }}"));
        refused(&hook, message, "write only the address");
    }
    refused(
        &hook(&format!("{{ url = «\"canary\", {SECRET} }}")),
        "`url` is not a URL",
        "write url = \"https://hooks.example.com/scimitar\", or url = { file = \"PATH\" } where the URL holds a key",
    );
    refused(
        &hook(&format!("«{{ {URL} }}")),
        "`secret` is missing in `webhook`",
        "write secret = { file = \"/etc/scimitar/webhook-secret\" }",
    );
    let mut bench = bench();
    bench.env.insert("BAD".to_owned(), "canary".to_owned());
    refused_in(
        &bench,
        &hook(&format!("{{ {URL}, secret = «{{ env = \"BAD\" }} }}")),
        "`secret`: the secret must be whsec_ followed by 24 to 64 bytes in base64; make one with printf 'whsec_%s' \"$(openssl rand -base64 32)\"",
        "it was read from the environment variable BAD",
    );
}

/// A webhook of a service's own kind; `{URL}` and `{SECRET}` are not needed there.
fn service(keys: &str) -> String {
    format!("[[hooks]]\nname = \"s\"\non = [\"failed\"]\nwebhook = {{ {keys} }}\n")
}

#[test]
fn a_url_may_be_a_secret_and_is_never_shown() {
    let mut bench = bench();
    let address = "https://chat.example.com/canary?key=canary";
    bench.env.insert("URL".to_owned(), address.to_owned());
    let config = bench.load(&service("url = { env = \"URL\" }")).unwrap();
    let [hook] = &config.hooks[..] else { panic!("{:?}", config.hooks) };
    let HookCall::Webhook(post) = &hook.call else { panic!("{hook:?}") };
    assert!(matches!(post.url, Address::Kept(_)) && post.secret.is_none());
    let config = bench.load(&service(&format!("url = \"{address}\""))).unwrap();
    let shown = format!("{:?}", config.hooks);
    assert!(!shown.contains("canary") && shown.contains("chat.example.com"), "{shown}");
    let lines: Vec<_> = config.warnings.iter().map(|warning| bench.line(warning)).collect();
    let warned = "scimitar.toml:4:19: `url` may contain a key, which everyone who can read this file would have";
    assert!(lines.iter().any(|line| line.starts_with(warned)), "{lines:?}");
    assert!(!lines.concat().contains("canary"), "{lines:?}");
    bench.env.insert("BAD".to_owned(), "http://canary.example/".to_owned());
    refused_in(
        &bench,
        &service("url = «{ env = \"BAD\" }"),
        "`url`: it is not a URL that begins with https:// (or with http:// to this machine), without user name, password and fragment",
        "it was read from the environment variable BAD",
    );
    refused_in(
        &bench,
        "[[hooks]]\non = [\"failed\"]\nwebhook = «{ url = { env = \"URL\" } }\n",
        "a hook whose URL is a secret needs a name",
        "write name = \"…\"; it is the label in metrics and logs",
    );
}

#[test]
fn headers_are_plain_or_secret_but_never_a_secret_in_clear() {
    let refused = |headers: &str, message: &str, hint: &str| {
        let keys = format!("{URL}, {SECRET}, headers = {{ {headers} }}");
        refused_in(&bench(), &service(&keys), message, hint);
    };
    let keys = format!(
        "{URL}, headers = {{ Authorization = {{ env = \"KEY\" }}, \"X-From\" = \"scimitar\" }}"
    );
    let config = bench().load(&service(&keys)).unwrap_or_else(|problems| panic!("{problems}"));
    let HookCall::Webhook(post) = &config.hooks[0].call else { panic!("{:?}", config.hooks) };
    let names: Vec<_> = post.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["authorization", "x-from"]);
    for (name, shown) in [
        ("Authorization", "authorization"),
        ("X-Api-Key", "x-api-key"),
        ("X-Auth-Token", "x-auth-token"),
    ] {
        refused(
            &format!("{name} = «\"canary\""),
            &format!("the header {shown} takes a reference, never the secret itself"),
            &format!(
                "write \"{shown}\" = {{ file = \"PATH\" }}; {{ env = \"NAME\" }} and {{ credential = \"NAME\" }} also work"
            ),
        );
    }
    refused(
        "Content-Type = «\"text/plain\"",
        "`headers` cannot set content-type",
        "write content_type = \"…\" beside `body`",
    );
    for own in ["host", "webhook-id", "content-length"] {
        refused(
            &format!("{own} = «\"x\""),
            &format!("`headers` cannot set {own}"),
            "Scimitar sets it; leave it out",
        );
    }
    refused(
        "\"a b\" = «\"x\"",
        "`headers`: this is not the name of a header",
        "write \"X-Name\" = \"value\"",
    );
    refused(
        "x-a = «\"a\\nb\"",
        "`headers`: this cannot be the value of x-a",
        "write text on one line",
    );
    refused("X-A = \"1\", x-a = «\"2\"", "the header x-a is set twice", "leave one out");
}

#[test]
fn a_body_is_checked_before_anything_happens() {
    let fields = FIELDS.map(|name| format!("{{{{ {name} }}}}")).join(", ");
    let hint =
        format!("it may use {fields}, and {{{{ secrets.NAME }}}} for each name in `secrets`");
    let with = |keys: &str| service(&format!("{URL}, {keys}"));
    refused(
        &with("body = «'{ \"text\": \"{{ whi }}\" }'"),
        "`body`: there is no \"whi\"; did you mean \"why\"?",
        &hint,
    );
    refused(
        &with("body = «'{ \"text\": {{ why }} }'"),
        "`body`: it is not JSON once it is filled in (line 1, column 11); put text in quotes: \"{{ why }}\"",
        &hint,
    );
    refused(
        &with("body = '[]', content_type = «\"text/html\""),
        "`content_type` is not supported with `body`",
        "supported are JSON (application/json, application/…+json), application/x-www-form-urlencoded, text/plain or text/markdown",
    );
    refused(
        &with(&format!("{SECRET}, content_type = «\"text/plain\"")),
        "`content_type` has no effect without `body`",
        "without one, a CloudEvent is sent: leave this out, or write body = '{ \"text\": \"{{ why }}\" }'",
    );
    refused(
        &with("body = '[]', secrets = { \"a-b\" = «{ env = \"KEY\" } }"),
        "`secrets`: this name cannot be written in a template",
        "use letters, digits and underscores",
    );
    let unused = with("body = '[]', secrets = { key = { env = \"KEY\" } }");
    let bench = bench();
    let config = bench.load(&unused).unwrap_or_else(|problems| panic!("{problems}"));
    let lines: Vec<_> = config.warnings.iter().map(|warning| bench.line(warning)).collect();
    assert!(lines.concat().contains("`body` does not use the secret key"), "{lines:?}");
}

#[test]
fn hooks_stand_in_the_main_file() {
    let bench = bench();
    bench.write("more.toml", "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\n");
    let problems = bench.problems("include = [\"more.toml\"]\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("more.toml:1:3: unknown key `hooks`"), "{problems:?}");
}
