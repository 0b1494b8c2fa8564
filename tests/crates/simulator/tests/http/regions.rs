//! The Regions: the list and how it grows, and those that an account has disabled.

use std::io;

use lightsail_simulator::{
    Dialect, Fault, NewRegion,
    Operation::{DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetRegions},
    OptInRegions, Region, Script, Seed, Settings, Simulator,
};
use serde_json::json;

use crate::{
    client::{Client, control},
    dialects::{KEY, delete, speaking},
};

/// Returns the names that `GetRegions` lists.
async fn listed(client: &Client) -> io::Result<Vec<String>> {
    let answer = client.output(GetRegions, &json!({})).await?;
    let names = answer["regions"].as_array().into_iter().flatten().map(|region| region["name"].as_str());
    Ok(names.map(|name| name.unwrap_or_default().to_owned()).collect())
}

#[tokio::test]
async fn new_region_of_each_value_is_listed_and_works_or_is_not() {
    for new_region in NewRegion::ALL.iter().copied() {
        let (simulator, client) = speaking(Dialect { new_region, ..Dialect::default() }).await.unwrap();
        let there = Client { region: Region::NEW, ..Client::of(&simulator) };
        let seed = Seed::bucket(Region::NEW, "photos").key(KEY);
        match new_region {
            NewRegion::Absent => {
                assert_eq!(listed(&client).await.unwrap().len(), 19);
                assert_eq!(there.error(GetBuckets, &json!({})).await.unwrap(), "UnrecognizedClientException");
                let refused = simulator.seed(seed).unwrap_err().to_string();
                assert!(refused.starts_with("unknown region `mx-central-1`, expected one of us-east-1, "), "{refused}");
            }
            NewRegion::Listed => {
                assert_eq!(
                    (listed(&client).await.unwrap().len(), listed(&there).await.unwrap()[19].as_str()),
                    (20, Region::NEW)
                );
                simulator.seed(seed).unwrap();
                let delete = json!({"bucketName": "photos", "accessKeyId": KEY});
                there.output(DeleteBucketAccessKey, &delete).await.unwrap();
                assert!(simulator.keys(simulator.account(), Region::NEW, "photos").unwrap().is_empty());
            }
        }
    }
}

#[tokio::test]
async fn opt_in_regions_of_each_value_admit_or_refuse_credentials() {
    for opt_in_regions in OptInRegions::ALL.iter().copied() {
        let dialect = Dialect { opt_in_regions, new_region: NewRegion::Listed, ..Dialect::default() };
        let (simulator, client) = speaking(dialect).await.unwrap();
        let mut refused = Vec::new();
        for region in ["eu-west-1", "eu-south-2", "ap-east-1", "ap-southeast-3", "ap-southeast-5", "mx-central-1"] {
            let there = Client { region, ..Client::of(&simulator) };
            let answer = there.call(GetBuckets, &json!({})).await.unwrap();
            if answer.status != 200 {
                assert_eq!((answer.status, answer.error().as_deref()), (400, Some("UnrecognizedClientException")));
                refused.push(region);
            }
        }
        let expected: &[&str] = match opt_in_regions {
            OptInRegions::Enabled => &[],
            OptInRegions::Disabled => &["eu-south-2", "ap-east-1", "ap-southeast-3", "ap-southeast-5", "mx-central-1"],
        };
        assert_eq!(refused, expected);
        assert_eq!(listed(&client).await.unwrap().len(), 20, "disabled Regions are listed");
    }
}

#[tokio::test]
async fn disabled_region_keeps_its_keys_alive() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("ap-east-1", "invoices").key(KEY)).unwrap();
    simulator.region(Region::new("ap-east-1").disabled()).unwrap();
    let there = Client { region: "ap-east-1", ..Client::of(&simulator) };
    for operation in [GetRegions, GetBuckets, GetBucketAccessKeys, DeleteBucketAccessKey] {
        assert_eq!(there.error(operation, &delete(KEY)).await.unwrap(), "UnrecognizedClientException", "{operation}");
    }
    assert_eq!(simulator.keys(simulator.account(), "ap-east-1", "invoices").unwrap(), [KEY]);
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!(state["accounts"][0]["buckets"][0]["accessKeys"][0]["accessKeyId"], KEY);

    simulator.region(Region::new("ap-east-1")).unwrap();
    there.output(DeleteBucketAccessKey, &delete(KEY)).await.unwrap();
}

#[tokio::test]
async fn region_is_disabled_for_one_account_only() {
    let simulator = Simulator::start().await.unwrap();
    let region = json!({"name": "ap-east-1", "disabled": true, "account": "111111111111"});
    control(&simulator, "POST /_simulator/regions", &region.to_string()).await.unwrap();
    let of = |key| Client { key, region: "ap-east-1", address: simulator.address() };
    assert_eq!(of("111111111111").error(GetBuckets, &json!({})).await.unwrap(), "UnrecognizedClientException");
    of("222222222222").output(GetBuckets, &json!({})).await.unwrap();

    simulator.region(Region::new("ap-east-1").disabled()).unwrap();
    simulator.region(Region::new("ap-east-1").account("111111111111")).unwrap();
    of("111111111111").output(GetBuckets, &json!({})).await.unwrap();
    assert_eq!(of("222222222222").error(GetBuckets, &json!({})).await.unwrap(), "UnrecognizedClientException");
    control(&simulator, "POST /_simulator/reset", "").await.unwrap();
    of("222222222222").output(GetBuckets, &json!({})).await.unwrap();
}

#[tokio::test]
async fn configured_regions_are_all_there_are() {
    let regions = vec![Region::new("mx-central-1"), Region::new("eu-west-1").disabled()];
    let simulator = Simulator::start_with(Settings { regions, ..Settings::default() }).await.unwrap();
    let client = Client { region: "mx-central-1", ..Client::of(&simulator) };
    assert_eq!(listed(&client).await.unwrap(), ["mx-central-1", "eu-west-1"]);
    for region in ["eu-west-1", "us-east-1"] {
        let there = Client { region, ..Client::of(&simulator) };
        assert_eq!(there.error(GetBuckets, &json!({})).await.unwrap(), "UnrecognizedClientException");
    }
    control(&simulator, "POST /_simulator/regions", r#"{"name": "il-central-1"}"#).await.unwrap();
    simulator.script(Script::new(GetRegions, Fault::Throttled).in_region("mx-central-1")).unwrap();
    assert_eq!(client.error(GetRegions, &json!({})).await.unwrap(), "ThrottlingException");
    assert_eq!(listed(&client).await.unwrap(), ["mx-central-1", "eu-west-1", "il-central-1"]);
}

#[tokio::test]
async fn impossible_regions_are_refused() {
    let simulator = Simulator::start().await.unwrap();
    for (body, expected) in [
        (json!({"name": "Mars"}), "`Mars` is not a Region's name"),
        (json!({"name": "ap-east-1", "account": "me"}), "`me` is not an account"),
        (json!({"name": "ap-east-1", "closed": true}), "unknown field `closed`, expected one of `name`, `disabled`"),
    ] {
        let answer = control(&simulator, "POST /_simulator/regions", &body.to_string()).await.unwrap();
        assert!(answer.status == 400 && answer.body.contains(expected), "{}", answer.body);
    }
    for regions in [vec![], vec![Region::new("")]] {
        let refused = Simulator::start_with(Settings { regions, ..Settings::default() }).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput, "{refused}");
    }
}
