//! What the operations do when nothing goes wrong, and what they refuse.

use std::io;

use lightsail_simulator::{
    Operation::{
        CreateBucket, CreateBucketAccessKey, DeleteBucket, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets,
        GetOperation, GetOperations, GetRegions,
    },
    Seed, SeedKey, Settings, Simulator,
};
use serde_json::json;

use crate::client::{Client, read, read_until, send};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const OTHER_KEY: &str = "AKIAI44QH8DHBEXAMPLE";

#[tokio::test]
async fn a_deleted_key_is_gone_at_once_and_its_operation_is_done_at_the_first_poll() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "invoices").key(KEY).key(OTHER_KEY)).unwrap();
    let client = Client::of(&simulator);
    let delete = json!({"bucketName": "invoices", "accessKeyId": KEY});
    let deleted = client.output(DeleteBucketAccessKey, &delete).await.unwrap();
    let started = &deleted["operations"][0];
    assert_eq!((&started["status"], &started["isTerminal"]), (&json!("Started"), &json!(false)));
    assert_eq!(started["operationDetails"], KEY);
    assert_eq!(simulator.keys(simulator.account(), "eu-west-1", "invoices").unwrap(), [OTHER_KEY]);

    let polled = client.output(GetOperation, &json!({"operationId": started["id"]})).await.unwrap();
    let done = &polled["operation"];
    assert_eq!((&done["status"], &done["isTerminal"]), (&json!("Succeeded"), &json!(true)));
    assert_eq!(client.error(DeleteBucketAccessKey, &delete).await.unwrap(), "NotFoundException");
}

#[tokio::test]
async fn an_operation_can_be_done_in_the_answer_of_the_call_itself() {
    let simulator = Simulator::start_with(Settings { done_at_poll: 0, ..Settings::default() }).await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "invoices").key(KEY)).unwrap();
    let delete = json!({"bucketName": "invoices", "accessKeyId": KEY});
    let deleted = Client::of(&simulator).output(DeleteBucketAccessKey, &delete).await.unwrap();
    assert_eq!(deleted["operations"][0]["status"], "Succeeded");
    assert_eq!(deleted["operations"][0]["isTerminal"], true);
}

#[tokio::test]
async fn a_bucket_has_at_most_two_keys_and_a_secret_is_told_once() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "invoices")).unwrap();
    let client = Client::of(&simulator);
    let invoices = json!({"bucketName": "invoices"});
    for _ in 0..2 {
        let created = client.output(CreateBucketAccessKey, &invoices).await.unwrap();
        assert_eq!(created["accessKey"]["secretAccessKey"].as_str().unwrap().len(), 40);
        assert_eq!(created["accessKey"]["accessKeyId"], created["operations"][0]["operationDetails"]);
    }
    assert_eq!(client.error(CreateBucketAccessKey, &invoices).await.unwrap(), "InvalidInputException");
    let listed = client.output(GetBucketAccessKeys, &invoices).await.unwrap();
    assert_eq!(listed["accessKeys"].as_array().unwrap().len(), 2);
    for key in listed["accessKeys"].as_array().unwrap() {
        assert_eq!(key.get("secretAccessKey"), None);
        assert_eq!(key["lastUsed"], json!({"region": "N/A", "serviceName": "N/A"}));
    }
}

#[tokio::test]
async fn a_seeded_key_is_listed_as_it_was_seeded() {
    let simulator = Simulator::start().await.unwrap();
    let at = "2026-11-01T02:03:04.349Z".parse().unwrap();
    let key = SeedKey::new(KEY).inactive().created_at(at).last_used(at, "eu-west-1", "s3");
    simulator.seed(Seed::bucket("eu-west-1", "invoices").key(key).tag("team", "billing")).unwrap();
    let client = Client::of(&simulator);
    let listed = client.output(GetBucketAccessKeys, &json!({"bucketName": "invoices"})).await.unwrap();
    assert_eq!(
        listed["accessKeys"],
        json!([{
            "accessKeyId": KEY,
            "status": "Inactive",
            "createdAt": 1_793_498_584.349,
            "lastUsed": {"lastUsedDate": 1_793_498_584.349, "region": "eu-west-1", "serviceName": "s3"},
        }])
    );
    let buckets = client.output(GetBuckets, &json!({"bucketName": "invoices"})).await.unwrap();
    assert_eq!(buckets["buckets"][0]["tags"], json!([{"key": "team", "value": "billing"}]));
}

#[tokio::test]
async fn a_bucket_with_keys_is_deleted_only_by_force() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "invoices").key(KEY)).unwrap();
    let client = Client::of(&simulator);
    let refused = client.error(DeleteBucket, &json!({"bucketName": "invoices"})).await.unwrap();
    assert_eq!(refused, "InvalidInputException");
    client.output(DeleteBucket, &json!({"bucketName": "invoices", "forceDelete": true})).await.unwrap();
    assert_eq!(simulator.keys(simulator.account(), "eu-west-1", "invoices"), None);
    let gone = client.error(DeleteBucket, &json!({"bucketName": "invoices"})).await.unwrap();
    assert_eq!(gone, "NotFoundException");
}

