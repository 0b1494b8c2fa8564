//! Wall clock of the simulator: the system's, or one that a simulation puts in its place.
//!
//! A simulation runs on one thread with paused Tokio time, so the replacement is per thread.

use std::{cell::RefCell, rc::Rc};

use chrono::{DateTime, Utc};

type Now = Rc<dyn Fn() -> DateTime<Utc>>;

thread_local! {
    static SIMULATED: RefCell<Option<Now>> = const { RefCell::new(None) };
}

/// Replaces the wall clock of all simulators on this thread.
pub fn simulate(now: impl Fn() -> DateTime<Utc> + 'static) {
    SIMULATED.with_borrow_mut(|simulated| *simulated = Some(Rc::new(now)));
}

/// Returns the time.
pub(crate) fn now() -> DateTime<Utc> {
    let simulated = SIMULATED.with_borrow(Clone::clone);
    simulated.map_or_else(Utc::now, |now| now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_clock_replaces_the_systems_on_this_thread() {
        let then: DateTime<Utc> = "2026-11-24T03:00:00Z".parse().unwrap();
        simulate(move || then);
        assert_eq!(now(), then);
        assert!(std::thread::spawn(now).join().unwrap() > then);
    }
}
