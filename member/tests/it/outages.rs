//! When this service's own Postgres is down.

use std::time::Duration;

use chassis::db::connect_options;
use chassis::testing::{Answer, DEADLINE};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use crate::support::service::migrated;
use crate::support::{Service, StubPoint, applicant};

/// A service whose Postgres refuses connections.
async fn without_postgres(point: &StubPoint) -> Service {
    let nobody = StubPoint::refused();
    let url = format!("postgres://member_app@127.0.0.1:{}/x", nobody.url().port().unwrap());
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(100))
        .connect_lazy_with(connect_options(&url, "member").unwrap());
    // Held for as long as the process lives, so that the port stays refused.
    std::mem::forget(nobody);
    Service::on(migrated().await, pool, point.url(), DEADLINE)
}

fn assert_try_again(answer: &Answer) {
    assert_eq!(answer.problem(), (503, "try-again-later"));
    assert!(answer.header("retry-after").is_some());
    let body = answer.body.to_string();
    assert!(!body.contains("127.0.0.1") && !body.contains("refused"), "{body}");
}

#[tokio::test]
async fn everything_is_to_be_tried_again_later_and_the_points_stay() {
    let point = StubPoint::forfeiting().await;
    let service = without_postgres(&point).await;

    assert_try_again(&service.post(&applicant(1)).await);
    assert_try_again(&service.get("/members/1").await);
    assert_try_again(&service.get("/members").await);
    let withdrawal = service.delete(1).await;
    assert_try_again(&withdrawal);
    assert_eq!(withdrawal.body["outcome"], "unchanged");
    assert!(point.received(0).await.is_empty(), "nothing was forfeited");
}

#[tokio::test]
async fn a_bad_request_is_refused_without_asking_postgres() {
    let service = without_postgres(&StubPoint::refused()).await;
    let answer = service.post(&json!({ "phoneNo": "abc", "nickname": "S" })).await;
    assert_eq!(answer.problem(), (422, "invalid-request"));
}
