//! The share of a processor that Lambda gives a function, as a quota of the kernel's scheduler.
//!
//! 1,769 MB are one vCPU, and less is less in proportion (Lambda guide, "Configure Lambda function memory"); INIT has a whole
//! one at any size, so that nothing is limited there. AWS does not say over which period it shares out: 20 ms is assumed. With
//! a longer one more work fits in before the first pause, and a pause is longer.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBER: AtomicU64 = AtomicU64::new(0);

const PERIOD_US: u64 = 20_000;
const MB_PER_PROCESSOR: u64 = 1_769;

/// A control group for one process: what an earlier one has used up must not count. Gone when it is dropped.
pub struct Throttle {
    group: PathBuf,
    quota: Quota,
}

/// How a kernel is told.
enum Quota {
    /// cgroups(7), version 1: two files.
    First,
    /// Version 2: one file.
    Second,
}

impl Throttle {
    /// Makes the group, without a limit yet: there is none in INIT. The error says what this machine does not allow.
    pub fn new() -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let (root, quota) = if root.join("cgroup.controllers").exists() {
            // Children have a quota only where their parent hands it on; if it does already, writing changes nothing.
            fs::write(root.join("cgroup.subtree_control"), "+cpu").map_err(not_allowed)?;
            (root.to_owned(), Quota::Second)
        } else {
            (root.join("cpu"), Quota::First)
        };
        let group = root.join(format!("bench-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&group).map_err(not_allowed)?;
        Ok(Self { group, quota })
    }

    /// The share of a function with so much memory.
    pub fn share_of(&self, memory_mb: u64) -> io::Result<()> {
        let quota_us = PERIOD_US * memory_mb / MB_PER_PROCESSOR;
        match self.quota {
            Quota::First => {
                fs::write(self.group.join("cpu.cfs_period_us"), PERIOD_US.to_string()).map_err(not_allowed)?;
                fs::write(self.group.join("cpu.cfs_quota_us"), quota_us.to_string()).map_err(not_allowed)
            }
            Quota::Second => {
                fs::write(self.group.join("cpu.max"), format!("{quota_us} {PERIOD_US}")).map_err(not_allowed)
            }
        }
    }

    /// Where a process writes `0` to come under the limit.
    pub fn door(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.group.join("cgroup.procs")).map_err(not_allowed)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // A group that still has a process stays behind, and says so by its name.
        let _ = fs::remove_dir(&self.group);
    }
}

fn not_allowed(why: io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("this machine does not let us set a CPU quota: {why}"))
}
