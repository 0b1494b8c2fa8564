//! Alert -> the accounts to act in: the own account, and member accounts by the role that they let this function
//! assume.
//!
//! Invariants: STS is never called for the own account, nor for an account that `ALLOWED_ACCOUNTS` does not have. A
//! session is kept for later invocations, and never used beyond its expiry.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::alert::Exposure;
use crate::aws::lightsail::Lightsail;
use crate::aws::sts::{RoleRequest, Sts};
use crate::aws::{Failure, Settings};
use crate::clock::Clock;
use crate::config::{Config, MemberRole};
use crate::deadline::Deadline;
use crate::names::AccountId;

/// Longest name of a session (STS API reference, "AssumeRole", RoleSessionName).
const MAX_SESSION_NAME: usize = 64;

/// An account, and Lightsail there.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// ID of the account. None for the own account if Lambda does not say it.
    pub(super) id: Option<AccountId>,
    /// Lightsail with credentials of that account.
    pub(super) lightsail: Lightsail,
}

/// Every account that this function may act in.
#[derive(Debug)]
pub(super) struct Accounts {
    own: Lightsail,
    members: Option<Members>,
}

/// A member account: an account other than the own one that this function may act in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    id: &'a AccountId,
    /// Shares its connections with the member's.
    own: &'a Lightsail,
    members: &'a Members,
    session: &'a Mutex<Option<Session>>,
}

/// Accounts that can hold the key of an alert.
#[derive(Debug)]
pub(super) struct Reach<'a> {
    /// Account that hints are about: the owner's, else the first that may be the owner's, else the own one.
    pub(super) home: Entrance<'a>,
    /// Further accounts to search: those that may be the owner's, the own one, and all others in the configured order.
    pub(super) others: Vec<Entrance<'a>>,
    /// Accounts that may be the owner's, and that this function may not act in.
    pub(super) foreign: Vec<AccountId>,
}

/// An account that this function may act in, before it is entered.
#[derive(Clone, Debug)]
pub(super) enum Entrance<'a> {
    /// The own account, which needs no call, or one that has been entered.
    Entered(Account),
    /// A member account.
    Member(Member<'a>),
}

/// Name of a session, which shows in the member account's CloudTrail and names the alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionName(String);

#[derive(Debug)]
struct Members {
    role: MemberRole,
    sts: Sts,
    clock: Clock,
    /// One lock per allowed account, so that alerts that arrive together assume a role once, and an account that does
    /// not respond delays no other.
    sessions: HashMap<AccountId, Mutex<Option<Session>>>,
}

#[derive(Debug)]
struct Session {
    lightsail: Lightsail,
    expires: DateTime<Utc>,
}

impl Accounts {
    /// Prepares the clients without connecting.
    pub(super) fn new(config: &Config, settings: &Settings) -> Self {
        let own = Lightsail::new(settings);
        let members = config.member_role.clone().map(|role| Members {
            sts: Sts::new(settings),
            clock: settings.clock().clone(),
            sessions: role.accounts.iter().map(|id| (id.clone(), Mutex::default())).collect(),
            role,
        });
        Self { own, members }
    }

