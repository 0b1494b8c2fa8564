//! What IAM and STS would remember: roles, and the sessions of those who assumed them. Turns an
//! [`AssumeRole`] into a [`Session`], or into the refusal that STS answers.
//!
//! A session belongs to the account of its role, whoever assumed it. It is never forgotten, so
//! that one that has ended is refused as such and not taken for an unknown caller.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    identifiers::Identifiers,
    refusal::Refusal,
    role::{Role, RoleError},
    signature::Caller,
    sts::AssumeRole,
};

/// All roles and sessions.
#[derive(Debug, Default)]
pub(crate) struct Iam {
    /// By ARN, with the id that IAM would have given it.
    roles: BTreeMap<String, (Role, String)>,
    /// By access key id.
    sessions: BTreeMap<String, Session>,
}

/// The temporary credentials of a role, and whose they are.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
    pub(crate) token: String,
    pub(crate) account: String,
    /// `AssumedRoleUser`.
    pub(crate) arn: String,
    pub(crate) user_id: String,
    pub(crate) end: DateTime<Utc>,
}

impl Iam {
    pub(crate) fn add(&mut self, role: Role, ids: &Identifiers) -> Result<(), RoleError> {
        role.check()?;
        self.roles.insert(role.arn(), (role, ids.role_id()));
        Ok(())
    }

    /// Begins a session. STS does not tell a role that is not there from one that does not trust
    /// the caller, or not without another external ID. An external ID that the role does not ask
    /// for is ignored, as a condition is that its policy does not have.
    pub(crate) fn assume(
        &mut self,
        caller: &Caller,
        asked: &AssumeRole,
        ids: &Identifiers,
        now: DateTime<Utc>,
    ) -> Result<Session, Refusal> {
        let found = self.roles.get(&asked.role_arn);
        let trusts = |role: &Role| role.external_id.is_none() || role.external_id == asked.external_id;
        let (role, role_id) = found
            .filter(|(role, _)| trusts(role))
            .ok_or_else(|| Refusal::may_not_assume(&caller.arn, &asked.role_arn))?;
        let Role { account, name, .. } = role;
        let seconds = role.lasts_seconds.unwrap_or(u32::MAX).min(asked.seconds);
        let session = Session {
            access_key_id: ids.session_access_key_id(),
            secret: ids.secret_access_key(),
            token: ids.session_token(),
            account: account.clone(),
            arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{}", asked.session_name),
            user_id: format!("{role_id}:{}", asked.session_name),
            end: now + TimeDelta::seconds(seconds.into()),
        };
        self.sessions.insert(session.access_key_id.clone(), session.clone());
        Ok(session)
    }

    /// The session that was begun with this access key id.
    pub(crate) fn session(&self, access_key_id: &str) -> Option<&Session> {
        self.sessions.get(access_key_id)
    }

    /// The roles, for the state.
    pub(crate) fn roles(&self) -> Vec<&Role> {
        self.roles.values().map(|(role, _)| role).collect()
    }
}

/// Tells whose it is, and nothing that opens anything.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("arn", &self.arn).field("end", &self.end).finish_non_exhaustive()
    }
}
