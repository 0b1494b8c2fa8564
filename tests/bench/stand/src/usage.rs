//! What a process has used, as the kernel counts it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// Of all threads of a process that are alive.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Time on a processor, in microseconds (proc(5): schedstat, first number).
    pub cpu_us: u64,
    /// Most memory that was resident, in kB (proc(5): status, VmHWM).
    pub peak_kb: u64,
    /// Pages that were mapped when they were first touched (proc(5): stat, minflt).
    pub page_faults: u64,
}

impl Usage {
    /// Of this process, now.
    pub fn of(process: u32) -> io::Result<Self> {
        let process = Path::new("/proc").join(process.to_string());
        let mut cpu = Duration::ZERO;
        for thread in fs::read_dir(process.join("task"))? {
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            let time = text.split(' ').next().and_then(|time| time.parse().ok());
            cpu += Duration::from_nanos(time.ok_or_else(|| unknown("schedstat", &text))?);
        }
        let status = fs::read_to_string(process.join("status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak_kb = peak.and_then(|peak| peak.parse().ok()).ok_or_else(|| unknown("status", &status))?;
        let stat = fs::read_to_string(process.join("stat"))?;
        // After the name, which may have anything in it, the fields begin with the third.
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
        let faults = fields.and_then(|mut fields| fields.nth(10 - 3)?.parse().ok());
        let page_faults = faults.ok_or_else(|| unknown("stat", &stat))?;
        Ok(Self { cpu_us: u64::try_from(cpu.as_micros()).map_err(io::Error::other)?, peak_kb, page_faults })
    }

    /// Returns whether all threads of this process sleep (proc(5): stat, state "S").
    pub fn is_asleep(process: u32) -> io::Result<bool> {
        for thread in fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"))? {
            let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
            // After the name, which may contain anything.
            let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
            if state.ok_or_else(|| unknown("stat", &stat))? != 'S' {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Without so much time on a processor, which was there before.
    pub fn without(self, cpu_us: u64) -> Self {
        Self { cpu_us: self.cpu_us.saturating_sub(cpu_us), ..self }
    }
}

fn unknown(file: &str, text: &str) -> io::Error {
    io::Error::other(format!("{file} is not as in proc(5): {text}"))
}
