//! Reads [`Config`] from the environment and reports all problems at once. No other module reads the environment.
//!
//! Lambda sets Region and credentials as plain variables, so `aws-config` with its SSO, IMDS and STS chains is not
//! needed.
//!
//! Invariant: an invalid value stops the function at INIT. A typo never falls back to a default. Only AWS's own
//! endpoints and loopback addresses are accepted, so that no stray variable can redirect a revocation.

mod reader;

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;
use tracing::level_filters::LevelFilter;

use self::reader::Reader;
use crate::deadline::Timeouts;
use crate::names::{AccountId, Region};
use crate::policy::Policy;

/// Configuration of the function, read from the environment.
#[derive(Debug)]
pub struct Config {
    /// Region that the function runs in.
    pub region: Region,
    /// Credentials of the function's own role.
    pub credentials: Credentials,
    /// Endpoints of simulators on this machine that replace AWS.
    pub endpoints: Endpoints,
    /// Candidate CA bundles (PEM) in order of preference. The list is empty if the CA certificates are in a directory.
    pub certificate_files: Vec<PathBuf>,
    /// Operator's limits on what the function may do.
    pub policy: Policy,
    /// Regions that a search reads.
    pub regions: Vec<Region>,
    /// Role for member accounts, if configured.
    pub member_role: Option<MemberRole>,
    /// Name or ARN of the event bus that receives the records, if configured.
    pub record_bus: Option<String>,
    /// Timeouts, backoff and pauses.
    pub timeouts: Timeouts,
}

/// Format and level of the function's own log lines. Records do not depend on them: they are always written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logs {
    /// Most detailed level that is written.
    pub level: LevelFilter,
    /// JSON lines instead of text.
    pub json: bool,
}

/// Credentials of the function's role, as Lambda provides them (Lambda guide, "Defined runtime environment variables").
pub struct Credentials {
    /// Access key ID of the role session.
    pub access_key_id: String,
    /// Secret access key of the role session.
    pub secret_access_key: String,
    /// Session token of the role session. Lambda always sets one.
    pub session_token: Option<String>,
}

/// Loopback endpoints that replace AWS's own. In production none is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Lightsail endpoint.
    pub lightsail: Option<String>,
    /// STS endpoint.
    pub sts: Option<String>,
    /// EventBridge endpoint.
    pub eventbridge: Option<String>,
}

/// Role that the function assumes in member accounts, and the accounts where it may do so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRole {
    /// Role name, the same in every member account.
    pub name: String,
    /// External ID that the role's trust policy requires.
    pub external_id: Option<String>,
    /// Member accounts that the function may enter. All other accounts are refused.
    pub accounts: Vec<AccountId>,
}

/// List of all variables with problems. The deployment causes them, and the function does not start.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the environment cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError(pub Vec<Problem>);

/// Problem with one variable.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// Required variable that is absent or empty.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Variable that is absent or empty although another variable requires it.
    #[error("{variable} is missing, and {because_of} means nothing without it")]
    MissingBeside {
        /// Variable that is missing.
        variable: &'static str,
        /// Variable that requires it.
        because_of: &'static str,
    },
    /// Variable with an invalid value.
    #[error("{variable} is {value:?}; accepted: {accepted}")]
    Value {
        /// Name of the variable.
        variable: &'static str,
        /// Invalid value, or the invalid item of a list. Never the value of a credential.
        value: String,
        /// Description of the valid values.
        accepted: &'static str,
    },
    /// Unknown variable whose name resembles a variable of this function. Most likely it is a typo.
    #[error("{variable} is not a variable of this function; accepted: {}", OURS.join(", "))]
    Unknown {
        /// Name of the variable.
        variable: String,
    },
}

/// Variables that only this function reads.
pub const OURS: [&str; 9] = [
    "RESPONDER_MODE",
    "PROTECTED_BUCKETS",
    "MAX_KEYS_PER_ALERT",
    "MEMBER_ROLE_NAME",
    "MEMBER_EXTERNAL_ID",
    "ALLOWED_ACCOUNTS",
    "SEARCH_REGIONS",
    "VERIFY_FOR",
    "RECORD_BUS",
];

