//! `/mypages`.

use chassis::testing::Answer;
use serde_json::{Value, json};
use shared_events::delivery::Outcome;
use shared_events::event::MemberStatus::{Abnormal, Normal};

use crate::support::{Membership, Service};

/// The memberIds on a page of the list.
fn ids(answer: &Answer) -> Vec<i64> {
    let pages = answer.body["_embedded"]["mypages"].as_array().expect("pages");
    pages.iter().map(|page| page["memberId"].as_i64().expect("a memberId")).collect()
}

fn next(answer: &Answer) -> Option<String> {
    Some(answer.body["_links"]["next"]["href"].as_str()?.to_owned())
}

/// A service with the pages of members 10, 20, 30…
async fn with_pages(count: i64) -> Service {
    let service = Service::start().await;
    for number in 1..=count {
        service.deliver(Membership::of(number * 10).joined(1)).await;
    }
    service
}

#[tokio::test]
async fn a_page_is_a_hal_resource() {
    let membership = Membership::of(3);
    let service = Service::start().await;
    service.deliver(membership.joined(1)).await;
    service.deliver(membership.became(Normal, 2)).await;
    service.deliver(membership.earned(1000, 1)).await;

    let answer = service.get("/mypages/3").await;

    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/hal+json")));
    let href = json!({ "href": "http://mypage.test/mypages/3" });
    assert_eq!(
        answer.body,
        json!({
            "memberId": 3, "phoneNo": membership.phone_no(), "nickname": membership.nickname(),
            "memberStatus": "NORMAL", "remainPoint": 1000, "nextExpiration": null, "transactions": [], "_links": { "self": href, "mypage": href },
        })
    );
}

#[tokio::test]
async fn the_balance_is_0_until_it_is_known() {
    let membership = Membership::of(3);
    let service = Service::start().await;
    service.deliver(membership.joined(1)).await;
    assert_eq!(service.get("/mypages/3").await.body["remainPoint"], 0);

    service.deliver(membership.became(Abnormal, 2)).await;
    let page = service.get("/mypages/3").await.body;
    assert_eq!((&page["remainPoint"], &page["memberStatus"]), (&json!(0), &json!("ABNORMAL")));
}

#[tokio::test]
async fn a_page_shows_once_its_member_half_exists() {
    let membership = Membership::of(3);
    let service = Service::start().await;
    service.deliver(membership.earned(1000, 1)).await;

    assert_eq!(service.get("/mypages/3").await.problem(), (404, "page-not-found"));
    assert_eq!(ids(&service.get("/mypages").await), Vec::<i64>::new());
    assert_eq!(service.get("/mypages?page=0").await.body["page"]["totalElements"], 0);

    service.deliver(membership.joined(1)).await;
    assert_eq!(service.get("/mypages/3").await.body["remainPoint"], 1000);
}

#[tokio::test]
async fn a_balance_of_a_former_membership_is_never_shown() {
    let (former, rejoined) = (Membership::of(3), Membership::of(3));
    let service = Service::start().await;
    service.deliver(former.joined(1)).await;
    service.deliver(former.earned(1000, 1)).await;
    service.deliver(former.withdrawn(2)).await;
    service.deliver(rejoined.joined(3)).await;

    assert_eq!(service.get("/mypages/3").await.body["remainPoint"], 0);
    assert_eq!(ids(&service.get("/mypages").await), [3]);
    assert_eq!(service.get("/mypages").await.body["_embedded"]["mypages"][0]["remainPoint"], 0);
}

#[tokio::test]
async fn nothing_personal_is_left_of_a_withdrawn_member() {
    let membership = Membership::of(3);
    let service = Service::start().await;
    service.deliver(membership.joined(1)).await;
    service.deliver(membership.became(Normal, 2)).await;
    service.deliver(membership.earned(1000, 1)).await;
    service.deliver(membership.forfeited(1000, 2)).await;
    service.deliver(membership.withdrawn(3)).await;

    assert_eq!(service.get("/mypages/3").await.problem(), (404, "page-not-found"));
    assert_eq!(ids(&service.get("/mypages").await), Vec::<i64>::new());
    let row = service.row(3).await.expect("the row stays");
    for column in ["phone_no", "nickname", "member_status"] {
        assert_eq!(row[column], Value::Null, "{column}");
    }
    let row = row.to_string();
    assert!(!row.contains(&membership.phone_no()) && !row.contains(&membership.nickname()), "{row}");
}

#[tokio::test]
async fn nothing_late_brings_a_withdrawn_member_back() {
    let membership = Membership::of(3);
    let service = Service::start().await;
    assert_eq!(service.deliver(membership.withdrawn(3)).await, Outcome::Applied);
    let before = service.row(3).await;

    assert_eq!(service.deliver(membership.joined(1)).await, Outcome::Stale);
    assert_eq!(service.deliver(membership.became(Normal, 2)).await, Outcome::Stale);
    assert_eq!(service.deliver(membership.withdrawn(3)).await, Outcome::Stale);

    assert_eq!(service.row(3).await, before);
    assert_eq!(service.get("/mypages/3").await.status, 404);
}

