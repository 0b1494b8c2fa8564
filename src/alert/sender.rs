//! Account of an EventBridge event and accounts that its finding names -> whether the two fit together.
//!
//! EventBridge writes `account` of an event: it is the account whose service or bus the event comes from, also after it
//! was forwarded (EventBridge user guide, "AWS service event metadata"). Own events may be about every account, because
//! a delegated administrator gets the findings of its members (GuardDuty user guide, "Processing GuardDuty findings
//! with Amazon EventBridge"; Security Hub user guide, "Types of Security Hub integration with EventBridge"), and a
//! management account the Health events of its organisation. Another account forwards what is about itself, or about
//! ours if it is our administrator. The function serves no third account through it, because nothing says who
//! administers whom: an administrator's findings must arrive in the function's own account, or its members forward
//! their own.

use aws_lambda_events::event::eventbridge::EventBridgeEvent;
use serde_json::Value;

use super::finding::{listed, text_at};
use super::{Unreadable, text};
use crate::names::AccountId;

/// Returns the reason to refuse an event that another account forwards and that is about a third account. Only AWS can
/// send events of `aws.*`, and the names in other events are those of our own format.
pub(super) fn refusal(event: &EventBridgeEvent<Value>, own: Option<&AccountId>) -> Option<Unreadable> {
    let sender: AccountId = event.account.as_deref()?.parse().ok()?;
    let own = own.filter(|own| **own != sender)?;
    if !event.source.starts_with("aws.") {
        return None;
    }
    let findings = listed(&event.detail);
    let subjects = findings.into_iter().filter_map(subject).filter_map(|account| account.parse::<AccountId>().ok());
    let subject = subjects.into_iter().find(|subject| *subject != sender && subject != own)?;
    Some(Unreadable::ThirdAccount { sender, subject })
}

/// Returns the account that a finding is about, in the finding's own words.
fn subject(finding: &Value) -> Option<&str> {
    let guardduty = || text_at(finding, "accountId");
    let asff = || text(finding, "/AwsAccountId");
    let ocsf = || text(finding, "/cloud/account/uid").or_else(|| text(finding, "/cloud/account_uid"));
    let health = || text(finding, "/affectedAccount");
    guardduty().or_else(asff).or_else(ocsf).or_else(health)
}
