//! How my page is compared with the books, where it fails for a moment or lags behind.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use point::reconcile::{ReconcileArgs, reconcile};
use point::store::books::{has_had_balance, newest_entry};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Membership, Service};

/// A my page with member 1 on it that fails so many times first.
async fn mypage(remain_point: i64, failures: u32) -> (String, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let page = json!({ "memberId": 1, "remainPoint": remain_point });
    let listed = |pages: &[&Value]| json!({ "_embedded": { "mypages": pages } });
    let (first, rest) = (listed(&[&page]), listed(&[]));
    let answer = move |body: Value| -> Response {
        if counter.fetch_add(1, Ordering::SeqCst) < failures {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        } else {
            Json(body).into_response()
        }
    };
    let list = answer.clone();
    let router = Router::new()
        .route(
            "/mypages",
            get(async move |RawQuery(query): RawQuery| {
                let is_first = query.is_some_and(|query| query.contains("after=0"));
                list(if is_first { first } else { rest })
            }),
        )
        .route("/mypages/1", get(async move || answer(page)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}/"), asked)
}

async fn outcome(service: &Service, mypage: &str) -> String {
    let mypage_url = Some(mypage.parse().expect("a URL"));
    let args = ReconcileArgs { mypage_url, batch: 10, patience: 0, quiet: true };
    format!("{:?}", reconcile(&service.pool, &args).await.expect("a result"))
}

#[tokio::test]
async fn a_my_page_that_fails_for_a_moment_is_asked_again() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    let (url, asked) = mypage(1_000, 2).await;
    assert_eq!(outcome(&service, &url).await, format!("{:?}", ExitCode::SUCCESS));
    assert!(asked.load(Ordering::SeqCst) > 2);
    let (url, _) = mypage(999, 1).await;
    assert_eq!(outcome(&service, &url).await, format!("{:?}", ExitCode::FAILURE));
}

#[tokio::test]
async fn what_an_account_had_since_is_known_and_not_what_it_had_before() {
    let membership = Membership::of(1);
    let service = Service::with_normal_member(membership).await;
    let behind = newest_entry(&service.pool).await.expect("an entry");
    for number in 1..=2 {
        let earning = json!({ "type": "EARN", "amount": 100, "reference": format!("R-{number}") });
        service.transact(1, &earning).await;
    }
    let had = async |balance| has_had_balance(&service.pool, 1, balance, behind).await.expect("an answer");
    assert_eq!((had(1_000).await, had(1_100).await, had(1_200).await), (false, true, true));
    service.forfeit(membership).await;
    assert!(!had(1_100).await, "a closed account is not the one that my page shows");
}
