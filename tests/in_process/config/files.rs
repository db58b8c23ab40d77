//! Deliveries to files, includes, and what lies where.

use std::os::unix::fs::symlink;

use scimitar::{
    config::Config,
    sink::file::{FileSink, FileTarget, Format},
};

use super::support::{Bench, CONNECTION, HEAD, LIFETIME, accepted, refused, refused_in};

fn delivering(entry: &str) -> String {
    format!("{HEAD}{CONNECTION}{LIFETIME}")
        .replace("{ sink = \"disk\", file = \"one.token\" }", entry)
}

/// A second connection, named by a word.
fn second(name: &str, id: &str, file: &str) -> String {
    format!(
        "[[connections]]\nname = {name}\nprovider = \"box\"\nconnection_id = \"{id}\"\n\
         deliver_to = [{{ sink = \"disk\", file = \"{file}\" }}]\n{LIFETIME}"
    )
}

fn first(config: &Config) -> &FileTarget {
    config.connections[0].deliveries[0].to.of_kind().unwrap()
}

#[test]
fn a_file_has_its_defaults_and_all_its_keys() {
    let config = accepted(&delivering("{ sink = \"disk\", file = \"one.token\" }"), &[]);
    let file = first(&config);
    assert_eq!(file.format, Format::Raw);
    assert_eq!((file.mode, file.shared, file.overwrite), (None, false, false));
    assert_eq!((&file.owner, &file.group, &file.payload), (&None, &None, &None));

    let config = accepted(
        &delivering(
            "{ sink = \"disk\", file = \"team/one.env\", format = \"env\", mode = \"0644\", \
             shared = true, owner = \"root\", group = \"33\", \
             overwrite = true, payload = { SCIM_TOKEN = \"{{ token }}\" } }",
        ),
        &[],
    );
    let file = first(&config);
    assert_eq!(file.file.to_str(), Some("team/one.env"));
    assert_eq!((file.format, file.mode, file.shared), (Format::Env, Some(0o644), true));
    assert!(file.overwrite);
    assert_eq!(file.owner.as_deref(), Some("root"));
    assert_eq!(file.group.as_deref(), Some("33"));
    assert_eq!(file.payload.as_ref().unwrap().source()["SCIM_TOKEN"], "{{ token }}");
}

#[test]
fn file_names_stay_below_the_folder() {
    for (bad, words) in [
        ("/etc/passwd", "`file` must be below the sink's `directory`, not an absolute path"),
        ("../x", "`file` must not lead out of the sink's `directory`"),
        ("a/../../x", "`file` must not lead out of the sink's `directory`"),
        ("a//b", "`file` must not hold empty parts or `.`"),
        ("a/", "`file` must not hold empty parts or `.`"),
        ("./a", "`file` must not hold empty parts or `.`"),
        ("a\\nb", "`file` must not hold control characters"),
        (&"x".repeat(201), "`file` has a part of more than 200 bytes"),
        (
            "t/.one.scimitar.json",
            "`file` is a name that Scimitar reserves for its own file beside a token",
        ),
    ] {
        refused(
            &delivering(&format!("{{ sink = \"disk\", file = «\"{bad}\" }}")),
            words,
            "write a name such as \"team/initech.token\"",
        );
    }
    refused(
        &delivering("«{ sink = \"disk\" }"),
        "`file` is missing in `deliver_to`",
        "write file = \"initech.token\"",
    );
    refused(
        &delivering("{ sink = \"disk\", file = \"a\", «fromat = \"json\" }"),
        "unknown key `fromat` in `deliver_to`",
        "did you mean `format`?",
    );
}

