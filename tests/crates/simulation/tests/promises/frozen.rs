//! Connections that died while Lambda had frozen the process.

use std::time::Duration;

use lightsail_simulator::{Fault, Script, SeenRequest, Settings};
use responder_simulation::network::Fate;
use responder_simulation::simulate;
use responder_simulation::world::{Delivery, Route, World};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Delivers an alert that fails, lets all connections meet `fate` while the process is frozen for ten minutes, and
/// delivers the alert again.
fn after_freeze(route: Route, fate: Fate) -> Delivery {
    simulate(0, async {
        let world = World::new(route, Settings::default());
        world.script(Script::new("DeleteBucketAccessKey", Fault::AccessDenied));
        let first = world.deliver(0, TIMEOUT).await;
        assert!(first.answer.is_err(), "{}", first.describe());
        // The monotonic clock may stand still in a frozen process. The wall clock goes on.
        world.clock.advance(Duration::from_secs(600));
        world.process.network.freeze(|| fate);
        world.deliver(1, TIMEOUT).await
    })
}

#[test]
fn connection_from_before_freeze_is_not_used() {
    for route in [Route::Named, Route::Searched, Route::Member] {
        for fate in [Fate::Open, Fate::Closed, Fate::Reset, Fate::Forgotten] {
            let delivery = after_freeze(route, fate);
            assert_eq!(delivery.outcome(), "revoked", "{route:?}, {fate:?}: {}", delivery.describe());
            assert_eq!(delivery.reuses, 0, "{route:?}, {fate:?}: {}", delivery.describe());
            // The refused delete of the first delivery ended the session, so STS has a connection from before the freeze.
            let sessions = usize::from(route == Route::Member);
            assert_eq!(delivery.count("AssumeRole"), sessions, "{route:?}, {fate:?}: {}", delivery.describe());
            // An attempt on a forgotten connection would take its whole timeout.
            assert!(delivery.took < Duration::from_secs(1), "{route:?}, {fate:?}: {}", delivery.describe());
            let retried = |seen: &SeenRequest| seen.attempt != Some(1);
            assert!(!delivery.requests.iter().any(retried), "{route:?}, {fate:?}: {}", delivery.describe());
        }
    }
}
