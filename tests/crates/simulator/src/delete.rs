//! Deletes an access key: turns the call into the answer that the [`Dialect`](crate::Dialect)
//! has for a key that is there, and for one that is not.

use serde_json::{Value, json};

use crate::{
    bucket::{Bucket, Tag},
    dialect::{AbsentKey, DeleteOperations, TagDeny},
    fault::Fault,
    operation::Operation,
    record::Record,
    refusal::Refusal,
    work::Work,
    world::Shelf,
};

impl Work<'_> {
    /// Deletes the key and answers the call. A refused call changes nothing.
    pub(crate) fn delete_key(&self, shelf: &mut Shelf, name: &str, key: &str) -> Result<Value, Refusal> {
        let bucket = self.bucket(shelf, name)?;
        if self.denies(bucket) {
            return Err(Refusal::explicit_deny(&self.caller.arn));
        }
        if !bucket.keys.iter().any(|stored| stored.id == key) {
            return self.answer_absent_key(shelf, name, key);
        }
        if !self.is_to_fail() {
            let reads = if let Some(Fault::StillListed { reads }) = self.fault { *reads } else { 0 };
            bucket.remove_key(key, reads);
        }
        let mut operations = Vec::new();
        if self.settings.dialect.delete_operations == DeleteOperations::Several {
            operations.push(self.start_delete(shelf, name, key, 0, None));
        }
        operations.push(self.start_delete(shelf, name, key, self.last_poll(), self.fault));
        Ok(match self.settings.dialect.delete_operations {
            _ if self.fault == Some(&Fault::NoOperations) => json!({"operations": []}),
            DeleteOperations::Empty => json!({"operations": []}),
            DeleteOperations::Absent => json!({}),
            _ => json!({ "operations": operations }),
        })
    }

    fn denies(&self, bucket: &Bucket) -> bool {
        let is_denied = |tag: &Tag| {
            let denied = self.settings.denied_tag.as_ref();
            denied.is_some_and(|denied| {
                tag.key.eq_ignore_ascii_case(&denied.key) && tag.value.eq_ignore_ascii_case(&denied.value)
            })
        };
        self.settings.dialect.tag_deny == TagDeny::Evaluated && bucket.tags.iter().any(is_denied)
    }

    fn answer_absent_key(&self, shelf: &mut Shelf, name: &str, key: &str) -> Result<Value, Refusal> {
        let failed = Fault::OperationFailed {
            code: Some("NotFoundException".to_owned()),
            details: Some(format!("The access key does not exist: {key}")),
            key_stays: true,
        };
        let fault = match self.settings.dialect.absent_key {
            AbsentKey::NotFound => return Err(Refusal::not_found("access key", key)),
            AbsentKey::NoOperations if self.settings.dialect.delete_operations == DeleteOperations::Absent => {
                return Ok(json!({}));
            }
            AbsentKey::NoOperations => return Ok(json!({"operations": []})),
            AbsentKey::Succeeded => self.fault,
            AbsentKey::Failed => Some(&failed),
        };
        let operation = self.start_delete(shelf, name, key, self.last_poll(), fault);
        let hidden = self.fault == Some(&Fault::NoOperations);
        Ok(if hidden { json!({"operations": []}) } else { json!({"operations": [operation]}) })
    }

    /// The poll that finds the operation done.
    fn last_poll(&self) -> u32 {
        match self.settings.dialect.delete_operations {
            DeleteOperations::Terminal => 0,
            _ => self.settings.done_at_poll,
        }
    }

    /// Remembers an operation, and returns it as it stands now.
    fn start_delete(
        &self,
        shelf: &mut Shelf,
        name: &str,
        key: &str,
        done_at_poll: u32,
        fault: Option<&Fault>,
    ) -> Value {
        let place = (name, self.caller.region.as_str());
        let details = Some(key.to_owned());
        let record =
            Record::new(self.ids.uuid(), Operation::DeleteBucketAccessKey, place, details, done_at_poll, fault);
        let wire = record.wire();
        shelf.records.push(record);
        wire
    }
}
