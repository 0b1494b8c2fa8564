//! Exposure -> [`Outcome`]: the story of one key, from whose it is to the proof that it is gone.
//!
//! Reads from top to bottom. Facts are gathered on the way, so that a stage that fails, runs out of time or panics is on
//! record too. Invariants: a named bucket's delete goes out before anything else is asked of Lightsail; no outcome is good
//! unless a list of keys, or a complete search, shows that the key is gone.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tracing::{Instrument, info_span};

use super::Responder;
use crate::alert::Exposure;
use crate::audit::{Evidence, Facts};
use crate::aws::{Failure, FailureKind, Transmission};
use crate::deadline::Deadline;
use crate::names::{AccessKeyId, AccountId};
use crate::outcome::Outcome;
use crate::policy::{Mode, Protection};
use crate::respond::accounts::{Account, Member, SessionName};
use crate::respond::confirm::{Proof, Verification, confirm};
use crate::respond::locate::{self, Look, Search, Target};
use crate::respond::revoke::{Revocation, revoke};

/// Kept of the time for work so that the key is searched for even when the buckets that the alert names do not answer.
const FOR_THE_SEARCH: Duration = Duration::from_secs(20);

impl Responder {
    /// The story of one key: whose it is, then the buckets that the alert names, then all others.
    pub(super) async fn act(&self, exposure: &Exposure, facts: &mut Facts) -> Outcome {
        let Some(reach) = self.accounts.reach(exposure.account.as_ref(), facts.own_account()) else {
            let owner = exposure.account.as_ref().map_or("another", AccountId::as_str);
            let own = facts.own_account().map_or("its own, which it does not know,", AccountId::as_str);
            facts.why = Some(format!("the alert is about account {owner}, and this function may act in {own} only"));
            if self.accounts.has_members() {
                facts.why = Some(format!("the alert is about account {owner}, which is not in ALLOWED_ACCOUNTS"));
            }
            return Outcome::WrongAccount;
        };
        let session = SessionName::of(&facts.alert_id());
        let home = match reach.home.enter(&session, facts.invocation.deadline).await {
            Ok(home) => home,
            Err(failure) => {
                facts.fail(failure);
                return Outcome::Failed;
            }
        };
        facts.account.clone_from(&home.id);
        let outcome = self.find_and_delete(home, reach.others, &session, exposure, facts).await;
        for account in facts.refused_by() {
            self.accounts.forget(&account);
        }
        outcome
    }

    async fn find_and_delete(
        &self,
        home: Account,
        others: Vec<Member<'_>>,
        session: &SessionName,
        exposure: &Exposure,
        facts: &mut Facts,
    ) -> Outcome {
        let mut past = Past::default();
        let regions = locate::regions_to_search(&self.regions, exposure.region.as_ref(), &self.region);
        let hints = facts.invocation.deadline.less(FOR_THE_SEARCH);
        for target in locate::named(exposure, &home, &self.region) {
            let searched = regions.contains(&target.region);
            match self.attempt(target, &exposure.key, facts, hints).await {
                Attempt::Ended(outcome) => return outcome,
                Attempt::Accepted => {
                    // The search looks at the other buckets as well, and the record stays with this one.
                    past.accepted = true;
                    break;
                }
                Attempt::NotThere => past.bucket_is_ours = true,
                Attempt::NoBucket => {}
                // The search reads it again, unless it leaves that Region out.
                Attempt::Unknown => past.unread |= !searched,
            }
        }
        // That the key is not on a bucket of the alert says nothing of where it is, unless it is nowhere else.
        let looked = facts.verification.take();
        let key = &exposure.key;
        let search = locate::search(home, others, session, &regions, key, facts.invocation.deadline);
        match search.instrument(info_span!("locate")).await {
            Search::Found(found) => {
                facts.account.clone_from(&found.target.account.id);
                facts.evidence = Evidence::Listed(found.key);
                facts.target = Some(found.target.clone());
                if let Some(protection) = self.policy.protects(&found.bucket) {
                    return protected(&found.target, protection, facts);
                }
                if facts.mode == Mode::DryRun {
                    return Outcome::DryRun;
                }
                match self.attempt(found.target, key, facts, facts.invocation.deadline).await {
                    Attempt::Ended(outcome) => outcome,
                    // The search has seen it there.
                    Attempt::Accepted => Outcome::Revoked,
                    // Seen there a moment ago, and gone now: a copy of this alert was faster.
                    Attempt::NotThere => Outcome::AlreadyAbsent,
                    Attempt::NoBucket | Attempt::Unknown => Outcome::Failed,
                }
            }
            Search::Nowhere(extent) => {
                facts.search = Some(extent);
                facts.verification = looked;
                match past {
                    // Without an operation only the sight of it tells that it was there to be deleted.
                    Past { accepted: true, .. } if matches!(facts.evidence, Evidence::Listed(_)) => Outcome::Revoked,
                    Past { accepted: true, .. } => Outcome::AlreadyAbsent,
                    Past { unread: true, .. } => Outcome::Failed,
                    Past { bucket_is_ours: true, .. } => Outcome::AlreadyAbsent,
                    _ => Outcome::NotLightsailKey,
                }
            }
            Search::Incomplete(extent) => {
                facts.search = Some(extent);
                let more_than_not_found = |failure: &Failure| failure.kind != FailureKind::NotFound;
                match past {
                    Past { accepted: true, .. } => Outcome::Unconfirmed,
                    Past { bucket_is_ours: true, unread: false, .. } => Outcome::SearchIncomplete,
                    _ if facts.failure.as_ref().is_some_and(more_than_not_found) => Outcome::Failed,
                    _ => Outcome::SearchIncomplete,
                }
            }
        }
    }

