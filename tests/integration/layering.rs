//! Rules of the layout: which file may name what, and which module may import which.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lightsail_key_responder::regions::REGIONS;

/// Source files below `src` by path, without comments and without unit tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                sources.push((name, code(&fs::read_to_string(&path).unwrap())));
            }
        }
    }
    assert!(sources.len() > 30, "src was read");
    // Unit tests in files of their own may import anything, as those at the end of a file may.
    sources.retain(|(name, _)| !name.contains("/tests"));
    sources
}

/// Strips comments, and the unit tests at the end.
fn code(source: &str) -> String {
    let lines = source.lines().take_while(|line| !line.starts_with("mod tests {"));
    lines.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Files that contain any of `texts`.
fn files_with(texts: &[&str]) -> BTreeSet<String> {
    let found = sources().into_iter().filter(|(_, code)| texts.iter().any(|text| code.contains(text)));
    found.map(|(name, _)| name).collect()
}

fn names(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

/// Modules of the crate in the order of `lib.rs`.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    lib.lines().filter_map(|line| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned())).collect()
}

/// Modules of the crate that `code` imports from: each `use crate::...` statement, with its braces opened, and each
/// path that begins with `crate::`.
fn imported(code: &str) -> BTreeSet<String> {
    let mut imported = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let inner = path.strip_prefix('{').map(|list| list.split('}').next().unwrap_or_default());
        let paths = inner.map_or_else(|| vec![path], |list| list.split(',').collect());
        for path in paths {
            let name = path.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
            imported.insert(name);
        }
    }
    imported
}

/// Violations of the import order in one file: imports from a line below the module's own.
fn violations(modules: &[String], name: &str, code: &str) -> Vec<String> {
    let module = name.split('/').next().unwrap().trim_end_matches(".rs");
    let Some(own) = modules.iter().position(|known| known == module) else {
        return vec![format!("{name} belongs to no module of lib.rs")];
    };
    let below = |import: &String| modules.iter().position(|known| known == import).is_none_or(|place| place > own);
    imported(code).iter().filter(|import| below(import)).map(|import| format!("{name} imports {import}")).collect()
}

#[test]
fn modules_import_only_from_lines_above() {
    let modules = modules();
    assert!(modules.len() > 10, "{modules:?}");
    let sources = sources();
    let files = sources.iter().filter(|(name, _)| !matches!(name.as_str(), "lib.rs" | "main.rs"));
    let violations = files.flat_map(|(name, code)| violations(&modules, name, code)).collect::<Vec<_>>();
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn violations_of_the_import_order_are_found() {
    let modules = ["names", "alert", "respond"].map(str::to_owned);
    let found = |name, code| violations(&modules, name, code).len();
    assert_eq!(found("alert/direct.rs", "use crate::names::Region;\nuse crate::alert::Origin;"), 0);
    assert_eq!(found("alert/direct.rs", "use crate::respond::Responder;"), 1);
    assert_eq!(found("alert.rs", "use crate::{names::Region, respond::Responder};"), 1);
    assert_eq!(found("names.rs", "fn f() -> crate::alert::Origin { todo }"), 1);
    assert_eq!(found("names.rs", "use crate::nowhere::Thing;"), 1);
    assert_eq!(found("stray.rs", ""), 1);
}

#[test]
fn each_sdk_is_named_in_one_file() {
    assert_eq!(files_with(&["aws_sdk_lightsail"]), names(&["aws/lightsail.rs", "aws/lightsail/model.rs"]));
    assert_eq!(files_with(&["aws_sdk_sts"]), names(&["aws/sts.rs"]));
    assert_eq!(files_with(&["aws_sdk_eventbridge"]), names(&["aws/eventbridge.rs"]));
    let shared = files_with(&["aws_smithy", "aws_types", "aws_credential_types"]);
    assert!(shared.iter().all(|file| file == "aws.rs" || file.starts_with("aws/")), "{shared:?}");
}

#[test]
fn only_config_reads_the_environment() {
    assert_eq!(files_with(&["std::env", "env::var"]), names(&["config.rs"]));
}

#[test]
fn only_main_and_outcome_name_lambda_runtime() {
    assert_eq!(files_with(&["lambda_runtime"]), names(&["main.rs", "outcome.rs"]));
}

/// The verdict is pure: no clock, no I/O, nothing is changed.
#[test]
fn verdict_has_no_clock_io_or_mutation() {
    let sources = sources();
    let (_, verdict) = sources.iter().find(|(name, _)| name == "respond/verdict.rs").unwrap();
    for word in ["&mut", "let mut", "async", ".await", "Instant", "Utc", "tracing", "Cell", "Mutex"] {
        assert!(!verdict.contains(word), "{word}");
    }
    assert!(
        files_with(&["Outcome::Revoked"])
            .iter()
            .all(|file| { ["outcome.rs", "respond/verdict.rs", "audit/message.rs"].contains(&file.as_str()) })
    );
}

/// A Region that AWS adds must not be missing from the search. `us-west-1` is in the model without an endpoint.
#[test]
fn regions_match_sdk_model() {
    let model: BTreeSet<&str> = aws_sdk_lightsail::types::RegionName::values().iter().copied().collect();
    let ours: BTreeSet<&str> = REGIONS.iter().map(|(name, _)| *name).chain(["us-west-1"]).collect();
    assert_eq!(ours, model);
}
