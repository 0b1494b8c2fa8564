//! A bucket and its access keys: turns what is stored into the `Bucket` and `AccessKey` shapes
//! of botocore's model.
//!
//! Secrets are not stored. The simulator has no objects that a secret could open, and what is
//! not here cannot leak into a list.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::clock;
use crate::timestamp::epoch_seconds;

/// "You can have a maximum of two access keys per bucket" (API_CreateBucketAccessKey).
pub(crate) const MOST_KEYS: usize = 2;

/// A bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// The last part of the ARN, which is not the name.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) bundle: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) versioning: bool,
    pub(crate) keys: Vec<AccessKey>,
    /// Keys that are deleted and still listed, because a script says so.
    pub(crate) ghosts: Vec<Ghost>,
}

/// A tag of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value, which may be empty.
    #[serde(default)]
    pub value: String,
}

/// An access key of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) status: KeyStatus,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_used: Option<LastUsed>,
}

/// `StatusType` of the model. No operation of the API changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyStatus {
    /// The key works.
    #[default]
    Active,
    /// The key does not work.
    Inactive,
}

/// Where and when a key was used last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LastUsed {
    /// When.
    pub last_used_date: DateTime<Utc>,
    /// In which Region.
    pub region: String,
    /// With which service, for instance `s3`.
    pub service_name: String,
}

/// A deleted key that the next `reads` lists still show.
#[derive(Clone, Debug)]
pub(crate) struct Ghost {
    pub(crate) key: AccessKey,
    pub(crate) reads: u32,
}

impl Bucket {
    /// A bucket made now, without keys.
    pub(crate) fn new(id: String, name: &str, bundle: String, tags: Vec<Tag>, versioning: bool) -> Self {
        let (name, created_at) = (name.to_owned(), clock::now());
        Self { id, name, bundle, created_at, tags, versioning, keys: Vec::new(), ghosts: Vec::new() }
    }

    /// The `Bucket` shape. Access rules, log, state and the like never change here; they are as a
    /// new private bucket has them, as far as AWS documents that.
    pub(crate) fn wire(&self, account: &str, region: &str, connected: bool) -> Value {
        let mut wire = json!({
            "resourceType": "Bucket",
            "accessRules": {"getObject": "private", "allowPublicOverrides": false},
            "arn": format!("arn:aws:lightsail:{region}:{account}:Bucket/{}", self.id),
            "bundleId": self.bundle,
            "createdAt": epoch_seconds(self.created_at),
            "url": format!("https://{}.s3.{region}.amazonaws.com/", self.name),
            "location": {"availabilityZone": "all", "regionName": region},
            "name": self.name,
            "supportCode": format!("{account}/{}/{}", self.name, self.bundle),
            "tags": self.tags,
            "objectVersioning": if self.versioning { "Enabled" } else { "NeverEnabled" },
            "ableToUpdateBundle": true,
            "readonlyAccessAccounts": [],
            "state": {"code": "OK"},
            "accessLogConfig": {"enabled": false},
        });
        if connected {
            wire["resourcesReceivingAccess"] = json!([]);
        }
        wire
    }

    /// The keys as a list shows them now, ghosts last; a ghost is one reading older afterwards.
    pub(crate) fn list_keys(&mut self) -> Vec<Value> {
        let shown = self.keys.iter().chain(self.ghosts.iter().map(|ghost| &ghost.key)).map(AccessKey::wire).collect();
        for ghost in &mut self.ghosts {
            ghost.reads -= 1;
        }
        self.ghosts.retain(|ghost| ghost.reads > 0);
        shown
    }

    /// Takes a key away; with `reads` above zero its ghost stays for as many lists.
    pub(crate) fn remove_key(&mut self, id: &str, reads: u32) {
        for key in self.keys.extract_if(.., |key| key.id == id) {
            if reads > 0 {
                self.ghosts.push(Ghost { key, reads });
            }
        }
    }
}

impl AccessKey {
    /// An active key made now and never used.
    pub(crate) fn new(id: String) -> Self {
        Self { id, status: KeyStatus::Active, created_at: clock::now(), last_used: None }
    }

    /// The `AccessKey` shape without a secret. `N/A` is what the model's documentation of
    /// `AccessKeyLastUsed` says of a key that was not used; the date is left out then.
    pub(crate) fn wire(&self) -> Value {
        let last_used = match &self.last_used {
            None => json!({"region": "N/A", "serviceName": "N/A"}),
            Some(used) => json!({
                "lastUsedDate": epoch_seconds(used.last_used_date),
                "region": used.region,
                "serviceName": used.service_name,
            }),
        };
        json!({
            "accessKeyId": self.id,
            "status": self.status,
            "createdAt": epoch_seconds(self.created_at),
            "lastUsed": last_used,
        })
    }
}

/// Whether `id` fits `^[A-Z0-9]{20}$`, the model's `IAMAccessKeyId`.
pub(crate) fn is_key_id(id: &str) -> bool {
    id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}
