//! Puts IAM roles into the simulator, which has no IAM to create them: turns a [`Role`] into one
//! that `AssumeRole` finds, or into the reason why it cannot be.

use serde::{Deserialize, Serialize};

use crate::settings::is_account;

/// A role that every caller may assume, if it gives the external ID that the role may want. If
/// the account has a role of this name already, that is replaced; its sessions go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    pub(crate) account: String,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lasts_seconds: Option<u32>,
}

impl Role {
    /// A role that wants no external ID.
    pub fn new(account: &str, name: &str) -> Self {
        Self { account: account.to_owned(), name: name.to_owned(), external_id: None, lasts_seconds: None }
    }

    /// Wants this external ID (`sts:ExternalId` in its trust policy).
    #[must_use]
    pub fn external_id(mut self, external_id: &str) -> Self {
        self.external_id = Some(external_id.to_owned());
        self
    }

    /// Ends its sessions after so many seconds at the latest, even if that is less than the 900
    /// that a caller can ask for. With 0 they have ended before they are used.
    #[must_use]
    pub fn lasts_seconds(mut self, seconds: u32) -> Self {
        self.lasts_seconds = Some(seconds);
        self
    }

    /// What a caller names it by. It has no path.
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{}:role/{}", self.account, self.name)
    }

    pub(crate) fn check(&self) -> Result<(), RoleError> {
        if !is_account(&self.account) {
            return Err(RoleError::Account { account: self.account.clone() });
        }
        if !((1..=64).contains(&self.name.len()) && self.name.chars().all(is_name_character)) {
            return Err(RoleError::Name { name: self.name.clone() });
        }
        match &self.external_id {
            Some(id) if !((2..=1224).contains(&id.len()) && id.chars().all(is_external_id_character)) => {
                Err(RoleError::ExternalId { external_id: id.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// `[\w+=,.@-]`, of which IAM's `roleNameType` and STS's `roleSessionNameType` are made.
pub(crate) fn is_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_+=,.@-".contains(character)
}

/// `[\w+=,.@:\/-]`, of which STS's `externalIdType` is made.
pub(crate) fn is_external_id_character(character: char) -> bool {
    is_name_character(character) || ":/".contains(character)
}

/// Why a role is refused. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// The account is not an account number.
    #[error("`{account}` is not an account: 12 digits are")]
    Account {
        /// As it was given.
        account: String,
    },
    /// The name is not one that a role can have.
    #[error("`{name}` is not a role's name: ^[\\w+=,.@-]{{1,64}}$ is")]
    Name {
        /// As it was given.
        name: String,
    },
    /// No caller could give this external ID.
    #[error("`{external_id}` is not an external ID: ^[\\w+=,.@:\\/-]{{2,1224}}$ is")]
    ExternalId {
        /// As it was given.
        external_id: String,
    },
}