impl Config {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        // A variable whose name is not Unicode cannot be one that the function knows. Its name is shown lossily.
        Self::read(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        )
    }

    /// Reads an environment that is given as pairs of name and value.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(variables.into_iter().collect());
        reader.refuse_unknown();
        let region = reader.region();
        let policy = Policy { mode: reader.mode(), max_keys: reader.most_keys(), protected: reader.protected() };
        let regions = reader.regions();
        let member_role = reader.member_role();
        let record_bus = reader.record_bus();
        let timeouts = Timeouts { verify_for: reader.verify_for(), ..Timeouts::default() };
        let endpoints = reader.endpoints();
        let certificate_files = reader.certificate_files();
        let access_key_id = reader.required("AWS_ACCESS_KEY_ID");
        let secret_access_key = reader.required("AWS_SECRET_ACCESS_KEY");
        let session_token = reader.get("AWS_SESSION_TOKEN").map(str::to_owned);
        match (region, access_key_id, secret_access_key, reader.problems) {
            (Some(region), Some(access_key_id), Some(secret_access_key), problems) if problems.is_empty() => {
                let credentials = Credentials { access_key_id, secret_access_key, session_token };
                Ok(Self {
                    region,
                    credentials,
                    endpoints,
                    certificate_files,
                    policy,
                    regions,
                    member_role,
                    record_bus,
                    timeouts,
                })
            }
            (.., problems) => Err(ConfigError(problems)),
        }
    }
}

