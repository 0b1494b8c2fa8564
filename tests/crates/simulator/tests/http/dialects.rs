//! Each value of each setting of a dialect, as its raw answer looks on the socket.

use std::io;

use lightsail_simulator::{
    AbsentKey, DeleteOperations, Dialect, EmptyLists, MissingBucket,
    Operation::{
        CreateBucketAccessKey, DeleteBucket, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation,
        GetOperations,
    },
    Seed, Settings, Simulator,
};
use serde_json::{Value, json};

use crate::client::Client;

pub(crate) const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const ABSENT_KEY: &str = "AKIAI44QH8DHBEXAMPLE";

/// Starts a simulator of this dialect with one key in one bucket.
pub(crate) async fn speaking(dialect: Dialect) -> io::Result<(Simulator, Client)> {
    let simulator = Simulator::start_with(Settings { dialect, ..Settings::default() }).await?;
    simulator.seed(Seed::bucket("eu-west-1", "invoices").key(KEY)).map_err(io::Error::other)?;
    let client = Client::of(&simulator);
    Ok((simulator, client))
}

pub(crate) fn delete(key: &str) -> Value {
    json!({"bucketName": "invoices", "accessKeyId": key})
}

/// Returns the status of each operation in an answer.
fn statuses(answer: &Value) -> Vec<&str> {
    answer["operations"].as_array().unwrap().iter().map(|operation| operation["status"].as_str().unwrap()).collect()
}

async fn polled(client: &Client, operation: &Value) -> io::Result<Value> {
    Ok(client.output(GetOperation, &json!({"operationId": operation["id"]})).await?["operation"].take())
}

#[tokio::test]
async fn delete_operations_of_each_value_are_answered() {
    for delete_operations in DeleteOperations::ALL.iter().copied() {
        let (simulator, client) = speaking(Dialect { delete_operations, ..Dialect::default() }).await.unwrap();
        let answer = client.output(DeleteBucketAccessKey, &delete(KEY)).await.unwrap();
        match delete_operations {
            DeleteOperations::Started => assert_eq!(statuses(&answer), ["Started"]),
            DeleteOperations::Terminal => {
                assert_eq!(statuses(&answer), ["Succeeded"]);
                assert_eq!(answer["operations"][0]["isTerminal"], true);
            }
            DeleteOperations::Several => assert_eq!(statuses(&answer), ["Succeeded", "Started"]),
            DeleteOperations::Empty => assert_eq!(answer, json!({"operations": []})),
            DeleteOperations::Absent => assert_eq!(answer, json!({})),
        }
        for operation in answer["operations"].as_array().into_iter().flatten() {
            assert_eq!(polled(&client, operation).await.unwrap()["status"], "Succeeded");
        }
        assert!(simulator.keys(simulator.account(), "eu-west-1", "invoices").unwrap().is_empty());
    }
}

#[tokio::test]
async fn absent_key_of_each_value_is_answered_without_effect() {
    for absent_key in AbsentKey::ALL.iter().copied() {
        let (simulator, client) = speaking(Dialect { absent_key, ..Dialect::default() }).await.unwrap();
        let answer = client.call(DeleteBucketAccessKey, &delete(ABSENT_KEY)).await.unwrap();
        let end = match absent_key {
            AbsentKey::NotFound => {
                assert_eq!((answer.status, answer.error().as_deref()), (400, Some("NotFoundException")));
                continue;
            }
            AbsentKey::NoOperations => {
                assert_eq!((answer.status, answer.json()), (200, json!({"operations": []})));
                continue;
            }
            AbsentKey::Succeeded => "Succeeded",
            AbsentKey::Failed => "Failed",
        };
        assert_eq!((answer.status, statuses(&answer.json())), (200, vec!["Started"]));
        let operation = polled(&client, &answer.json()["operations"][0]).await.unwrap();
        assert_eq!((&operation["status"], &operation["isTerminal"]), (&json!(end), &json!(true)));
        assert_eq!(operation.get("errorCode").is_some(), absent_key == AbsentKey::Failed);
        assert_eq!(simulator.keys(simulator.account(), "eu-west-1", "invoices").unwrap(), [KEY]);
    }
}

#[tokio::test]
async fn absent_key_follows_the_shape_of_accepted_deletes() {
    for (absent_key, delete_operations, expected) in [
        (AbsentKey::Succeeded, DeleteOperations::Terminal, Some("Succeeded")),
        (AbsentKey::Failed, DeleteOperations::Terminal, Some("Failed")),
        (AbsentKey::Succeeded, DeleteOperations::Absent, Some("Started")),
        (AbsentKey::NoOperations, DeleteOperations::Absent, None),
    ] {
        let dialect = Dialect { absent_key, delete_operations, ..Dialect::default() };
        let (_simulator, client) = speaking(dialect).await.unwrap();
        let answer = client.output(DeleteBucketAccessKey, &delete(ABSENT_KEY)).await.unwrap();
        match expected {
            Some(status) => assert_eq!(statuses(&answer), [status], "{dialect}"),
            None => assert_eq!(answer, json!({}), "{dialect}"),
        }
    }
}

#[tokio::test]
async fn missing_bucket_of_each_value_is_refused_by_every_call() {
    for missing_bucket in MissingBucket::ALL.iter().copied() {
        let (_simulator, client) = speaking(Dialect { missing_bucket, ..Dialect::default() }).await.unwrap();
        let (code, has_text) = match missing_bucket {
            MissingBucket::NotFound => ("NotFoundException", false),
            MissingBucket::InvalidInput => ("InvalidInputException", false),
            MissingBucket::DoesNotExistCode => ("DoesNotExist", false),
            MissingBucket::DoesNotExistText => ("OperationFailureException", true),
        };
        let input = json!({"bucketName": "nothing", "accessKeyId": KEY});
        for operation in [GetBuckets, GetBucketAccessKeys, DeleteBucketAccessKey, CreateBucketAccessKey, DeleteBucket] {
            let answer = client.call(operation, &input).await.unwrap();
            assert_eq!((answer.status, answer.error().as_deref()), (400, Some(code)), "{operation}");
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            assert_eq!(message.contains("DoesNotExist"), has_text, "{operation}: {message}");
        }
    }
}

#[tokio::test]
async fn empty_lists_of_each_value_are_answered() {
    for empty_lists in EmptyLists::ALL.iter().copied() {
        let (simulator, client) = speaking(Dialect { empty_lists, ..Dialect::default() }).await.unwrap();
        let invoices = json!({"bucketName": "invoices"});
        let listed = client.output(GetBucketAccessKeys, &invoices).await.unwrap();
        assert_eq!(listed["accessKeys"][0]["accessKeyId"], KEY);
        simulator.seed(Seed::bucket("eu-west-1", "invoices")).unwrap();
        let elsewhere = Client { region: "us-east-1", ..Client::of(&simulator) };
        for (client, operation, input, list) in [
            (&client, GetBucketAccessKeys, &invoices, "accessKeys"),
            (&elsewhere, GetBuckets, &json!({}), "buckets"),
            (&elsewhere, GetOperations, &json!({}), "operations"),
        ] {
            let expected = match empty_lists {
                EmptyLists::Present => json!({ list: [] }),
                EmptyLists::Absent => json!({}),
            };
            assert_eq!(client.output(operation, input).await.unwrap(), expected);
        }
    }
}
