//! Trials with each network fault at the first call of a search and at the delete: at the first attempt, or at all
//! attempts from then on.
//!
//! The simulation proves the other calls and the last attempt in simulated time. Only real sockets show how the client
//! reports a fault of TCP or TLS, and that does not depend on the call.
//!
//! The order of the calls makes each cell deterministic. With one request per connection, one Region and one bucket,
//! connection 1 is `GetBuckets`, 2 is the search's `GetBucketAccessKeys`, 3 is the delete, 4 is `GetOperation`, and 5
//! is the verification. The timeouts are those of production.
//!
//! Invariants: success means that the key is gone. There is always one record before the deadline. It never denies a
//! delete that took effect. A cell counts only if its fault met the intended attempt. The attempt numbers of the
//! requests that arrived show this.
//!
//! Each cell writes one line to standard error.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use lightsail_simulator::Operation::{self, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation};
use lightsail_simulator::{SeenRequest, Settings as SimulatorSettings};
use responder_harness::{Answer, Gate, Lambda, NetworkFault, Plan, REGION, Scene, Settings, report};
use serde_json::Value;
use tokio::net::TcpStream;

/// Network faults of the table. The cell sets the duration of an outage.
const FAULTS: [NetworkFault; 7] = [
    NetworkFault::Refused(None),
    NetworkFault::BlackHole(None),
    NetworkFault::TlsGarbage,
    NetworkFault::WrongCertificate,
    NetworkFault::WrongName,
    NetworkFault::AcceptAndHang,
    NetworkFault::ResetAtOnce,
];

/// Calls of one revocation with a search, in order. Beside the first one AWS is asked for its Regions, on a connection of
/// its own, which is the second.
const CALLS: [(&str, Operation); 5] = [
    ("GetBuckets", GetBuckets),
    ("keys: search", GetBucketAccessKeys),
    ("delete", DeleteBucketAccessKey),
    ("GetOperation", GetOperation),
    ("keys: verify", GetBucketAccessKeys),
];
const SEARCH: usize = 0;
const DELETE: usize = 2;

/// Attempts of the call that meet the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Every,
}

/// Maximum attempts of one call in production.
const ATTEMPTS: u32 = 5;

/// Timeout of the function for a fault that ends: a silent attempt takes three seconds, and ten at the delete.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of the function for an endless fault. It is short, because silence lasts until the deadline.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum time between the answer and Lambda's deadline. The function reserves one second.
const MIN_LEFT: Duration = Duration::from_millis(500);

/// Concurrency limit of the cells. It is high, because cells mostly wait.
const CONCURRENT_CELLS: usize = 24;

/// Maximum connections of a cell: two calls before the delete, and five attempts of the delete, a read and the list of
/// Regions.
const MAX_CONNECTIONS: usize = 17;

/// Duration of a refusal at a first attempt. It is so short that later attempts, after backoff with jitter, miss it. It
/// grows with each try.
const REFUSED_AT_FIRST: Duration = Duration::from_millis(50);
/// Duration of a black hole at a first attempt. The attempt ends after 2.5 s, and the kernel repeats its SYN after one
/// second and, since Linux 6.5, after two. The duration is longer, because otherwise these SYNs could still connect.
const BLACK_HOLE_AT_FIRST: Duration = Duration::from_millis(2_300);
/// Maximum tries of a cell. On a busy machine, the function may come too late for a short outage, or have all five
/// attempts in it. A fault of the first call may meet the list of Regions, which is asked for at the same time.
const TRIES: u32 = 12;

#[derive(Clone, Copy)]
struct Cell {
    fault: NetworkFault,
    call: usize,
    attempt: Attempt,
}

/// Result of a cell.
struct Row {
    cell: Cell,
    outcome: String,
    requests: usize,
    connections: usize,
    took: Duration,
    /// True if the fault met the intended attempt.
    hit: bool,
    tries: u32,
    violations: Vec<String>,
}

