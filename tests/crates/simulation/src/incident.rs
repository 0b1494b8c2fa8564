//! Plan -> the deliveries of one incident, and whether they keep the rules of the model.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lightsail_simulator::{SeenRequest, Settings};

use crate::counts::Counts;
use crate::model::{broken_history, broken_rules};
use crate::network::Fate;
use crate::plan::{IN_TRANSIT, Plan, RETRY_AFTER, SQS_RETRY_AFTER};
use crate::weather::Regions;
use crate::world::{Delivery, Process, World};
use crate::{MEMBER, simulate};

/// Duration of a session in a member account (STS API reference, "AssumeRole", the shortest DurationSeconds).
const SESSION: Duration = Duration::from_secs(900);

/// Result of one incident.
#[derive(Debug)]
pub struct Incident {
    /// Its seed.
    pub seed: u64,
    /// Its plan.
    pub plan: Plan,
    /// The deliveries, in the order in which they ended.
    pub deliveries: Vec<Delivery>,
    /// Events between the requests.
    pub met: Counts,
    /// Broken rules.
    pub broken: Vec<String>,
    /// Simulated time.
    pub simulated: Duration,
}

impl Incident {
    /// Plays the incident of a seed.
    pub fn of(seed: u64) -> Self {
        Self::play(seed, Plan::of(seed))
    }

    /// Plays a plan with the randomness of `seed`.
    pub fn play(seed: u64, plan: Plan) -> Self {
        let (deliveries, met, simulated) = simulate(seed, Play { seed, plan: &plan, met: Counts::default() }.run());
        let mut broken = deliveries.iter().flat_map(broken_rules).collect::<Vec<_>>();
        broken.extend(broken_history(&deliveries));
        broken.sort();
        broken.dedup();
        Self { seed, plan, deliveries, met, broken, simulated }
    }

    /// Returns everything that can be observed, one line per request and record, and what happened between the
    /// requests. The same seed gives the same text.
    pub fn trace(&self) -> String {
        let mut text = String::new();
        self.deliveries.iter().for_each(|delivery| text.push_str(&delivery.describe()));
        text + &self.met.to_string()
    }

    /// Returns the report of broken rules, with the plan, for a person.
    pub fn report(&self) -> String {
        let Self { seed, plan, broken, .. } = self;
        format!("seed {seed}: {}\n{plan:#?}\n{}", broken.join("; "), self.trace())
    }
}

/// An incident while it is played.
struct Play<'a> {
    seed: u64,
    plan: &'a Plan,
    met: Counts,
}

/// A process, and when its session in the member account ends, if that is known.
struct Running<'a> {
    process: &'a Process,
    session_ends: Option<DateTime<Utc>>,
}

