//! Directory of published events and its `manifest.tsv` -> a confusion table, and a line for every event whose parse
//! result differs from the manifest. `make corpus CORPUS_DIR=...` runs it.
//!
//! The events belong to other projects, so they are not in this repository. This is a program and not a test, because
//! it needs a directory and fails without it. Expected are the keys that the manifest calls compromised or suspiciously
//! used and that can be keys of a Lightsail bucket, with the buckets named beside them. Any other exposed key is wrong.
//! The exit code is 0 if nothing is wrong, 1 if something is, and 2 if the check itself failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io, panic};

use lightsail_key_responder::alert::envelope::{self, Delivery};
use lightsail_key_responder::alert::{self, Alert, Unactionable};
use serde_json::{Value, json};

/// Used columns of the manifest, and their total number.
const FILE: usize = 0;
const FORMAT: usize = 1;
const KEYS: usize = 5;
const BUCKETS: usize = 6;
const MAX_NOTES: usize = 7;
const COLUMNS: usize = 8;

/// Default of MAX_KEYS_PER_ALERT.
const MAX_KEYS: usize = 20;

fn main() -> ExitCode {
    let directory = env::args_os().nth(1);
    let report = match directory {
        Some(directory) => measure(Path::new(&directory)),
        None => Err("a directory is required: corpus DIR".to_owned()),
    };
    let (text, code) = match report {
        Ok(report) => (report.to_string(), u8::from(report.wrong())),
        Err(reason) => (format!("corpus: {reason}\n"), 2),
    };
    let written =
        if code == 2 { io::stderr().write_all(text.as_bytes()) } else { io::stdout().write_all(text.as_bytes()) };
    ExitCode::from(if written.is_ok() { code } else { 2 })
}

/// Parses every event of the manifest, bare and in its envelope.
fn measure(directory: &Path) -> Result<Report, String> {
    let manifest = directory.join("manifest.tsv");
    let text = fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let mut report = Report::default();
    for (index, line) in text.lines().enumerate().skip(1) {
        let row = Row::parse(line).map_err(|reason| format!("{}, line {}: {reason}", manifest.display(), index + 1))?;
        let file = directory.join(row.file);
        let payload = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        report.add(&row, &payload);
    }
    if report.formats.is_empty() {
        return Err(format!("{} names no event", manifest.display()));
    }
    Ok(report)
}

/// Expected parse result of one event.
struct Row<'a> {
    file: &'a str,
    format: &'a str,
    keys: BTreeSet<String>,
    buckets: BTreeSet<String>,
    role_unknown: bool,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Result<Self, String> {
        let columns: Vec<&str> = line.split('\t').collect();
        if columns.len() != COLUMNS {
            return Err(format!("{} columns, not {COLUMNS}", columns.len()));
        }
        let names = |column: usize| columns[column].split(',').map(str::trim).filter(|name| !name.is_empty());
        let role =
            columns[MAX_NOTES].strip_prefix("key_role=").map(|notes| notes.split(';').next().unwrap_or(notes).trim());
        let named = names(KEYS).next().is_some();
        let (exposed, role_unknown) = match role {
            Some("compromised" | "suspicious-use") => (true, false),
            Some("actor-only") => (false, false),
            Some("unknown") => (false, true),
            None if !named => (false, false),
            other => return Err(format!("keys without a known role: {}", other.unwrap_or("none"))),
        };
        let keys = names(KEYS).filter(|key| exposed && is_long_term_key(key)).map(str::to_owned).collect();
        let buckets = names(BUCKETS).filter(|name| is_bucket(name)).map(str::to_owned).collect();
        Ok(Self { file: columns[FILE], format: columns[FORMAT], keys, buckets, role_unknown })
    }
}