#[test]
fn modes_let_nobody_in_unless_it_is_meant() {
    let octal = "write it as text in octal, such as mode = \"0600\" or \"0640\"";
    for (bad, words, hint) in [
        ("600", "`mode` is not a file mode", octal),
        ("\"0999\"", "`mode` is not a file mode", octal),
        ("\"rw\"", "`mode` is not a file mode", octal),
        ("\"4600\"", "`mode` must not set setuid, setgid or the sticky bit", octal),
        ("\"0700\"", "`mode` must not make a token executable", octal),
        (
            "\"0040\"",
            "`mode` must let the owner read the file",
            "Scimitar reads the file back to check what is delivered",
        ),
        ("\"0602\"", "`mode` must not let every user write the token", octal),
        (
            "\"0644\"",
            "`mode` lets every user read the token",
            "clear the last digit (\"0640\" and a group), or set shared = true if this is \
             intended",
        ),
    ] {
        refused(
            &delivering(&format!("{{ sink = \"disk\", file = \"a\", mode = «{bad} }}")),
            words,
            hint,
        );
    }
}

#[test]
fn payloads_are_checked_where_they_stand() {
    let with = |format: &str, payload: &str| {
        delivering(&format!(
            "{{ sink = \"disk\", file = \"a\", format = \"{format}\", {payload} }}"
        ))
    };
    refused(
        &with("raw", "«payload = { A = \"{{ token }}\" }"),
        "`payload` needs keys, and `format = \"raw\"` has none",
        "write format = \"json\" or format = \"env\" beside it",
    );
    refused(
        &with("env", "payload = { «\"a-b\" = \"{{ token }}\" }"),
        "`a-b` cannot be the name of a variable",
        "use letters, digits and `_`, not beginning with a digit",
    );
    refused(
        &with("json", "payload = «{}"),
        "`payload` is empty: nothing would be delivered",
        "write payload = { SCIM_TOKEN = \"{{ token }}\" }, or leave it out",
    );
    // The templates' own rules, and their words, are the sink's; the place is ours.
    let bench = Bench::new();
    for (payload, at) in [
        ("payload = { A = \"{{ token }}\", B = «\"{{ tokn }}\" }", "tokn"),
        ("payload = { A = «\"{{ token\" }", ""),
        ("payload = «{ A = \"{{ token_id }}\" }", "token"),
    ] {
        let (text, line, column) = super::support::unmarked(&with("json", payload));
        let problems = bench.problems(&text);
        let place = format!("scimitar.toml:{line}:{column}: `payload`: ");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&place), "{problems:?} {place}");
        assert!(problems[0].contains(at), "{problems:?}");
    }
}

/// What is accepted here must never be refused later, by the sink itself.
#[test]
fn the_sink_accepts_what_the_configuration_does() {
    let bench = Bench::new();
    let long = "x".repeat(200);
    let mut accepted = 0;
    for file in
        ["a", ".a", "é/b", "a b", "..a", "a.scimitar.json", "t/.scimitar", &long, "a\"b", "'"]
    {
        for (format, payload) in
            [("raw", ""), ("json", ", payload = { a = \"{{ token }}\" }"), ("env", "")]
        {
            for mode in ["0400", "0600", "0664", "0660"] {
                let text = delivering(&format!(
                    "{{ sink = \"disk\", file = {file:?}, format = \"{format}\", mode = \"{mode}\", \
                     shared = true, owner = \"me@example.com\"{payload} }}"
                ));
                let config = bench.load(&text).unwrap_or_else(|problems| panic!("{problems}"));
                let sink = &config.connections[0].deliveries[0].sink;
                FileSink::try_new(sink, &bench.path("tokens"), first(&config).clone()).unwrap();
                accepted += 1;
            }
        }
    }
    assert_eq!(accepted, 120);
}

#[test]
fn no_two_deliveries_go_to_one_place() {
    refused(
        &delivering(
            "{ sink = \"disk\", file = \"a\" }, «{ sink = \"disk\", file = \"a\", format = \
             \"json\" }",
        ),
        "two deliveries go to one place: tokens/a",
        "the first is at scimitar.toml:13:15; give each its own file",
    );
}

