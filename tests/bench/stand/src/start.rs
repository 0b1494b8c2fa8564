//! One start of a program, from outside.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lightsail_simulator::Seed;
use responder_harness::{Authority, Event, Moment, REGION, RuntimeApi, Scene, Settings};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::front::{Front, Hold, Seen};
use crate::plan::{Ends, Invocation, Plan, Program};
use crate::throttle::Throttle;
use crate::usage::Usage;

/// The function's time-out in these runs; far more than any of them needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that the programs meet.
pub struct Stand {
    directory: PathBuf,
    scene: Scene,
    tls: TlsAcceptor,
}

/// What was seen of one start. Times are in microseconds from the start.
#[derive(Debug, Serialize)]
pub struct Start {
    /// The first `next` was asked for: INIT is over.
    pub next_us: u64,
    /// By then.
    pub at_next: Usage,
    /// The first delete was read.
    pub delete_us: Option<u64>,
    /// By then.
    pub at_delete: Option<Usage>,
    /// TLS handshakes until then.
    pub handshakes_to_delete: Option<usize>,
    /// API requests before it.
    pub requests_before_delete: Option<usize>,
    /// When the delete was read, in microseconds since 1970, for logs of others.
    pub delete_at_us: Option<u128>,
    /// One time per invocation, from the event to its answer; none where the program was ended.
    pub answer_us: Vec<u64>,
    /// After the last answer.
    pub at_end: Option<Usage>,
    /// TLS handshakes in all.
    pub handshakes: usize,
    /// API requests in all.
    pub requests: usize,
    /// The last answer, as far as it tells outcomes.
    pub outcomes: Vec<String>,
}

impl Stand {
    /// Puts up what the programs of `plan` meet; `directory` has the certificates and the programs' output.
    pub async fn new(directory: PathBuf, authority: &Authority, plan: &Plan) -> Result<Self, Box<dyn Error>> {
        let scene = Scene::new(lightsail_simulator::Settings::default()).await?;
        fs::write(directory.join("authority.pem"), authority.pem())?;
        // In front, where it counts as one of Amazon's four.
        fs::write(directory.join("trusted.pem"), format!("{}\n{}", authority.pem(), plan.trusted))?;
        Ok(Self { directory, scene, tls: authority.acceptor("localhost")? })
    }

    /// Starts `program`, has it do its invocations, and ends it.
    pub async fn start(&self, plan: &Plan, program: &Program) -> Result<Start, Box<dyn Error>> {
        let first = plan.invocations.first().ok_or("the plan has no invocation")?;
        self.fill(first)?;
        let api = RuntimeApi::start().await?;
        let hold = match plan.ends {
            Ends::Answered => Hold::No,
            Ends::AtDelete => Hold::Forever,
            Ends::AtAnswer => Hold::UntilKeysRead,
        };
        let front = Front::open(self.tls.clone(), self.scene.simulator.address(), hold).await?;
        let throttle = plan.memory_mb.map(|_| Throttle::new()).transpose()?;
        let command = self.command(program, &front.endpoint(), &api)?;
        let (mut child, Exec { start, cpu_us }) = spawn(command, throttle.as_ref())?;
        front.begin(child.id());

        let mut desk = api.watch();
        let asked = desk.wait_for(|desk| desk.asked.is_some());
        let asked = timeout(PATIENCE, asked).await.map_err(|_| self.silent("did not ask for an event", program))?;
        let asked = asked?.asked.unwrap_or(start);
        let process = child.id().ok_or("it ended")?;
        let at_next = Usage::of(process)?.without(cpu_us);
        if let (Some(throttle), Some(memory_mb)) = (&throttle, plan.memory_mb) {
            throttle.share_of(memory_mb)?;
        }

        let mut answers = Vec::new();
        let mut outcomes = Vec::new();
        for (number, invocation) in plan.invocations.iter().enumerate() {
            if number > 0 {
                self.fill(invocation)?;
            }
            let begun = Instant::now();
            api.begin(event(number, invocation)?, (plan.ends == Ends::AtAnswer).then_some(Moment::AnswerPosted));
            match plan.ends {
                Ends::Answered => {}
                Ends::AtDelete => {
                    let mut seen = front.watch();
                    let deleted = seen.wait_for(|seen| seen.delete.is_some());
                    timeout(PATIENCE, deleted).await.map_err(|_| self.silent("sent no delete", program))??;
                    break;
                }
                Ends::AtAnswer => {
                    let posted = desk.wait_for(|desk| desk.reached);
                    timeout(PATIENCE, posted).await.map_err(|_| self.silent("gave no answer", program))??;
                    break;
                }
            }
            let answer = {
                let answered = desk.wait_for(|desk| desk.answered.is_some());
                let answered =
                    timeout(PATIENCE, answered).await.map_err(|_| self.silent("gave no answer", program))??;
                answers.push(micros(answered.answered.unwrap_or(begun) - begun));
                answered.answer.clone()
            };
            let answer = answer.ok_or("no answer")?.map_err(|error| format!("the function failed: {error}"))?;
            let records = answer["records"].as_array().into_iter().flatten();
            outcomes = records.filter_map(|record| record["status_code"].as_str().map(str::to_owned)).collect();
        }
        let at_end = if plan.ends == Ends::Answered {
            let used = Usage::of(process)?.without(cpu_us);
            child.kill().await?;
            Some(used)
        } else {
            asleep(process).await?;
            end(&mut child).await?;
            None
        };
        let seen = front.watch();
        let seen: &Seen = &seen.borrow();
        let now = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH)?);
        Ok(Start {
            next_us: micros(asked - start),
            at_next,
            delete_us: seen.delete.as_ref().map(|delete| micros(delete.at - start)),
            at_delete: seen.delete.as_ref().map(|delete| delete.usage.without(cpu_us)),
            handshakes_to_delete: seen.delete.as_ref().map(|delete| delete.handshakes),
            requests_before_delete: seen.delete.as_ref().map(|delete| delete.requests),
            delete_at_us: seen.delete.as_ref().map(|delete| (now.1 - (now.0 - delete.at)).as_micros()),
            answer_us: answers,
            at_end,
            handshakes: seen.handshakes,
            requests: seen.requests.len(),
            outcomes,
        })
    }

    fn fill(&self, invocation: &Invocation) -> Result<(), Box<dyn Error>> {
        self.scene.simulator.reset();
        for bucket in &invocation.buckets {
            let seed = Seed::bucket(&bucket.region, &bucket.name);
            let seed = bucket.keys.iter().fold(seed, |seed, key| seed.key(key.as_str()));
            self.scene.simulator.seed(seed)?;
        }
        Ok(())
    }

    fn command(&self, program: &Program, endpoint: &str, api: &RuntimeApi) -> Result<Command, Box<dyn Error>> {
        let (path, arguments) = program.command.split_first().ok_or("the command is empty")?;
        let log = File::create(self.log())?;
        let file = |name| self.directory.join(name);
        let mut command = Command::new(path);
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(Settings::new(endpoint).environment())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("AWS_DEFAULT_REGION", REGION)
            // As the template sets it up.
            .env("RECORD_BUS", "records")
            .env("AWS_ENDPOINT_URL_EVENTBRIDGE", endpoint)
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/responder")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "stand")
            // Of the SDK for Rust, of boto3, and of the floor.
            .env("SSL_CERT_FILE", file("trusted.pem"))
            .env("AWS_CA_BUNDLE", file("trusted.pem"))
            .env("BENCH_CA_FILE", file("authority.pem"))
            .envs(&program.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    fn log(&self) -> PathBuf {
        self.directory.join("output.txt")
    }

    /// The error of a program that does not do what is waited for, with what it wrote.
    fn silent(&self, what: &str, program: &Program) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        format!("{:?} {what} within {} s; it wrote\n{text}", program.command, PATIENCE.as_secs())
    }
}

