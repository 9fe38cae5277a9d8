//! `POST /members` and `GET /members/{id}`: what clients see, and what is published.

use std::collections::HashSet;

use axum::http::HeaderValue;
use chassis::testing::{until, with_body};
use futures::future::join_all;
use serde_json::json;

use crate::support::events::{published, summaries};
use crate::support::lock::until_somebody_waits_for_a_lock;
use crate::support::{Service, applicant};

const FIRST_GENERATED: i64 = 1_000_000_000;

#[tokio::test]
async fn who_joins_is_answered_as_clients_of_the_old_system_expect() {
    let service = Service::start().await;
    let as_httpie_sends_it = json!({
        "phoneNo": "01085581234", "nickname": "SEQ1", "memberStatus": "READY", "memberId": "1",
    });

    let joined = service.post(&as_httpie_sends_it).await;

    let link = json!({ "href": "http://test/members/1" });
    let member = json!({
        "memberId": 1, "phoneNo": "01085581234", "nickname": "SEQ1", "memberStatus": "READY",
        "_links": { "self": link, "member": link },
    });
    assert_eq!((joined.status.as_u16(), &joined.body), (201, &member));
    assert_eq!(joined.header("location"), Some("http://test/members/1"));
    assert_eq!(joined.header("content-type"), Some("application/hal+json"));

    let found = service.get("/members/1").await;
    assert_eq!((found.status.as_u16(), &found.body), (200, &member));
    assert_eq!(found.header("content-type"), Some("application/hal+json"));
    assert_eq!(found.header("location"), None);
}

#[tokio::test]
async fn joining_publishes_the_whole_state_in_the_trace_of_the_request() {
    let service = Service::start().await;
    let mut request = with_body(
        "POST /members",
        "application/json",
        json!({ "phoneNo": "010-8558-1234", "nickname": "SEQ1", "memberId": 1 }).to_string(),
    );
    request.headers_mut().insert(
        "traceparent",
        HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    );

    assert_eq!(service.ask(request).await.status, 201);

    let events = published(&service.pool).await;
    let [event] = events.as_slice() else { panic!("one event expected: {events:?}") };
    let membership_id = service.membership(1).await.unwrap();
    assert_eq!(event.summary(), ("MemberJoined", 1));
    assert_eq!((event.topic.as_str(), event.key.as_str()), ("member", "1"));
    assert_eq!(event.membership_id, membership_id.0);
    assert_eq!(event.actor, "operator");
    assert!(event.traceparent.as_deref().unwrap().starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    let mut payload = event.payload.clone();
    assert!(payload["joinedAt"].take().is_string());
    assert_eq!(
        payload,
        json!({
            "memberId": 1, "membershipId": membership_id, "phoneNo": "01085581234", "nickname": "SEQ1",
            "memberStatus": "READY", "joinedAt": null,
        })
    );
}

#[tokio::test]
async fn joining_wakes_the_relay_and_being_refused_does_not() {
    let service = Service::start().await;
    service.post(&json!({ "phoneNo": "", "nickname": "" })).await;
    let is_awake = || futures::FutureExt::now_or_never(service.relay.woken()).is_some();
    assert!(!is_awake());

    service.join(1).await;

    assert!(is_awake());
}

#[tokio::test]
async fn every_way_to_write_a_valid_applicant_is_accepted_and_normalised() {
    let service = Service::start().await;
    let (longest, widest) = ("1".repeat(20), "가".repeat(50));
    for (phone_no, kept) in [
        ("01085581234", "01085581234"),
        ("010-8558-1235", "01085581235"),
        (" 010 8558 1236 ", "01085581236"),
        ("+82 10-8558-1237", "01085581237"),
        ("+82 010 8558 1238", "01085581238"),
        ("0108558", "0108558"),
        ("1", "1"),
        (&longest, &longest),
    ] {
        let joined = service.post(&json!({ "phoneNo": phone_no, "nickname": "S" })).await;
        assert_eq!(joined.status, 201, "{phone_no}: {joined:?}");
        assert_eq!(joined.body["phoneNo"], kept);
    }
    for (number, (nickname, kept)) in [
        ("S", "S"),
        (" SEQ1 ", "SEQ1"),
        ("홍길동", "홍길동"),
        ("👩‍👩‍👧 ✨", "👩‍👩‍👧 ✨"),
        ("'; DROP TABLE member; --", "'; DROP TABLE member; --"),
        (&widest, &widest),
    ]
    .into_iter()
    .enumerate()
    {
        let phone_no = format!("0102222{number}");
        let joined = service.post(&json!({ "phoneNo": phone_no, "nickname": nickname })).await;
        assert_eq!(joined.status, 201, "{nickname}: {joined:?}");
        assert_eq!(joined.body["nickname"], kept);
    }
    for (number, member_id) in
        [json!(7), json!("8"), json!(9_007_199_254_740_991_i64)].into_iter().enumerate()
    {
        let phone_no = format!("0103333{number}");
        let joined = service
            .post(
                &json!({ "phoneNo": phone_no, "nickname": "S", "memberId": member_id, "memberStatus": null }),
            )
            .await;
        assert_eq!(joined.status, 201, "{member_id}: {joined:?}");
        let id = joined.body["memberId"].clone();
        assert!(id.is_i64(), "{id}");
        assert_eq!(service.get(&format!("/members/{id}")).await.status, 200);
    }
}

#[tokio::test]
async fn generated_ids_start_at_a_thousand_million_and_skip_what_is_taken() {
    let service = Service::start().await;
    for (member_id, phone_no) in [(FIRST_GENERATED, "1"), (FIRST_GENERATED + 2, "2")] {
        let chosen = json!({ "phoneNo": phone_no, "nickname": "S", "memberId": member_id });
        assert_eq!(service.post(&chosen).await.status, 201);
    }
    for (phone_no, skip) in [("3", 1), ("4", 3), ("5", 4)] {
        let joined = service.post(&json!({ "phoneNo": phone_no, "nickname": "S", "memberId": null })).await;
        assert_eq!(joined.body["memberId"], FIRST_GENERATED + skip, "{joined:?}");
        let path = format!("http://test/members/{}", FIRST_GENERATED + skip);
        assert_eq!(joined.header("location"), Some(path.as_str()));
    }
}

#[tokio::test]
async fn an_id_that_somebody_chooses_in_the_moment_it_is_generated_is_skipped_too() {
    let service = Service::start().await;
    let mut chooser = service.pool.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO member (member_id, membership_id, phone_no, nickname, status, version, joined_at)
         VALUES ($1, gen_random_uuid(), '1', 'S', 'READY', 1, now())",
    )
    .bind(FIRST_GENERATED)
    .execute(&mut *chooser)
    .await
    .unwrap();

    let generated = async { service.post(&json!({ "phoneNo": "2", "nickname": "S" })).await };
    let choosing = async {
        until_somebody_waits_for_a_lock(&service.pool).await;
        chooser.commit().await.unwrap();
    };
    let (joined, ()) = tokio::join!(generated, choosing);

    assert_eq!(joined.status, 201);
    assert_eq!(joined.body["memberId"], FIRST_GENERATED + 1);
    assert_eq!(
        summaries(&service.pool).await,
        [("MemberJoined".to_owned(), 1)],
        "the first attempt left nothing"
    );
}