#[test]
fn one_mistake_of_a_delivery_hides_no_other() {
    let bench = Bench::new();
    let text = delivering(
        "{ sink = \"disk\", file = \"a\", mode = \"0999\" }, { sink = \"disk\", file = \"a\", foo = 1 }",
    );
    let problems = bench.problems(&text);
    let words =
        ["`mode` is not a file mode", "two deliveries go to one place", "unknown key `foo`"];
    assert_eq!(problems.len(), words.len(), "{problems:?}");
    for word in words {
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
    }
}

#[test]
fn two_names_of_one_folder_are_one_place() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("tokens")).unwrap();
    symlink("tokens", bench.path("link")).unwrap();
    let text = format!(
        "{HEAD}[sinks.other]\ntype = \"file\"\ndirectory = \"link\"\n{CONNECTION}{LIFETIME}"
    )
    .replace("file = \"one.token\" }", "file = \"t/a\" }, «{ sink = \"other\", file = \"t/a\" }");
    refused_in(
        &bench,
        &text,
        "two deliveries go to one place: link/t/a",
        "the first is at scimitar.toml:16:15; give each its own file",
    );
}

#[test]
fn no_delivery_overwrites_what_is_ours() {
    let text = delivering("«{ sink = \"disk\", file = \"ledger.db\" }")
        .replace("sqlite://ledger.db", "sqlite://tokens/ledger.db");
    refused(
        &text,
        "a delivery would overwrite the ledger: tokens/ledger.db",
        "give it a file of its own",
    );
}

#[test]
fn the_same_twice_is_refused() {
    let one = format!("{HEAD}{CONNECTION}{LIFETIME}");
    refused(
        &format!("{one}{}", second("«\"one\"", "con_waad000000000001", "two.token")),
        "the connection name `one` is used twice",
        "first at scimitar.toml:10:8; names are the labels in metrics and results",
    );
    refused(
        &format!("{one}{}", second("«\"two\"", "con_okta000000000001", "two.token")),
        "the connection con_okta000000000001 of sandbox:box is configured twice",
        "first at scimitar.toml:10:8; keep one of the two",
    );
}

#[test]
fn one_tenant_by_two_providers_is_one_tenant() {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    let provider = |name: &str, domain: &str| {
        format!(
            "[providers.{name}]\ntype = \"auth0\"\ndomain = \"{domain}\"\nclient_id = \"c\"\n\
             client_secret = {{ env = \"S\" }}\n"
        )
    };
    let providers = provider("a", "acme.auth0.com") + &provider("b", "ACME.auth0.com");
    let text = format!("{HEAD}{providers}{CONNECTION}{LIFETIME}")
        .replace("\"box\"\nconn", "\"a\"\nconn")
        + &second("«\"two\"", "con_okta000000000001", "two.token").replace("\"box\"", "\"b\"");
    refused_in(
        &bench,
        &text,
        "the connection con_okta000000000001 of acme.auth0.com is configured twice",
        "first at scimitar.toml:20:8; keep one of the two",
    );
    let config = bench.load(&providers).unwrap();
    let warnings: Vec<_> = config.warnings.iter().map(|w| bench.line(w)).collect();
    assert!(!warnings.iter().any(|line| line.contains("the same tenant")), "{warnings:?}");
}

