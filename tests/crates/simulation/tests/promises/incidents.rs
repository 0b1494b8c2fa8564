//! Incidents by seed: random faults, retries, freezes and overlaps.

use responder_simulation::incident::Incident;
use responder_simulation::on_all_processors;
use responder_simulation::plan::Plan;
use responder_simulation::totals::Totals;
use responder_simulation::world::Route;

/// Incidents in every run of the tests, the same on every machine. `make simulate` plays others.
const INCIDENTS: u64 = 5_000;

/// Groups and names that the incidents must meet, and the least number of each.
const MET: [(&str, &[&str], u64); 9] = [
    (
        "outcomes",
        &["already_absent", "failed", "not_lightsail_key", "protected", "revoked", "search_incomplete", "unconfirmed"],
        100,
    ),
    (
        "rare places",
        &[
            "disabled Region, named: failed",
            "disabled Region, named: search_incomplete",
            "disabled Region, not named: already_absent",
            "disabled Region, not named: not_lightsail_key",
            "disabled Region, not named: search_incomplete",
            "disabled new Region, named: search_incomplete",
            "disabled new Region, not named: not_lightsail_key",
            "new Region, named: revoked",
            "new Region, not named: revoked",
            "opt-in Region, named: revoked",
            "opt-in Region, not named: revoked",
            "protected bucket, Deny evaluated, named: protected",
            "protected bucket, Deny evaluated, not named: protected",
            "protected bucket, Deny ignored, named: revoked",
            "protected bucket, Deny ignored, not named: protected",
        ],
        30,
    ),
    ("Regions planned", &["hung", "lossy", "slow"], 300),
    (
        "Regions",
        &[
            "hung connection lost",
            "hung message lost",
            "lossy connection lost",
            "lossy connection reset",
            "lossy message lost",
            "lossy message reset",
            "slow connection late",
            "slow message late",
        ],
        300,
    ),
    ("connection faults", &["refused", "silent"], 300),
    ("frozen connections", &["closed", "forgotten", "kept", "reset"], 300),
    ("clock", &["jump", "without a jump"], 300),
    ("deliveries", &["batch failed in part", "overlapping", "retry 1", "retry 2"], 100),
    ("sessions of a warm process", &["expired", "expires before the deadline", "lasts"], 10),
];

#[test]
fn promises_hold_in_every_incident() {
    let totals = Totals::of(0..INCIDENTS);
    assert!(totals.broken.is_empty(), "{totals}");
    // A plan that never meets a fault, or a function that never succeeds, would keep every rule.
    for (group, names, least) in MET {
        for name in names {
            assert!(totals.met.get(group, name) >= least, "{group}: {name}: {totals}");
        }
    }
    let faults = totals.met.group("faults of calls").collect::<Vec<_>>();
    assert!(faults.len() >= 23 && faults.iter().all(|(_, count)| *count > 10), "{totals}");
    let routes = Route::ALL.map(|route| totals.met.get("routes", &format!("{route:?}")));
    assert!(routes.iter().all(|count| *count > 100), "{totals}");
}

/// The same requests at the same simulated times, and the same records.
#[test]
fn same_seed_gives_same_trace() {
    let seeds = (0..150).collect::<Vec<_>>();
    let plans = seeds.iter().map(|seed| Plan::of(*seed)).collect::<Vec<_>>();
    assert!(Route::ALL.iter().all(|route| plans.iter().any(|plan| plan.route == *route)));
    for weather in ["slow", "lossy", "hung"] {
        assert!(plans.iter().flat_map(|plan| &plan.weather).any(|spell| spell.weather.name() == weather), "{weather}");
    }
    let first = on_all_processors(seeds.clone(), |seed| Incident::of(seed).trace());
    let backwards = on_all_processors(seeds.into_iter().rev().collect(), |seed| Incident::of(seed).trace());
    for (seed, (one, other)) in first.iter().zip(backwards.iter().rev()).enumerate() {
        assert_eq!(one, other, "seed {seed}");
    }
    assert!(first.windows(2).all(|pair| pair[0] != pair[1]), "another seed gives another trace");
}
