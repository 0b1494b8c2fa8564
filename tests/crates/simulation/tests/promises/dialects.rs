//! Every alert in every dialect that can matter to it, delivered twice.
//!
//! AWS has not published how it answers some calls. Each such question is a setting of the simulator's [`Dialect`], and
//! the function must be right in all 7,680 of them. Each alert is played in all combinations of the settings that it can
//! meet. The other settings stay at their defaults: `left_out_settings_change_nothing` compares the requests and outcomes
//! with those of each other value. `matrix.snap` holds the outcomes for review.

use std::collections::HashMap;
use std::time::Duration;

use lightsail_simulator::{Dialect, Fault, Script, Settings, TagDeny};
use responder_simulation::model::{broken_history, broken_rules};
use responder_simulation::reach::is_told_as_not_enabled;
use responder_simulation::world::{Delivery, Route, World};
use responder_simulation::{OPT_IN_REGION, OTHER_REGION, REGION, on_all_processors, simulate};

use crate::matrix::{Row, matrix};

/// Timeout of the function, as in the template.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between the two deliveries.
const PAUSE: Duration = Duration::from_secs(60);
/// Delay of the delete, so that the read beside it still sees the key.
const SEEN_FIRST_MS: u64 = 200;

/// Settings that an alert meets which has the key found, and deleted there: the answer to the delete, its operation, the
/// list of the bucket's keys after it, and Regions that the search cannot read.
const FOUND: &[&str] = &["delete-operations", "operation-memory", "empty-lists", "opt-in-regions"];
/// Those of [`FOUND`], and a delete on an existing bucket that does not have the key: the wrong bucket, or once more.
const NAMED: &[&str] = &["delete-operations", "operation-memory", "empty-lists", "opt-in-regions", "absent-key"];

/// Alerts about a key in the same kind of place.
pub(crate) struct Table {
    /// Heading.
    pub(crate) name: &'static str,
    /// Dialect of the settings that the alerts do not meet.
    base: &'static str,
    /// Settings that none of the alerts meets, and why.
    pub(crate) left_out: &'static str,
    scenarios: &'static [Scenario],
}

/// An alert, and the outcomes that are right for it in some dialect.
struct Scenario {
    /// Heading of its column.
    name: &'static str,
    route: Route,
    /// Settings that it meets.
    settings: &'static [&'static str],
    /// Delay of each delete.
    delete_ms: u64,
    first: &'static [&'static str],
    second: &'static [&'static str],
}

const TABLES: [Table; 5] = [
    Table {
        name: "Key in an enabled Region",
        base: "default",
        left_out: "tag-deny (no bucket has the tag), unused-account (both accounts have buckets), new-region (searched only with all Regions)",
        scenarios: &[
            Scenario {
                name: "named, seen",
                route: Route::Named,
                settings: NAMED,
                delete_ms: SEEN_FIRST_MS,
                first: &["revoked", "unconfirmed"],
                second: &["already_absent", "revoked", "unconfirmed"],
            },
            Scenario {
                name: "named, unseen",
                route: Route::Named,
                settings: NAMED,
                delete_ms: 0,
                first: &["revoked", "already_absent", "unconfirmed"],
                second: &["already_absent", "revoked", "unconfirmed"],
            },
            Scenario {
                name: "wrong bucket",
                route: Route::NamedWrong,
                settings: NAMED,
                delete_ms: 0,
                first: &["revoked", "unconfirmed"],
                second: &["already_absent", "revoked", "unconfirmed"],
            },
            Scenario {
                name: "missing bucket",
                route: Route::NamedMissing,
                settings: &["delete-operations", "operation-memory", "empty-lists", "opt-in-regions", "missing-bucket"],
                delete_ms: 0,
                first: &["revoked", "unconfirmed"],
                second: &["not_lightsail_key"],
            },
            Scenario {
                name: "bare key",
                route: Route::Searched,
                settings: FOUND,
                delete_ms: 0,
                first: &["revoked", "unconfirmed"],
                second: &["not_lightsail_key"],
            },
            Scenario {
                name: "key nowhere",
                route: Route::Nowhere,
                settings: &["empty-lists", "opt-in-regions"],
                delete_ms: 0,
                first: &["not_lightsail_key"],
                second: &["not_lightsail_key"],
            },
        ],
    },
    Table {
        name: "Key on a protected bucket",
        base: "default",
        left_out: "missing-bucket (named buckets exist), opt-in-regions (none is searched), and those of the first table",
        scenarios: &[
            Scenario {
                name: "named, seen",
                route: Route::NamedProtected,
                settings: &["delete-operations", "operation-memory", "empty-lists", "absent-key", "tag-deny"],
                delete_ms: SEEN_FIRST_MS,
                first: &["protected", "revoked", "unconfirmed"],
                second: &["protected", "already_absent", "revoked", "unconfirmed"],
            },
            Scenario {
                name: "named, unseen",
                route: Route::NamedProtected,
                settings: &["delete-operations", "operation-memory", "empty-lists", "absent-key", "tag-deny"],
                delete_ms: 0,
                first: &["protected", "revoked", "already_absent", "unconfirmed"],
                second: &["protected", "already_absent", "revoked", "unconfirmed"],
            },
            Scenario {
                name: "bare key",
                route: Route::SearchedProtected,
                settings: &["empty-lists", "tag-deny"],
                delete_ms: 0,
                first: &["protected"],
                second: &["protected"],
            },
        ],
    },
    Table {
        name: "Key in an opt-in Region",
        base: "default",
        left_out: "missing-bucket (named buckets exist), and those of the first table",
        scenarios: &[
            Scenario {
                name: "named, unseen",
                route: Route::NamedOptIn,
                settings: NAMED,
                delete_ms: 0,
                first: &["revoked", "already_absent", "unconfirmed", "failed"],
                second: &["already_absent", "revoked", "unconfirmed", "failed"],
            },
            Scenario {
                name: "wrong bucket",
                route: Route::WrongOptIn,
                settings: NAMED,
                delete_ms: 0,
                first: &["revoked", "already_absent", "unconfirmed"],
                second: &["already_absent", "revoked", "unconfirmed"],
            },
            Scenario {
                name: "bare key",
                route: Route::SearchedOptIn,
                settings: FOUND,
                delete_ms: 0,
                first: &["revoked", "unconfirmed", "not_lightsail_key"],
                second: &["not_lightsail_key"],
            },
        ],
    },
    Table {
        name: "Key in a Region that is newer than the function",
        base: "new-region=listed",
        left_out: "absent-key, missing-bucket (no delete is sent to a Region before GetRegions lists it), and those of the first table",
        scenarios: &[
            Scenario {
                name: "named",
                route: Route::NamedNew,
                settings: FOUND,
                delete_ms: 0,
                first: &["revoked", "unconfirmed", "search_incomplete"],
                second: &["not_lightsail_key", "search_incomplete"],
            },
            Scenario {
                name: "bare key",
                route: Route::SearchedNew,
                settings: FOUND,
                delete_ms: 0,
                first: &["revoked", "unconfirmed", "not_lightsail_key"],
                second: &["not_lightsail_key"],
            },
        ],
    },
    Table {
        name: "Key of unknown owner, and a member account that never used Lightsail",
        base: "default",
        left_out: "absent-key, missing-bucket (no bucket is named), opt-in-regions (none is searched), and those of the first table",
        scenarios: &[Scenario {
            name: "bare key",
            route: Route::NeverUsed,
            settings: &["delete-operations", "operation-memory", "empty-lists", "unused-account"],
            delete_ms: 0,
            first: &["revoked", "unconfirmed"],
            second: &["not_lightsail_key", "search_incomplete"],
        }],
    },
];

