//! Tests of panics: a panic in a stage leaves one record and an error, and the next invocation works.
//!
//! The code under test has no line that panics on purpose. For this reason, a tracing subscriber panics when a stage
//! opens its span.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber};

use crate::scene::{Scene, manual_event};

struct PanicsIn {
    stage: &'static str,
    armed: AtomicBool,
}

#[expect(clippy::panic, reason = "this subscriber exists to panic")]
impl Subscriber for PanicsIn {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("lightsail_key_responder")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        if span.metadata().name() == self.stage && self.armed.swap(false, Ordering::Relaxed) {
            panic!("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        }
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Lets the first span of this stage panic in the current thread.
fn panic_in(stage: &'static str) -> DefaultGuard {
    // While a process has one subscriber only, a span that another thread meets first is judged by that thread's, which
    // has none, and is switched off for all (tracing-core, `Dispatchers::rebuilder`). So there is a second one.
    static SECOND: LazyLock<Dispatch> =
        LazyLock::new(|| Dispatch::new(PanicsIn { stage: "", armed: AtomicBool::new(false) }));
    LazyLock::force(&SECOND);
    tracing::subscriber::set_default(PanicsIn { stage, armed: AtomicBool::new(true) })
}

#[tokio::test(start_paused = true)]
async fn panic_in_stage_leaves_record_and_error() {
    for (stage, outcome, expected) in [
        ("read", "unreadable", None),
        ("revoke", "failed", Some(false)),
        ("confirm", "failed", Some(true)),
        ("locate", "failed", Some(false)),
    ] {
        let scene = match stage {
            "locate" => Scene::new().await,
            _ => Scene::with_key_on_photos().await,
        };
        let _guard = panic_in(stage);
        let answer = scene.respond(&manual_event()).await;
        assert_eq!(answer.outcome(), outcome, "{stage}");
        assert!(answer.message().contains("own code panicked"), "{stage}: {}", answer.message());
        assert!(!answer.record.to_string().contains("wJalr"), "{stage}");
        let may_have_taken_effect =
            answer.unmapped("").pointer("/failure/may_have_taken_effect").and_then(serde_json::Value::as_bool);
        assert_eq!(may_have_taken_effect, expected, "{stage}");
        let next = scene.respond(&manual_event()).await;
        assert!(next.result.is_ok(), "{stage}: {}", next.message());
    }
}

/// The key is deleted and confirmed although the read beside the delete panics.
#[tokio::test(start_paused = true)]
async fn panic_in_evidence_does_not_fail_the_delete() {
    let scene = Scene::with_key_on_photos().await;
    let _guard = panic_in("evidence");
    let answer = scene.respond(&manual_event()).await;
    assert_eq!(answer.outcome(), "revoked", "{}", answer.message());
    assert_eq!(answer.unmapped("/access_key/evidence"), "unavailable");
    assert!(!answer.record.to_string().contains("wJalr"));
}
