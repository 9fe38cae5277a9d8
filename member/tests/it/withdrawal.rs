//! `DELETE /members/{id}` when all goes well, or as well as it can.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use chassis::http::test_router;
use chassis::testing::{DEADLINE, bare, until};
use serde_json::{Value, json};
use shared_events::delivery::Outcome;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::support::events::{message_sent, points_forfeited, published, summaries};
use crate::support::server::listen;
use crate::support::service::migrated;
use crate::support::{Service, StubPoint, applicant};

fn joined_and_withdrawn() -> [(String, i64); 2] {
    [("MemberJoined".to_owned(), 1), ("MemberWithdrawn".to_owned(), 2)]
}

#[tokio::test]
async fn who_withdraws_is_gone_and_leaves_nothing_personal() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    let membership_id = service.join(1).await;
    service.handle(1, message_sent(1, membership_id)).await;

    let answer = service.delete(1).await;

    assert_eq!((answer.status.as_u16(), answer.body), (204, Value::Null));
    assert_eq!(service.get("/members/1").await.problem().0, 404);
    let event = published(&service.pool).await.pop().unwrap();
    assert_eq!(event.summary(), ("MemberWithdrawn", 3));
    assert_eq!((event.key.as_str(), event.topic.as_str()), ("1", "member"));
    assert_eq!(event.membership_id, membership_id.0);
    assert_eq!(event.actor, "operator");
    let mut payload = event.payload;
    assert!(payload["withdrawnAt"].take().is_string());
    assert_eq!(payload, json!({ "memberId": 1, "membershipId": membership_id, "withdrawnAt": null }));
    let tombstones = service.tombstones().await;
    assert_eq!(tombstones.len(), 1);
    assert!(tombstones[0].starts_with(&format!("(1,{membership_id},3,")), "{tombstones:?}");
    assert!(!tombstones[0].contains("SEQ1") && !tombstones[0].contains("01000000001"), "{tombstones:?}");
}

#[tokio::test]
async fn the_points_of_the_membership_are_forfeited_in_the_name_and_trace_of_who_asks() {
    let point = StubPoint::forfeiting().await;
    let service = Service::start_with(point.url()).await;
    let membership_id = service.join(1).await;
    let mut request = bare("DELETE /members/1");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.headers_mut().insert("traceparent", traceparent.parse().unwrap());

    assert_eq!(service.ask(request).await.status, 204);

    let received = point.received(1).await;
    let [forfeiture] = received.as_slice() else { panic!("asked once: {received:?}") };
    assert_eq!((forfeiture.method.as_str(), forfeiture.path.as_str()), ("PUT", "/forfeitures/1"));
    assert_eq!(forfeiture.body, json!({ "membershipId": membership_id }));
    assert_eq!(forfeiture.headers["content-type"], "application/json");
    assert_eq!(forfeiture.headers["x-actor"], "operator");
    let sent = forfeiture.headers["traceparent"].to_str().unwrap();
    assert_eq!(sent[..35], traceparent[..35]);
}

#[tokio::test]
async fn nobody_is_asked_to_forfeit_what_was_never_there() {
    let point = StubPoint::forfeiting().await;
    let service = Service::start_with(point.url()).await;

    assert_eq!(service.delete(1).await.problem(), (404, "member-not-found"));

    assert!(point.received(0).await.is_empty());
    assert_eq!(service.counts().await, (0, 0));
    assert!(service.tombstones().await.is_empty());
}

#[tokio::test]
async fn a_repeated_withdrawal_is_not_found_and_changes_nothing() {
    let point = StubPoint::forfeiting().await;
    let service = Service::start_with(point.url()).await;
    service.join(1).await;
    service.join(2).await;
    assert_eq!(service.delete(1).await.status, 204);
    let before = (service.counts().await, service.tombstones().await);

    assert_eq!(service.delete(1).await.problem(), (404, "member-not-found"));

    assert_eq!((service.counts().await, service.tombstones().await), before);
    assert_eq!(point.received(1).await.len(), 1);
    assert_eq!(service.get("/members/2").await.status, 200, "others stay");
}

#[tokio::test]
async fn of_two_withdrawals_at_once_both_succeed_and_one_publishes() {
    let point = StubPoint::holding().await;
    let service = Service::start_with(point.url()).await;
    service.join(1).await;
    let both_under_way = async {
        point.received(2).await;
        point.release();
    };

    let (first, second, ()) = tokio::join!(service.delete(1), service.delete(1), both_under_way);

    assert_eq!((first.status.as_u16(), second.status.as_u16()), (204, 204));
    assert_eq!(summaries(&service.pool).await, joined_and_withdrawn());
    assert_eq!(service.tombstones().await.len(), 1);
}

