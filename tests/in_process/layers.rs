//! The house stands as it is drawn: a floor imports only floors below it, the core does no I/O,
//! and nothing is left undone in the sources.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

mod circles;

/// From the ground up. Modules of one floor do not know each other.
const FLOORS: [&[&str]; 14] = [
    &["clock", "error", "pattern", "revision", "secret", "shared", "shown"],
    &["token", "words"],
    &["place"],
    // The core knows neither HTTP nor logs nor metrics; metrics are read from its records.
    &["rotation"],
    &["child", "http", "telemetry", "template"],
    &["control", "table"],
    &["aws_identity", "kind", "sandbox"],
    &["provider", "sink", "probe", "hook"],
    &["import", "ledger"],
    &["config", "engine"],
    &["app", "web"],
    &["cli"],
    &["commands"],
    &["main", "lib"],
];

/// What the core may use beside `std` and the floors below it: none of it does I/O.
const OF_THE_CORE: [&str; 7] =
    ["chrono", "chrono_tz", "cron", "serde", "thiserror", "humantime", "strsim"];

/// What the core must not touch, although it is in `std` or in a crate that it may use.
const EFFECTS: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
];

/// What only a kind of sink says, as the words of a name begin: each in its own folder.
const OF_SINKS: &str = "vault openbao hashicorp approle aws secretsmanager arn filesink filedelivery fileconfig \
    kubeconfig kubernetessink kubernetestarget kubernetesconfig handoffsink handofftarget \
    handoffconfig entrasink entratarget entraconfig execsink exectarget execconfig ssmsink \
    ssmtarget ssmconfig gcpsink gcptarget gcpconfig azuresink azuretarget azureconfig \
    oktasink oktatarget oktaconfig";

/// How lines begin that name kinds to have them in the build, and know nothing else of them.
const NAMES_KINDS: [&str; 2] = ["pub mod ", "#[cfg("];

/// Crates that are called so and have nothing to do with a sink: of the TLS stack, and of what is
/// filtered out of the logs.
const CRATES_CALLED_SO: [&str; 3] = ["aws_lc_rs", "aws_smithy_", "aws_config"];

/// Where a provider's clock is made from what was seen of it. Everybody else converts by one of these.
const MAKE_A_CLOCK: [&str; 8] = [
    "src/clock/provider.rs",
    "src/provider/auth0/answers.rs",
    "src/provider/http/mod.rs",
    "src/provider/newest.rs",
    "src/rotation/forecast",
    "src/rotation/observe.rs",
    "src/rotation/record.rs",
    "src/rotation/clocks.rs",
];

/// Where the time of a provider is read, written and shown as it is told, whatever clock that is by.
const READ_OR_SHOW_TIMES: [&str; 11] = [
    "src/clock.rs",
    "src/clock/provider.rs",
    "src/http/reply.rs",
    "src/ledger/format.rs",
    "src/provider",
    "src/rotation/due.rs",
    "src/rotation/hold.rs",
    // A date that a person wrote down, as the events of hooks hold it.
    "src/rotation/watch.rs",
    "src/telemetry/metrics",
    "src/web",
    "src/words.rs",
];

/// The longest file that can be read in one go.
const MOST_LINES: usize = 500;

/// Files that may be longer, each with the reason why it is not two files.
const LONGER: [(&str, &str); 0] = [];

/// The longest name of a test: it is read in a list of results, as a sentence.
const LONGEST_NAME: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder of the project, by its path there.
fn sources(folder: &str) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.insert(path.strip_prefix(root()).unwrap().to_owned(), text);
            }
        }
    }
    found
}

/// The files that are compiled for tests alone: `#[cfg(test)] mod NAME;`, and what is below them.
fn of_tests(sources: &BTreeMap<PathBuf, String>) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for (path, text) in sources {
        let folder = match path.file_stem().unwrap().to_str().unwrap() {
            "mod" | "lib" | "main" => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        for (at, attribute) in text.match_indices("#[cfg(test)]\n") {
            let line = text.get(at + attribute.len()..).unwrap().lines().next().unwrap_or_default();
            if let Some(name) = line.trim_end().strip_suffix(';') {
                found.insert(folder.join(name.rsplit(' ').next().unwrap()));
            }
        }
    }
    found
}

