//! `AssumeRole`: temporary credentials of other accounts.

use std::sync::OnceLock;

use aws_credential_types::Credentials;
use aws_sdk_sts::{Client, Config};
use chrono::{DateTime, Utc};

use super::{Call, Failure, Settings, client_config, send};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::names::AccountId;

/// Shortest duration that AWS allows (STS API reference, "AssumeRole", DurationSeconds). A leaked session ends soon,
/// and alerts that arrive together or shortly after one another share it.
const SESSION_SECONDS: i32 = 900;

/// STS in the own Region. Its sessions are valid in all Regions, opt-in Regions too (IAM user guide, "Manage AWS STS in
/// an AWS Region").
#[derive(Debug)]
pub struct Sts {
    config: Config,
    clock: Clock,
    /// Made when the first role is assumed, so that it never delays a delete in the own account.
    client: OnceLock<Client>,
}

const OPERATION: &str = "AssumeRole";

/// Request for a session in another account.
#[derive(Debug)]
pub struct RoleRequest<'a> {
    /// Account that has the role.
    pub account: &'a AccountId,
    /// Name of the role.
    pub role: &'a str,
    /// External ID that the role's trust policy asks for.
    pub external_id: Option<&'a str>,
    /// Name of the session, which the account's CloudTrail shows.
    pub session_name: &'a str,
}

/// Credentials of a session.
#[derive(Debug)]
pub struct TemporaryCredentials(pub(super) Credentials);

impl Sts {
    /// Prepares the client without connecting.
    pub fn new(settings: &Settings) -> Self {
        let config = client_config!(aws_sdk_sts, settings, sts);
        Self { config, clock: settings.clock.clone(), client: OnceLock::new() }
    }

    /// Failure of a caller that reached its deadline while another one was assuming the role.
    pub fn deadline_exceeded() -> Failure {
        Failure::not_in_time(OPERATION)
    }

    /// Calls `AssumeRole`. Returns the credentials and when they expire.
    pub async fn assume_role(
        &self,
        request: &RoleRequest<'_>,
        deadline: Deadline,
    ) -> Result<(TemporaryCredentials, DateTime<Utc>), Failure> {
        let RoleRequest { account, role, external_id, session_name } = request;
        let call = Call::new(OPERATION, deadline);
        let client = self.client.get_or_init(|| Client::from_conf(self.config.clone()));
        let request = client
            .assume_role()
            // Lightsail is in the commercial partition only (botocore's endpoint list).
            .role_arn(format!("arn:aws:iam::{account}:role/{role}"))
            .role_session_name(*session_name)
            .duration_seconds(SESSION_SECONDS)
            .set_external_id(external_id.map(str::to_owned));
        let granted = send!(call, request).await?.credentials.and_then(|granted| {
            let expires = DateTime::from_timestamp(granted.expiration.secs(), 0)?;
            // The SDK makes truncated credentials that expired in 1970 from half a response.
            Some((granted, expires))
                .filter(|(granted, expires)| !granted.access_key_id.is_empty() && *expires > self.clock.now())
        });
        let (granted, expires) = granted.ok_or_else(|| call.malformed("no credentials"))?;
        let token = Some(granted.session_token);
        let credentials = Credentials::new(granted.access_key_id, granted.secret_access_key, token, None, OPERATION);
        Ok((TemporaryCredentials(credentials), expires))
    }
}
