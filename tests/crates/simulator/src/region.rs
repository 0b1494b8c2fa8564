//! The Regions that have Lightsail: decides whether a Region in a signature exists here, and
//! turns the list into the answer of `GetRegions`.
//!
//! The names are the `RegionName` enum of botocore's model, in its order; `us-west-1` is in
//! that enum although botocore's endpoint list leaves it out.

use serde_json::{Value, json};

/// Name, `displayName`, `continentCode` and the words of `description`.
const REGIONS: [(&str, &str, &str, &str); 20] = [
    ("us-east-1", "Virginia", "NA", "the eastern United States"),
    ("us-east-2", "Ohio", "NA", "the eastern United States"),
    ("us-west-1", "N. California", "NA", "the western United States"),
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

/// Whether Lightsail has this Region.
pub(crate) fn exists(region: &str) -> bool {
    REGIONS.iter().any(|(name, ..)| *name == region)
}

/// All names, for the text of a refusal.
pub(crate) fn names() -> String {
    REGIONS.map(|(name, ..)| name).join(", ")
}

/// The answer of `GetRegions`. Zones are listed only when asked for, as the API page says; that
/// there are three, `a` to `c`, is made up.
pub(crate) fn listed(zones: bool, database_zones: bool) -> Value {
    let zones_of = |region: &str, wanted: bool| -> Vec<Value> {
        ["a", "b", "c"]
            .iter()
            .filter(|_| wanted)
            .map(|letter| json!({"zoneName": format!("{region}{letter}"), "state": "available"}))
            .collect()
    };
    let regions: Vec<Value> = REGIONS
        .iter()
        .map(|(name, display, continent, users)| {
            json!({
                "continentCode": continent,
                "description": format!("This region is recommended to serve users in {users}"),
                "displayName": display,
                "name": name,
                "availabilityZones": zones_of(name, zones),
                "relationalDatabaseAvailabilityZones": zones_of(name, database_zones),
            })
        })
        .collect();
    json!({ "regions": regions })
}
