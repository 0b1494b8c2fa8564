//! Each fault at each call and attempt.
//!
//! `First` hits only the first attempt of the call. `Every` hits all attempts. `Last` throttles the first four attempts
//! and then hits the fifth, which is the last one. Each cell must keep all rules of the model. In addition, the
//! function must overcome a transient fault at the first attempt, and must not retry a refused call. `fault_table.snap`
//! holds the outcomes for review.

use std::fmt::Write;
use std::time::Duration;

use lightsail_simulator::{Fault, Member, Script, Settings};
use responder_simulation::model::{MAX_REQUESTS, broken_rules};
use responder_simulation::world::{Delivery, KEYS, Route, World};
use responder_simulation::{REGION, on_all_processors, simulate};
use serde_json::Value;

/// Timeout of the function.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Class of a fault from the function's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Fault that can disappear by itself, so that a retry can help.
    Transient,
    /// Refusal by AWS. The same request would be refused again.
    Refused,
    /// Unexpected response.
    Unexpected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    First,
    Every,
    Last,
}

/// Call that handles an alert. Its operation may also occur in earlier requests.
#[derive(Clone, Copy, Debug)]
struct Call {
    route: Route,
    operation: &'static str,
    /// Number of earlier requests with the same operation.
    before: u32,
    /// Column header in the table.
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
    Call { route: Route::Named, operation: DELETE, before: 0, name: "delete" },
    Call { route: Route::Named, operation: "GetOperation", before: 0, name: "GetOperation" },
    // The first read is the evidence, which runs concurrently with the delete.
    Call { route: Route::Named, operation: READ, before: 0, name: "read" },
    Call { route: Route::Searched, operation: "GetBuckets", before: 0, name: "GetBuckets" },
    Call { route: Route::Searched, operation: READ, before: 0, name: "search read" },
    Call { route: Route::Searched, operation: DELETE, before: 0, name: "search delete" },
    // The search reads the bucket before it.
    Call { route: Route::Searched, operation: READ, before: 1, name: "verify" },
    Call { route: Route::Member, operation: "AssumeRole", before: 0, name: "AssumeRole" },
];

/// Faults that take up the whole time of an attempt.
const SILENT: [&str; 4] = ["a byte a second", "never ends", "hang before", "hang after"];

fn faults() -> Vec<(&'static str, Class, Fault)> {
    use Class::{Refused, Transient, Unexpected};
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
    let request_timeout = Fault::Error { code: "RequestTimeoutException".to_owned(), status: Some(408), message: None };
    vec![
        ("throttled", Transient, Fault::Throttled),
        ("500", Transient, Fault::ServiceException),
        ("500 page", Transient, Fault::HttpStatus { status: 500 }),
        ("502", Transient, Fault::HttpStatus { status: 502 }),
        ("503", Transient, Fault::HttpStatus { status: 503 }),
        ("504", Transient, Fault::HttpStatus { status: 504 }),
        ("AWS timed out", Transient, request_timeout),
        ("AWS aborted", Transient, Fault::error("RequestAbortedException")),
        ("invalid input", Refused, Fault::InvalidInput),
        ("access denied", Refused, Fault::AccessDenied),
        ("unauthenticated", Refused, Fault::Unauthenticated),
        ("expired token", Refused, Fault::error("ExpiredTokenException")),
        ("clock skew", Refused, skew),
        ("not found", Refused, Fault::NotFound),
        ("DoesNotExist", Refused, Fault::DoesNotExist),
        ("Region set up", Unexpected, Fault::RegionSetupInProgress),
        ("OperationFailure", Unexpected, Fault::error("OperationFailureException")),
        ("failed, key stays", Unexpected, failed(true)),
        ("failed, key gone", Unexpected, failed(false)),
        ("reset before", Transient, Fault::ResetBefore),
        ("reset after", Transient, Fault::ResetAfter),
        ("a byte a second", Transient, Fault::Slow { bytes_per_second: 1 }),
        ("never ends", Transient, Fault::NeverEnds),
        ("hang before", Transient, Fault::HangBefore),
        ("hang after", Transient, Fault::HangAfter),
        ("truncated", Transient, Fault::Truncated),
        ("not JSON", Transient, Fault::NotJson),
        ("{}", Unexpected, Fault::EmptyAnswer),
        ("no operations", Unexpected, Fault::NoOperations),
        ("unknown status", Unexpected, status("Abandoned")),
        ("pending forever", Unexpected, Fault::OperationPending { polls: u32::MAX }),
        ("listed forever", Unexpected, Fault::StillListed { reads: u32::MAX }),
    ]
}

