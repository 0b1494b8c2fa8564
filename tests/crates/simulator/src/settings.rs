//! What can be chosen when a simulator starts, with defaults that suit a test.

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
};

use crate::{bucket::Tag, dialect::Dialect, region::Region};

/// How a simulator starts and behaves when no fault is scripted.
#[derive(Clone)]
pub struct Settings {
    /// Where to listen. Only a loopback address is accepted, since the control door lets anybody
    /// in. Port 0, the default, takes any free one.
    pub bind: SocketAddr,
    /// The account of callers whose access key id is not itself an account number. The default
    /// is the account in the function ARN that `aws-lambda-rie` makes up.
    pub account: String,
    /// When set, the signature of every request must have been made with this secret. By default
    /// a signature only has to be well formed. That of an assumed role must always have been made
    /// with the secret that was issued for it.
    pub secret_access_key: Option<String>,
    /// How many buckets or operations fit a page; 20 by default.
    pub page_size: usize,
    /// Which `GetOperation` is the first to find an operation done. By default the 1st: the
    /// answer of the call itself says `Started`, the first poll `Succeeded`. With 0 the answer
    /// of the call itself says `Succeeded` already. AWS has not published which of them it does.
    pub done_at_poll: u32,
    /// How long every request at the front door is held up before its work, on top of what a
    /// script wants; 0 by default.
    pub latency_ms: u64,
    /// Whether a connection stays open for a client's next request, as it does by default. If
    /// not, every answer says `connection: close`, and the connection ends with it.
    pub keep_alive: bool,
    /// The Regions that Lightsail has, in the order of `GetRegions`. The default is
    /// [`Region::known`]. Any other is refused as a Region without Lightsail.
    pub regions: Vec<Region>,
    /// Tag of buckets from which no caller may delete a key, as in the condition `aws:ResourceTag`
    /// of a Deny. Letter case does not matter. Nothing is denied by default, nor with
    /// [`TagDeny::Ignored`](crate::TagDeny::Ignored).
    pub denied_tag: Option<Tag>,
    /// Behaviour where AWS has not published its own.
    pub dialect: Dialect,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account: "012345678912".to_owned(),
            secret_access_key: None,
            page_size: 20,
            done_at_poll: 1,
            latency_ms: 0,
            keep_alive: true,
            regions: Region::known(),
            denied_tag: None,
            dialect: Dialect::default(),
        }
    }
}

/// Tells whether there is a secret, and not which.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bind", &self.bind)
            .field("account", &self.account)
            .field("secret_access_key", &self.secret_access_key.as_ref().map(|_| "..."))
            .field("page_size", &self.page_size)
            .field("done_at_poll", &self.done_at_poll)
            .field("latency_ms", &self.latency_ms)
            .field("keep_alive", &self.keep_alive)
            .field("regions", &self.regions)
            .field("denied_tag", &self.denied_tag)
            .field("dialect", &format_args!("{}", self.dialect))
            .finish()
    }
}

impl Settings {
    /// Refuses what cannot be meant.
    pub(crate) fn check(&self) -> io::Result<()> {
        let refuse = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if !self.bind.ip().is_loopback() {
            return refuse(format!("cannot listen on {}: only loopback addresses are accepted", self.bind));
        }
        if !is_account(&self.account) {
            return refuse(format!("`{}` is not an account: 12 digits are", self.account));
        }
        if self.page_size == 0 {
            return refuse("a page must have room for at least one entry".to_owned());
        }
        if self.regions.is_empty() {
            return refuse("Lightsail must have at least one Region".to_owned());
        }
        self.regions.iter().find_map(|region| region.check().err()).map_or(Ok(()), |error| refuse(error.to_string()))
    }
}

/// Whether `text` is an account number.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
