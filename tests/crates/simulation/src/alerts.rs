//! Alerts: one or several keys, in one or two accounts, at once or as an SQS batch.

use serde_json::{Value, json};

use crate::routes::{BUCKET, EMPTY, KEYS, LEDGER, MISSING, Route};
use crate::{ACCOUNT, MEMBER, NEW_REGION, OPT_IN_REGION, OTHER_REGION, REGION};

/// One message of an alert.
#[derive(Clone, Debug)]
pub struct Message {
    /// ID of the SQS message. None if the alert is no batch.
    pub id: Option<String>,
    /// A manual event.
    pub body: Value,
}

/// A key that is to have a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// ID of the SQS message that names it.
    pub message: Option<String>,
    /// The key.
    pub key: &'static str,
}

/// An alert, or what SQS delivers of it again.
#[derive(Clone, Debug)]
pub struct Alert(Vec<Message>);

impl Route {
    /// Returns the alert.
    pub fn alert(self) -> Alert {
        let named =
            |region| json!({"accessKeyId": KEYS[0], "bucketName": BUCKET, "region": region, "accountId": ACCOUNT});
        let wrong = |bucket| json!({"accessKeyId": KEYS[0], "bucketName": bucket, "accountId": ACCOUNT});
        let in_member =
            json!({"accessKeyId": KEYS[2], "bucketName": LEDGER, "region": OTHER_REGION, "accountId": MEMBER});
        let bodies = match self {
            Self::Named | Self::NamedProtected => vec![named(REGION)],
            Self::NamedNew => vec![named(NEW_REGION)],
            Self::NamedOptIn => vec![named(OPT_IN_REGION)],
            Self::RegionOptIn => {
                vec![json!({"accessKeyId": KEYS[0], "region": OPT_IN_REGION, "accountId": ACCOUNT})]
            }
            Self::NamedWrong | Self::WrongOptIn => vec![wrong(EMPTY)],
            Self::NamedMissing => vec![wrong(MISSING)],
            Self::Searched | Self::Nowhere | Self::SearchedNew | Self::SearchedOptIn | Self::SearchedProtected => {
                vec![json!({"accessKeyId": KEYS[0], "accountId": ACCOUNT})]
            }
            Self::Member => vec![json!({"accessKeyId": KEYS[0], "bucketName": BUCKET, "accountId": MEMBER})],
            Self::Several => vec![json!({"accessKeyId": [KEYS[0], KEYS[1]]})],
            Self::Twice | Self::BatchTwice => vec![wrong(EMPTY), named(REGION)],
            Self::Accounts => vec![named(REGION), in_member],
            Self::Unowned => vec![json!({"accessKeyId": [KEYS[0], KEYS[2]]})],
            Self::NeverUsed => vec![json!({"accessKeyId": KEYS[0]})],
            Self::Batch => vec![named(REGION), json!({"accessKeyId": KEYS[1]}), in_member],
        };
        let id = |number| self.is_batch().then(|| format!("059f36b4-87a3-44ab-83d2-{number:012}"));
        Alert(bodies.into_iter().enumerate().map(|(number, body)| Message { id: id(number), body }).collect())
    }
}

#[expect(clippy::len_without_is_empty, reason = "an alert has a message")]
impl Alert {
    /// Returns the number of messages.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the event that Lambda gets.
    pub fn event(&self) -> Value {
        let item = |message: &Message| {
            let Message { id, body } = message;
            id.as_ref().map(|id| json!({"messageId": id, "eventSource": "aws:sqs", "body": body.to_string()}))
        };
        let items = self.0.iter().filter_map(item).collect::<Vec<_>>();
        match self.0.as_slice() {
            _ if !items.is_empty() => json!({"Records": items}),
            [Message { body, .. }] => body.clone(),
            messages => messages.iter().map(|message| message.body.clone()).collect(),
        }
    }

    /// Returns the messages of a batch with these IDs. SQS delivers no other again.
    #[must_use]
    pub fn only(&self, ids: &[String]) -> Self {
        let wanted = |message: &&Message| message.id.as_ref().is_some_and(|id| ids.contains(id));
        Self(self.0.iter().filter(wanted).cloned().collect())
    }

    /// Returns the keys that are to have a record: each once per message of a batch, or once.
    pub fn named(&self) -> Vec<Named> {
        let mut all = Vec::new();
        for Message { id, body } in &self.0 {
            let names = |key: &str| {
                let field = &body["accessKeyId"];
                field == key || field.as_array().is_some_and(|keys| keys.iter().any(|named| named == key))
            };
            let keys = KEYS.into_iter().filter(|key| names(key));
            all.extend(keys.map(|key| Named { message: id.clone(), key }));
        }
        let mut distinct = Vec::new();
        all.into_iter().for_each(|named| {
            if !distinct.contains(&named) {
                distinct.push(named);
            }
        });
        distinct
    }

    /// Returns whether each message names a bucket, in a Region that the function knows without asking AWS.
    pub fn is_hinted(&self) -> bool {
        let is_known = |message: &Message| message.body["region"] != NEW_REGION;
        self.0.iter().all(|message| message.body["bucketName"].is_string() && is_known(message))
    }

    /// Returns whether a message names a bucket of this name.
    pub fn names_bucket(&self, bucket: &str) -> bool {
        self.0.iter().any(|message| message.body["bucketName"] == bucket)
    }

    /// Returns whether a message names this Region.
    pub fn names_region(&self, region: &str) -> bool {
        self.0.iter().any(|message| message.body["region"] == region)
    }

    /// Returns the accounts that it concerns: the owners, or all if a message names no owner.
    pub fn accounts(&self) -> Vec<&'static str> {
        let concerns = |account: &&str| {
            let owners = self.0.iter().map(|message| &message.body["accountId"]);
            owners.into_iter().any(|owner| owner.is_null() || owner == *account)
        };
        [ACCOUNT, MEMBER].into_iter().filter(concerns).collect()
    }
}
