//! The member aggregate.

use chrono::{DateTime, Utc};
use shared_events::event::{MemberState, MemberStatus};
use shared_events::time::in_micros;
use shared_events::{MemberId, MembershipId};

use super::nickname::Nickname;
use super::phone_no::PhoneNo;

/// Somebody who joined and has not withdrawn: a withdrawn member no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What clients call the member.
    pub member_id: MemberId,
    /// Which membership of that id.
    pub membership_id: MembershipId,
    /// Where the notifications go. READY and NORMAL members have unique numbers.
    pub phone_no: PhoneNo,
    /// What the member wants to be called.
    pub nickname: Nickname,
    /// Where the member stands.
    pub status: MemberStatus,
    /// Counts up per memberId and goes on after a rejoin.
    pub version: i64,
    /// When the membership began.
    pub joined_at: DateTime<Utc>,
}

/// How the welcome notification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WelcomeOutcome {
    /// The gateway accepted it.
    Sent,
    /// It failed for good.
    Failed,
}

/// What a transition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The status changed.
    Applied,
    /// There was nothing left to do.
    AlreadyApplied,
}

impl Member {
    /// A new member of an id that nobody had before. The time is kept in microseconds.
    #[must_use]
    pub fn join(
        member_id: MemberId,
        membership_id: MembershipId,
        phone_no: PhoneNo,
        nickname: Nickname,
        now: DateTime<Utc>,
    ) -> Self {
        let (status, version) = (MemberStatus::Ready, 1);
        Self { member_id, membership_id, phone_no, nickname, status, version, joined_at: in_micros(now) }
    }

    /// Puts a new member behind the last version that its id had in a former membership.
    pub const fn go_on_from(&mut self, last_version: i64) {
        self.version = last_version + 1;
    }

    /// READY becomes NORMAL when the welcome was sent and ABNORMAL when it failed. There is one exception to "only READY
    /// has transitions": an operator may have a failed welcome sent again, and then ABNORMAL becomes NORMAL.
    pub fn end_welcome(&mut self, outcome: WelcomeOutcome) -> Transition {
        self.status = match (self.status, outcome) {
            (MemberStatus::Ready | MemberStatus::Abnormal, WelcomeOutcome::Sent) => MemberStatus::Normal,
            (MemberStatus::Ready, WelcomeOutcome::Failed) => MemberStatus::Abnormal,
            (MemberStatus::Abnormal, WelcomeOutcome::Failed) | (MemberStatus::Normal, _) => {
                return Transition::AlreadyApplied;
            }
        };
        self.version += 1;
        Transition::Applied
    }

    /// The state that events carry.
    #[must_use]
    pub fn to_state(&self) -> MemberState {
        MemberState {
            member_id: self.member_id,
            membership_id: self.membership_id,
            phone_no: self.phone_no.as_str().to_owned(),
            nickname: self.nickname.as_str().to_owned(),
            member_status: self.status,
            joined_at: self.joined_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn member() -> Member {
        Member::join(
            MemberId::try_from(1).unwrap(),
            MembershipId(Uuid::nil()),
            "01085581234".parse().unwrap(),
            "SEQ1".parse().unwrap(),
            DateTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_new_member_is_ready_and_goes_on_from_the_last_version_of_the_id() {
        let mut member = member();
        assert_eq!((member.status, member.version), (MemberStatus::Ready, 1));
        member.go_on_from(6);
        assert_eq!(member.version, 7);
    }

    #[test]
    fn only_ready_has_transitions_but_for_a_failed_welcome_that_is_sent_after_all() {
        use WelcomeOutcome::{Failed, Sent};
        for (outcomes, status, version) in [
            (&[Sent, Sent, Failed][..], MemberStatus::Normal, 2),
            (&[Failed, Failed], MemberStatus::Abnormal, 2),
            (&[Failed, Sent, Sent, Failed], MemberStatus::Normal, 3),
        ] {
            let mut member = member();
            let applied =
                outcomes.iter().filter(|it| member.end_welcome(**it) == Transition::Applied).count();
            assert_eq!((member.status, member.version), (status, version), "{outcomes:?}");
            assert_eq!(i64::try_from(applied), Ok(version - 1), "{outcomes:?}");
        }
    }

    #[test]
    fn a_member_in_a_log_line_shows_neither_phone_number_nor_nickname() {
        let printed = format!("{:?} {:?}", member(), member().to_state());
        assert!(!printed.contains("01085581234") && !printed.contains("SEQ1"), "{printed}");
    }
}
