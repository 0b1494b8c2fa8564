//! Everything that Lightsail would remember, shelf by shelf: one shelf for each account and
//! Region, with buckets and operations. Turns it all into JSON for the control door.
//!
//! Shelves do not see each other, except that a bucket's name is taken for all of them, as it is
//! in S3, where Lightsail's buckets live.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    bucket::{AccessKey, Bucket},
    record::Record,
};

/// All accounts and Regions.
#[derive(Debug, Default)]
pub(crate) struct World {
    shelves: BTreeMap<(String, String), Shelf>,
}

/// What one account has in one Region.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    /// From oldest to newest, which is the order in which `GetOperations` lists them.
    pub(crate) records: Vec<Record>,
}

impl World {
    /// What an account has in a Region, made when it is first asked for.
    pub(crate) fn shelf(&mut self, account: &str, region: &str) -> &mut Shelf {
        self.shelves.entry((account.to_owned(), region.to_owned())).or_default()
    }

    /// The account and Region of the bucket with this name.
    pub(crate) fn owner_of(&self, bucket: &str) -> Option<&(String, String)> {
        self.shelves.iter().find_map(|(owner, shelf)| shelf.buckets.contains_key(bucket).then_some(owner))
    }

    /// Whether the account has had a bucket or an operation in any Region.
    pub(crate) fn has_used(&self, account: &str) -> bool {
        let mut own = self.shelves.iter().filter(|((owner, _), _)| owner == account);
        own.any(|(_, shelf)| !shelf.buckets.is_empty() || !shelf.records.is_empty())
    }

    /// The ids of the keys that a bucket really has, which a list may not tell.
    pub(crate) fn keys(&self, account: &str, region: &str, bucket: &str) -> Option<Vec<String>> {
        let bucket = self.shelves.get(&(account.to_owned(), region.to_owned()))?.buckets.get(bucket)?;
        Some(bucket.keys.iter().map(|key| key.id.clone()).collect())
    }

    /// Everything, for the control door. Nothing is counted as read or polled by this.
    pub(crate) fn describe(&self) -> Value {
        let shelves = self.shelves.iter().map(|((account, region), shelf)| {
            let buckets = shelf.buckets.values().map(|bucket| {
                let mut wire = bucket.wire(account, region, false);
                wire["accessKeys"] = bucket.keys.iter().map(AccessKey::wire).collect();
                wire["stillListed"] = bucket.ghosts.iter().map(|ghost| ghost.key.wire()).collect();
                wire
            });
            json!({
                "account": account,
                "region": region,
                "buckets": buckets.collect::<Vec<_>>(),
                "operations": shelf.records.iter().map(Record::wire).collect::<Vec<_>>(),
            })
        });
        shelves.collect()
    }
}
