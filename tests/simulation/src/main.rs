//! `simulate`: plays incidents by seed. `make simulate` calls it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use responder_simulation::incident::Incident;

const USAGE: &str = "usage: simulate --seed N | simulate --sequences N [--from N]";

/// Most broken incidents that are reported.
const MAX_REPORTED: usize = 3;

#[derive(Default)]
struct Totals {
    incidents: u64,
    deliveries: u64,
    requests: u64,
    simulated: Duration,
    outcomes: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    broken: Vec<Incident>,
}

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let numbers = arguments.chunks(2).map(|pair| match pair {
        [name, value] => Some((name.as_str(), value.parse::<u64>().ok()?)),
        _ => None,
    });
    let Some(numbers) = numbers.collect::<Option<BTreeMap<_, _>>>() else { return usage() };
    if numbers.keys().any(|name| !["--seed", "--sequences", "--from"].contains(name)) {
        return usage();
    }
    match (numbers.get("--seed"), numbers.get("--sequences")) {
        (Some(seed), None) => replay(*seed),
        (None, Some(count)) => run(numbers.get("--from").copied().unwrap_or_default(), *count),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Plays one incident, and prints its plan and all that was observed.
fn replay(seed: u64) -> ExitCode {
    let incident = Incident::of(seed);
    print!("{}", incident.report());
    if incident.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays `count` incidents on all processors, and prints what was met.
fn run(from: u64, count: u64) -> ExitCode {
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let work = || {
        let mut totals = Totals::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + count {
                return totals;
            }
            totals.add(Incident::of(seed));
        }
    };
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        let running = (0..threads).map(|_| scope.spawn(work)).collect::<Vec<_>>();
        running.into_iter().filter_map(|thread| thread.join().ok()).for_each(|part| totals.merge(part));
    });
    totals.print(started.elapsed());
    let complete = totals.incidents == count;
    if complete && totals.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Totals {
    fn add(&mut self, incident: Incident) {
        self.incidents += 1;
        self.simulated += incident.simulated;
        for delivery in &incident.deliveries {
            self.deliveries += 1;
            self.requests += delivery.requests.len() as u64;
            for record in &delivery.records {
                *self.outcomes.entry(record["status_code"].as_str().unwrap_or("none").to_owned()).or_default() += 1;
            }
            for fault in delivery.requests.iter().filter_map(|seen| seen.fault.clone()) {
                *self.faults.entry(fault).or_default() += 1;
            }
        }
        if !incident.broken.is_empty() {
            self.broken.push(incident);
        }
    }

    fn merge(&mut self, other: Self) {
        self.incidents += other.incidents;
        self.deliveries += other.deliveries;
        self.requests += other.requests;
        self.simulated += other.simulated;
        other.outcomes.into_iter().for_each(|(outcome, count)| *self.outcomes.entry(outcome).or_default() += count);
        other.faults.into_iter().for_each(|(fault, count)| *self.faults.entry(fault).or_default() += count);
        self.broken.extend(other.broken);
    }

    fn print(&mut self, wall: Duration) {
        let Self { incidents, deliveries, requests, simulated, .. } = self;
        println!("{incidents} incidents, {deliveries} deliveries, {requests} requests");
        println!("{:.1} hours simulated in {:.1} s", simulated.as_secs_f64() / 3600.0, wall.as_secs_f64());
        let list = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
        };
        println!("outcomes: {}", list(&self.outcomes));
        println!("faults met: {}", list(&self.faults));
        self.broken.sort_by_key(|incident| incident.seed);
        println!("broken: {}", self.broken.len());
        let seeds = self.broken.iter().map(|incident| incident.seed.to_string()).collect::<Vec<_>>().join(" ");
        if !seeds.is_empty() {
            println!("replay with: simulate --seed N, where N is one of {seeds}");
        }
        self.broken.iter().take(MAX_REPORTED).for_each(|incident| println!("{}", incident.report()));
    }
}