/// Points that answer once they are released: well, or badly after having forfeited all the same.
async fn late_points() -> [StubPoint; 2] {
    [StubPoint::holding().await, StubPoint::holding_back(StatusCode::INTERNAL_SERVER_ERROR, "").await]
}

#[tokio::test]
async fn a_withdrawal_that_the_policy_finishes_first_succeeds() {
    for point in late_points().await {
        let service = Service::start_with(point.url()).await;
        let membership_id = service.join(1).await;
        let policy = async {
            point.received(1).await;
            let outcome = service.handle(1, points_forfeited(1, membership_id)).await;
            assert_eq!(outcome, Outcome::Applied);
            point.release();
        };

        let (answer, ()) = tokio::join!(service.delete(1), policy);

        assert_eq!(answer.status, 204);
        assert_eq!(service.membership(1).await, None);
        assert_eq!(summaries(&service.pool).await, joined_and_withdrawn());
    }
}

#[tokio::test]
async fn a_withdrawal_that_ends_after_a_rejoin_does_not_touch_the_new_membership() {
    for point in late_points().await {
        let service = Service::start_with(point.url()).await;
        let former = service.join(1).await;
        let meanwhile = async {
            point.received(1).await;
            service.handle(1, points_forfeited(1, former)).await;
            let current = service.join(1).await;
            point.release();
            current
        };

        let (answer, current) = tokio::join!(service.delete(1), meanwhile);

        assert_eq!(answer.status, 204);
        assert_eq!(service.membership(1).await, Some(current));
        assert_eq!(service.status(1).await, "READY");
    }
}

#[tokio::test]
async fn no_connection_to_postgres_is_held_while_point_is_asked() {
    let point = StubPoint::holding().await;
    let database = migrated().await;
    let pool = database.pool(1);
    let service = Service::on(database, pool, point.url(), DEADLINE);
    service.join(1).await;
    let meanwhile = async {
        point.received(1).await;
        let found = timeout(DEADLINE / 2, service.get("/members/1")).await;
        assert_eq!(found.expect("the only connection is held").status, 200);
        service.join(2).await;
        point.release();
    };

    let (answer, ()) = tokio::join!(service.delete(1), meanwhile);

    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn a_client_that_hangs_up_while_point_is_slow_does_not_cancel_the_withdrawal() {
    let point = StubPoint::holding().await;
    let service = Service::start_with(point.url()).await;
    service.join(1).await;
    let dropped = Arc::new(Semaphore::new(0));
    let address = listen(watched(&service, &dropped)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"DELETE /members/1 HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    point.received(1).await;

    drop(client);
    // The server has noticed: it has dropped the handler of the request.
    timeout(DEADLINE, dropped.acquire()).await.unwrap().unwrap().forget();
    assert_eq!(service.get("/members/1").await.status, 200);
    point.release();

    until("the withdrawal completes", async || service.get("/members/1").await.status == 404).await;
    assert_eq!(summaries(&service.pool).await, joined_and_withdrawn());
}

/// The service with a layer that gives a permit whenever a handler ends or is dropped.
fn watched(service: &Service, dropped: &Arc<Semaphore>) -> axum::Router {
    struct OnDrop(Arc<Semaphore>);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.add_permits(1);
        }
    }
    let dropped = Arc::clone(dropped);
    let layer = from_fn(move |request: Request<Body>, next: Next| {
        let guard = OnDrop(Arc::clone(&dropped));
        async move {
            let answer = next.run(request).await;
            drop(guard);
            answer
        }
    });
    test_router(service.routes.clone().layer(layer))
}

#[tokio::test]
async fn ten_members_withdraw_at_once_without_disturbing_each_other() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    for member_id in 1..=10 {
        assert_eq!(service.post(&applicant(member_id)).await.status, 201);
    }
    let withdrawals = (1..=10).map(|member_id| service.delete(member_id));
    for answer in futures::future::join_all(withdrawals).await {
        assert_eq!(answer.status, 204);
    }
    assert_eq!(service.counts().await, (0, 20));
    assert_eq!(service.tombstones().await.len(), 10);
}
