//! `simulate`: plays incidents by seed. `make simulate` calls it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use responder_simulation::incident::Incident;
use responder_simulation::totals::Totals;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: simulate --seed N | simulate --sequences N [--from N]";

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
    let from = numbers.get("--from").copied();
    match (numbers.get("--seed"), numbers.get("--sequences")) {
        (Some(seed), None) if from.is_none() => replay(*seed),
        (None, Some(count)) => play(from.unwrap_or_default(), *count),
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Plays one incident. Prints its plan and everything that was observed.
#[expect(clippy::print_stdout, reason = "it is the output of the program")]
fn replay(seed: u64) -> ExitCode {
    let incident = Incident::of(seed);
    println!("{}", incident.report());
    if incident.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays `count` incidents. Prints what was met.
#[expect(clippy::print_stdout, reason = "it is the output of the program")]
fn play(from: u64, count: u64) -> ExitCode {
    let started = Instant::now();
    let totals = Totals::of(from..from.saturating_add(count));
    println!("{totals}\n{:.1} s of wall time", started.elapsed().as_secs_f64());
    if totals.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
