//! Small Lambda that invokes the built function in a process that can be killed at any moment.
//!
//! It implements the rules that matter for kills. A process serves one event at a time. A dead process is replaced at
//! the next event. An asynchronous event is delivered again after a failed invocation (Lambda guide, "How Lambda
//! handles errors and retries with asynchronous invocation"). Lambda waits one and two minutes before these retries,
//! but this one does not wait.
//!
//! Invariant: an [`Answer`] has the end of the invocation from Lambda's view, and the records that were written during
//! it.

use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::process::{self, Process};
use crate::runtime_api::{Event, Moment};
use crate::{REGION, SECRET_ACCESS_KEY};

/// Function with its current process and all its log lines.
pub struct Lambda {
    program: PathBuf,
    variables: Vec<(String, String)>,
    process: Option<Process>,
    invocations: u64,
    processes: u64,
    lines: Vec<String>,
}

/// Settings for the start of the function.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Endpoint URL of Lightsail.
    pub endpoint: String,
    /// More environment variables. They override those that Lambda sets.
    pub variables: Vec<(String, String)>,
}

/// Result of one invocation.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Request ID of the invocation. All tries of a delivery share it.
    pub request_id: String,
    /// Response, or error object with `errorType` and `errorMessage`.
    pub response: Result<Value, Value>,
    /// End of the invocation.
    pub end: End,
    /// Records that were written during the invocation.
    pub records: Vec<Value>,
}

/// End of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Process answered and still runs.
    Answered,
    /// Process was killed on request. If its answer was acknowledged before that, the answer still counts.
    Killed,
    /// Process ended by itself.
    Died,
    /// Process was killed because the timeout was exceeded.
    TimedOut,
}

/// Time of a kill: at a moment or on a condition, whichever comes first. Either must hold the process until the kill. A
/// moment stops the Runtime API. A condition should be one on which the simulator stops.
pub struct Kill<'a> {
    moment: Option<Moment>,
    condition: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

/// Maximum tries of an asynchronous event, the first one included.
const TRIES: usize = 3;

impl Settings {
    /// Returns the settings of the deployed function, with Lightsail at `endpoint`.
    pub fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), variables: Vec::new() }
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the variables that Lambda sets, then those of this function, then [`Self::variables`].
    pub fn environment(self) -> Vec<(String, String)> {
        let lambda = [
            ("AWS_LAMBDA_FUNCTION_NAME", "responder"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "ASIARESPONDEREXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_SESSION_TOKEN", "simulated-token"),
            ("AWS_ENDPOINT_URL_LIGHTSAIL", &self.endpoint),
        ];
        let lambda = lambda.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        lambda.chain(self.variables).collect()
    }
}

impl<'a> Kill<'a> {
    /// Kills at a moment of the protocol between Lambda and the process.
    pub fn at(moment: Moment) -> Self {
        Self { moment: Some(moment), condition: Box::pin(pending()) }
    }

    /// Kills when `condition` is ready. See [`until`].
    pub fn when(condition: impl Future<Output = ()> + Send + 'a) -> Self {
        Self { moment: None, condition: Box::pin(condition) }
    }

    /// Kills at `moment` if it comes earlier.
    #[must_use]
    pub fn or_at(mut self, moment: Moment) -> Self {
        self.moment = Some(moment);
        self
    }
}

impl Lambda {
    /// Prepares the function. The first invocation starts a process.
    pub fn start(settings: Settings) -> io::Result<Self> {
        Ok(Self {
            program: process::program()?,
            variables: settings.environment(),
            process: None,
            invocations: 0,
            processes: 0,
            lines: Vec::new(),
        })
    }

    /// Invokes the function with `event` and the timeout `time`. An error is caused by the machine, not by the
    /// function.
    pub async fn invoke(&mut self, event: &Value, time: Duration) -> io::Result<Answer> {
        let kill = Kill::when(pending());
        self.invoke_and_kill(event, time, kill).await
    }

    /// Invokes the function with `event` and kills it during the invocation.
    pub async fn invoke_and_kill(&mut self, event: &Value, time: Duration, kill: Kill<'_>) -> io::Result<Answer> {
        self.invocations += 1;
        let request_id = format!("00000000-0000-4000-8000-{:012}", self.invocations);
        self.run(request_id, event, time, kill).await
    }

