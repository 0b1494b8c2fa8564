//! The door for the clients of Lightsail and STS: turns an HTTP request into a
//! [`Call`](crate::input::Call) or an [`AssumeRole`](crate::sts::AssumeRole), has the work done and
//! answers it, with whatever fault is scripted for it.
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
    clock,
    connection::Connection,
    delivery::{Answer, JSON},
    fault::Fault,
    input,
    operation::Operation,
    refusal::Refusal,
    script::Drawn,
    seen::SeenRequest,
    service::Service,
    signature::{Caller, authenticate},
    stage::Stage,
    sts::{self, Form},
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
    let service = Service::of(header(&head, "content-type"));
    let refuse = |refusal: &Refusal| Answer::refusal(service, refusal, &request_id);
    let Ok(body) = to_bytes(body, MOST_BYTES).await else {
        return refuse(&Refusal::too_long(service)).deliver(None, &request_id);
    };
    let settings = &stage.settings;
    let form = if service == Service::Sts { Form::read(&body) } else { Form::default() };
    let caller = authenticate(service, &head, &body, settings, &stage.iam(), &stage.regions());
    let mut seen = describe(&head, &body, &form, caller.as_ref().ok(), connection.number);
    let asked = caller.and_then(|caller| Ok((caller, find_operation(service, &head, &form)?)));
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
        (Err(refusal), _) => refuse(&refusal),
        (Ok(_), Some(Fault::ResetBefore)) => return reset(&connection),
        (Ok(_), Some(Fault::HangBefore)) => return pending().await,
        (Ok(_), Some(Fault::HttpStatus { status })) => Answer::page(*status),
        (Ok((caller, operation)), fault) => {
            let early = fault.and_then(|fault| match service {
                Service::Lightsail => fail_early(fault, &caller.region),
                Service::Sts => fail_to_assume(fault, &caller, &form),
            });
            let done = early.map_or_else(
                || match service {
                    Service::Lightsail => do_work(&stage, &caller, operation, &body, fault),
                    Service::Sts => assume_role(&stage, &caller, &form, &request_id),
                },
                Err,
            );
            done.unwrap_or_else(|refusal| refuse(&refusal))
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
fn describe(head: &Parts, body: &[u8], form: &Form, caller: Option<&Caller>, connection: u64) -> SeenRequest {
    let members: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| members[name].as_str().map(str::to_owned);
    let field = |name: &str| form.get(name).map(str::to_owned);
    let target = header(head, "x-amz-target").unwrap_or_default();
    let target = || target.rsplit('.').next().unwrap_or_default().to_owned();
    SeenRequest {
        at: String::new(),
        at_ms: 0,
        connection,
        operation: field("Action").unwrap_or_else(target),
        account: caller.map(|caller| caller.account.clone()).unwrap_or_default(),
        region: caller.map(|caller| caller.region.clone()).unwrap_or_default(),
        bucket: member("bucketName"),
        access_key_id: member("accessKeyId"),
        operation_id: member("operationId"),
        page_token: member("pageToken"),
        role_arn: field("RoleArn"),
        role_session_name: field("RoleSessionName"),
        external_id: field("ExternalId"),
        attempt: header(head, "amz-sdk-request").and_then(attempt),
        user_agent: header(head, "user-agent").map(str::to_owned),
        status: None,
        fault: None,
    }
}

/// The number in `attempt=2; max=5`. There may be other parts.
fn attempt(request: &str) -> Option<u32> {
    request.split(';').find_map(|part| part.trim().strip_prefix("attempt="))?.parse().ok()
}

/// A target, action, method, path or content type that the protocol does not have finds no
/// operation.
fn find_operation(service: Service, head: &Parts, form: &Form) -> Result<Operation, Refusal> {
    let at_the_door = head.method == Method::POST && head.uri.path() == "/";
    if service == Service::Sts {
        let found = if at_the_door { form } else { &Form::default() };
        return found.operation();
    }
    let protocol =
        at_the_door && header(head, "content-type").is_some_and(|found| found.split(';').next() == Some(JSON));
    let operation = header(head, "x-amz-target").and_then(Operation::from_target);
    operation.filter(|_| protocol).ok_or_else(Refusal::unknown_operation)
}

fn do_work(
    stage: &Stage,
    caller: &Caller,
    operation: Operation,
    body: &[u8],
    fault: Option<&Fault>,
) -> Result<Answer, Refusal> {
    let call = input::parse(operation, body, |bucket| stage.world().owner_of(bucket).is_some())?;
    let regions = stage.regions();
    let work = Work { caller, fault, ids: &stage.ids, settings: &stage.settings, regions: &regions };
    Ok(Answer::success(&work.answer(&mut stage.world(), call)?))
}

fn assume_role(stage: &Stage, caller: &Caller, form: &Form, request_id: &str) -> Result<Answer, Refusal> {
    let asked = form.assume_role()?;
    let session = stage.iam().assume(caller, &asked, &stage.ids, clock::now())?;
    Ok(Answer::xml(sts::assumed(&session, request_id)))
}

/// The error of a fault that leaves Lightsail no work to be done.
fn fail_early(fault: &Fault, region: &str) -> Option<Refusal> {
    Some(match fault {
        Fault::Throttled => Refusal::throttled(Service::Lightsail),
        Fault::ServiceException => Refusal::service(),
        Fault::AccessDenied => Refusal::access_denied(),
        Fault::Unauthenticated => Refusal::unauthenticated(),
        Fault::InvalidInput => Refusal::invalid_input("The input is not valid."),
        Fault::NotFound => Refusal::not_found("resource", "as scripted"),
        Fault::DoesNotExist => Refusal::invalid_input("DoesNotExist: The resource does not exist."),
        Fault::RegionSetupInProgress => Refusal::region_setup_in_progress(region),
        Fault::Error { code, status, message } => as_scripted(code, *status, message.as_deref()),
        _ => return None,
    })
}

/// The error of a fault that leaves STS no work to be done.
fn fail_to_assume(fault: &Fault, caller: &Caller, form: &Form) -> Option<Refusal> {
    Some(match fault {
        Fault::Throttled => Refusal::throttled(Service::Sts),
        Fault::ServiceException => Refusal::internal_failure(),
        Fault::AccessDenied => Refusal::may_not_assume(&caller.arn, form.get("RoleArn").unwrap_or_default()),
        Fault::Unauthenticated => Refusal::unrecognized_client(Service::Sts),
        Fault::InvalidInput => Refusal::validation("The input is not valid."),
        Fault::Error { code, status, message } => as_scripted(code, *status, message.as_deref()),
        _ => return None,
    })
}

fn as_scripted(code: &str, status: Option<u16>, message: Option<&str>) -> Refusal {
    Refusal::new(code, status.unwrap_or(400), message.unwrap_or("As scripted."))
}

/// The response is never written: the stream fails first, and resets the connection.
fn reset(connection: &Connection) -> Response {
    connection.reset();
    Response::default()
}

fn header<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}
