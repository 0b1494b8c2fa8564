//! Each value of each setting of a dialect, as its raw answer looks on the socket.

use std::io;

use lightsail_simulator::{
    AbsentKey, DeleteOperations, Dialect, EmptyLists, Fault, MissingBucket,
    Operation::{
        CreateBucket, CreateBucketAccessKey, DeleteBucket, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets,
        GetOperation, GetOperations, GetRegions,
    },
    OperationMemory, Script, Seed, Settings, Simulator, Tag, TagDeny, UnusedAccount,
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
    let operations = answer["operations"].as_array().into_iter().flatten();
    operations.map(|operation| operation["status"].as_str().unwrap_or("none")).collect()
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
async fn scripted_failure_befalls_the_last_of_several() {
    let dialect = Dialect { delete_operations: DeleteOperations::Several, ..Dialect::default() };
    let (simulator, client) = speaking(dialect).await.unwrap();
    simulator.script(Script::new(DeleteBucketAccessKey, Fault::operation_failed())).unwrap();
    let answer = client.output(DeleteBucketAccessKey, &delete(KEY)).await.unwrap();
    let mut ends = Vec::new();
    for operation in answer["operations"].as_array().unwrap() {
        ends.push(polled(&client, operation).await.unwrap()["status"].take());
    }
    assert_eq!(ends, ["Succeeded", "Failed"]);
    assert_eq!(simulator.keys(simulator.account(), "eu-west-1", "invoices").unwrap(), [KEY]);
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

#[tokio::test]
async fn tag_deny_of_each_value_refuses_the_delete_or_does_not() {
    for tag_deny in TagDeny::ALL.iter().copied() {
        let denied_tag = Some(Tag { key: "responder:protect".to_owned(), value: "true".to_owned() });
        let dialect = Dialect { tag_deny, ..Dialect::default() };
        let settings = Settings { denied_tag, dialect, ..Settings::default() };
        let simulator = Simulator::start_with(settings).await.unwrap();
        let seed = Seed::bucket("eu-west-1", "invoices").key(KEY);
        let client = Client::of(&simulator);
        simulator.seed(seed.clone().tag("Responder:Protect", "True")).unwrap();
        let answer = client.call(DeleteBucketAccessKey, &delete(KEY)).await.unwrap();
        let keys = simulator.keys(simulator.account(), "eu-west-1", "invoices").unwrap();
        match tag_deny {
            TagDeny::Evaluated => {
                assert_eq!((answer.status, answer.error().as_deref()), (400, Some("AccessDeniedException")));
                assert!(answer.body.contains("explicit deny") && keys == [KEY], "{}", answer.body);
            }
            TagDeny::Ignored => assert_eq!((answer.status, keys.len()), (200, 0)),
        }
        simulator.seed(seed.tag("responder:protect", "false")).unwrap();
        client.output(DeleteBucketAccessKey, &delete(KEY)).await.unwrap();
    }
}

#[tokio::test]
async fn operation_memory_of_each_value_answers_polls() {
    for operation_memory in OperationMemory::ALL.iter().copied() {
        let (_simulator, client) = speaking(Dialect { operation_memory, ..Dialect::default() }).await.unwrap();
        let deleted = client.output(DeleteBucketAccessKey, &delete(KEY)).await.unwrap();
        assert_eq!(statuses(&deleted), ["Started"]);
        let poll = json!({"operationId": deleted["operations"][0]["id"]});
        let answer = client.call(GetOperation, &poll).await.unwrap();
        let listed = client.output(GetOperations, &json!({})).await.unwrap();
        match operation_memory {
            OperationMemory::Kept => {
                assert_eq!(answer.json()["operation"]["status"], "Succeeded");
                assert_eq!(statuses(&listed), ["Succeeded"]);
            }
            OperationMemory::Forgotten => {
                assert_eq!((answer.status, answer.error().as_deref()), (400, Some("NotFoundException")));
                assert_eq!(listed, json!({"operations": []}));
            }
        }
    }
}

#[tokio::test]
async fn unused_account_of_each_value_is_answered_until_first_use() {
    for unused_account in UnusedAccount::ALL.iter().copied() {
        let (simulator, used) = speaking(Dialect { unused_account, ..Dialect::default() }).await.unwrap();
        let unused = Client { key: "222222222222", ..Client::of(&simulator) };
        for operation in [GetRegions, GetBuckets] {
            let answer = unused.call(operation, &json!({})).await.unwrap();
            let expected = match unused_account {
                UnusedAccount::Empty => (200, None),
                UnusedAccount::SetupInProgress => (400, Some("AccountSetupInProgressException")),
                UnusedAccount::Denied => (400, Some("AccessDeniedException")),
            };
            assert_eq!((answer.status, answer.error().as_deref()), expected, "{operation}");
        }
        let elsewhere = Client { region: "us-east-1", ..used };
        assert_eq!(elsewhere.output(GetBuckets, &json!({})).await.unwrap(), json!({"buckets": []}));
        let create = json!({"bucketName": "first", "bundleId": "small_1_0"});
        unused.output(CreateBucket, &create).await.unwrap();
        unused.output(GetBuckets, &json!({})).await.unwrap();
    }
}