/// Lightsail, gate and function of one cell.
struct Setup {
    scene: Scene,
    gate: Gate,
    lambda: Lambda,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_per_connection_keeps_call_order() {
    for tls in [false, true] {
        let mut setup = Setup::new(&format!("order-{tls}"), tls, Plan::new([])).await;
        let answer = setup.lambda.invoke(&Scene::key_only(), TIMEOUT).await.unwrap();
        assert_eq!(answer.records[0]["status_code"], "revoked", "{answer:#?}");
        let seen = requests(&setup);
        // The list of Regions is asked for at the same time as the first call, and may be connected first.
        let connection = |seen: &SeenRequest| if seen.connection == 2 { 1 } else { seen.connection };
        let order: Vec<_> = seen.iter().map(|seen| (connection(seen), seen.attempt, seen.operation.as_str())).collect();
        let expected = CALLS.iter().enumerate();
        let expected =
            expected.map(|(number, (_, call))| (connections_before(number) as u64 + 1, Some(1), call.name()));
        assert_eq!(order, expected.collect::<Vec<_>>());
        assert_eq!((setup.gate.accepted(), setup.gate.faults()), (CALLS.len() + 1, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network_faults_never_cause_false_success() {
    let started = Instant::now();
    let mut rows: Vec<(usize, Row)> = stream::iter(cells().into_iter().enumerate())
        .map(|(number, cell)| async move { (number, trial(cell).await) })
        .buffer_unordered(CONCURRENT_CELLS)
        .collect()
        .await;
    rows.sort_by_key(|(number, _)| *number);
    report(&format!(
        "{:<17} {:<13} {:<8} outcome            requests connections     ms tries",
        "fault", "call", "attempt"
    ));
    for (_, row) in &rows {
        report(&row.to_string());
    }
    let requests: usize = rows.iter().map(|(_, row)| row.requests).sum();
    let longest = rows.iter().map(|(_, row)| row.took).max().unwrap();
    let repeated: u32 = rows.iter().map(|(_, row)| row.tries - 1).sum();
    report(&format!(
        "{} cells, {requests} requests, longest answer {} ms, {repeated} repeated because an outage missed; {:.1} s",
        rows.len(),
        longest.as_millis(),
        started.elapsed().as_secs_f64()
    ));
    assert_eq!(rows.len(), FAULTS.len() * 2 * 2);
    let violations: Vec<_> = rows
        .iter()
        .flat_map(|(_, row)| row.violations.iter().map(move |violation| format!("{row}\n    {violation}")))
        .collect();
    assert!(violations.is_empty(), "{} findings:\n{}", violations.len(), violations.join("\n"));
}

fn cells() -> Vec<Cell> {
    let cells_of = |fault, call| [Attempt::First, Attempt::Every].map(|attempt| Cell { fault, call, attempt });
    FAULTS
        .into_iter()
        .flat_map(|fault| [SEARCH, DELETE].into_iter().flat_map(move |call| cells_of(fault, call)))
        .collect()
}

/// Repeats the cell until its fault meets the attempt. Violations of all tries count.
async fn trial(cell: Cell) -> Row {
    let mut violations = Vec::new();
    let mut tries = 0;
    loop {
        tries += 1;
        let mut row = run(cell, tries).await;
        row.tries = tries;
        violations.append(&mut row.violations);
        if row.hit && row.outcome != cell.outcome() {
            violations.push(format!("the outcome is not {}", cell.outcome()));
        }
        if row.hit || tries == TRIES {
            if !row.hit {
                violations.push(format!("the fault did not meet the intended attempt in {tries} tries"));
            }
            return Row { violations, ..row };
        }
    }
}

async fn run(cell: Cell, number: u32) -> Row {
    let name = format!("{}-{}-{:?}-{number}", cell.fault_name(), cell.call, cell.attempt);
    let mut setup = Setup::new(&name, cell.needs_tls(), cell.plan(number)).await;
    // The start of the process makes no call, so that the trial measures only the network.
    let warmed = setup.lambda.invoke(&Scene::ignored(), TIMEOUT).await.unwrap();
    assert_eq!(warmed.records[0]["status_code"], "ignored", "{warmed:#?}");
    assert_eq!(setup.scene.simulator.requests(), []);
    if cell.needs_first_connection() {
        drop(TcpStream::connect(setup.gate.address()).await.unwrap());
    }
    let started = Instant::now();
    let answer = setup.lambda.invoke(&Scene::key_only(), cell.timeout()).await.unwrap();
    let took = started.elapsed();

    let seen = requests(&setup);
    let connections = setup.gate.accepted();
    let record = answer.records.first().cloned().unwrap_or_default();
    Row {
        cell,
        outcome: record["status_code"].as_str().unwrap_or("no record").to_owned(),
        requests: seen.len(),
        connections,
        took,
        hit: setup.gate.faults() > 0 && cell.was_hit(&seen) && !slipped_through(cell, &record),
        tries: 0,
        violations: violations(cell, &setup, &answer, &record, took),
    }
}

/// Returns the requests of [`CALLS`].
fn requests(setup: &Setup) -> Vec<SeenRequest> {
    let seen = setup.scene.simulator.requests().into_iter();
    seen.filter(|seen| seen.operation != Operation::GetRegions).collect()
}

/// Returns the number of connections before that of a call.
fn connections_before(call: usize) -> usize {
    call + usize::from(call > 0)
}

/// Returns all violations of the invariants.
fn violations(cell: Cell, setup: &Setup, answer: &Answer, record: &Value, took: Duration) -> Vec<String> {
    let mut violations = setup.scene.violations(answer);
    violations.extend(setup.scene.false_denial(answer));
    let mut require = |holds: bool, problem: &dyn Display| {
        if !holds {
            violations.push(format!("{problem}; record: {record}"));
        }
    };
    require(took + MIN_LEFT <= cell.timeout(), &format_args!("the answer took {took:?}"));
    let requests = requests(setup).len();
    require(requests <= CALLS.len(), &format_args!("{requests} requests"));
    let connections = setup.gate.accepted();
    require(connections <= MAX_CONNECTIONS, &format_args!("{connections} connections"));
    if cell.call == DELETE && cell.attempt != Attempt::First && cell.sends_nothing() && !slipped_through(cell, record) {
        let may_have_taken_effect = &record["unmapped"]["failure"]["may_have_taken_effect"];
        let exists = setup.scene.key_exists();
        require(exists && may_have_taken_effect == false, &"no delete was sent, but the record does not say so");
    }
    violations
}

/// Returns true if the kernel accepted a connection while the gate closed, and then reset it. In this case the function
/// wrote a request that no server read, and cannot rule out its effect. This is rare, and such a try does not count.
fn slipped_through(cell: Cell, record: &Value) -> bool {
    cell.call == DELETE && cell.is_outage() && record["unmapped"]["failure"]["may_have_taken_effect"] == true
}

impl Cell {
    fn fault_name(&self) -> String {
        format!("{:?}", self.fault).split('(').take(1).collect()
    }

    fn is_outage(&self) -> bool {
        matches!(self.fault, NetworkFault::Refused(_) | NetworkFault::BlackHole(_))
    }

    fn needs_tls(&self) -> bool {
        matches!(self.fault, NetworkFault::TlsGarbage | NetworkFault::WrongCertificate | NetworkFault::WrongName)
    }

    /// Returns true if the request cannot have left the function.
    fn sends_nothing(&self) -> bool {
        self.is_outage() || self.needs_tls()
    }

    /// Returns true if the trial itself must open a connection. A short outage starts with the preceding connection,
    /// and the first call has none.
    fn needs_first_connection(&self) -> bool {
        self.call == 0 && self.attempt == Attempt::First && self.is_outage()
    }

    fn timeout(&self) -> Duration {
        if self.attempt == Attempt::First { TIMEOUT } else { SHORT_TIMEOUT }
    }

    fn plan(&self, number: u32) -> Plan {
        let before = connections_before(self.call) + usize::from(self.needs_first_connection());
        let before = std::iter::repeat_n(NetworkFault::Pass, before);
        if self.attempt == Attempt::Every {
            return Plan::new(before).then(self.fault);
        }
        let fault = match self.fault {
            NetworkFault::Refused(_) => NetworkFault::Refused(Some(REFUSED_AT_FIRST * number)),
            NetworkFault::BlackHole(_) => NetworkFault::BlackHole(Some(BLACK_HOLE_AT_FIRST)),
            fault => fault,
        };
        Plan::new(before.chain([fault]))
    }

    /// Returns true if the attempt numbers of the arrived requests show that the call met the fault.
    fn was_hit(&self, seen: &[SeenRequest]) -> bool {
        let (_, operation) = CALLS[self.call];
        let is = |seen: &SeenRequest, operation: Operation, attempt| {
            seen.operation == operation && seen.attempt == Some(attempt)
        };
        let earlier = CALLS[..self.call].iter();
        let (before, after) = seen.split_at(seen.len().min(self.call));
        if before.len() < self.call || !before.iter().zip(earlier).all(|(seen, (_, call))| is(seen, *call, 1)) {
            return false;
        }
        let max_attempt = if self.is_outage() { ATTEMPTS } else { 2 };
        match self.attempt {
            Attempt::First => {
                after.first().is_some_and(|seen| (2..=max_attempt).any(|attempt| is(seen, operation, attempt)))
            }
            Attempt::Every => after.is_empty(),
        }
    }

    /// Returns the expected outcome.
    fn outcome(&self) -> &'static str {
        match (self.attempt, self.call) {
            (Attempt::First, _) => "revoked",
            (Attempt::Every, SEARCH) => "search_incomplete",
            (Attempt::Every, _) => "failed",
        }
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell, outcome, requests, connections, took, tries, .. } = self;
        let (call, _) = CALLS[cell.call];
        let attempt = format!("{:?}", cell.attempt).to_lowercase();
        let (fault, ms) = (cell.fault_name(), took.as_millis());
        write!(
            f,
            "{fault:<17} {call:<13} {attempt:<8} {outcome:<18} {requests:>8} {connections:>11} {ms:>6} {tries:>5}"
        )
    }
}

impl Setup {
    /// Starts everything for one cell. `name` is the unique file name of its root store. The search excludes the other
    /// bucket's Region, because it would read both buckets concurrently.
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
