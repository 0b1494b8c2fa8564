//! Entry point of the Lambda function: sets up logs and configuration, then runs the runtime loop.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::util::MapRequestLayer;
use lambda_runtime::{LambdaEvent, LambdaInvocation, Runtime, service_fn};
use lightsail_key_responder::audit::Audit;
use lightsail_key_responder::config::{Config, Logs};
use lightsail_key_responder::respond::Responder;
use tracing_subscriber::fmt::writer::MakeWriterExt;

// One thread is enough: the function mostly waits for responses, and a small function has a fraction of a processor.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    write_logs(&Logs::from_env());
    // Rust's default hook prints the panic message, which can quote the event.
    std::panic::set_hook(Box::new(|panic| tracing::error!(place = ?panic.location(), "panicked")));
    let config = match Config::from_env() {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(%error, "the function cannot start");
            return ExitCode::FAILURE;
        }
    };
    let responder = Arc::new(Responder::new(&config, Audit::new(std::io::stdout())));
    let handler = service_fn(|event: LambdaEvent<String>| {
        let responder = Arc::clone(&responder);
        async move {
            let LambdaEvent { payload, context } = event;
            let invocation = responder.invocation(&context.request_id, &context.invoked_function_arn, context.deadline);
            responder.respond(&payload, invocation).await
        }
    });
    match Runtime::new(handler).layer(TracingLayer::new()).layer(MapRequestLayer::new(as_text)).run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the runtime ended");
            ExitCode::FAILURE
        }
    }
}

/// Writes log lines to standard output in the format of `lambda_runtime`.
fn write_logs(logs: &Logs) {
    // At TRACE the runtime logs the raw event, and a scanner's event can contain a secret. Only this crate
    // may write lines that are more detailed than INFO.
    let allowed = |line: &tracing::Metadata<'_>| {
        *line.level() <= tracing::Level::INFO || line.target().starts_with("lightsail_key_responder")
    };
    let lines = tracing_subscriber::fmt()
        .with_target(false)
        .without_time()
        .with_max_level(logs.level)
        .with_writer(std::io::stdout.with_filter(allowed));
    if logs.json { lines.json().init() } else { lines.init() }
}

/// Passes the raw event to the handler as a JSON string. An event that the runtime cannot parse, such as JSON with deep
/// nesting, would otherwise never reach the handler and would leave no record.
fn as_text(mut invocation: LambdaInvocation) -> LambdaInvocation {
    let text = String::from_utf8_lossy(&invocation.body);
    invocation.body = serde_json::Value::from(text).to_string().into();
    invocation
}
