//! Trial with a large message of junk beside nine alerts in an SQS batch: it delays no delete, and its records fit into
//! memory.
//!
//! Each sender to the queue can send such a message. SQS delivers it three times, and the alerts beside it with it.

#![expect(clippy::unwrap_used, reason = "trials and their helpers fail by panicking")]

use std::fs;
use std::time::{Duration, Instant};

use lightsail_simulator::{Seed, Settings as SimulatorSettings, Simulator};
use responder_harness::{End, Lambda, SECRET_ACCESS_KEY, Settings, report};
use serde_json::{Value, json};

/// Size of the largest SQS message (SQS quotas).
const LARGEST: usize = 256 * 1024;

/// Time in which nine alerts are handled. The target is a second of an idle processor. A busy machine and a debug build
/// get ten.
const LIMIT: Duration = Duration::from_secs(10);

/// Most memory of the process. The function has 128 MB.
const MAX_MEMORY_KB: u64 = 64 * 1024;

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_message_delays_no_alert_beside_it() {
    for (name, junk) in junk() {
        let settings =
            SimulatorSettings { secret_access_key: Some(SECRET_ACCESS_KEY.to_owned()), ..SimulatorSettings::default() };
        let simulator = Simulator::start_with(settings).await.unwrap();
        let settings = Settings::new(&simulator.endpoint())
            .variable("AWS_LAMBDA_LOG_LEVEL", "WARN")
            .variable("SEARCH_REGIONS", "us-east-1");
        let mut lambda = Lambda::start(settings).unwrap();
        let keys: Vec<_> = (0..9).map(|number| format!("AKIAQQQQQQQQQQQQQQQ{number}")).collect();
        let mut messages = vec![message("junk", &junk)];
        for key in &keys {
            simulator.seed(Seed::bucket("us-east-1", &bucket(key)).key(key.as_str())).unwrap();
            let alert = json!({"accessKeyId": key, "bucketName": bucket(key), "region": "us-east-1"});
            messages.push(message(key, &alert.to_string()));
        }
        let started = Instant::now();
        let answer = lambda.invoke(&json!({"Records": messages}), TIMEOUT).await.unwrap();
        let took = started.elapsed();
        let memory = peak_memory_kb(lambda.process_id().unwrap());
        report(&format!("{name}: {} records, {took:.2?}, {memory} kB", answer.records.len()));
        assert_eq!(answer.end, End::Answered, "{name}");
        assert!(took < LIMIT, "{name}: {took:?}");
        assert!(memory < MAX_MEMORY_KB, "{name}: {memory} kB");
        for key in &keys {
            let left = simulator.keys("012345678912", "us-east-1", &bucket(key)).unwrap();
            assert!(left.is_empty(), "{name}: {key}");
        }
        // A hundred alerts, and one record that counts the rest.
        assert!(answer.records.len() <= 9 + 101, "{name}: {} records", answer.records.len());
    }
}

fn bucket(key: &str) -> String {
    format!("bucket-{}", key.to_lowercase())
}

fn message(id: &str, body: &str) -> Value {
    let source = "arn:aws:sqs:us-east-1:012345678912:alerts";
    json!({"messageId": id, "eventSource": "aws:sqs", "eventSourceARN": source, "body": body})
}

/// Messages of the largest size, by name.
fn junk() -> Vec<(&'static str, String)> {
    let repeat = |text: &str| text.repeat(LARGEST / text.len());
    let list = |item: &str| format!("[{}{item}]", repeat(&format!("{item},")));
    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(LARGEST / 8), close.repeat(LARGEST / 8));
    let alert = |number: usize| format!("{{\"accessKeyId\":\"not a key {number}\"}}");
    vec![
        ("numbers", repeat("1 ")),
        ("objects", repeat("{}")),
        ("list of objects", list("{}")),
        ("different malformed alerts", (0..LARGEST / 40).map(alert).collect()),
        ("nested lists", nested("[", "]")),
        ("nested objects", nested("{\"a\":", "}")),
        ("text", repeat("AKIA ")),
        ("encoded many times", (0..8).fold("{}".to_owned(), |text, _| Value::from(text).to_string())),
        ("list of events", list("{\"detail-type\":\"x\",\"source\":\"y\",\"detail\":{}}")),
        ("quotes", list(&Value::from("\"\\\"").to_string())),
    ]
}

fn peak_memory_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}
