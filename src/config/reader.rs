//! Parses each variable: its grammar, and its default when it is not set.
//!
//! Invariant: an invalid value is a [`Problem`] with the variable, the value and the accepted values. The placeholder
//! that is returned instead is never used.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;

use super::{Endpoints, MemberRole, OURS, Problem};
use crate::deadline::Timeouts;
use crate::names::{AccountId, BucketName, Region};
use crate::policy::Mode;
use crate::regions::REGIONS;

/// Prefixes of this function's variables. An unknown variable with such a prefix is refused, because a misspelt
/// protection would protect nothing. Neither Lambda nor an AWS SDK has variables with these prefixes (Lambda guide,
/// "Defined runtime environment variables").
const PREFIXES: [&str; 8] = ["RESPONDER_", "PROTECT", "MAX_KEY", "MEMBER_", "ALLOWED_", "SEARCH_", "VERIFY", "RECORD"];

/// Default limit of keys per alert. An alert names one key, or the few keys of a leak. A hundred keys at once look like
/// a mistake or an attack on the operator.
const DEFAULT_MAX_KEYS: usize = 20;

/// Upper limit in seconds, the longest time that a function can run (Lambda quotas). A larger value most likely has the
/// wrong unit.
const MAX_VERIFY_SECONDS: f64 = 900.0;

/// CA bundles of Amazon Linux 2023 (the base of provided.al2023) and of Debian.
const CA_BUNDLES: [&str; 2] = ["/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt"];

const LIGHTSAIL_ENDPOINT: &str = "AWS_ENDPOINT_URL_LIGHTSAIL";
const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";
const EVENTBRIDGE_ENDPOINT: &str = "AWS_ENDPOINT_URL_EVENTBRIDGE";

