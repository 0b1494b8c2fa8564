//! The largest messages of a queue, filled with each kind of value -> at most a hundred alerts and one more, in a short
//! time.

use std::time::{Duration, Instant};

use lightsail_key_responder::alert;
use lightsail_key_responder::alert::envelope::{self, Delivery};
use serde_json::{Value, json};

/// Size of the largest message of SQS that EventBridge fills.
const SIZE: usize = 256 * 1024;

/// Longest time for one message. Measured: at most 160 ms on two processors with ten other builds.
const LONGEST: Duration = Duration::from_secs(2);

/// Repeats what `unit` makes of a number, up to the size of a message.
fn filled(before: &str, separator: &str, after: &str, unit: impl Fn(usize) -> String) -> String {
    let mut text = before.to_owned();
    for number in 0.. {
        let next = unit(number);
        if text.len() + next.len() + separator.len() + after.len() > SIZE {
            break;
        }
        text.push_str(if number > 0 { separator } else { "" });
        text.push_str(&next);
    }
    text + after
}

fn key(number: usize) -> String {
    format!("AKIA{number:0>16}")
}

fn messages() -> Vec<(&'static str, String)> {
    let hub = r#"{"detail-type":"Findings Imported V2","source":"aws.securityhub","detail":{"findings":["#;
    let asff = r#"{"detail-type":"Security Hub Findings - Imported","source":"aws.securityhub","detail":{"findings":["#;
    let health = r#"{"detail-type":"AWS Health Event","source":"aws.health","detail":{"service":"RISK",
                     "eventTypeCode":"AWS_RISK_CREDENTIALS_EXPOSED","affectedEntities":["#;
    let sequence = r#"{"type":"AttackSequence:S3/CompromisedData","accountId":"111122223333","resource":{},
                       "service":{"detection":{"sequence":{"resources":["#;
    let one = |text: &'static str| move |_: usize| text.to_owned();
    vec![
        ("numbers", filled("", " ", "", one("1"))),
        ("distinct numbers", filled("", " ", "", |number| number.to_string())),
        ("objects", filled("", "", "", one("{}"))),
        ("arrays", filled("[", ",", "]", one("[]"))),
        ("distinct objects", filled("[", ",", "]", |number| format!("{{\"a\":{number}}}"))),
        ("JSON texts", filled("[", ",", "]", one("\"{}\""))),
        ("damaged JSON texts", filled("[", ",", "]", |number| format!("\"{}{{\"", " ".repeat(number % 200)))),
        ("two kinds", filled("", "", "", |number| ["1 ", "{} ", "[] ", "null "][number % 4].to_owned())),
        ("one deep array", "[".repeat(SIZE)),
        ("one string", Value::from("x".repeat(SIZE - 2)).to_string()),
        ("backslashes", Value::from("\\".repeat(SIZE / 2 - 2)).to_string()),
        ("stray keys", filled("[", ",", "]", |number| format!("{{\"x\":\"{}\"}}", key(number)))),
        ("manual events", filled("", "\n", "", |number| json!({"accessKeyId": key(number)}).to_string())),
        (
            "refused manual events",
            filled("", "\n", "", |number| json!({"accessKeyId": key(number), "x": 1}).to_string()),
        ),
        ("listed keys", filled("{\"accessKeyId\":[", ",", "]}", |number| format!("\"{}\"", key(number)))),
        ("malformed keys", filled("{\"accessKeyId\":[", ",", "]}", one("\"\""))),
        ("null findings", filled(asff, ",", "]}}", one("null"))),
        ("distinct findings", filled(asff, ",", "]}}", |number| number.to_string())),
        ("findings with keys", filled(asff, ",", "]}}", |number| json!({"Id": key(number)}).to_string())),
        ("OCSF findings", filled(hub, ",", "]}}", |number| format!("{{\"class_uid\":{number}}}"))),
        ("entities", filled(health, ",", "]}}", |number| format!("{{\"entityValue\":{number}}}"))),
        ("resources", filled(sequence, ",", "]}}}}", one("{\"resourceType\":\"ACCESS_KEY\"}"))),
        ("records", filled("{\"Records\":[", ",", "]}", one("{\"eventSource\":\"aws:sqs\",\"body\":\"1\"}"))),
        (
            "events",
            filled("", "", "", |number| format!("{{\"detail-type\":\"{number}\",\"source\":\"s\",\"detail\":{{}}}}")),
        ),
    ]
}

#[test]
fn largest_message_is_parsed_at_once() {
    for (name, body) in messages() {
        let payload = json!({"Records": [{"messageId": "m", "eventSource": "aws:sqs", "body": body}]}).to_string();
        let started = Instant::now();
        let Delivery::Queue(items) = envelope::open(&payload) else { panic!("{name}: not a batch") };
        let alerts = alert::read(&items[0].messages, 20, None);
        let took = started.elapsed();
        assert!(!alerts.is_empty() && alerts.len() <= 101, "{name}: {} alerts", alerts.len());
        assert!(took < LONGEST, "{name}: {took:?}");
    }
}
