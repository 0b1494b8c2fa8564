//! Puts buckets and keys with chosen ids into the world, which the API cannot do: turns a
//! [`Seed`] into a bucket, or into the reason why it cannot be.
//!
//! A seed that AWS could never have is refused. A test that starts from an impossible state
//! proves nothing.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    bucket::{AccessKey, Bucket, KeyStatus, LastUsed, MOST_KEYS, Tag, is_key_id},
    clock,
    identifiers::Identifiers,
    input::is_bucket_name,
    region::Regions,
    settings::is_account,
    world::World,
};

/// A bucket with exactly these keys. If it is there already, its keys are replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    region: String,
    bucket: String,
    #[serde(default)]
    keys: Vec<SeedKey>,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    any_name: bool,
}

/// A key with a chosen id.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeedKey {
    id: String,
    status: KeyStatus,
    created_at: Option<DateTime<Utc>>,
    last_used: Option<LastUsed>,
}

impl Seed {
    /// A bucket without keys in the default account.
    pub fn bucket(region: &str, name: &str) -> Self {
        Self {
            account: None,
            region: region.to_owned(),
            bucket: name.to_owned(),
            keys: Vec::new(),
            tags: Vec::new(),
            any_name: false,
        }
    }

    /// In this account instead.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// With one key more: its id, or a [`SeedKey`].
    #[must_use]
    pub fn key(mut self, key: impl Into<SeedKey>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// With one tag more.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push(Tag { key: key.to_owned(), value: value.to_owned() });
        self
    }

    /// With a name that does not fit the model's pattern. What AWS lists need not: the pattern binds
    /// inputs, and Lightsail's buckets are buckets of S3, whose names can have other letters.
    #[must_use]
    pub fn any_name(mut self) -> Self {
        self.any_name = true;
        self
    }

    /// Puts it into `world`, or leaves that as it was.
    pub(crate) fn plant(
        self,
        world: &mut World,
        regions: &Regions,
        ids: &Identifiers,
        default_account: &str,
    ) -> Result<(), SeedError> {
        let account = self.account.unwrap_or_else(|| default_account.to_owned());
        let region = self.region;
        if !is_account(&account) {
            return Err(SeedError::Account { account });
        }
        if !regions.has(&region) {
            return Err(SeedError::Region { region, known: regions.names() });
        }
        if !is_bucket_name(&self.bucket) && !self.any_name {
            return Err(SeedError::Bucket { bucket: self.bucket });
        }
        if self.keys.len() > MOST_KEYS {
            return Err(SeedError::TooManyKeys { bucket: self.bucket, count: self.keys.len() });
        }
        let mut seen = BTreeSet::new();
        for SeedKey { id, .. } in &self.keys {
            if !is_key_id(id) {
                return Err(SeedError::Key { id: id.clone() });
            }
            if !seen.insert(id) {
                return Err(SeedError::KeyTwice { id: id.clone() });
            }
        }
        if let Some((owner, place)) =
            world.owner_of(&self.bucket).filter(|owner| **owner != (account.clone(), region.clone()))
        {
            return Err(SeedError::Taken { owner: owner.clone(), region: place.clone(), bucket: self.bucket });
        }
        let buckets = &mut world.shelf(&account, &region).buckets;
        let bucket = buckets
            .entry(self.bucket)
            .or_insert_with_key(|name| Bucket::new(ids.uuid(), name, "small_1_0".to_owned(), Vec::new(), false));
        bucket.keys = self.keys.into_iter().map(SeedKey::into_key).collect();
        bucket.ghosts.clear();
        bucket.tags = self.tags;
        Ok(())
    }
}

impl SeedKey {
    /// An active key that was made now and never used.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), status: KeyStatus::Active, created_at: None, last_used: None }
    }

    /// Inactive instead, which the model knows and no operation does.
    #[must_use]
    pub fn inactive(mut self) -> Self {
        self.status = KeyStatus::Inactive;
        self
    }

    /// Made then.
    #[must_use]
    pub fn created_at(mut self, at: DateTime<Utc>) -> Self {
        self.created_at = Some(at);
        self
    }

    /// Used last then and there, with that service.
    #[must_use]
    pub fn last_used(mut self, at: DateTime<Utc>, region: &str, service: &str) -> Self {
        let (region, service_name) = (region.to_owned(), service.to_owned());
        self.last_used = Some(LastUsed { last_used_date: at, region, service_name });
        self
    }

    fn into_key(self) -> AccessKey {
        AccessKey {
            id: self.id,
            status: self.status,
            created_at: self.created_at.unwrap_or_else(clock::now),
            last_used: self.last_used,
        }
    }
}

impl From<&str> for SeedKey {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for SeedKey {
    fn from(id: String) -> Self {
        Self::new(&id)
    }
}

/// A string is an id. It is told from an object by hand, since serde's untagged enums do not say
/// which field was unknown.
impl<'de> Deserialize<'de> for SeedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Fields {
            id: String,
            #[serde(default)]
            status: KeyStatus,
            created_at: Option<DateTime<Utc>>,
            last_used: Option<LastUsed>,
        }
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(id) => Ok(Self::new(&id)),
            other => {
                let Fields { id, status, created_at, last_used } =
                    serde_json::from_value(other).map_err(serde::de::Error::custom)?;
                Ok(Self { id, status, created_at, last_used })
            }
        }
    }
}

/// Why a seed is refused. Nothing of it is planted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeedError {
    /// The account is not an account number.
    #[error("`{account}` is not an account: 12 digits are")]
    Account {
        /// As it was given.
        account: String,
    },
    /// Lightsail does not have the Region.
    #[error("unknown region `{region}`, expected one of {known}")]
    Region {
        /// As it was given.
        region: String,
        /// Names of the Regions that it has.
        known: String,
    },
    /// The name is not one that a bucket can have.
    #[error("`{bucket}` is not a bucket's name: ^[a-z0-9][a-z0-9-]{{1,52}}[a-z0-9]$ is")]
    Bucket {
        /// As it was given.
        bucket: String,
    },
    /// A bucket has at most two keys.
    #[error("{count} keys for the bucket {bucket}: at most {MOST_KEYS} are possible")]
    TooManyKeys {
        /// The bucket.
        bucket: String,
        /// How many were given.
        count: usize,
    },
    /// The id is not one that a key can have.
    #[error("`{id}` is not an access key id: ^[A-Z0-9]{{20}}$ is")]
    Key {
        /// As it was given.
        id: String,
    },
    /// The same id was given twice.
    #[error("the access key id {id} is given twice")]
    KeyTwice {
        /// The id.
        id: String,
    },
    /// Another account or Region has a bucket of this name.
    #[error("the bucket {bucket} is already in account {owner}, Region {region}")]
    Taken {
        /// The account that has it.
        owner: String,
        /// The Region that has it.
        region: String,
        /// The bucket.
        bucket: String,
    },
}
