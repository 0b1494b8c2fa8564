//! The Regions that Lightsail has: decides whether a Region in a signature exists here and lets
//! the caller's account in, and turns the list into the answer of `GetRegions`.
//!
//! The list can grow, as AWS's does (K), and an account can have disabled a Region in which it
//! still has buckets (J10). "Disabling a Region disables IAM access to resources in the Region.
//! It does not delete the resources" (API_DisableRegion of Account Management).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    dialect::{Dialect, NewRegion, OptInRegions},
    settings::is_account,
};

/// Name, `displayName`, `continentCode` and the words of `description`: botocore's list of
/// endpoints, in the order of the `RegionName` enum of its model. `us-west-1` is in that enum
/// and has no endpoint.
const KNOWN: [(&str, &str, &str, &str); 19] = [
    ("us-east-1", "Virginia", "NA", "the eastern United States"),
    ("us-east-2", "Ohio", "NA", "the eastern United States"),
    ("us-west-2", "Oregon", "NA", "the northwestern United States"),
    ("eu-west-1", "Ireland", "EU", "Ireland"),
    ("eu-west-2", "London", "EU", "the United Kingdom"),
    ("eu-west-3", "Paris", "EU", "France"),
    ("eu-central-1", "Frankfurt", "EU", "central Europe"),
    ("eu-north-1", "Stockholm", "EU", "northern Europe"),
    ("eu-south-2", "Spain", "EU", "Spain"),
    ("ca-central-1", "Montreal", "NA", "Canada"),
    ("ap-east-1", "Hong Kong", "AP", "Hong Kong"),
    ("ap-south-1", "Mumbai", "AP", "India"),
    ("ap-southeast-1", "Singapore", "AP", "southeast Asia"),
    ("ap-southeast-2", "Sydney", "AP", "Australia"),
    ("ap-northeast-1", "Tokyo", "AP", "Japan"),
    ("ap-northeast-2", "Seoul", "AP", "South Korea"),
    ("ap-southeast-3", "Jakarta", "AP", "Indonesia"),
    ("ap-southeast-5", "Malaysia", "AP", "Malaysia"),
    ("sa-east-1", "Sao Paulo", "SA", "South America"),
];

/// Those of the known Regions that an account must opt in to: AWS Account Management guide,
/// "Enable or disable AWS Regions".
const OPT_IN: [&str; 4] = ["eu-south-2", "ap-east-1", "ap-southeast-3", "ap-southeast-5"];

/// A Region of Lightsail, and which accounts can use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    name: String,
    #[serde(default)]
    disabled: bool,
    /// The only account that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

impl Region {
    /// The Region that [`NewRegion::Listed`] adds.
    pub const NEW: &str = "mx-central-1";

    /// A Region that every account can use.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), disabled: false, account: None }
    }

    /// Returns the 19 Regions that botocore 1.43.127 has endpoints for, all of them enabled.
    pub fn known() -> Vec<Self> {
        KNOWN.iter().map(|(name, ..)| Self::new(name)).collect()
    }

    /// Has Lightsail refuse credentials in the Region. Buckets in it stay, and can be seeded.
    #[must_use]
    pub fn disabled(mut self) -> Self {
        self.disabled = true;
        self
    }

    /// Leaves other accounts as they are.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    pub(crate) fn check(&self) -> Result<(), RegionError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || !self.name.bytes().all(letter) {
            return Err(RegionError::Name { name: self.name.clone() });
        }
        match &self.account {
            Some(account) if !is_account(account) => Err(RegionError::Account { account: account.clone() }),
            _ => Ok(()),
        }
    }
}

/// Why a Region is refused. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The name is not one that a Region can have.
    #[error("`{name}` is not a Region's name: ^[a-z0-9-]+$ is")]
    Name {
        /// As it was given.
        name: String,
    },
    /// The account is not an account number.
    #[error("`{account}` is not an account: 12 digits are")]
    Account {
        /// As it was given.
        account: String,
    },
}

/// All Regions.
#[derive(Debug)]
pub(crate) struct Regions(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    name: String,
    disabled: bool,
    /// Accounts for which it is otherwise.
    disabled_for: BTreeMap<String, bool>,
}

impl Regions {
    /// The Regions of the settings, with what the dialect adds and disables.
    pub(crate) fn new(regions: &[Region], dialect: Dialect) -> Self {
        let mut all = Self(Vec::new());
        let added = (dialect.new_region == NewRegion::Listed).then(|| Region::new(Region::NEW));
        regions.iter().cloned().chain(added).for_each(|region| all.put(region));
        if dialect.opt_in_regions == OptInRegions::Disabled {
            // Every Region since 2019 is one to opt in to, so a Region that is not known is one.
            let always = |name: &str| KNOWN.iter().any(|(known, ..)| *known == name) && !OPT_IN.contains(&name);
            all.0.iter_mut().filter(|entry| !always(&entry.name)).for_each(|entry| entry.disabled = true);
        }
        all
    }

    /// Adds a Region, or changes who can use it.
    pub(crate) fn put(&mut self, region: Region) {
        let Region { name, disabled, account } = region;
        let place = self.0.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
            self.0.push(Entry { name, disabled: false, disabled_for: BTreeMap::new() });
            self.0.len() - 1
        });
        let entry = &mut self.0[place];
        match account {
            Some(account) => {
                entry.disabled_for.insert(account, disabled);
            }
            None => {
                entry.disabled = disabled;
                entry.disabled_for.clear();
            }
        }
    }

    /// Whether Lightsail has this Region.
    pub(crate) fn has(&self, region: &str) -> bool {
        self.0.iter().any(|entry| entry.name == region)
    }

    /// Whether Lightsail has this Region and takes the account's credentials in it.
    pub(crate) fn admits(&self, account: &str, region: &str) -> bool {
        let entry = self.0.iter().find(|entry| entry.name == region);
        entry.is_some_and(|entry| !entry.disabled_for.get(account).copied().unwrap_or(entry.disabled))
    }

    /// All names, for the text of a refusal.
    pub(crate) fn names(&self) -> String {
        self.0.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The answer of `GetRegions`, in which disabled Regions are, too: AWS has not published
    /// whether it leaves them out. Zones are listed only when asked for, as the API page says;
    /// that there are three, `a` to `c`, is made up.
    pub(crate) fn listed(&self, zones: bool, database_zones: bool) -> Value {
        let zones_of = |region: &str, wanted: bool| -> Vec<Value> {
            ["a", "b", "c"]
                .iter()
                .filter(|_| wanted)
                .map(|letter| json!({"zoneName": format!("{region}{letter}"), "state": "available"}))
                .collect()
        };
        let regions = self.0.iter().map(|Entry { name, .. }| {
            let known = KNOWN.iter().find(|(known, ..)| known == name);
            let (display, continent, users) =
                known.map_or((name.as_str(), continent_of(name), name.as_str()), |known| (known.1, known.2, known.3));
            json!({
                "continentCode": continent,
                "description": format!("This region is recommended to serve users in {users}"),
                "displayName": display,
                "name": name,
                "availabilityZones": zones_of(name, zones),
                "relationalDatabaseAvailabilityZones": zones_of(name, database_zones),
            })
        });
        json!({ "regions": regions.collect::<Vec<_>>() })
    }
}

/// A guess, for a Region that is not known.
fn continent_of(region: &str) -> &'static str {
    match region.get(..2) {
        Some("us" | "ca" | "mx") => "NA",
        Some("eu") => "EU",
        Some("sa") => "SA",
        Some("af") => "AF",
        _ => "AP",
    }
}
