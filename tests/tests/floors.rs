//! The floors of the house: which crate may import which, where `std`, `unsafe` and the runtime may be named, what files
//! may be called, what may stand at the top level, and that every dependency has a written reason.
//!
//! Invariants: each rule is a pure function from text to a list of complaints, so that a test can show on sample text that
//! it fires; `the_house_keeps_its_floors` applies all of them to the repository. A complaint says where, what and why.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Our crates from the bottom up: name, folder, and the other crates of ours that it may import.
const FLOORS: &[(&str, &str, &[&str])] = &[
    ("corelog-wire-derive", "wire/derive", &[]),
    ("corelog-wire", "wire", &["corelog-wire-derive"]),
    ("corelog-replication", "replication", &["corelog-wire"]),
    ("corelog-client", "tools/client", &["corelog-wire"]),
    ("corelog-shard", "engine/shard", &["corelog-wire", "corelog-replication"]),
    ("corelog-engine", "engine", &["corelog-wire", "corelog-replication", "corelog-shard"]),
    ("corelog-perf", "perf", &["corelog-client", "corelog-engine"]),
    ("corelog-peers", "perf/peers", &["corelog-client", "corelog-engine", "corelog-perf"]),
    (
        "corelog",
        "tools",
        &["corelog-wire", "corelog-replication", "corelog-client", "corelog-shard", "corelog-engine", "corelog-perf"],
    ),
    (
        "corelog-tests",
        "tests",
        &[
            "corelog-wire",
            "corelog-replication",
            "corelog-client",
            "corelog-shard",
            "corelog-engine",
            "corelog-perf",
            "corelog",
        ],
    ),
];

/// Crates that decide and do nothing: no clock, thread, file, socket or random source may come in through a dependency.
const PURE: &[&str] = &["corelog-wire", "corelog-replication", "corelog-shard"];

/// Dependencies by which effects would come into a pure crate.
const EFFECTS: &[&str] =
    &["clap", "core_affinity", "glommio", "io-uring", "libc", "mimalloc", "nix", "rand", "tokio", "tracing"];

/// Folders of the pure crates' sources.
const PURE_SOURCES: &[&str] = &["wire/src/", "replication/src/", "engine/shard/src/"];

/// Places that may name `std` in a pure crate.
const STD_ALLOWED: &[&str] = &["wire/src/compression/", "wire/src/compression.rs"];

/// Places that may say `unsafe`: the two rooms of the broker, and a test whose counting allocator cannot do without.
const UNSAFE_ALLOWED: &[&str] =
    &["wire/src/buffer.rs", "wire/src/buffer/", "engine/src/runtime/", "wire/tests/allocations.rs"];

/// The only place that may know the runtime.
const RUNTIME: &[&str] = &["engine/src/runtime/", "engine/src/runtime.rs"];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "manager", "impl"];

/// The top level, beside dot-files and what git ignores.
const TOP_LEVEL: &[&str] = &[
    "engine",
    "wire",
    "replication",
    "tools",
    "perf",
    "tests",
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "Linux-only.md",
    "CHANGELOG.md",
    "LICENSE",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "clippy.toml",
    "deny.toml",
];

/// What builds and runs leave at the top level; git ignores them.
const LEFT_BY_RUNS: &[&str] = &["target", "corelog-data"];

/// A crate of the workspace, as `cargo metadata` tells it.
struct Crate {
    name: String,
    folder: String,
    imports: Vec<String>,
}

fn import_complaints(crates: &[Crate]) -> Vec<String> {
    let mut complaints = Vec::new();
    let ours: BTreeSet<&str> = FLOORS.iter().map(|(name, ..)| *name).collect();
    for krate in crates {
        let Some((name, folder, may_import)) = FLOORS.iter().find(|(name, ..)| *name == krate.name) else {
            complaints.push(format!("{}: crate `{}` has no floor; give it one in floors.rs", krate.folder, krate.name));
            continue;
        };
        if krate.folder != *folder {
            complaints.push(format!("{}: crate `{name}` belongs in `{folder}`", krate.folder));
        }
        for import in &krate.imports {
            let import = import.as_str();
            if ours.contains(import) && import != *name && !may_import.contains(&import) {
                let allowed = if may_import.is_empty() { "none of ours".to_owned() } else { may_import.join(", ") };
                complaints.push(format!(
                    "{folder}/Cargo.toml: `{name}` imports `{import}`; imports only go down, it may import {allowed}"
                ));
            }
            if PURE.contains(name) && EFFECTS.contains(&import) {
                complaints
                    .push(format!("{folder}/Cargo.toml: `{name}` decides, it must not import `{import}`, which acts"));
            }
            if matches!(import, "glommio" | "io-uring") && *name != "corelog-engine" {
                complaints
                    .push(format!("{folder}/Cargo.toml: only corelog-engine may import `{import}`, not `{name}`"));
            }
        }
    }
    complaints
}

