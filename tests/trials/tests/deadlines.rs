//! Trials with short timeouts, slow responses and silence: the function answers before Lambda's deadline in any case.
//!
//! A process that is killed at its deadline leaves no record. For this reason, the function reserves one second of its
//! time for the record, or a quarter of a short time.
//!
//! Invariants: there is an answer before the deadline, with one record. Success means that the key is gone. The record
//! never denies a delete that took effect. A cell counts only if a request met its slowness or silence.
//!
//! Each cell writes one line to standard error.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::{self, DeleteBucketAccessKey, GetBucketAccessKeys, GetOperation};
use lightsail_simulator::{Fault, Script, Settings as SimulatorSettings};
use responder_trials::{Lambda, REGION, Scene, Settings, report};

/// Timeouts of the invocations.
const TIMES_MS: [u64; 4] = [300, 500, 1_000, 3_000];

/// Longest timeout.
const LONGEST: Duration = Duration::from_secs(3);
/// Minimum time left before the deadline with the longest timeout. Shorter timeouts have no minimum.
const MIN_LEFT_OF_LONGEST: Duration = Duration::from_millis(500);

/// Maximum tries of a cell. On a busy machine, the function may not reach the silence in such a short time.
const TRIES: usize = 5;

/// Concurrency limit of the cells. It is low, because the measured times are short.
const CONCURRENT_CELLS: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Service {
    /// Service without delay.
    Normal,
    /// Service that delays each response by this many milliseconds.
    Slow(u64),
    /// Service that never answers this operation.
    Silent(Operation),
}

const SERVICES: [Service; 6] = [
    Service::Normal,
    Service::Slow(200),
    Service::Slow(2_000),
    Service::Silent(DeleteBucketAccessKey),
    Service::Silent(GetOperation),
    Service::Silent(GetBucketAccessKeys),
];

#[derive(Clone, Copy)]
struct Cell {
    time: Duration,
    service: Service,
    named: bool,
}

/// Result of a cell.
struct Row {
    cell: Cell,
    outcome: String,
    requests: usize,
    took: Duration,
    left: Duration,
    /// True if a request met the slowness or silence.
    hit: bool,
    violations: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_lightsail_never_delays_answer_past_deadline() {
    let cells = TIMES_MS.into_iter().flat_map(|time| {
        let cells_with =
            move |service| [true, false].map(|named| Cell { time: Duration::from_millis(time), service, named });
        SERVICES.into_iter().flat_map(cells_with)
    });
    let rows: Vec<Row> = stream::iter(cells).map(trial).buffered(CONCURRENT_CELLS).collect().await;
    for row in &rows {
        report(&row.to_string());
    }
    for time in TIMES_MS.map(Duration::from_millis) {
        let least = rows.iter().filter(|row| row.cell.time == time).map(|row| row.left).min().unwrap();
        report(&format!("of {} ms at least {} ms were left", time.as_millis(), least.as_millis()));
    }
    assert_eq!(rows.len(), TIMES_MS.len() * SERVICES.len() * 2);
    let violations: Vec<_> = rows
        .iter()
        .flat_map(|row| row.violations.iter().map(move |violation| format!("{row}\n    {violation}")))
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Repeats the cell until a request meets its silence. Violations of all tries count.
async fn trial(cell: Cell) -> Row {
    let mut violations = Vec::new();
    let mut tries = 0;
    loop {
        tries += 1;
        let mut row = run(cell).await;
        violations.append(&mut row.violations);
        if row.hit || tries == TRIES {
            if !row.hit {
                violations.push(format!("no request met the slowness or silence in {tries} tries"));
            }
            return Row { violations, ..row };
        }
    }
}

async fn run(cell: Cell) -> Row {
    let Cell { time, service, named } = cell;
    let mut settings = SimulatorSettings::default();
    if let Service::Slow(ms) = service {
        settings.latency_ms = ms;
    }
    let scene = Scene::new(settings).await.unwrap();
    if let Service::Silent(operation) = service {
        scene.simulator.script(Script::new(operation, Fault::HangBefore).every()).unwrap();
    }
    let regions = [REGION, Scene::OTHER_REGION].join(",");
    let settings = Settings::new(&scene.simulator.endpoint()).variable("SEARCH_REGIONS", &regions);
    let mut lambda = Lambda::start(settings).unwrap();
    // The start of the process must not count as time of the invocation.
    let warmed = lambda.invoke(&Scene::ignored(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(warmed.records[0]["status_code"], "ignored", "{warmed:#?}");

    let event = if named { Scene::named() } else { Scene::key_only() };
    let started = Instant::now();
    let answer = lambda.invoke(&event, time).await.unwrap();
    let took = started.elapsed();
    let left = time.saturating_sub(took);

    let seen = scene.simulator.requests();
    let hit = match service {
        Service::Normal => true,
        Service::Slow(ms) => {
            let waited = took >= Duration::from_millis(ms) || seen.iter().any(|seen| seen.status.is_none());
            !seen.is_empty() && waited
        }
        Service::Silent(_) => seen.iter().any(|seen| seen.fault.as_deref() == Some("hang_before")),
    };
    let mut violations = scene.violations(&answer);
    violations.extend(scene.false_denial(&answer));
    let record = answer.records.first().cloned().unwrap_or_default();
    let outcome = record["status_code"].as_str().unwrap_or("no record").to_owned();
    let mut require = |holds: bool, problem: &str| {
        if !holds {
            violations.push(format!("{problem}: {record}"));
        }
    };
    require(!left.is_zero(), "the answer came after the deadline");
    let min_left = if time == LONGEST { MIN_LEFT_OF_LONGEST } else { Duration::ZERO };
    require(left >= min_left, "the answer came just before the deadline");
    require(!cell.has_enough_time() || outcome == "revoked", "the outcome is not revoked despite enough time");
    require(
        !cell.ends_in_silence() || answer.response.is_err(),
        "success is reported without a response from Lightsail",
    );
    Row { cell, outcome, requests: seen.len(), took, left, hit, violations }
}

impl Cell {
    /// Returns true if the time suffices even on a busy machine, for about five sequential calls.
    fn has_enough_time(self) -> bool {
        match self.service {
            Service::Normal => self.time >= Duration::from_secs(1),
            Service::Slow(200) => self.time >= LONGEST,
            _ => false,
        }
    }

    /// Returns true if a response that success requires never comes.
    fn ends_in_silence(self) -> bool {
        matches!(self.service, Service::Silent(_) | Service::Slow(2_000))
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell: Cell { time, service, named }, outcome, requests, took, left, .. } = self;
        let service = match service {
            Service::Normal => "normal".to_owned(),
            Service::Slow(ms) => format!("{ms} ms late"),
            Service::Silent(operation) => format!("{operation} silent"),
        };
        let alert = if *named { "bucket named" } else { "key only" };
        let [time, took, left] = [time, took, left].map(Duration::as_millis);
        write!(
            f,
            "{time:>5} ms  {service:<29} {alert:<13} {outcome:<18} {requests} requests, {took:>4} ms, {left:>4} ms left"
        )
    }
}
