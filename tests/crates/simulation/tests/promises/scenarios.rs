//! The alerts of the matrix of dialects, the settings that each meets, and the outcomes that are right for it.

use std::time::Duration;

use lightsail_simulator::{Dialect, Fault, Script, Settings};
use responder_simulation::world::{Delivery, Route, World};
use responder_simulation::{OPT_IN_REGION, OTHER_REGION, REGION, simulate};

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
    pub(crate) base: &'static str,
    /// Settings that none of the alerts meets, and why.
    pub(crate) left_out: &'static str,
    /// The alerts.
    pub(crate) scenarios: &'static [Scenario],
}

/// An alert, and the outcomes that are right for it in some dialect.
pub(crate) struct Scenario {
    /// Heading of its column.
    pub(crate) name: &'static str,
    /// The alert, and where its key is.
    pub(crate) route: Route,
    /// Settings that it meets.
    pub(crate) settings: &'static [&'static str],
    /// Delay of each delete.
    delete_ms: u64,
    /// Right outcomes of the first delivery.
    pub(crate) first: &'static [&'static str],
    /// Right outcomes of the second delivery.
    pub(crate) second: &'static [&'static str],
}

/// All alerts.
pub(crate) const TABLES: [Table; 5] = [
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
                name: "Region named",
                route: Route::RegionOptIn,
                settings: FOUND,
                delete_ms: 0,
                first: &["revoked", "unconfirmed", "search_incomplete"],
                second: &["not_lightsail_key", "search_incomplete"],
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
    pub(crate) fn only(&self, settings: &[&str], dialect: Dialect) -> Dialect {
        let own = dialect.values().filter(|(setting, _)| settings.contains(setting));
        let own = own.map(|(setting, value)| format!("{setting}={value}"));
        // A later setting replaces an earlier one.
        [self.base.to_owned()].into_iter().chain(own).collect::<Vec<_>>().join(",").parse().unwrap()
    }

    /// Returns all combinations of the settings.
    pub(crate) fn dialects(&self, settings: &[&str]) -> Vec<Dialect> {
        let base = self.base.parse::<Dialect>().unwrap();
        let fits = |dialect: &Dialect| {
            dialect.values().zip(base.values()).all(|(own, base)| settings.contains(&own.0) || own == base)
        };
        Dialect::all().filter(fits).collect()
    }
}

impl Scenario {
    /// Delivers the alert twice.
    pub(crate) fn play(&self, dialect: Dialect) -> [Delivery; 2] {
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
}
