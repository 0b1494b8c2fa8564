//! Random sequences of faults, each delivered as Lambda does it until it succeeds or three tries are over, and judged by
//! the [model](crate::model) after every try.

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
use responder_trials::say;

use crate::model::{broken_rules, describe};
use crate::scene::{Scene, Way, timeouts};

/// All told.
const SEQUENCES: usize = 10_000;
/// Side by side on each processor: much of what they do is wait.
const AT_ONCE: usize = 24;

const SHRINKING_STEPS: usize = 100;

const TIME: Duration = Duration::from_secs(5);
const TRIES: usize = 3;

/// One sequence: what the account is like, and what goes wrong in it.
#[derive(Clone, Debug)]
struct Sequence {
    way: Way,
    page_size: usize,
    done_at_poll: u32,
    faults: Vec<(&'static str, Fault, u32, Option<u32>)>,
}

fn sequences() -> impl Strategy<Value = Sequence> {
    let way = prop_oneof![Just(Way::Named), Just(Way::NamedWrong), Just(Way::Searched)];
    (way, 1_usize..4, 0_u32..3, vec(fault(), 0..6)).prop_map(|(way, page_size, done_at_poll, faults)| Sequence {
        way,
        page_size,
        done_at_poll,
        faults,
    })
}

/// A fault, the call that it befalls, how many requests go by first, and how many it befalls; none is every one.
fn fault() -> impl Strategy<Value = (&'static str, Fault, u32, Option<u32>)> {
    let call = prop_oneof![
        3 => Just("DeleteBucketAccessKey"),
        2 => Just("GetOperation"),
        2 => Just("GetBucketAccessKeys"),
        1 => Just("GetBuckets"),
    ];
    let anywhere = prop_oneof![
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
    let of_a_delete = prop_oneof![
        (0_u32..9).prop_map(|polls| Fault::OperationPending { polls }),
        any::<bool>().prop_map(|key_stays| Fault::OperationFailed { code: None, details: None, key_stays }),
        Just(Fault::NoOperations),
        (0_u32..9).prop_map(|reads| Fault::StillListed { reads: reads + 1 }),
    ];
    let befalls = prop_oneof![
        4 => (call, anywhere),
        1 => (Just("DeleteBucketAccessKey"), of_a_delete),
    ];
    (befalls, 0_u32..4, proptest::option::weighted(0.8, 1_u32..6))
        .prop_map(|((call, fault), skip, count)| (call, fault, skip, count))
}

impl Sequence {
    /// The rules that are broken, if any are, and what broke them.
    async fn broken(&self) -> Option<String> {
        let settings = Settings { page_size: self.page_size, done_at_poll: self.done_at_poll, ..Settings::default() };
        let timeouts = Timeouts {
            attempt: Duration::from_millis(800),
            call: Duration::from_secs(3),
            verify_for: Duration::from_millis(500),
            ..timeouts()
        };
        let scene = Scene::new(self.way, settings, timeouts).await;
        for (call, fault, skip, count) in self.faults.clone() {
            let script = Script::new(call, fault).after(skip);
            scene.script(count.map_or_else(|| script.clone().every(), |count| script.clone().times(count)));
        }
        for _ in 0..TRIES {
            let delivery = scene.deliver(TIME).await;
            let broken = broken_rules(&delivery);
            if !broken.is_empty() {
                return Some(format!("NOT {}\n{}", broken.join("; "), describe(&delivery)));
            }
            if delivery.answer.is_ok() {
                break;
            }
        }
        None
    }
}

/// On every processor a share of them: they keep it busy.
#[test]
fn after_any_sequence_of_faults_the_promises_hold() {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = SEQUENCES.div_ceil(threads);
    let started = Instant::now();
    let running = (0..threads).map(|_| std::thread::spawn(move || run(share))).collect::<Vec<_>>();
    let found = running.into_iter().filter_map(|run| run.join().unwrap()).collect::<Vec<_>>();
    assert!(found.is_empty(), "{}", found.join("\n"));
    say(&format!(
        "{} random sequences of faults, every promise held, {:.1} s",
        threads * share,
        started.elapsed().as_secs_f64()
    ));
}

/// Runs so many sequences; what breaks a rule, if any does.
fn run(share: usize) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // What is still under way when one is found to break a rule is dropped outside of `block_on`.
    let _entered = runtime.enter();
    let mut runner = TestRunner::new(ProptestConfig::default());
    let trees = (0..share).map(|_| sequences().new_tree(&mut runner).unwrap());
    let running = stream::iter(trees).map(async |tree| {
        let broken = tree.current().broken().await;
        broken.map(|why| (tree, why))
    });
    let mut broken = pin!(running.buffer_unordered(AT_ONCE).filter_map(std::future::ready));
    let (tree, why) = runtime.block_on(broken.next())?;
    Some(smallest(tree, why, |sequence| runtime.block_on(sequence.broken())))
}

/// Makes a sequence that breaks a rule as small as it can be in so many steps.
fn smallest(
    mut tree: impl ValueTree<Value = Sequence>,
    why: String,
    broken: impl Fn(&Sequence) -> Option<String>,
) -> String {
    let mut smallest = (tree.current(), why);
    for _ in 0..SHRINKING_STEPS {
        let goes_on = match broken(&tree.current()) {
            Some(why) => {
                smallest = (tree.current(), why);
                tree.simplify()
            }
            None => tree.complicate(),
        };
        if !goes_on {
            break;
        }
    }
    format!("{:#?}\n{}", smallest.0, smallest.1)
}
