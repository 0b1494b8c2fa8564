//! Every alert in every dialect that can matter to it, delivered twice.
//!
//! AWS has not published how it answers some calls. Each such question is a setting of the simulator's [`Dialect`], and
//! the function must be right in all 7,680 of them. Each alert is played in all combinations of the settings that it can
//! meet. The other settings stay at their defaults: `left_out_settings_change_nothing` compares the requests and outcomes
//! with those of each other value. `matrix.snap` holds the outcomes for review.

use std::collections::HashMap;

use lightsail_simulator::{Dialect, TagDeny};
use responder_simulation::model::{broken_history, broken_rules};
use responder_simulation::on_all_processors;
use responder_simulation::reach::is_told_as_not_enabled;
use responder_simulation::world::{Delivery, Route};

use crate::matrix::{Row, matrix};
use crate::scenarios::{Scenario, TABLES};

/// First lines of the matrix.
const LEGEND: &str = "\
First and second delivery of an alert:
R revoked   A already_absent   N not_lightsail_key   * and the key lives, in a Region that the record lists as not enabled
u unconfirmed   f failed   s search_incomplete   p protected: errors, so that Lambda delivers again and people are told
";

#[test]
fn promises_hold_in_every_dialect() {
    let mut text = LEGEND.to_owned();
    for table in &TABLES {
        let plays = table.scenarios.iter().enumerate().flat_map(|(place, scenario)| {
            let dialects = table.dialects(scenario.settings).into_iter();
            dialects.map(move |dialect| (place, scenario, dialect))
        });
        let played = on_all_processors(plays.collect(), |(place, scenario, dialect)| {
            let deliveries = scenario.play(dialect);
            ((place, dialect), cell(&deliveries), broken(scenario, &deliveries))
        });
        let failed = played.iter().filter_map(|(.., broken)| broken.as_deref()).collect::<Vec<_>>();
        let first = || failed.iter().take(3).copied().collect::<Vec<_>>().join("\n");
        assert!(failed.is_empty(), "{}: {} of {}\n{}", table.name, failed.len(), played.len(), first());
        let cells = played.into_iter().map(|(at, cell, _)| (at, cell)).collect::<HashMap<_, _>>();
        let rows = table.dialects(&table.settings()).into_iter().map(|dialect| {
            let met = table.scenarios.iter().map(|scenario| table.only(scenario.settings, dialect)).enumerate();
            Row { dialect, cells: met.map(|at| cells[&at].clone()).collect() }
        });
        text.push_str(&matrix(table, &rows.collect::<Vec<_>>()));
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(".");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("matrix", text));
}

/// Beside the defaults, and beside the last value of each setting that the alert meets.
#[test]
fn left_out_settings_change_nothing() {
    for table in &TABLES {
        for scenario in table.scenarios {
            let own = table.dialects(scenario.settings);
            let own = [own.first(), own.last()].map(|dialect| dialect.unwrap().to_string());
            let others = Dialect::each_alone().skip(1).map(|dialect| dialect.to_string());
            let is_met = |text: &str| text.split('=').next().is_some_and(|name| scenario.settings.contains(&name));
            let others = others.filter(|other| !is_met(other) && *other != table.base).collect::<Vec<_>>();
            let beside = |own: &String| {
                let with = |other: &str| [own.as_str(), other].join(",").parse::<Dialect>().unwrap();
                [""].into_iter().chain(others.iter().map(String::as_str)).map(with).collect::<Vec<_>>()
            };
            let all = own.iter().flat_map(beside).collect::<Vec<_>>();
            let traces = on_all_processors(all.clone(), |dialect| {
                let deliveries = scenario.play(dialect);
                // A Region more is one more that `SEARCH_REGIONS` excludes, so the records are not the same.
                let requests = deliveries.iter().flat_map(Delivery::request_lines).collect::<Vec<_>>();
                (requests, cell(&deliveries))
            });
            for (number, trace) in traces.iter().enumerate() {
                let own = &traces[number - number % (others.len() + 1)];
                assert!(trace == own, "{}: {} in {}", table.name, scenario.name, all[number]);
            }
        }
    }
}

/// Returns the rules that two deliveries break, if there are any.
fn broken(scenario: &Scenario, deliveries: &[Delivery; 2]) -> Option<String> {
    let mut broken = deliveries.iter().flat_map(broken_rules).chain(broken_history(deliveries)).collect::<Vec<_>>();
    let dialect = deliveries[0].dialect;
    for (delivery, right) in deliveries.iter().zip([scenario.first, scenario.second]) {
        if !right.contains(&delivery.outcome()) {
            broken.push(format!("{} is none of {right:?}", delivery.outcome()));
        }
        for key in delivery.keys.iter().filter(|key| key.alive) {
            let is_denied = dialect.tag_deny == TagDeny::Evaluated || scenario.route == Route::SearchedProtected;
            let is_out_of_reach = key.place.is_disabled(dialect) || (key.place.is_protected && is_denied);
            if !is_out_of_reach {
                broken.push("a key in reach is deleted by the first delivery".to_owned());
            }
            if delivery.succeeded() && !is_told_as_not_enabled(delivery, key, delivery.record(key.id)) {
                broken.push("no success while the key lives".to_owned());
            }
        }
    }
    let described = || deliveries.iter().map(Delivery::describe).collect::<String>();
    (!broken.is_empty()).then(|| format!("{} in {dialect}: {}\n{}", scenario.name, broken.join("; "), described()))
}

/// Returns the outcomes of both deliveries.
fn cell(deliveries: &[Delivery; 2]) -> String {
    let short = |delivery: &Delivery| {
        let letter = match delivery.outcome() {
            "revoked" => "R",
            "already_absent" => "A",
            "not_lightsail_key" => "N",
            "protected" => "p",
            "unconfirmed" => "u",
            "failed" => "f",
            "search_incomplete" => "s",
            _ => "?",
        };
        let lives = delivery.succeeded() && delivery.keys.iter().any(|key| key.alive);
        format!("{letter}{}", if lives { "*" } else { "" })
    };
    deliveries.iter().map(short).collect::<Vec<_>>().join(" ")
}
