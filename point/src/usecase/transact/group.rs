//! A group of commands in one transaction: each is decided by itself, on what those before it have left.

use std::collections::{HashMap, HashSet};

use chassis::group_transaction::{GroupPerformed, Locking, Verdict};
use chassis::idempotency::{self, Once, OnceError};
use shared_events::delivery::AfterCommit;
use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

use super::{Command, Commands, Done, Performed, Record, Request, Terms, TransactError, etag};
use crate::domain::{Account, Booking, EntryType, PointChange};
use crate::store::ledger::{self, Receipt, Remarks};
use crate::store::lots::BrokenBooks;
use crate::store::{Origin, accounts, lots};
use crate::usecase::Journal;

/// Carries out commands in their order. A refused one leaves nothing behind but, under its key, the refusal.
pub(super) async fn perform_in_tx(
    tx: &mut PgConnection,
    terms: &Terms,
    group: &[(Request, Record)],
    locking: Locking,
) -> sqlx::Result<GroupPerformed<Commands>> {
    let mut after = AfterCommit::default();
    let requests: Vec<&Request> = group.iter().map(|(request, _)| request).collect();
    let commands: Vec<Once> = requests.iter().copied().map(once).collect();
    let are_ours = idempotency::try_lock_all_in_tx(tx, &commands).await?;
    let mut accounts = lock_in_tx(tx, &requests, locking).await?;
    // A memberId can be used again; what was done for a former membership is nothing to this one.
    let within = |(request, once): (&&Request, &Once)| match accounts.get(&request.member_id) {
        Some(Locked::Ours { account, .. }) => once.within(account.membership_id.0.as_bytes()),
        Some(Locked::Broken(_) | Locked::ByOthers) | None => Once::default(),
    };
    let commands: Vec<Once> = requests.iter().zip(&commands).map(within).collect();
    let recorded = idempotency::recorded_all_in_tx(tx, &commands).await?;
    let mut books =
        Books { booked: receipts_in_tx(tx, &requests, &accounts).await?, journal: Journal::default() };

    let mut decisions = Vec::with_capacity(requests.len());
    for ((request, is_ours), recorded) in requests.iter().copied().zip(are_ours).zip(recorded) {
        let decision = match (is_ours, recorded, accounts.get_mut(&request.member_id)) {
            (false, ..) => Err(OnceError::InProgress.into()),
            (true, _, None) => Err(TransactError::NotFound),
            (true, _, Some(Locked::ByOthers)) => Ok(Decision::Later),
            (true, _, Some(Locked::Broken(broken))) => Err(sqlx::Error::Decode((*broken).into()).into()),
            (true, Err(error), _) => Err(error.into()),
            (true, Ok(Some(answer)), _) => Ok(Decision::Before(answer)),
            (true, Ok(None), Some(Locked::Ours { account, is_booked })) => {
                books.decide_in_tx(tx, terms, account, is_booked, request).await?
            }
        };
        decisions.push(decision);
    }
    let has_written = books.journal.len() > 0;
    let transactions = books.journal.store_in_tx(tx, &mut after).await?;
    let mut records = Vec::new();
    let mut verdicts = Vec::with_capacity(requests.len());
    for ((decision, (_, record)), once) in decisions.into_iter().zip(group).zip(&commands) {
        verdicts.push(match decision {
            Ok(Decision::Later) => Verdict::Later,
            Ok(Decision::Before(answer)) => Verdict::Now(Ok(Performed::Before(answer))),
            Ok(Decision::Draft(done)) => Verdict::Now(Ok(Performed::Now(done))),
            Ok(Decision::Booked { number, member_status }) => {
                let transaction = transactions.get(number).cloned().ok_or(sqlx::Error::RowNotFound)?;
                let done = Done { member_status, transaction };
                if once.has_key() {
                    records.extend(record(Ok(&done)).map(|answer| (once, answer)));
                }
                Verdict::Now(Ok(Performed::Now(Box::new(done))))
            }
            Err(error) => {
                if once.has_key() && error.is_decision() {
                    records.extend(record(Err(&error)).map(|answer| (once, answer)));
                }
                Verdict::Now(Err(error))
            }
        });
    }
    let has_written = has_written || !records.is_empty();
    idempotency::record_all_in_tx(tx, &records).await?;
    Ok(GroupPerformed { verdicts, written: has_written.then_some(after) })
}

/// An account that commands are about.
enum Locked {
    /// It can be booked on; whether that was done yet.
    Ours { account: Account, is_booked: bool },
    /// It cannot be booked on.
    Broken(BrokenBooks),
    /// Somebody else has it at the moment.
    ByOthers,
}

/// The open accounts that the commands are about.
async fn lock_in_tx(
    tx: &mut PgConnection,
    requests: &[&Request],
    locking: Locking,
) -> sqlx::Result<HashMap<MemberId, Locked>> {
    let mut members: HashSet<MemberId> = requests.iter().map(|request| request.member_id).collect();
    let mut ours = Vec::new();
    let mut others = Vec::new();
    match locking {
        Locking::Waiting => {
            for member_id in members {
                ours.extend(accounts::lock_open_in_tx(tx, member_id).await?);
            }
        }
        Locking::OnlyFree => {
            ours = accounts::lock_free_in_tx(tx, &members).await?;
            for account in &ours {
                members.remove(&account.member_id);
            }
            if !members.is_empty() {
                others = accounts::with_open_in_tx(tx, &members).await?;
            }
        }
    }
    let others = others.into_iter().map(|member_id| (member_id, Locked::ByOthers));
    let ours = lots::load_all_in_tx(tx, ours).await?.into_iter().map(|loaded| match loaded {
        Ok(account) => (account.member_id, Locked::Ours { account, is_booked: false }),
        Err(broken) => (broken.member_id, Locked::Broken(broken)),
    });
    Ok(others.chain(ours).collect())
}

