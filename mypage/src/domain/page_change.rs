//! What a batch of events changes in pages, as one change of each page.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use shared_events::event::{MemberStatus, NextExpiration};
use shared_events::{MemberId, MembershipId};

/// A change of points, as members see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// What point calls it.
    pub transaction_id: i64,
    /// What it was.
    pub entry_type: String,
    /// What the balance changed by.
    pub amount: i64,
    /// The balance after it.
    pub remain_point: i64,
    /// The shop's receipt.
    pub reference: Option<String>,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// What a page shows of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The phone number in digits. Personal data.
    pub phone_no: String,
    /// The nickname. Personal data.
    pub nickname: String,
    /// Where the member stands.
    pub member_status: MemberStatus,
}

/// The half of a page that the topic of members tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHalf {
    /// The member's version.
    pub version: i64,
    /// Which membership it is of.
    pub membership_id: MembershipId,
    /// `None` once withdrawn: the version stays, so that nothing late brings the page back.
    pub shown: Option<Shown>,
}

/// The half of a page that the topic of points tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointHalf {
    /// The account's version.
    pub version: i64,
    /// Which membership it is of.
    pub membership_id: MembershipId,
    /// The balance in points.
    pub remain_point: i64,
    /// What expires next.
    pub next_expiration: Option<NextExpiration>,
    /// Whether the account was closed, so that its transactions go.
    pub is_closed: bool,
    /// New transactions of this membership, each with the version that it brought the account to.
    pub transactions: Vec<(i64, Transaction)>,
}

/// The half of a page that an event is about, at the version the event brought it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The member half.
    Member(MemberId, i64),
    /// The point half.
    Point(MemberId, i64),
}

/// What is new of several pages, by memberId.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageChanges {
    members: BTreeMap<MemberId, MemberHalf>,
    points: BTreeMap<MemberId, PointHalf>,
}

impl PageChanges {
    /// The new member halves by ascending memberId.
    #[must_use]
    pub fn members(&self) -> Vec<(MemberId, &MemberHalf)> {
        self.members.iter().map(|(member_id, half)| (*member_id, half)).collect()
    }

    /// The new point halves by ascending memberId.
    #[must_use]
    pub fn points(&self) -> Vec<(MemberId, &PointHalf)> {
        self.points.iter().map(|(member_id, half)| (*member_id, half)).collect()
    }

    /// Takes a member half, if it is newer than the one it has.
    pub fn take_member(&mut self, member_id: MemberId, half: MemberHalf) -> Half {
        let taken = Half::Member(member_id, half.version);
        if self.members.get(&member_id).is_none_or(|earlier| earlier.version < half.version) {
            self.members.insert(member_id, half);
        }
        taken
    }

    /// Takes a point half, if it is newer than the one it has, whose transactions stay if they are of the same membership.
    pub fn take_point(&mut self, member_id: MemberId, mut half: PointHalf) -> Half {
        let taken = Half::Point(member_id, half.version);
        let earlier = self.points.remove(&member_id);
        let kept = match earlier {
            Some(earlier) if earlier.version >= half.version => earlier,
            Some(earlier) if earlier.membership_id == half.membership_id && !half.is_closed => {
                half.transactions.splice(0..0, earlier.transactions);
                half
            }
            Some(_) | None => half,
        };
        self.points.insert(member_id, kept);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member() -> MemberId {
        MemberId::try_from(1).unwrap()
    }

    fn membership(number: u128) -> MembershipId {
        MembershipId(uuid::Uuid::from_u128(number))
    }

    fn point(version: i64, of: u128) -> PointHalf {
        let transaction = Transaction {
            transaction_id: version,
            entry_type: "EARN".to_owned(),
            amount: 1,
            remain_point: version,
            reference: None,
            occurred_at: DateTime::UNIX_EPOCH,
        };
        PointHalf {
            version,
            membership_id: membership(of),
            remain_point: version,
            next_expiration: None,
            is_closed: false,
            transactions: vec![(version, transaction)],
        }
    }

    /// The version and the transactions of the point half after these, taken in their order.
    fn after(halves: impl IntoIterator<Item = PointHalf>) -> (i64, Vec<i64>) {
        let mut changes = PageChanges::default();
        for half in halves {
            changes.take_point(member(), half);
        }
        let (_, half) = changes.points()[0];
        (half.version, half.transactions.iter().map(|(version, _)| *version).collect())
    }

    #[test]
    fn the_newest_stays_with_the_transactions_of_its_membership() {
        assert_eq!(after([point(1, 1), point(2, 1), point(3, 1)]), (3, vec![1, 2, 3]));
        assert_eq!(after([point(1, 1), point(2, 1), point(3, 2), point(4, 2)]), (4, vec![3, 4]));
    }

    #[test]
    fn what_comes_again_or_late_changes_nothing() {
        assert_eq!(after([point(1, 1), point(3, 1), point(2, 1), point(3, 1)]), (3, vec![1, 3]));
    }

    #[test]
    fn a_closed_account_has_no_transactions() {
        let closed = PointHalf { is_closed: true, transactions: Vec::new(), ..point(3, 1) };
        assert_eq!(after([point(1, 1), point(2, 1), closed]), (3, vec![]));
    }
}
