//! Account -> the [`Lightsail`] to act in it with: our own, or another account's by the role that it lets us assume.
//!
//! The only file that names `aws_sdk_sts`. Invariants: STS is never called for our own account, nor for one that
//! `ALLOWED_ACCOUNTS` does not name; a session is kept for later invocations, and never used beyond its end.

use std::collections::HashMap;
use std::sync::OnceLock;

use aws_sdk_sts::config::Credentials;
use aws_sdk_sts::{Client, Config as ClientConfig};
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::aws::lightsail::Lightsail;
use crate::aws::{Failure, HttpClient, Wire, client_config};
use crate::config::{Config, MemberRole};
use crate::deadline::Deadline;
use crate::names::AccountId;

/// The shortest session there is (STS API reference, "AssumeRole", DurationSeconds): a leaked one ends soon, and alerts
/// that come together or shortly after one another share it.
const SESSION_SECONDS: i32 = 900;

/// The longest name of a session (STS API reference, "AssumeRole", RoleSessionName).
const LONGEST_NAME: usize = 64;

const CALL: &str = "AssumeRole";

/// An account that this function can act in.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its ID; none for our own where Lambda does not tell it.
    pub id: Option<AccountId>,
    /// Lightsail there.
    pub lightsail: Lightsail,
}

/// Every account that this function may act in.
#[derive(Debug)]
pub struct Accounts {
    own: Lightsail,
    members: Option<Members>,
}

/// An account other than our own that this function may act in.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    id: &'a AccountId,
    /// What its own is made of: connections are shared.
    own: &'a Lightsail,
    members: &'a Members,
    session: &'a Mutex<Option<Session>>,
}

/// Where a key can be.
#[derive(Debug)]
pub struct Reach<'a> {
    /// The account whose buckets the alert means: the owner's, or else our own.
    pub home: Home<'a>,
    /// Further accounts that are searched, in the order in which they are configured.
    pub others: Vec<Member<'a>>,
}

/// The account whose buckets an alert means.
#[derive(Debug)]
pub enum Home<'a> {
    /// Our own.
    Own(Account),
    /// Another one.
    Member(Member<'a>),
}

/// What the member's CloudTrail shows as the name of our session: which alert it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName(String);

#[derive(Debug)]
struct Members {
    role: MemberRole,
    /// Made when the first role is assumed, and not before the first delete.
    sts: OnceLock<Client>,
    config: ClientConfig,
    /// One for each account that is allowed, and a lock for each: alerts that come together do not assume a role twice,
    /// and an account that does not answer holds up no other.
    sessions: HashMap<AccountId, Mutex<Option<Session>>>,
}

#[derive(Debug)]
struct Session {
    lightsail: Lightsail,
    ends: DateTime<Utc>,
}

impl Accounts {
    /// Prepares what it takes to act in them; connects to nothing.
    pub fn new(config: &Config, http: HttpClient) -> Self {
        let own = Lightsail::new(config, http.clone());
        let members = config.member_role.clone().map(|role| Members {
            sts: OnceLock::new(),
            config: sts(config, http),
            sessions: role.accounts.iter().map(|id| (id.clone(), Mutex::default())).collect(),
            role,
        });
        Self { own, members }
    }

    /// Where a key of `owner` can be: in that account, if we may act there; without an owner in our own or in any other
    /// that we may act in. None where we may not. `own` is our account.
    pub fn reach(&self, owner: Option<&AccountId>, own: Option<&AccountId>) -> Option<Reach<'_>> {
        let here = || Home::Own(Account { id: own.cloned(), lightsail: self.own.clone() });
        match owner {
            Some(owner) if Some(owner) == own => Some(Reach::only(here())),
            // Who does not know its own account cannot tell that this is another one.
            Some(owner) => own.and_then(|_| self.member(owner)).map(|member| Reach::only(Home::Member(member))),
            None => {
                let ids = self.members.iter().flat_map(|members| &members.role.accounts);
                let others = ids.filter(|id| own.is_some_and(|own| own != *id)).filter_map(|id| self.member(id));
                Some(Reach { home: here(), others: others.collect() })
            }
        }
    }

    /// Whether this function may act in any other account.
    pub fn has_members(&self) -> bool {
        self.members.is_some()
    }

    /// Forgets the session in an account, if there is one: it was refused, and may have been taken back.
    pub fn forget(&self, id: &AccountId) {
        // Whoever holds the lock is getting a new one.
        if let Some(mut session) = self.member(id).and_then(|member| member.session.try_lock().ok()) {
            *session = None;
        }
    }

    fn member(&self, id: &AccountId) -> Option<Member<'_>> {
        let members = self.members.as_ref()?;
        let (id, session) = members.sessions.get_key_value(id)?;
        Some(Member { id, own: &self.own, members, session })
    }
}

