//! Many at the same time.

use e2e::{World, WorldOptions, block_on};
use futures::future::join_all;
use serde_json::json;

#[test]
fn of_200_uses_at_once_as_many_succeed_as_the_balance_covers() {
    block_on(async {
        // Exactness is the point here, not how an overload is shed: nobody is turned away for waiting.
        let env = vec![("point", "DB_ACQUIRE_TIMEOUT_MS", "9000".to_owned())];
        let world = World::start_with(WorldOptions { env, ..Default::default() }).await;
        world.client.join_and_be_granted(1).await;

        let uses = join_all((0..200).map(|_| world.client.change_points(1, -10))).await;

        let succeeded = uses.iter().filter(|answer| answer.status == 200).count();
        let refused =
            uses.iter().filter(|answer| answer.shows(422, &json!({ "code": "insufficient-points" })));
        assert_eq!((succeeded, refused.count()), (100, 100));
        assert!(world.client.get("/points/1").await.shows(200, &json!({ "remainPoint": 0 })));
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 0 })).await;
        world.stop().await;
    });
}
