//! The places of keys, and the alerts that name them: one or several keys, in one or two accounts, at once or as an SQS
//! batch.

use serde_json::{Value, json};

use crate::{ACCOUNT, MEMBER, OTHER_REGION, REGION};

/// Exposed keys. The first is on [`BUCKET`], the second in another Region, the third in the other account.
pub const KEYS: [&str; 3] = ["AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7SECONDK", "AKIAIOSFODNN7MEMBERK"];
/// Bucket of the first key.
pub const BUCKET: &str = "photos";
/// Bucket of the second key.
const OTHER_BUCKET: &str = "backups";
/// Bucket of the third key.
const LEDGER: &str = "ledger";
/// Bucket without keys, which hints name by mistake.
const EMPTY: &str = "empty";

/// Contents of an alert.
///
/// Known gap, so left out: an alert that names the wrong owner. The function searches only the owner's account, and
/// answers `not_lightsail_key` although the key is alive in another account that it may act in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Key and bucket.
    Named,
    /// Key and another existing bucket.
    NamedWrong,
    /// Key only.
    Searched,
    /// Key, bucket and member account.
    Member,
    /// Two keys, without bucket or owner.
    Several,
    /// The same key twice, first with another existing bucket.
    Twice,
    /// Two keys with their buckets, one in each account.
    Accounts,
    /// Two keys without bucket or owner, one in each account.
    Unowned,
    /// An SQS batch: a key of each account with its bucket, and one without.
    Batch,
    /// An SQS batch with the same key twice, first with another existing bucket.
    BatchTwice,
}

/// A bucket, and the keys that it has at first.
#[derive(Clone, Debug)]
pub struct Place {
    /// Account of the bucket.
    pub account: &'static str,
    /// Region of the bucket.
    pub region: &'static str,
    /// Name of the bucket.
    pub bucket: &'static str,
    /// The exposed key on it.
    pub exposed: Option<&'static str>,
    /// The key on it that no alert names.
    pub other: Option<&'static str>,
}

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
    /// All routes.
    pub const ALL: [Self; 10] = [
        Self::Named,
        Self::NamedWrong,
        Self::Searched,
        Self::Member,
        Self::Several,
        Self::Twice,
        Self::Accounts,
        Self::Unowned,
        Self::Batch,
        Self::BatchTwice,
    ];

    /// Returns whether SQS delivers it.
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::BatchTwice)
    }

    /// Returns whether a member account is entered.
    pub fn has_member(self) -> bool {
        matches!(self, Self::Member | Self::Several | Self::Accounts | Self::Unowned | Self::Batch)
    }

    /// Returns all buckets of both accounts.
    pub fn places(self) -> Vec<Place> {
        let (home, away) = if self == Self::Member { (MEMBER, ACCOUNT) } else { (ACCOUNT, MEMBER) };
        let second = matches!(self, Self::Several | Self::Batch);
        let third = matches!(self, Self::Accounts | Self::Unowned | Self::Batch);
        let place = |account, region, bucket, exposed, other| Place { account, region, bucket, exposed, other };
        let mut places = vec![
            place(home, REGION, BUCKET, Some(KEYS[0]), Some("AKIAI44QH8DHBEXAMPLE")),
            place(home, OTHER_REGION, OTHER_BUCKET, second.then_some(KEYS[1]), Some("AKIAQQQQQQQQQQQQQQQQ")),
            place(away, OTHER_REGION, LEDGER, third.then_some(KEYS[2]), Some("AKIAI44QH8DHBMEMBERK")),
        ];
        if matches!(self, Self::NamedWrong | Self::Twice | Self::BatchTwice) {
            places.push(place(home, REGION, EMPTY, None, None));
        }
        places
    }

    /// Returns the alert.
    pub fn alert(self) -> Alert {
        let named = json!({"accessKeyId": KEYS[0], "bucketName": BUCKET, "region": REGION, "accountId": ACCOUNT});
        let wrong = json!({"accessKeyId": KEYS[0], "bucketName": EMPTY, "accountId": ACCOUNT});
        let in_member =
            json!({"accessKeyId": KEYS[2], "bucketName": LEDGER, "region": OTHER_REGION, "accountId": MEMBER});
        let bodies = match self {
            Self::Named => vec![named],
            Self::NamedWrong => vec![wrong],
            Self::Searched => vec![json!({"accessKeyId": KEYS[0], "accountId": ACCOUNT})],
            Self::Member => vec![json!({"accessKeyId": KEYS[0], "bucketName": BUCKET, "accountId": MEMBER})],
            Self::Several => vec![json!({"accessKeyId": [KEYS[0], KEYS[1]]})],
            Self::Twice | Self::BatchTwice => vec![wrong, named],
            Self::Accounts => vec![named, in_member],
            Self::Unowned => vec![json!({"accessKeyId": [KEYS[0], KEYS[2]]})],
            Self::Batch => vec![named, json!({"accessKeyId": KEYS[1]}), in_member],
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

    /// Returns whether each message names a bucket.
    pub fn is_hinted(&self) -> bool {
        self.0.iter().all(|message| message.body["bucketName"].is_string())
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
