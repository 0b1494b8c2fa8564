//! Each kind of fault, as it looks on the socket, and what it leaves in the buckets.

use std::{
    io,
    time::{Duration, Instant},
};

use lightsail_simulator::{
    Fault, Member,
    Operation::{
        self, DeleteBucket, DeleteBucketAccessKey, GetBucketAccessKeys, GetBuckets, GetOperation, GetOperations,
    },
    Script, ScriptError, Seed, Settings, Simulator,
};
use serde_json::{Value, json};

use crate::client::{Client, read_until};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// A simulator with one key in one bucket, and a script.
async fn scripted(script: Script) -> io::Result<(Simulator, Client)> {
    let simulator = Simulator::start().await?;
    simulator.seed(Seed::bucket("eu-west-1", "invoices").key(KEY)).map_err(io::Error::other)?;
    simulator.script(script).map_err(io::Error::other)?;
    let client = Client::of(&simulator);
    Ok((simulator, client))
}

/// The same with a fault of the next delete.
async fn faulty(fault: Fault) -> io::Result<(Simulator, Client)> {
    scripted(Script::new(DeleteBucketAccessKey, fault)).await
}

fn delete() -> Value {
    json!({"bucketName": "invoices", "accessKeyId": KEY})
}

fn key_is_there(simulator: &Simulator) -> bool {
    simulator.keys(simulator.account(), "eu-west-1", "invoices").is_some_and(|keys| keys == [KEY])
}

/// What the one request that was made says of its status and its fault.
fn noted(simulator: &Simulator) -> (Option<u16>, Option<String>) {
    let seen = simulator.requests().remove(0);
    (seen.status, seen.fault)
}

#[tokio::test]
async fn an_error_is_answered_without_any_work_and_the_next_try_succeeds() {
    for (fault, status, kind) in [
        (Fault::Throttled, 400, "ThrottlingException"),
        (Fault::ServiceException, 500, "ServiceException"),
        (Fault::AccessDenied, 400, "AccessDeniedException"),
        (Fault::Unauthenticated, 400, "UnauthenticatedException"),
        (Fault::InvalidInput, 400, "InvalidInputException"),
        (Fault::NotFound, 400, "NotFoundException"),
        (Fault::DoesNotExist, 400, "InvalidInputException"),
        (Fault::RegionSetupInProgress, 400, "RegionSetupInProgressException"),
        (Fault::error("ExpiredTokenException"), 400, "ExpiredTokenException"),
        (Fault::Error { code: "Odd".into(), status: Some(418), message: Some("m".into()) }, 418, "Odd"),
    ] {
        let name = fault.kind();
        let says_so = fault == Fault::DoesNotExist;
        let (simulator, client) = faulty(fault).await.unwrap();
        let answer = client.call(DeleteBucketAccessKey, &delete()).await.unwrap();
        assert_eq!((answer.status, answer.error().as_deref()), (status, Some(kind)), "{name}");
        assert_eq!(answer.body.contains("DoesNotExist:"), says_so, "{name}");
        assert!(key_is_there(&simulator), "{name}");
        assert_eq!(noted(&simulator), (Some(status), Some(name.to_owned())));
        client.output(DeleteBucketAccessKey, &delete()).await.unwrap();
        assert!(!key_is_there(&simulator), "{name}");
    }
}

