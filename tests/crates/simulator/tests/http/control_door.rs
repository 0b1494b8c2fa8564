//! The control door: what it takes, what it tells, and what it refuses with which words.

use lightsail_simulator::{
    Operation::{DeleteBucketAccessKey, GetBucketAccessKeys},
    Settings, Simulator,
};
use serde_json::{Value, json};

use crate::client::{Client, control, read, send};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

#[tokio::test]
async fn what_is_seeded_can_be_deleted_and_seen_and_reset() {
    let simulator = Simulator::start().await.unwrap();
    let seed = json!({
        "account": "111111111111", "region": "eu-west-1", "bucket": "invoices", "tags": [{"key": "team", "value": "a"}],
        "keys": [KEY, {"id": "AKIAI44QH8DHBEXAMPLE", "status": "Inactive", "createdAt": "2026-11-01T00:00:00Z",
            "lastUsed": {"lastUsedDate": "2026-11-02T00:00:00Z", "region": "eu-west-1", "serviceName": "s3"}}],
    });
    let seeded = control(&simulator, "POST /_simulator/seed", &seed.to_string()).await.unwrap();
    assert_eq!((seeded.status, seeded.json()), (200, json!({"ok": true})));
    let fault = json!({"operation": "DeleteBucketAccessKey", "fault": {"kind": "operation_pending", "polls": 3}});
    control(&simulator, "POST /_simulator/faults", &fault.to_string()).await.unwrap();

    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!(state["accounts"][0]["buckets"][0]["accessKeys"][1]["status"], "Inactive");
    assert_eq!(state["scripts"][0]["fault"], json!({"kind": "operation_pending", "polls": 3}));

    let client = Client { key: "111111111111", region: "eu-west-1", address: simulator.address() };
    let delete = json!({"bucketName": "invoices", "accessKeyId": KEY});
    client.output(DeleteBucketAccessKey, &delete).await.unwrap();
    let requests = control(&simulator, "GET /_simulator/requests", "").await.unwrap().json();
    assert_eq!(requests.as_array().unwrap().len(), 1, "the control door is not counted");
    assert_eq!(requests[0]["access_key_id"], KEY);
    assert_eq!((&requests[0]["status"], &requests[0]["fault"]), (&json!(200), &json!("operation_pending")));

    control(&simulator, "DELETE /_simulator/requests", "").await.unwrap();
    assert_eq!(control(&simulator, "GET /_simulator/requests", "").await.unwrap().json(), json!([]));
    control(&simulator, "POST /_simulator/reset", "").await.unwrap();
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!(state, json!({"accounts": [], "roles": [], "scripts": [], "requests": 0}));
    assert_eq!(control(&simulator, "GET /_simulator/health", "").await.unwrap().json(), json!({"ok": true}));
}

#[tokio::test]
async fn scripts_that_are_deleted_befall_nothing_and_all_else_stays() {
    let simulator = Simulator::start().await.unwrap();
    let seed = json!({"region": "eu-west-1", "bucket": "invoices", "keys": [KEY]});
    control(&simulator, "POST /_simulator/seed", &seed.to_string()).await.unwrap();
    let storm = json!({"operation": "GetBucketAccessKeys", "count": "every", "fault": {"kind": "throttled"}});
    let client = Client::of(&simulator);
    let bucket = json!({"bucketName": "invoices"});
    for _ in 0..2 {
        control(&simulator, "POST /_simulator/faults", &storm.to_string()).await.unwrap();
    }
    assert_eq!(client.error(GetBucketAccessKeys, &bucket).await.unwrap(), "ThrottlingException");

    let answer = control(&simulator, "DELETE /_simulator/faults", "").await.unwrap();
    assert_eq!((answer.status, answer.json()), (200, json!({"ok": true})));
    let listed = client.output(GetBucketAccessKeys, &bucket).await.unwrap();
    assert_eq!(listed["accessKeys"][0]["accessKeyId"], KEY);
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!((&state["scripts"], &state["requests"]), (&json!([]), &json!(2)));

    control(&simulator, "POST /_simulator/faults", &storm.to_string()).await.unwrap();
    assert_eq!(client.error(GetBucketAccessKeys, &bucket).await.unwrap(), "ThrottlingException");
}

