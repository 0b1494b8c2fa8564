//! Turns an [`Answer`] into the HTTP response, whole or as a fault wants it: slow, cut, endless.
//! What is JSON for a client of Lightsail is XML for one of STS.
//!
//! Every response has a length or an end that HTTP knows, but for `never_ends`, which promises
//! more than it sends.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header::CONTENT_LENGTH},
    response::Response,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{fault::Fault, refusal::Refusal, service::Service, sts};

/// What is to be sent.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    content_type: &'static str,
    error_type: Option<String>,
    body: Bytes,
}

impl Answer {
    pub(crate) fn success(body: &Value) -> Self {
        Self { status: StatusCode::OK, content_type: JSON, error_type: None, body: body.to_string().into() }
    }

    /// A success of STS.
    pub(crate) fn xml(body: String) -> Self {
        Self { status: StatusCode::OK, content_type: XML, error_type: None, body: body.into() }
    }

    pub(crate) fn refusal(service: Service, refusal: &Refusal, request_id: &str) -> Self {
        let (content_type, error_type, body) = match service {
            Service::Lightsail => (JSON, Some(refusal.kind.clone()), refusal.body().to_string()),
            Service::Sts => (XML, None, sts::refused(refusal, request_id)),
        };
        Self { status: status(refusal.status), content_type, error_type, body: body.into() }
    }

    /// A page of a load balancer, which knows nothing of JSON.
    pub(crate) fn page(number: u16) -> Self {
        let status = status(number);
        let title = status.canonical_reason().unwrap_or("Error");
        let body = format!(
            "<html>\r\n<head><title>{number} {title}</title></head>\r\n<body>\r\n<center><h1>{number} {title}</h1></center>\r\n</body>\r\n</html>\r\n"
        );
        Self { status, content_type: HTML, error_type: None, body: body.into() }
    }

    /// The response. A fault that has to do with the way of the answer changes it.
    pub(crate) fn deliver(self, fault: Option<&Fault>, request_id: &str) -> Response {
        let half = self.body.slice(..self.body.len() / 2);
        match fault {
            Some(Fault::Truncated) => Self { status: StatusCode::OK, body: half, ..self }.response(request_id),
            Some(Fault::NotJson) => {
                let body = Bytes::from_static(b"This is not JSON.");
                Self { status: StatusCode::OK, content_type: "text/plain", error_type: None, body }.response(request_id)
            }
            Some(Fault::EmptyAnswer) => {
                let empty = match self.content_type {
                    XML => Self::xml(sts::EMPTY.to_owned()),
                    _ => Self::success(&Value::Object(serde_json::Map::new())),
                };
                // The service did not write it: from the service, `{}` is a list without entries.
                let mut response = empty.response(request_id);
                response.headers_mut().remove(REQUEST_ID);
                response
            }
            Some(Fault::NeverEnds) => {
                let started = stream::once(async { Ok::<_, Infallible>(half) });
                self.streamed(Body::from_stream(started.chain(stream::pending())), request_id)
            }
            Some(Fault::Slow { bytes_per_second }) => {
                let body = Body::from_stream(in_drops(self.body.clone(), *bytes_per_second));
                self.streamed(body, request_id)
            }
            _ => self.response(request_id),
        }
    }

    fn response(self, request_id: &str) -> Response {
        let body = Body::from(self.body.clone());
        self.streamed(body, request_id)
    }

    /// With `body` in place of its own, whose length is announced all the same.
    fn streamed(self, body: Body, request_id: &str) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static(self.content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        // A load balancer stands before the service, which gives the request its id.
        let request_id = (self.content_type != HTML).then_some(request_id);
        let texts = [(REQUEST_ID, request_id), ("x-amzn-errortype", self.error_type.as_deref())];
        for (name, text) in texts {
            // A scripted error type can have letters that a header cannot.
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The header with the id that the service gives a request.
const REQUEST_ID: &str = "x-amzn-requestid";
/// The content type of the protocol `json`, version 1.1.
pub(crate) const JSON: &str = "application/x-amz-json-1.1";
/// The content type of the answers of the protocol `query`.
const XML: &str = "text/xml";
const HTML: &str = "text/html";

/// Twenty drops a second, or one byte at a time if there are not so many.
fn in_drops(body: Bytes, bytes_per_second: u32) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
    let drop = (bytes_per_second / 20).max(1);
    let pause = Duration::from_secs_f64(f64::from(drop) / f64::from(bytes_per_second.max(1)));
    let size = usize::try_from(drop).unwrap_or(usize::MAX);
    stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let next = rest.split_to(size.min(rest.len()));
        Some((Ok(next), rest))
    })
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