#[test]
fn a_custom_domain_is_the_tenant_of_its_audience() {
    let mut bench = Bench::new();
    bench.env.insert("S".to_owned(), "s".to_owned());
    let provider = |name: &str, domain: &str, more: &str| {
        format!(
            "[providers.{name}]\ntype = \"auth0\"\ndomain = \"{domain}\"\nclient_id = \"c\"\n\
             client_secret = {{ env = \"S\" }}\n{more}"
        )
    };
    let audience = "audience = \"https://acme.eu.auth0.com/api/v2/\"\n";
    let canonical = provider("a", "acme.eu.auth0.com", "share = \"20%\"\n");
    let limit = "rate_limit = { per_second = 4, burst = 8 }\n";
    let custom = provider("b", "login.acme.com", &format!("{audience}{limit}"));
    let both = canonical + &custom;
    // One connection in both is one connection.
    let text = format!("{HEAD}{both}{CONNECTION}{LIFETIME}")
        .replace("\"box\"\nconn", "\"a\"\nconn")
        + &second("«\"two\"", "con_okta000000000001", "two.token").replace("\"box\"", "\"b\"");
    refused_in(
        &bench,
        &text,
        "the connection con_okta000000000001 of acme.eu.auth0.com is configured twice",
        "first at scimitar.toml:23:8; keep one of the two",
    );
    // They have one budget: one limit, one share.
    let config = bench.load(&both).unwrap();
    let providers: Vec<_> = config.providers.values().collect();
    assert_eq!(providers[0].tenant(), providers[1].tenant());
    assert_eq!(providers[0].tenant().as_str(), "acme.eu.auth0.com");
    for provider in &providers {
        let pace = provider.pace();
        assert!((pace.share.get() - 0.2).abs() < 1e-9, "{provider:?}");
        assert_eq!(pace.limit.map(|limit| limit.burst), Some(8), "{provider:?}");
    }
    let warnings: Vec<_> = config.warnings.iter().map(|w| bench.line(w)).collect();
    let told = warnings.iter().filter(|line| line.contains("are the same tenant")).count();
    assert_eq!(told, 2, "{warnings:?}");
    // Records may be under the custom domain, and the other way round there is none to look for.
    let former = |name: &str| config.providers.iter().find(|it| it.0.as_str() == name).unwrap().1;
    let former = |name: &str| former(name).former_tenant().map(|tenant| tenant.to_string());
    assert_eq!((former("a"), former("b").as_deref()), (None, Some("login.acme.com")));
    // Of an audience of another form nothing is concluded.
    let odd = provider("c", "login.acme.com", "audience = \"https://acme.eu.auth0.com/api/\"\n");
    let config = bench.load(&odd).unwrap();
    let tenant = config.providers.values().next().unwrap().tenant().clone();
    assert_eq!(tenant.as_str(), "login.acme.com");
}

#[test]
fn a_connection_without_a_sink_is_refused() {
    refused(
        &format!("{HEAD}{CONNECTION}{LIFETIME}")
            .replace("[{ sink = \"disk\", file = \"one.token\" }]", "«[]"),
        "`deliver_to` is empty: a connection needs at least one sink that can be read back",
        "write deliver_to = [{ sink = \"disk\", file = \"initech.token\" }]",
    );
}

#[test]
fn included_files_are_read_once_in_order_with_own_positions() {
    let bench = Bench::new();
    bench.write("d/20.toml", second("\"b\"", "con_b000000000000001", "b"));
    bench.write("d/10.toml", second("\"a\"", "con_a000000000000001", "a"));
    bench.write("d/.hidden.toml", "nonsense");
    bench.write("d/readme.txt", "nonsense");
    let head = format!("include = [\"d/*.toml\", \"d/10.toml\", \"none/*.toml\"]\n{HEAD}");
    let config = bench.load(&head).unwrap();
    let names: Vec<_> = config.connections.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);

    bench.write("d/30.toml", "[[connections]]\nname = \"a\"\n[engine]\n[[discover]]\n");
    bench.write("d/40.toml", "= 1\n");
    bench.write("d/50.toml", b"a\n\xff");
    let problems = bench.problems(&head);
    let words: Vec<_> = problems.iter().map(|line| line.split(" | ").next().unwrap()).collect();
    assert_eq!(
        words,
        [
            "scimitar.toml:1:12: the included d/50.toml cannot be read: it is not UTF-8 text \
             (line 2, column 1)",
            "d/30.toml:1:1: `provider` is missing in [[connections]]",
            "d/30.toml:1:1: `connection_id` is missing in [[connections]]",
            "d/30.toml:1:1: `deliver_to` is missing: a connection needs at least one sink that can \
             be read back",
            "d/30.toml:2:8: the connection name `a` is used twice",
            "d/30.toml:3:2: unknown key `engine`",
            "d/30.toml:4:1: `provider` is missing in [[discover]]",
            "d/30.toml:4:1: `deliver_to` is missing: a connection needs at least one sink that can \
             be read back",
            "d/40.toml:1:1: this is not TOML: unquoted keys cannot be empty, expected letters, \
             numbers, `-`, `_`",
        ]
    );
    assert!(
        problems[5].ends_with("the keys here are: connections, discover, watch"),
        "{problems:?}"
    );
}

