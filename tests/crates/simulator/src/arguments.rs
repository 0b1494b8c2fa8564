//! Turns the arguments of the binary into [`Settings`].
//!
//! They are few and flat, so they are read by hand: each takes one value, as the next argument.

use lightsail_simulator::{Dialect, DialectError, Region, Settings, Tag};

const ARGUMENTS: &str = "\
A simulator of the bucket operations of Amazon Lightsail.

Usage: lightsail-simulator [OPTIONS]

  --listen ADDRESS:PORT     where to listen, loopback only; port 0 takes any [127.0.0.1:4599]
  --account ID              account of callers that name none [012345678912]
  --secret-access-key S     refuse requests that are not signed with this secret
  --page-size N             entries on a page of a list [20]
  --done-at-poll N          the GetOperation that finds an operation done; 0: done at once [1]
  --latency-ms N            hold up every request so many milliseconds [0]
  --keep-alive yes|no       whether a connection can carry more than one request [yes]
  --regions NAME,...        the Regions that Lightsail has; NAME:disabled refuses credentials
                            [the 19 that botocore has endpoints for]
  --denied-tag KEY=VALUE    refuse to delete keys of buckets with this tag, as a Deny would
  --dialect NAME=VALUE,...  how to behave where AWS has not published how AWS does [default]
  --help                    this text

Settings of --dialect, the default first:
";

const NAMES: [&str; 10] = [
    "--listen",
    "--account",
    "--secret-access-key",
    "--page-size",
    "--done-at-poll",
    "--latency-ms",
    "--keep-alive",
    "--regions",
    "--denied-tag",
    "--dialect",
];

/// What was asked for.
pub(crate) enum Asked {
    /// To run.
    Run(Settings),
    /// For [`help`].
    Help,
}

/// Why the arguments cannot be meant.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("unknown argument `{0}`, expected {names} or --help", names = NAMES.join(", "))]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{name} cannot be `{value}`: {expected} is accepted")]
    BadValue { name: String, value: String, expected: &'static str },
    #[error("--dialect: {0}")]
    Dialect(#[from] DialectError),
}

/// Text of `--help`.
pub(crate) fn help() -> String {
    let settings = Dialect::SETTINGS.iter().map(|(name, values)| format!("  {name:<24}  {}\n", values.join(", ")));
    format!("{ARGUMENTS}{}", settings.collect::<String>())
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Asked, ArgumentError> {
    let mut settings = Settings { bind: ([127, 0, 0, 1], 4599).into(), ..Settings::default() };
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        if name == "--help" {
            return Ok(Asked::Help);
        }
        if !NAMES.contains(&name.as_str()) {
            return Err(ArgumentError::Unknown(name));
        }
        let value = arguments.next().ok_or_else(|| ArgumentError::NoValue(name.clone()))?;
        let bad = |expected| ArgumentError::BadValue { name: name.clone(), value: value.clone(), expected };
        match name.as_str() {
            "--listen" => settings.bind = value.parse().map_err(|_| bad("ADDRESS:PORT"))?,
            "--account" => settings.account = value,
            "--page-size" => settings.page_size = value.parse().map_err(|_| bad("a number"))?,
            "--done-at-poll" => settings.done_at_poll = value.parse().map_err(|_| bad("a number"))?,
            "--latency-ms" => settings.latency_ms = value.parse().map_err(|_| bad("a number"))?,
            "--keep-alive" => {
                settings.keep_alive = match value.as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(bad("yes or no")),
                }
            }
            "--regions" => settings.regions = value.split(',').map(region).collect(),
            "--denied-tag" => settings.denied_tag = Some(tag(&value).ok_or_else(|| bad("KEY=VALUE"))?),
            "--dialect" => settings.dialect = value.parse()?,
            _ => settings.secret_access_key = Some(value),
        }
    }
    Ok(Asked::Run(settings))
}

fn region(text: &str) -> Region {
    text.strip_suffix(":disabled").map_or_else(|| Region::new(text), |name| Region::new(name).disabled())
}

fn tag(text: &str) -> Option<Tag> {
    let (key, value) = text.split_once('=')?;
    Some(Tag { key: key.to_owned(), value: value.to_owned() })
}
