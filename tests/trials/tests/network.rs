//! The network fails at every call, in every way, at the first attempt, at the last, or from then on for good.
//!
//! Order is what makes a cell certain: with one request a connection, one Region and one bucket, connection 1 is
//! `GetBuckets`, 2 the search's `GetBucketAccessKeys`, 3 the delete, 4 `GetOperation`, 5 the proof. The pace is that of
//! production. Invariants: success is said only of a key that is gone; whatever happens there is one record, in time, and it
//! never denies a delete that was done. A cell counts only if its fault met the attempt that it is about, which the numbers of
//! the attempts that did arrive tell.
//!
//! One line a cell goes to standard error.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::{self, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation};
use lightsail_simulator::{Fault, Script, SeenRequest, Settings as SimulatorSettings};
use responder_trials::{Answer, Befalls, Gate, Lambda, Plan, REGION, Scene, Settings, say};
use serde_json::Value;
use tokio::net::TcpStream;

/// Of an outage, without its length.
const FAULTS: [Befalls; 7] = [
    Befalls::Refused(None),
    Befalls::BlackHole(None),
    Befalls::TlsGarbage,
    Befalls::WrongCertificate,
    Befalls::WrongName,
    Befalls::AcceptAndHang,
    Befalls::ResetAtOnce,
];

/// The calls of one revocation with a search, in their order.
const CALLS: [(&str, Operation); 5] = [
    ("GetBuckets", GetBuckets),
    ("keys: search", GetBucketAccessKeys),
    ("delete", DeleteBucketAccessKey),
    ("GetOperation", GetOperation),
    ("keys: proof", GetBucketAccessKeys),
];
const SEARCH: usize = 1;
const DELETE: usize = 2;

/// Which attempts of the call a fault befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Every,
    Last,
}

/// Attempts of one call in production.
const ATTEMPTS: u32 = 5;

/// Enough for five attempts to connect, of a second each.
const TIME: Duration = Duration::from_secs(12);
/// An answer comes so long before Lambda's deadline. The function keeps a second.
const LEAST_LEFT: Duration = Duration::from_millis(500);

/// Mostly they wait.
const SIDE_BY_SIDE: usize = 24;

/// The five calls, and four attempts that are throttled.
const MOST_REQUESTS: usize = 9;
/// Every call has five attempts. What is unfinished is asked for again with growing pauses as long as there is time: eleven
/// times for the operation and seven for the proof, when every connection fails at once.
const MOST_CONNECTIONS: usize = 100;

/// An outage that befalls a first attempt: so short that later ones, after random pauses, miss it. Longer with each try.
const REFUSED_AT_FIRST: Duration = Duration::from_millis(50);
/// Longer than the second after which the attempt ends, and the kernel would connect all the same. The next attempt may meet
/// it as well, and those after that do not.
const DARK_AT_FIRST: Duration = Duration::from_millis(1_300);
/// One that befalls a last attempt, which comes after a pause of up to 0.8 s.
const AT_LAST: Duration = Duration::from_secs(2);
/// A function on a busy machine may come too late for a short outage, or have all five attempts in it; and what gets through
/// after a long one may be the fifth attempt of a later call. Then the cell is tried again.
const TRIES: u32 = 12;

#[derive(Clone, Copy)]
struct Cell {
    befalls: Befalls,
    call: usize,
    attempt: Attempt,
}

/// What came of a cell.
struct Row {
    cell: Cell,
    outcome: String,
    requests: usize,
    connections: usize,
    took: Duration,
    /// Whether the fault met the attempt that the cell is about.
    struck: bool,
    tries: u32,
    wrong: Vec<String>,
}