    /// Delivers an asynchronous `event` with up to three tries until one succeeds. Returns all answers in order.
    pub async fn deliver(&mut self, event: &Value, time: Duration) -> io::Result<Vec<Answer>> {
        let first = self.invoke(event, time).await?;
        let again = self.redeliver(&first, event, time).await?;
        Ok([vec![first], again].concat())
    }

    /// Retries a delivery up to two times if its first try failed, as Lambda does.
    pub async fn redeliver(&mut self, first: &Answer, event: &Value, time: Duration) -> io::Result<Vec<Answer>> {
        let mut again = Vec::new();
        while again.last().unwrap_or(first).response.is_err() && again.len() + 1 < TRIES {
            again.push(self.run(first.request_id.clone(), event, time, Kill::when(pending())).await?);
        }
        Ok(again)
    }

    /// Sends `kill -9` between two invocations. The next invocation starts a new process.
    pub async fn kill(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill().await?;
        self.lines.extend(process.new_lines()?);
        Ok(())
    }

    /// Returns all lines that were read from the standard output and standard error of its processes. Lines that a
    /// process writes after its answer appear after the next invocation.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Returns the records in these lines.
    pub fn records(&self) -> Vec<Value> {
        records(&self.lines)
    }

    /// Returns the ID of the current process.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// Returns the number of processes that were started.
    pub fn processes(&self) -> u64 {
        self.processes
    }

    async fn run(&mut self, request_id: String, event: &Value, time: Duration, kill: Kill<'_>) -> io::Result<Answer> {
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).map_err(io::Error::other)? + time;
        let deadline_ms = u64::try_from(deadline.as_millis()).map_err(io::Error::other)?;
        let event = Event { request_id: request_id.clone(), payload: event.to_string(), deadline_ms };
        let mut process = match self.process.take() {
            Some(process) => {
                process.api.begin(event, kill.moment);
                process
            }
            None => {
                self.processes += 1;
                Process::start(&self.program, &self.variables, event, kill.moment).await?
            }
        };
        let end = wait(&mut process, time, kill.condition).await;
        if end != End::Answered {
            process.kill().await?;
        }
        // The answer is read after the kill, because an answer that was acknowledged before the kill counts.
        let answer = process.api.watch().borrow().answer.clone();
        let lines = process.new_lines()?;
        if end == End::Answered {
            self.process = Some(process);
        }
        let records = records(&lines);
        self.lines.extend(lines);
        let response = answer.unwrap_or_else(|| Err(self.unanswered_error(end, time)));
        Ok(Answer { request_id, response, end, records })
    }

    /// Returns Lambda's error for an invocation without an answer.
    fn unanswered_error(&self, end: End, time: Duration) -> Value {
        let tail = self.lines.iter().rev().take(3).rev().cloned().collect::<Vec<_>>().join("\n");
        match end {
            End::TimedOut => json!({
                "errorType": "Sandbox.Timedout",
                "errorMessage": format!("Task timed out after {:.2} seconds; its log ends\n{tail}", time.as_secs_f64()),
            }),
            End::Killed => {
                json!({"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited with error: signal: killed"})
            }
            End::Answered | End::Died => json!({
                "errorType": "Runtime.ExitError",
                "errorMessage": format!("Runtime exited without providing a reason; its log ends\n{tail}"),
            }),
        }
    }
}

/// Waits until the process has answered, must be killed, or has ended.
async fn wait(process: &mut Process, time: Duration, condition: impl Future<Output = ()>) -> End {
    let (mut held, mut answered) = (process.api.watch(), process.api.watch());
    let mut condition = pin!(condition);
    tokio::select! {
        biased;
        () = &mut condition => End::Killed,
        _ = held.wait_for(|state| state.reached) => End::Killed,
        // The answer is visible shortly before it is acknowledged.
        _ = answered.wait_for(|state| state.answer.is_some() && state.hold != Some(Moment::AnswerAcknowledged)) => {
            End::Answered
        }
        _ = process.end() => End::Died,
        () = tokio::time::sleep(time) => End::TimedOut,
    }
}

/// Waits until `condition` is true. Checks every millisecond.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let mut interval = tokio::time::interval(Duration::from_millis(1));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !condition() {
        interval.tick().await;
    }
}

fn records(lines: &[String]) -> Vec<Value> {
    let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter_map(|mut line| line.get_mut("audit").map(Value::take)).collect()
}
