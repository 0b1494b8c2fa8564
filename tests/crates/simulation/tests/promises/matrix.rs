//! Outcomes by dialect -> text: one line for all dialects with the same outcomes, and the settings that decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use lightsail_simulator::Dialect;

use crate::scenarios::Table;

/// Width of the columns with outcomes.
const WIDTH: usize = 15;

/// Outcomes of all alerts of a table in one dialect.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The dialect.
    pub(crate) dialect: Dialect,
    /// Outcomes of both deliveries, by alert.
    pub(crate) cells: Vec<String>,
}

/// Settings and the values that lead to a class of dialects.
type Conditions = Vec<(&'static str, Vec<&'static str>)>;

/// Formats a table.
pub(crate) fn matrix(table: &Table, rows: &[Row]) -> String {
    let mut text = format!("\n{}: {} dialects\n", table.name, rows.len());
    let _ = writeln!(text, "Left out: {}.", table.left_out);
    let _ = write!(text, "{:<10}", "dialects");
    table.columns().for_each(|column| _ = write!(text, "{column:<WIDTH$}"));
    text.push_str("settings that decide\n");
    let mut classes = BTreeMap::<Vec<String>, Vec<(Conditions, usize)>>::new();
    for (mut conditions, rows) in split(rows.iter().collect(), &table.settings()) {
        conditions.sort_unstable();
        classes.entry(rows[0].cells.clone()).or_default().push((conditions, rows.len()));
    }
    let mut classes = classes.into_iter().collect::<Vec<_>>();
    let count = |leaves: &[(Conditions, usize)]| leaves.iter().map(|(_, count)| count).sum::<usize>();
    classes.sort_by_key(|(_, leaves)| std::cmp::Reverse(count(leaves)));
    for (cells, leaves) in &classes {
        let _ = write!(text, "{:<10}", count(leaves));
        cells.iter().for_each(|cell| _ = write!(text, "{cell:<WIDTH$}"));
        let indent = " ".repeat(10 + WIDTH * cells.len());
        let leaves = leaves.iter().map(|(conditions, _)| describe(conditions)).collect::<Vec<_>>();
        let _ = writeln!(text, "{}", leaves.join(&format!("\n{indent}")));
    }
    let deciding = classes.iter().flat_map(|(_, leaves)| leaves).flat_map(|(conditions, _)| conditions);
    let deciding = deciding.map(|(setting, _)| *setting).collect::<BTreeSet<_>>();
    let others = table.settings().into_iter().filter(|setting| !deciding.contains(setting)).collect::<Vec<_>>();
    if !others.is_empty() {
        let _ = writeln!(text, "Without influence: {}.", others.join(", "));
    }
    text
}

fn describe(conditions: &Conditions) -> String {
    let one = |(setting, values): &(&str, Vec<&str>)| {
        let (_, all) = Dialect::SETTINGS.iter().find(|(name, _)| name == setting).unwrap();
        let others = all.iter().filter(|value| !values.contains(value)).collect::<Vec<_>>();
        match others.as_slice() {
            [other] if values.len() > 1 => format!("{setting} other than {other}"),
            _ => format!("{setting} {}", values.join(" or ")),
        }
    };
    if conditions.is_empty() { "any".to_owned() } else { conditions.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// Splits rows by settings until all rows of each part have the same cells. Values of a setting that make no difference
/// stay together. Of the ways to split, the one with the fewest parts is taken.
fn split<'a>(rows: Vec<&'a Row>, settings: &[&'static str]) -> Vec<(Conditions, Vec<&'a Row>)> {
    if rows.iter().all(|row| row.cells == rows[0].cells) {
        return vec![(Vec::new(), rows)];
    }
    let deciding = settings.iter().map(|setting| (*setting, groups(&rows, setting)));
    let deciding = deciding.filter(|(_, groups)| groups.len() > 1).collect::<Vec<_>>();
    let names = deciding.iter().map(|(setting, _)| *setting).collect::<Vec<_>>();
    let ways = deciding.into_iter().map(|(setting, groups)| {
        let rest = names.iter().copied().filter(|other| *other != setting).collect::<Vec<_>>();
        let mut parts = Vec::<(Conditions, Vec<&Row>)>::new();
        for (values, rows) in groups {
            for (mut conditions, rows) in split(rows, &rest) {
                conditions.insert(0, (setting, values.clone()));
                parts.push((conditions, rows));
            }
        }
        parts
    });
    ways.min_by_key(Vec::len).unwrap()
}

/// Groups rows by the value of a setting. Values with the same cells in all other settings are one group.
fn groups<'a>(rows: &[&'a Row], setting: &str) -> Vec<(Vec<&'static str>, Vec<&'a Row>)> {
    let value = |row: &Row| row.dialect.values().find(|(name, _)| *name == setting).unwrap().1;
    let mut groups = Vec::<(Vec<&'static str>, Vec<&Row>)>::new();
    let (_, values) = Dialect::SETTINGS.iter().find(|(name, _)| *name == setting).unwrap();
    for wanted in *values {
        let of_value = rows.iter().copied().filter(|row| value(row) == *wanted).collect::<Vec<_>>();
        if of_value.is_empty() {
            continue;
        }
        // Rows are in the order of the dialects' numbers, so those of two values have the same order.
        let same = |(_, group): &&mut (Vec<&str>, Vec<&Row>)| {
            group.iter().zip(&of_value).all(|(one, other)| one.cells == other.cells)
        };
        match groups.iter_mut().find(same) {
            Some((values, group)) => {
                values.push(wanted);
                group.extend(of_value);
            }
            None => groups.push((vec![wanted], of_value)),
        }
    }
    groups
}