#[tokio::test]
async fn a_list_is_read_to_its_end_by_key() {
    let service = with_pages(45).await;
    let mut read = Vec::new();
    let mut sizes = Vec::new();
    let mut link = Some("/mypages?limit=20".to_owned());

    while let Some(path) = link {
        let answer = service.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, Some("application/hal+json"))
        );
        assert_eq!(answer.body.get("page"), None);
        sizes.push(ids(&answer).len());
        read.extend(ids(&answer));
        assert!(sizes.len() <= 3, "no end: {read:?}");
        link = next(&answer);
    }

    assert_eq!(sizes, [20, 20, 5]);
    assert_eq!(read, (1..=45).map(|number| number * 10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_last_page_has_no_next() {
    let service = with_pages(4).await;

    let first = service.get("/mypages?limit=2").await;
    assert_eq!(ids(&first), [10, 20]);
    assert_eq!(next(&first).as_deref(), Some("http://mypage.test/mypages?after=20&limit=2"));
    let last = service.get("/mypages?after=20&limit=2").await;
    assert_eq!((ids(&last), next(&last)), (vec![30, 40], None));
    let behind = service.get("/mypages?after=40").await;
    assert_eq!((ids(&behind), next(&behind)), (vec![], None));
    assert_eq!(ids(&service.get("/mypages?after=15&limit=1").await), [20]);
}

#[tokio::test]
async fn a_page_has_20_entries_unless_asked_otherwise_and_at_most_200() {
    let service = with_pages(201).await;

    assert_eq!(ids(&service.get("/mypages").await).len(), 20);
    let most = service.get("/mypages?limit=200").await;
    assert_eq!((ids(&most).len(), next(&most).is_some()), (200, true));
}

#[tokio::test]
async fn old_clients_page_by_number() {
    let service = with_pages(5).await;
    let page = |number: i64| json!({ "size": 2, "totalElements": 5, "totalPages": 3, "number": number });

    for (number, expected, has_next) in
        [(0, vec![10, 20], true), (1, vec![30, 40], true), (2, vec![50], false), (3, vec![], false)]
    {
        let answer = service.get(&format!("/mypages?page={number}&size=2")).await;
        assert_eq!(ids(&answer), expected, "page {number}");
        assert_eq!(answer.body["page"], page(number));
        assert_eq!(next(&answer).is_some(), has_next, "page {number}");
    }
}

#[tokio::test]
async fn a_withdrawn_member_is_neither_listed_nor_counted() {
    let service = with_pages(2).await;
    let withdrawn = Membership::of(15);
    service.deliver(withdrawn.joined(1)).await;
    service.deliver(withdrawn.withdrawn(2)).await;

    let answer = service.get("/mypages?page=0").await;

    assert_eq!(ids(&answer), [10, 20]);
    assert_eq!(answer.body["page"]["totalElements"], 2);
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused_by_name() {
    let service = with_pages(1).await;
    for (query, pointer) in [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=abc", "/limit"),
        ("limit=1.5", "/limit"),
        ("limit=99999999999999999999", "/limit"),
        ("after=abc", "/after"),
        ("size=0", "/size"),
        ("size=201", "/size"),
        ("size=abc", "/size"),
        ("page=-1", "/page"),
        ("page=abc", "/page"),
        ("page=9223372036854775807", "/page"),
        ("page=0&after=1", "/page"),
    ] {
        let answer = service.get(&format!("/mypages?{query}")).await;
        assert_eq!(answer.problem(), (422, "invalid-request"), "{query}");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn unknown_pages_paths_and_methods_are_refused() {
    let service = with_pages(1).await;
    for (method, path, status, code) in [
        ("GET", "/mypages/7", 404, "page-not-found"),
        ("GET", "/mypages/9007199254740991", 404, "page-not-found"),
        ("GET", "/mypages/abc", 400, "malformed-request"),
        ("GET", "/mypages/1.5", 400, "malformed-request"),
        ("GET", "/mypages/0", 400, "malformed-request"),
        ("GET", "/mypages/-1", 400, "malformed-request"),
        ("GET", "/mypages/9007199254740992", 400, "malformed-request"),
        ("GET", "/", 404, "not-found"),
        ("GET", "/mypages/10/points", 404, "not-found"),
        ("POST", "/mypages", 405, "method-not-allowed"),
        ("PATCH", "/mypages/10", 405, "method-not-allowed"),
        ("DELETE", "/mypages/10", 405, "method-not-allowed"),
    ] {
        let answer = service.send(method, path).await;
        assert_eq!(answer.problem(), (status, code), "{method} {path}");
    }
}
