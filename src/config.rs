//! Environment -> [`Config`], with all problems at once. The only reader of the environment.
//!
//! Region and credentials are plain variables that Lambda sets, so `aws-config` with its SSO, IMDS and STS chains has no
//! business here. Invariant: a value that cannot be read stops the function at INIT; there is no silent default for a
//! typo, and no endpoint but AWS's own or a loopback address, so that no stray variable can redirect a revocation.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use thiserror::Error;

use crate::names::Region;

/// Everything that the environment says.
#[derive(Debug)]
pub struct Config {
    /// The Region that the function runs in.
    pub region: Region,
    /// The function's own credentials.
    pub credentials: Credentials,
    /// A simulator on this machine, in place of AWS.
    pub endpoint: Option<String>,
    /// Whether keys are deleted.
    pub mode: Mode,
    /// How many keys one alert may name; more are for a person to approve.
    pub most_keys: usize,
}

/// Credentials of the function's role, as Lambda hands them out (Lambda guide, "Defined runtime environment variables").
pub struct Credentials {
    /// Access key ID of the role's session.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Its session token. Lambda always sets one.
    pub session_token: Option<String>,
}

/// Whether keys are deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// They are only looked for; the record says what would have been done.
    DryRun,
}

/// Every variable that could not be used. Caused by the deployment; the function does not start.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the environment cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError(pub Vec<Problem>);

/// One variable that could not be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// A required variable is absent or empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A variable has a value that it cannot have.
    #[error("{variable} is {value:?}; accepted: {accepted}")]
    Value {
        /// The variable.
        variable: &'static str,
        /// Its value; never that of a credential.
        value: String,
        /// What it may be.
        accepted: &'static str,
    },
    /// A variable of ours that does not exist: most likely a typo of one that does.
    #[error("{variable} is not a variable of this function; accepted: {}", OURS.join(", "))]
    Unknown {
        /// The variable.
        variable: String,
    },
}

/// The variables that are ours alone; any other that begins with `RESPONDER_` is refused.
pub const OURS: [&str; 2] = ["RESPONDER_MODE", "MAX_KEYS_PER_ALERT"];
const PREFIX: &str = "RESPONDER_";

/// An alert names one key, or the few of a leak. A hundred at once look like a mistake or an attack on us.
const MOST_KEYS: usize = 20;

const ENDPOINT: &str = "AWS_ENDPOINT_URL_LIGHTSAIL";

impl Config {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        // A variable that is not Unicode is none that we know, and its name is shown as far as it can be.
        Self::read(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        )
    }

    /// Reads an environment given as pairs of name and value.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut reader = Reader { variables: variables.into_iter().collect(), problems: Vec::new() };
        reader.refuse_unknown();
        let region = reader.region();
        let mode = reader.mode();
        let most_keys = reader.most_keys();
        let endpoint = reader.endpoint();
        let access_key_id = reader.required("AWS_ACCESS_KEY_ID");
        let secret_access_key = reader.required("AWS_SECRET_ACCESS_KEY");
        let session_token = reader.get("AWS_SESSION_TOKEN").map(str::to_owned);
        match (region, access_key_id, secret_access_key, reader.problems) {
            (Some(region), Some(access_key_id), Some(secret_access_key), problems) if problems.is_empty() => {
                let credentials = Credentials { access_key_id, secret_access_key, session_token };
                Ok(Self { region, credentials, endpoint, mode, most_keys })
            }
            (.., problems) => Err(ConfigError(problems)),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Mode {
    /// The mode as it is written in `RESPONDER_MODE` and in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry_run",
        }
    }
}

struct Reader {
    variables: Vec<(String, String)>,
    problems: Vec<Problem>,
}

