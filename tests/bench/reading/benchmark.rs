//! Payload -> time to parse it, from the text to the alerts, by kind and by size.
//!
//! Parsing delays the delete, so a megabyte must take less than 20 ms. Time in proportion to size shows that no crafted
//! alert keeps the function busy.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lightsail_key_responder::alert::envelope::{self, Delivery};
use lightsail_key_responder::alert::{self, Alert};
use serde_json::{Value, json};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// Kind of payload: name, generator for a size in bytes, and number of exposed keys.
type Kind = (&'static str, fn(usize) -> String, usize);

const KINDS: [Kind; 5] = [
    ("finding with unrelated fields", finding, 1),
    ("batch of ten messages", batch, 10),
    ("manual event with unknown fields, wide and deep", manual, 0),
    ("finding with many buckets", names, 1),
    ("notification in a message", escaped, 1),
];

fn reading(criterion: &mut Criterion) {
    for (name, make, keys) in KINDS {
        let mut group = criterion.benchmark_group(name);
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
        for size in [10_000, 100_000, 1_000_000] {
            let payload = make(size);
            let exposed = read(&payload).iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten().count();
            assert_eq!(exposed, keys, "unexpected number of keys in {name} of {size}");
            group.throughput(Throughput::Bytes(payload.len().try_into().unwrap()));
            group.bench_with_input(BenchmarkId::from_parameter(size), &payload, |bencher, payload| {
                bencher.iter(|| read(black_box(payload)));
            });
        }
        group.finish();
    }
}

fn read(payload: &str) -> Vec<Alert> {
    match envelope::open(payload) {
        Delivery::Together(messages) => alert::read(&messages, 20, None),
        Delivery::Queue(items) => items.iter().flat_map(|item| alert::read(&item.messages, 20, None)).collect(),
    }
}

fn guardduty(key: &str, filling: &Value, buckets: &[Value]) -> Value {
    json!({
        "version": "0", "id": "e", "detail-type": "GuardDuty Finding", "source": "aws.guardduty", "account": "999999999999",
        "time": "2026-11-24T03:00:00Z", "region": "us-west-2", "resources": [], "detail": {
            "accountId": "111122223333", "region": "eu-west-1", "type": "UnauthorizedAccess:IAMUser/MaliciousIPCaller",
            "resource": {"resourceType": "AccessKey", "accessKeyDetails": {"accessKeyId": key}, "s3BucketDetails": buckets},
            "service": {"archived": false, "additionalInfo": {}, "unrelated": filling}
        }
    })
}

/// Makes fields of about 100 bytes each, `size` bytes in total.
fn filling(size: usize) -> Value {
    let field = |number: usize| {
        let value =
            json!({"name": "a value of no interest", "list": [1, 2.5, true, null], "text": "\u{e9}\n\"quoted\""});
        (format!("field{number}"), value)
    };
    (0..size / 100).map(field).collect()
}

fn finding(size: usize) -> String {
    guardduty(KEY, &filling(size), &[]).to_string()
}

fn batch(size: usize) -> String {
    let record = |number: usize| {
        let key = format!("AKIAIOSFODNN7EXAMP{number:02}");
        let body = guardduty(&key, &filling(size / 10), &[]).to_string();
        json!({"messageId": number.to_string(), "eventSource": "aws:sqs", "body": body})
    };
    json!({"Records": (0..10).map(record).collect::<Vec<_>>()}).to_string()
}

fn manual(size: usize) -> String {
    let deep = (0..100).fold(json!("the bottom"), |inner, _| json!({"down": [inner]}).get("down").unwrap().clone());
    let mut object = filling(size);
    object["accessKeyId"] = json!(KEY);
    object["zzz"] = deep;
    object.to_string()
}

fn names(size: usize) -> String {
    let bucket = |number: usize| json!({"name": if number.is_multiple_of(2) { format!("bucket-{number}") } else { format!("Not.{number}") }});
    guardduty(KEY, &Value::Null, &(0..size / 22).map(bucket).collect::<Vec<_>>()).to_string()
}

fn escaped(size: usize) -> String {
    let event = guardduty(KEY, &filling(size / 2), &[]).to_string();
    let notification = json!({"Type": "Notification", "TopicArn": "t", "Message": event}).to_string();
    json!({"Records": [{"messageId": "m", "eventSource": "aws:sqs", "body": notification}]}).to_string()
}

criterion_group!(benches, reading);
criterion_main!(benches);
