//! The README's tables against the binary, the example configuration and the sources.

use std::{collections::BTreeSet, path::Path, process::Command};

use super::text;

#[test]
fn every_command_and_flag_is_in_the_table_and_vice_versa() {
    let top = help(&[]);
    let (_, listed) = top.split_once("\nCommands:\n").unwrap();
    let (listed, _) = listed.split_once("\n\n").unwrap();
    let commands: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    let mut flags = words(&top, "--");
    for command in &commands {
        flags.extend(words(&help(&[command]), "--"));
    }
    flags.extend(words(&help(&[&"audit", &"verify"]), "--"));
    flags.retain(|flag| !["--help", "--version"].contains(&flag.as_str()));

    let document = text::read("README.md");
    let rows = text::rows(text::section(&document, "## Commands"));
    let shown: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| text::quoted(row[0], "scimitar "))
        .filter_map(|usage| usage.split_whitespace().nth(1))
        .filter(|word| !word.starts_with("--"))
        .collect();
    assert_eq!(shown, commands);
    let told: BTreeSet<String> = rows.iter().flat_map(|row| words(&row.join(" "), "--")).collect();
    assert_eq!(told, flags);
}

#[test]
fn every_key_is_in_the_table_and_the_other_way_round() {
    let document = text::read("README.md");
    let rows = text::rows(text::section(&document, "## Configuration"));
    let told: BTreeSet<String> =
        rows.iter().flat_map(|row| text::quoted(row[0], "")).map(str::to_owned).collect();
    let keys = keys(&text::read("config.example.toml"));
    assert!(keys.contains("connections.overlap") && keys.contains("include"), "{keys:?}");
    assert_eq!(told, keys);
}

#[test]
fn every_metric_is_listed_and_every_listed_one_is_in_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, text::read("config.example.toml")).unwrap();
    let ended = scimitar().arg("--config").arg(&config).arg("--rotate-now").output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let written =
        std::fs::read_to_string(folder.path().join("example-data/scimitar.prom")).unwrap();
    let written: BTreeSet<&str> = written
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| name.starts_with("scimitar_"))
        .collect();

    let document = text::read("README.md");
    let told: BTreeSet<&str> = text::rows(text::section(&document, "## Metrics"))
        .iter()
        .flat_map(|row| text::quoted(row[0], "scimitar_"))
        .map(|name| name.split('{').next().unwrap_or(name))
        .collect();
    let missing: Vec<_> = written.difference(&told).collect();
    assert_eq!(missing, [&""; 0]);
    let sources: String = ["", "/records", "/scrape", "/totals"]
        .map(|file| text::read(&format!("src/telemetry/metrics{file}.rs")))
        .concat();
    let unknown: Vec<_> =
        told.iter().filter(|name| !sources.contains(&format!("\"{name}\""))).collect();
    assert_eq!(unknown, [&""; 0]);
}

/// The names of metrics in the first column of a document's tables.
fn metrics_in_tables(document: &str) -> BTreeSet<String> {
    let rows = document.lines().filter(|line| line.starts_with("| `scimitar_"));
    rows.filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| text::quoted(cell, "scimitar_"))
        .map(|name| name.split('{').next().unwrap_or(name).to_owned())
        .collect()
}

#[test]
fn the_monitoring_page_explains_the_metrics_of_the_readme() {
    let page = metrics_in_tables(&text::read("docs/monitoring.md"));
    assert!(page.len() > 35, "{page:?}");
    assert_eq!(page, metrics_in_tables(&text::read("README.md")));
}

#[test]
fn the_least_time_between_two_rotations_is_told() {
    let floor = format!("{} min apart", scimitar::rotation::due::FLOOR.num_minutes());
    let readme = text::read("README.md");
    let row = readme.lines().find(|line| line.starts_with("| `connections.schedule` |")).unwrap();
    assert!(row.contains(&format!("at least {floor}")), "{row}");
    assert!(text::read("docs/protocol.md").contains(&format!("at least {floor}")));
}

#[test]
fn every_link_leads_to_a_file() {
    let mut links = 0;
    for document in &documents() {
        let text = text::read(document);
        let folder = text::path(document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("http") {
                continue;
            }
            links += 1;
            let target = if file.is_empty() { text::path(document) } else { folder.join(file) };
            assert!(target.exists(), "{document}: {link}");
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&target).unwrap();
                assert!(there.lines().any(|line| anchor(line) == heading), "{document}: {link}");
            }
        }
    }
    assert!(links > 5);
}

