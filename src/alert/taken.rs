//! Alerts of one message -> at most [`MAX_ALERTS`] of them: equal ones without a key once with their number, and one
//! that counts the rest.
//!
//! One SQS message of 256 kB has room for a hundred thousand alerts, and each would be a record. Invariants: every
//! alert is taken, counted with an equal one, or counted in the rest, which is an error. Alerts that expose a key come
//! first.

use std::collections::HashMap;

use serde_json::Value;

use super::{Alert, Ignored, Unactionable, Unreadable, key_text};

/// Limit of the alerts that are taken from one message.
pub(super) const MAX_ALERTS: usize = 100;

/// Limit of the values that are parsed with a key ID in them, and of those without. It bounds the time.
const MAX_PARSED: usize = 1_000;

/// Alerts that have been taken from one message.
#[derive(Default)]
pub(super) struct Taken<'a> {
    /// Exposing alerts and others, each at most [`MAX_ALERTS`], with their number.
    alerts: Vec<(Alert, usize)>,
    exposing: usize,
    parsed: [usize; 2],
    /// Values that have been parsed, and their alerts.
    seen: HashMap<&'a Value, Vec<usize>>,
    rest: usize,
}

impl<'a> Taken<'a> {
    /// Parses a value that stands for `count` equal ones with `read`, unless an equal one has been parsed or there is
    /// no room for its alerts.
    pub(super) fn value(&mut self, value: &'a Value, count: usize, read: impl FnOnce() -> Vec<Alert>) {
        if let Some(places) = self.seen.get(value) {
            places.iter().for_each(|place| self.alerts[*place].1 += count);
        } else if let Some(places) = self.parse(key_text::may_be_in(value), count, read) {
            self.seen.insert(value, places);
        }
    }

    /// Parses an event, which is compared with no other. Without text that can be a key ID, it exposes none.
    pub(super) fn event(&mut self, may_expose: bool, read: impl FnOnce() -> Vec<Alert>) {
        self.parse(may_expose, 1, read);
    }

    fn parse(&mut self, may_expose: bool, count: usize, read: impl FnOnce() -> Vec<Alert>) -> Option<Vec<usize>> {
        let (taken, parsed) = match may_expose {
            true => (self.exposing, &mut self.parsed[0]),
            false => (self.alerts.len() - self.exposing, &mut self.parsed[1]),
        };
        if taken >= MAX_ALERTS || *parsed >= MAX_PARSED {
            self.rest += count;
            return None;
        }
        *parsed += 1;
        Some(read().into_iter().filter_map(|alert| self.place(alert, count)).collect())
    }

    /// Adds an alert that stands for `count` equal ones.
    pub(super) fn add(&mut self, alert: Alert, count: usize) {
        self.place(alert, count);
    }

    /// Adds an alert, and returns its place if it has one.
    fn place(&mut self, alert: Alert, count: usize) -> Option<usize> {
        let Alert { origin, exposures } = alert;
        let (exposures, count) = match exposures {
            Ok(exposures) => (Ok(exposures), count),
            Err(Unactionable::Unreadable(Unreadable::Rest { count: rest })) => {
                self.rest += rest * count;
                return None;
            }
            Err(Unactionable::Unreadable(Unreadable::Repeated { reason, count: times })) => {
                (Err(Unactionable::Unreadable(*reason)), times * count)
            }
            Err(Unactionable::Ignored(Ignored::Repeated { reason, count: times })) => {
                (Err(Unactionable::Ignored(*reason)), times * count)
            }
            Err(reason) => (Err(reason), count),
        };
        let equal = |(taken, _): &(Alert, usize)| match (&taken.exposures, &exposures) {
            (Err(taken_reason), Err(reason)) => taken_reason == reason && taken.origin == origin,
            _ => false,
        };
        if let Some(place) = self.alerts.iter().rposition(equal) {
            self.alerts[place].1 += count;
            return Some(place);
        }
        let exposes = exposures.is_ok();
        let room = if exposes { self.exposing } else { self.alerts.len() - self.exposing };
        if room >= MAX_ALERTS {
            self.rest += count;
            return None;
        }
        self.exposing += usize::from(exposes);
        self.alerts.push((Alert { origin, exposures }, count));
        Some(self.alerts.len() - 1)
    }

