//! The story of one key: which accounts, which buckets, the delete, and what is read afterwards.
//!
//! Acts and writes down in the case file. It decides nothing: it only asks the verdict whether a visit settles the
//! case. Invariant: on a hinted bucket the delete is the first request to Lightsail.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tracing::{Instrument, info_span};

use super::Responder;
use super::accounts::{Account, Entrance, Reach, SessionName};
use super::confirm::confirm;
use super::locate;
use super::revoke::revoke;
use super::sweep::Sweep;
use super::verdict::{Finding, finding};
use crate::alert::Exposure;
use crate::aws::FailureKind;
use crate::aws::lightsail::Lightsail;
use crate::case::{CaseFile, Delete, Evidence, FoundBy, Listing, Look, Obstacle, Target, Verification, Visit};
use crate::deadline::Deadline;
use crate::names::AccessKeyId;
use crate::policy::Mode;

/// Time kept for the search even if the hinted buckets do not respond.
const TIME_FOR_SEARCH: Duration = Duration::from_secs(20);

/// Context of all visits of one key.
#[derive(Clone, Copy)]
struct Task<'a> {
    key: &'a AccessKeyId,
    mode: Mode,
    /// Deadline of reads and deletes.
    deadline: Deadline,
    /// Deadline for confirming an accepted delete.
    confirm_by: Deadline,
}