/// The modules of `src` without their tests and comments, by the floor's module.
fn modules() -> Vec<(String, PathBuf, String)> {
    let sources = sources("src");
    let tests = of_tests(&sources);
    let is_test = |path: &Path| tests.iter().any(|test| path.with_extension("").starts_with(test));
    sources
        .into_iter()
        .filter(|(path, _)| !is_test(path))
        .map(|(path, text)| {
            let tests = ["\n#[cfg(test)]\nmod tests", "\n#[cfg(test)]\npub(super) mod tests"];
            let end = tests.iter().filter_map(|tests| text.find(tests)).min();
            let code = text.get(..end.unwrap_or(text.len())).unwrap();
            let code: String = code
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .fold(String::new(), |code, line| code + line + "\n");
            let module = Path::new(path.iter().nth(1).unwrap()).with_extension("");
            (module.to_string_lossy().into_owned(), path, code)
        })
        .collect()
}

/// The first name of a path or of each path in braces: what `crate::` is followed by.
fn named(after: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(inside) = after.strip_prefix('{') else {
        return BTreeSet::from([word(after)]);
    };
    let mut names = BTreeSet::from([word(inside)]);
    let mut depth = 1;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                names.insert(word(inside.get(at + 1..).unwrap()));
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.remove("");
    names
}

fn imports(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .flat_map(|(at, found)| named(code.get(at + found.len()..).unwrap()))
        .collect()
}

fn floor_of(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|floor| floor.contains(&module))
        .unwrap_or_else(|| panic!("{module} stands on no floor: say where"))
}

#[test]
fn imports_in_braces_are_seen() {
    let code =
        "use crate::{\n    clock::{Clock, Timestamp},\n    error::chain,\n};\ncrate::sink::X";
    let expected = ["clock", "error", "sink"].map(str::to_owned);
    assert_eq!(imports(code), BTreeSet::from(expected));
}

#[test]
fn a_floor_imports_only_floors_below_it() {
    let modules = modules();
    assert!(modules.len() > 50, "the sources were found");
    for (module, path, code) in &modules {
        let own = floor_of(module);
        for other in imports(code).iter().filter(|other| *other != module) {
            assert!(floor_of(other) < own, "{}: {module} imports {other}", path.display());
        }
        // The way around: `super` of a top module is the crate.
        let is_top =
            path.iter().count() == 2 || path.ends_with("mod.rs") && path.iter().count() == 3;
        assert!(!is_top || !code.contains("super::"), "{}: super:: leaves it", path.display());
    }
}

/// Where a kind of provider may be named: in its folder, in the one list, and in the sandbox, which
/// behaves as two of them.
const OF_THE_KINDS: [&str; 5] = [
    "src/provider/auth0",
    "src/provider/dbt_cloud",
    "src/provider/sandbox",
    "src/provider/mod.rs",
    "src/sandbox",
];

/// What gives a kind away. Stand-ins of values and ids are tried on templates of payloads.
const WORDS_OF_KINDS: [&str; 5] = ["auth0", "dbt cloud", "dbt_", "dbtcloud", "con_"];
const SAMPLES: &str = "src/sink/payload/template.rs";

#[test]
fn no_kind_of_provider_is_named_outside_its_folder() {
    for (_, path, code) in modules() {
        if OF_THE_KINDS.iter().any(|place| path.starts_with(place)) || path.ends_with(SAMPLES) {
            continue;
        }
        let code = code.to_lowercase();
        for word in WORDS_OF_KINDS {
            let line = code.lines().find(|line| names(line, word));
            assert!(line.is_none(), "{} knows {word}: {}", path.display(), line.unwrap());
        }
    }
}