#[tokio::test]
async fn ids_generated_at_once_among_chosen_ones_are_all_different() {
    let service = Service::start().await;
    let joins = (0..40).map(|number| {
        let service = &service;
        async move {
            // Every fourth chooses an id that is about to be generated.
            let chosen = (number % 4 == 0).then_some(FIRST_GENERATED + number / 4);
            let answer = service
                .post(
                    &json!({ "phoneNo": format!("0101111{number:04}"), "nickname": "S", "memberId": chosen }),
                )
                .await;
            (chosen, answer)
        }
    });

    let mut ids = HashSet::new();
    for (chosen, answer) in join_all(joins).await {
        if answer.status == 201 {
            let id = answer.body["memberId"].as_i64().unwrap();
            assert!(chosen.is_none_or(|chosen| chosen == id), "{chosen:?} {answer:?}");
            assert!(ids.insert(id), "{id} twice");
        } else {
            assert_eq!(answer.problem(), (409, "member-id-taken"));
            assert!(chosen.is_some(), "only a chosen id can be taken");
        }
    }
    assert!(ids.len() >= 30);
    let members = i64::try_from(ids.len()).unwrap();
    assert_eq!(service.counts().await, (members, members));
}

#[tokio::test]
async fn who_never_joined_is_not_found() {
    let service = Service::start().await;
    for answer in [service.get("/members/1").await, service.delete(1).await] {
        assert_eq!(answer.problem(), (404, "member-not-found"));
        assert_eq!(answer.body["instance"], "/members/1");
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_written_leaves_no_member_behind() {
    let service = Service::start().await;
    service.database.as_owner("ALTER TABLE outbox RENAME TO elsewhere").await;

    let answer = service.post(&applicant(1)).await;

    assert_eq!(answer.problem(), (500, "internal-error"));
    let body = answer.body.to_string();
    assert!(!body.contains("outbox") && !body.contains("relation"), "{body}");
    service.database.as_owner("ALTER TABLE elsewhere RENAME TO outbox").await;
    assert_eq!(service.counts().await, (0, 0));
    until("the connection is usable again", async || service.post(&applicant(1)).await.status == 201).await;
}
