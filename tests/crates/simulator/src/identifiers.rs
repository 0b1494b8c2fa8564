//! Makes the ids that AWS would make: UUIDs, access key ids, secrets, tokens.
//!
//! They come from a counter and not from chance, so that the same calls against a fresh
//! simulator always get the same ids and two runs can be compared line by line.

use std::{
    iter,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest, Sha256};

/// The alphabet of IAM's key ids, which is base32's.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The alphabet of IAM's secrets, which is base64's.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Counts on even over a reset, so that an id from before never comes to life again.
#[derive(Debug, Default)]
pub(crate) struct Identifiers {
    made: AtomicU64,
}

impl Identifiers {
    /// A UUID of version 4, for buckets, operations and requests.
    pub(crate) fn uuid(&self) -> String {
        let mut bytes = self.next("uuid");
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let text = hex::encode(&bytes[..16]);
        [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
    }

    /// `AKIA` and 16 letters or digits, which fits the model's `^[A-Z0-9]{20}$`.
    pub(crate) fn access_key_id(&self) -> String {
        self.letters("AKIA", 16)
    }

    /// The same with `ASIA`, for the prefixes see "Understanding unique ID prefixes" in the IAM
    /// user guide.
    pub(crate) fn session_access_key_id(&self) -> String {
        self.letters("ASIA", 16)
    }

    /// `AROA` and 17 letters or digits.
    pub(crate) fn role_id(&self) -> String {
        self.letters("AROA", 17)
    }

    /// 40 characters, as long as IAM's secrets are.
    pub(crate) fn secret_access_key(&self) -> String {
        self.secret(40)
    }

    /// "The size of the security token that AWS STS API operations return is not fixed"
    /// (API_AssumeRole). This is a usual one.
    pub(crate) fn session_token(&self) -> String {
        self.secret(356)
    }

    fn letters(&self, prefix: &str, count: usize) -> String {
        let letters = self.next("key");
        let letters = letters.iter().take(count).map(|byte| char::from(BASE32[usize::from(byte % 32)]));
        prefix.chars().chain(letters).collect()
    }

    fn secret(&self, count: usize) -> String {
        let bytes = iter::repeat_with(|| self.next("secret")).flatten();
        bytes.take(count).map(|byte| char::from(BASE64[usize::from(byte % 64)])).collect()
    }

    fn next(&self, purpose: &str) -> [u8; 32] {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        Sha256::digest(format!("{purpose} {number}")).into()
    }
}
