//! Who reacts to what. The contract knows the topics, not their readers; that this is so is compared with running
//! services in `tests/e2e/tests/it/contract.rs`.

/// The event types that each service reacts to. Whoever reads `mileage.member` does to MemberWithdrawn, at least by
/// removing what is parked of the member.
pub const REACTIONS: [(&str, &[&str]); 4] = [
    ("member", &["MessageSent", "MessageFailed", "PointsForfeited"]),
    ("message", &["MemberJoined", "MemberStatusChanged", "MemberWithdrawn", "PointsExpiring"]),
    ("point", &["MemberJoined", "MemberStatusChanged", "MemberWithdrawn"]),
    (
        "mypage",
        &[
            "MemberJoined",
            "MemberStatusChanged",
            "MemberWithdrawn",
            "PointsEarned",
            "PointsUsed",
            "PointsForfeited",
            "PointsExpired",
            "PointsRestored",
            "PointsAdjusted",
            "PointsExpiring",
        ],
    ),
];
