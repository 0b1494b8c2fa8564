//! Trials with random fault sequences. Each alert is delivered up to three times until it succeeds, as Lambda does. The
//! [model](crate::model) checks each delivery.

use std::num::NonZero;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use lightsail_key_responder::deadline::Timeouts;
use lightsail_simulator::{Fault, Script, Settings};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use responder_trials::report;

use crate::model::{broken_rules, describe};
use crate::scene::{Route, Scene, timeouts};

/// Total number of sequences.
const SEQUENCES: usize = 10_000;
/// Concurrency limit on each processor. Sequences mostly wait.
const CONCURRENT_SEQUENCES: usize = 24;

const SHRINKING_STEPS: usize = 100;

const TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: usize = 3;

/// Sequence of faults in one account.
#[derive(Clone, Debug)]
struct Sequence {
    route: Route,
    page_size: usize,
    done_at_poll: u32,
    faults: Vec<(&'static str, Fault, u32, Option<u32>)>,
}

fn sequences() -> impl Strategy<Value = Sequence> {
    let route = prop_oneof![Just(Route::Named), Just(Route::NamedWrong), Just(Route::Searched)];
    (route, 1_usize..4, 0_u32..3, vec(fault(), 0..6)).prop_map(|(route, page_size, done_at_poll, faults)| Sequence {
        route,
        page_size,
        done_at_poll,
        faults,
    })
}

/// Generates a fault with its call, the number of requests before it, and the number of requests that it hits. `None`
/// means all.
fn fault() -> impl Strategy<Value = (&'static str, Fault, u32, Option<u32>)> {
    let call = prop_oneof![
        3 => Just("DeleteBucketAccessKey"),
        2 => Just("GetOperation"),
        2 => Just("GetBucketAccessKeys"),
        1 => Just("GetBuckets"),
    ];
    let any_call = prop_oneof![
        Just(Fault::Throttled),
        Just(Fault::ServiceException),
        proptest::sample::select(vec![500, 502, 503, 504]).prop_map(|status| Fault::HttpStatus { status }),
        Just(Fault::InvalidInput),
        Just(Fault::AccessDenied),
        Just(Fault::Unauthenticated),
        Just(Fault::NotFound),
        Just(Fault::DoesNotExist),
        Just(Fault::RegionSetupInProgress),
        Just(Fault::error("OperationFailureException")),
        Just(Fault::error("ExpiredTokenException")),
        Just(Fault::ResetBefore),
        Just(Fault::ResetAfter),
        Just(Fault::HangBefore),
        Just(Fault::HangAfter),
        Just(Fault::NeverEnds),
        Just(Fault::Truncated),
        Just(Fault::NotJson),
        Just(Fault::EmptyAnswer),
        (0_u64..200).prop_map(|ms| Fault::Latency { ms }),
    ];
    let delete_only = prop_oneof![
        (0_u32..9).prop_map(|polls| Fault::OperationPending { polls }),
        any::<bool>().prop_map(|key_stays| Fault::OperationFailed { code: None, details: None, key_stays }),
        Just(Fault::NoOperations),
        (0_u32..9).prop_map(|reads| Fault::StillListed { reads: reads + 1 }),
    ];
    let call_and_fault = prop_oneof![
        4 => (call, any_call),
        1 => (Just("DeleteBucketAccessKey"), delete_only),
    ];
    (call_and_fault, 0_u32..4, proptest::option::weighted(0.8, 1_u32..6))
        .prop_map(|((call, fault), skip, count)| (call, fault, skip, count))
}

impl Sequence {
    /// Runs the sequence. Returns the broken rules with the delivery, if there are any.
    async fn broken(&self) -> Option<String> {
        let settings = Settings { page_size: self.page_size, done_at_poll: self.done_at_poll, ..Settings::default() };
        let timeouts = Timeouts {
            attempt: Duration::from_millis(800),
            call: Duration::from_secs(3),
            verify_for: Duration::from_millis(500),
            ..timeouts()
        };
        let scene = Scene::new(self.route, settings, timeouts).await;
        for (call, fault, skip, count) in self.faults.clone() {
            let script = Script::new(call, fault).after(skip);
            scene.script(count.map_or_else(|| script.clone().every(), |count| script.clone().times(count)));
        }
        for _ in 0..TRIES {
            let delivery = scene.deliver(TIMEOUT).await;
            let broken = broken_rules(&delivery);
            if !broken.is_empty() {
                return Some(format!("broken: {}\n{}", broken.join("; "), describe(&delivery)));
            }
            if delivery.answer.is_ok() {
                break;
            }
        }
        None
    }
}

/// Runs an equal share of the sequences on each processor. Together they keep it busy.
#[test]
fn promises_hold_after_any_fault_sequence() {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = SEQUENCES.div_ceil(threads);
    let started = Instant::now();
    let running = (0..threads).map(|_| std::thread::spawn(move || run(share))).collect::<Vec<_>>();
    let found = running.into_iter().filter_map(|run| run.join().unwrap()).collect::<Vec<_>>();
    assert!(found.is_empty(), "{}", found.join("\n"));
    report(&format!(
        "{} random fault sequences kept each promise, {:.1} s",
        threads * share,
        started.elapsed().as_secs_f64()
    ));
}

/// Runs `share` sequences. Returns a minimal sequence that breaks a rule, if there is one.
fn run(share: usize) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // If a sequence breaks a rule, the in-flight ones are dropped outside of `block_on`. The drop needs an entered
    // runtime.
    let _entered = runtime.enter();
    let mut runner = TestRunner::new(ProptestConfig::default());
    let trees = (0..share).map(|_| sequences().new_tree(&mut runner).unwrap());
    let running = stream::iter(trees).map(async |tree| {
        let broken = tree.current().broken().await;
        broken.map(|report| (tree, report))
    });
    let mut broken = pin!(running.buffer_unordered(CONCURRENT_SEQUENCES).filter_map(std::future::ready));
    let (tree, report) = runtime.block_on(broken.next())?;
    Some(smallest(tree, report, |sequence| runtime.block_on(sequence.broken())))
}

/// Shrinks a sequence that breaks a rule in at most [`SHRINKING_STEPS`] steps.
fn smallest(
    mut tree: impl ValueTree<Value = Sequence>,
    report: String,
    broken: impl Fn(&Sequence) -> Option<String>,
) -> String {
    let mut smallest = (tree.current(), report);
    for _ in 0..SHRINKING_STEPS {
        let has_next = match broken(&tree.current()) {
            Some(report) => {
                smallest = (tree.current(), report);
                tree.simplify()
            }
            None => tree.complicate(),
        };
        if !has_next {
            break;
        }
    }
    format!("{:#?}\n{}", smallest.0, smallest.1)
}
