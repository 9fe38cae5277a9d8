//! `GET /members`.

use serde_json::{Value, json};

use crate::support::{Service, StubPoint};

/// The ids on a page, and the path of the next one.
fn page(body: &Value) -> (Vec<i64>, Option<String>) {
    let members = body["_embedded"]["members"].as_array().unwrap();
    let ids = members.iter().map(|member| member["memberId"].as_i64().unwrap());
    let next = body["_links"]["next"]["href"].as_str();
    (ids.collect(), next.map(|href| href.strip_prefix("http://test").unwrap().to_owned()))
}

async fn five_members() -> Service {
    let service = Service::start().await;
    for member_id in [30, 10, 50, 20, 40] {
        service.join(member_id).await;
    }
    service
}

/// Follows the links from a page to the last one.
async fn pages_from(service: &Service, path: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut next = Some(path.to_owned());
    while let Some(path) = next {
        let answer = service.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/hal+json"));
        let ids;
        (ids, next) = page(&answer.body);
        pages.push(ids);
        assert!(pages.len() < 10, "it never ends");
    }
    pages
}

#[tokio::test]
async fn following_the_links_leads_through_all_members_once() {
    let service = five_members().await;
    for (path, pages) in [
        ("/members", vec![vec![10, 20, 30, 40, 50]]),
        ("/members?limit=2", vec![vec![10, 20], vec![30, 40], vec![50]]),
        ("/members?limit=5", vec![vec![10, 20, 30, 40, 50]]),
        ("/members?after=20&limit=2", vec![vec![30, 40], vec![50]]),
        ("/members?after=25", vec![vec![30, 40, 50]]),
        ("/members?after=50", vec![vec![]]),
        ("/members?size=2", vec![vec![10, 20], vec![30, 40], vec![50]]),
        ("/members?page=1&size=2", vec![vec![30, 40], vec![50]]),
        ("/members?page=9&size=2", vec![vec![]]),
    ] {
        assert_eq!(pages_from(&service, path).await, pages, "{path}");
    }
}

#[tokio::test]
async fn a_page_by_number_says_where_it_is() {
    let service = five_members().await;

    let body = service.get("/members?page=2&size=2").await.body;

    assert_eq!(body["page"], json!({ "size": 2, "totalElements": 5, "totalPages": 3, "number": 2 }));
    assert!(service.get("/members").await.body["page"].is_null());
}

#[tokio::test]
async fn a_listed_member_looks_like_a_member() {
    let service = five_members().await;

    let listed = service.get("/members?limit=1").await.body;

    assert_eq!(listed["_embedded"]["members"][0], service.get("/members/10").await.body);
    assert_eq!(listed["_links"]["self"]["href"], "http://test/members");
}

#[tokio::test]
async fn nobody_is_an_empty_list() {
    let service = Service::start().await;
    assert_eq!(page(&service.get("/members").await.body), (vec![], None));
    let body = service.get("/members?page=0").await.body;
    assert_eq!(body["page"], json!({ "size": 20, "totalElements": 0, "totalPages": 0, "number": 0 }));
}

#[tokio::test]
async fn a_withdrawn_member_is_not_listed() {
    let service = Service::start_with(StubPoint::forfeiting().await.url()).await;
    service.join(1).await;
    service.join(2).await;
    assert_eq!(service.delete(1).await.status, 204);
    assert_eq!(page(&service.get("/members").await.body).0, [2]);
}
