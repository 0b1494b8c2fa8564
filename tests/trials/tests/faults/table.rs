//! Each fault by itself: what it is, which call it befalls, and which attempt of it.
//!
//! First: the first attempt of the call alone. Every: all of them, for ever. Last: the first four are throttled, and the
//! fault befalls the fifth, after which there is none. Every cell must keep all rules of the [model](crate::model); beyond
//! that, what goes away is got over where it befalls only the first attempt, and what is refused is asked once.

use std::fmt::Write;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use lightsail_simulator::{Fault, Member, Script, Settings};
use responder_trials::{REGION, say};

use crate::model::{MOST_REQUESTS, broken_rules, describe, failure};
use crate::scene::{Delivery, Scene, Way, timeouts};

/// Time to answer: five attempts of any call fit into what named buckets get.
const TIME: Duration = Duration::from_secs(7);

/// Cells side by side: nearly all they do is wait.
const AT_ONCE: usize = 24;

/// What a fault is to the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It can go away by itself: worth another attempt.
    Passing,
    /// AWS has said no: the same request would be refused again.
    Refused,
    /// An answer that says something odd.
    Odd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    First,
    Every,
    Last,
}

/// A call in the course of an alert: its name, and how many requests of the same name come before it.
#[derive(Clone, Copy, Debug)]
struct Call {
    way: Way,
    operation: &'static str,
    before: u32,
    /// In the head of the table.
    name: &'static str,
}

struct Cell {
    fault: &'static str,
    class: Class,
    call: Call,
    attempt: Attempt,
    delivery: Delivery,
}

const DELETE: &str = "DeleteBucketAccessKey";
const READ: &str = "GetBucketAccessKeys";

const CALLS: [Call; 8] = [
    Call { way: Way::Named, operation: DELETE, before: 0, name: "delete" },
    Call { way: Way::Named, operation: "GetOperation", before: 0, name: "GetOperation" },
    // The first is the read beside the delete.
    Call { way: Way::Named, operation: READ, before: 0, name: "read" },
    Call { way: Way::Searched, operation: "GetBuckets", before: 0, name: "GetBuckets" },
    Call { way: Way::Searched, operation: READ, before: 0, name: "search read" },
    Call { way: Way::Searched, operation: DELETE, before: 0, name: "search delete" },
    // The bucket is read in the search before it.
    Call { way: Way::Searched, operation: READ, before: 1, name: "proof" },
    Call { way: Way::Member, operation: "AssumeRole", before: 0, name: "AssumeRole" },
];

fn faults() -> Vec<(&'static str, Class, Fault)> {
    use Class::{Odd, Passing, Refused};
    let failed = |key_stays| Fault::OperationFailed { code: None, details: None, key_stays };
    let status = |status: &str| Fault::OperationStatus {
        status: Member::Value(status.to_owned()),
        is_terminal: Member::Value(true),
    };
    let skew = Fault::Error {
        code: "InvalidSignatureException".to_owned(),
        status: None,
        message: Some("Signature expired: 20261124T030000Z is now earlier than 20261124T031000Z".to_owned()),
    };
    vec![
        ("throttled", Passing, Fault::Throttled),
        ("500", Passing, Fault::ServiceException),
        ("500 page", Passing, Fault::HttpStatus { status: 500 }),
        ("502", Passing, Fault::HttpStatus { status: 502 }),
        ("503", Passing, Fault::HttpStatus { status: 503 }),
        ("504", Passing, Fault::HttpStatus { status: 504 }),
        ("invalid input", Refused, Fault::InvalidInput),
        ("access denied", Refused, Fault::AccessDenied),
        ("unauthenticated", Refused, Fault::Unauthenticated),
        ("expired token", Refused, Fault::error("ExpiredTokenException")),
        ("clock skew", Refused, skew),
        ("not found", Refused, Fault::NotFound),
        ("DoesNotExist", Refused, Fault::DoesNotExist),
        ("Region set up", Odd, Fault::RegionSetupInProgress),
        ("OperationFailure", Odd, Fault::error("OperationFailureException")),
        ("failed, key stays", Odd, failed(true)),
        ("failed, key gone", Odd, failed(false)),
        ("reset before", Passing, Fault::ResetBefore),
        ("reset after", Passing, Fault::ResetAfter),
        ("a byte a second", Passing, Fault::Slow { bytes_per_second: 1 }),
        ("never ends", Passing, Fault::NeverEnds),
        ("hang before", Passing, Fault::HangBefore),
        ("hang after", Passing, Fault::HangAfter),
        ("truncated", Passing, Fault::Truncated),
        ("not JSON", Passing, Fault::NotJson),
        ("{}", Odd, Fault::EmptyAnswer),
        ("no operations", Odd, Fault::NoOperations),
        ("unknown status", Odd, status("Abandoned")),
        ("pending for ever", Odd, Fault::OperationPending { polls: u32::MAX }),
        ("listed for ever", Odd, Fault::StillListed { reads: u32::MAX }),
    ]
}

// One thread, as in production: on two, the order in which two connections are written and read is the scheduler's.
#[tokio::test]
async fn the_fault_table() {
    let mut cells = Vec::new();
    for (name, class, fault) in faults() {
        for call in CALLS {
            for attempt in [Attempt::First, Attempt::Every, Attempt::Last] {
                // What a script refuses has no meaning for the call: an operation's status in an answer without one.
                if scripts(call, attempt, &fault).iter().all(|script| can_be(script, call)) {
                    let class = if is_half_read(&fault, call.operation) { Class::Odd } else { class };
                    cells.push((name, class, fault.clone(), call, attempt));
                }
            }
        }
    }
    let running = cells.into_iter().map(async |(fault, class, what, call, attempt)| {
        let scene = Scene::new(call.way, Settings::default(), timeouts()).await;
        for script in scripts(call, attempt, &what) {
            scene.script(script);
        }
        Cell { fault, class, call, attempt, delivery: scene.deliver(TIME).await }
    });
    let cells = stream::iter(running).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let broken = cells.iter().filter_map(Cell::broken).collect::<Vec<_>>();
    say(&summary(&cells));
    assert!(broken.is_empty(), "{} of {} cells\n{}", broken.len(), cells.len(), broken.join("\n"));
    assert!(cells.len() > 500, "{} cells", cells.len());
}