#[tokio::test]
async fn accounts_and_regions_do_not_see_each_other_but_share_the_names() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "invoices").account("111111111111").key(KEY)).unwrap();
    let create = json!({"bucketName": "invoices", "bundleId": "small_1_0"});
    for (key, region) in [("111111111111", "us-east-1"), ("222222222222", "eu-west-1"), ("AKIDEXAMPLE", "eu-west-1")] {
        let client = Client { key, region, ..Client::of(&simulator) };
        let buckets = client.output(GetBuckets, &json!({})).await.unwrap();
        assert_eq!(buckets, json!({"buckets": []}));
        let delete = json!({"bucketName": "invoices", "accessKeyId": KEY});
        assert_eq!(client.error(DeleteBucketAccessKey, &delete).await.unwrap(), "NotFoundException");
        assert_eq!(client.error(CreateBucket, &create).await.unwrap(), "InvalidInputException");
    }
    assert_eq!(simulator.keys("111111111111", "eu-west-1", "invoices").unwrap(), [KEY]);
}

#[tokio::test]
async fn an_operation_of_another_region_is_not_found() {
    let simulator = Simulator::start().await.unwrap();
    let client = Client::of(&simulator);
    let create = json!({"bucketName": "invoices", "bundleId": "small_1_0"});
    let created = client.output(CreateBucket, &create).await.unwrap();
    let poll = json!({"operationId": created["operations"][0]["id"]});
    let elsewhere = Client { region: "us-east-1", ..Client::of(&simulator) };
    assert_eq!(elsewhere.error(GetOperation, &poll).await.unwrap(), "NotFoundException");
}

#[tokio::test]
async fn the_pages_of_buckets_and_operations_hold_each_once() {
    let simulator = Simulator::start_with(Settings { page_size: 2, ..Settings::default() }).await.unwrap();
    let client = Client::of(&simulator);
    let names = ["bucket-a", "bucket-b", "bucket-c", "bucket-d", "bucket-e"];
    for name in names {
        let create = json!({"bucketName": name, "bundleId": "small_1_0"});
        client.output(CreateBucket, &create).await.unwrap();
    }
    for (operation, list, name_of) in [(GetBuckets, "buckets", "name"), (GetOperations, "operations", "resourceName")] {
        let (mut seen, mut sizes, mut input) = (vec![], vec![], json!({}));
        loop {
            let page = client.output(operation, &input).await.unwrap();
            let entries = page[list].as_array().unwrap();
            sizes.push(entries.len());
            seen.extend(entries.iter().map(|entry| entry[name_of].as_str().unwrap().to_owned()));
            let Some(token) = page.get("nextPageToken") else { break };
            input = json!({ "pageToken": token });
        }
        assert_eq!((seen, sizes), (names.map(str::to_owned).to_vec(), vec![2, 2, 1]), "{operation}");
    }
    assert_eq!(client.error(GetBuckets, &json!({"pageToken": "x"})).await.unwrap(), "InvalidInputException");
}

#[tokio::test]
async fn a_bucket_asked_for_by_name_must_exist() {
    let simulator = Simulator::start().await.unwrap();
    let client = Client::of(&simulator);
    let invoices = json!({"bucketName": "invoices"});
    for operation in [GetBuckets, GetBucketAccessKeys, CreateBucketAccessKey] {
        assert_eq!(client.error(operation, &invoices).await.unwrap(), "NotFoundException", "{operation}");
    }
}

#[tokio::test]
async fn zones_are_listed_when_they_are_asked_for() {
    let simulator = Simulator::start().await.unwrap();
    let client = Client::of(&simulator);
    let regions = client.output(GetRegions, &json!({"includeAvailabilityZones": true})).await.unwrap();
    assert_eq!(regions["regions"].as_array().unwrap().len(), 19);
    assert_eq!(regions["regions"][0]["availabilityZones"][0]["zoneName"], "us-east-1a");
    assert_eq!(regions["regions"][0]["relationalDatabaseAvailabilityZones"], json!([]));
}