impl Responder {
    /// Enters the accounts that can hold the key, visits the hinted buckets, and searches for the key if they settle
    /// nothing.
    pub(super) async fn pursue<'a>(&'a self, exposure: &Exposure, sweep: &Sweep<'a>, case: &mut CaseFile) {
        let deadline = case.invocation.deadline;
        let Some(mut reach) = self.accounts.reach(exposure, case.invocation.account.as_ref()) else {
            case.obstacle = Some(Obstacle::ForeignAccount { has_members: self.accounts.has_members() });
            return;
        };
        let session = SessionName::of(&case.alert_id());
        let task = Task { key: &exposure.key, mode: case.mode, deadline, confirm_by: deadline };
        let visited = match reach.home.enter(&session, deadline).await {
            Ok(home) => {
                case.account.clone_from(&home.id);
                let visited = self.visit_hints(exposure, &home, sweep, task, case).await;
                reach.home = Entrance::Entered(home);
                visited
            }
            Err(failure) if exposure.owner.is_some() => {
                case.obstacle = Some(Obstacle::NoSession(failure));
                return;
            }
            // The key may be in another account. The search names this one as unread.
            Err(_) => ControlFlow::Continue(()),
        };
        if visited.is_continue() {
            self.search(exposure, reach, &session, sweep, task, case).await;
        }
        for account in case.refused_by() {
            self.accounts.forget(&account);
        }
    }

    /// Visits the buckets that the alert names. Breaks if one of them settles the case.
    async fn visit_hints(
        &self,
        exposure: &Exposure,
        home: &Account,
        sweep: &Sweep<'_>,
        task: Task<'_>,
        case: &mut CaseFile,
    ) -> ControlFlow<()> {
        let task = Task { deadline: task.deadline.less(TIME_FOR_SEARCH), ..task };
        for target in locate::hints(exposure, home, &self.region) {
            let visit = case.open_visit(target);
            self.visit(&home.lightsail, visit, task).await;
            // The search for another key may have seen this one.
            let seen =
                sweep.seen(task.key).filter(|found| visit.sighting().is_none() && found.is_before_delete_of(visit));
            if let Some(found) = seen {
                visit.evidence = Some(Evidence::Listed(found.key));
            }
            match finding(visit, task.mode) {
                Finding::Settled(_) => return ControlFlow::Break(()),
                // The search reads the other hinted buckets too.
                Finding::AcceptedUnseen => break,
                Finding::NotListed | Finding::NoBucket | Finding::Unread => {}
            }
        }
        ControlFlow::Continue(())
    }

    /// Searches everywhere for the key, and deletes it where it is seen.
    async fn search<'a>(
        &self,
        exposure: &Exposure,
        reach: Reach<'a>,
        session: &SessionName,
        sweep: &Sweep<'a>,
        task: Task<'_>,
        case: &mut CaseFile,
    ) {
        let regions = locate::Regions::new(&self.regions, &exposure.regions, &self.region);
        let wanted = locate::Wanted { key: task.key, reach, regions, session };
        let search = locate::search(sweep, wanted).instrument(info_span!("locate")).await;
        case.coverage = Some(search.coverage);
        let Some(found) = search.found else { return };
        let Account { id: account, lightsail } = found.account;
        let bucket = found.bucket;
        let target = Target { account, bucket: bucket.name, region: found.region, found_by: FoundBy::Search };
        let visit = case.open_visit(target);
        visit.listing = Some(Listing::Listed);
        visit.evidence = Some(Evidence::Listed(found.key));
        visit.protection = self.policy.protection(&visit.target.bucket, &bucket.tags);
        if visit.protection.is_none() && task.mode == Mode::Enforce {
            self.delete(&lightsail, visit, task).await;
        }
    }

    /// Deletes the key from a hinted bucket, or only looks for it there if policy or mode forbids to delete.
    async fn visit(&self, lightsail: &Lightsail, visit: &mut Visit, task: Task<'_>) {
        visit.protection = self.policy.protection(&visit.target.bucket, &[]);
        if visit.protection.is_none() && task.mode == Mode::Enforce {
            self.delete(lightsail, visit, task).await;
            return;
        }
        note_look(lightsail, visit, task).await;
        if visit.protection.is_none() && visit.listing == Some(Listing::Listed) {
            self.read_tags(lightsail, visit, task).await;
        }
    }

    /// Deletes the key from a bucket. Confirms the delete if AWS accepts it, and otherwise finds out what is on the
    /// bucket.
    ///
    /// The key is read as evidence beside the delete. That read starts when the delete has been written to its
    /// connection, never delays it, and cannot fail it, not even by a panic.
    async fn delete(&self, lightsail: &Lightsail, visit: &mut Visit, task: Task<'_>) {
        let transmission = visit.delete.insert(Delete::default()).transmission.clone();
        let Target { bucket, region, .. } = visit.target.clone();
        let in_region = lightsail.in_region(&region, task.deadline);
        let wants_evidence = visit.evidence.is_none();
        let evidence = async {
            if !wants_evidence {
                return None;
            }
            transmission.sent().await;
            let look = async { locate::look(&in_region, &bucket, task.key).instrument(info_span!("evidence")).await };
            AssertUnwindSafe(look).catch_unwind().await.ok()
        };
        let mut evidence = pin!(evidence.fuse());
        let revoking = revoke(&in_region, &bucket, task.key, &transmission).instrument(info_span!("revoke"));
        let (revoked, mut seen) = beside(revoking, evidence.as_mut()).await;
        match revoked {
            Ok(accepted) => {
                // The one fact that must be in the log even if the process is killed before it writes the record.
                let request_id = accepted.request_id.as_deref();
                tracing::info!(key = %task.key, %bucket, %region, request_id, "delete accepted");
                visit.delete = Some(Delete { transmission: transmission.clone(), accepted: Some(accepted) });
                let confirming = confirm(lightsail, visit, task.key, task.confirm_by, &self.timeouts, &self.clock);
                let (_, later) = beside(confirming.instrument(info_span!("confirm")), evidence).await;
                if wants_evidence {
                    visit.evidence = Some(Evidence::of(seen.or(later).flatten()));
                }
            }
            Err(failure) => {
                tracing::warn!(%failure, "the delete was not accepted");
                let kind = failure.kind;
                visit.failures.push(failure);
                if seen.is_none() && transmission.was_sent() {
                    seen = Some(evidence.await);
                }
                // A key that was listed beside the delete may be gone by now. One that was not listed does not come back.
                let may_have_changed = matches!(seen, None | Some(None | Some(Look::Listed(_))));
                if let Some(look) = seen.flatten() {
                    visit.note(look);
                }
                if may_have_changed {
                    note_look(lightsail, visit, task).await;
                }
                self.read_again_while_listed(lightsail, visit, kind, task).await;
                // IAM denies the delete of a tagged bucket's key without saying why.
                if kind == FailureKind::AccessDenied && visit.listing == Some(Listing::Listed) {
                    self.read_tags(lightsail, visit, task).await;
                }
            }
        }
    }

    /// Verifies a delete that AWS did not accept. A key that is "not found" but still listed is read again: most likely
    /// another delivery of this alert deleted it a moment ago, and lists are eventually consistent.
    async fn read_again_while_listed(
        &self,
        lightsail: &Lightsail,
        visit: &mut Visit,
        kind: FailureKind,
        task: Task<'_>,
    ) {
        let mut verification = Verification::default();
        verification.read(self.clock.now(), None);
        let mut pauses = task.deadline.at_most(self.timeouts.verify_for).pauses(&self.timeouts);
        while kind == FailureKind::NotFound && visit.listing == Some(Listing::Listed) && pauses.pause().await.is_ok() {
            note_look(lightsail, visit, task).await;
            verification.read(self.clock.now(), None);
        }
        if matches!(visit.listing, Some(Listing::Listed | Listing::NotListed)) {
            visit.verification = Some(verification);
        }
    }

    /// Reads the bucket's tags, which may protect it.
    async fn read_tags(&self, lightsail: &Lightsail, visit: &mut Visit, task: Task<'_>) {
        match lightsail.in_region(&visit.target.region, task.deadline).bucket(&visit.target.bucket).await {
            Ok(bucket) => {
                visit.protection = bucket.and_then(|bucket| self.policy.protection(&bucket.name, &bucket.tags));
            }
            Err(failure) => visit.failures.push(failure),
        }
    }
}

/// Reads the bucket's keys once and writes down what they show.
async fn note_look(lightsail: &Lightsail, visit: &mut Visit, task: Task<'_>) {
    let in_region = lightsail.in_region(&visit.target.region, task.deadline);
    let look = locate::look(&in_region, &visit.target.bucket, task.key).instrument(info_span!("look")).await;
    visit.note(look);
}

/// Runs `aside` as long as `work` lasts. `work` is always polled first. Returns the output of `aside` if it ended
/// first.
pub(super) async fn beside<Work: Future, Aside: Future>(
    work: Work,
    aside: Pin<&mut Aside>,
) -> (Work::Output, Option<Aside::Output>) {
    match select(pin!(work), aside).await {
        Either::Left((done, _)) => (done, None),
        Either::Right((aside, work)) => (work.await, Some(aside)),
    }
}