fn reason_complaints(crates: &[Crate], deny_toml: &str) -> Vec<String> {
    let reasons: BTreeMap<&str, &str> = deny_toml
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_once(": "))
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)))
        .collect();
    let ours: BTreeSet<&str> = FLOORS.iter().map(|(name, ..)| *name).collect();
    let mut used = BTreeSet::new();
    let mut complaints = Vec::new();
    for krate in crates {
        for import in krate.imports.iter().map(String::as_str).filter(|import| !ours.contains(import)) {
            if used.insert(import) && !reasons.contains_key(import) {
                complaints.push(format!(
                    "{}/Cargo.toml: dependency `{import}` has no reason; write `# {import}: why` into deny.toml",
                    krate.folder
                ));
            }
        }
    }
    for name in reasons.keys().filter(|name| !used.contains(**name)) {
        complaints.push(format!("deny.toml: gives a reason for `{name}`, which no manifest names"));
    }
    complaints
}

/// `path` is relative to the repository, with `/`.
fn source_complaints(path: &str, text: &str) -> Vec<String> {
    let code = without_comments_and_literals(text);
    let mut complaints = Vec::new();
    if is_in(path, PURE_SOURCES) && !is_in(path, STD_ALLOWED) && !is_test_file(path) {
        for line in lines_where(&without_tests(&code), |tokens, i| {
            tokens[i] == "std"
                && (tokens.get(i + 1) == Some(&"::")
                    || tokens[..i].ends_with(&["crate"])
                    || tokens[..i].ends_with(&["use"]))
        }) {
            complaints.push(format!(
                "{path}:{line}: names `std`; this crate is no_std, only wire/src/compression may (use core and alloc)"
            ));
        }
    }
    if !is_in(path, RUNTIME) {
        for line in lines_where(&code, |tokens, i| {
            matches!(tokens[i], "glommio" | "io_uring")
                && (tokens.get(i + 1) == Some(&"::")
                    || tokens[..i].ends_with(&["use"])
                    || tokens[..i].ends_with(&["crate"]))
        }) {
            complaints.push(format!("{path}:{line}: names glommio or io_uring outside engine/src/runtime"));
        }
    }
    if !is_in(path, UNSAFE_ALLOWED) {
        for line in lines_where(&code, |tokens, i| tokens[i] == "unsafe") {
            complaints.push(format!("{path}:{line}: `unsafe` outside wire/src/buffer.rs and engine/src/runtime"));
        }
        for line in lines_where(&code, |tokens, i| tokens[i] == "unsafe_code" && tokens[..i].ends_with(&["allow", "("]))
        {
            let declares_buffer = code.lines().nth(line).is_some_and(|next| next.contains("mod buffer"));
            if !(path == "wire/src/lib.rs" && declares_buffer) {
                complaints.push(format!("{path}:{line}: allows unsafe code; in wire only `buffer` may"));
            }
        }
    }
    let squeezed: String = code.split_whitespace().collect();
    for (lib, attribute) in [
        ("wire/src/lib.rs", "#![no_std]"),
        ("replication/src/lib.rs", "#![no_std]"),
        ("engine/shard/src/lib.rs", "#![no_std]"),
        ("wire/src/lib.rs", "#![deny(unsafe_code)]"),
        ("replication/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("engine/shard/src/lib.rs", "#![forbid(unsafe_code)]"),
    ] {
        if path == lib && !squeezed.contains(attribute) {
            complaints.push(format!("{path}: lacks `{attribute}`"));
        }
    }
    complaints
}

fn name_complaints(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|part| EMPTY_NAMES.contains(&part.split('.').next().unwrap_or(part)))
        .map(|part| format!("{path}: `{part}` says nothing; name the file after what it owns"))
        .collect()
}

fn top_level_complaints(entries: &[String]) -> Vec<String> {
    entries
        .iter()
        .filter(|e| !e.starts_with('.') && !TOP_LEVEL.contains(&e.as_str()) && !LEFT_BY_RUNS.contains(&e.as_str()))
        .map(|e| format!("{e}: does not belong at the top level; put it into one of the folders"))
        .collect()
}

/// Whether `path` is one of `places`, where a place that ends with `/` is a folder.
fn is_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| if place.ends_with('/') { path.starts_with(place) } else { path == *place })
}

