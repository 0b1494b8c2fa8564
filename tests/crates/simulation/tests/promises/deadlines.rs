//! Short timeouts, slow responses and silence: the function answers before Lambda's deadline in any case.
//!
//! Lambda kills a process at its deadline, and a killed process leaves no record. So the function reserves one second
//! for the record, or a quarter of a short timeout.

use std::time::Duration;

use lightsail_simulator::Operation::{self, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation};
use lightsail_simulator::{Fault, Script, Settings};
use responder_simulation::model::broken_rules;
use responder_simulation::simulate;
use responder_simulation::world::{Delivery, Route, World};

const TIMEOUTS_MS: [u64; 8] = [40, 300, 500, 1_000, 3_000, 10_000, 60_000, 900_000];

#[derive(Clone, Copy, Debug)]
enum Service {
    /// Every response is late by this many milliseconds.
    Slow(u64),
    /// No response to this operation.
    Silent(Operation),
}

const SERVICES: [Service; 7] = [
    Service::Slow(20),
    Service::Slow(200),
    Service::Slow(2_000),
    Service::Silent(DeleteBucketAccessKey),
    Service::Silent(GetOperation),
    Service::Silent(GetBucketAccessKeys),
    Service::Silent(GetBuckets),
];

fn deliver(route: Route, service: Service, timeout: Duration) -> Delivery {
    simulate(0, async {
        let latency_ms = if let Service::Slow(ms) = service { ms } else { 0 };
        let world = World::new(route, Settings { latency_ms, ..Settings::default() });
        if let Service::Silent(operation) = service {
            world.script(Script::new(operation, Fault::HangBefore).every());
        }
        world.deliver(0, timeout).await
    })
}

#[test]
fn answer_comes_before_deadline() {
    for timeout in TIMEOUTS_MS.map(Duration::from_millis) {
        for service in SERVICES {
            for route in [Route::Named, Route::Searched] {
                let delivery = deliver(route, service, timeout);
                let context = || format!("{timeout:?}, {service:?}, {route:?}: {}", delivery.describe());
                // The rule about faults that must be overcome is for timeouts that leave time for it.
                let mut broken = broken_rules(&delivery);
                broken.retain(|rule| rule != "transient faults are overcome");
                assert!(broken.is_empty(), "{broken:?}, {}", context());
                let reserve = Duration::from_secs(1).min(timeout / 4);
                assert!(delivery.left >= reserve, "{:?} left, {}", delivery.left, context());
                // Delete, operation and read back; before them, or after them if the delete was faster than the read
                // beside it, the search's pages and keys.
                let enough = match service {
                    Service::Slow(ms) => Duration::from_millis(ms) * 5 <= timeout - reserve,
                    Service::Silent(_) => false,
                };
                assert_eq!(delivery.outcome() == "revoked", enough, "{}", context());
            }
        }
    }
}
