//! Tests of `unreadable`: the event names no valid key. The function makes no call, leaves one record, and lists the
//! accepted events.

use std::time::Duration;

use crate::scene::{Scene, event};

#[tokio::test(start_paused = true)]
async fn invalid_event_leaves_record_and_makes_no_call() {
    let scene = Scene::with_key_on_photos().await;
    for name in ["manual-malformed-key", "manual-unknown-member", "unknown-event", "not-an-object"] {
        let answer = scene.respond(&event(name)).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("unreadable", "Responder.Unreadable"), "{name}");
        assert!(answer.message().contains("accepted:"), "{name}: {}", answer.message());
    }
    assert!(scene.operations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn invalid_json_leaves_record() {
    let scene = Scene::with_key_on_photos().await;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for payload in [
        "",
        "AKIAIOSFODNN7EXAMPLE",
        "{\"accessKeyId\": \"AKIAIOSFODNN7EXAMPLE\"",
        &deep,
        "{\"a\": 1e999}",
        "\"\\ud800\"",
    ] {
        let answer = scene.respond_text_within(payload, Duration::from_secs(60)).await;
        assert_eq!(answer.outcome(), "unreadable", "{payload}");
        assert!(answer.message().contains("not readable JSON"), "{payload}: {}", answer.message());
    }
    assert!(scene.operations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn untrusted_event_text_is_redacted() {
    let scene = Scene::new().await;
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let mut unknown = event("unknown-event");
    unknown["detail-type"] = format!("\u{1b}[2J\n{secret}\n{}", "x".repeat(1_000_000)).into();
    unknown[secret] = secret.into();
    let answer = scene.respond(&unknown).await;
    assert_eq!(answer.outcome(), "unreadable");
    let record = answer.record.to_string();
    assert!(record.len() < 5_000 && !record.contains("wJalr") && !record.contains("\\u001b"), "{record}");
}