#[tokio::test]
async fn a_request_says_which_attempt_of_its_call_it_is_if_its_client_does() {
    let simulator = Simulator::start().await.unwrap();
    for header in ["amz-sdk-request: attempt=1\r\n", "amz-sdk-request: ttl=1; attempt=12; max=5\r\n", ""] {
        read(&mut send(simulator.address(), "POST /", header, "{}").await.unwrap()).await.unwrap();
    }
    let attempts: Vec<_> = simulator.requests().into_iter().map(|seen| seen.attempt).collect();
    assert_eq!(attempts, [Some(1), Some(12), None]);
    let requests = control(&simulator, "GET /_simulator/requests", "").await.unwrap().json();
    assert_eq!((&requests[0]["attempt"], requests[2].get("attempt")), (&json!(1), None));
}

#[tokio::test]
async fn seeding_a_bucket_again_replaces_its_keys() {
    let simulator = Simulator::start().await.unwrap();
    for keys in [json!([KEY]), json!([]), json!(["AKIAI44QH8DHBEXAMPLE"])] {
        let seed = json!({"region": "eu-west-1", "bucket": "invoices", "keys": keys});
        control(&simulator, "POST /_simulator/seed", &seed.to_string()).await.unwrap();
        assert_eq!(json!(simulator.keys(simulator.account(), "eu-west-1", "invoices")), keys);
    }
}

#[tokio::test]
async fn the_state_has_no_secrets() {
    let settings = Settings { secret_access_key: Some("the-secret-of-the-caller".into()), ..Settings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    let seed = json!({"region": "eu-west-1", "bucket": "invoices", "keys": [KEY]});
    control(&simulator, "POST /_simulator/seed", &seed.to_string()).await.unwrap();
    let refused = Client::of(&simulator).error(GetBucketAccessKeys, &json!({"bucketName": "invoices"})).await;
    assert_eq!(refused.unwrap(), "InvalidSignatureException");
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().body.to_lowercase();
    assert!(state.contains("accesskeyid") && !state.contains("secret"), "{state}");
}

#[tokio::test]
async fn what_is_not_understood_is_refused_with_what_would_have_been() {
    let simulator = Simulator::start().await.unwrap();
    let seed = |change: Value| {
        let mut seed = json!({"region": "eu-west-1", "bucket": "invoices"});
        seed.as_object_mut().unwrap().append(change.clone().as_object_mut().unwrap());
        ("seed", seed)
    };
    let script = |fault: Value| ("faults", json!({"operation": "DeleteBucketAccessKey", "fault": fault}));
    for ((path, body), expected) in [
        (seed(json!({"name": "x"})), "unknown field `name`, expected one of `account`, `region`, `bucket`"),
        (seed(json!({"region": "mars-1"})), "unknown region `mars-1`, expected one of us-east-1"),
        (seed(json!({"bucket": "No"})), "`No` is not a bucket's name"),
        (seed(json!({"account": "1"})), "`1` is not an account"),
        (seed(json!({"keys": ["short"]})), "`short` is not an access key id: ^[A-Z0-9]{20}$ is"),
        (seed(json!({"keys": [KEY, KEY]})), "given twice"),
        (seed(json!({"keys": [KEY, KEY, KEY]})), "at most 2"),
        (seed(json!({"keys": [{"id": KEY, "secret": "x"}]})), "unknown field `secret`, expected one of `id`"),
        (seed(json!({"keys": [{"id": KEY, "status": "Gone"}]})), "expected `Active` or `Inactive`"),
        (script(json!({"kind": "earthquake"})), "unknown variant `earthquake`, expected one of `latency`"),
        (script(json!({"kind": "latency", "s": 1})), "unknown field `s`, expected `ms`"),
        (script(json!({"kind": "throttled", "ms": 1})), "unknown field `ms`: the fault \"throttled\" has no fields"),
        (script(json!({"kind": "http_status", "status": 200})), "400 to 599"),
        (("faults", json!({"operation": "GetDisks", "fault": {"kind": "throttled"}})), "expected one of GetRegions"),
        (
            ("faults", json!({"operation": "GetBuckets", "fault": {"kind": "no_operations"}})),
            "means nothing for GetBuckets",
        ),
        (("faults", json!({"operation": "GetBuckets", "count": "x", "fault": {"kind": "throttled"}})), "\"every\""),
        (("faults", json!({"operation": "GetBuckets", "times": 1, "fault": {"kind": "throttled"}})), "`count`"),
    ] {
        let answer = control(&simulator, &format!("POST /_simulator/{path}"), &body.to_string()).await.unwrap();
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && error.contains(expected), "{body}: {} {}", answer.status, answer.body);
    }
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!(state, json!({"accounts": [], "roles": [], "scripts": [], "requests": 0}), "nothing of it was kept");
}

