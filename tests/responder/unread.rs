//! `unreadable`: no key could be read. Nothing is called, one record is left, and the error says what is accepted.

use std::time::Duration;

use crate::scene::{Scene, event};

#[tokio::test]
async fn an_event_of_nonsense_leaves_a_record_and_makes_no_call() {
    let scene = Scene::with_key_on_photos().await;
    for name in ["manual-malformed-key", "manual-unknown-member", "unknown-event", "not-an-object"] {
        let answer = scene.respond(&event(name)).await;
        assert_eq!((answer.outcome(), answer.error_type()), ("unreadable", "Responder.Unreadable"), "{name}");
        assert!(answer.message().contains("accepted:"), "{name}: {}", answer.message());
    }
    assert!(scene.operations().is_empty());
}

#[tokio::test]
async fn what_is_no_json_leaves_a_record() {
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

#[tokio::test]
async fn no_text_of_the_event_comes_back_unless_it_is_plain() {
    let scene = Scene::new().await;
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let mut stranger = event("unknown-event");
    stranger["detail-type"] = format!("\u{1b}[2J\n{secret}\n{}", "x".repeat(1_000_000)).into();
    stranger[secret] = secret.into();
    let answer = scene.respond(&stranger).await;
    assert_eq!(answer.outcome(), "unreadable");
    let record = answer.record.to_string();
    assert!(record.len() < 5_000 && !record.contains("wJalr") && !record.contains("\\u001b"), "{record}");
}
