//! The test stand of `make bench`: a plan on standard input -> what each start of a program took, one line of JSON each.
//!
//! ```text
//! stand --start--> program --GET next--> Runtime API        stamps: start, first next, delete seen, answer
//!                     |
//!                     +------TLS-------> Front --> simulator
//! ```
//!
//! Whoever measures, and what, is `bench.py`'s. One thread does all of this, so that on two processors the program has the
//! other one. Invariant: what is printed was seen from outside the program, at a socket or in /proc; nothing is asked of it.

mod front;
mod plan;
mod start;
mod throttle;
mod usage;

use std::error::Error;
use std::io::{Read, Write, stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use responder_harness::Authority;

use crate::plan::Plan;
use crate::start::Stand;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("stand: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: stand DIRECTORY < PLAN")?);
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let plan: Plan = serde_json::from_str(&text).map_err(|why| format!("the plan cannot be read: {why}"))?;
    let stand = Stand::new(directory, &Authority::new()?, &plan).await?;
    // Side by side: one start of each, and then the next of each, so that what disturbs the machine disturbs all. Each round
    // begins with another one: what a program leaves behind in the processor's caches is the next one's.
    for round in 0..plan.starts {
        let (last, first) = plan.programs.split_at(round % plan.programs.len().max(1));
        for program in first.iter().chain(last) {
            let seen = stand.start(&plan, program).await.map_err(|why| format!("{}: {why}", program.name))?;
            let line = serde_json::json!({"program": program.name, "round": round, "seen": seen});
            writeln!(stdout(), "{line}")?;
        }
    }
    Ok(())
}