    /// Deletes the key from one bucket and follows it to the end, or finds out why it could not be deleted there. The key
    /// is read for evidence beside the delete, once that has been written to its connection, and never holds it up.
    async fn attempt(&self, target: Target, key: &AccessKeyId, facts: &mut Facts, deadline: Deadline) -> Attempt {
        facts.target = Some(target.clone());
        if let Some(protection) = self.policy.protects_name(&target.bucket) {
            let attempt = self.look(&target, key, facts, deadline, Outcome::Protected).await;
            if matches!(attempt, Attempt::Ended(_)) {
                protected(&target, protection, facts);
            }
            return attempt;
        }
        if facts.mode == Mode::DryRun {
            return self.look(&target, key, facts, deadline, Outcome::DryRun).await;
        }
        let wire = Transmission::default();
        facts.deletes.push(wire.clone());
        let lightsail = target.lightsail(deadline);
        let wanted = facts.evidence == Evidence::None;
        let evidence = async {
            if !wanted {
                return None;
            }
            wire.sent().await;
            Some(locate::look(&lightsail, &target.bucket, key).await)
        };
        let mut evidence = pin!(evidence.fuse());
        let revoking = revoke(&lightsail, &target, key, &wire).instrument(info_span!("revoke"));
        let (revoked, mut seen) = beside(revoking, evidence.as_mut()).await;
        match revoked {
            Ok(revocation) => {
                let (attempt, later) = beside(self.conclude(revocation, facts), evidence).await;
                if wanted {
                    facts.evidence = Evidence::of(seen.or(later).flatten());
                }
                attempt
            }
            Err(failure) => {
                tracing::warn!(%failure, "the delete was not accepted");
                let gone = failure.kind == FailureKind::NotFound;
                facts.fail(failure);
                if seen.is_none() && wire.was_sent() {
                    seen = Some(evidence.await);
                }
                let mut attempt = match seen.flatten() {
                    // A key that was listed beside the delete may be gone now; one that was not does not come back.
                    None | Some(Look::Listed(_)) => self.look(&target, key, facts, deadline, Outcome::Failed).await,
                    Some(look) => judge_look(look, facts, Outcome::Failed),
                };
                let mut reads = 1;
                // Not found, and still listed: most likely a copy of this alert deleted it a moment ago, and lists lag.
                let mut pauses = deadline.at_most(self.timeouts.verify_for).pauses(&self.timeouts);
                while gone && matches!(attempt, Attempt::Ended(Outcome::Failed)) && pauses.pause().await.is_ok() {
                    attempt = self.look(&target, key, facts, deadline, Outcome::Failed).await;
                    reads += 1;
                }
                facts.verification = match attempt {
                    Attempt::NotThere => Some(Verification::of_looks(true, reads)),
                    Attempt::Ended(_) => Some(Verification::of_looks(false, reads)),
                    _ => None,
                };
                attempt
            }
        }
    }