    /// Returns the alerts in their order, and the number of the rest as the last one.
    pub(super) fn into_alerts(mut self) -> Vec<Alert> {
        while self.alerts.len() > MAX_ALERTS
            && let Some(place) = self.alerts.iter().rposition(|(alert, _)| alert.exposures.is_err())
        {
            self.rest += self.alerts.remove(place).1;
        }
        let mut alerts: Vec<Alert> = self.alerts.into_iter().map(|(alert, count)| repeated(alert, count)).collect();
        if self.rest > 0 {
            let origin = alerts.first().map(|alert| super::Origin {
                source: alert.origin.source.clone(),
                event_id: alert.origin.event_id.clone(),
                sent_at: alert.origin.sent_at,
                ..super::Origin::default()
            });
            alerts.push(Alert::without_key(origin.unwrap_or_default(), Unreadable::Rest { count: self.rest }));
        }
        alerts
    }
}

fn repeated(alert: Alert, count: usize) -> Alert {
    let exposures = match alert.exposures {
        Err(Unactionable::Unreadable(reason)) if count > 1 => {
            Err(Unreadable::Repeated { reason: Box::new(reason), count }.into())
        }
        Err(Unactionable::Ignored(reason)) if count > 1 => {
            Err(Ignored::Repeated { reason: Box::new(reason), count }.into())
        }
        exposures => exposures,
    };
    Alert { exposures, ..alert }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::testing::KEY;
    use crate::alert::{Exposure, Origin};

    fn exposing(number: usize) -> Alert {
        Alert { origin: Origin::of(&number.to_string()), exposures: Ok(vec![Exposure::of(KEY.parse().unwrap())]) }
    }

    fn other(number: usize) -> Alert {
        Alert::without_key(Origin::of(&number.to_string()), Unreadable::Missing { field: "x" })
    }

    fn reasons(taken: Taken) -> Vec<Option<Unactionable>> {
        taken.into_alerts().into_iter().map(|alert| alert.exposures.err()).collect()
    }

    #[test]
    fn equal_alerts_are_one_with_their_number() {
        let mut taken = Taken::default();
        for number in [1, 2, 1, 1] {
            taken.add(other(number), 1);
        }
        let missing = Unreadable::Missing { field: "x" };
        let three = Unreadable::Repeated { reason: Box::new(missing.clone()), count: 3 };
        assert_eq!(reasons(taken), [Some(three.into()), Some(missing.into())]);
    }

    #[test]
    fn exposing_alerts_come_before_others() {
        let mut taken = Taken::default();
        (0..150).for_each(|number| taken.add(other(number), 1));
        (0..60).for_each(|number| taken.add(exposing(number), 1));
        let alerts = taken.into_alerts();
        assert_eq!(alerts.len(), MAX_ALERTS + 1);
        assert_eq!(alerts.iter().filter(|alert| alert.exposures.is_ok()).count(), 60);
        assert_eq!(alerts[MAX_ALERTS].exposures, Err(Unreadable::Rest { count: 110 }.into()));
    }

    #[test]
    fn further_exposing_alerts_are_counted() {
        let values: Vec<Value> = (0..250).map(|number| json!({KEY: number})).collect();
        let mut taken = Taken::default();
        values.iter().enumerate().for_each(|(number, value)| taken.value(value, 1, || vec![exposing(number)]));
        let alerts = taken.into_alerts();
        assert_eq!(alerts.len(), MAX_ALERTS + 1);
        assert_eq!(alerts[MAX_ALERTS].exposures, Err(Unreadable::Rest { count: 150 }.into()));
    }

    #[test]
    fn nested_counts_are_added() {
        let mut inner = Taken::default();
        (0..103).for_each(|number| inner.add(other(number), 2));
        let mut outer = Taken::default();
        inner.into_alerts().into_iter().for_each(|alert| outer.add(alert, 1));
        outer.add(other(7), 1);
        let total: usize = reasons(outer).into_iter().flatten().map(|reason| reason.alerts()).sum();
        assert_eq!(total, 207);
    }

    #[test]
    fn equal_value_is_parsed_once() {
        let (value, mut parsed) = (json!([1, "x"]), 0);
        let mut taken = Taken::default();
        for _ in 0..5 {
            taken.value(&value, 1, || {
                parsed += 1;
                vec![other(1)]
            });
        }
        assert_eq!((parsed, reasons(taken)[0].as_ref().map(Unactionable::alerts)), (1, Some(5)));
    }
}
