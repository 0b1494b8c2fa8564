//! One process of the function, with its Runtime API and its log.
//!
//! The log is an unlinked file instead of a pipe. It keeps what a process wrote before it was killed, it needs no
//! concurrent reader, and it has the record as soon as the answer is posted.
//!
//! Invariant: the child's environment has only the given variables and the search path. The child does not outlive its
//! [`Process`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::process::{Child, Command};

use crate::runtime_api::{Event, Moment, RuntimeApi};

const PROGRAM: &str = "RESPONDER_BOOTSTRAP";

pub(crate) struct Process {
    pub(crate) api: RuntimeApi,
    child: Child,
    log: Log,
}

/// Standard output and standard error of a process.
struct Log {
    file: File,
    read: u64,
}

/// Returns the path of the built function: `RESPONDER_BOOTSTRAP`, or else the binary that cargo puts beside the tests.
pub(crate) fn program() -> io::Result<PathBuf> {
    let path = match std::env::var_os(PROGRAM) {
        Some(path) => PathBuf::from(path),
        None => {
            let test = std::env::current_exe()?;
            let profile = test.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
            profile.unwrap_or(Path::new(".")).join("bootstrap")
        }
    };
    if path.is_file() { Ok(path) } else { Err(missing(&path)) }
}

fn missing(path: &Path) -> io::Error {
    let text = format!("{} is missing: `cargo build --workspace --bins` makes it, or set {PROGRAM}", path.display());
    io::Error::new(io::ErrorKind::NotFound, text)
}

impl Process {
    /// Starts the program with one event in its Runtime API.
    pub(crate) async fn start(
        program: &Path,
        variables: &[(String, String)],
        event: Event,
        hold: Option<Moment>,
    ) -> io::Result<Self> {
        let api = RuntimeApi::start().await?;
        api.begin(event, hold);
        let log = Log::new()?;
        let child = Command::new(program)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .stdin(Stdio::null())
            .stdout(log.file.try_clone()?)
            .stderr(log.file.try_clone()?)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { api, child, log })
    }

    /// Returns the process ID, or `None` after the process ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself.
    pub(crate) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends `kill -9` and waits until the process is gone. Does nothing if the process has already ended.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        match self.child.id() {
            Some(_) => self.child.kill().await,
            None => Ok(()),
        }
    }

    /// Returns the complete lines that were written since the last call.
    pub(crate) fn new_lines(&mut self) -> io::Result<Vec<String>> {
        self.log.new_lines()
    }
}

impl Log {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("responder-harness-{}-{number}.log", std::process::id()));
        // The file is in append mode, because standard output and standard error write to it concurrently.
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { file, read: 0 })
    }

    fn new_lines(&mut self) -> io::Result<Vec<String>> {
        let mut bytes = Vec::new();
        let mut part = [0; 1 << 14];
        loop {
            let position = self.read + u64::try_from(bytes.len()).map_err(io::Error::other)?;
            match self.file.read_at(&mut part, position)? {
                0 => break,
                count => bytes.extend(part.iter().take(count)),
            }
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(whole);
        self.read += u64::try_from(whole).map_err(io::Error::other)?;
        Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn missing_program_error_explains_how_to_build() {
        let text = missing(Path::new("target/debug/bootstrap")).to_string();
        assert!(
            text.starts_with("target/debug/bootstrap is missing: `cargo build --workspace --bins` makes it"),
            "{text}"
        );
    }

    #[test]
    fn log_returns_each_complete_line_once() {
        let mut log = Log::new().unwrap();
        let mut writer = log.file.try_clone().unwrap();
        writer.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(log.new_lines().unwrap(), ["one", "two"]);
        assert!(log.new_lines().unwrap().is_empty());
        writer.write_all(b"ee\n").unwrap();
        assert_eq!(log.new_lines().unwrap(), ["three"]);
    }
}
