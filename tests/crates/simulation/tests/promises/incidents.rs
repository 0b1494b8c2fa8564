//! Incidents by seed: random faults, retries, freezes and overlaps.

use responder_simulation::incident::Incident;
use responder_simulation::on_all_processors;
use responder_simulation::totals::Totals;

/// Incidents in every run of the tests, the same on every machine. `make simulate` plays others.
const INCIDENTS: u64 = 5_000;

#[test]
fn promises_hold_in_every_incident() {
    let totals = Totals::of(0..INCIDENTS);
    assert!(totals.broken.is_empty(), "{totals}");
    // A plan that never meets a fault, or a function that never succeeds, would keep every rule.
    for outcome in ["already_absent", "failed", "not_lightsail_key", "revoked", "search_incomplete", "unconfirmed"] {
        assert!(totals.outcomes.get(outcome).is_some_and(|count| *count > 100), "{outcome}: {totals}");
    }
    assert!(totals.faults.len() >= 23 && totals.faults.values().all(|count| *count > 10), "{totals}");
}

/// The same requests at the same simulated times, and the same records.
#[test]
fn same_seed_gives_same_trace() {
    let seeds = (0..60).collect::<Vec<_>>();
    let first = on_all_processors(seeds.clone(), |seed| Incident::of(seed).trace());
    let backwards = on_all_processors(seeds.into_iter().rev().collect(), |seed| Incident::of(seed).trace());
    for (seed, (one, other)) in first.iter().zip(backwards.iter().rev()).enumerate() {
        assert_eq!(one, other, "seed {seed}");
    }
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "another seed gives another trace");
}
