//! Links, anchors and paths.

use std::path::Path;

use super::{documents, files, prose, text};

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut links = 0;
    for document in &documents() {
        let text = text::read(document);
        let folder = text::path(document).parent().unwrap().to_owned();
        for link in links_in(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            if file.starts_with("http") {
                continue;
            }
            links += 1;
            let target = if file.is_empty() { text::path(document) } else { folder.join(file) };
            assert!(target.exists(), "{document}: {link}");
            if !heading.is_empty() {
                let there = std::fs::read_to_string(&target).unwrap();
                let anchors = anchors(&there);
                assert!(anchors.iter().any(|anchor| anchor == heading), "{document}: {link}");
            }
        }
    }
    assert!(links > 200, "{links}");
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
                let path = path.split([':', ' ', '\n']).next().unwrap_or(path);
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

#[test]
fn anchors_are_those_of_git_hub_and_md_book() {
    let page = "# A `b` (c): d\n```sh\n# no heading\n```\n## Twice\n## Twice\n### [Linked](x.md)\n";
    assert_eq!(anchors(page), ["a-b-c-d", "twice", "twice-1", "linked"]);
    assert_eq!(links_in("[a](b.md#c) `[x](y)`\n```\n[z](q)\n```\n[d](#e)"), ["b.md#c", "#e"]);
}

/// Where the links outside of code lead.
fn links_in(document: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in prose(document) {
        // What stands between backquotes is no link; a link's own text may be in them.
        for part in line.split("](").skip(1) {
            links.extend(part.split(')').next());
        }
        let coded = line.split('`').skip(1).step_by(2).filter(|code| code.contains("]("));
        for code in coded {
            links.retain(|link| !code.contains(&format!("]({link})")));
        }
    }
    links
}

/// The headings as links name them; one that is there again is counted.
fn anchors(document: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in prose(document) {
        let Some((marks, heading)) = line.split_once(' ') else { continue };
        if marks.is_empty() || !marks.bytes().all(|byte| byte == b'#') {
            continue;
        }
        let shown = match (heading.strip_prefix('['), heading.split_once("](")) {
            (Some(_), Some((text, _))) => text,
            _ => heading,
        };
        let kept = shown.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let again = anchors.iter().filter(|known| {
            known.strip_prefix(&anchor).is_some_and(|rest| {
                rest.is_empty() || rest.trim_start_matches('-').parse::<u32>().is_ok()
            })
        });
        let again = again.count();
        anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
    }
    anchors
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn spelled_out(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (inside, after) = rest.split_once('}').unwrap();
    inside.split(',').map(|part| format!("{before}{part}{after}")).collect()
}