impl Play<'_> {
    /// Delivers the alert, and again as Lambda or SQS does, until it succeeds or they give up.
    async fn run(mut self) -> (Vec<Delivery>, Counts, Duration) {
        let plan = self.plan;
        let settings = Settings {
            page_size: plan.page_size,
            done_at_poll: plan.done_at_poll,
            latency_ms: plan.latency_ms,
            dialect: plan.dialect,
            ..Settings::default()
        };
        let started = tokio::time::Instant::now();
        let world = World::in_weather(plan.route, settings, Regions::new(self.seed, &plan.weather));
        plan.faults.iter().for_each(|fault| world.script(fault.script()));
        plan.connect.iter().for_each(|fault| world.process.network.fail_next(*fault));
        let network_failed = !plan.connect.is_empty();
        // Deliveries that overlap are in two processes: Lambda gives a process one invocation at a time.
        let second = plan.overlap.map(|_| world.start_process());
        let mut deliveries = self.first(&world, second.as_ref()).await;
        let processes = [&world.process].into_iter().chain(&second);
        let mut running = processes.map(|process| Running { process, session_ends: None }).collect::<Vec<_>>();
        if let [only] = running.as_mut_slice() {
            only.session_ends = deliveries.iter().find_map(session_ends);
        }
        deliveries.iter_mut().for_each(|delivery| delivery.network_failed |= network_failed);
        let (mut simulated, mut beyond) = (started.elapsed(), Duration::ZERO);
        for (number, freeze) in plan.freezes.iter().enumerate() {
            let Some(last) = deliveries.last().filter(|last| !last.succeeded()) else { break };
            let alert = match last.failed_messages() {
                Some(failed) => last.alert.only(&failed),
                None => last.alert.clone(),
            };
            let sqs = SQS_RETRY_AFTER.saturating_sub(last.took);
            let pause = if plan.route.is_batch() { sqs } else { RETRY_AFTER[number] };
            let ticking = if freeze.stands_still { IN_TRANSIT } else { pause };
            tokio::time::sleep(ticking).await;
            let jump = pause - ticking + freeze.beyond;
            world.clock.advance(jump);
            beyond += jump;
            let mut fates = freeze.fates.iter().cycle();
            for running in &running {
                running.process.network.freeze(|| fates.next().copied().unwrap_or(Fate::Open));
            }
            self.met.add("deliveries", if number == 0 { "retry 1" } else { "retry 2" }, 1);
            self.met.add("clock", if jump.is_zero() { "without a jump" } else { "jump" }, 1);
            let place = number % running.len();
            let Running { process, session_ends: ends } = &mut running[place];
            let start = world.clock.now();
            let mut delivery = world.deliver_alert(process, &alert, deliveries.len(), plan.timeout).await;
            self.count_session(*ends, start, &delivery);
            *ends = session_ends(&delivery).or(*ends);
            delivery.network_failed |= network_failed;
            deliveries.push(delivery);
            simulated = started.elapsed() + beyond;
        }
        self.met.merge(&world.regions.met());
        (deliveries, self.met, simulated)
    }

    /// Delivers the alert for the first time: once, or twice at about the same time.
    async fn first(&mut self, world: &World, second: Option<&Process>) -> Vec<Delivery> {
        let (timeout, alert) = (self.plan.timeout, self.plan.route.alert());
        let first = world.deliver_alert(&world.process, &alert, 0, timeout);
        self.met.add("deliveries", "first", 1);
        let (Some(stagger), Some(process)) = (self.plan.overlap, second) else { return vec![first.await] };
        self.met.add("deliveries", "overlapping", 1);
        let late = async {
            tokio::time::sleep(stagger).await;
            world.deliver_alert(process, &alert, 1, timeout).await
        };
        let (first, second) = futures_util::join!(first, late);
        let mut both = [first, second];
        both.sort_by_key(|delivery| delivery.at + delivery.took);
        both.into_iter().map(|delivery| Delivery { overlaps: true, ..delivery }).collect()
    }

    /// Counts the state of the process's session when a delivery needs one.
    fn count_session(&mut self, ends: Option<DateTime<Utc>>, start: DateTime<Utc>, delivery: &Delivery) {
        let enters = delivery.requests.iter().any(|seen| {
            seen.operation == "AssumeRole" || (seen.operation.starts_with("Get") && seen.account == MEMBER)
        });
        let Some(ends) = ends.filter(|_| enters) else { return };
        let state = if ends <= start {
            "expired"
        } else if ends <= start + self.plan.timeout {
            "expires before the deadline"
        } else {
            "lasts"
        };
        self.met.add("sessions of a warm process", state, 1);
    }
}

/// Returns when the session ends that a delivery began.
fn session_ends(delivery: &Delivery) -> Option<DateTime<Utc>> {
    let begun =
        |seen: &&SeenRequest| seen.operation == "AssumeRole" && seen.status == Some(200) && seen.fault.is_none();
    let begun = delivery.requests.iter().rfind(begun)?;
    Some(begun.at.parse::<DateTime<Utc>>().ok()? + SESSION)
}