/// What there was before a program began.
struct Exec {
    /// When it took the process over.
    start: Instant,
    /// What forking had cost until then.
    cpu_us: u64,
}

/// Starts a process. What comes before exec(2), such as entering a control group, is no work of the program's.
fn spawn(mut command: Command, throttle: Option<&Throttle>) -> io::Result<(Child, Exec)> {
    let (mut reader, mut writer) = io::pipe()?;
    let mut door = throttle.map(Throttle::door).transpose()?;
    let forked = Instant::now();
    let before_exec = move || {
        if let Some(door) = &mut door {
            door.write_all(b"0")?;
        }
        let mut schedstat = [0; 64];
        let count = File::open("/proc/self/schedstat")?.read(&mut schedstat)?;
        let digits = schedstat[..count].iter().take_while(|byte| byte.is_ascii_digit());
        let cpu_ns = digits.fold(0, |number: u64, digit| number * 10 + u64::from(digit - b'0'));
        let micros = u64::try_from(forked.elapsed().as_micros()).unwrap_or(u64::MAX);
        writer.write_all(&micros.to_ne_bytes())?;
        writer.write_all(&(cpu_ns / 1_000).to_ne_bytes())
    };
    // SAFETY: between fork and exec this opens, reads and writes files, which signal-safety(7) allows; it allocates nothing.
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn()?;
    drop(command);
    let (mut micros, mut cpu_us) = ([0; 8], [0; 8]);
    reader.read_exact(&mut micros)?;
    reader.read_exact(&mut cpu_us)?;
    let start = forked + Duration::from_micros(u64::from_ne_bytes(micros));
    Ok((child, Exec { start, cpu_us: u64::from_ne_bytes(cpu_us) }))
}

/// Waits until no thread of the process has anything left to do.
async fn asleep(process: u32) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut before = None;
    while begun.elapsed() < PATIENCE {
        let used = Usage::of(process)?.cpu_us;
        // A thread that waits for a processor is not asleep, however long it waits.
        if Usage::is_asleep(process)? && before == Some(used) {
            return Ok(());
        }
        before = Some(used);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("its threads never slept".into())
}

/// Ends a program by SIGTERM, on which a tool around the program writes its counts.
async fn end(child: &mut Child) -> Result<(), Box<dyn Error>> {
    let process = child.id().ok_or("it ended")?;
    Command::new("kill").arg(process.to_string()).status().await?;
    timeout(PATIENCE, child.wait()).await.map_err(|_| io::Error::other("it did not end at SIGTERM"))??;
    Ok(())
}

fn event(number: usize, invocation: &Invocation) -> Result<Event, Box<dyn Error>> {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH)? + PATIENCE;
    Ok(Event {
        request_id: format!("8476a536-e9f4-11e8-9739-{number:012}"),
        payload: invocation.event.to_string(),
        deadline_ms: u64::try_from(deadline.as_millis())?,
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