/// Tests for a long-term key without `names`, which is under test.
fn is_long_term_key(text: &str) -> bool {
    text.len() == 20 && text.starts_with("AKIA") && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn is_bucket(text: &str) -> bool {
    let inner = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    inner && (3..=54).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

#[derive(Default)]
struct Report {
    wrong: Vec<String>,
    formats: BTreeMap<String, Counts>,
    ends: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    files: usize,
    readings: usize,
    unknown: usize,
    expected: usize,
    found: usize,
    missed: usize,
    extra: usize,
    buckets_wrong: usize,
    ignored: usize,
    unreadable: usize,
    too_many: usize,
    contradicted: usize,
    faults: usize,
}

impl Report {
    fn add(&mut self, row: &Row<'_>, payload: &str) {
        let counts = self.formats.entry(row.format.to_owned()).or_default();
        counts.files += 1;
        counts.unknown += usize::from(row.role_unknown);
        self.read(row, "as published", payload);
        let kind = row.file.split('/').next().unwrap_or_default();
        if is_bare(kind) {
            match wrapped(kind, payload) {
                Ok(payload) => self.read(row, "in its EventBridge event", &payload),
                Err(reason) => self.fault(row, "in its EventBridge event", &reason),
            }
        }
    }

    fn read(&mut self, row: &Row<'_>, way: &str, payload: &str) {
        let Ok(alerts) = panic::catch_unwind(|| read(payload)) else {
            return self.fault(row, way, "the reader panicked");
        };
        if alerts.is_empty() {
            self.fault(row, way, "no alert, so there would be no record");
        }
        let exposures: Vec<_> = alerts.iter().filter_map(|alert| alert.exposures.as_ref().ok()).flatten().collect();
        let found: BTreeSet<String> = exposures.iter().map(|exposure| exposure.key.to_string()).collect();
        let hints: BTreeSet<String> =
            exposures.iter().flat_map(|exposure| &exposure.hints).map(|hint| hint.bucket.to_string()).collect();
        let missed: Vec<&String> = row.keys.difference(&found).collect();
        let extra: Vec<&String> = found.difference(&row.keys).collect();
        // Buckets are hints to a key, so without an expected key only the missed key is reported.
        let buckets_wrong = !row.keys.is_disjoint(&found) && hints != row.buckets;

        let mut lines = Vec::new();
        if !missed.is_empty() {
            lines.push(format!("missed key {missed:?}; read instead: {}", ends(&alerts)));
        }
        if !extra.is_empty() {
            lines.push(format!("extra key {extra:?}"));
        }
        if buckets_wrong {
            lines.push(format!("wrong buckets {hints:?}, expected {:?}", row.buckets));
        }
        self.wrong.extend(lines.into_iter().map(|line| format!("{} ({way}): {line}", row.file)));

        let counts = self.formats.entry(row.format.to_owned()).or_default();
        counts.readings += 1;
        counts.expected += row.keys.len();
        counts.found += row.keys.len() - missed.len();
        counts.missed += missed.len();
        counts.extra += extra.len();
        counts.buckets_wrong += usize::from(buckets_wrong);
        for alert in &alerts {
            match &alert.exposures {
                Ok(_) => {}
                Err(Unactionable::Ignored(_)) => counts.ignored += 1,
                Err(Unactionable::Unreadable(_)) => counts.unreadable += 1,
                Err(Unactionable::TooMany(_)) => counts.too_many += 1,
                Err(Unactionable::Contradicted(_)) => counts.contradicted += 1,
            }
            *self.ends.entry(end(alert)).or_default() += 1;
        }
    }

    fn fault(&mut self, row: &Row<'_>, way: &str, reason: &str) {
        self.formats.entry(row.format.to_owned()).or_default().faults += 1;
        self.wrong.push(format!("{} ({way}): {reason}", row.file));
    }

    fn wrong(&self) -> bool {
        !self.wrong.is_empty()
    }
}

fn read(payload: &str) -> Vec<Alert> {
    match envelope::open(payload) {
        Delivery::Together(messages) => alert::read(&messages, MAX_KEYS, None),
        Delivery::Queue(items) => items.iter().flat_map(|item| alert::read(&item.messages, MAX_KEYS, None)).collect(),
    }
}

/// Tests for a kind of event that the corpus has without its envelope.
fn is_bare(kind: &str) -> bool {
    kind == "ocsf-finding" || ["raw", "detail", "record", "asff"].iter().any(|word| kind.contains(word))
}

/// Wraps a bare event in its EventBridge event.
fn wrapped(kind: &str, payload: &str) -> Result<String, String> {
    let bare: Value = serde_json::from_str(payload).map_err(|error| format!("cannot be wrapped: {error}"))?;
    let findings = |bare: Value| json!({"findings": if bare.is_array() { bare } else { json!([bare]) }});
    let event = match kind {
        "asff" => event("aws.securityhub", "Security Hub Findings - Imported", &findings(bare)),
        "ocsf-finding" => event("aws.securityhub", "Findings Imported V2", &findings(bare)),
        _ if kind.starts_with("guardduty-") => event("aws.guardduty", "GuardDuty Finding", &bare),
        _ if kind.starts_with("health-") => event("aws.health", "AWS Health Event", &bare),
        _ if kind.starts_with("trustedadvisor-") => {
            event("aws.trustedadvisor", "Trusted Advisor Check Item Refresh Notification", &bare)
        }
        _ if kind.starts_with("cloudtrail-") => {
            let records = bare.get("Records").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![bare]);
            let service = |record: &Value| {
                let source = record.get("eventSource").and_then(Value::as_str).unwrap_or_default();
                format!("aws.{}", source.split('.').next().unwrap_or_default())
            };
            records.iter().map(|record| event(&service(record), "AWS API Call via CloudTrail", record)).collect()
        }
        _ => return Err(format!("bare, and no envelope is known for a {kind}")),
    };
    Ok(event.to_string())
}

/// Makes an EventBridge event. Its account and Region are those of the delivery, and differ from the finding's.
fn event(source: &str, detail_type: &str, detail: &Value) -> Value {
    json!({
        "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718", "detail-type": detail_type, "source": source,
        "account": "999999999999", "time": "2026-11-24T03:00:00Z", "region": "us-west-2", "resources": [], "detail": detail
    })
}

/// Returns the result of an alert and the name of the reason.
fn end(alert: &Alert) -> String {
    let (outcome, reason) = match &alert.exposures {
        Ok(_) => return "exposed".to_owned(),
        Err(Unactionable::TooMany(_)) => return "too many keys".to_owned(),
        Err(Unactionable::Contradicted(reason)) => ("contradicted", format!("{:?}", reason.0)),
        Err(Unactionable::Ignored(reason)) => ("ignored", format!("{reason:?}")),
        Err(Unactionable::Unreadable(reason)) => ("unreadable", format!("{reason:?}")),
    };
    format!("{outcome}: {}", reason.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
}

fn ends(alerts: &[Alert]) -> String {
    let describe = |alert: &Alert| match &alert.exposures {
        Ok(_) => "exposed another key".to_owned(),
        Err(reason) => format!("{}: {}", end(alert), reason.to_string().chars().take(160).collect::<String>()),
    };
    alerts.iter().map(describe).collect::<Vec<_>>().join("; ")
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut total = Counts::default();
        let mut table = format!("{:28}{}", "format", Counts::HEADER);
        for (format, counts) in &self.formats {
            write!(table, "\n{format:28}{counts}")?;
            total.add(counts);
        }
        write!(table, "\n{:28}{total}", "total")?;
        for line in &self.wrong {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{}{table}\n\nhow readings ended:", if self.wrong() { "\n" } else { "" })?;
        for (end, count) in &self.ends {
            writeln!(f, "{count:6}  {end}")?;
        }
        writeln!(f, "\nwrong lines: {}", self.wrong.len())
    }
}

impl Counts {
    const HEADER: &str =
        " files readings expected  found missed  extra buckets-wrong ignored unreadable too-many faults unknown-role";

    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.readings += other.readings;
        self.unknown += other.unknown;
        self.expected += other.expected;
        self.found += other.found;
        self.missed += other.missed;
        self.extra += other.extra;
        self.buckets_wrong += other.buckets_wrong;
        self.ignored += other.ignored;
        self.unreadable += other.unreadable;
        self.too_many += other.too_many;
        self.faults += other.faults;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6}{:9}{:9}{:7}", self.files, self.readings, self.expected, self.found)?;
        write!(f, "{:7}{:7}{:14}", self.missed, self.extra, self.buckets_wrong)?;
        write!(f, "{:8}{:11}{:9}{:7}{:13}", self.ignored, self.unreadable, self.too_many, self.faults, self.unknown)
    }
}
