//! The door for Lightsail's clients: turns an HTTP request into a [`Call`](crate::input::Call),
//! has the work done and answers it, with whatever fault is scripted for it.
//!
//! The order is fixed. Read the request, check the signature, find the operation, enter it into
//! the list of requests, wait out the latency; then what fails without work, the work itself, and
//! last what fails after it. So the list shows requests in the order of their arrival, and a
//! fault "before" leaves no trace in the buckets.

use std::{future::pending, sync::Arc, time::Duration};

use axum::{
    body::to_bytes,
    extract::{ConnectInfo, Request, State},
    http::{Method, request::Parts},
    response::Response,
};
use serde_json::Value;

use crate::{
    connection::Connection,
    delivery::{Answer, JSON},
    fault::Fault,
    input,
    operation::Operation,
    refusal::Refusal,
    script::Drawn,
    seen::SeenRequest,
    signature::{Caller, authenticate},
    stage::Stage,
    work::Work,
};

/// More than any input of these operations can be.
const MOST_BYTES: usize = 1 << 20;

/// Answers one request, or does not.
pub(crate) async fn answer(
    State(stage): State<Arc<Stage>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response {
    let request_id = stage.ids.uuid();
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST_BYTES).await else {
        let refusal = Refusal::not_readable("The body is cut off or too long.");
        return Answer::refusal(&refusal).deliver(None, &request_id);
    };
    let settings = &stage.settings;
    let caller = authenticate(&head, &body, settings.secret_access_key.as_deref(), &settings.account);
    let mut seen = describe(&head, &body, caller.as_ref().ok(), connection.number);
    let asked = caller.and_then(|caller| Ok((caller, find_operation(&head)?)));
    let (number, drawn) = {
        // Under one lock, so that of two requests the one that is listed first is hit first.
        let mut log = stage.seen();
        let drawn = asked.as_ref().ok().and_then(|(caller, asked)| stage.scripts().draw(*asked, &caller.region));
        seen.fault = drawn.as_ref().map(|drawn| drawn.fault.kind().to_owned());
        (log.enter(seen), drawn)
    };

    let latency = settings.latency_ms.saturating_add(drawn.as_ref().map_or(0, Drawn::latency));
    if latency > 0 {
        tokio::time::sleep(Duration::from_millis(latency)).await;
    }
    let fault = drawn.as_ref().map(|drawn| &drawn.fault);
    let answer = match (asked, fault) {
        (Err(refusal), _) => Answer::refusal(&refusal),
        (Ok(_), Some(Fault::ResetBefore)) => return reset(&connection),
        (Ok(_), Some(Fault::HangBefore)) => return pending().await,
        (Ok((caller, operation)), fault) => {
            let early = fault.and_then(|fault| fail_early(fault, &caller.region));
            early.unwrap_or_else(|| do_work(&stage, &caller, operation, &body, fault))
        }
    };
    match fault {
        Some(Fault::ResetAfter) => return reset(&connection),
        Some(Fault::HangAfter) => return pending().await,
        _ => {}
    }
    let response = answer.deliver(fault, &request_id);
    stage.seen().answered(number, response.status().as_u16());
    response
}

/// What the list of requests says of this one. A body that is not readable has no members.
fn describe(head: &Parts, body: &[u8], caller: Option<&Caller>, connection: u64) -> SeenRequest {
    let members: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| members[name].as_str().map(str::to_owned);
    let target = header(head, "x-amz-target").unwrap_or_default();
    SeenRequest {
        at: String::new(),
        at_ms: 0,
        connection,
        operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
        account: caller.map(|caller| caller.account.clone()).unwrap_or_default(),
        region: caller.map(|caller| caller.region.clone()).unwrap_or_default(),
        bucket: member("bucketName"),
        access_key_id: member("accessKeyId"),
        operation_id: member("operationId"),
        page_token: member("pageToken"),
        user_agent: header(head, "user-agent").map(str::to_owned),
        status: None,
        fault: None,
    }
}

/// A target, method, path or content type that the protocol does not have finds no operation.
fn find_operation(head: &Parts) -> Result<Operation, Refusal> {
    let protocol = head.method == Method::POST
        && head.uri.path() == "/"
        && header(head, "content-type").is_some_and(|found| found.split(';').next() == Some(JSON));
    let operation = header(head, "x-amz-target").and_then(Operation::from_target);
    operation.filter(|_| protocol).ok_or_else(Refusal::unknown_operation)
}

fn do_work(stage: &Stage, caller: &Caller, operation: Operation, body: &[u8], fault: Option<&Fault>) -> Answer {
    let work = Work { caller, fault, ids: &stage.ids, settings: &stage.settings };
    match input::parse(operation, body).and_then(|call| work.answer(&mut stage.world(), call)) {
        Ok(body) => Answer::success(&body),
        Err(refusal) => Answer::refusal(&refusal),
    }
}

/// The answer of a fault that leaves no work to be done.
fn fail_early(fault: &Fault, region: &str) -> Option<Answer> {
    let refusal = match fault {
        Fault::HttpStatus { status } => return Some(Answer::page(*status)),
        Fault::Throttled => Refusal::throttled(),
        Fault::ServiceException => Refusal::service(),
        Fault::AccessDenied => Refusal::access_denied(),
        Fault::Unauthenticated => Refusal::unauthenticated(),
        Fault::InvalidInput => Refusal::invalid_input("The input is not valid."),
        Fault::NotFound => Refusal::not_found("resource", "as scripted"),
        Fault::DoesNotExist => Refusal::invalid_input("DoesNotExist: The resource does not exist."),
        Fault::RegionSetupInProgress => Refusal::region_setup_in_progress(region),
        Fault::Error { code, status, message } => {
            Refusal::new(code, status.unwrap_or(400), message.as_deref().unwrap_or("As scripted."))
        }
        _ => return None,
    };
    Some(Answer::refusal(&refusal))
}

/// The response is never written: the stream fails first, and resets the connection.
fn reset(connection: &Connection) -> Response {
    connection.reset();
    Response::default()
}

fn header<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}
