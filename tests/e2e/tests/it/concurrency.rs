//! Many at the same time.

use e2e::{World, block_on};
use futures::future::join_all;
use serde_json::json;

#[test]
fn of_200_uses_at_once_as_many_succeed_as_the_balance_covers() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;

        let uses = join_all((0..200).map(|_| world.client.change_points(1, -10))).await;

        let succeeded = uses.iter().filter(|answer| answer.status == 200).count();
        let refused = uses.iter().filter(|answer| answer.shows(422, &json!({ "code": "insufficient-points" })));
        assert_eq!((succeeded, refused.count()), (100, 100));
        assert!(world.client.get("/points/1").await.shows(200, &json!({ "remainPoint": 0 })));
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 0 })).await;
        world.stop().await;
    });
}
