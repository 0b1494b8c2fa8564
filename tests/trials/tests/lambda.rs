//! The Lambda of these trials itself: what it makes of processes that end, and of invocations that fail.
//!
//! If it took a dead process for an answer, or an answer for a kill, the trials would prove nothing.

#![expect(clippy::unwrap_used, reason = "a trial may fail by unwrapping")]

use std::time::Duration;

use lightsail_simulator::{Fault, Operation, Script, Seed, Settings as SimulatorSettings, Simulator};
use responder_trials::{End, Kill, Lambda, Moment, SECRET_ACCESS_KEY, Settings, until};
use serde_json::{Value, json};

const TIME: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_process_is_kept_and_one_that_was_killed_is_replaced() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings).unwrap();
    assert_eq!((lambda.processes(), lambda.process_id()), (0, None));
    let mut cold = Vec::new();
    for kill in [false, true, false] {
        let answer = lambda.invoke(&ignored(), TIME).await.unwrap();
        assert_eq!(answer.end, End::Answered);
        assert_eq!(answer.response.unwrap()["records"], json!(answer.records));
        cold.push(answer.records[0]["unmapped"]["invocation"]["cold_start"].as_bool().unwrap());
        if kill {
            lambda.kill().await.unwrap();
            assert_eq!(lambda.process_id(), None);
        }
    }
    assert_eq!((cold, lambda.processes()), (vec![true, false, true], 2));
    assert_eq!(lambda.records().len(), 3);
}

#[tokio::test]
async fn a_delivery_that_fails_is_tried_three_times_and_one_that_succeeds_is_not_tried_again() {
    let (simulator, settings) = scene().await;
    simulator.script(Script::new(Operation::DeleteBucketAccessKey, Fault::AccessDenied).times(4)).unwrap();
    let mut lambda = Lambda::start(settings).unwrap();
    for (tries, outcomes) in [(3, vec!["failed"; 3]), (2, vec!["failed", "revoked"])] {
        let answers = lambda.deliver(&named(), TIME).await.unwrap();
        assert_eq!(answers.len(), tries);
        assert!(answers.iter().all(|answer| answer.request_id == answers[0].request_id && answer.records.len() == 1));
        let seen: Vec<_> = answers.iter().map(|answer| answer.records[0]["status_code"].clone()).collect();
        assert_eq!(seen, outcomes);
    }
    assert_eq!(lambda.processes(), 1);
}

#[tokio::test]
async fn a_process_that_ends_by_itself_fails_the_invocation_with_the_end_of_its_log() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings.variable("RESPONDER_NOTHING", "1")).unwrap();
    let answers = lambda.deliver(&ignored(), TIME).await.unwrap();
    assert_eq!((answers.len(), lambda.processes()), (3, 3));
    let error = answers[2].response.as_ref().unwrap_err();
    assert_eq!((answers[2].end, &error["errorType"]), (End::Died, &json!("Runtime.ExitError")));
    assert!(error["errorMessage"].as_str().unwrap().contains("RESPONDER_NOTHING"), "{error}");
}

#[tokio::test]
async fn an_invocation_whose_time_is_over_is_killed() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings).unwrap();
    // No process starts in so short a time. But on a busy machine we can be so late with the kill that one has answered,
    // and then the answer counts.
    for _ in 0..20 {
        let answer = lambda.invoke(&ignored(), Duration::from_nanos(1)).await.unwrap();
        assert_eq!((answer.end, lambda.process_id()), (End::TimedOut, None));
        if let Err(error) = answer.response {
            assert_eq!(error["errorType"], "Sandbox.Timedout");
            return;
        }
    }
    unreachable!("every one of twenty processes was faster than the kill");
}

#[tokio::test]
async fn a_kill_whose_moment_does_not_come_is_none() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings).unwrap();
    lambda.invoke(&ignored(), TIME).await.unwrap();
    // A warm process has asked for its event already, and no request is ever made.
    for kill in [Kill::at(Moment::BeforeNext), Kill::when(until(|| false))] {
        let answer = lambda.invoke_and_kill(&ignored(), TIME, kill).await.unwrap();
        assert_eq!(answer.end, End::Answered);
    }
    assert_eq!(lambda.processes(), 1);
}

#[tokio::test]
async fn an_answer_counts_if_and_only_if_it_was_acknowledged_before_the_kill() {
    for (moment, counts) in [(Moment::AnswerPosted, false), (Moment::AnswerAcknowledged, true)] {
        let (_simulator, settings) = scene().await;
        let mut lambda = Lambda::start(settings).unwrap();
        let answer = lambda.invoke_and_kill(&named(), TIME, Kill::at(moment)).await.unwrap();
        assert_eq!((answer.end, lambda.process_id(), answer.records.len()), (End::Killed, None, 1));
        assert_eq!(answer.response.is_ok(), counts, "{moment:?}");
        assert_eq!(lambda.redeliver(&answer, &named(), TIME).await.unwrap().len(), usize::from(!counts));
    }
}

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// A key on a bucket, and the way there.
async fn scene() -> (Simulator, Settings) {
    let settings =
        SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
    let simulator = Simulator::start_with(settings).await.unwrap();
    simulator.seed(Seed::bucket("us-east-1", "photos").key(KEY)).unwrap();
    let settings = Settings::new(&simulator.endpoint());
    (simulator, settings)
}

fn named() -> Value {
    json!({"accessKeyId": KEY, "bucketName": "photos", "region": "us-east-1"})
}

/// An event that needs no call.
fn ignored() -> Value {
    json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"})
}
