//! The two topics arrive in any interleaving, with any record twice, and the row ends the same.

use std::time::{SystemTime, UNIX_EPOCH};

use mypage::store::pages;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use shared_events::MemberId;
use shared_events::event::MemberStatus::Normal;
use sqlx::{Connection, PgConnection};

use crate::support::{Membership, Record, Service, deliver_all_in_tx, deliver_in_tx, row};

const MEMBER: i64 = 1;
/// Set to repeat a run that failed.
const SEED: &str = "MYPAGE_TEST_SEED";

/// What there is to say about one memberId, each topic in its order, with what the page shows of it.
struct History {
    member: Vec<(Record, Option<MemberHalf>)>,
    point: Vec<(Record, PointHalf)>,
}

/// The phone number, nickname and status that a member event leaves, `None` once withdrawn.
#[derive(Clone, Copy)]
struct MemberHalf {
    membership: Membership,
    status: &'static str,
}

#[derive(Clone, Copy)]
struct PointHalf {
    membership: Membership,
    balance: i64,
}

impl History {
    /// Joined, withdrew and joined anew.
    fn of_a_rejoined_member() -> Self {
        let (former, rejoined) = (Membership::of(MEMBER), Membership::of(MEMBER));
        let member = |membership, status| Some(MemberHalf { membership, status });
        let point = |membership, balance| PointHalf { membership, balance };
        Self {
            member: vec![
                (former.joined(1), member(former, "READY")),
                (former.became(Normal, 2), member(former, "NORMAL")),
                (former.withdrawn(3), None),
                (rejoined.joined(4), member(rejoined, "READY")),
                (rejoined.became(Normal, 5), member(rejoined, "NORMAL")),
            ],
            point: vec![
                (former.earned(1000, 1), point(former, 1000)),
                (former.used(300, 2), point(former, 300)),
                (former.forfeited(300, 3), point(former, 0)),
                (rejoined.earned(1000, 4), point(rejoined, 1000)),
                (rejoined.used(650, 5), point(rejoined, 650)),
            ],
        }
    }

    /// Joined and withdrew; a day later the withdrawal is published again.
    fn of_a_withdrawn_member() -> Self {
        let membership = Membership::of(MEMBER);
        let member = |status| Some(MemberHalf { membership, status });
        let point = |balance| PointHalf { membership, balance };
        Self {
            member: vec![
                (membership.joined(1), member("READY")),
                (membership.became(Normal, 2), member("NORMAL")),
                (membership.withdrawn(3), None),
                (membership.withdrawn(3), None),
            ],
            point: vec![
                (membership.earned(1000, 1), point(1000)),
                (membership.used(300, 2), point(300)),
                (membership.forfeited(300, 3), point(0)),
            ],
        }
    }

    /// The page after so many events of each topic: what is shown to the member.
    fn shown(&self, members: usize, points: usize) -> Option<(String, String, &'static str, i64)> {
        let (_, half) = self.member.get(members.checked_sub(1)?)?;
        let MemberHalf { membership, status } = (*half)?;
        let point = points.checked_sub(1).map(|last| self.point[last].1);
        let balance =
            point.filter(|point| point.membership.id == membership.id).map_or(0, |point| point.balance);
        Some((membership.phone_no(), membership.nickname(), status, balance))
    }

    async fn assert_shown(&self, tx: &mut PgConnection, order: &[Topic], members: usize, points: usize) {
        let member_id = MemberId::try_from(MEMBER).expect("a memberId");
        let page = pages::find(tx, &[member_id]).await.expect("an answer");
        let shown = page
            .into_iter()
            .next()
            .map(|page| (page.phone_no, page.nickname, page.member_status, page.remain_point));
        let expected = self
            .shown(members, points)
            .map(|(phone_no, nickname, status, balance)| (phone_no, nickname, status.to_owned(), balance));
        assert_eq!(shown, expected, "after {members} member and {points} point events of {order:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Member,
    Point,
}

/// All orders in which two topics with so many events each can be read.
fn interleavings(members: usize, points: usize) -> Vec<Vec<Topic>> {
    if members == 0 && points == 0 {
        return vec![Vec::new()];
    }
    let ending_with = |last, members, points| {
        interleavings(members, points).into_iter().map(move |mut order| {
            order.push(last);
            order
        })
    };
    let mut all = Vec::new();
    if members > 0 {
        all.extend(ending_with(Topic::Member, members - 1, points));
    }
    if points > 0 {
        all.extend(ending_with(Topic::Point, members, points - 1));
    }
    all
}

fn seeded() -> StdRng {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        now.as_secs() ^ u64::from(now.subsec_nanos()) << 32
    });
    println!("{SEED}={seed}");
    StdRng::seed_from_u64(seed)
}