/// The files that the documents name are there: by their whole path, or by its end.
#[test]
fn every_path_that_is_named_exists() {
    let files = files();
    let mut named = 0;
    for document in &documents() {
        let text = text::read(document);
        for folder in ["src/", "tests/", "docs/", "systemd/", "container/", ".ci/", "packaging/"] {
            for path in text::quoted(&text, folder) {
                let path = path.split([':', ' ']).next().unwrap_or(path);
                if path.contains(['<', '…']) || path.contains("NAME") {
                    continue;
                }
                for path in spelled_out(path) {
                    assert!(text::path(&path).exists(), "{document} names {path}");
                    named += 1;
                }
            }
        }
        for source in text::quoted(&text, "").into_iter().filter(|word| word.ends_with(".rs")) {
            if source.contains(['<', ' ', '*', ':']) || source.contains("NAME") {
                continue;
            }
            for source in spelled_out(source) {
                let there = files.iter().any(|file| Path::new(file).ends_with(&source));
                assert!(there, "{document} names {source}");
                named += 1;
            }
        }
    }
    assert!(named > 100, "{named}");
}

/// What people read: the documents at the top and in docs/.
fn documents() -> Vec<String> {
    let mut documents: Vec<String> = files().into_iter().filter(|file| is_document(file)).collect();
    documents.sort();
    assert!(documents.contains(&"docs/architecture.md".to_owned()), "{documents:?}");
    documents
}

fn is_document(file: &str) -> bool {
    let folder = Path::new(file).parent().and_then(Path::to_str);
    file.ends_with(".md") && folder.is_some_and(|folder| folder.is_empty() || folder == "docs")
}

/// The files of the project, from its top.
fn files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![text::path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if ["target", ".git", "example-data"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(text::path("")).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn spelled_out(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (inside, after) = rest.split_once('}').unwrap();
    inside.split(',').map(|part| format!("{before}{part}{after}")).collect()
}

/// A heading as links name it.
fn anchor(line: &str) -> String {
    let Some((_, heading)) = line.split_once("# ") else { return String::new() };
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Every key of the example, live or shown in a comment, with the table that it stands in.
fn keys(example: &str) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let mut table = String::new();
    for line in example.lines() {
        let code = line.trim().trim_start_matches("# ").trim();
        if let Some(inside) = code.strip_prefix('[') {
            if inside.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') {
                let name = inside.trim_matches(['[', ']']);
                // A table inside a connection is told key by key.
                let inner = name.starts_with("connections.");
                keys.extend(inner.then(|| name.to_owned()));
                let outer = name.split('.').next().unwrap_or(name);
                table = if inner { name } else { outer }.to_owned();
            }
            continue;
        }
        // Elsewhere such a line begins with a secret's reference.
        if code.starts_with('{') && table != "connections" {
            continue;
        }
        for key in keys_of(code) {
            let name = if table.is_empty() { key } else { format!("{table}.{key}") };
            keys.insert(name);
        }
    }
    keys.retain(|key| !key.starts_with("defaults."));
    keys
}

/// The key of a line, and those of the tables in its value, behind their own key where that says
/// what they are.
fn keys_of(code: &str) -> Vec<String> {
    if code.starts_with('{') {
        let (code, payload) = code.split_once(" payload = ").unwrap_or((code, ""));
        let mut keys = inline(code);
        keys.extend((!payload.is_empty()).then(|| "payload".to_owned()));
        return keys.into_iter().map(|key| format!("deliver_to.{key}")).collect();
    }
    let Some((key, value)) = code.split_once(" = ") else { return Vec::new() };
    if !key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') || key == "key" {
        return Vec::new();
    }
    let nested =
        ["rate_limit", "http", "auth", "tls", "webhook"].contains(&key) && value.starts_with('{');
    let inside = if nested { inline(value) } else { Vec::new() };
    let inside = inside.into_iter().map(|inner| format!("{key}.{inner}"));
    std::iter::once(key.to_owned()).chain(inside).collect()
}

fn inline(table: &str) -> Vec<String> {
    let parts = table.trim_matches(['{', '}', ',', ' ']).split(", ");
    parts.filter_map(|part| part.split_once(" = ")).map(|(key, _)| key.trim().to_owned()).collect()
}

/// The words of a text that begin with `prefix`, without what clings to them.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split(|c: char| c.is_whitespace() || "[]`|<>=,:;.()".contains(c))
        .filter(|word| word.starts_with(prefix) && word.len() > prefix.len())
        .filter(|word| !word.trim_matches('-').is_empty())
        .map(str::to_owned)
        .collect()
}

fn help(command: &[&&str]) -> String {
    let mut process = scimitar();
    for word in command {
        process.arg(word);
    }
    let ended = process.arg("--help").output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8(ended.stdout).unwrap()
}

fn scimitar() -> Command {
    let mut process = Command::new(env!("CARGO_BIN_EXE_scimitar"));
    process.env_remove("SCIMITAR_CONFIG").env_remove("SCIMITAR_LOG");
    process
}
