//! What fills the queue, and takes out of it what is of a membership that has ended.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use shared_events::event::MessageKind;
use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;

use super::kind;
use crate::domain::{ExpiryNotice, MessageStatus, PhoneNo};

/// A notification to be queued.
#[derive(Clone, Debug)]
pub struct NewMessage<'a> {
    /// Whom it is for.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// What it is for.
    pub kind: MessageKind,
    /// Which one of its kind: there is one of each per membership.
    pub occasion: String,
    /// What an expiry notice tells of.
    pub notice: Option<ExpiryNotice>,
    /// Where it goes.
    pub phone_no: PhoneNo,
    /// The trace of what caused it.
    pub traceparent: Option<&'a str>,
}

/// Queues notifications in their order, but for those whose membership has one of the kind and occasion. Says of each
/// whether it did.
pub async fn queue_all_in_tx(
    tx: &mut PgConnection,
    messages: &[NewMessage<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<bool>> {
    let rows = sqlx::query!(
        "INSERT INTO message (member_id, membership_id, kind, phone_no, status, due_at, queued_at, traceparent,
                              occasion, points, expires_at)
         SELECT member_id, membership_id, kind, phone_no, 'QUEUED', $9, $9, traceparent, occasion, points, expires_at
         FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                     $8::timestamptz[])
              WITH ORDINALITY
              AS new (member_id, membership_id, kind, phone_no, traceparent, occasion, points, expires_at, number)
         ORDER BY number
         ON CONFLICT (membership_id, kind, occasion) DO NOTHING
         RETURNING membership_id, kind, occasion",
        &messages.iter().map(|message| message.member_id.get()).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.membership_id.0).collect::<Vec<_>>(),
        &messages.iter().map(|message| message.kind.as_str()).collect::<Vec<_>>() as &[&str],
        &messages.iter().map(|message| message.phone_no.0.as_str()).collect::<Vec<_>>() as &[&str],
        &messages.iter().map(|message| message.traceparent).collect::<Vec<_>>() as &[Option<&str>],
        &messages.iter().map(|message| message.occasion.as_str()).collect::<Vec<_>>() as &[&str],
        &messages.iter().map(|message| message.notice.map(|notice| notice.points)).collect::<Vec<_>>()
            as &[Option<i64>],
        &messages.iter().map(|message| message.notice.map(|notice| notice.expires_at)).collect::<Vec<_>>()
            as &[Option<DateTime<Utc>>],
        now,
    )
    .fetch_all(tx)
    .await?;
    let mut queued: HashSet<_> =
        rows.into_iter().map(|row| (row.membership_id, kind(&row.kind), row.occasion)).collect();
    // Of equal ones the first was queued.
    let is_queued = |message: &NewMessage<'_>| {
        queued.remove(&(message.membership_id.0, message.kind, message.occasion.clone()))
    };
    Ok(messages.iter().map(is_queued).collect())
}

/// The numbers that members were, or are to be, welcomed at; none of a member who has withdrawn. None of them withdraws
/// until the transaction ends. The locks are taken by ascending membershipId.
pub async fn phone_nos_in_tx(
    tx: &mut PgConnection,
    membership_ids: &[MembershipId],
) -> sqlx::Result<HashMap<MembershipId, PhoneNo>> {
    let rows = sqlx::query!(
        "SELECT membership_id, phone_no FROM message WHERE membership_id = ANY ($1) AND kind = 'WELCOME'
         ORDER BY membership_id FOR UPDATE",
        &membership_ids.iter().map(|membership_id| membership_id.0).collect::<Vec<_>>(),
    )
    .fetch_all(tx)
    .await?;
    let found =
        rows.into_iter().filter_map(|row| Some((MembershipId(row.membership_id), PhoneNo(row.phone_no?))));
    Ok(found.collect())
}

/// A notification whose phone number was erased.
#[derive(Clone, Copy, Debug)]
pub struct Erased {
    /// What it tells.
    pub kind: MessageKind,
    /// Whether it was cancelled by that.
    pub is_cancelled: bool,
}

/// Cancels what a membership has queued and erases its phone number. Returns what changed.
pub async fn erase_in_tx(
    tx: &mut PgConnection,
    membership_id: MembershipId,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Erased>> {
    // Whoever queues a notice at the moment finishes first, so that the next statement sees it.
    sqlx::query!(
        "SELECT message_id FROM message WHERE membership_id = $1 AND kind = 'WELCOME' FOR UPDATE",
        membership_id.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let erased = sqlx::query!(
        "UPDATE message
         SET phone_no = NULL, claim = NULL,
             status = CASE status WHEN 'QUEUED' THEN 'CANCELLED' ELSE status END,
             finished_at = coalesce(finished_at, $2)
         WHERE membership_id = $1 AND (phone_no IS NOT NULL OR status = 'QUEUED')
         RETURNING kind, status",
        membership_id.0,
        now,
    )
    .fetch_all(tx)
    .await?;
    let is_cancelled = |status: &str| status == MessageStatus::Cancelled.as_str();
    let erased = erased.iter();
    Ok(erased.map(|row| Erased { kind: kind(&row.kind), is_cancelled: is_cancelled(&row.status) }).collect())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_phone_number_to_be_queued_is_hidden_in_a_log_line() {
        let message = NewMessage {
            member_id: MemberId::try_from(1).unwrap(),
            membership_id: MembershipId(Uuid::nil()),
            kind: MessageKind::Welcome,
            occasion: String::new(),
            notice: None,
            phone_no: PhoneNo("01085581234".to_owned()),
            traceparent: None,
        };
        assert!(!format!("{message:?}").contains("01085581234"));
    }
}
