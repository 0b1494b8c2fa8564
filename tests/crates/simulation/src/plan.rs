//! Seed -> the plan of an incident: alert, faults, Regions, network, and the retries of Lambda and SQS.

use std::time::Duration;

use fastrand::Rng;
use lightsail_simulator::{Dialect, Fault, NewRegion, OptInRegions, Script, TagDeny};

use crate::network::{ConnectFault, Fate};
use crate::routes::Route;
use crate::weather::{Spell, Weather};

/// Lambda's pauses before it retries an asynchronous invocation (Lambda guide, "How Lambda handles errors and retries
/// with asynchronous invocation").
pub const RETRY_AFTER: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];

/// Pause after which SQS delivers a failed message again: `VisibilityTimeout` of the queue in the template. It delivers
/// three times, too.
pub const SQS_RETRY_AFTER: Duration = Duration::from_secs(360);

/// Longest time that a message is in transit. AWS's clock is Tokio's too, so a late delete would arrive after the freeze
/// and not during it. Idle connections survive this time.
pub const IN_TRANSIT: Duration = Duration::from_secs(4);

/// Everything that happens in one incident.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Contents of the alert.
    pub route: Route,
    /// Buckets per page.
    pub page_size: usize,
    /// Polls until an operation has ended.
    pub done_at_poll: u32,
    /// Timeout of the function.
    pub timeout: Duration,
    /// Latency of every request.
    pub latency_ms: u64,
    /// Faults of calls.
    pub faults: Vec<CallFault>,
    /// Regions that are slow, lossy or hung.
    pub weather: Vec<Spell>,
    /// Faults of the first connection attempts.
    pub connect: Vec<ConnectFault>,
    /// Start of a second delivery of the same alert, after the first. None if deliveries do not overlap.
    pub overlap: Option<Duration>,
    /// Freezes before the retries.
    pub freezes: Vec<Freeze>,
    /// Behaviour of AWS where it has not published any: the default in half of the incidents, but for what the route is
    /// about.
    pub dialect: Dialect,
}

/// Fault of one call.
#[derive(Clone, Debug)]
pub struct CallFault {
    /// API operation.
    pub operation: &'static str,
    /// Region, or all.
    pub region: Option<&'static str>,
    /// The fault.
    pub fault: Fault,
    /// Matching requests before it.
    pub after: u32,
    /// Matching requests that it hits. None for all.
    pub times: Option<u32>,
}

/// Lambda freezes the process between two invocations.
#[derive(Clone, Debug)]
pub struct Freeze {
    /// Whether Tokio's clock stands still after [`IN_TRANSIT`]. If not, the pool's own timer closes idle connections.
    pub stands_still: bool,
    /// Time that passes after the pause, on the wall clock only.
    pub beyond: Duration,
    /// Fates of the open connections, in turn.
    pub fates: Vec<Fate>,
}

/// Routes to pick from. Those with one key are more frequent, because they cost less.
const ROUTES: [Route; 27] = [
    Route::Named,
    Route::Named,
    Route::Named,
    Route::NamedWrong,
    Route::NamedWrong,
    Route::NamedMissing,
    Route::Searched,
    Route::Searched,
    Route::Searched,
    Route::Nowhere,
    Route::Member,
    Route::Member,
    Route::Several,
    Route::Twice,
    Route::Accounts,
    Route::Unowned,
    Route::NeverUsed,
    Route::Batch,
    Route::BatchTwice,
    Route::NamedNew,
    Route::SearchedNew,
    Route::NamedOptIn,
    Route::RegionOptIn,
    Route::WrongOptIn,
    Route::SearchedOptIn,
    Route::NamedProtected,
    Route::SearchedProtected,
];

impl Plan {
    /// Makes the plan of a seed.
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let route = pick(rng, &ROUTES);
        let weather = route.regions().iter().filter_map(|region| Spell::of(rng, region)).collect();
        let faults = (0..rng.usize(0..6)).map(|_| CallFault::of(rng, route)).collect();
        let connect = 0..rng.usize(0..12).saturating_sub(8);
        let connect = connect.map(|_| pick(rng, &[ConnectFault::Refused, ConnectFault::Silent])).collect();
        Self {
            route,
            page_size: rng.usize(1..4),
            done_at_poll: rng.u32(0..3),
            timeout: pick(rng, &[60, 60, 60, 30, 5].map(Duration::from_secs)),
            latency_ms: pick(rng, &[0, 1, 5, 20, 80]),
            faults,
            weather,
            connect,
            overlap: (rng.u8(0..5) == 0).then(|| Duration::from_millis(rng.u64(0..2_000))),
            freezes: RETRY_AFTER.iter().map(|_| Freeze::of(rng)).collect(),
            dialect: dialect(rng, route),
        }
    }
}

