//! `kill -9` of each service before each of its writes and at each of its commits, while a member joins, earns and
//! withdraws. A commit that goes through although its process is dead is the harder half: the client has no answer, the
//! offset is not committed, the event is published but still in the outbox.

use std::collections::{BTreeMap, BTreeSet};

use e2e::{
    Answer, Breakpoints, Fate, Moment, Outcome, Sent, World, WorldOptions, block_on, eventually, noticed_soon,
};
use reqwest::Method;
use serde_json::json;
use tokio::sync::Notify;

/// The writes of each transaction, in order.
type Transactions = &'static [&'static [&'static str]];

const JOIN: Transactions = &[
    &["member INSERT member READY", "member INSERT outbox MemberJoined"],
    &["member DELETE outbox MemberJoined"],
    &["message INSERT inbox", "message INSERT message QUEUED"],
    &["message UPDATE message QUEUED"],
    &["message UPDATE message SENT", "message INSERT outbox MessageSent"],
    &["message DELETE outbox MessageSent"],
    &["member INSERT inbox", "member UPDATE member NORMAL", "member INSERT outbox MemberStatusChanged"],
    &["member DELETE outbox MemberStatusChanged"],
    &["point INSERT inbox", "point INSERT holder", "point UPDATE holder", "point INSERT account"],
    &[
        "point UPDATE account",
        "point INSERT ledger_entry SIGNUP",
        "point INSERT lot",
        "point INSERT lot_movement",
        "point INSERT outbox PointsEarned",
    ],
    &["point DELETE outbox PointsEarned"],
    &["mypage INSERT inbox", "mypage INSERT page"],
    &["mypage UPDATE page", "mypage INSERT page_transaction SIGNUP"],
];

const EARN: Transactions = &[
    &[
        "point UPDATE account",
        "point INSERT ledger_entry EARN",
        "point INSERT lot",
        "point INSERT lot_movement",
        "point INSERT outbox PointsEarned",
    ],
    &["point DELETE outbox PointsEarned"],
    &[
        "mypage INSERT inbox",
        "mypage INSERT page",
        "mypage UPDATE page",
        "mypage INSERT page_transaction EARN",
    ],
];

const WITHDRAW: Transactions = &[
    &[
        "point INSERT holder",
        "point UPDATE holder",
        "point UPDATE account",
        "point INSERT ledger_entry FORFEIT",
        "point UPDATE lot",
        "point INSERT lot_movement",
        "point INSERT outbox PointsForfeited",
    ],
    &["member DELETE member NORMAL", "member INSERT tombstone", "member INSERT outbox MemberWithdrawn"],
    &["point DELETE outbox PointsForfeited"],
    &["member INSERT inbox"],
    &["member DELETE outbox MemberWithdrawn"],
    &[
        "mypage INSERT inbox",
        "mypage INSERT page",
        "mypage UPDATE page",
        "mypage DELETE page_transaction SIGNUP",
    ],
    &["message INSERT inbox", "message UPDATE message SENT"],
    &["point INSERT inbox"],
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Join,
    Earn,
    Withdraw,
}

/// Who dies when, during what.
#[derive(Clone, Copy, Debug)]
struct Crash {
    operation: Operation,
    write: &'static str,
    moment: Moment,
    victim: &'static str,
    /// Whether the client waits for the end of this very transaction.
    is_before_the_answer: bool,
}

impl Operation {
    fn transactions(self) -> Transactions {
        match self {
            Self::Join => JOIN,
            Self::Earn => EARN,
            Self::Withdraw => WITHDRAW,
        }
    }

    /// Every write of a service, and the last one of each transaction once more when it commits.
    fn crashes_of(self, service: &str) -> Vec<Crash> {
        let mut crashes = Vec::new();
        for (index, writes) in self.transactions().iter().enumerate() {
            let crash = |write: &'static str, moment| Crash {
                operation: self,
                write,
                moment,
                victim: owner(write),
                is_before_the_answer: index == 0,
            };
            crashes.extend(writes.iter().map(|write| crash(write, Moment::Write)));
            crashes.extend(writes.last().map(|write| crash(write, Moment::Commit)));
        }
        crashes.retain(|crash| crash.victim == service);
        crashes
    }
}

fn owner(write: &str) -> &str {
    write.split(' ').next().unwrap_or_default()
}