#[tokio::test]
async fn a_script_can_be_written_in_every_way_that_is_documented() {
    let simulator = Simulator::start().await.unwrap();
    for script in [
        json!({"operation": "GetBuckets", "count": "every", "fault": {"kind": "throttled"}}),
        json!({"operation": "GetBuckets", "count": null, "skip": 2, "region": "eu-west-1", "fault": {"kind": "throttled"}}),
        json!({"operation": "GetBuckets", "count": 3, "latency_ms": 5, "fault": {"kind": "error", "code": "Odd"}}),
        json!({"operation": "DeleteBucket", "fault": {"kind": "operation_failed"}}),
        json!({"operation": "DeleteBucket", "fault": {"kind": "operation_status", "status": null}}),
        json!({"operation": "DeleteBucket", "fault": {"kind": "operation_status", "is_terminal": false}}),
    ] {
        let answer = control(&simulator, "POST /_simulator/faults", &script.to_string()).await.unwrap();
        assert_eq!(answer.status, 200, "{script}: {}", answer.body);
    }
    let state = control(&simulator, "GET /_simulator/state", "").await.unwrap().json();
    assert_eq!(state["scripts"][0]["count"], "every");
    assert_eq!(state["scripts"][4]["fault"], json!({"kind": "operation_status", "status": null}));
    assert_eq!(state["scripts"][5]["fault"], json!({"kind": "operation_status", "is_terminal": false}));
}

#[tokio::test]
async fn a_bucket_of_another_account_or_region_cannot_be_seeded_over() {
    let simulator = Simulator::start().await.unwrap();
    let seed = json!({"region": "eu-west-1", "bucket": "invoices"});
    control(&simulator, "POST /_simulator/seed", &seed.to_string()).await.unwrap();
    let seed = json!({"region": "us-east-1", "bucket": "invoices"});
    let answer = control(&simulator, "POST /_simulator/seed", &seed.to_string()).await.unwrap();
    assert!(answer.body.contains("already in account 012345678912, Region eu-west-1"), "{}", answer.body);
}

#[tokio::test]
async fn a_path_that_is_not_there_names_those_that_are() {
    let simulator = Simulator::start().await.unwrap();
    for line in ["GET /_simulator/nothing", "GET /_simulator/seed", "PUT /_simulator/requests"] {
        let answer = control(&simulator, line, "").await.unwrap();
        assert_eq!(answer.status, 404, "{line}");
        assert!(answer.body.contains("POST or DELETE faults"), "{}", answer.body);
    }
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    for settings in [
        Settings { bind: ([0, 0, 0, 0], 0).into(), ..Settings::default() },
        Settings { account: "me".into(), ..Settings::default() },
        Settings { page_size: 0, ..Settings::default() },
    ] {
        let refused = Simulator::start_with(settings).await.err().unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput, "{refused}");
    }
}