impl Logs {
    /// Reads the process's environment.
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables that Lambda sets from the function's logging configuration (Lambda guide, "Configuring
    /// advanced logging controls"). Falls back to `RUST_LOG` for the level. Lambda's `FATAL` and unknown levels count
    /// as `INFO`, because an extra line costs less than a missing one.
    fn read(get: impl Fn(&str) -> Option<String>) -> Self {
        let level = get("AWS_LAMBDA_LOG_LEVEL").or_else(|| get("RUST_LOG"));
        let level = level.and_then(|level| level.trim().parse().ok()).unwrap_or(LevelFilter::INFO);
        Self { level, json: get("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::names::BucketName;
    use crate::policy::Mode;
    use crate::regions::REGIONS;

    const LIGHTSAIL_ENDPOINT: &str = "AWS_ENDPOINT_URL_LIGHTSAIL";

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let lambda = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "ASIAX"), ("AWS_SECRET_ACCESS_KEY", "sss")];
        let kept = lambda.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
        Config::read(kept.chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn lambda_variables_are_sufficient() {
        let config = read(&[]).unwrap();
        assert_eq!(
            (config.region.as_str(), config.policy.mode, config.endpoints),
            ("eu-west-1", Mode::Enforce, Endpoints::default())
        );
        assert_eq!((config.credentials.session_token, config.policy.max_keys), (None, 20));
    }

    #[test]
    fn problems_are_reported_all_at_once() {
        let error = read(&[
            ("AWS_REGION", "Ireland"),
            ("AWS_ACCESS_KEY_ID", ""),
            ("RESPONDER_MODE", "enforced"),
            ("RESPONDER_MOD", "dry_run"),
            ("MAX_KEYS_PER_ALERT", "0"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "yes"),
            ("AWS_ENDPOINT_URL_LIGHTSAIL", "https://lightsail.evil.test"),
        ]);
        insta::assert_snapshot!(error.unwrap_err(), @r#"the environment cannot be used: RESPONDER_MOD is not a variable of this function; accepted: RESPONDER_MODE, PROTECTED_BUCKETS, MAX_KEYS_PER_ALERT, MEMBER_ROLE_NAME, MEMBER_EXTERNAL_ID, ALLOWED_ACCOUNTS, SEARCH_REGIONS, VERIFY_FOR, RECORD_BUS; AWS_REGION is "Ireland"; accepted: a Region code such as eu-central-1; RESPONDER_MODE is "enforced"; accepted: enforce (the default), dry_run; MAX_KEYS_PER_ALERT is "0"; accepted: a whole number from 1 to 1000 (20 is the default); AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is "yes"; accepted: true, false (the default); AWS_ENDPOINT_URL_LIGHTSAIL is "https://lightsail.evil.test"; accepted: http or https at a loopback address, such as http://127.0.0.1:4599; AWS_ACCESS_KEY_ID is missing"#);
    }

    #[test]
    fn ca_bundle_comes_from_openssl_variables_or_system() {
        let files = |changes: &[(&str, &str)]| read(changes).unwrap().certificate_files;
        let (file, directory) = (("SSL_CERT_FILE", "/own.pem"), ("SSL_CERT_DIR", "/certs"));
        assert_eq!((files(&[file]), files(&[file, directory])), (vec!["/own.pem".into()], vec!["/own.pem".into()]));
        assert_eq!(files(&[directory]), Vec::<PathBuf>::new());
        assert_eq!(files(&[]).first(), Some(&"/etc/pki/tls/certs/ca-bundle.crt".into()));
    }

    #[test]
    fn policy_regions_and_member_accounts_are_read() {
        let config = read(&[
            ("RESPONDER_MODE", "dry_run"),
            ("PROTECTED_BUCKETS", "photos, backups, My.Bucket_1"),
            ("SEARCH_REGIONS", "eu-west-1,eu-central-1,eu-west-1"),
            ("MEMBER_ROLE_NAME", "lightsail-key-responder"),
            ("MEMBER_EXTERNAL_ID", "corp:1/2"),
            ("ALLOWED_ACCOUNTS", "111122223333,444455556666"),
            ("VERIFY_FOR", "2.5"),
        ])
        .unwrap();
        assert_eq!(config.policy.mode, Mode::DryRun);
        for bucket in ["backups", "My.Bucket_1"] {
            assert!(config.policy.protection(&BucketName::opaque(bucket).unwrap(), &[]).is_some(), "{bucket}");
        }
        assert_eq!(config.regions.iter().map(Region::as_str).collect::<Vec<_>>(), ["eu-west-1", "eu-central-1"]);
        let role = config.member_role.unwrap();
        assert_eq!((role.name.as_str(), role.external_id.as_deref()), ("lightsail-key-responder", Some("corp:1/2")));
        assert_eq!(role.accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), ["111122223333", "444455556666"]);
        assert_eq!(config.timeouts.verify_for, Duration::from_millis(2500));
    }

    #[test]
    fn unset_variables_use_defaults() {
        let config = read(&[("PROTECTED_BUCKETS", ""), ("ALLOWED_ACCOUNTS", " ")]).unwrap();
        assert!(config.policy.protected.is_empty() && config.member_role.is_none());
        assert_eq!((config.regions.len(), config.timeouts.verify_for), (REGIONS.len(), Duration::from_secs(10)));
    }

    #[test]
    fn record_bus_is_name_or_arn() {
        assert_eq!(read(&[("RECORD_BUS", "")]).unwrap().record_bus, None);
        for bus in ["records", "corp/security.records-1_a", "arn:aws:events:eu-west-1:111122223333:event-bus/records"] {
            assert_eq!(read(&[("RECORD_BUS", bus)]).unwrap().record_bus.as_deref(), Some(bus));
        }
    }

    #[test]
    fn invalid_value_or_list_item_is_refused() {
        for (variable, value, expected) in [
            ("PROTECTED_BUCKETS", "photos,My/Bucket", r#"PROTECTED_BUCKETS is "My/Bucket"; accepted: bucket names"#),
            ("PROTECTED_BUCKETS", "photos,", r#"PROTECTED_BUCKETS is ""; accepted: bucket names"#),
            ("PROTECTED_BUCKETS", "photos backups", r#"PROTECTED_BUCKETS is "photos backups"; accepted"#),
            ("SEARCH_REGIONS", "eu-west-1;eu-west-2", r#"SEARCH_REGIONS is "eu-west-1;eu-west-2"; accepted"#),
            ("SEARCH_REGIONS", "me-south-1", r#"SEARCH_REGIONS is "me-south-1"; accepted: codes of Regions that have"#),
            ("VERIFY_FOR", "10s", r#"VERIFY_FOR is "10s"; accepted: a number of seconds from 0 to 900"#),
            ("VERIFY_FOR", "-1", r#"VERIFY_FOR is "-1"; accepted"#),
            ("VERIFY_FOR", "NaN", r#"VERIFY_FOR is "NaN"; accepted"#),
            ("VERIFY_FOR", "10000", r#"VERIFY_FOR is "10000"; accepted"#),
            ("RECORD_BUS", "my bus", r#"RECORD_BUS is "my bus"; accepted: the name of an event bus"#),
            ("RECORD_BUS", "arn:aws:sqs:us-east-1:111122223333:event-bus/x", r#"; accepted: the name of an event bus"#),
            ("RECORD_BUS", "arn:aws:events:us-east-1:111122223333:rule/x", r#"; accepted: the name of an event bus"#),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn member_role_and_accounts_require_each_other() {
        let whole =
            [("MEMBER_ROLE_NAME", "responder"), ("ALLOWED_ACCOUNTS", "111122223333"), ("MEMBER_EXTERNAL_ID", "ab")];
        assert!(read(&whole).is_ok());
        for (omitted, expected) in [
            (0, "MEMBER_ROLE_NAME is missing, and ALLOWED_ACCOUNTS means nothing without it"),
            (1, "ALLOWED_ACCOUNTS is missing, and MEMBER_ROLE_NAME means nothing without it"),
        ] {
            let mut some = whole.to_vec();
            some.remove(omitted);
            assert!(read(&some).unwrap_err().to_string().ends_with(expected));
        }
        for (variable, value) in [
            ("MEMBER_ROLE_NAME", "arn:aws:iam::111122223333:role/responder"),
            ("MEMBER_EXTERNAL_ID", "a"),
            ("ALLOWED_ACCOUNTS", "11112222333"),
            ("ALLOWED_ACCOUNTS", "*"),
        ] {
            let changed = whole.map(|(name, good)| (name, if name == variable { value } else { good }));
            let error = read(&changed).unwrap_err().to_string();
            assert!(error.contains(&format!("{variable} is {value:?}; accepted: ")), "{error}");
        }
    }

    #[test]
    fn misspelt_variable_is_refused() {
        for name in [
            "PROTECTED_BUCKET",
            "PROTECT_BUCKETS",
            "MAX_KEYS",
            "ALLOWED_ACCOUNT",
            "MEMBER_ROLE",
            "VERIFY",
            "SEARCH_REGION",
            "RECORDS_BUS",
            "protected_buckets",
        ] {
            let error = read(&[(name, "x")]).unwrap_err().to_string();
            assert!(error.contains(&format!("{name} is not a variable of this function; accepted: ")), "{error}");
        }
    }

    #[test]
    fn endpoint_must_be_loopback() {
        for good in ["http://127.0.0.1:4599", "https://127.1.2.3", "http://[::1]:80/", "http://localhost:4566"] {
            assert_eq!(read(&[(LIGHTSAIL_ENDPOINT, good)]).unwrap().endpoints.lightsail.as_deref(), Some(good));
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
            assert!(read(&[(LIGHTSAIL_ENDPOINT, bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn sdk_variable_disables_configured_endpoints() {
        let config = read(&[(LIGHTSAIL_ENDPOINT, "http://evil.test"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]);
        assert_eq!(config.unwrap().endpoints, Endpoints::default());
    }

    #[test]
    fn lambda_variables_set_log_format_and_level() {
        let logs = |variables: &[(&str, &str)]| {
            Logs::read(|name| Some(variables.iter().find(|(known, _)| *known == name)?.1.to_owned()))
        };
        let text = |level| Logs { level, json: false };
        assert_eq!(logs(&[]), text(LevelFilter::INFO));
        assert_eq!(logs(&[("RUST_LOG", "debug")]), text(LevelFilter::DEBUG));
        assert_eq!(logs(&[("RUST_LOG", "debug"), ("AWS_LAMBDA_LOG_LEVEL", "WARN")]), text(LevelFilter::WARN));
        assert_eq!(logs(&[("AWS_LAMBDA_LOG_LEVEL", "FATAL")]), text(LevelFilter::INFO));
        assert!(logs(&[("AWS_LAMBDA_LOG_FORMAT", "JSON")]).json);
    }

    #[test]
    fn credentials_are_absent_from_debug_output() {
        let config = read(&[("AWS_SESSION_TOKEN", "ttt")]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("ASIAX") && !shown.contains("sss") && !shown.contains("ttt"), "{shown}");
    }
}
