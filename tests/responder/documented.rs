//! What the README says in tables is what the code says.

use std::fs;

use lightsail_key_responder::config::OURS;
use lightsail_key_responder::outcome::ALL;

/// The rows of the README's tables that begin with `code`, as cells without the first.
fn rows(code: &str) -> Vec<Vec<String>> {
    let readme = fs::read_to_string(format!("{}/README.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let first = format!("| `{code}` | ");
    let rows = readme.lines().filter_map(|line| line.strip_prefix(&first)?.strip_suffix(" |"));
    rows.map(|row| row.split(" | ").map(str::to_owned).collect()).collect()
}

#[test]
fn the_readme_says_of_each_outcome_what_to_do_and_what_lambda_sees() {
    for outcome in ALL {
        let error = outcome.error_type().map_or_else(|| "success".to_owned(), |name| format!("`{name}`"));
        let rows = rows(outcome.code());
        assert_eq!(rows.len(), 1, "{}", outcome.code());
        assert_eq!(rows[0][1..], [outcome.next_step().to_owned(), error]);
    }
}

#[test]
fn the_readme_has_each_variable() {
    for variable in OURS {
        assert_eq!(rows(variable).len(), 1, "{variable}");
    }
}