#[tokio::test]
async fn a_load_balancer_answers_a_page_and_no_json() {
    for status in [502, 503, 504] {
        let (simulator, client) = faulty(Fault::HttpStatus { status }).await.unwrap();
        let answer = client.call(DeleteBucketAccessKey, &delete()).await.unwrap();
        assert_eq!(answer.status, status);
        assert!(answer.head.contains("content-type: text/html\r\n"), "{}", answer.head);
        assert!(answer.body.starts_with("<html>") && !answer.head.contains("x-amzn-"), "{answer:?}");
        assert!(key_is_there(&simulator));
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_and_the_work_is_done_only_after_it() {
    for (fault, stays) in [(Fault::ResetBefore, true), (Fault::ResetAfter, false)] {
        let name = fault.kind();
        let (simulator, client) = faulty(fault).await.unwrap();
        let error = client.call(DeleteBucketAccessKey, &delete()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{name}");
        assert_eq!(key_is_there(&simulator), stays, "{name}");
        assert_eq!(noted(&simulator), (None, Some(name.to_owned())));
    }
}

#[tokio::test]
async fn a_hang_is_silence_and_the_work_is_done_only_after_it() {
    for (fault, stays) in [(Fault::HangBefore, true), (Fault::HangAfter, false)] {
        let name = fault.kind();
        let (simulator, client) = faulty(fault).await.unwrap();
        let mut stream = client.send(DeleteBucketAccessKey, &delete()).await.unwrap();
        let silence = read_until(&mut stream, |bytes| !bytes.is_empty()).await.unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::TimedOut, "{name}");
        assert_eq!(key_is_there(&simulator), stays, "{name}");
        assert_eq!(noted(&simulator), (None, Some(name.to_owned())));
    }
}

#[tokio::test]
async fn a_simulator_that_is_dropped_lets_go_of_those_that_hang() {
    let (simulator, client) = faulty(Fault::HangAfter).await.unwrap();
    let mut stream = client.send(DeleteBucketAccessKey, &delete()).await.unwrap();
    read_until(&mut stream, |bytes| !bytes.is_empty()).await.unwrap_err();
    drop(simulator);
    let end = read_until(&mut stream, |bytes| !bytes.is_empty()).await.unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    let refused = client.send(GetBuckets, &json!({})).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_body_that_never_ends_is_half_there_and_then_silence() {
    let (simulator, client) = faulty(Fault::NeverEnds).await.unwrap();
    let mut stream = client.send(DeleteBucketAccessKey, &delete()).await.unwrap();
    let head = read_until(&mut stream, |bytes| bytes.ends_with(b"\r\n\r\n")).await.unwrap();
    let head = String::from_utf8(head).unwrap();
    let length: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    let half = read_until(&mut stream, |bytes| bytes.len() == length / 2).await.unwrap();
    assert!(half.starts_with(b"{\"operations\":["));
    let silence = read_until(&mut stream, |bytes| !bytes.is_empty()).await.unwrap_err();
    assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
    assert!(!key_is_there(&simulator));
    assert_eq!(noted(&simulator).0, Some(200));
}

#[tokio::test]
async fn a_slow_body_arrives_whole_and_takes_its_time() {
    let (_simulator, client) = faulty(Fault::Slow { bytes_per_second: 1_000 }).await.unwrap();
    let begin = Instant::now();
    let answer = client.call(DeleteBucketAccessKey, &delete()).await.unwrap();
    assert_eq!(answer.json()["operations"][0]["status"], "Started");
    let least = Duration::from_millis(u64::try_from(answer.body.len()).unwrap());
    assert!(begin.elapsed() >= least, "{:?} for {} bytes", begin.elapsed(), answer.body.len());
}

#[tokio::test]
async fn a_broken_body_is_sound_http_and_the_work_is_done() {
    for fault in [Fault::Truncated, Fault::NotJson, Fault::EmptyAnswer] {
        let name = fault.kind();
        let empty = fault == Fault::EmptyAnswer;
        let (simulator, client) = faulty(fault).await.unwrap();
        let answer = client.call(DeleteBucketAccessKey, &delete()).await.unwrap();
        let parsed = serde_json::from_str::<Value>(&answer.body).ok();
        assert_eq!((answer.status, parsed), (200, empty.then(|| json!({}))), "{name}");
        assert!(!answer.body.is_empty() && !key_is_there(&simulator), "{name}");
        assert_eq!(answer.head.contains("x-amzn-requestid"), !empty, "{name}");
    }
}

#[tokio::test]
async fn latency_comes_before_the_work_alone_or_with_another_fault() {
    let late = Script::new(DeleteBucketAccessKey, Fault::Throttled).late_by(120);
    for (script, status) in [(Script::new(DeleteBucketAccessKey, Fault::Latency { ms: 120 }), 200), (late, 400)] {
        let (_simulator, client) = scripted(script).await.unwrap();
        let begin = Instant::now();
        let answer = client.call(DeleteBucketAccessKey, &delete()).await.unwrap();
        assert_eq!(answer.status, status);
        assert!(begin.elapsed() >= Duration::from_millis(120));
    }
}

#[tokio::test]
async fn the_latency_of_the_settings_holds_up_every_request_on_top_of_a_scripts() {
    let simulator = Simulator::start_with(Settings { latency_ms: 80, ..Settings::default() }).await.unwrap();
    simulator.script(Script::new(GetBuckets, Fault::Latency { ms: 80 })).unwrap();
    let client = Client::of(&simulator);
    let nowhere = Client { region: "mars-1", ..Client::of(&simulator) };
    for (client, status, least) in [(&client, 200, 160), (&client, 200, 80), (&nowhere, 400, 80)] {
        let begin = Instant::now();
        let answer = client.call(GetBuckets, &json!({})).await.unwrap();
        assert_eq!(answer.status, status);
        assert!(begin.elapsed() >= Duration::from_millis(least), "{:?}", begin.elapsed());
    }
}

/// Deletes the key, then polls; tells each `status` and `isTerminal`, missing members as null.
async fn course(client: &Client, polls: usize) -> io::Result<Vec<(Value, Value)>> {
    let look = |operation: &Value| (operation["status"].clone(), operation["isTerminal"].clone());
    let deleted = client.output(DeleteBucketAccessKey, &delete()).await?;
    let mut course = vec![look(&deleted["operations"][0])];
    for _ in 0..polls {
        let poll = json!({"operationId": deleted["operations"][0]["id"]});
        course.push(look(&client.output(GetOperation, &poll).await?["operation"]));
    }
    Ok(course)
}

#[tokio::test]
async fn a_pending_operation_is_started_for_so_many_polls() {
    let (started, done) = ((json!("Started"), json!(false)), (json!("Succeeded"), json!(true)));
    let (simulator, client) = faulty(Fault::OperationPending { polls: 2 }).await.unwrap();
    let expected = [started.clone(), started.clone(), started, done.clone(), done];
    assert_eq!(course(&client, 4).await.unwrap(), expected);
    assert!(!key_is_there(&simulator));
}

#[tokio::test]
async fn a_failed_operation_leaves_the_key_unless_told_otherwise() {
    let told = Fault::OperationFailed { code: Some("C".into()), details: Some("D".into()), key_stays: false };
    for (fault, code, stays) in [(Fault::operation_failed(), "InternalError", true), (told, "C", false)] {
        let (simulator, client) = faulty(fault).await.unwrap();
        let expected = [(json!("Started"), json!(false)), (json!("Failed"), json!(true))];
        assert_eq!(course(&client, 1).await.unwrap(), expected);
        let all = client.output(GetOperations, &json!({})).await.unwrap();
        assert_eq!(all["operations"][0]["errorCode"], code);
        assert_eq!(key_is_there(&simulator), stays);
    }
    let (simulator, client) = scripted(Script::new(DeleteBucket, Fault::operation_failed())).await.unwrap();
    client.output(DeleteBucket, &json!({"bucketName": "invoices", "forceDelete": true})).await.unwrap();
    assert!(key_is_there(&simulator));
}

#[tokio::test]
async fn an_odd_operation_stays_odd() {
    let odd = Fault::OperationStatus { status: Member::Value("Paused".into()), is_terminal: Member::Missing };
    let (_simulator, client) = faulty(odd).await.unwrap();
    assert_eq!(course(&client, 1).await.unwrap(), vec![(json!("Paused"), Value::Null); 2]);
    let odd = Fault::OperationStatus { status: Member::AsIs, is_terminal: Member::Value(true) };
    let (_simulator, client) = faulty(odd).await.unwrap();
    let expected = [(json!("Started"), json!(true)), (json!("Succeeded"), json!(true))];
    assert_eq!(course(&client, 1).await.unwrap(), expected);
}

#[tokio::test]
async fn an_answer_without_operations_still_has_the_list() {
    let (simulator, client) = faulty(Fault::NoOperations).await.unwrap();
    let answer = client.output(DeleteBucketAccessKey, &delete()).await.unwrap();
    assert_eq!(answer, json!({"operations": []}));
    assert!(!key_is_there(&simulator));
    simulator.script(Script::new(GetOperations, Fault::NoOperations)).unwrap();
    assert_eq!(client.output(GetOperations, &json!({})).await.unwrap(), json!({"operations": []}));
}

#[tokio::test]
async fn a_deleted_key_is_listed_for_so_many_reads() {
    let (simulator, client) = faulty(Fault::StillListed { reads: 2 }).await.unwrap();
    client.output(DeleteBucketAccessKey, &delete()).await.unwrap();
    assert!(!key_is_there(&simulator));
    assert_eq!(client.error(DeleteBucketAccessKey, &delete()).await.unwrap(), "NotFoundException");
    for expected in [1, 1, 0, 0] {
        let listed = client.output(GetBucketAccessKeys, &json!({"bucketName": "invoices"})).await.unwrap();
        assert_eq!(listed["accessKeys"].as_array().unwrap().len(), expected);
    }
}

/// The errors of so many `GetBuckets`, `None` where there was none.
async fn errors(client: &Client, calls: usize) -> io::Result<Vec<Option<String>>> {
    let mut errors = Vec::new();
    for _ in 0..calls {
        errors.push(client.call(GetBuckets, &json!({})).await?.error());
    }
    Ok(errors)
}

#[tokio::test]
async fn scripts_apply_in_turn_as_often_and_where_they_say() {
    let script = |fault| Script::new("GetBuckets", fault);
    let denied = || Some("AccessDeniedException".to_owned());
    let throttled = || Some("ThrottlingException".to_owned());

    let (simulator, client) = scripted(script(Fault::Throttled).after(1).times(2)).await.unwrap();
    simulator.script(script(Fault::AccessDenied)).unwrap();
    assert_eq!(errors(&client, 4).await.unwrap(), [denied(), throttled(), throttled(), None]);

    let (_simulator, client) = scripted(script(Fault::Throttled).every().in_region("us-east-1")).await.unwrap();
    assert_eq!(errors(&client, 1).await.unwrap(), [None]);
    let there = Client { region: "us-east-1", ..client };
    assert_eq!(errors(&there, 3).await.unwrap(), vec![throttled(); 3]);
}

#[tokio::test]
async fn a_script_that_can_never_come_true_is_refused() {
    let simulator = Simulator::start().await.unwrap();
    let refusal = |script| simulator.script(script).unwrap_err();
    assert!(matches!(refusal(Script::new("GetDisks", Fault::Throttled)), ScriptError::Operation(_)));
    assert_eq!(refusal(Script::new(GetBuckets, Fault::Throttled).times(0)), ScriptError::Never);
    assert_eq!(refusal(Script::new(GetBuckets, Fault::Slow { bytes_per_second: 0 })), ScriptError::Standstill);
    let status = refusal(Script::new(GetBuckets, Fault::HttpStatus { status: 200 }));
    assert_eq!(status, ScriptError::Status { status: 200 });
    let region = refusal(Script::new(GetBuckets, Fault::Throttled).in_region("mars-1"));
    assert!(region.to_string().starts_with("unknown region `mars-1`, expected one of us-east-1, "));
    for operation in Operation::ALL.into_iter().filter(|operation| *operation != DeleteBucketAccessKey) {
        let pointless = refusal(Script::new(operation, Fault::StillListed { reads: 1 }));
        assert_eq!(pointless, ScriptError::Pointless { kind: "still_listed", operation });
    }
}
