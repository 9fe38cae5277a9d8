//! `kill -9` of point while it expires points: what was committed stays, and the next start does the rest.

use e2e::{Fate, Moment, Outcome, Sent, World, block_on, eventually};
use serde_json::json;

use crate::reconcile::reconcile;

const MEMBERS: i64 = 15;
/// More due lots together than the first batch of a round looks for.
const LOTS_EACH: i64 = 10;
const ENTRY: &str = "point INSERT ledger_entry EXPIRE";

#[test]
fn point_dies_twice_in_a_round_of_expiry_and_every_lot_expires_once() {
    block_on(async {
        let world = World::start().await;
        let mut sent = Vec::new();
        for member_id in 1..=MEMBERS {
            world.client.join_and_be_granted(member_id).await;
            for amount in 1..=LOTS_EACH {
                assert_eq!(world.client.change_points(member_id, amount).await.status, 200);
                sent.push(Sent { member_id, amount, fate: Fate::Done });
            }
        }
        world.quiet().await;
        let point = world.service("point");
        point.kill().await;
        let due = "UPDATE point.lot SET expires_at = now() - interval '1 day' WHERE amount < 1000";
        sqlx::query(due).execute(&world.pool).await.expect("the lots are due");
        let breakpoints = world.breakpoints().await;

        let mut expired = Vec::new();
        for (moment, outcome) in [(Moment::Commit, Outcome::GoOn), (Moment::Write, Outcome::RollBack)] {
            let breakpoint = breakpoints.arm(ENTRY, moment).await;
            point.restart().await.expect("it starts again");
            breakpoint.reached().await;
            point.kill().await;
            breakpoint.disarm(outcome).await;
            eventually("its sessions are gone", || async {
                let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'point_app'";
                let sessions: i64 = count(&world, sessions).await;
                if sessions == 0 { Ok(()) } else { Err(format!("{sessions} are there")) }
            })
            .await;
            expired
                .push(count(&world, "SELECT count(*) FROM point.ledger_entry WHERE type = 'EXPIRE'").await);
        }
        assert!(
            expired[0] > 0 && expired[0] < MEMBERS,
            "the first batch is a part of the round: {expired:?}"
        );
        assert_eq!(expired[1], expired[0], "the second one was rolled back");

        point.restart().await.expect("it starts again");
        for member_id in 1..=MEMBERS {
            let path = format!("/mypages/{member_id}");
            world.client.until(&path, 200, json!({ "remainPoint": 1_000 })).await;
        }
        world.assert_books_are_right(&sent).await;
        let points = "SELECT -sum(amount)::bigint FROM point.ledger_entry WHERE type = 'EXPIRE'";
        assert_eq!(count(&world, points).await, MEMBERS * LOTS_EACH * (LOTS_EACH + 1) / 2);
        let (code, said) = reconcile(&world, &["--quiet"]).await;
        assert_eq!(code, Some(0), "{said}");
        world.stop().await;
    });
}

async fn count(world: &World, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(&world.pool).await.expect("a number")
}