    /// Follows an accepted delete to its end.
    async fn conclude(&self, revocation: Revocation, facts: &mut Facts) -> Attempt {
        // The one thing that must be on record even if the process is killed before the record is written.
        let Target { bucket, region, .. } = &revocation.target;
        tracing::info!(key = %revocation.key, %bucket, %region, request_id = revocation.request_id, "delete accepted");
        facts.accepted_at = Some(revocation.accepted_at);
        facts.request_id = revocation.request_id.clone();
        facts.operations = revocation.operations.clone();
        let confirming = confirm(revocation, facts.invocation.deadline, &self.timeouts);
        let confirmation = confirming.instrument(info_span!("confirm")).await;
        let proof = confirmation.proof();
        if let Some(operation) = confirmation.failed_operation() {
            let (code, details) = (operation.error_code.clone(), operation.error_details.clone());
            let wire = facts.deletes.last().cloned().unwrap_or_default();
            facts.fail(Failure::operation_failed(code, details, &wire));
        }
        facts.operations = confirmation.operations;
        facts.verification = Some(confirmation.verification);
        facts.absent_at = confirmation.absent_at;
        if let Some(failure) = confirmation.failure.filter(|_| proof != Proof::Dead) {
            facts.fail(failure);
        }
        match proof {
            Proof::Dead => Attempt::Ended(Outcome::Revoked),
            Proof::AbsentHere => Attempt::Accepted,
            Proof::OperationFailed => Attempt::Ended(Outcome::Failed),
            Proof::Missing => Attempt::Ended(Outcome::Unconfirmed),
        }
    }

    /// Looks whether the key is on the bucket of `target`; if it is, that ends the matter as `if_listed`, or as protected.
    async fn look(
        &self,
        target: &Target,
        key: &AccessKeyId,
        facts: &mut Facts,
        deadline: Deadline,
        if_listed: Outcome,
    ) -> Attempt {
        let lightsail = target.lightsail(deadline);
        let look = locate::look(&lightsail, &target.bucket, key).instrument(info_span!("look")).await;
        let attempt = judge_look(look, facts, if_listed);
        // What has the tag would not be deleted, or was not: IAM denies it, and does not say why.
        let denied = facts.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::AccessDenied);
        if matches!(attempt, Attempt::Ended(Outcome::DryRun)) || (denied && matches!(attempt, Attempt::Ended(_))) {
            match locate::describe(target, deadline).await {
                Ok(bucket) => {
                    if let Some(protection) = bucket.and_then(|bucket| self.policy.protects(&bucket)) {
                        return Attempt::Ended(protected(target, protection, facts));
                    }
                }
                Err(failure) => facts.fail(failure),
            }
        }
        attempt
    }
}

/// What one look means; if the key is listed, that ends the matter as `if_listed`.
fn judge_look(look: Look, facts: &mut Facts, if_listed: Outcome) -> Attempt {
    match look {
        Look::Listed(seen) => {
            facts.evidence = Evidence::Listed(seen);
            Attempt::Ended(if_listed)
        }
        Look::NotListed => Attempt::NotThere,
        Look::NoBucket(_) => {
            facts.target = None;
            Attempt::NoBucket
        }
        Look::Unread(failure) => {
            facts.fail(failure);
            Attempt::Unknown
        }
    }
}

/// Nothing is deleted from this bucket, and someone must decide.
fn protected(target: &Target, protection: Protection, facts: &mut Facts) -> Outcome {
    let Target { bucket, region, .. } = target;
    facts.why = Some(format!("bucket {bucket} in {region} {protection}"));
    Outcome::Protected
}

/// Runs `aside` as long as `work` lasts, which is always polled first; what came of `aside` if it ended first.
async fn beside<Work: Future, Aside: Future>(
    work: Work,
    aside: Pin<&mut Aside>,
) -> (Work::Output, Option<Aside::Output>) {
    match select(pin!(work), aside).await {
        Either::Left((done, _)) => (done, None),
        Either::Right((seen, work)) => (work.await, Some(seen)),
    }
}

/// What came of one bucket.
enum Attempt {
    /// There is nothing more to do for this key.
    Ended(Outcome),
    /// AWS accepted a delete without naming an operation, and the key is not on the bucket now.
    Accepted,
    /// The bucket is ours, and the key is not on it.
    NotThere,
    /// No such bucket here.
    NoBucket,
    /// Neither deleted nor looked at.
    Unknown,
}

/// What came of the buckets that the alert names.
#[derive(Clone, Copy, Default)]
struct Past {
    accepted: bool,
    bucket_is_ours: bool,
    /// One of them could not be read, and is where no search looks.
    unread: bool,
}