/// The SDK takes half an XML document for a whole one, so that no attempt follows; what it makes of it is not used.
fn is_half_read(fault: &Fault, operation: &str) -> bool {
    *fault == Fault::Truncated && operation == "AssumeRole"
}

/// Whether the simulator takes the script: tried on one that is thrown away.
fn can_be(script: &Script, call: Call) -> bool {
    let only_of_a_delete = |operation: &str| operation == DELETE;
    let text = serde_json::to_value(script).unwrap();
    match text["fault"]["kind"].as_str().unwrap() {
        "operation_failed" | "operation_status" | "operation_pending" | "no_operations" | "still_listed" => {
            only_of_a_delete(call.operation)
        }
        "not_found" | "does_not_exist" | "region_setup_in_progress" => call.operation != "AssumeRole",
        _ => true,
    }
}

fn scripts(call: Call, attempt: Attempt, fault: &Fault) -> Vec<Script> {
    let script = |fault: &Fault| {
        let script = Script::new(call.operation, fault.clone()).after(call.before);
        if call.operation == "AssumeRole" { script } else { script.in_region(REGION) }
    };
    match attempt {
        Attempt::First => vec![script(fault)],
        Attempt::Every => vec![script(fault).every()],
        Attempt::Last => vec![script(&Fault::Throttled).times(4), script(fault)],
    }
}

impl Cell {
    /// What is wrong with it, if anything is.
    fn broken(&self) -> Option<String> {
        let mut broken = broken_rules(&self.delivery);
        let struck = self.delivery.requests.iter().filter(|seen| seen.fault.is_some()).count();
        let here = self.delivery.count(self.call.operation);
        let mut rule = |holds: bool, text: String| {
            if !holds {
                broken.push(text);
            }
        };
        rule(struck > 0, "the fault struck".to_owned());
        match (self.class, self.attempt) {
            (Class::Passing, Attempt::First) => {
                let good = ["revoked", "already_absent"].contains(&self.delivery.outcome());
                rule(good, "what goes away is got over".to_owned());
            }
            // The call was made with all its attempts; reads that are made again and again have more.
            (Class::Passing, Attempt::Every) => rule(struck >= 5, format!("it was tried five times, not {struck}")),
            // Once where it is the only one of its name. A key that is looked for again is another call.
            (Class::Refused, Attempt::First | Attempt::Every) if self.call.operation != READ => {
                let once = if self.call.operation == "GetBuckets" { 2 } else { 1 };
                rule(here <= once, format!("what is refused is asked once, not {here} times"));
            }
            (Class::Refused, Attempt::Every) => rule(struck <= 3, format!("refused {struck} times")),
            _ => {}
        }
        let refused_delete = self.class == Class::Refused && self.call.operation == DELETE;
        if refused_delete && self.attempt == Attempt::Every && self.delivery.answer.is_err() {
            rule(failure(&self.delivery, "may_have_taken_effect") == false, "a refused delete is not done".to_owned());
        }
        let Self { fault, call, attempt, delivery, .. } = self;
        let text = broken.join("; ");
        let place = format!("{fault} / {} / {attempt:?}", call.name);
        (!text.is_empty()).then(|| format!("{place}: NOT {text}\n  {}", describe(delivery)))
    }
}

/// The table: a line a fault, a column a call, an outcome for the first, every and the last attempt.
fn summary(cells: &[Cell]) -> String {
    let short = |outcome: &str| match outcome {
        "revoked" => "R",
        "already_absent" => "A",
        "not_lightsail_key" => "N",
        "unconfirmed" => "u",
        "failed" => "f",
        "search_incomplete" => "s",
        _ => "?",
    };
    let mut text =
        String::from("R revoked  A already_absent  u unconfirmed  f failed  s search_incomplete; first, every, last\n");
    let _ = write!(text, "{:<18}", "");
    for call in CALLS {
        let _ = write!(text, "{:<14}", call.name);
    }
    for (fault, ..) in faults() {
        let _ = write!(text, "\n{fault:<18}");
        for call in CALLS {
            let here = cells.iter().filter(|cell| (cell.fault, cell.call.name) == (fault, call.name));
            let mut here = here.map(|cell| (cell.attempt, short(cell.delivery.outcome()))).collect::<Vec<_>>();
            here.sort_unstable();
            let outcomes = here.into_iter().map(|(_, outcome)| outcome).collect::<String>();
            let _ = write!(text, "{:<14}", if outcomes.is_empty() { "-" } else { &outcomes });
        }
    }
    let requests = cells.iter().map(|cell| cell.delivery.requests.len());
    let _ = write!(
        text,
        "\n{} cells, {} requests, at most {} for one (bound {MOST_REQUESTS}); longest answer {} ms of {} ms, at least {} ms left",
        cells.len(),
        requests.clone().sum::<usize>(),
        requests.max().unwrap_or_default(),
        cells.iter().map(|cell| cell.delivery.took.as_millis()).max().unwrap_or_default(),
        TIME.as_millis(),
        cells.iter().map(|cell| cell.delivery.left.as_millis()).min().unwrap_or_default(),
    );
    text
}
