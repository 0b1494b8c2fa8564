//! Plan -> the deliveries of one incident, and whether they keep the rules of the model.

use std::time::Duration;

use lightsail_simulator::Settings;

use crate::model::{broken_history, broken_rules};
use crate::network::Fate;
use crate::plan::{Plan, RETRY_AFTER};
use crate::simulate;
use crate::world::{Delivery, World};

/// Result of one incident.
#[derive(Debug)]
pub struct Incident {
    /// Its seed.
    pub seed: u64,
    /// The deliveries, in the order in which they ended.
    pub deliveries: Vec<Delivery>,
    /// Broken rules.
    pub broken: Vec<String>,
    /// Simulated time.
    pub simulated: Duration,
}

impl Incident {
    /// Plays the incident of a seed.
    pub fn of(seed: u64) -> Self {
        Self::play(seed, &Plan::of(seed))
    }

    /// Plays a plan with the randomness of `seed`.
    pub fn play(seed: u64, plan: &Plan) -> Self {
        let (deliveries, simulated) = simulate(seed, deliver(plan));
        let mut broken = deliveries.iter().flat_map(broken_rules).collect::<Vec<_>>();
        broken.extend(broken_history(&deliveries));
        broken.sort();
        broken.dedup();
        Self { seed, deliveries, broken, simulated }
    }

    /// Returns everything that can be observed, one line per request and record. The same seed gives the same text.
    pub fn trace(&self) -> String {
        let mut text = String::new();
        self.deliveries.iter().for_each(|delivery| text.push_str(&delivery.describe()));
        text
    }

    /// Returns the report of broken rules, with the plan, for a person.
    pub fn report(&self) -> String {
        let plan = Plan::of(self.seed);
        let Self { seed, broken, .. } = self;
        format!("seed {seed}: {}\n{plan:#?}\n{}", broken.join("; "), self.trace())
    }
}

/// Delivers the alert, and again as Lambda does, until it succeeds or Lambda gives up.
async fn deliver(plan: &Plan) -> (Vec<Delivery>, Duration) {
    let settings = Settings {
        page_size: plan.page_size,
        done_at_poll: plan.done_at_poll,
        latency_ms: plan.latency_ms,
        ..Settings::default()
    };
    let started = tokio::time::Instant::now();
    let world = World::new(plan.route, settings);
    plan.faults.iter().for_each(|fault| world.script(fault.script()));
    plan.connect.iter().for_each(|fault| world.process.network.fail_next(*fault));
    let mut network_failed = !plan.connect.is_empty();
    let mut deliveries = first(plan, &world).await;
    let mut simulated = started.elapsed();
    for (freeze, after) in plan.freezes.iter().zip(RETRY_AFTER) {
        deliveries.iter_mut().for_each(|delivery| delivery.network_failed |= network_failed);
        if deliveries.last().is_some_and(|last| last.answer.is_ok()) {
            break;
        }
        tokio::time::sleep(after).await;
        world.clock.advance(freeze.beyond);
        let mut fates = freeze.fates.iter().cycle();
        world.process.network.freeze(|| fates.next().copied().unwrap_or(Fate::Open));
        network_failed |= freeze.fates.iter().any(|fate| *fate != Fate::Open);
        deliveries.push(world.deliver(deliveries.len(), plan.timeout).await);
        simulated = started.elapsed() + freeze.beyond;
    }
    deliveries.iter_mut().for_each(|delivery| delivery.network_failed |= network_failed);
    (deliveries, simulated)
}

/// Delivers the alert for the first time: once, or twice at about the same time.
async fn first(plan: &Plan, world: &World) -> Vec<Delivery> {
    let Some(stagger) = plan.overlap else { return vec![world.deliver(0, plan.timeout).await] };
    let late = async {
        tokio::time::sleep(stagger).await;
        world.deliver(1, plan.timeout).await
    };
    let (first, second) = futures_util::join!(world.deliver(0, plan.timeout), late);
    let mut both = [first, second];
    both.sort_by_key(|delivery| delivery.at + delivery.took);
    both.into_iter().map(|delivery| Delivery { overlaps: true, ..delivery }).collect()
}
