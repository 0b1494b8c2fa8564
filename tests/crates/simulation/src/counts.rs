//! Counts of what was met in incidents, by group and name.

use std::collections::BTreeMap;
use std::fmt;

/// Counts by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, BTreeMap<String, u64>>);

impl Counts {
    /// Adds to a count.
    pub fn add(&mut self, group: &'static str, name: &str, count: u64) {
        *self.0.entry(group).or_default().entry(name.to_owned()).or_default() += count;
    }

    /// Adds all counts of another.
    pub fn merge(&mut self, other: &Self) {
        for (group, counts) in &other.0 {
            counts.iter().for_each(|(name, count)| self.add(group, name, *count));
        }
    }

    /// Returns the counts of a group by name.
    pub fn group(&self, group: &str) -> impl Iterator<Item = (&str, u64)> {
        self.0.get(group).into_iter().flatten().map(|(name, count)| (name.as_str(), *count))
    }

    /// Returns a count.
    pub fn get(&self, group: &str, name: &str) -> u64 {
        self.0.get(group).and_then(|counts| counts.get(name)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, counts) in &self.0 {
            let counts = counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>();
            writeln!(f, "{group}: {}", counts.join(", "))?;
        }
        Ok(())
    }
}