#[test]
fn files_that_change_have_another_digest_than_what_is_loaded() {
    let bench = Bench::new();
    bench.write("d/10.toml", second("\"a\"", "con_a000000000000001", "a"));
    let head = format!("include = [\"d/*.toml\"]\n{HEAD}");
    let config = bench.load(&head).unwrap();
    let now = || scimitar::config::digest(&bench.path("scimitar.toml"));
    assert_eq!(now().as_ref(), Some(&config.sha256));
    // Another file, a change in one, one that is not even TOML, and none.
    bench.write("d/20.toml", second("\"b\"", "con_b000000000000001", "b"));
    assert!(now().is_some_and(|found| found != config.sha256));
    std::fs::remove_file(bench.path("d/20.toml")).unwrap();
    assert_eq!(now().as_ref(), Some(&config.sha256));
    bench.write("d/10.toml", second("\"a\"", "con_a000000000000001", "c"));
    assert!(now().is_some_and(|found| found != config.sha256));
    bench.write("scimitar.toml", "= 1");
    assert!(now().is_some_and(|found| found != config.sha256));
    std::fs::remove_file(bench.path("scimitar.toml")).unwrap();
    assert_eq!(now(), None);
}

#[test]
fn include_paths_must_exist_and_patterns_stand_last() {
    refused(
        "include = [«\"missing.toml\"]\n",
        "the included missing.toml cannot be read: No such file or directory",
        "a path without * or ? must exist; every match must be readable",
    );
    refused(
        "include = [«\"*/a.toml\"]\n",
        "`include` pattern \"*/a.toml\" is not valid",
        "* and ? are allowed only in the last part of a path",
    );
}

#[test]
fn a_configuration_that_cannot_be_read_has_no_place() {
    let bench = Bench::new();
    let problems = scimitar::config::load(&bench.path("missing.toml"), &bench.env).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| bench.line(problem)).collect();
    assert_eq!(
        lines,
        [
            "missing.toml: the configuration cannot be read: No such file or directory | name another file \
             with --config or $SCIMITAR_CONFIG. To write the first one, copy config.example.toml there (the \
             packages have it as /usr/share/doc/scimitar/examples/scimitar.toml), edit it, and run \
             `scimitar check`"
        ]
    );
    let path = bench.write("bad.toml", b"a = 1\nb = \"\xff\"\n");
    let problems = scimitar::config::load(&path, &bench.env).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| bench.line(problem)).collect();
    assert_eq!(lines, ["bad.toml:2:6: this is not UTF-8 text | save the file as UTF-8"]);
}

#[test]
fn files_of_replicas_are_warned_of_once() {
    let bench = Bench::new();
    let text = format!(
        "{HEAD}{CONNECTION}{LIFETIME}{}",
        second("\"two\"", "con_okta000000000002", "two.token")
    );
    let shared = text.replace("sqlite://ledger.db", "postgres://s@db.example.com/d");
    let config = bench.load(&shared).unwrap();
    let lines: Vec<String> = config.warnings.iter().map(|warning| bench.line(warning)).collect();
    let told: Vec<&String> =
        lines.iter().filter(|line| line.contains("only the replica that rotates")).collect();
    assert_eq!(told.len(), 1, "{lines:?}");
    assert!(told[0].contains("one.token, on its own machine | with several replicas"), "{told:?}");
    let config = bench.load(&text).unwrap();
    let line = |warning| bench.line(warning);
    assert!(!config.warnings.iter().map(line).any(|line| line.contains("replica")));
}