/// Whether the whole file is compiled for tests only, by our convention for names.
fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs"))
}

/// The numbers, from 1, of the lines that hold a token for which `found` holds. Lines are kept by
/// [`without_comments_and_literals`] and [`without_tests`], so the numbers are those of the file.
fn lines_where(code: &str, found: impl Fn(&[&str], usize) -> bool) -> Vec<usize> {
    let mut tokens = Vec::new();
    let mut lines = Vec::new();
    for (number, mut rest) in code.lines().enumerate() {
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push(token);
                lines.push(number + 1);
            }
            rest = after;
        }
    }
    let mut hits: Vec<usize> = (0..tokens.len()).filter(|&i| found(&tokens, i)).map(|i| lines[i]).collect();
    hits.dedup();
    hits
}

/// `text` with every comment, string and character blanked out; line breaks stay.
fn without_comments_and_literals(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    let starts = |i: usize, what: &str| what.chars().enumerate().all(|(k, c)| source.get(i + k) == Some(&c));
    while i < source.len() {
        let after_word = i > 0 && (source[i - 1].is_alphanumeric() || source[i - 1] == '_');
        let end = if starts(i, "//") {
            (i..source.len()).find(|&k| source[k] == '\n').unwrap_or(source.len())
        } else if starts(i, "/*") {
            let mut depth = 1;
            let mut k = i + 2;
            while k < source.len() && depth > 0 {
                if starts(k, "/*") {
                    depth += 1;
                    k += 2;
                } else if starts(k, "*/") {
                    depth -= 1;
                    k += 2;
                } else {
                    k += 1;
                }
            }
            k
        } else if let Some(end) = (!after_word).then(|| raw_string_end(&source, i)).flatten() {
            end
        } else if source[i] == '"' {
            quoted_end(&source, i, '"')
        } else if source[i] == '\'' && (starts(i + 1, "\\") || source.get(i + 2) == Some(&'\'')) {
            quoted_end(&source, i, '\'')
        } else {
            code.push(source[i]);
            i += 1;
            continue;
        };
        // A literal leaves a mark, so that the tokens around it do not become neighbours.
        code.push(' ');
        code.extend(source[i..end].iter().filter(|c| **c == '\n'));
        i = end;
    }
    code
}

/// The end of the raw string that starts at `start`, if one does.
fn raw_string_end(source: &[char], start: usize) -> Option<usize> {
    let mut i = start;
    while matches!(source.get(i), Some('b' | 'c')) {
        i += 1;
    }
    if source.get(i) != Some(&'r') {
        return None;
    }
    i += 1;
    let hashes = source[i..].iter().take_while(|c| **c == '#').count();
    i += hashes;
    if source.get(i) != Some(&'"') {
        return None;
    }
    let closes =
        |k: usize| source[k] == '"' && source[k + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((i + 1..source.len()).find(|&k| closes(k)).map_or(source.len(), |k| k + 1 + hashes))
}

/// The end of the literal in `quote`s that starts at `start`.
fn quoted_end(source: &[char], start: usize, quote: char) -> usize {
    let mut i = start + 1;
    while i < source.len() && source[i] != quote {
        i += if source[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(source.len())
}

/// `code` with every item, field and statement under `#[cfg(test)]` blanked out; line breaks stay. Comments and literals must
/// be gone.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(MARK) {
        kept.push_str(&rest[..at]);
        let item = &rest[at + MARK.len()..];
        let end = end_of_item(item);
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept.push_str(rest);
    kept
}

/// Where the first item, field or statement of some code ends.
fn end_of_item(code: &str) -> usize {
    const ITEMS: [&str; 12] =
        ["const", "enum", "extern", "fn", "impl", "macro_rules", "mod", "static", "struct", "trait", "unsafe", "use"];
    let is_visibility = |word: &&str| word.is_empty() || ["pub", "crate", "super", "in"].contains(word);
    let mut words = code.split(|c: char| !c.is_alphanumeric() && c != '_').skip_while(is_visibility);
    let is_item = words.next().is_some_and(|word| ITEMS.contains(&word));
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            // The end of what a field or the last expression stands in.
            '}' | ']' | ')' if depth == 0 => return at,
            '}' | ']' | ')' => {
                depth -= 1;
                if c == '}' && depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            ',' if depth == 0 && !is_item => return at + 1,
            _ => {}
        }
    }
    code.len()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies in the repository").to_path_buf()
}

fn workspace_crates(root: &Path) -> Vec<Crate> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let folder = manifest.parent().and_then(|f| f.strip_prefix(root).ok()).expect("a folder of the repository");
            let imports = package["dependencies"].as_array().expect("a list of dependencies");
            Crate {
                name: text(&package["name"]),
                folder: folder.to_str().expect("ASCII paths").to_owned(),
                imports: imports.iter().map(|dependency| text(&dependency["name"])).collect(),
            }
        })
        .collect()
}

