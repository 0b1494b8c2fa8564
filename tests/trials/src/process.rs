//! One process of the function, with the Runtime API that it speaks to and the log that it writes.
//!
//! The log is a file without a name and not a pipe: what a process wrote before it was killed is in it, nobody has to
//! read all the time, and when an answer has been posted its record is there. Invariant: the child's environment is what
//! is given to it and nothing of ours but the search path, and it does not outlive its [`Process`].

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

/// What a process writes to standard output and standard error.
struct Log {
    file: File,
    read: u64,
}

/// The built function: `RESPONDER_BOOTSTRAP`, or the one that cargo puts beside the tests.
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
    /// Starts the program with an event waiting for it.
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

    /// None when it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Until it ends by itself.
    pub(crate) async fn end(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// `kill -9`, and the process is gone when this returns. One that has ended already is left as it is.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        match self.child.id() {
            Some(_) => self.child.kill().await,
            None => Ok(()),
        }
    }

    /// The whole lines that were written since the last call.
    pub(crate) fn new_lines(&mut self) -> io::Result<Vec<String>> {
        self.log.new_lines()
    }
}

impl Log {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("responder-trials-{}-{number}.log", std::process::id()));
        // Appending, since standard output and standard error write to it side by side.
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
    fn a_program_that_is_missing_is_an_error_that_says_how_to_make_it() {
        let text = missing(Path::new("target/debug/bootstrap")).to_string();
        assert!(
            text.starts_with("target/debug/bootstrap is missing: `cargo build --workspace --bins` makes it"),
            "{text}"
        );
    }

    #[test]
    fn a_log_gives_whole_lines_once_and_keeps_a_half_one_for_later() {
        let mut log = Log::new().unwrap();
        let mut writer = log.file.try_clone().unwrap();
        writer.write_all(b"one\ntwo\nthr").unwrap();
        assert_eq!(log.new_lines().unwrap(), ["one", "two"]);
        assert!(log.new_lines().unwrap().is_empty());
        writer.write_all(b"ee\n").unwrap();
        assert_eq!(log.new_lines().unwrap(), ["three"]);
    }
}