#[tokio::test]
async fn a_request_that_is_not_of_the_protocol_is_refused_as_aws_does() {
    let simulator = Simulator::start().await.unwrap();
    let signature = |region: &str, service: &str| {
        format!(
            "X-Amz-Date: 20261124T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261124/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n"
        )
    };
    let good = signature("eu-west-1", "lightsail");
    let json_type = "Content-Type: application/x-amz-json-1.1\r\n";
    let target = "X-Amz-Target: Lightsail_20161128.GetBuckets\r\n";
    for (line, headers, body, expected) in [
        ("POST /", format!("{target}{json_type}"), "{}", "MissingAuthenticationTokenException"),
        ("POST /", format!("{target}{json_type}Authorization: Bearer x\r\n"), "{}", "IncompleteSignatureException"),
        ("POST /", format!("{target}{json_type}{}", signature("eu-west-1", "s3")), "{}", "InvalidSignatureException"),
        (
            "POST /",
            format!("{target}{json_type}{}", signature("mars-1", "lightsail")),
            "{}",
            "UnrecognizedClientException",
        ),
        ("POST /", format!("{json_type}{good}"), "{}", "UnknownOperationException"),
        (
            "POST /",
            format!("X-Amz-Target: Lightsail_20161128.GetDisks\r\n{json_type}{good}"),
            "{}",
            "UnknownOperationException",
        ),
        ("POST /", format!("{target}{good}"), "{}", "UnknownOperationException"),
        ("POST /other", format!("{target}{json_type}{good}"), "{}", "UnknownOperationException"),
        ("GET /", format!("{target}{json_type}{good}"), "", "UnknownOperationException"),
        ("POST /", format!("{target}{json_type}{good}"), "not json", "SerializationException"),
    ] {
        let mut stream = send(simulator.address(), line, &headers, body).await.unwrap();
        let answer = read(&mut stream).await.unwrap();
        assert_eq!((answer.status, answer.error().as_deref()), (400, Some(expected)), "{headers}");
        assert!(answer.head.contains("x-amzn-requestid: "), "{}", answer.head);
    }
    let seen: Vec<String> = simulator.requests().into_iter().map(|request| request.operation).collect();
    assert_eq!(seen[4..7], ["", "GetDisks", "GetBuckets"], "refused requests are seen too");
}

#[tokio::test]
async fn the_requests_tell_who_asked_for_what_on_which_connection() {
    let simulator = Simulator::start().await.unwrap();
    let client = Client { key: "111111111111", region: "ap-south-1", address: simulator.address() };
    let delete = json!({"bucketName": "invoices", "accessKeyId": KEY});
    client.error(DeleteBucketAccessKey, &delete).await.unwrap();
    client.output(GetBuckets, &json!({})).await.unwrap();
    let seen = simulator.requests();
    assert!(seen[0].operation == DeleteBucketAccessKey && seen[1].operation == GetBuckets);
    assert_eq!((seen[0].account.as_str(), seen[0].region.as_str()), ("111111111111", "ap-south-1"));
    assert_eq!((seen[0].bucket.as_deref(), seen[0].access_key_id.as_deref()), (Some("invoices"), Some(KEY)));
    assert_eq!((seen[0].status, seen[1].status), (Some(400), Some(200)));
    assert_eq!((seen[0].connection, seen[1].connection), (1, 2));
    assert_eq!(seen[0].user_agent.as_deref(), Some("test"));
    assert!(seen[0].at_ms <= seen[1].at_ms && seen[0].at.ends_with('Z'));
}

#[tokio::test]
async fn a_kept_alive_connection_keeps_its_number() {
    let simulator = Simulator::start().await.unwrap();
    let client = Client::of(&simulator);
    let mut stream = client.send(GetBuckets, &json!({})).await.unwrap();
    for _ in 0..2 {
        read(&mut stream).await.unwrap();
        client.send_on(&mut stream, GetBuckets, &json!({})).await.unwrap();
    }
    read(&mut stream).await.unwrap();
    client.output(GetBuckets, &json!({})).await.unwrap();
    let connections: Vec<u64> = simulator.requests().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 1, 1, 2]);
}

#[tokio::test]
async fn a_connection_that_is_not_kept_alive_ends_with_its_answer() {
    let simulator = Simulator::start_with(Settings { keep_alive: false, ..Settings::default() }).await.unwrap();
    let client = Client::of(&simulator);
    for operation in [GetBuckets, DeleteBucket] {
        let mut stream = client.send(operation, &json!({})).await.unwrap();
        let answer = read(&mut stream).await.unwrap();
        assert!(answer.head.contains("connection: close\r\n"), "{}", answer.head);
        let end = read_until(&mut stream, |bytes| !bytes.is_empty()).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }
    let seen = simulator.requests();
    assert_eq!((seen[0].connection, seen[0].status), (1, Some(200)));
    assert_eq!((seen[1].connection, seen[1].status), (2, Some(400)));
}

#[tokio::test]
async fn a_seeded_bucket_shows_its_tags_in_the_list_of_all_and_by_its_name() {
    let simulator = Simulator::start().await.unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "invoices").tag("team", "billing").tag("bare", "")).unwrap();
    simulator.seed(Seed::bucket("eu-west-1", "untagged")).unwrap();
    let client = Client::of(&simulator);
    let tags = json!([{"key": "team", "value": "billing"}, {"key": "bare", "value": ""}]);
    let all = client.output(GetBuckets, &json!({})).await.unwrap();
    assert_eq!((&all["buckets"][0]["tags"], &all["buckets"][1]["tags"]), (&tags, &json!([])));
    let one = client.output(GetBuckets, &json!({"bucketName": "invoices"})).await.unwrap();
    assert_eq!(one["buckets"], json!([all["buckets"][0]]));
}