    /// Returns where the key can be: in the account of its owner, if this function may act there. Without an owner: in
    /// the own account and in every member account, first in those that may be the owner's. None if this function may
    /// not act in the owner's account. `own` is the own account.
    pub(super) fn reach(&self, exposure: &Exposure, own: Option<&AccountId>) -> Option<Reach<'_>> {
        if let Some(owner) = &exposure.owner {
            return self.entrance(owner, own).map(|home| Reach { home, others: Vec::new(), foreign: Vec::new() });
        }
        let here = || Entrance::Entered(Account { id: own.cloned(), lightsail: self.own.clone() });
        let named = exposure.accounts.iter();
        let (named, foreign): (Vec<_>, Vec<_>) = named.partition(|id| self.entrance(id, own).is_some());
        let members = self.members.iter().flat_map(|members| &members.role.accounts);
        let mut ids: Vec<&AccountId> = Vec::new();
        for id in named.into_iter().chain(own).chain(members) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut entrances = ids.into_iter().filter_map(|id| self.entrance(id, own));
        let home = entrances.next().unwrap_or_else(here);
        Some(Reach { home, others: entrances.collect(), foreign: foreign.into_iter().cloned().collect() })
    }

    /// Returns the entrance of an account. None if this function may not act there. Without knowing the own account it
    /// cannot tell that another one is not.
    fn entrance(&self, id: &AccountId, own: Option<&AccountId>) -> Option<Entrance<'_>> {
        if own? == id {
            return Some(Entrance::Entered(Account { id: own.cloned(), lightsail: self.own.clone() }));
        }
        self.member(id).map(Entrance::Member)
    }

    /// Returns whether this function may act in any member account.
    pub(super) fn has_members(&self) -> bool {
        self.members.is_some()
    }

    /// Drops the session in an account that refused it: it may have been revoked.
    pub(super) fn forget(&self, id: &AccountId) {
        // A task that holds the lock is fetching a new session.
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

impl Entrance<'_> {
    /// Returns the ID of the account. None for the own account if Lambda does not say it.
    pub(super) fn id(&self) -> Option<&AccountId> {
        match self {
            Self::Entered(account) => account.id.as_ref(),
            Self::Member(member) => Some(member.id),
        }
    }

    /// Enters the account.
    pub(super) async fn enter(&self, name: &SessionName, deadline: Deadline) -> Result<Account, Failure> {
        match self {
            Self::Entered(account) => Ok(account.clone()),
            Self::Member(member) => member.enter(name, deadline).await,
        }
    }
}

impl Member<'_> {
    /// Assumes the role in the account, unless a session lasts until `deadline`.
    ///
    /// A failure comes from STS: nothing was sent to Lightsail.
    async fn enter(&self, name: &SessionName, deadline: Deadline) -> Result<Account, Failure> {
        let account = |lightsail: &Lightsail| Account { id: Some(self.id.clone()), lightsail: lightsail.clone() };
        let Ok(mut session) = deadline.within(self.session.lock()).await else {
            return Err(Sts::deadline_exceeded());
        };
        if let Some(session) =
            session.as_ref().filter(|session| session.expires > self.members.clock.now() + deadline.left())
        {
            return Ok(account(&session.lightsail));
        }
        let MemberRole { name: role, external_id, .. } = &self.members.role;
        let request =
            RoleRequest { account: self.id, role, external_id: external_id.as_deref(), session_name: &name.0 };
        let (credentials, expires) = self.members.sts.assume_role(&request, deadline).await?;
        let new = session.insert(Session { lightsail: self.own.with(credentials), expires });
        Ok(account(&new.lightsail))
    }
}

impl SessionName {
    /// Makes a name of the alert's ID, or of its end, because ARNs begin alike. Replaces characters that a session name
    /// must not have by hyphens.
    pub(super) fn of(alert_id: &str) -> Self {
        let replace = |c: char| if c.is_ascii_alphanumeric() || "=,.@-_".contains(c) { c } else { '-' };
        let prefix = "lightsail-key-";
        let skipped = alert_id.chars().count().saturating_sub(MAX_SESSION_NAME - prefix.len());
        Self(prefix.chars().chain(alert_id.chars().skip(skipped).map(replace)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_name_has_alert_id_and_allowed_characters() {
        assert_eq!(SessionName::of("b0f2/3 c:d").0, "lightsail-key-b0f2-3-c-d");
        let long = SessionName::of(&"ä".repeat(100)).0;
        assert!(long.len() == 64 && long.ends_with("--"), "{long}");
    }

    #[test]
    fn session_name_has_end_of_long_alert_id() {
        let uuid = "a1b2c3d4-5678-90ab-cdef-111122223333";
        let arn = format!("arn:aws:securityhub:us-east-1:012345678912:security-control/S3.8/finding/{uuid}");
        let name = SessionName::of(&arn).0;
        assert_eq!(name, format!("lightsail-key--S3.8-finding-{uuid}"));
        assert_eq!(name.len(), MAX_SESSION_NAME);
    }
}
