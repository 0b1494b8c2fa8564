//! All of Lightsail is out for half a minute: Lambda's second try, one minute later, revokes the key.

use std::time::Duration;

use lightsail_simulator::{Fault, Operation, Script, SeenRequest, Settings};
use responder_simulation::model::broken_rules;
use responder_simulation::plan::RETRY_AFTER;
use responder_simulation::simulate;
use responder_simulation::world::{Delivery, Route, World};

const OUTAGE: Duration = Duration::from_secs(30);
/// Timeout of the function, as in the template.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts of one call.
const ATTEMPTS: usize = 5;
/// Regions with Lightsail. A search reads each of them.
const REGIONS: usize = 19;

/// The first try in an outage, and Lambda's second try after it.
fn deliver_in_outage(route: Route, fault: &Fault) -> [Delivery; 2] {
    simulate(0, async {
        let world = World::with(route, Settings::default(), "");
        for operation in Operation::ALL {
            world.script(Script::new(operation, fault.clone()).every());
        }
        let end_of_outage = async {
            tokio::time::sleep(OUTAGE).await;
            world.simulator.clear_scripts();
        };
        let tries = async {
            let first = world.deliver(0, TIMEOUT).await;
            let after_first = world.simulator.requests().len();
            tokio::time::sleep(RETRY_AFTER[0]).await;
            assert_eq!(world.simulator.requests().len(), after_first, "no request between two tries");
            [first, world.deliver(1, TIMEOUT).await]
        };
        futures_util::join!(tries, end_of_outage).0
    })
}

#[test]
fn outage_delays_revocation_until_second_try() {
    // In the outage: the delete, the read beside it, and the search with two passes and the list of Regions. After it:
    // the delete, the operation, the verification, and the search with the keys of both buckets. With a hint: also the
    // read beside the delete, which comes too late for a sighting.
    let (in_outage, search) = (2 * REGIONS + 1, REGIONS + 1);
    let named = (Route::Named, "failed", (2 + in_outage) * ATTEMPTS, search + 2 + 4);
    let searched = (Route::Searched, "search_incomplete", in_outage * ATTEMPTS, search + 2 + 3);
    for fault in [Fault::Throttled, Fault::HttpStatus { status: 503 }, Fault::ServiceException] {
        for (route, outcome, max_in_outage, max_after) in [named, searched] {
            let [first, second] = deliver_in_outage(route, &fault);
            let context = || format!("{fault:?}, {route:?}: {}{}", first.describe(), second.describe());
            let broken = [broken_rules(&first), broken_rules(&second)].concat();
            assert!(broken.is_empty(), "{broken:?}, {}", context());
            assert_eq!([first.outcome(), second.outcome()], [outcome, "revoked"], "{}", context());
            assert!(first.took < OUTAGE, "{}", context());
            assert!(first.requests.iter().all(|seen| seen.fault.is_some()), "{}", context());
            assert!(first.requests.len() <= max_in_outage, "{} requests, {}", first.requests.len(), context());
            assert_eq!(max_requests_of_one_call(&first.requests), 2 * ATTEMPTS, "{}", context());
            let retried = |seen: &SeenRequest| seen.fault.is_some() || seen.attempt != Some(1);
            assert!(!second.requests.iter().any(retried), "{}", context());
            assert!(second.requests.len() <= max_after, "{} requests, {}", second.requests.len(), context());
        }
    }
}

/// Returns the most requests of the same call.
fn max_requests_of_one_call(seen: &[SeenRequest]) -> usize {
    let call = |seen: &SeenRequest| (seen.operation.clone(), seen.region.clone(), seen.bucket.clone());
    let count = |wanted: &SeenRequest| seen.iter().filter(|seen| call(seen) == call(wanted)).count();
    seen.iter().map(count).max().unwrap_or_default()
}