/// One crash after the other, each of another member, and then a look at everything.
fn survive(crashes: &[Crash]) {
    block_on(async {
        let mut env = noticed_soon();
        env.push(("member", "FORFEIT_CIRCUIT_MINIMUM_CALLS", "1000".to_owned()));
        let world = World::start_with(WorldOptions { env, ..Default::default() }).await;
        let ids = || (1..).zip(crashes);
        for (member_id, _) in ids().filter(|(_, crash)| crash.operation != Operation::Join) {
            world.client.join_and_be_granted(member_id).await;
        }
        world.quiet().await;
        let breakpoints = world.breakpoints().await;

        let mut sent = Vec::new();
        for (member_id, crash) in ids() {
            sent.extend(Victim { world: &world, breakpoints: &breakpoints, member_id }.survive(crash).await);
            // What is left of this one would run into the next breakpoint.
            world.quiet().await;
        }

        assert_eq!(world.violations(&sent).await, Vec::<String>::new());
        for (member_id, crash) in ids() {
            assert_eq!(events(&world, member_id).await, expected_events(crash), "{crash:?}");
        }
        let known: BTreeSet<_> =
            [JOIN, EARN, WITHDRAW].concat().concat().into_iter().map(str::to_owned).collect();
        let unknown = &breakpoints.seen().await - &known;
        assert!(unknown.is_empty(), "no crash is tried at {unknown:?}");
        world.stop().await;
    });
}

struct Victim<'w> {
    world: &'w World,
    breakpoints: &'w Breakpoints,
    member_id: i64,
}

impl Victim<'_> {
    /// Returns the commands that were sent.
    async fn survive(&self, crash: &Crash) -> Option<Sent> {
        let breakpoint = self.breakpoints.arm(crash.write, crash.moment).await;
        let answered = Notify::new();
        let asking = async {
            let answer = self.ask(crash.operation).await;
            answered.notify_one();
            answer
        };
        let (answer, ()) = tokio::join!(asking, async {
            breakpoint.reached().await;
            if !crash.is_before_the_answer && crash.operation != Operation::Withdraw {
                // It may still be on its way: the relay does not wait for it.
                answered.notified().await;
            }
            self.world.service(crash.victim).kill().await;
            let is_alone = crash.victim == owner(crash.write);
            let is_lost = is_alone && crash.moment == Moment::Write;
            breakpoint.disarm(if is_lost { Outcome::RollBack } else { Outcome::GoOn }).await;
            self.world.service(crash.victim).restart().await.expect("it starts again");
            self.let_leases_end().await;
        });
        match crash.operation {
            Operation::Join => self.has_joined(crash, answer).await,
            Operation::Earn => return Some(self.has_earned(crash, answer).await),
            Operation::Withdraw => self.has_withdrawn(crash, answer).await,
        }
        None
    }

    /// The answer, if there was one.
    async fn ask(&self, operation: Operation) -> Option<Answer> {
        let member_id = self.member_id;
        let points = format!("/points/{member_id}");
        let applicant =
            json!({ "memberId": member_id, "phoneNo": format!("010{member_id:08}"), "nickname": "C" });
        let client = &self.world.client;
        let asked = match operation {
            Operation::Join => client.call(Method::POST, "/members", Some(&applicant)).await,
            Operation::Earn => client.call(Method::PATCH, &points, Some(&json!({ "requirePoint": 5 }))).await,
            Operation::Withdraw => client.call(Method::DELETE, &format!("/members/{member_id}"), None).await,
        };
        asked.ok()
    }

    /// Spares the test the wait for the lease of a message whose sender has died.
    async fn let_leases_end(&self) {
        let end = "UPDATE message.message SET due_at = now() WHERE status = 'QUEUED'";
        sqlx::query(end).execute(&self.world.pool).await.expect("the leases end");
    }

    async fn has_joined(&self, crash: &Crash, answer: Option<Answer>) {
        let path = format!("/members/{}", self.member_id);
        if !crash.is_before_the_answer {
            assert_eq!(answer.expect("an answer").status, 201, "{crash:?}");
        } else {
            assert_eq!(answer, None, "{crash:?}");
            let is_done = crash.moment == Moment::Commit;
            let status = if is_done { 200 } else { 404 };
            self.world.client.until(&path, status, json!({})).await;
            let again = self.ask(Operation::Join).await.expect("an answer");
            assert_eq!(again.status, if is_done { 409 } else { 201 }, "{crash:?}: {again:?}");
        }
        self.world.client.until(&path, 200, json!({ "memberStatus": "NORMAL" })).await;
        self.shows_points(1_000).await;
    }

    async fn has_earned(&self, crash: &Crash, answer: Option<Answer>) -> Sent {
        let is_done = !crash.is_before_the_answer || crash.moment == Moment::Commit;
        assert_eq!(answer.is_some(), !crash.is_before_the_answer, "{crash:?}: {answer:?}");
        self.shows_points(if is_done { 1_005 } else { 1_000 }).await;
        Sent { member_id: self.member_id, amount: 5, fate: if is_done { Fate::Done } else { Fate::Refused } }
    }

    async fn has_withdrawn(&self, crash: &Crash, answer: Option<Answer>) {
        let is_before_the_pivot = crash.is_before_the_answer && crash.moment == Moment::Write;
        if is_before_the_pivot && answer.is_none_or(|answer| answer.status != 204) {
            eventually("the withdrawal succeeds", || async {
                let answer = self.ask(Operation::Withdraw).await;
                let is_gone = answer.as_ref().is_some_and(|it| [204, 404].contains(&it.status.as_u16()));
                if is_gone { Ok(()) } else { Err(format!("{answer:?}")) }
            })
            .await;
        }
        for collection in ["members", "points", "mypages"] {
            self.world.client.until(&format!("/{collection}/{}", self.member_id), 404, json!({})).await;
        }
        let phone_no = "SELECT count(phone_no) FROM message.message WHERE member_id = $1";
        eventually("the phone number is erased", || async {
            let kept = sqlx::query_scalar(phone_no).bind(self.member_id).fetch_one(&self.world.pool);
            let kept: i64 = kept.await.expect("the messages");
            if kept == 0 { Ok(()) } else { Err("still there") }
        })
        .await;
    }

    async fn shows_points(&self, points: i64) {
        for collection in ["points", "mypages"] {
            let path = format!("/{collection}/{}", self.member_id);
            self.world.client.until(&path, 200, json!({ "remainPoint": points })).await;
        }
    }
}

