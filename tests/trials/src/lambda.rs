//! A small Lambda: events -> invocations of the built function, in a process that can be killed at any moment.
//!
//! It has what matters to a function that gets killed: a process serves one event after the other, one that died is
//! replaced at the next event, and an asynchronous event whose invocation failed is delivered again (Lambda guide, "How
//! Lambda handles errors and retries with asynchronous invocation"; at once here, after one and two minutes there).
//! Invariant: an [`Answer`] says how the invocation ended for Lambda, and has the records that were written during it.

use std::future::{Future, pending};
use std::io;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::process::{self, Process};
use crate::runtime_api::{Event, Moment};
use crate::{REGION, SECRET_ACCESS_KEY};

/// The function, and what it said since it was started first.
pub struct Lambda {
    program: PathBuf,
    variables: Vec<(String, String)>,
    process: Option<Process>,
    invocations: u64,
    processes: u64,
    lines: Vec<String>,
}

/// How to start the function.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Lightsail is.
    pub endpoint: String,
    /// Further environment variables; one that Lambda sets by itself is replaced.
    pub variables: Vec<(String, String)>,
}

/// What came of one invocation.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Lambda's ID of the invocation; the same for all tries of a delivery.
    pub request_id: String,
    /// The response, or the error: an object with `errorType` and `errorMessage`.
    pub response: Result<Value, Value>,
    /// How it ended.
    pub end: End,
    /// The records that were written during it.
    pub records: Vec<Value>,
}

/// How an invocation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process answered, and lives.
    Answered,
    /// We killed it, as was asked for. If its answer had been acknowledged, that is the response all the same.
    Killed,
    /// The process ended by itself.
    Died,
    /// The time was over, and Lambda killed the process.
    TimedOut,
}

/// When to kill the process: at whichever comes first. Both hold it in place for that: a moment stops the Runtime API, and
/// a condition should be one that the simulator holds.
pub struct Kill<'a> {
    moment: Option<Moment>,
    condition: Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

/// Tries of an asynchronous event, all told.
const TRIES: usize = 3;

impl Settings {
    /// The function as it is deployed, with Lightsail at `endpoint`.
    pub fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), variables: Vec::new() }
    }

    /// With one more environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What Lambda sets for every function, what ours is given, and then whatever was asked for.
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
    /// At a moment of the protocol between Lambda and the process.
    pub fn at(moment: Moment) -> Self {
        Self { moment: Some(moment), condition: Box::pin(pending()) }
    }

    /// When `condition` is ready; see [`until`].
    pub fn when(condition: impl Future<Output = ()> + Send + 'a) -> Self {
        Self { moment: None, condition: Box::pin(condition) }
    }

    /// Also at `moment`, if that is earlier.
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

    /// Has the function answer `event` within `time`. An error is one of this machine, and none of the function.
    pub async fn invoke(&mut self, event: &Value, time: Duration) -> io::Result<Answer> {
        let kill = Kill::when(pending());
        self.invoke_and_kill(event, time, kill).await
    }

    /// Has the function answer `event`, and kills it meanwhile.
    pub async fn invoke_and_kill(&mut self, event: &Value, time: Duration, kill: Kill<'_>) -> io::Result<Answer> {
        self.invocations += 1;
        let request_id = format!("00000000-0000-4000-8000-{:012}", self.invocations);
        self.run(request_id, event, time, kill).await
    }

    /// Delivers an asynchronous `event`: up to three tries, until one succeeds. All answers, the last one last.
    pub async fn deliver(&mut self, event: &Value, time: Duration) -> io::Result<Vec<Answer>> {
        let first = self.invoke(event, time).await?;
        let again = self.redeliver(&first, event, time).await?;
        Ok([vec![first], again].concat())
    }

    /// What Lambda does after the first try of a delivery: nothing if it succeeded, else up to two more.
    pub async fn redeliver(&mut self, first: &Answer, event: &Value, time: Duration) -> io::Result<Vec<Answer>> {
        let mut again = Vec::new();
        while again.last().unwrap_or(first).response.is_err() && again.len() + 1 < TRIES {
            again.push(self.run(first.request_id.clone(), event, time, Kill::when(pending())).await?);
        }
        Ok(again)
    }

    /// `kill -9` between two invocations; the next one starts a new process.
    pub async fn kill(&mut self) -> io::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill().await?;
        self.lines.extend(process.new_lines()?);
        Ok(())
    }

    /// All lines that its processes wrote to standard output and standard error, as far as they were read: what one
    /// writes after its answer is there after the next invocation.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The records in those lines.
    pub fn records(&self) -> Vec<Value> {
        records(&self.lines)
    }

    /// The process that runs now.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref()?.id()
    }

    /// How many processes were started.
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
        // After the kill: an answer that was acknowledged before it counts.
        let answer = process.api.watch().borrow().answer.clone();
        let lines = process.new_lines()?;
        if end == End::Answered {
            self.process = Some(process);
        }
        let records = records(&lines);
        self.lines.extend(lines);
        let response = answer.unwrap_or_else(|| Err(self.no_answer(end, time)));
        Ok(Answer { request_id, response, end, records })
    }

    /// What Lambda says of an invocation that the function did not answer.
    fn no_answer(&self, end: End, time: Duration) -> Value {
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

/// Until the process has answered, must be killed, or is not there any more.
async fn wait(process: &mut Process, time: Duration, condition: impl Future<Output = ()>) -> End {
    let (mut held, mut answered) = (process.api.watch(), process.api.watch());
    let mut condition = pin!(condition);
    tokio::select! {
        biased;
        () = &mut condition => End::Killed,
        _ = held.wait_for(|desk| desk.reached) => End::Killed,
        // The answer is on the desk a little before it is acknowledged.
        _ = answered.wait_for(|desk| desk.answer.is_some() && desk.hold != Some(Moment::AnswerAcknowledged)) => {
            End::Answered
        }
        _ = process.end() => End::Died,
        () = tokio::time::sleep(time) => End::TimedOut,
    }
}

/// Until `condition` holds: looks every millisecond.
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
