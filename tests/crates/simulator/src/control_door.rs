//! The door for whoever runs the simulator, under `/_simulator`: turns JSON into seeds, roles and
//! scripts, and the state and the list of requests into JSON.
//!
//! Nothing that comes in here is counted among the requests. Anybody who can reach it can use it,
//! which is why the simulator listens on loopback addresses only. What it does not understand it
//! refuses, and says what it would have understood.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{region::Region, role::Role, script::Script, seed::Seed, stage::Stage};

const PATHS: &str = "POST seed, POST roles, POST regions, POST or DELETE faults, GET or DELETE requests, GET state, POST reset, GET health";

/// The routes below `/_simulator`.
pub(crate) fn routes() -> Router<Arc<Stage>> {
    Router::new()
        .route("/seed", post(seed))
        .route("/roles", post(role))
        .route("/regions", post(region))
        .route("/faults", post(script).delete(clear_scripts))
        .route("/requests", get(requests).delete(clear_requests))
        .route("/state", get(state))
        .route("/reset", post(reset))
        .route("/health", get(health))
        .method_not_allowed_fallback(nothing_here)
        .fallback(nothing_here)
}

async fn seed(State(stage): State<Arc<Stage>>, body: Bytes) -> Response {
    settle(read::<Seed>(&body).and_then(|seed| stage.seed(seed).map_err(|error| error.to_string())))
}

async fn role(State(stage): State<Arc<Stage>>, body: Bytes) -> Response {
    settle(read::<Role>(&body).and_then(|role| stage.role(role).map_err(|error| error.to_string())))
}

async fn region(State(stage): State<Arc<Stage>>, body: Bytes) -> Response {
    settle(read::<Region>(&body).and_then(|region| stage.region(region).map_err(|error| error.to_string())))
}

async fn script(State(stage): State<Arc<Stage>>, body: Bytes) -> Response {
    let script = read::<Script>(&body).and_then(|script| known_fields_only(&body, script));
    settle(script.and_then(|script| stage.script(script).map_err(|error| error.to_string())))
}

async fn clear_scripts(State(stage): State<Arc<Stage>>) -> Response {
    stage.clear_scripts();
    settle(Ok(()))
}

async fn requests(State(stage): State<Arc<Stage>>) -> Response {
    Json(stage.seen().entries()).into_response()
}

async fn clear_requests(State(stage): State<Arc<Stage>>) -> Response {
    stage.seen().clear();
    settle(Ok(()))
}

async fn state(State(stage): State<Arc<Stage>>) -> Response {
    let shelves = stage.world().describe();
    let roles = json!(stage.iam().roles());
    let requests = stage.seen().entries().len();
    let scripts = stage.scripts();
    Json(json!({"accounts": shelves, "roles": roles, "scripts": scripts.waiting(), "requests": requests}))
        .into_response()
}

async fn reset(State(stage): State<Arc<Stage>>) -> Response {
    stage.reset();
    settle(Ok(()))
}

async fn health() -> Response {
    settle(Ok(()))
}

async fn nothing_here() -> Response {
    let error = format!("there is nothing here; below /_simulator/ there are: {PATHS}");
    (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response()
}

/// The text of serde names the field or kind that is unknown, and those that are known.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// serde lets unknown fields of a kind without any fields pass (`deny_unknown_fields` does not
/// reach the unit variants of a tagged enum), so those are looked for here.
fn known_fields_only(body: &[u8], script: Script) -> Result<Script, String> {
    let given: Value = read(body)?;
    let known = serde_json::to_value(&script).map_err(|error| error.to_string())?;
    let given = given["fault"].as_object().into_iter().flatten();
    match given.map(|(field, _)| field).find(|field| known["fault"].get(field.as_str()).is_none()) {
        Some(field) => {
            Err(format!("unknown field `{field}`: the fault {} has no fields but `kind`", known["fault"]["kind"]))
        }
        None => Ok(script),
    }
}

fn settle(outcome: Result<(), String>) -> Response {
    match outcome {
        Ok(()) => Json(json!({"ok": true})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}
