//! No circles between files: whoever reads one reads what it stands on, and is not led back. A folder's
//! `mod.rs` and the files in it may know each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::modules;

type Module = Vec<String>;
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// The module that a file is: `src/sink/mod.rs` is `sink`.
fn module_of(path: &Path) -> Module {
    let mut parts: Module = path
        .with_extension("")
        .iter()
        .skip(1)
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    parts.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    parts
}

/// The paths of a `use` tree, with what stands before its braces.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, inside)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let (mut found, mut depth, mut part) = (Vec::new(), 0, String::new());
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 || (c == ',' && depth == 0) {
            found.extend(paths(&part).into_iter().map(|path| format!("{}{path}", before.trim())));
            part.clear();
        } else {
            part.push(c);
        }
    }
    found
}

/// The modules that a module imports from, but those above and below it.
fn imported(module: &Module, code: &str, all: &BTreeSet<Module>) -> BTreeSet<Module> {
    let uses = code.split("use ").skip(1).filter_map(|rest| rest.split_once(';'));
    let paths = uses.flat_map(|(tree, _)| paths(&tree.replace('\n', " ")));
    let mut found = BTreeSet::new();
    for path in paths {
        let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
        let mut base = match parts.first() {
            Some(&"crate") => Vec::new(),
            Some(&("self" | "super")) => module.clone(),
            _ => continue,
        };
        while let Some(&first @ ("crate" | "self" | "super")) = parts.first() {
            if first == "super" {
                base.pop();
            }
            parts.remove(0);
        }
        base.extend(parts.into_iter().map(str::to_owned));
        while !base.is_empty() && !all.contains(&base) {
            base.pop();
        }
        if !base.is_empty() && !base.starts_with(module) && !module.starts_with(&base) {
            found.insert(base);
        }
    }
    found
}

/// All that can be reached from a module.
fn reached<'a>(imports: &'a Imports, from: &'a Module) -> BTreeSet<&'a Module> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(module) = next.pop() {
        for other in imports.get(module).into_iter().flatten() {
            if found.insert(other) {
                next.push(other);
            }
        }
    }
    found
}

fn circles(imports: &Imports) -> BTreeSet<String> {
    let back = |module: &Module| reached(imports, module).contains(module);
    imports.keys().filter(|module| back(module)).map(|module| module.join("/")).collect()
}

#[test]
fn a_circle_is_found() {
    let module = |name: &str| name.split('/').map(str::to_owned).collect::<Module>();
    let sources = [
        ("a", "use crate::b::{c::X, d};"),
        ("b", "use self::c::X; use self::d::Y;"),
        ("b/c", "use super::d::Y;\nuse crate::e;"),
        ("b/d", ""),
        ("e", "use crate::{\n    b::{\n        d,\n    },\n    a::Z as W,\n};"),
    ];
    let all = sources.iter().map(|(name, _)| module(name)).collect();
    let imports = sources
        .iter()
        .map(|(name, code)| (module(name), imported(&module(name), code, &all)))
        .collect();
    assert_eq!(circles(&imports), ["a", "b/c", "e"].map(str::to_owned).into());
}

#[test]
fn no_file_is_led_back_to_by_what_it_imports() {
    let modules = modules();
    let all = modules.iter().map(|(_, path, _)| module_of(path)).collect();
    let imports: Imports = modules
        .iter()
        .map(|(_, path, code)| (module_of(path), imported(&module_of(path), code, &all)))
        .collect();
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 500, "imports were found");
    assert_eq!(circles(&imports), BTreeSet::new());
}