/// Lightsail, gate and function of one cell.
struct Stage {
    scene: Scene,
    gate: Gate,
    lambda: Lambda,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_request_a_connection_the_calls_come_in_their_order() {
    for tls in [false, true] {
        let mut stage = Stage::new(&format!("order-{tls}"), tls, Plan::new([])).await;
        let answer = stage.lambda.invoke(&Scene::key_alone(), TIME).await.unwrap();
        assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
        let seen = stage.scene.simulator.requests();
        let order: Vec<_> = seen.iter().map(|seen| (seen.connection, seen.attempt, seen.operation.as_str())).collect();
        let expected = (1..).zip(CALLS).map(|(number, (_, call))| (number, Some(1), call.name()));
        assert_eq!(order, expected.collect::<Vec<_>>());
        assert_eq!((stage.gate.accepted(), stage.gate.struck()), (CALLS.len(), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_network_does_success_is_said_only_of_a_key_that_is_gone_and_a_record_says_so_in_time() {
    let started = Instant::now();
    let mut rows: Vec<(usize, Row)> = stream::iter(cells().into_iter().enumerate())
        .map(|(number, cell)| async move { (number, trial(cell).await) })
        .buffer_unordered(SIDE_BY_SIDE)
        .collect()
        .await;
    rows.sort_by_key(|(number, _)| *number);
    say(&format!(
        "{:<17} {:<13} {:<8} outcome            requests connections     ms tries",
        "fault", "call", "attempt"
    ));
    for (_, row) in &rows {
        say(&row.to_string());
    }
    let requests: usize = rows.iter().map(|(_, row)| row.requests).sum();
    let longest = rows.iter().map(|(_, row)| row.took).max().unwrap();
    let again: u32 = rows.iter().map(|(_, row)| row.tries - 1).sum();
    say(&format!(
        "{} cells, {requests} requests, longest answer {} ms, least time left before the deadline {} ms, {again} tried again \
         since an outage had missed; {:.1} s",
        rows.len(),
        longest.as_millis(),
        TIME.saturating_sub(longest).as_millis(),
        started.elapsed().as_secs_f64()
    ));
    assert_eq!(rows.len(), FAULTS.len() * CALLS.len() * 3);
    let wrong: Vec<_> =
        rows.iter().flat_map(|(_, row)| row.wrong.iter().map(move |why| format!("{row}\n    {why}"))).collect();
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
}

fn cells() -> Vec<Cell> {
    let attempts = [Attempt::First, Attempt::Every, Attempt::Last];
    let of_call = move |befalls, call| attempts.map(|attempt| Cell { befalls, call, attempt });
    FAULTS.into_iter().flat_map(|befalls| (0..CALLS.len()).flat_map(move |call| of_call(befalls, call))).collect()
}

/// The cell, until its fault has struck. What is wrong counts even where it has not.
async fn trial(cell: Cell) -> Row {
    let mut wrong = Vec::new();
    let mut tries = 0;
    loop {
        tries += 1;
        let mut row = run(cell, tries).await;
        row.tries = tries;
        wrong.append(&mut row.wrong);
        if row.struck && row.outcome != cell.outcome() {
            wrong.push(format!("the outcome is not {}", cell.outcome()));
        }
        if row.struck || !cell.is_outage() || tries == TRIES {
            if !row.struck {
                wrong.push(format!("the fault did not meet the attempt that it was for, in {tries} tries"));
            }
            return Row { wrong, ..row };
        }
    }
}

async fn run(cell: Cell, number: u32) -> Row {
    let name = format!("{}-{}-{:?}-{number}", cell.fault(), cell.call, cell.attempt);
    let mut stage = Stage::new(&name, cell.needs_tls(), cell.plan(number)).await;
    if let Some(script) = cell.script() {
        stage.scene.simulator.script(script).unwrap();
    }
    // It starts without a call to anybody, so that what is measured is the network's and not the start's.
    let warmed = stage.lambda.invoke(&Scene::ignored(), TIME * 5).await.unwrap();
    assert_eq!(warmed.records[0]["status_code"], "ignored", "{warmed:#?}");
    assert_eq!(stage.scene.simulator.requests(), []);
    if cell.needs_a_knock() {
        drop(TcpStream::connect(stage.gate.address()).await.unwrap());
    }
    let started = Instant::now();
    let answer = stage.lambda.invoke(&Scene::key_alone(), TIME).await.unwrap();
    let took = started.elapsed();

    let seen = stage.scene.simulator.requests();
    let connections = stage.gate.accepted();
    let record = answer.records.first().cloned().unwrap_or_default();
    Row {
        cell,
        outcome: record["status_code"].as_str().unwrap_or("no record").to_owned(),
        requests: seen.len(),
        connections,
        took,
        struck: stage.gate.struck() > 0 && cell.struck(&seen) && !was_let_in(cell, &record),
        tries: 0,
        wrong: wrong(cell, &stage, &answer, &record, took),
    }
}

/// Everything that must hold and does not.
fn wrong(cell: Cell, stage: &Stage, answer: &Answer, record: &Value, took: Duration) -> Vec<String> {
    let mut wrong = stage.scene.wrong(answer);
    wrong.extend(stage.scene.denied(answer));
    let mut unless = |holds: bool, what: &dyn Display| {
        if !holds {
            wrong.push(format!("{what}; record: {record}"));
        }
    };
    unless(took + LEAST_LEFT <= TIME, &format_args!("the answer took {took:?}"));
    let requests = stage.scene.simulator.requests().len();
    unless(requests <= MOST_REQUESTS, &format_args!("{requests} requests"));
    let connections = stage.gate.accepted();
    unless(connections <= MOST_CONNECTIONS, &format_args!("{connections} connections"));
    if cell.call == DELETE && cell.attempt != Attempt::First && cell.sends_nothing() && !was_let_in(cell, record) {
        let may_be_done = &record["unmapped"]["failure"]["may_have_taken_effect"];
        let there = stage.scene.key_is_there();
        unless(there && may_be_done == false, &"no delete was sent, and the record does not say so");
    }
    wrong
}

/// Whether the kernel took a connection while the gate was being closed, and reset it: then something was written, to nobody,
/// and the function may not rule it out. Rare; such a try does not count.
fn was_let_in(cell: Cell, record: &Value) -> bool {
    cell.call == DELETE && cell.is_outage() && record["unmapped"]["failure"]["may_have_taken_effect"] == true
}

impl Cell {
    fn fault(&self) -> String {
        format!("{:?}", self.befalls).split('(').take(1).collect()
    }

    fn is_outage(&self) -> bool {
        matches!(self.befalls, Befalls::Refused(_) | Befalls::BlackHole(_))
    }

    fn needs_tls(&self) -> bool {
        matches!(self.befalls, Befalls::TlsGarbage | Befalls::WrongCertificate | Befalls::WrongName)
    }

    /// Whether the request cannot have left the function.
    fn sends_nothing(&self) -> bool {
        self.is_outage() || self.needs_tls()
    }

    /// A short outage begins with the connection before. The very first has none before it, so the trial itself makes one.
    fn needs_a_knock(&self) -> bool {
        self.call == 0 && self.attempt == Attempt::First && self.is_outage()
    }

    fn plan(&self, number: u32) -> Plan {
        let throttled = if self.attempt == Attempt::Last { ATTEMPTS as usize - 1 } else { 0 };
        let before = self.call + throttled + usize::from(self.needs_a_knock());
        let before = std::iter::repeat_n(Befalls::Pass, before);
        if self.attempt == Attempt::Every {
            return Plan::new(before).then(self.befalls);
        }
        let first = self.attempt == Attempt::First;
        let befalls = match self.befalls {
            Befalls::Refused(_) => Befalls::Refused(Some(if first { REFUSED_AT_FIRST * number } else { AT_LAST })),
            Befalls::BlackHole(_) => Befalls::BlackHole(Some(if first { DARK_AT_FIRST } else { AT_LAST })),
            befalls => befalls,
        };
        Plan::new(before.chain([befalls]))
    }

    /// What has the first four attempts fail, where the fault is for the fifth.
    fn script(&self) -> Option<Script> {
        let (_, operation) = CALLS[self.call];
        let before = CALLS[..self.call].iter().filter(|(_, earlier)| *earlier == operation).count();
        let throttled = Script::new(operation, Fault::Throttled).times(ATTEMPTS - 1).after(before as u32);
        (self.attempt == Attempt::Last).then_some(throttled)
    }

    /// Whether the requests that arrived, which have the numbers of their attempts, are those of a call that met the fault.
    fn struck(&self, seen: &[SeenRequest]) -> bool {
        let (_, operation) = CALLS[self.call];
        let is = |seen: &SeenRequest, operation: Operation, attempt| {
            seen.operation == operation && seen.attempt == Some(attempt)
        };
        let earlier = CALLS[..self.call].iter();
        let (before, after) = seen.split_at(seen.len().min(self.call));
        if before.len() < self.call || !before.iter().zip(earlier).all(|(seen, (_, call))| is(seen, *call, 1)) {
            return false;
        }
        let most = if self.is_outage() { ATTEMPTS } else { 2 };
        match self.attempt {
            Attempt::First => after.first().is_some_and(|seen| (2..=most).any(|attempt| is(seen, operation, attempt))),
            Attempt::Every => after.is_empty(),
            Attempt::Last => {
                let throttled = after.iter().take_while(|seen| seen.fault.as_deref() == Some("throttled"));
                let numbered = throttled.zip(1..).take_while(|(seen, attempt)| is(seen, operation, *attempt)).count();
                numbered == ATTEMPTS as usize - 1 && !after.iter().any(|seen| is(seen, operation, ATTEMPTS))
            }
        }
    }

    /// How it must end.
    fn outcome(&self) -> &'static str {
        match (self.attempt, self.call) {
            (Attempt::First, _) => "revoked",
            (_, 0..=SEARCH) => "search_incomplete",
            (_, DELETE) => "failed",
            (Attempt::Every, _) => "unconfirmed",
            // What is unfinished is asked for again.
            (Attempt::Last, _) => "revoked",
        }
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell, outcome, requests, connections, took, tries, .. } = self;
        let (call, _) = CALLS[cell.call];
        let attempt = format!("{:?}", cell.attempt).to_lowercase();
        let (fault, ms) = (cell.fault(), took.as_millis());
        write!(
            f,
            "{fault:<17} {call:<13} {attempt:<8} {outcome:<18} {requests:>8} {connections:>11} {ms:>6} {tries:>5}"
        )
    }
}

impl Stage {
    /// `name` is for a file of this stage's own. The search does not come to the other bucket's Region: it would read both
    /// side by side.
    async fn new(name: &str, tls: bool, plan: Plan) -> Self {
        let settings = SimulatorSettings { keep_alive: false, ..SimulatorSettings::default() };
        let scene = Scene::new(settings).await.unwrap();
        let gate = Gate::start(scene.simulator.address(), tls, plan).await.unwrap();
        let mut settings = Settings::new(&gate.endpoint()).variable("SEARCH_REGIONS", REGION);
        if let Some(pem) = gate.ca_pem() {
            let authority = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("network-{name}.pem"));
            fs::write(&authority, pem).unwrap();
            settings = settings.variable("SSL_CERT_FILE", authority.to_str().unwrap());
        }
        let lambda = Lambda::start(settings).unwrap();
        Self { scene, gate, lambda }
    }
}
