//! SQL of the message service.

pub mod messages;
pub mod queue;
pub mod send_counts;

use shared_events::MemberId;
use shared_events::event::MessageKind;

fn member_id(id: i64) -> sqlx::Result<MemberId> {
    MemberId::try_from(id).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn kind(name: &str) -> MessageKind {
    let known = [MessageKind::Welcome, MessageKind::ExpiryNotice].into_iter();
    known.into_iter().find(|kind| kind.as_str() == name).unwrap_or(MessageKind::Unknown)
}