/// All files below `folder`, relative to `root`, without what builds leave.
fn files_below(root: &Path, folder: &Path, files: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder that can be read") {
        let entry = entry.expect("an entry that can be read");
        let name = entry.file_name().into_string().expect("ASCII names");
        if name.starts_with('.') || LEFT_BY_RUNS.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().expect("a file type").is_dir() {
            files_below(root, &entry.path(), files);
        } else {
            let path = entry.path();
            let relative = path.strip_prefix(root).expect("below the root");
            files.push(relative.to_str().expect("ASCII paths").to_owned());
        }
    }
}

#[test]
fn the_house_keeps_its_floors() {
    let root = repository();
    let crates = workspace_crates(&root);
    let mut files = Vec::new();
    files_below(&root, &root, &mut files);
    let entries: Vec<String> = std::fs::read_dir(&root)
        .expect("the repository can be read")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("ASCII names"))
        .collect();
    let deny_toml = std::fs::read_to_string(root.join("deny.toml")).expect("deny.toml is there");

    let mut complaints = import_complaints(&crates);
    complaints.extend(reason_complaints(&crates, &deny_toml));
    complaints.extend(top_level_complaints(&entries));
    let mut sources = 0;
    for file in &files {
        complaints.extend(name_complaints(file));
        if file.ends_with(".rs") {
            sources += 1;
            let text = std::fs::read_to_string(root.join(file)).expect("sources are UTF-8");
            complaints.extend(source_complaints(file, &text));
        }
    }
    assert!(sources >= 7, "only {sources} source files seen: the scan looks in the wrong place");
    assert!(complaints.is_empty(), "{} broken rules:\n  {}", complaints.len(), complaints.join("\n  "));
}

fn krate(name: &str, folder: &str, imports: &[&str]) -> Crate {
    Crate { name: name.into(), folder: folder.into(), imports: imports.iter().map(|i| (*i).to_owned()).collect() }
}

#[track_caller]
fn assert_one(complaints: &[String], says: &str) {
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains(says), "{:?} does not say {says:?}", complaints[0]);
}

#[test]
fn an_import_that_goes_up_is_found() {
    let up = krate("corelog-wire", "wire", &["bytes", "corelog-shard"]);
    assert_one(&import_complaints(&[up]), "wire/Cargo.toml: `corelog-wire` imports `corelog-shard`");
    let sideways = krate("corelog-client", "tools/client", &["corelog-replication"]);
    assert_one(&import_complaints(&[sideways]), "it may import corelog-wire");
    let fine = krate("corelog-shard", "engine/shard", &["corelog-wire", "corelog-replication", "hashbrown"]);
    assert_eq!(import_complaints(&[fine]), Vec::<String>::new());
}

#[test]
fn effects_in_a_pure_crate_are_found() {
    assert_one(&import_complaints(&[krate("corelog-shard", "engine/shard", &["nix"])]), "must not import `nix`");
    assert_one(&import_complaints(&[krate("corelog-perf", "perf", &["io-uring"])]), "only corelog-engine");
}

#[test]
fn a_crate_without_a_floor_or_off_its_floor_is_found() {
    assert_one(&import_complaints(&[krate("corelog-extras", "extras", &[])]), "has no floor");
    assert_one(&import_complaints(&[krate("corelog-perf", "tools/perf", &[])]), "belongs in `perf`");
}

#[test]
fn a_dependency_without_a_reason_and_a_reason_without_a_dependency_are_found() {
    let crates = [krate("corelog-wire", "wire", &["bytes", "corelog-replication"])];
    assert_one(&reason_complaints(&crates, "# A sentence: not a reason.\n"), "`bytes` has no reason");
    assert_one(&reason_complaints(&crates, "# bytes: shared\n# snap: snappy\n"), "`snap`, which no manifest names");
    assert_eq!(reason_complaints(&crates, "# bytes: shared\n"), Vec::<String>::new());
}

