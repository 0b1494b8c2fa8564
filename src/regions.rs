//! The AWS Regions that had Lightsail when this was built.

use crate::names::Region;

/// Regions with a Lightsail API endpoint, and whether an account must first opt in to the Region: botocore's endpoint
/// list and the SDK model's `RegionName`, less `us-west-1`, which is in the model but has no endpoint. Opt-in Regions:
/// AWS Account Management guide, "Enable or disable AWS Regions".
pub const REGIONS: [(&str, bool); 19] = [
    ("us-east-1", false),
    ("us-east-2", false),
    ("us-west-2", false),
    ("eu-west-1", false),
    ("eu-west-2", false),
    ("eu-west-3", false),
    ("eu-central-1", false),
    ("eu-north-1", false),
    ("eu-south-2", true),
    ("ca-central-1", false),
    ("sa-east-1", false),
    ("ap-east-1", true),
    ("ap-south-1", false),
    ("ap-southeast-1", false),
    ("ap-southeast-2", false),
    ("ap-southeast-3", true),
    ("ap-southeast-5", true),
    ("ap-northeast-1", false),
    ("ap-northeast-2", false),
];

/// Returns whether Lightsail has an endpoint in `region`.
pub fn has_lightsail(region: &Region) -> bool {
    REGIONS.iter().any(|(name, _)| *name == region.as_str())
}

/// Returns whether an account must opt in to `region` before it can use it.
pub fn is_opt_in(region: &Region) -> bool {
    REGIONS.iter().any(|(name, opt_in)| *opt_in && *name == region.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_all_parse() {
        assert!(REGIONS.iter().all(|(name, _)| name.parse::<Region>().is_ok()));
    }

    #[test]
    fn lightsail_and_opt_in_follow_the_list() {
        let region = |name: &str| name.parse::<Region>().unwrap();
        assert!(has_lightsail(&region("eu-west-1")) && !is_opt_in(&region("eu-west-1")));
        assert!(has_lightsail(&region("ap-east-1")) && is_opt_in(&region("ap-east-1")));
        assert!(!has_lightsail(&region("me-south-1")) && !is_opt_in(&region("me-south-1")));
    }
}