/// Whether a line holds a word that no longer word ends in.
fn names(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).unwrap().chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// What gives away that a line is about providers that are declared in TOML. `http` itself is a word of
/// everybody; `issuer` is also one of certificates and of a tenant's log-in.
const OF_DECLARED: [&str; 6] = [
    "mod http;",
    "http::kind",
    "provider::http",
    "scopewords::declared",
    "type = \"http\"",
    "issuer",
];
const OTHER_ISSUERS: [&str; 2] = ["src/sandbox", "src/http"];

/// A provider of another kind costs its folder and next to nothing elsewhere. This is the kind that the
/// claim was tried on.
#[test]
fn a_kind_of_provider_costs_eleven_lines_outside_its_folder() {
    let mut lines = Vec::new();
    for (_, path, code) in modules() {
        let other = OTHER_ISSUERS.iter().any(|place| path.starts_with(place));
        if other || path.starts_with("src/provider/http") {
            continue;
        }
        // A module of the crate or of a table is called so as well.
        let of_providers = path.starts_with("src/provider");
        let is_meant = |line: &&str| {
            let line = line.to_lowercase();
            OF_DECLARED
                .iter()
                .any(|word| line.contains(word) && (of_providers || *word != "mod http;"))
        };
        lines.extend(
            code.lines().filter(is_meant).map(|line| format!("{}: {line}", path.display())),
        );
    }
    assert!((2..=11).contains(&lines.len()), "{lines:#?}");
}

#[test]
fn every_floor_is_there() {
    let there: BTreeSet<String> = modules().into_iter().map(|(module, _, _)| module).collect();
    let drawn: BTreeSet<String> = FLOORS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(there, drawn);
}

#[test]
fn the_core_does_no_io_and_reads_no_clock() {
    let manifest: toml::Table =
        fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let forbidden: Vec<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .map(|name| name.replace('-', "_"))
        .filter(|name| !OF_THE_CORE.contains(&name.as_str()))
        .collect();
    assert!(forbidden.iter().any(|name| name == "tokio"));
    let core = modules().into_iter().filter(|(module, _, _)| module == "rotation");
    for (_, path, code) in core {
        for name in &forbidden {
            let used = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = code.get(..at).unwrap().chars().next_back();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            });
            assert!(!used, "{}: the core uses {name}", path.display());
        }
        for effect in EFFECTS {
            assert!(!code.contains(effect), "{}: the core touches {effect}", path.display());
        }
    }
}

/// The types keep the two clocks apart; these are the ways around them.
#[test]
fn the_two_clocks_meet_only_where_it_is_said() {
    let code = modules().into_iter().filter(|(_, path, _)| !path.ends_with("rotation/fixture.rs"));
    for (_, path, code) in code {
        let is_of = |places: &[&str]| {
            places
                .iter()
                .any(|place| path.starts_with(place) || path.with_extension("").starts_with(place))
        };
        let makes = code.contains("ProviderClock::");
        assert!(!makes || is_of(&MAKE_A_CLOCK), "{}: makes a clock", path.display());
        let tells = [".as_told(", "Told::as_told", "ProviderTime::told"]
            .iter()
            .any(|word| code.contains(word));
        assert!(!tells || is_of(&READ_OR_SHOW_TIMES), "{}: takes a bare time", path.display());
    }
}