#[test]
fn std_in_a_pure_crate_is_found() {
    let path = "engine/shard/src/log/journal.rs";
    assert_one(&source_complaints(path, "//! Owns.\nuse std::time::Instant;\n"), "journal.rs:2: names `std`");
    assert_one(&source_complaints(path, "extern crate std;\n"), "names `std`");
    assert_one(&source_complaints(path, "fn f() -> ::std::io::Result<()> { Ok(()) }"), "names `std`");
    for harmless in [
        "// std::io is not here\n/* nor std::fs /* nested */ std:: */\nconst S: &str = \"std::net\";",
        "const R: &str = r#\"a \" std::io\"#; const C: char = '\"'; fn f<'a>(x: &'a u8) -> &'a u8 { x }",
        "#[cfg(test)]\nmod tests {\n    use std::vec::Vec;\n    fn f() { if true {} }\n}\n",
        "#[cfg(test)]\nextern crate std;\n",
        "use my_std::thing; use core::fmt;",
    ] {
        assert_eq!(source_complaints(path, harmless), Vec::<String>::new(), "{harmless}");
    }
    let after_tests = "#[cfg(test)]\nmod tests { fn f() {} }\nuse std::fs;\n";
    assert_one(&source_complaints(path, after_tests), "journal.rs:3");
    assert_eq!(source_complaints("wire/src/compression/gzip.rs", "use std::io::Read;"), Vec::<String>::new());
    assert_eq!(source_complaints("engine/src/config.rs", "use std::io::Read;"), Vec::<String>::new());
}

#[test]
fn the_runtime_outside_its_room_is_found() {
    let path = "engine/src/host.rs";
    assert_one(&source_complaints(path, "use glommio::LocalExecutor;"), "outside engine/src/runtime");
    assert_one(&source_complaints(path, "fn f(ring: &mut io_uring::IoUring) {}"), "outside engine/src/runtime");
    assert_one(&source_complaints("tests/src/lib.rs", "use {io_uring::opcode};"), "outside engine/src/runtime");
    assert_eq!(source_complaints(path, "fn f() { log(\"io_uring::x\"); io_uring_missing(); }"), Vec::<String>::new());
    assert_eq!(source_complaints("engine/src/runtime/ring.rs", "use io_uring::IoUring;"), Vec::<String>::new());
}

#[test]
fn unsafe_outside_its_two_rooms_is_found() {
    let text = "fn f(p: *const u8) -> u8 {\n    unsafe { *p }\n}\n";
    assert_one(&source_complaints("engine/src/net/peer.rs", text), "peer.rs:2: `unsafe` outside");
    assert_one(&source_complaints("perf/src/load.rs", "unsafe impl Send for X {}"), "`unsafe` outside");
    assert_one(&source_complaints("tests/tests/x.rs", text), "`unsafe` outside");
    assert_eq!(source_complaints("wire/src/buffer.rs", text), Vec::<String>::new());
    assert_eq!(source_complaints("engine/src/runtime/ring.rs", text), Vec::<String>::new());
    assert_one(&source_complaints("wire/src/frame.rs", "#![allow(unsafe_code)]\n"), "only `buffer` may");
}

#[test]
fn missing_attributes_of_the_pure_crates_are_found() {
    let wire = "#![no_std]\n#![deny(unsafe_code)]\nextern crate alloc;\n#[allow(unsafe_code)]\npub mod buffer;\n";
    assert_eq!(source_complaints("wire/src/lib.rs", wire), Vec::<String>::new());
    assert_one(&source_complaints("wire/src/lib.rs", "#![no_std]\n"), "lacks `#![deny(unsafe_code)]`");
    assert_one(&source_complaints("wire/src/lib.rs", &wire.replace("buffer", "frame")), "only `buffer` may");
    for lib in ["replication/src/lib.rs", "engine/shard/src/lib.rs"] {
        assert_eq!(source_complaints(lib, "#![no_std]\n#![forbid(unsafe_code)]\n"), Vec::<String>::new());
        assert_one(&source_complaints(lib, "#![forbid(unsafe_code)]\n"), "lacks `#![no_std]`");
        assert_one(
            &source_complaints(lib, "#![no_std]\n// #![forbid(unsafe_code)]\n"),
            "lacks `#![forbid(unsafe_code)]`",
        );
    }
}

#[test]
fn empty_names_are_found() {
    assert_one(&name_complaints("engine/src/utils.rs"), "`utils.rs` says nothing");
    assert_one(&name_complaints("tests/tests/common/mod.rs"), "`common` says nothing");
    assert_one(&name_complaints("engine/shard/src/group/manager.rs"), "`manager.rs`");
    assert_eq!(name_complaints("engine/src/net/listener.rs"), Vec::<String>::new());
}

#[test]
fn strangers_at_the_top_level_are_found() {
    let entries = ["engine", "docs", ".ci", "target", "README.md"].map(str::to_owned);
    assert_one(&top_level_complaints(&entries), "docs: does not belong at the top level");
}