impl CallFault {
    fn of(rng: &mut Rng, route: Route) -> Self {
        const DELETE: &str = "DeleteBucketAccessKey";
        let reads =
            ["GetOperation", "GetOperation", "GetBucketAccessKeys", "GetBucketAccessKeys", "GetBuckets", "GetRegions"];
        let operation = match rng.u8(0..10) {
            0..4 => DELETE,
            4 if route.has_member() => "AssumeRole",
            _ => pick(rng, &reads),
        };
        let fault = match rng.u8(0..5) {
            0 if operation == DELETE => delete_fault(rng),
            _ => call_fault(rng, operation),
        };
        let region = (rng.u8(0..4) == 0 && operation != "AssumeRole").then(|| pick(rng, route.regions()));
        let times = (rng.u8(0..5) > 0).then(|| rng.u32(1..6));
        Self { operation, region, fault, after: rng.u32(0..4), times }
    }

    /// Returns the simulator's form of it.
    pub fn script(&self) -> Script {
        let script = Script::new(self.operation, self.fault.clone()).after(self.after);
        let script = self.region.map_or(script.clone(), |region| script.in_region(region));
        self.times.map_or_else(|| script.clone().every(), |times| script.clone().times(times))
    }
}

impl Spell {
    /// Makes the weather of a Region: mostly none, else for the whole incident or for a time.
    fn of(rng: &mut Rng, region: &'static str) -> Option<Self> {
        let milliseconds = |rng: &mut Rng, choices: &[u64]| Duration::from_millis(pick(rng, choices));
        let weather = match rng.u8(0..20) {
            0 | 1 => Weather::Slow {
                connect: milliseconds(rng, &[10, 100, 400, 900]),
                message: milliseconds(rng, &[50, 100, 250, 500, 1_000, 2_000]),
            },
            2 => Weather::Lossy { percent: pick(rng, &[5, 20, 40, 70]) },
            3 => Weather::Hung { accepts: rng.bool() },
            _ => return None,
        };
        let (from, lasts) = match rng.u8(0..3) {
            0 => (0, 86_400_000),
            1 => (0, rng.u64(500..90_000)),
            _ => (rng.u64(0..5_000), rng.u64(500..90_000)),
        };
        let [from, until] = [from, from + lasts].map(Duration::from_millis);
        Some(Self { region, weather, from, until })
    }
}

impl Freeze {
    fn of(rng: &mut Rng) -> Self {
        // A session in a member account lasts 15 minutes. Lambda keeps processes for hours.
        let beyond = match rng.u8(0..7) {
            0 | 1 => 0,
            2 => 10,
            3 => 600,
            4 => rng.u64(700..900),
            5 => 1_200,
            _ => 3_700,
        };
        let beyond = Duration::from_secs(beyond);
        let fates = [Fate::Open, Fate::Open, Fate::Closed, Fate::Reset, Fate::Forgotten];
        let fates = (0..rng.usize(1..4)).map(|_| pick(rng, &fates)).collect();
        Self { stands_still: rng.bool(), beyond, fates }
    }
}

/// Draws the dialect of an incident, so that the key of the route can be where it is, and may be out of reach there.
fn dialect(rng: &mut Rng, route: Route) -> Dialect {
    let mut dialect = if rng.bool() { Dialect::nth(rng.u64(0..Dialect::COUNT)) } else { Dialect::default() };
    if route.is_new() {
        dialect.new_region = NewRegion::Listed;
    }
    if route.is_opt_in() && rng.bool() {
        dialect.opt_in_regions = OptInRegions::Disabled;
    }
    if route.is_protected() && rng.bool() {
        dialect.tag_deny = TagDeny::Ignored;
    }
    dialect
}

/// Faults of a delete's work.
fn delete_fault(rng: &mut Rng) -> Fault {
    match rng.u8(0..4) {
        0 => Fault::OperationPending { polls: rng.u32(0..9) },
        1 => Fault::OperationFailed { code: None, details: None, key_stays: rng.bool() },
        2 => Fault::NoOperations,
        _ => Fault::StillListed { reads: rng.u32(1..10) },
    }
}

/// Faults of any call.
fn call_fault(rng: &mut Rng, operation: &str) -> Fault {
    loop {
        let fault = match rng.u8(0..20) {
            0 => Fault::Throttled,
            1 => Fault::ServiceException,
            2 => Fault::HttpStatus { status: pick(rng, &[500, 502, 503, 504]) },
            3 => Fault::InvalidInput,
            4 => Fault::AccessDenied,
            5 => Fault::Unauthenticated,
            6 => Fault::NotFound,
            7 => Fault::DoesNotExist,
            8 => Fault::RegionSetupInProgress,
            9 => Fault::error("OperationFailureException"),
            10 => Fault::error("ExpiredTokenException"),
            11 => Fault::ResetBefore,
            12 => Fault::ResetAfter,
            13 => Fault::HangBefore,
            14 => Fault::HangAfter,
            15 => Fault::NeverEnds,
            16 => Fault::Truncated,
            17 => Fault::NotJson,
            18 => Fault::EmptyAnswer,
            _ => Fault::Latency { ms: rng.u64(0..4_000) },
        };
        // The simulator refuses faults of Lightsail's for STS.
        let for_lightsail = matches!(fault, Fault::NotFound | Fault::DoesNotExist | Fault::RegionSetupInProgress);
        if operation != "AssumeRole" || !for_lightsail {
            return fault;
        }
    }
}

fn pick<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(0..choices.len())].clone()
}