/// Reads the topics in one order, looking at the page after each event.
async fn read_in_order(history: &History, tx: &mut PgConnection, order: &[Topic]) {
    let (mut members, mut points) = (0, 0);
    for topic in order {
        let record = match topic {
            Topic::Member => {
                members += 1;
                &history.member[members - 1].0
            }
            Topic::Point => {
                points += 1;
                &history.point[points - 1].0
            }
        };
        deliver_in_tx(tx, record).await;
        history.assert_shown(tx, order, members, points).await;
    }
}

/// The same in batches of random size, that share a statement.
async fn read_in_batches(history: &History, tx: &mut PgConnection, order: &[Topic], rng: &mut StdRng) {
    let mut members = history.member.iter().map(|(record, _)| record);
    let mut points = history.point.iter().map(|(record, _)| record);
    let next = |topic: &Topic| match topic {
        Topic::Member => members.next().expect("a member event"),
        Topic::Point => points.next().expect("a point event"),
    };
    let mut records: Vec<&Record> = order.iter().map(next).collect();
    while !records.is_empty() {
        let batch = records.drain(..rng.random_range(1..=records.len()));
        deliver_all_in_tx(tx, batch).await;
    }
}

/// The same with events delivered again at random, and at the end a whole prefix of each topic.
async fn read_with_repetitions(history: &History, tx: &mut PgConnection, order: &[Topic], rng: &mut StdRng) {
    let (mut members, mut points) = (0, 0);
    for topic in order {
        let (records, read): (Vec<&Record>, &mut usize) = match topic {
            Topic::Member => (history.member.iter().map(|(record, _)| record).collect(), &mut members),
            Topic::Point => (history.point.iter().map(|(record, _)| record).collect(), &mut points),
        };
        deliver_in_tx(tx, records[*read]).await;
        *read += 1;
        for _ in 0..rng.random_range(0..3) {
            deliver_in_tx(tx, records[rng.random_range(0..*read)]).await;
        }
    }
    let members = history.member.iter().map(|(record, _)| record).take(rng.random_range(0..=members));
    let points = history.point.iter().map(|(record, _)| record).take(rng.random_range(0..=points));
    for record in members.chain(points) {
        deliver_in_tx(tx, record).await;
    }
}

async fn assert_every_interleaving_ends_with(history: &History, expected: &Value) -> usize {
    let mut rng = seeded();
    let service = Service::start().await;
    let mut connection = service.pool.acquire().await.expect("a connection");
    let mut tx = connection.begin().await.expect("a transaction");
    let orders = interleavings(history.member.len(), history.point.len());
    for order in &orders {
        let mut savepoint = tx.begin().await.expect("a savepoint");
        read_in_order(history, &mut savepoint, order).await;
        assert_eq!(row(&mut savepoint, MEMBER).await.as_ref(), Some(expected), "{order:?}");
        savepoint.rollback().await.expect("the savepoint");

        let mut savepoint = tx.begin().await.expect("a savepoint");
        read_in_batches(history, &mut savepoint, order, &mut rng).await;
        assert_eq!(row(&mut savepoint, MEMBER).await.as_ref(), Some(expected), "{order:?} in batches");
        savepoint.rollback().await.expect("the savepoint");

        let mut savepoint = tx.begin().await.expect("a savepoint");
        read_with_repetitions(history, &mut savepoint, order, &mut rng).await;
        assert_eq!(row(&mut savepoint, MEMBER).await.as_ref(), Some(expected), "{order:?} with repetitions");
        savepoint.rollback().await.expect("the savepoint");
    }
    orders.len()
}

#[tokio::test]
async fn every_interleaving_of_a_rejoined_members_events_ends_in_the_same_row() {
    let history = History::of_a_rejoined_member();
    let rejoined = history.point[4].1.membership;
    let expected = json!({
        "member_id": MEMBER,
        "member_membership_id": rejoined.id,
        "member_version": 5,
        "phone_no": rejoined.phone_no(),
        "nickname": rejoined.nickname(),
        "member_status": "NORMAL",
        "point_membership_id": rejoined.id,
        "point_version": 5,
        "remain_point": 650,
        "next_expiration_points": null,
        "next_expires_at": null,
    });

    assert_eq!(assert_every_interleaving_ends_with(&history, &expected).await, 252);
}

#[tokio::test]
async fn every_interleaving_of_a_withdrawn_members_events_ends_with_nothing_personal() {
    let history = History::of_a_withdrawn_member();
    let membership = history.point[0].1.membership;
    let expected = json!({
        "member_id": MEMBER,
        "member_membership_id": membership.id,
        "member_version": 3,
        "phone_no": null,
        "nickname": null,
        "member_status": null,
        "point_membership_id": membership.id,
        "point_version": 3,
        "remain_point": 0,
        "next_expiration_points": null,
        "next_expires_at": null,
    });

    assert_eq!(assert_every_interleaving_ends_with(&history, &expected).await, 35);
}
