//! Tests of the trials' own Lambda: ended processes and failed invocations.
//!
//! The trials would prove nothing if it confused a dead process with an answer, or an answer with a kill.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::time::Duration;

use lightsail_simulator::{Fault, Operation, Script, Seed, Settings as SimulatorSettings, Simulator};
use responder_harness::{End, Kill, Lambda, Moment, SECRET_ACCESS_KEY, Settings, until};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn process_is_reused_and_replaced_after_kill() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings).unwrap();
    assert_eq!((lambda.processes(), lambda.process_id()), (0, None));
    let mut cold = Vec::new();
    for kill in [false, true, false] {
        let answer = lambda.invoke(&ignored(), TIMEOUT).await.unwrap();
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
async fn only_failed_delivery_is_retried_up_to_three_tries() {
    let (simulator, settings) = scene().await;
    simulator.script(Script::new(Operation::DeleteBucketAccessKey, Fault::AccessDenied).times(4)).unwrap();
    let mut lambda = Lambda::start(settings).unwrap();
    for (tries, outcomes) in [(3, vec!["failed"; 3]), (2, vec!["failed", "revoked"])] {
        let answers = lambda.deliver(&named(), TIMEOUT).await.unwrap();
        assert_eq!(answers.len(), tries);
        assert!(answers.iter().all(|answer| answer.request_id == answers[0].request_id && answer.records.len() == 1));
        let seen: Vec<_> = answers.iter().map(|answer| answer.records[0]["status_code"].clone()).collect();
        assert_eq!(seen, outcomes);
    }
    assert_eq!(lambda.processes(), 1);
}

#[tokio::test]
async fn ended_process_fails_invocation_with_its_log() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings.variable("RESPONDER_NOTHING", "1")).unwrap();
    let answers = lambda.deliver(&ignored(), TIMEOUT).await.unwrap();
    assert_eq!((answers.len(), lambda.processes()), (3, 3));
    let error = answers[2].response.as_ref().unwrap_err();
    assert_eq!((answers[2].end, &error["errorType"]), (End::Died, &json!("Runtime.ExitError")));
    assert!(error["errorMessage"].as_str().unwrap().contains("RESPONDER_NOTHING"), "{error}");
}

#[tokio::test]
async fn invocation_past_timeout_is_killed() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings).unwrap();
    // No process starts in such a short time. But on a busy machine the kill can be so late that the process has
    // answered. Then the answer counts.
    for _ in 0..20 {
        let answer = lambda.invoke(&ignored(), Duration::from_nanos(1)).await.unwrap();
        assert_eq!((answer.end, lambda.process_id()), (End::TimedOut, None));
        if let Err(error) = answer.response {
            assert_eq!(error["errorType"], "Sandbox.Timedout");
            return;
        }
    }
    unreachable!("each of twenty processes answered before the kill");
}

#[tokio::test]
async fn kill_without_its_moment_does_nothing() {
    let (_simulator, settings) = scene().await;
    let mut lambda = Lambda::start(settings).unwrap();
    lambda.invoke(&ignored(), TIMEOUT).await.unwrap();
    // A warm process has already requested its event, and this event sends no request.
    for kill in [Kill::at(Moment::BeforeNext), Kill::when(until(|| false))] {
        let answer = lambda.invoke_and_kill(&ignored(), TIMEOUT, kill).await.unwrap();
        assert_eq!(answer.end, End::Answered);
    }
    assert_eq!(lambda.processes(), 1);
}

#[tokio::test]
async fn answer_counts_only_if_acknowledged_before_kill() {
    for (moment, counts) in [(Moment::AnswerPosted, false), (Moment::AnswerAcknowledged, true)] {
        let (_simulator, settings) = scene().await;
        let mut lambda = Lambda::start(settings).unwrap();
        let answer = lambda.invoke_and_kill(&named(), TIMEOUT, Kill::at(moment)).await.unwrap();
        assert_eq!((answer.end, lambda.process_id(), answer.records.len()), (End::Killed, None, 1));
        assert_eq!(answer.response.is_ok(), counts, "{moment:?}");
        assert_eq!(lambda.redeliver(&answer, &named(), TIMEOUT).await.unwrap().len(), usize::from(!counts));
    }
}

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// Starts a simulator with one key on a bucket, and returns the settings to reach it.
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

/// Returns an event that needs no call.
fn ignored() -> Value {
    json!({"accessKeyId": "ASIAIOSFODNN7EXAMPLE"})
}
