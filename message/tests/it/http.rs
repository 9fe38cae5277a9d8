//! `GET /messages/{id}` and `GET /messages`.

use serde_json::{Value, json};

use crate::support::events::withdrawn;
use crate::support::{RunningWorker, Service, StubGateway};

/// The members on a page, and the path of the next one.
fn page(body: &Value) -> (Vec<i64>, Option<String>) {
    let messages = body["_embedded"]["messages"].as_array().unwrap();
    let ids = messages.iter().map(|message| message["memberId"].as_i64().unwrap());
    let next = body["_links"]["next"]["href"].as_str();
    (ids.collect(), next.map(|href| href.strip_prefix("http://test").unwrap().to_owned()))
}

/// Follows the links from a page to the last one.
async fn pages_from(service: &Service, path: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = service.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        let ids;
        (ids, next) = page(&answer.body);
        pages.push(ids);
        assert!(pages.len() < 10, "it never ends");
    }
    pages
}

#[tokio::test]
async fn a_message_tells_how_its_delivery_went() {
    let service = Service::start().await;
    let membership_id = service.queue(1).await;
    let id = service.the_message().await.message_id;
    let path = format!("/messages/{id}");

    let queued = service.get(&path).await;
    let link = json!({ "href": format!("http://test{path}") });
    let mut body = queued.body.clone();
    assert!(body["queuedAt"].take().is_string());
    assert_eq!(queued.header("content-type"), Some("application/hal+json"));
    assert_eq!(
        body,
        json!({
            "messageId": id, "memberId": 1, "kind": "WELCOME", "phoneNo": "01000000001",
            "messageStatus": "QUEUED", "reason": null, "attempts": 0, "gatewayMessageId": null, "queuedAt": null,
            "finishedAt": null,
            "_links": { "self": link, "message": link },
        })
    );

    let worker = RunningWorker::start(&service, &StubGateway::accepting());
    service.until_status("SENT").await;
    worker.stop().await;
    let sent = service.get(&path).await.body;
    assert_eq!((&sent["messageStatus"], &sent["attempts"]), (&json!("SENT"), &json!(1)));
    assert_eq!(sent["gatewayMessageId"], format!("S{id}"));
    assert!(sent["finishedAt"].as_str().unwrap().ends_with('Z'));

    service.handle(1, withdrawn(1, membership_id)).await;
    assert_eq!(service.get(&path).await.body["phoneNo"], Value::Null);
}

#[tokio::test]
async fn following_the_links_leads_through_all_messages_once() {
    let service = Service::start().await;
    for member_id in [3, 1, 2, 1, 1] {
        service.queue(member_id).await;
    }
    for (path, pages) in [
        ("/messages", vec![vec![3, 1, 2, 1, 1]]),
        ("/messages?limit=2", vec![vec![3, 1], vec![2, 1], vec![1]]),
        ("/messages?size=3", vec![vec![3, 1, 2], vec![1, 1]]),
        ("/messages?page=2&size=2", vec![vec![1]]),
        ("/messages?memberId=1", vec![vec![1, 1, 1]]),
        ("/messages?memberId=1&limit=2", vec![vec![1, 1], vec![1]]),
        ("/messages?limit=1&memberId=1", vec![vec![1], vec![1], vec![1]]),
        ("/messages?memberId=1&page=0&size=2", vec![vec![1, 1], vec![1]]),
        ("/messages?memberId=2", vec![vec![2]]),
        ("/messages?memberId=9", vec![vec![]]),
    ] {
        assert_eq!(pages_from(&service, path).await, pages, "{path}");
    }
    let page = service.get("/messages?memberId=1&page=1&size=2").await.body["page"].clone();
    assert_eq!(page, json!({ "size": 2, "totalElements": 3, "totalPages": 2, "number": 1 }));
    let link = service.get("/messages?memberId=1").await.body["_links"]["self"]["href"].clone();
    assert_eq!(link, "http://test/messages?memberId=1");
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let service = Service::start().await;
    for id in ["1", "0", "-1", "9223372036854775807"] {
        let answer = service.get(&format!("/messages/{id}")).await;
        assert_eq!(answer.problem(), (404, "message-not-found"), "{id}");
    }
    assert_eq!(service.get("/nowhere").await.problem(), (404, "not-found"));
}

#[tokio::test]
async fn ids_that_are_not_numbers_are_refused() {
    let service = Service::start().await;
    for id in ["abc", "1.5", "%20", "99999999999999999999", "%FF"] {
        let answer = service.get(&format!("/messages/{id}")).await;
        assert_eq!(answer.problem(), (400, "malformed-request"), "{id}");
    }
}

#[tokio::test]
async fn messages_cannot_be_written() {
    let service = Service::start().await;
    service.queue(1).await;
    let before = service.stored().await;
    let path = format!("/messages/{}", before[0].message_id);
    for method in ["PUT", "PATCH", "POST", "DELETE"] {
        let answer = service.ask(&format!("{method} {path}")).await;
        assert_eq!(answer.problem(), (405, "method-not-allowed"), "{method}");
    }
    assert_eq!(service.ask("POST /messages").await.problem().0, 405);
    assert_eq!(service.stored().await, before);
}

#[tokio::test]
async fn a_list_query_out_of_range_is_refused() {
    let service = Service::start().await;
    for (query, pointer) in [
        ("memberId=abc", "/memberId"),
        ("memberId=", "/memberId"),
        ("memberId=0", "/memberId"),
        ("memberId=-1", "/memberId"),
        ("memberId=1.5", "/memberId"),
        ("memberId=9007199254740992", "/memberId"),
        ("memberId=1&memberId=2", "/memberId"),
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=abc", "/limit"),
        ("after=abc", "/after"),
        ("page=-1", "/page"),
        ("size=0", "/size"),
        ("size=201", "/size"),
        ("page=0&after=1", "/page"),
    ] {
        let answer = service.get(&format!("/messages?{query}")).await;
        assert_eq!(answer.problem(), (422, "invalid-request"), "{query}");
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
    for query in ["limit=200", "size=200", "memberId=9007199254740991", "utm=x"] {
        assert_eq!(service.get(&format!("/messages?{query}")).await.status, 200, "{query}");
    }
}