#[test]
fn fault_table_keeps_rules() {
    let mut cells = Vec::new();
    for (name, class, fault) in faults() {
        for call in CALLS {
            for attempt in [Attempt::First, Attempt::Every, Attempt::Last] {
                // The simulator refuses a script that makes no sense for the call, for example an operation status for
                // a call without operations.
                if scripts(call, attempt, &fault).iter().all(|script| is_accepted(script, call)) {
                    let class = if is_parsed_half(&fault, call.operation) { Class::Unexpected } else { class };
                    cells.push((name, class, fault.clone(), call, attempt));
                }
            }
        }
    }
    let cells = on_all_processors(cells, |(name, class, fault, call, attempt)| {
        let delivery = simulate(0, async {
            let world = World::new(call.route, Settings::default());
            scripts(call, attempt, &fault).into_iter().for_each(|script| world.script(script));
            world.deliver(0, TIMEOUT).await
        });
        Cell { fault: name, class, call, attempt, delivery }
    });
    let broken = cells.iter().filter_map(Cell::broken).collect::<Vec<_>>();
    assert!(broken.is_empty(), "{} of {} cells\n{}", broken.len(), cells.len(), broken.join("\n"));
    assert!(cells.len() > 500, "{} cells", cells.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(".");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("fault_table", summary(&cells)));
}

/// Returns true if the SDK parses half an XML document without an error. No retry follows, and the function does not
/// use the result.
fn is_parsed_half(fault: &Fault, operation: &str) -> bool {
    *fault == Fault::Truncated && operation == "AssumeRole"
}

/// Returns true if the simulator accepts the script for the call.
fn is_accepted(script: &Script, call: Call) -> bool {
    let is_delete = |operation: &str| operation == DELETE;
    let text = serde_json::to_value(script).unwrap();
    match text["fault"]["kind"].as_str().unwrap() {
        "operation_failed" | "operation_status" | "operation_pending" | "no_operations" | "still_listed" => {
            is_delete(call.operation)
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
    /// Returns the broken rules of the cell, if there are any.
    fn broken(&self) -> Option<String> {
        let mut broken = broken_rules(&self.delivery);
        let hits = self.delivery.requests.iter().filter(|seen| seen.fault.is_some()).count();
        let here = self.delivery.count(self.call.operation);
        let mut rule = |holds: bool, text: String| {
            if !holds {
                broken.push(text);
            }
        };
        rule(hits > 0, "the fault hit a request".to_owned());
        match (self.class, self.attempt) {
            (Class::Transient, Attempt::First) => {
                let succeeded = ["revoked", "already_absent"].contains(&self.delivery.outcome());
                rule(succeeded, "a transient fault is overcome".to_owned());
            }
            // The call uses all its attempts. Repeated reads have more. Two attempts of the delete that take their whole
            // time of 10 s leave time for one more.
            (Class::Transient, Attempt::Every) => {
                let attempts = if self.call.operation == DELETE && SILENT.contains(&self.fault) { 3 } else { 5 };
                rule(hits >= attempts, format!("the call has {attempts} attempts, not {hits}"));
            }
            // A refused call is sent once. A second search sends `GetBuckets` again, which is another call.
            (Class::Refused, Attempt::First | Attempt::Every) if self.call.operation != READ => {
                let max = if self.call.operation == "GetBuckets" { 2 } else { 1 };
                rule(here <= max, format!("a refused call is sent once, not {here} times"));
            }
            (Class::Refused, Attempt::Every) => rule(hits <= 3, format!("refused {hits} times")),
            _ => {}
        }
        let refused_delete = self.class == Class::Refused && self.call.operation == DELETE;
        if refused_delete && self.attempt == Attempt::Every && self.delivery.answer.is_err() {
            rule(
                failure(&self.delivery)["may_have_taken_effect"] == false,
                "a refused delete has no effect".to_owned(),
            );
        }
        let Self { fault, call, attempt, delivery, .. } = self;
        let text = broken.join("; ");
        let place = format!("{fault} / {} / {attempt:?}", call.name);
        (!text.is_empty()).then(|| format!("{place}: broken: {text}\n  {}", delivery.describe()))
    }
}

/// Formats the table. Each fault has a line and each call a column. A field has the outcomes for the first, every and
/// the last attempt.
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
        "\n{} cells, {} requests, at most {} for one (bound {MAX_REQUESTS}); longest answer {} ms of {} ms, \
         at least {} ms left\n",
        cells.len(),
        requests.clone().sum::<usize>(),
        requests.max().unwrap_or_default(),
        cells.iter().map(|cell| cell.delivery.took.as_millis()).max().unwrap_or_default(),
        TIMEOUT.as_millis(),
        cells.iter().map(|cell| cell.delivery.left.as_millis()).min().unwrap_or_default(),
    );
    text
}

fn failure(delivery: &Delivery) -> &Value {
    &delivery.record(KEYS[0])["unmapped"]["failure"]
}
