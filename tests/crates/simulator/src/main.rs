//! The simulator as a program: reads its arguments, says where it listens, and runs until it is
//! told to stop (SIGINT or SIGTERM).
//!
//! Exit codes: 0 when told to stop, 1 when it cannot run, 2 when the arguments cannot be meant.

mod arguments;

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
};

use lightsail_simulator::{Settings, Simulator};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Asked, help};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match arguments::parse(env::args().skip(1)) {
        Ok(Asked::Run(settings)) => run(settings).await,
        Ok(Asked::Help) => say(&help()),
        Err(error) => {
            complain(&error);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            // Settings that parse and still cannot be meant, such as a public address.
            if error.kind() == io::ErrorKind::InvalidInput { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn run(settings: Settings) -> io::Result<()> {
    // Before the line that says it listens, since whoever reads that may signal at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let simulator = Simulator::start_with(settings).await?;
    say(&format!("lightsail-simulator listening on {}\n", simulator.endpoint()))?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn say(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// When nobody can be told, there is nothing left to do about it.
fn complain(error: &impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "lightsail-simulator: {error}");
}