/// Reader that parses variables and collects the problems.
pub(super) struct Reader {
    variables: Vec<(String, String)>,
    /// Problems in the order of the reads.
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(variables: Vec<(String, String)>) -> Self {
        Self { variables, problems: Vec::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    pub(super) fn required(&mut self, name: &'static str) -> Option<String> {
        let value = self.get(name).map(str::to_owned);
        if value.is_none() {
            self.problems.push(Problem::Missing(name));
        }
        value
    }

    fn refuse(&mut self, variable: &'static str, value: String, accepted: &'static str) {
        self.problems.push(Problem::Value { variable, value, accepted });
    }

    pub(super) fn refuse_unknown(&mut self) {
        let names = self.variables.iter().map(|(name, _)| name);
        let has_own_prefix = |name: &str| {
            let name = name.to_ascii_uppercase();
            PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        let unknown = names.filter(|name| has_own_prefix(name) && !OURS.contains(&name.as_str()));
        let unknown = unknown.map(|name| Problem::Unknown { variable: name.clone() }).collect::<Vec<_>>();
        self.problems.extend(unknown);
    }

    pub(super) fn region(&mut self) -> Option<Region> {
        let value = self.required("AWS_REGION")?;
        let region = value.parse().ok();
        if region.is_none() {
            self.refuse("AWS_REGION", value, "a Region code such as eu-central-1");
        }
        region
    }

    /// Returns the CA bundle of OpenSSL's variables, as rustls-native-certs reads them (its documentation). Without
    /// these variables it returns the paths of Amazon Linux and Debian. A missing file is no problem, because the
    /// connector then falls back to the system root store.
    pub(super) fn certificate_files(&self) -> Vec<PathBuf> {
        match (self.get("SSL_CERT_FILE"), self.get("SSL_CERT_DIR")) {
            (Some(file), _) => vec![file.into()],
            (None, Some(_)) => Vec::new(),
            (None, None) => CA_BUNDLES.map(PathBuf::from).into(),
        }
    }

    pub(super) fn mode(&mut self) -> Mode {
        let modes = [Mode::Enforce, Mode::DryRun];
        let Some(value) = self.get("RESPONDER_MODE").map(str::to_owned) else { return Mode::default() };
        modes.into_iter().find(|mode| mode.as_str() == value).unwrap_or_else(|| {
            self.refuse("RESPONDER_MODE", value, "enforce (the default), dry_run");
            Mode::DryRun
        })
    }

    pub(super) fn most_keys(&mut self) -> usize {
        let Some(value) = self.get("MAX_KEYS_PER_ALERT").map(str::to_owned) else { return DEFAULT_MAX_KEYS };
        value.parse().ok().filter(|most| (1..=1000).contains(most)).unwrap_or_else(|| {
            self.refuse("MAX_KEYS_PER_ALERT", value, "a whole number from 1 to 1000 (20 is the default)");
            DEFAULT_MAX_KEYS
        })
    }

    pub(super) fn protected(&mut self) -> HashSet<BucketName> {
        const ACCEPTED: &str = "bucket names separated by commas (A-Z, a-z, 0-9, period, underscore and hyphen)";
        self.list("PROTECTED_BUCKETS", ACCEPTED).into_iter().map(|Protected(name)| name).collect()
    }

    /// Returns the Regions to search: the configured ones, or else all that have Lightsail.
    pub(super) fn regions(&mut self) -> Vec<Region> {
        const NAME: &str = "SEARCH_REGIONS";
        const ACCEPTED: &str =
            "codes of Regions that have Lightsail, separated by commas, such as eu-west-1,eu-central-1";
        let chosen: Vec<Region> = self.list(NAME, ACCEPTED);
        let has_lightsail = |region: &Region| REGIONS.iter().any(|(name, _)| *name == region.as_str());
        for region in chosen.iter().filter(|region| !has_lightsail(region)) {
            self.refuse(NAME, region.to_string(), ACCEPTED);
        }
        if !chosen.is_empty() {
            return chosen;
        }
        REGIONS.iter().filter_map(|(name, _)| name.parse().ok()).collect()
    }

    /// Returns the member role with its accounts. Each of the two variables requires the other. A role without accounts
    /// is a problem, because an empty list must not mean all accounts.
    pub(super) fn member_role(&mut self) -> Option<MemberRole> {
        const NAME: &str = "MEMBER_ROLE_NAME";
        const EXTERNAL_ID: &str = "MEMBER_EXTERNAL_ID";
        const ACCOUNTS: &str = "ALLOWED_ACCOUNTS";
        let accounts: Vec<AccountId> = self.list(ACCOUNTS, "account IDs of 12 digits, separated by commas");
        let external_id = self.get(EXTERNAL_ID).map(str::to_owned);
        // STS API reference, "AssumeRole", ExternalId.
        if let Some(id) = external_id.as_ref().filter(|id| !fits(id, 2..=1224, "+=,.@:/-_")) {
            self.refuse(EXTERNAL_ID, id.clone(), "2 to 1224 characters of A-Z, a-z, 0-9 and +=,.@:/-_");
        }
        let Some(name) = self.get(NAME).map(str::to_owned) else {
            let [has_accounts, has_external_id] = [ACCOUNTS, EXTERNAL_ID].map(|name| self.get(name).is_some());
            if has_accounts || has_external_id {
                let because_of = if has_accounts { ACCOUNTS } else { EXTERNAL_ID };
                self.problems.push(Problem::MissingBeside { variable: NAME, because_of });
            }
            return None;
        };
        // IAM API reference, "CreateRole", RoleName.
        if !fits(&name, 1..=64, "+=,.@-_") {
            self.refuse(
                NAME,
                name.clone(),
                "a role's name without its path: 1 to 64 characters of A-Z, a-z, 0-9 and +=,.@-_",
            );
        }
        if self.get(ACCOUNTS).is_none() {
            self.problems.push(Problem::MissingBeside { variable: ACCOUNTS, because_of: NAME });
        }
        Some(MemberRole { name, external_id, accounts })
    }

    pub(super) fn verify_for(&mut self) -> Duration {
        let default = Timeouts::default().verify_for;
        let Some(value) = self.get("VERIFY_FOR").map(str::to_owned) else { return default };
        let seconds = value.parse::<f64>().ok().filter(|seconds| (0.0..=MAX_VERIFY_SECONDS).contains(seconds));
        seconds.map(Duration::from_secs_f64).unwrap_or_else(|| {
            self.refuse("VERIFY_FOR", value, "a number of seconds from 0 to 900, such as 2.5 (10 is the default)");
            default
        })
    }

    /// Returns the name or the ARN of the event bus (EventBridge API reference, "PutEventsRequestEntry", EventBusName).
    pub(super) fn record_bus(&mut self) -> Option<String> {
        const NAME: &str = "RECORD_BUS";
        let value = self.get(NAME).map(str::to_owned)?;
        let name = value.split_once(":event-bus/").map_or(value.as_str(), |(_, name)| name);
        let is_arn = value.starts_with("arn:") && value.split(':').nth(2) == Some("events");
        if !fits(name, 1..=256, "/.-_") || (name.len() < value.len() && !is_arn) {
            self.refuse(
                NAME,
                value.clone(),
                "the name of an event bus (1 to 256 characters of A-Z, a-z, 0-9 and /.-_) or its ARN",
            );
        }
        Some(value)
    }

    /// Parses a comma-separated list. Keeps the order and removes duplicates. Each invalid item is a problem.
    fn list<Name: FromStr + PartialEq>(&mut self, variable: &'static str, accepted: &'static str) -> Vec<Name> {
        let Some(value) = self.get(variable).map(str::to_owned) else { return Vec::new() };
        let mut names = Vec::new();
        for part in value.split(',').map(str::trim) {
            match part.parse() {
                Ok(name) if names.contains(&name) => {}
                Ok(name) => names.push(name),
                Err(_) => self.refuse(variable, part.to_owned(), accepted),
            }
        }
        names
    }

    /// Reads the endpoint variables that every AWS SDK knows (AWS SDKs and Tools reference, "Service-specific
    /// endpoints").
    pub(super) fn endpoints(&mut self) -> Endpoints {
        const IGNORE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
        match self.get(IGNORE).map(str::to_ascii_lowercase).as_deref() {
            Some("true") => return Endpoints::default(),
            None | Some("false") => {}
            Some(other) => self.refuse(IGNORE, other.to_owned(), "true, false (the default)"),
        }
        Endpoints {
            lightsail: self.endpoint(LIGHTSAIL_ENDPOINT),
            sts: self.endpoint(STS_ENDPOINT),
            eventbridge: self.endpoint(EVENTBRIDGE_ENDPOINT),
        }
    }

    fn endpoint(&mut self, variable: &'static str) -> Option<String> {
        let value = self.get(variable)?.to_owned();
        if !is_loopback(&value) {
            self.refuse(variable, value, "http or https at a loopback address, such as http://127.0.0.1:4599");
            return None;
        }
        Some(value)
    }
}

/// Name of a protected bucket. Its grammar is that of S3 with its older names (S3 user guide, "General purpose bucket
/// naming rules"), because the search finds buckets by whatever name AWS lists.
#[derive(PartialEq)]
struct Protected(BucketName);

impl FromStr for Protected {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        BucketName::opaque(text).filter(|_| fits(text, 1..=255, "._-")).map(Self).ok_or(())
    }
}

/// Returns true if the length of `text` is in `length` and all characters are letters, digits or in `others`.
fn fits(text: &str, length: std::ops::RangeInclusive<usize>, others: &str) -> bool {
    length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_no_user = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    scheme && has_no_user && (host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}