/// A new kind of sink is a folder and a line: nothing else knows one by name.
#[test]
fn no_word_of_a_sink_is_outside_its_folder_and_the_list() {
    let sinks = root().join("src/sink");
    let is_kind = |path: &Path| {
        let folder = path.strip_prefix("src/sink").ok().and_then(|path| path.iter().next());
        folder.is_some_and(|folder| sinks.join(folder).join("config.rs").is_file())
    };
    let is_meant = |path: &Path| {
        is_kind(path)
            || path.starts_with("src/aws_identity")
            || path == Path::new("src/sink/kinds.rs")
    };
    let mut seen = 0;
    for (_, path, code) in modules().into_iter().filter(|(_, path, _)| !is_meant(path)) {
        for line in code.lines().filter(|line| !NAMES_KINDS.iter().any(|way| line.starts_with(way)))
        {
            let names = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for name in names.map(str::to_ascii_lowercase) {
                seen += 1;
                let other = CRATES_CALLED_SO.iter().any(|of_crate| name.starts_with(of_crate));
                let says = |word: &str| OF_SINKS.split(' ').any(|own| word.starts_with(own));
                assert!(other || !name.split('_').any(says), "{}: {line}", path.display());
            }
        }
    }
    assert!(seen > 10_000, "the sources were read");
}

#[test]
fn nothing_is_left_undone_and_no_file_is_too_long() {
    // Spelt apart, so that this file is not found.
    let marks = ["to", "unimple", "#[ig", "TO", "FIX"]
        .into_iter()
        .zip(["do!", "mented!", "nore", "DO", "ME"])
        .map(|(one, other)| format!("{one}{other}"));
    let marks: Vec<String> = marks.collect();
    for folder in ["src", "tests", "benches"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            let excepted = LONGER.iter().any(|(longer, _)| path == Path::new(longer));
            assert!(lines <= MOST_LINES || excepted, "{}: {lines} lines", path.display());
            for mark in &marks {
                assert!(!text.contains(mark.as_str()), "{}: {mark}", path.display());
            }
        }
    }
}

#[test]
fn every_file_with_an_exception_is_longer_and_has_a_reason() {
    for (path, reason) in LONGER {
        let text = fs::read_to_string(root().join(path)).unwrap();
        assert!(text.lines().count() > MOST_LINES, "{path} no longer needs its exception");
        assert!(!reason.is_empty(), "{path}: why is it one file?");
    }
}

/// The names of the test functions in a source: those under an attribute that ends in `test`.
fn tests_in(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if let Some(attribute) = line.strip_prefix("#[") {
            let path = attribute.split(['(', ']', ' ']).next().unwrap_or_default();
            is_test |= path.rsplit("::").next() == Some("test");
        } else if let Some((_, named)) = line.split_once("fn ") {
            let name = named.split(['(', '<']).next().unwrap_or_default();
            names.extend(is_test.then_some(name));
            is_test = false;
        }
    }
    names
}

#[test]
fn test_functions_are_found_under_their_attributes() {
    let source = "#[test]\n#[cfg(unix)]\nfn one() {}\nfn helper() {}\n\
        #[tokio::test(flavor = \"x\")]\nasync fn two() {}\n#[cfg(test)]\nfn three() {}\n";
    assert_eq!(tests_in(source), ["one", "two"]);
}

#[test]
fn names_of_tests_can_be_read_as_sentences() {
    for (folder, least) in [("tests", 500), ("src", 300)] {
        let sources = sources(folder);
        let named: Vec<_> = sources
            .iter()
            .flat_map(|(path, text)| tests_in(text).into_iter().map(move |name| (path, name)))
            .collect();
        assert!(named.len() > least, "the tests of {folder} were found: {}", named.len());
        for (path, name) in named {
            assert!(name.len() <= LONGEST_NAME, "{}: {name}: {}", path.display(), name.len());
        }
    }
}

/// A file that is compiled in two places is two modules, which nobody sees in its path.
#[test]
fn every_module_is_where_its_name_says() {
    // Spelt apart, so that this file is not found.
    let attribute = format!("#[{} = ", "path");
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            assert!(!text.contains(&attribute), "{}", path.display());
        }
    }
}

/// A unit test would see each type of the library twice: as its own, and as the one that the crate
/// of the tests was compiled with.
#[test]
fn unit_tests_do_without_the_crate_of_the_tests() {
    for (path, text) in sources("src") {
        assert!(!text.contains("scimitar_test_support"), "{}", path.display());
    }
}
