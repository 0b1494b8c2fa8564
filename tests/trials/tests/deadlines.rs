//! Short times, slow answers and silence: the function answers before Lambda's deadline, whatever it got done by then.
//!
//! A process that is killed at its deadline leaves no record. The function keeps a second of its time for that, and a quarter
//! of a short one. Invariants: an answer in time with one record; success only if the key is gone; a delete that was done is
//! never denied. A cell counts only if a request met
//! its slowness or silence.
//!
//! One line a cell goes to standard error.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::{self, DeleteBucketAccessKey, GetBucketAccessKeys, GetOperation};
use lightsail_simulator::{Fault, Script, Settings as SimulatorSettings};
use responder_trials::{Lambda, REGION, Scene, Settings, say};

const TIMES_MS: [u64; 4] = [300, 500, 1_000, 3_000];

/// The longest of these times.
const LONGEST: Duration = Duration::from_secs(3);
/// Of that so much is left; of the others anything.
const LEAST_LEFT_OF_LONGEST: Duration = Duration::from_millis(500);

/// A machine that is busy may not get as far as the silence in so short a time. Then the cell is tried again.
const TRIES: usize = 5;

/// Few, since what is measured is short.
const SIDE_BY_SIDE: usize = 3;

#[derive(Clone, Copy, Debug)]
enum Weather {
    Fine,
    /// Every request is held up, for so many milliseconds.
    Slow(u64),
    /// No request of this operation is ever answered.
    Silent(Operation),
}

const WEATHERS: [Weather; 6] = [
    Weather::Fine,
    Weather::Slow(200),
    Weather::Slow(2_000),
    Weather::Silent(DeleteBucketAccessKey),
    Weather::Silent(GetOperation),
    Weather::Silent(GetBucketAccessKeys),
];

#[derive(Clone, Copy)]
struct Cell {
    time: Duration,
    weather: Weather,
    named: bool,
}

/// What came of a cell.
struct Row {
    cell: Cell,
    outcome: String,
    requests: usize,
    took: Duration,
    left: Duration,
    /// Whether the slowness or silence really met a request.
    struck: bool,
    wrong: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_comes_before_the_deadline_however_slow_lightsail_is() {
    let cells = TIMES_MS.into_iter().flat_map(|time| {
        let of_time =
            move |weather| [true, false].map(|named| Cell { time: Duration::from_millis(time), weather, named });
        WEATHERS.into_iter().flat_map(of_time)
    });
    let rows: Vec<Row> = stream::iter(cells).map(trial).buffered(SIDE_BY_SIDE).collect().await;
    for row in &rows {
        say(&row.to_string());
    }
    for time in TIMES_MS.map(Duration::from_millis) {
        let least = rows.iter().filter(|row| row.cell.time == time).map(|row| row.left).min().unwrap();
        say(&format!("of {} ms at least {} ms were left", time.as_millis(), least.as_millis()));
    }
    assert_eq!(rows.len(), TIMES_MS.len() * WEATHERS.len() * 2);
    let wrong: Vec<_> =
        rows.iter().flat_map(|row| row.wrong.iter().map(move |why| format!("{row}\n    {why}"))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The cell, until its silence has met a request. What is wrong counts even where it has not.
async fn trial(cell: Cell) -> Row {
    let mut wrong = Vec::new();
    let mut tries = 0;
    loop {
        tries += 1;
        let mut row = run(cell).await;
        wrong.append(&mut row.wrong);
        if row.struck || tries == TRIES {
            if !row.struck {
                wrong.push(format!("no request met the weather, in {tries} tries"));
            }
            return Row { wrong, ..row };
        }
    }
}

async fn run(cell: Cell) -> Row {
    let Cell { time, weather, named } = cell;
    let mut settings = SimulatorSettings::default();
    if let Weather::Slow(ms) = weather {
        settings.latency_ms = ms;
    }
    let scene = Scene::new(settings).await.unwrap();
    if let Weather::Silent(operation) = weather {
        scene.simulator.script(Script::new(operation, Fault::HangBefore).every()).unwrap();
    }
    let regions = [REGION, Scene::ELSEWHERE].join(",");
    let settings = Settings::new(&scene.simulator.endpoint()).variable("SEARCH_REGIONS", &regions);
    let mut lambda = Lambda::start(settings).unwrap();
    // The start of a process is not part of an invocation's time.
    let warmed = lambda.invoke(&Scene::ignored(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(warmed.records[0]["status_code"], "ignored", "{warmed:#?}");

    let event = if named { Scene::named() } else { Scene::key_alone() };
    let started = Instant::now();
    let answer = lambda.invoke(&event, time).await.unwrap();
    let took = started.elapsed();
    let left = time.saturating_sub(took);

    let seen = scene.simulator.requests();
    let struck = match weather {
        Weather::Fine => true,
        Weather::Slow(ms) => {
            let waited = took >= Duration::from_millis(ms) || seen.iter().any(|seen| seen.status.is_none());
            !seen.is_empty() && waited
        }
        Weather::Silent(_) => seen.iter().any(|seen| seen.fault.as_deref() == Some("hang_before")),
    };
    let mut wrong = scene.wrong(&answer);
    wrong.extend(scene.denied(&answer));
    let record = answer.records.first().cloned().unwrap_or_default();
    let outcome = record["status_code"].as_str().unwrap_or("no record").to_owned();
    let mut unless = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{what}: {record}"));
        }
    };
    unless(!left.is_zero(), "the answer came after the deadline");
    let least = if time == LONGEST { LEAST_LEFT_OF_LONGEST } else { Duration::ZERO };
    unless(left >= least, "the answer came just before the deadline");
    unless(!cell.is_enough_time() || outcome == "revoked", "there was time enough");
    unless(!cell.ends_in_silence() || answer.response.is_err(), "success is said without an answer");
    Row { cell, outcome, requests: seen.len(), took, left, struck, wrong }
}

impl Cell {
    /// Whether all can be done, even on a machine that is busy: some five calls, one after the other.
    fn is_enough_time(self) -> bool {
        match self.weather {
            Weather::Fine => self.time >= Duration::from_secs(1),
            Weather::Slow(200) => self.time >= LONGEST,
            _ => false,
        }
    }

    /// Whether what is needed for a success never comes.
    fn ends_in_silence(self) -> bool {
        matches!(self.weather, Weather::Silent(_) | Weather::Slow(2_000))
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell: Cell { time, weather, named }, outcome, requests, took, left, .. } = self;
        let weather = match weather {
            Weather::Fine => "fine".to_owned(),
            Weather::Slow(ms) => format!("{ms} ms late"),
            Weather::Silent(operation) => format!("{operation} silent"),
        };
        let alert = if *named { "bucket named" } else { "key alone" };
        let [time, took, left] = [time, took, left].map(Duration::as_millis);
        write!(
            f,
            "{time:>5} ms  {weather:<29} {alert:<13} {outcome:<18} {requests} requests, {took:>4} ms, {left:>4} ms left"
        )
    }
}