const LEGEND: &str = "\
First and second delivery of an alert:
R revoked   A already_absent   N not_lightsail_key   * and the key lives, in a Region that the record lists as not enabled
u unconfirmed   f failed   s search_incomplete   p protected: errors, so that Lambda delivers again and people are told
";

impl Table {
    /// Returns the settings that any of its alerts meets.
    pub(crate) fn settings(&self) -> Vec<&'static str> {
        let names = Dialect::SETTINGS.iter().map(|(setting, _)| *setting);
        names.filter(|name| self.scenarios.iter().any(|scenario| scenario.settings.contains(name))).collect()
    }

    /// Returns the headings of its columns.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &'static str> {
        self.scenarios.iter().map(|scenario| scenario.name)
    }

    /// Returns the dialect with only these settings of `dialect`.
    fn only(&self, settings: &[&str], dialect: Dialect) -> Dialect {
        let own = dialect.values().filter(|(setting, _)| settings.contains(setting));
        let own = own.map(|(setting, value)| format!("{setting}={value}"));
        // A later setting replaces an earlier one.
        [self.base.to_owned()].into_iter().chain(own).collect::<Vec<_>>().join(",").parse().unwrap()
    }

    /// Returns all combinations of the settings.
    fn dialects(&self, settings: &[&str]) -> Vec<Dialect> {
        Dialect::all().filter(|dialect| self.only(settings, *dialect) == *dialect).collect()
    }
}

impl Scenario {
    /// Delivers the alert twice.
    fn play(&self, dialect: Dialect) -> [Delivery; 2] {
        simulate(0, async {
            let settings = Settings { dialect, ..Settings::default() };
            let meets_opt_in = self.settings.contains(&"opt-in-regions");
            let world = match self.route.search_regions() {
                // Each search reads the opt-in Region too.
                some if meets_opt_in && !some.is_empty() => {
                    World::with(self.route, settings, &[OTHER_REGION, REGION, OPT_IN_REGION].join(","))
                }
                regions => World::with(self.route, settings, &regions),
            };
            if self.delete_ms > 0 {
                let late = Fault::Latency { ms: self.delete_ms };
                world.script(Script::new("DeleteBucketAccessKey", late).every());
            }
            let first = world.deliver(0, TIMEOUT).await;
            tokio::time::sleep(PAUSE).await;
            [first, world.deliver(1, TIMEOUT).await]
        })
    }

    /// Returns the rules that two deliveries break, if there are any.
    fn broken(&self, deliveries: &[Delivery; 2]) -> Option<String> {
        let mut broken = deliveries.iter().flat_map(broken_rules).chain(broken_history(deliveries)).collect::<Vec<_>>();
        let dialect = deliveries[0].dialect;
        for (delivery, right) in deliveries.iter().zip([self.first, self.second]) {
            if !right.contains(&delivery.outcome()) {
                broken.push(format!("{} is none of {right:?}", delivery.outcome()));
            }
            for key in delivery.keys.iter().filter(|key| key.alive) {
                let is_denied = dialect.tag_deny == TagDeny::Evaluated || self.route == Route::SearchedProtected;
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
        (!broken.is_empty()).then(|| format!("{} in {dialect}: {}\n{}", self.name, broken.join("; "), described()))
    }
}

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
            ((place, dialect), cell(&deliveries), scenario.broken(&deliveries))
        });
        let broken = played.iter().filter_map(|(.., broken)| broken.as_deref()).collect::<Vec<_>>();
        let first = || broken.iter().take(3).copied().collect::<Vec<_>>().join("\n");
        assert!(broken.is_empty(), "{}: {} of {}\n{}", table.name, broken.len(), played.len(), first());
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