impl Reach<'_> {
    fn only(home: Home<'_>) -> Reach<'_> {
        Reach { home, others: Vec::new() }
    }
}

impl Home<'_> {
    /// Opens it: our own needs nothing for that.
    pub async fn open(&self, name: &SessionName, deadline: Deadline) -> Result<Account, Failure> {
        match self {
            Self::Own(account) => Ok(account.clone()),
            Self::Member(member) => member.open(name, deadline).await,
        }
    }
}

impl Member<'_> {
    /// Its ID.
    pub fn id(&self) -> &AccountId {
        self.id
    }

    /// Assumes the role there, unless a session is left that lasts until `deadline`.
    ///
    /// A failure is one of STS: nothing was asked of Lightsail.
    pub async fn open(&self, name: &SessionName, deadline: Deadline) -> Result<Account, Failure> {
        let account = |lightsail: &Lightsail| Account { id: Some(self.id.clone()), lightsail: lightsail.clone() };
        let wire = Wire::default();
        let Ok(mut session) = deadline.within(self.session.lock()).await else {
            return Err(Failure::out_of_time(CALL, &wire));
        };
        if let Some(session) = session.as_ref().filter(|session| session.ends > Utc::now() + deadline.left()) {
            return Ok(account(&session.lightsail));
        }
        let new = session.insert(self.assume(name, deadline, &wire).await?);
        Ok(account(&new.lightsail))
    }

    async fn assume(&self, name: &SessionName, deadline: Deadline, wire: &Wire) -> Result<Session, Failure> {
        let MemberRole { name: role, external_id, .. } = &self.members.role;
        // Lightsail is in the commercial partition only (botocore's endpoint list).
        let sts = self.members.sts.get_or_init(|| Client::from_conf(self.members.config.clone()));
        let request = sts.assume_role().role_arn(format!("arn:aws:iam::{}:role/{role}", self.id));
        let request = request.role_session_name(&name.0).duration_seconds(SESSION_SECONDS);
        let request = request.set_external_id(external_id.clone());
        let call = deadline.within(request.customize().interceptor(wire.clone()).send()).await;
        let output = call.map_err(|_| Failure::out_of_time(CALL, wire))?;
        let output = output.map_err(|error| Failure::from_sdk(CALL, &error, wire))?;
        let granted = output.credentials.and_then(|granted| {
            let ends = DateTime::from_timestamp(granted.expiration.secs(), 0)?;
            // Of half an answer the SDK makes credentials that are cut short, with an end in 1970.
            Some((granted, ends)).filter(|(granted, ends)| !granted.access_key_id.is_empty() && *ends > Utc::now())
        });
        let (granted, ends) = granted.ok_or_else(|| Failure::garbled(CALL, "no credentials", wire))?;
        let credentials =
            Credentials::new(granted.access_key_id, granted.secret_access_key, Some(granted.session_token), None, CALL);
        Ok(Session { lightsail: self.own.with(credentials), ends })
    }
}

impl SessionName {
    /// The name for an alert, of its ID. What a session's name cannot have becomes a hyphen.
    pub fn of(alert: &str) -> Self {
        let fit = |c: char| if c.is_ascii_alphanumeric() || "=,.@-_".contains(c) { c } else { '-' };
        Self("lightsail-key-".chars().chain(alert.chars().map(fit)).take(LONGEST_NAME).collect())
    }
}

/// The endpoint of our own Region: its sessions are good in all, opt-in Regions too (IAM user guide, "Manage AWS STS in an
/// AWS Region").
fn sts(config: &Config, http: HttpClient) -> ClientConfig {
    client_config!(aws_sdk_sts, config, http, config.endpoints.sts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_for_the_alert_in_what_a_name_may_have() {
        assert_eq!(SessionName::of("b0f2/3 c:d").0, "lightsail-key-b0f2-3-c-d");
        let long = SessionName::of(&"ä".repeat(100)).0;
        assert!(long.len() == 64 && long.ends_with("--"), "{long}");
    }
}
