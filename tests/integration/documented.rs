//! Tests that the README's tables agree with the code.

use std::fs;

use lightsail_key_responder::config::OURS;
use lightsail_key_responder::outcome::ALL;

/// Returns the README's table rows that begin with `code`, as cells without the first one.
fn rows(code: &str) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(format!("{}/README.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let first = format!("| `{code}` | ");
    let rows = readme.lines().filter_map(|line| line.strip_prefix(&first)?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(str::to_owned).collect()).collect()
}

#[test]
fn readme_lists_next_step_and_error_of_each_outcome() {
    for outcome in ALL {
        let error = outcome.error_type().map_or_else(|| "success".to_owned(), |name| format!("`{name}`"));
        let rows = rows(outcome.code());
        assert_eq!(rows.len(), 1, "{}", outcome.code());
        assert_eq!(rows[0][1..], [outcome.next_step().to_owned(), error]);
    }
}

#[test]
fn readme_lists_each_variable() {
    for variable in OURS {
        assert_eq!(rows(variable).len(), 1, "{variable}");
    }
}
