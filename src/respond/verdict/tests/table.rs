//! Table of all outcomes, for review: `INSTA_UPDATE=always cargo test --lib verdict` writes `table.snap`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::super::{Finding, decide, finding};
use super::space::{self, EXCLUDED, SEARCHED, exposed, searches, walk};
use crate::policy::Mode;

#[test]
fn table() {
    let mut table = String::new();
    for mode in [Mode::Enforce, Mode::DryRun] {
        write_table(&mut table, mode).unwrap();
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("..");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("table", table));
}

/// Results of a search without a sighting, in a Region of the hints that the search reads or excludes.
const COLUMNS: [(&str, &str); 5] = [
    (SEARCHED, "complete"),
    (SEARCHED, "incomplete"),
    (SEARCHED, "foreign account"),
    (EXCLUDED, "complete"),
    (EXCLUDED, "incomplete"),
];

fn write_table(table: &mut String, mode: Mode) -> std::fmt::Result {
    let searches = searches(mode);
    let outcome = |region: &str, hints: &[usize], search: &str| {
        let kinds = space::hints(mode, region);
        let mut case = exposed(mode);
        case.coverage = searches.iter().find(|known| known.name == search).unwrap().coverage.clone();
        case.visits = hints.iter().map(|index| kinds[*index].visit.clone()).collect();
        decide(&case).outcome.code()
    };
    let row = |hints: &[usize]| COLUMNS.map(|(region, search)| outcome(region, hints, search));
    let kinds = space::hints(mode, SEARCHED);
    let name = mode.as_str();
    writeln!(table, "== {name}: one hinted bucket\n")?;
    writeln!(table, "{:62} outcome, whatever a search finds", "delete, keys, evidence")?;
    let (settled, open): (Vec<_>, Vec<_>) =
        (0..kinds.len()).partition(|index| matches!(finding(&kinds[*index].visit, mode), Finding::Settled(_)));
    for index in &settled {
        let outcomes = row(&[*index]).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(outcomes.len(), 1, "{}", kinds[*index].name);
        writeln!(table, "{:62} {}", kinds[*index].name, outcomes.first().unwrap())?;
    }
    let header = "search complete    search incomplete  foreign account    Region excluded:   and incomplete";
    writeln!(table, "\n{:62} {header}", "")?;
    let line = |table: &mut String, name: &str, row: [&str; 5]| {
        let [a, b, c, d, e] = row;
        writeln!(table, "{name:62} {a:18} {b:18} {c:18} {d:18} {e}")
    };
    line(table, "no hint", row(&[]))?;
    for index in &open {
        line(table, &kinds[*index].name, row(&[*index]))?;
    }
    writeln!(table, "\n== {name}: two hinted buckets, neither of which settles the case\n")?;
    for (number, a) in open.iter().enumerate() {
        for b in &open[number..] {
            let name = format!("{} + {}", short(&kinds[*a].name), short(&kinds[*b].name));
            line(table, &name, row(&[*a, *b]))?;
        }
    }
    writeln!(table, "\n== {name}: bucket on which the search saw the key\n")?;
    for search in searches.iter().filter(|search| search.sighted.is_some()) {
        let mut case = exposed(mode);
        case.visits = search.sighted.iter().cloned().collect();
        writeln!(table, "{:62} {}", search.name, decide(&case).outcome.code())?;
    }
    let mut counts = BTreeMap::<_, usize>::new();
    walk(|case, hints, _| {
        if case.mode == mode {
            *counts.entry((hints.len(), decide(case).outcome.code())).or_default() += 1;
        }
    });
    writeln!(table, "\n== {name}: combinations by number of hints and outcome, every result of the search\n")?;
    for ((hints, outcome), count) in counts {
        writeln!(table, "{hints} hints  {outcome:18} {count:>9}")?;
    }
    writeln!(table)
}

fn short(name: &str) -> String {
    name.replace("accepted, no operation, not listed", "accepted")
        .replace("Exception", "")
        .replace(" before", "")
        .replace("protected, not deleted", "protected")
}
