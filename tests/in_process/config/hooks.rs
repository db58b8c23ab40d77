//! `[[hooks]]`: what is read, and every mistake that can be made in one.

use std::time::Duration;

use scimitar::{config::HookCall, rotation::notice::Occasion};

use super::support::{Bench, refused_in};

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
        "it is one of \"delivered\", \"revoked\", \"failed\", \"refused\"",
    );
    refused(
        "[[hooks]]\non = [\"failed\", «\"failed\"]\nexec = [\"after\"]\n",
        "\"failed\" is there twice",
        "leave one out",
    );
    refused(
        "«[[hooks]]\non = [\"failed\"]\n",
        "[[hooks]] does not say what is to be run",
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
        "no name for this hook can be taken from what it runs: a hook name must be 1 to 128 printable characters without spaces",
        "give it one: name = \"…\"",
    );
}

#[test]
fn a_hook_program_must_be_executable_and_not_world_writable() {
    let hook = |exec: &str| format!("[[hooks]]\non = [\"failed\"]\nexec = {exec}\n");
    let how = "write exec = [\"/path/of/program\", \"argument\", …]; no shell reads it";
    refused(&hook("«\"after\""), "`exec` must be a list: the program and its arguments", how);
    refused(&hook("«[]"), "`exec` is empty", how);
    refused(&hook("[\"after\", «1]"), "`exec` must be a string, not an integer", "");
    refused(
        &hook("[«\"gone\"]"),
        "`exec`: gone cannot be used: No such file or directory",
        "the program is named by its path, absolute or from this file's folder; nothing is looked for in $PATH",
    );
    let bench = bench();
    bench.program("closed", 0o644);
    bench.program("open", 0o777);
    std::fs::create_dir(bench.path("folder")).unwrap();
    let closed = "`exec`: closed cannot be executed";
    refused_in(&bench, &hook("[«\"closed\"]"), closed, "chmod +x closed");
    let open = "`exec`: open can be changed by every user (mode 0777)";
    refused_in(&bench, &hook("[«\"open\"]"), open, "close it: chmod o-w open");
    refused_in(&bench, &hook("[«\"folder\"]"), "`exec`: folder is not a file", "name a program");
    let below = bench.program("wide/after", 0o755);
    let wide = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(below.parent().unwrap(), wide).unwrap();
    let open = "`exec`: wide can be changed by every user (mode 0777)";
    refused_in(&bench, &hook("[«\"wide/after\"]"), open, "close it: chmod o-w wide");
}

#[test]
fn a_webhook_is_encrypted_and_signed() {
    let hook = |webhook: &str| format!("[[hooks]]\non = [\"failed\"]\nwebhook = {webhook}\n");
    refused(
        &hook(&format!("{{ url = «\"http://hooks.example.com/\", {SECRET} }}")),
        "`url` must begin with https://",
        "plain http is allowed to this machine alone, such as http://127.0.0.1:8080/",
    );
    refused(
        &hook(&format!("{{ url = «\"https://a.example/?key=canary\", {SECRET} }}")),
        "`url` must not hold a query or fragment",
        "end it before the `?` or `#`",
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
        "`secret`: the secret is not whsec_ and 24 to 64 bytes in base64; printf 'whsec_%s' \"$(openssl rand -base64 32)\" makes one",
        "it was read from the environment variable BAD",
    );
}

#[test]
fn hooks_stand_in_the_main_file() {
    let bench = bench();
    bench.write("more.toml", "[[hooks]]\non = [\"failed\"]\nexec = [\"after\"]\n");
    let problems = bench.problems("include = [\"more.toml\"]\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("more.toml:1:3: unknown key `hooks`"), "{problems:?}");
}
