//! Regions that are slow, lossy or hung, as a whole and for a time.
//!
//! The function's own timeouts decide what it notices of that. A late request arrives even if the function has given up
//! waiting: AWS carries out what it has read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use crate::counts::Counts;

/// Longest delays that the function must overcome: with them, connecting and one round trip fit into their timeouts.
const TOLERABLE: (Duration, Duration) = (Duration::from_millis(400), Duration::from_millis(250));

/// State of a Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything is late, by at least this time and less than twice that.
    Slow {
        /// Delay of a new connection.
        connect: Duration,
        /// Delay of a message, in each direction.
        message: Duration,
    },
    /// Connection attempts and messages get lost.
    Lossy {
        /// Share of them, in percent.
        percent: u8,
    },
    /// Nothing answers.
    Hung {
        /// Whether new connections are still accepted.
        accepts: bool,
    },
}

/// Weather in one Region for a time.
#[derive(Clone, Debug)]
pub struct Spell {
    /// The Region.
    pub region: &'static str,
    /// State of the Region.
    pub weather: Weather,
    /// Start, since the start of the incident.
    pub from: Duration,
    /// End, since the start of the incident.
    pub until: Duration,
}

/// Fate of a connection attempt or of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It arrives after this time.
    Arrives(Duration),
    /// The connection is refused or reset.
    Reset,
    /// It is lost, and no message arrives on this connection any more.
    Lost,
}

/// The Regions of an incident. Clones are the same Regions.
#[derive(Clone, Debug)]
pub struct Regions(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    started: Instant,
    spells: Vec<Spell>,
    rng: Rng,
    failures: u64,
    /// Writes to connections from before a freeze.
    reuses: u64,
    /// Operations of the requests to Lightsail, in the order in which the function sent them.
    sent: Vec<String>,
    met: Counts,
}

impl Weather {
    /// Returns the name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow { .. } => "slow",
            Self::Lossy { .. } => "lossy",
            Self::Hung { .. } => "hung",
        }
    }

    /// Returns whether the function must overcome it.
    fn is_tolerable(self) -> bool {
        matches!(self, Self::Slow { connect, message } if connect <= TOLERABLE.0 && message <= TOLERABLE.1)
    }

    fn passage(self, is_connect: bool, rng: &mut Rng) -> Passage {
        match self {
            Self::Slow { connect, message } => {
                let least = if is_connect { connect } else { message };
                Passage::Arrives(least + least.mul_f64(rng.f64()))
            }
            Self::Lossy { percent } if rng.u8(0..100) < percent => {
                if rng.bool() {
                    Passage::Reset
                } else {
                    Passage::Lost
                }
            }
            Self::Hung { accepts } if !(is_connect && accepts) => Passage::Lost,
            Self::Lossy { .. } | Self::Hung { .. } => Passage::Arrives(Duration::ZERO),
        }
    }
}

impl Default for Regions {
    fn default() -> Self {
        Self::new(0, &[])
    }
}

impl Regions {
    /// Regions with these spells, which start now.
    pub fn new(seed: u64, spells: &[Spell]) -> Self {
        let state = State {
            started: Instant::now(),
            spells: spells.to_vec(),
            rng: Rng::with_seed(seed),
            failures: 0,
            reuses: 0,
            sent: Vec::new(),
            met: Counts::default(),
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns whether a Region has weather at any time.
    pub fn has_weather(&self, region: &str) -> bool {
        self.state().spells.iter().any(|spell| spell.region == region)
    }

    /// Decides what happens to a connection attempt.
    pub fn connect(&self, region: &str) -> Passage {
        self.passage(region, true)
    }

    /// Decides what happens to a message.
    pub fn message(&self, region: &str) -> Passage {
        self.passage(region, false)
    }

    /// Returns how often something was lost, or later than the function must overcome.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Notes that the function wrote to a connection from before a freeze.
    pub fn reuse(&self) {
        self.state().reuses += 1;
    }

    /// Returns how often the function wrote to a connection from before a freeze.
    pub fn reuses(&self) -> u64 {
        self.state().reuses
    }

    /// Notes a request that the function has written to a connection.
    pub fn send(&self, operation: &str) {
        self.state().sent.push(operation.to_owned());
    }

    /// Returns the operations of the requests to Lightsail after the first `skip`, in the order in which the function
    /// sent them.
    pub fn sent_after(&self, skip: usize) -> Vec<String> {
        self.state().sent.iter().skip(skip).cloned().collect()
    }

    /// Counts something that happened on the network.
    pub fn count(&self, group: &'static str, name: &str) {
        self.state().met.add(group, name, 1);
    }

    /// Returns what happened on the network.
    pub fn met(&self) -> Counts {
        self.state().met.clone()
    }

    fn passage(&self, region: &str, is_connect: bool) -> Passage {
        let mut state = self.state();
        let State { started, spells, rng, failures, met, .. } = &mut *state;
        let now = started.elapsed();
        let spell = spells.iter().find(|spell| spell.region == region && spell.from <= now && now < spell.until);
        let Some(weather) = spell.map(|spell| spell.weather) else { return Passage::Arrives(Duration::ZERO) };
        let passage = weather.passage(is_connect, rng);
        let what = if is_connect { "connection" } else { "message" };
        let fate = match passage {
            Passage::Arrives(Duration::ZERO) => return passage,
            Passage::Arrives(_) => "late",
            Passage::Reset => "reset",
            Passage::Lost => "lost",
        };
        met.add("Regions", &format!("{} {what} {fate}", weather.name()), 1);
        *failures += u64::from(!weather.is_tolerable());
        passage
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
