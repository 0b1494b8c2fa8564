//! Does what a client asked for: turns a [`Call`] into the answer of the real operation, and
//! changes the world accordingly.
//!
//! A fault bends here what has to do with the work itself: what becomes of the operation and of
//! the deleted key. A call that is refused changes nothing.

use serde_json::{Value, json};

use crate::{
    bucket::{AccessKey, Bucket, MOST_KEYS, Tag},
    dialect::{EmptyLists, OperationMemory, UnusedAccount},
    fault::Fault,
    identifiers::Identifiers,
    input::Call,
    operation::Operation,
    page,
    record::Record,
    refusal::Refusal,
    region::Regions,
    settings::Settings,
    signature::Caller,
    world::{Shelf, World},
};

/// What matters to the work besides the call.
pub(crate) struct Work<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) fault: Option<&'a Fault>,
    pub(crate) ids: &'a Identifiers,
    pub(crate) settings: &'a Settings,
    pub(crate) regions: &'a Regions,
}

impl Work<'_> {
    /// Does the work of `call` and answers it.
    pub(crate) fn answer(&self, world: &mut World, call: Call) -> Result<Value, Refusal> {
        let Caller { account, region, .. } = self.caller;
        let name_is_taken = |name: &str| world.owner_of(name).is_some();
        match call {
            Call::CreateBucket { bucket, .. } if name_is_taken(&bucket) => {
                Err(Refusal::invalid_input(format!("The bucket name is already in use: {bucket}")))
            }
            Call::CreateBucket { .. } => self.answer_from(world.shelf(account, region), call),
            call => {
                self.admit_account(world)?;
                self.answer_from(world.shelf(account, region), call)
            }
        }
    }

    fn admit_account(&self, world: &World) -> Result<(), Refusal> {
        match self.settings.dialect.unused_account {
            UnusedAccount::Empty => Ok(()),
            _ if world.has_used(&self.caller.account) => Ok(()),
            UnusedAccount::SetupInProgress => Err(Refusal::account_setup_in_progress()),
            UnusedAccount::Denied => Err(Refusal::access_denied()),
        }
    }

    /// The rest concerns the caller's own buckets only.
    fn answer_from(&self, shelf: &mut Shelf, call: Call) -> Result<Value, Refusal> {
        match call {
            Call::GetRegions { zones, database_zones } => Ok(self.regions.listed(zones, database_zones)),
            Call::CreateBucket { bucket, bundle, tags, versioning } => {
                Ok(self.create_bucket(shelf, &bucket, bundle, tags, versioning))
            }
            Call::GetBuckets { bucket, page, connected } => {
                self.list_buckets(shelf, bucket.as_deref(), page.as_deref(), connected)
            }
            Call::DeleteBucket { bucket, force } => self.delete_bucket(shelf, &bucket, force),
            Call::CreateBucketAccessKey { bucket } => self.create_key(shelf, &bucket),
            Call::GetBucketAccessKeys { bucket } => self.list_keys(shelf, &bucket),
            Call::DeleteBucketAccessKey { bucket, key } => self.delete_key(shelf, &bucket, &key),
            Call::GetOperation { id } => self.poll(shelf, &id),
            Call::GetOperations { page } => self.list_operations(shelf, page.as_deref()),
        }
    }

    fn create_bucket(&self, shelf: &mut Shelf, name: &str, bundle: String, tags: Vec<Tag>, versioning: bool) -> Value {
        let bucket = Bucket::new(self.ids.uuid(), name, bundle, tags, versioning);
        let wire = bucket.wire(&self.caller.account, &self.caller.region, false);
        shelf.buckets.insert(name.to_owned(), bucket);
        json!({"bucket": wire, "operations": self.record(shelf, Operation::CreateBucket, name, None)})
    }

    fn list_buckets(
        &self,
        shelf: &mut Shelf,
        name: Option<&str>,
        token: Option<&str>,
        connected: bool,
    ) -> Result<Value, Refusal> {
        let wire = |bucket: &Bucket| bucket.wire(&self.caller.account, &self.caller.region, connected);
        if let Some(name) = name {
            return Ok(json!({"buckets": [wire(self.bucket(shelf, name)?)]}));
        }
        let all = shelf.buckets.iter().map(|(name, bucket)| (name, wire(bucket)));
        let answer = page::cut("buckets", all, token, self.settings.page_size)?;
        Ok(self.leave_out_if_empty(answer, "buckets"))
    }

    fn list_keys(&self, shelf: &mut Shelf, name: &str) -> Result<Value, Refusal> {
        let answer = json!({"accessKeys": self.bucket(shelf, name)?.list_keys()});
        Ok(self.leave_out_if_empty(answer, "accessKeys"))
    }

    /// "You must force delete the bucket if ... the bucket has access keys" (`forceDelete` in the
    /// API reference). Which error tells so is not said there.
    fn delete_bucket(&self, shelf: &mut Shelf, name: &str, force: bool) -> Result<Value, Refusal> {
        if !self.bucket(shelf, name)?.keys.is_empty() && !force {
            return Err(Refusal::invalid_input(format!(
                "The bucket {name} has access keys. Delete them first, or set forceDelete."
            )));
        }
        if !self.is_to_fail() {
            shelf.buckets.remove(name);
        }
        Ok(json!({"operations": self.record(shelf, Operation::DeleteBucket, name, None)}))
    }

    fn create_key(&self, shelf: &mut Shelf, name: &str) -> Result<Value, Refusal> {
        let bucket = self.bucket(shelf, name)?;
        if bucket.keys.len() >= MOST_KEYS {
            return Err(Refusal::invalid_input(format!(
                "The bucket {name} already has {MOST_KEYS} access keys, the most that a bucket can have."
            )));
        }
        let key = AccessKey::new(self.ids.access_key_id());
        let mut wire = key.wire();
        // "This object does not include data in the response of a CreateBucketAccessKey action"
        // (`lastUsed` of API_AccessKey).
        wire["lastUsed"] = json!({});
        wire["secretAccessKey"] = self.ids.secret_access_key().into();
        let details = Some(key.id.clone());
        bucket.keys.push(key);
        let operations = self.record(shelf, Operation::CreateBucketAccessKey, name, details);
        Ok(json!({"accessKey": wire, "operations": operations}))
    }

    /// "Results are returned from oldest to newest" (API_GetOperations). All
    /// operations are remembered or none, so the place of one in the list is a key that stays.
    fn list_operations(&self, shelf: &Shelf, token: Option<&str>) -> Result<Value, Refusal> {
        let remembered = if self.remembers() { shelf.records.as_slice() } else { &[] };
        let all = remembered.iter().enumerate();
        let all = all.map(|(place, record)| (format!("{place:010}"), record.wire()));
        let mut answer = page::cut("operations", all, token, self.settings.page_size)?;
        if self.fault == Some(&Fault::NoOperations) {
            answer["operations"] = json!([]);
        }
        Ok(self.leave_out_if_empty(answer, "operations"))
    }

    fn leave_out_if_empty(&self, mut answer: Value, list: &str) -> Value {
        let is_empty = answer[list].as_array().is_some_and(Vec::is_empty);
        if let Some(members) = answer.as_object_mut()
            && is_empty
            && self.settings.dialect.empty_lists == EmptyLists::Absent
        {
            members.remove(list);
        }
        answer
    }

    /// The bucket with this name, or the refusal that there is none.
    pub(crate) fn bucket<'a>(&self, shelf: &'a mut Shelf, name: &str) -> Result<&'a mut Bucket, Refusal> {
        let missing = || Refusal::missing_bucket(self.settings.dialect.missing_bucket, name);
        shelf.buckets.get_mut(name).ok_or_else(missing)
    }

    /// Whether a script wants a delete to fail and leave the thing where it is.
    pub(crate) fn is_to_fail(&self) -> bool {
        matches!(self.fault, Some(Fault::OperationFailed { key_stays: true, .. }))
    }

    /// Remembers that an operation was started; returns the `operations` of the answer.
    fn record(&self, shelf: &mut Shelf, operation: Operation, bucket: &str, details: Option<String>) -> Value {
        let place = (bucket, self.caller.region.as_str());
        let record = Record::new(self.ids.uuid(), operation, place, details, self.settings.done_at_poll, self.fault);
        let wire = record.wire();
        shelf.records.push(record);
        if self.fault == Some(&Fault::NoOperations) { json!([]) } else { json!([wire]) }
    }

    fn poll(&self, shelf: &mut Shelf, id: &str) -> Result<Value, Refusal> {
        let found = shelf.records.iter_mut().find(|record| record.id == id && self.remembers());
        let record = found.ok_or_else(|| Refusal::not_found("operation", id))?;
        record.poll();
        Ok(json!({"operation": record.wire()}))
    }

    fn remembers(&self) -> bool {
        self.settings.dialect.operation_memory == OperationMemory::Kept
    }
}
