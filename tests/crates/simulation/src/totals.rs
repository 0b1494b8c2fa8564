//! Incidents by seed, on all processors, and what was met in them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::counts::Counts;
use crate::incident::Incident;
use crate::on_all_processors;
use crate::reach::outcomes_of_rare_places;

/// Most broken incidents that are reported in full.
const MAX_REPORTED: usize = 3;

/// Incidents played at once, so that a million fit into memory.
const BATCH: u64 = 1_000;

/// Counts of many incidents.
#[derive(Debug, Default)]
pub struct Totals {
    /// Incidents played.
    pub incidents: u64,
    /// Deliveries of alerts.
    pub deliveries: u64,
    /// Requests that arrived at the simulator.
    pub requests: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Counts of routes, outcomes of records, rare places of keys with their outcomes, faults of calls, Regions,
    /// connections, deliveries, clocks, sessions.
    pub met: Counts,
    /// Incidents that broke a rule.
    pub broken: Vec<Incident>,
}

impl Totals {
    /// Plays the incidents of all `seeds`.
    pub fn of(seeds: Range<u64>) -> Self {
        let mut totals = Self::default();
        let mut next = seeds.start;
        while next < seeds.end {
            let batch = next..seeds.end.min(next + BATCH);
            next = batch.end;
            on_all_processors(batch.collect(), Incident::of).into_iter().for_each(|incident| totals.add(incident));
        }
        totals
    }

    /// Returns the broken rules, each with the seeds that break it.
    pub fn broken_rules(&self) -> BTreeMap<&str, Vec<u64>> {
        let mut rules = BTreeMap::<_, Vec<_>>::new();
        for incident in &self.broken {
            incident.broken.iter().for_each(|rule| rules.entry(rule.as_str()).or_default().push(incident.seed));
        }
        rules
    }

    fn add(&mut self, incident: Incident) {
        self.incidents += 1;
        self.simulated += incident.simulated;
        self.met.merge(&incident.met);
        for (setting, value) in incident.plan.dialect.values() {
            self.met.add("dialects", &format!("{setting} {value}"), 1);
        }
        self.met.add("routes", &format!("{:?}", incident.plan.route), 1);
        for spell in &incident.plan.weather {
            self.met.add("Regions planned", spell.weather.name(), 1);
        }
        for delivery in &incident.deliveries {
            self.deliveries += 1;
            self.requests += delivery.requests.len() as u64;
            for record in &delivery.records {
                self.met.add("outcomes", record["status_code"].as_str().unwrap_or("none"), 1);
            }
            for (what, outcome) in outcomes_of_rare_places(delivery) {
                self.met.add("rare places", &format!("{what}: {outcome}"), 1);
            }
            for fault in delivery.requests.iter().filter_map(|seen| seen.fault.as_deref()) {
                self.met.add("faults of calls", fault, 1);
            }
            if delivery.failed_messages().is_some_and(|failed| (1..delivery.alert.len()).contains(&failed.len())) {
                self.met.add("deliveries", "batch failed in part", 1);
            }
        }
        if !incident.broken.is_empty() {
            self.broken.push(incident);
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { incidents, deliveries, requests, simulated, met, broken } = self;
        writeln!(f, "{incidents} incidents, {deliveries} deliveries, {requests} requests")?;
        writeln!(f, "{:.1} hours of simulated time", simulated.as_secs_f64() / 3600.0)?;
        write!(f, "{met}")?;
        write!(f, "broken: {}", broken.len())?;
        for (rule, seeds) in self.broken_rules() {
            write!(f, "\n  {rule}: {} incidents, make simulate SEED={}", seeds.len(), seeds[0])?;
        }
        broken.iter().take(MAX_REPORTED).try_for_each(|incident| write!(f, "\n\n{}", incident.report()))
    }
}
