//! When things go wrong: a [`Script`] says which requests a fault befalls, and [`Scripts`] picks
//! the one for each request.
//!
//! A script that could never come true is refused when it is handed in. Otherwise a test of it
//! would pass without having tested anything.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    fault::Fault,
    operation::{Operation, UnknownOperation},
    region::Regions,
};

/// Which requests a fault befalls. Scripts queue up: of those that match a request, the first
/// that is not used up applies, and only that one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    /// How many matching requests go by before the first is hit.
    #[serde(default)]
    skip: u32,
    #[serde(default)]
    count: Count,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    fault: Fault,
}

/// How many requests are hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    Times(u32),
    Every,
}

impl Script {
    /// The fault befalls the next request of this operation: an [`Operation`] or its name.
    pub fn new(operation: impl ToString, fault: Fault) -> Self {
        Self {
            operation: operation.to_string(),
            region: None,
            skip: 0,
            count: Count::default(),
            latency_ms: None,
            fault,
        }
    }

    /// Hits all matching requests, for ever.
    #[must_use]
    pub fn every(mut self) -> Self {
        self.count = Count::Every;
        self
    }

    /// Hits so many matching requests instead of one.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.count = Count::Times(count);
        self
    }

    /// Lets so many matching requests go by first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Hits only requests in this Region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// Holds a hit request up before the fault, so many milliseconds.
    #[must_use]
    pub fn late_by(mut self, milliseconds: u64) -> Self {
        self.latency_ms = Some(milliseconds);
        self
    }

    fn check(&self, regions: &Regions) -> Result<Operation, ScriptError> {
        let operation: Operation = self.operation.parse()?;
        if let Some(region) = self.region.as_deref().filter(|region| !regions.has(region)) {
            return Err(ScriptError::Region { region: region.to_owned(), known: regions.names() });
        }
        if self.count == Count::Times(0) {
            return Err(ScriptError::Never);
        }
        let fits = match self.fault {
            Fault::OperationPending { .. } | Fault::OperationStatus { .. } => operation.starts_an_operation(),
            Fault::NoOperations => operation.starts_an_operation() || operation == Operation::GetOperations,
            Fault::OperationFailed { .. } => {
                matches!(operation, Operation::DeleteBucket | Operation::DeleteBucketAccessKey)
            }
            Fault::StillListed { .. } => operation == Operation::DeleteBucketAccessKey,
            // Errors that only Lightsail has.
            Fault::NotFound | Fault::DoesNotExist | Fault::RegionSetupInProgress => operation != Operation::AssumeRole,
            _ => true,
        };
        if !fits {
            return Err(ScriptError::Pointless { kind: self.fault.kind(), operation });
        }
        match self.fault {
            Fault::HttpStatus { status } | Fault::Error { status: Some(status), .. }
                if !(400..600).contains(&status) =>
            {
                Err(ScriptError::Status { status })
            }
            Fault::Slow { bytes_per_second: 0 } => Err(ScriptError::Standstill),
            _ => Ok(operation),
        }
    }
}

/// Why a script is refused. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The simulator does not have the operation.
    #[error(transparent)]
    Operation(#[from] UnknownOperation),
    /// Lightsail does not have the Region.
    #[error("unknown region `{region}`, expected one of {known}")]
    Region {
        /// As it was given.
        region: String,
        /// Names of the Regions that it has.
        known: String,
    },
    /// The script would hit no request at all.
    #[error("a count of 0 hits nothing: leave it out for once, or say \"every\"")]
    Never,
    /// The fault bends something that the operation's answer does not have.
    #[error("the fault `{kind}` means nothing for {operation}, whose answer has nothing for it to bend")]
    Pointless {
        /// The kind of the fault.
        kind: &'static str,
        /// The operation that it was meant for.
        operation: Operation,
    },
    /// The status is not one of an error.
    #[error("the status {status} is not one of an error: 400 to 599 are")]
    Status {
        /// As it was given.
        status: u16,
    },
    /// No bytes in a second is not slow but `never_ends`.
    #[error("`bytes_per_second` must be at least 1; for silence there is `never_ends`")]
    Standstill,
}

/// The scripts that wait, in the order in which they were handed in.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    queue: Vec<(Operation, Script)>,
}

/// What a script wants of one request.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) fault: Fault,
    latency_ms: u64,
}

impl Drawn {
    /// The milliseconds to wait first: the script's own, and those of a fault that is nothing
    /// else.
    pub(crate) fn latency(&self) -> u64 {
        let own = if let Fault::Latency { ms } = self.fault { ms } else { 0 };
        self.latency_ms.saturating_add(own)
    }
}

impl Scripts {
    pub(crate) fn add(&mut self, script: Script, regions: &Regions) -> Result<(), ScriptError> {
        self.queue.push((script.check(regions)?, script));
        Ok(())
    }

    /// What is to befall this request. A script that lets it go by leaves it to those behind.
    pub(crate) fn draw(&mut self, operation: Operation, region: &str) -> Option<Drawn> {
        let mut hit = None;
        for (index, (wanted, script)) in self.queue.iter_mut().enumerate() {
            if *wanted != operation || script.region.as_deref().is_some_and(|wanted| wanted != region) {
                continue;
            }
            if script.skip > 0 {
                script.skip -= 1;
                continue;
            }
            if let Count::Times(left) = &mut script.count {
                *left -= 1;
            }
            hit = Some((index, script.clone()));
            break;
        }
        let (index, script) = hit?;
        if script.count == Count::Times(0) {
            self.queue.remove(index);
        }
        Some(Drawn { fault: script.fault, latency_ms: script.latency_ms.unwrap_or_default() })
    }

    /// The scripts that are not used up, for the state.
    pub(crate) fn waiting(&self) -> Vec<&Script> {
        self.queue.iter().map(|(_, script)| script).collect()
    }
}

impl Default for Count {
    fn default() -> Self {
        Self::Times(1)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Times(count) => serializer.serialize_u32(*count),
            Self::Every => serializer.serialize_str("every"),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Ok(Self::Every),
            serde_json::Value::String(text) if text == "every" => Ok(Self::Every),
            other => serde_json::from_value(other)
                .map(Self::Times)
                .map_err(|_| serde::de::Error::custom("`count` must be a number, \"every\" or null")),
        }
    }
}