/// Which receipts of the commands are in the ledger.
async fn receipts_in_tx(
    tx: &mut PgConnection,
    requests: &[&Request],
    accounts: &HashMap<MemberId, Locked>,
) -> sqlx::Result<HashSet<Receipt>> {
    let asked = requests.iter().filter_map(|request| match accounts.get(&request.member_id)? {
        Locked::Ours { account, .. } => receipt(account.membership_id, request),
        Locked::Broken(_) | Locked::ByOthers => None,
    });
    ledger::booked_in_tx(tx, &asked.collect::<Vec<_>>()).await
}

/// The receipt that a command would book.
fn receipt(membership_id: MembershipId, request: &Request) -> Option<Receipt> {
    let entry_type = match request.command {
        Command::Change(PointChange::Earn(_), _) => EntryType::Earn,
        Command::Change(PointChange::Use(_), _) => EntryType::Use,
        Command::Adjust(_) | Command::Cancel(..) => return None,
    };
    Some(Receipt { membership_id, entry_type, reference: request.remarks.reference.clone()? })
}

/// What a command is remembered by. A dry run is not.
fn once(request: &Request) -> Once {
    if request.is_dry_run { Once::default() } else { request.once.clone() }
}

/// What was decided on a command.
enum Decision {
    /// It is booked, as the entry of this number, on the account of a member in this status.
    Booked { number: usize, member_status: Option<MemberStatus> },
    /// What it would do.
    Draft(Box<Done>),
    /// It was decided before; what was recorded then.
    Before(String),
    /// It needs what the commands before it have booked to be stored.
    Later,
}

/// What is booked by the commands of a group.
struct Books {
    /// The receipts in the ledger, and those of this group.
    booked: HashSet<Receipt>,
    journal: Journal,
}

impl Books {
    /// Decides on a command, and notes what it books.
    async fn decide_in_tx(
        &mut self,
        tx: &mut PgConnection,
        terms: &Terms,
        account: &mut Account,
        is_booked: &mut bool,
        request: &Request,
    ) -> sqlx::Result<Result<Decision, TransactError>> {
        // What a cancellation returns is read from the ledger, and a dry run tells the ids of the lots.
        if *is_booked && (request.is_dry_run || matches!(request.command, Command::Cancel(..))) {
            return Ok(Ok(Decision::Later));
        }
        if let Err(failed) = request.conditions.require(|| etag(account, request.now)) {
            return Ok(Err(failed.into()));
        }
        let mut changed = account.clone();
        let expired = changed.expire(request.now).map(|booking| (changed.clone(), booking));
        let (booking, remarks) = match decide_in_tx(tx, terms, &mut changed, request).await? {
            Ok(decided) => decided,
            Err(refused) => return Ok(Err(refused)),
        };
        let receipt = receipt(account.membership_id, request);
        if receipt.as_ref().is_some_and(|receipt| self.booked.contains(receipt)) {
            return Ok(Err(TransactError::ReferenceTaken));
        }
        let mut draft = Journal::default();
        let journal = if request.is_dry_run { &mut draft } else { &mut self.journal };
        let origin = Origin { provenance: &request.provenance, cause: None, now: request.now };
        if let Some((mut without_expired, booking)) = expired {
            journal.note(&mut without_expired, booking, Remarks::default(), origin);
        }
        journal.note(&mut changed, booking, remarks, origin);
        let member_status = changed.member_status();
        if let Some(transaction) = draft.last_as_draft() {
            return Ok(Ok(Decision::Draft(Box::new(Done { member_status, transaction }))));
        }
        self.booked.extend(receipt);
        *is_booked = true;
        *account = changed;
        Ok(Ok(Decision::Booked { number: self.journal.len() - 1, member_status }))
    }
}

/// Applies the rules to an account without what is no longer valid. A cancellation goes under the receipt of what it cancels.
async fn decide_in_tx(
    tx: &mut PgConnection,
    terms: &Terms,
    account: &mut Account,
    request: &Request,
) -> sqlx::Result<Result<(Booking, Remarks), TransactError>> {
    let now = request.now;
    let until = terms.validity.of_earning(now);
    let decided = match request.command {
        Command::Change(change, expires_at) => account.change(change, now, expires_at.unwrap_or(until)),
        Command::Adjust(change) => account.adjust(change, now, until),
        Command::Cancel(transaction_id, amount) => {
            let original = ledger::original_in_tx(tx, account.membership_id, transaction_id, now).await?;
            let Some(original) = original else { return Ok(Err(TransactError::TransactionNotFound)) };
            let grace_until = terms.validity.of_grace(now);
            let cancelled = account.cancel(&original, amount, now, grace_until, terms.spent);
            let refused =
                |reason| TransactError::CancelRefused { account: Box::new(account.clone()), reason };
            let remarks = Remarks { reference: original.reference, ..request.remarks.clone() };
            return Ok(cancelled.map(|booking| (booking, remarks)).map_err(refused));
        }
    };
    let refused = |reason| TransactError::Refused { account: Box::new(account.clone()), reason };
    Ok(decided.map(|booking| (booking, request.remarks.clone())).map_err(refused))
}