impl Reader {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &'static str) -> Option<String> {
        let value = self.get(name).map(str::to_owned);
        if value.is_none() {
            self.problems.push(Problem::Missing(name));
        }
        value
    }

    fn refuse(&mut self, variable: &'static str, value: String, accepted: &'static str) {
        self.problems.push(Problem::Value { variable, value, accepted });
    }

    fn refuse_unknown(&mut self) {
        let names = self.variables.iter().map(|(name, _)| name);
        let unknown = names.filter(|name| name.starts_with(PREFIX) && !OURS.contains(&name.as_str()));
        let unknown = unknown.map(|name| Problem::Unknown { variable: name.clone() }).collect::<Vec<_>>();
        self.problems.extend(unknown);
    }

    fn region(&mut self) -> Option<Region> {
        let value = self.required("AWS_REGION")?;
        let region = value.parse().ok();
        if region.is_none() {
            self.refuse("AWS_REGION", value, "a Region code such as eu-central-1");
        }
        region
    }

    fn mode(&mut self) -> Mode {
        let modes = [Mode::Enforce, Mode::DryRun];
        let Some(value) = self.get("RESPONDER_MODE").map(str::to_owned) else { return Mode::default() };
        modes.into_iter().find(|mode| mode.as_str() == value).unwrap_or_else(|| {
            self.refuse("RESPONDER_MODE", value, "enforce (the default), dry_run");
            Mode::DryRun
        })
    }

    fn most_keys(&mut self) -> usize {
        let Some(value) = self.get("MAX_KEYS_PER_ALERT").map(str::to_owned) else { return MOST_KEYS };
        value.parse().ok().filter(|most| (1..=1000).contains(most)).unwrap_or_else(|| {
            self.refuse("MAX_KEYS_PER_ALERT", value, "a whole number from 1 to 1000 (20 is the default)");
            MOST_KEYS
        })
    }

    /// The variables that every AWS SDK knows (AWS SDKs and Tools reference, "Service-specific endpoints").
    fn endpoint(&mut self) -> Option<String> {
        const IGNORE: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";
        match self.get(IGNORE).map(str::to_ascii_lowercase).as_deref() {
            Some("true") => return None,
            None | Some("false") => {}
            Some(other) => self.refuse(IGNORE, other.to_owned(), "true, false (the default)"),
        }
        let value = self.get(ENDPOINT)?.to_owned();
        if !is_loopback(&value) {
            self.refuse(ENDPOINT, value, "http or https at a loopback address, such as http://127.0.0.1:4599");
            return None;
        }
        Some(value)
    }
}

fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    scheme && plain && (host == "localhost" || address.is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let lambda = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "ASIAX"), ("AWS_SECRET_ACCESS_KEY", "sss")];
        let kept = lambda.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        Config::read(kept.chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn what_lambda_sets_is_enough() {
        let config = read(&[]).unwrap();
        assert_eq!((config.region.as_str(), config.mode, config.endpoint), ("eu-west-1", Mode::Enforce, None));
        assert_eq!((config.credentials.session_token, config.most_keys), (None, 20));
    }

    #[test]
    fn all_problems_are_named_at_once_with_variable_value_and_what_is_accepted() {
        let error = read(&[
            ("AWS_REGION", "Ireland"),
            ("AWS_ACCESS_KEY_ID", ""),
            ("RESPONDER_MODE", "enforced"),
            ("RESPONDER_MOD", "dry_run"),
            ("MAX_KEYS_PER_ALERT", "0"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "yes"),
            ("AWS_ENDPOINT_URL_LIGHTSAIL", "https://lightsail.evil.test"),
        ]);
        insta::assert_snapshot!(error.unwrap_err(), @r#"the environment cannot be used: RESPONDER_MOD is not a variable of this function; accepted: RESPONDER_MODE, MAX_KEYS_PER_ALERT; AWS_REGION is "Ireland"; accepted: a Region code such as eu-central-1; RESPONDER_MODE is "enforced"; accepted: enforce (the default), dry_run; MAX_KEYS_PER_ALERT is "0"; accepted: a whole number from 1 to 1000 (20 is the default); AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is "yes"; accepted: true, false (the default); AWS_ENDPOINT_URL_LIGHTSAIL is "https://lightsail.evil.test"; accepted: http or https at a loopback address, such as http://127.0.0.1:4599; AWS_ACCESS_KEY_ID is missing"#);
    }

    #[test]
    fn an_endpoint_must_be_loopback() {
        for good in ["http://127.0.0.1:4599", "https://127.1.2.3", "http://[::1]:80/", "http://localhost:4566"] {
            assert_eq!(read(&[(ENDPOINT, good)]).unwrap().endpoint.as_deref(), Some(good));
        }
        for bad in [
            "http://127.0.0.1@evil.test",
            "http://127.0.0.1.evil.test",
            "http://localhost.evil.test",
            "http://169.254.169.254",
            "http://0.0.0.0:80",
            "127.0.0.1:80",
            "ftp://127.0.0.1",
            "http://",
        ] {
            assert!(read(&[(ENDPOINT, bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn configured_endpoints_can_be_switched_off_as_in_every_sdk() {
        let config = read(&[(ENDPOINT, "http://evil.test"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]);
        assert_eq!(config.unwrap().endpoint, None);
    }

    #[test]
    fn credentials_do_not_show_in_debug_output() {
        let config = read(&[("AWS_SESSION_TOKEN", "ttt")]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("ASIAX") && !shown.contains("sss") && !shown.contains("ttt"), "{shown}");
    }
}
