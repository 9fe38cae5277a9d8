//! Events that wait in the outbox.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::delivery::outbox::{AggregateVersion, append_in_tx};
use crate::envelope::Provenance;
use crate::event::MemberWithdrawn;
use crate::identity::{MemberId, MembershipId};

/// The withdrawal of member 7, at a version.
pub(in crate::delivery) fn outgoing(version: i64) -> (AggregateVersion, MemberWithdrawn) {
    let aggregate = AggregateVersion {
        member_id: MemberId::try_from(7).unwrap(),
        membership_id: MembershipId(Uuid::now_v7()),
        version,
    };
    let payload = MemberWithdrawn {
        member_id: aggregate.member_id,
        membership_id: aggregate.membership_id,
        withdrawn_at: "2026-03-04T05:06:07Z".parse().unwrap(),
    };
    (aggregate, payload)
}

/// Who caused it.
pub(in crate::delivery) fn provenance() -> Provenance {
    Provenance {
        actor: "operator".to_owned(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}

/// Writes an [`outgoing`] event into the outbox.
pub(in crate::delivery) async fn append(tx: &mut PgConnection, version: i64) {
    let (aggregate, payload) = outgoing(version);
    append_in_tx(tx, aggregate, &payload, &provenance()).await.unwrap();
}