/// How many different events of each type there are of a member.
async fn events(world: &World, member_id: i64) -> BTreeMap<String, usize> {
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for topic in ["member", "message", "point"] {
        for record in world.topics.read(topic).await {
            if record.key == member_id.to_string().as_bytes() {
                let id = record.header("ce_id").expect("an id");
                ids.entry(record.header("ce_type").expect("a type")).or_default().insert(id);
            }
        }
    }
    ids.into_iter().map(|(name, ids)| (name, ids.len())).collect()
}

fn expected_events(crash: &Crash) -> BTreeMap<String, usize> {
    let is_earned = !crash.is_before_the_answer || crash.moment == Moment::Commit;
    let mut events = vec![("MemberJoined", 1), ("MessageSent", 1), ("MemberStatusChanged", 1)];
    events.push(("PointsEarned", if crash.operation == Operation::Earn && is_earned { 2 } else { 1 }));
    if crash.operation == Operation::Withdraw {
        events.extend([("PointsForfeited", 1), ("MemberWithdrawn", 1)]);
    }
    events.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[test]
fn member_dies_while_somebody_joins() {
    survive(&Operation::Join.crashes_of("member"));
}

#[test]
fn message_dies_while_somebody_joins() {
    survive(&Operation::Join.crashes_of("message"));
}

#[test]
fn point_dies_while_somebody_joins() {
    survive(&Operation::Join.crashes_of("point"));
}

#[test]
fn my_page_dies_while_somebody_joins_or_earns() {
    survive(&[Operation::Join.crashes_of("mypage"), Operation::Earn.crashes_of("mypage")].concat());
}

#[test]
fn point_or_member_dies_while_somebody_earns() {
    survive(&[Operation::Earn.crashes_of("point"), Operation::Earn.crashes_of("member")].concat());
}

#[test]
fn point_dies_while_somebody_withdraws() {
    survive(&Operation::Withdraw.crashes_of("point"));
}

#[test]
fn member_dies_while_somebody_withdraws() {
    survive(&Operation::Withdraw.crashes_of("member"));
}

#[test]
fn message_or_my_page_dies_while_somebody_withdraws() {
    survive(&[Operation::Withdraw.crashes_of("message"), Operation::Withdraw.crashes_of("mypage")].concat());
}

#[test]
fn member_dies_while_point_forfeits() {
    let mut crashes = Operation::Withdraw.crashes_of("point");
    crashes.retain(|crash| crash.is_before_the_answer);
    crashes.iter_mut().for_each(|crash| crash.victim = "member");
    survive(&crashes);
}
