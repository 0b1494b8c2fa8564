//! Connections that died while Lambda had frozen the process.

use std::time::Duration;

use lightsail_simulator::{Fault, Script, Settings};
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
fn dead_connections_cost_one_timeout_per_host() {
    for route in [Route::Named, Route::Searched, Route::Member] {
        for fate in [Fate::Open, Fate::Closed, Fate::Reset, Fate::Forgotten] {
            let delivery = after_freeze(route, fate);
            assert_eq!(delivery.outcome(), "revoked", "{route:?}, {fate:?}: {}", delivery.describe());
            // Nothing answers on a forgotten connection, so the first attempt takes its whole timeout of 3 s. In a member
            // account STS has a connection of its own: the refused delete of the first delivery ended the session.
            let limit = match fate {
                Fate::Forgotten if route == Route::Member => Duration::from_secs(7),
                Fate::Forgotten => Duration::from_secs(4),
                Fate::Open | Fate::Closed | Fate::Reset => Duration::from_secs(1),
            };
            assert!(delivery.took < limit, "{route:?}, {fate:?}: {}", delivery.describe());
        }
    }
}
