//! `point reconcile` says what differs, and is silent when nothing does.

use std::process::Output;

use e2e::{World, block_on};
use serde_json::json;

/// Compares the books with each other and with my page: the exit code, and what was said.
pub(super) async fn reconcile(world: &World, further: &[&str]) -> (Option<i32>, String) {
    let mypage = world.service("mypage").url() + "/";
    let mut arguments = vec!["reconcile", "--mypage-url", &mypage, "--batch", "2"];
    arguments.extend(further);
    let Output { status, stdout, stderr } = world.run("point", &arguments).await;
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code(), format!("{out}{err}"))
}

#[test]
fn the_books_of_every_account_are_compared_with_each_other_and_with_my_page() {
    block_on(async {
        let world = World::start().await;
        for member_id in 1..=5 {
            world.client.join_and_be_granted(member_id).await;
        }
        assert_eq!(world.client.change_points(2, -300).await.status, 200);
        assert_eq!(world.client.withdraw(3).await.status, 204);
        world.client.join_and_be_granted(3).await;
        world.client.until("/mypages/2", 200, json!({ "remainPoint": 700 })).await;

        let (code, said) = reconcile(&world, &[]).await;
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("6 accounts with 8 entries compared, 0 differences"), "{said}");
        assert!(said.contains("2 of about"), "it tells its progress: {said}");

        for (harm, expected) in [
            (
                "UPDATE point.account SET balance = 999 WHERE member_id = 1",
                "balance 999, entries 1000, lots 1000",
            ),
            ("UPDATE point.lot SET remaining = 1 WHERE remaining = 700", "balance 700, entries 700, lots 1"),
            ("UPDATE mypage.page SET remain_point = 5 WHERE member_id = 4", "balance 1000, my page shows 5"),
            ("DELETE FROM mypage.page WHERE member_id = 5", "member 5: balance 1000, my page shows nothing"),
            (
                "UPDATE mypage.page SET member_id = 99 WHERE member_id = 2",
                "member 99: no open account, my page shows 700",
            ),
        ] {
            sqlx::query(harm).execute(&world.pool).await.expect("the harm is done");
            let (code, said) = reconcile(&world, &["--quiet", "--patience", "0"]).await;
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(expected), "{expected}: {said}");
        }
        let nonsense = world.service("member").url() + "/readyz/";
        let Output { status, .. } =
            world.run("point", &["reconcile", "--quiet", "--mypage-url", &nonsense]).await;
        assert_eq!(status.code(), Some(2), "what was not compared is not a difference");
        world.stop().await;
    });
}
