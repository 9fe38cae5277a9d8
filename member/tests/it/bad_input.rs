//! What is refused: a clear problem, and nothing changed.

use axum::body::Body;
use axum::http::Request;
use chassis::testing::{bare, with_body};
use serde_json::{Value, json};

use crate::support::{Service, applicant};

/// A member who is there already.
const PRESENT: i64 = 7;

/// A valid applicant but for some fields; `null` takes a field away.
fn but(changes: Value) -> String {
    let mut body = json!({ "phoneNo": "01099990000", "nickname": "NEW", "memberId": 99 });
    let fields = body.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap().clone() {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    body.to_string()
}

async fn service_with_a_member() -> Service {
    let service = Service::start().await;
    service.join(PRESENT).await;
    service
}

/// Asserts that a request is refused with these status, code and pointers, and changes nothing.
async fn assert_refused(
    service: &Service,
    what: &str,
    request: Request<Body>,
    refusal: (u16, &str, &[&str]),
) {
    let (status, code, pointers) = refusal;
    let before = (service.counts().await, service.tombstones().await);

    let answer = service.ask(request).await;

    assert_eq!(answer.problem(), (status, code), "{what}");
    assert_eq!(answer.pointers(), pointers, "{what}");
    assert_eq!((service.counts().await, service.tombstones().await), before, "{what}");
}

#[tokio::test]
async fn a_body_that_cannot_be_parsed_is_malformed() {
    let service = service_with_a_member().await;
    let half = &applicant(1).to_string()[..20];
    for body in [
        "",
        "   ",
        "not json",
        half,
        "phoneNo=01085581234&nickname=SEQ1",
        r#"{"phoneNo":"1","nickname":"S"}}"#,
        r#"{"phoneNo":"1","nickname":'S'}"#,
    ] {
        let request = with_body("POST /members", "application/json", body.to_owned());
        assert_refused(&service, body, request, (400, "malformed-request", &[])).await;
    }
    let not_utf_8 = with_body("POST /members", "application/json", b"{\"phoneNo\":\"\xff\"}".to_vec());
    assert_refused(&service, "not UTF-8", not_utf_8, (400, "malformed-request", &[])).await;
}

#[tokio::test]
async fn a_body_that_is_not_declared_as_json_is_not_read() {
    let service = service_with_a_member().await;
    for content_type in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
    {
        let request = with_body("POST /members", content_type, applicant(1).to_string());
        assert_refused(&service, content_type, request, (415, "unsupported-media-type", &[])).await;
    }
    let mut none = bare("POST /members");
    *none.body_mut() = Body::from(applicant(1).to_string());
    assert_refused(&service, "none", none, (415, "unsupported-media-type", &[])).await;
}

#[tokio::test]
async fn every_wrong_field_is_named() {
    let service = service_with_a_member().await;
    let long = |length| "n".repeat(length);
    let cases = [
        ("missing nickname", but(json!({ "nickname": null })), "/nickname"),
        ("empty nickname", but(json!({ "nickname": "" })), "/nickname"),
        ("blank nickname", but(json!({ "nickname": "   " })), "/nickname"),
        ("nickname of 51", but(json!({ "nickname": long(51) })), "/nickname"),
        ("nickname of 10,000", but(json!({ "nickname": long(10_000) })), "/nickname"),
        ("nickname with NUL", but(json!({ "nickname": "a\0b" })), "/nickname"),
        ("nickname with a line feed", but(json!({ "nickname": "a\nb" })), "/nickname"),
        ("nickname with DEL", but(json!({ "nickname": "a\u{7f}b" })), "/nickname"),
        ("nickname is a number", but(json!({ "nickname": 5 })), "/nickname"),
        ("nickname is an object", but(json!({ "nickname": {} })), "/nickname"),
        ("nickname is null", r#"{"phoneNo":"01099990000","nickname":null}"#.to_owned(), "/nickname"),
        ("missing phoneNo", but(json!({ "phoneNo": null })), "/phoneNo"),
        ("phoneNo with letters", but(json!({ "phoneNo": "0108558abcd" })), "/phoneNo"),
        ("empty phoneNo", but(json!({ "phoneNo": "" })), "/phoneNo"),
        ("blank phoneNo", but(json!({ "phoneNo": " - " })), "/phoneNo"),
        ("phoneNo of 21 digits", but(json!({ "phoneNo": "0".repeat(21) })), "/phoneNo"),
        ("phoneNo with NUL", but(json!({ "phoneNo": "010\0" })), "/phoneNo"),
        ("phoneNo of another country", but(json!({ "phoneNo": "+1 555" })), "/phoneNo"),
        ("phoneNo is a number", but(json!({ "phoneNo": 1_085_581_234 })), "/phoneNo"),
        ("memberId 0", but(json!({ "memberId": 0 })), "/memberId"),
        ("memberId negative", but(json!({ "memberId": -1 })), "/memberId"),
        ("memberId 2^53", but(json!({ "memberId": 9_007_199_254_740_992_i64 })), "/memberId"),
        ("memberId i64::MAX", but(json!({ "memberId": i64::MAX })), "/memberId"),
        ("memberId u64::MAX", but(json!({ "memberId": u64::MAX })), "/memberId"),
        ("memberId too large a string", but(json!({ "memberId": "9".repeat(40) })), "/memberId"),
        ("memberId 1.5", but(json!({ "memberId": 1.5 })), "/memberId"),
        ("memberId 1e3", but(json!({ "memberId": 1e3 })), "/memberId"),
        ("memberId abc", but(json!({ "memberId": "abc" })), "/memberId"),
        ("memberId empty", but(json!({ "memberId": "" })), "/memberId"),
        ("memberId true", but(json!({ "memberId": true })), "/memberId"),
        ("memberStatus NORMAL", but(json!({ "memberStatus": "NORMAL" })), "/memberStatus"),
        ("memberStatus ABNORMAL", but(json!({ "memberStatus": "ABNORMAL" })), "/memberStatus"),
        ("memberStatus ready", but(json!({ "memberStatus": "ready" })), "/memberStatus"),
        ("memberStatus empty", but(json!({ "memberStatus": "" })), "/memberStatus"),
        ("memberStatus is a number", but(json!({ "memberStatus": 1 })), "/memberStatus"),
        ("unknown field", but(json!({ "remainPoint": 999_999 })), "/remainPoint"),
        ("membershipId is ours to choose", but(json!({ "membershipId": "x" })), "/membershipId"),
        (
            "the same key twice",
            r#"{"phoneNo":"01099990000","nickname":"A","nickname":"B"}"#.to_owned(),
            "/nickname",
        ),
        (
            "the same optional key twice",
            r#"{"phoneNo":"01099990000","nickname":"A","memberId":1,"memberId":2}"#.to_owned(),
            "/memberId",
        ),
        ("not an object", r#"["01099990000","NEW"]"#.to_owned(), ""),
        ("null", "null".to_owned(), ""),
    ];
    for (what, body, pointer) in cases {
        let request = with_body("POST /members", "application/json", body);
        assert_refused(&service, what, request, (422, "invalid-request", &[pointer])).await;
    }
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let service = service_with_a_member().await;
    let body = json!({ "phoneNo": "abc", "nickname": "", "memberId": 0, "memberStatus": "NORMAL" });
    let request = with_body("POST /members", "application/json", body.to_string());
    let all = ["/phoneNo", "/nickname", "/memberId", "/memberStatus"];
    assert_refused(&service, "all wrong", request, (422, "invalid-request", &all)).await;
}

#[tokio::test]
async fn what_is_taken_is_named() {
    let service = service_with_a_member().await;
    let phone_no = applicant(PRESENT)["phoneNo"].clone();
    for (what, body, code, pointer) in [
        ("id", but(json!({ "memberId": PRESENT })), "member-id-taken", "/memberId"),
        ("phone", but(json!({ "phoneNo": phone_no })), "phone-taken", "/phoneNo"),
        (
            "phone, id generated",
            but(json!({ "phoneNo": phone_no, "memberId": null })),
            "phone-taken",
            "/phoneNo",
        ),
        ("both", applicant(PRESENT).to_string(), "member-id-taken", "/memberId"),
    ] {
        let request = with_body("POST /members", "application/json", body);
        assert_refused(&service, what, request, (409, code, &[pointer])).await;
    }
}

#[tokio::test]
async fn ids_that_cannot_be_are_refused() {
    let service = service_with_a_member().await;
    for id in [
        "abc",
        "1.5",
        "1e3",
        "0x7",
        "%20",
        "%00",
        "7;",
        "99999999999999999999",
        "0",
        "-1",
        "9007199254740992",
    ] {
        for method in ["GET", "DELETE"] {
            let line = format!("{method} /members/{id}");
            assert_refused(&service, &line, bare(&line), (400, "malformed-request", &[])).await;
        }
    }
    let not_utf_8 = bare("GET /members/%FF");
    assert_refused(&service, "not UTF-8", not_utf_8, (400, "malformed-request", &[])).await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let service = service_with_a_member().await;
    for (line, status, code) in [
        ("GET /", 404, "not-found"),
        ("GET /nowhere", 404, "not-found"),
        ("GET /member/7", 404, "not-found"),
        ("GET /members/", 404, "not-found"),
        ("GET /members/7/", 404, "not-found"),
        ("DELETE /members/7/points", 404, "not-found"),
        ("PUT /forfeitures/7", 404, "not-found"),
        ("PUT /members", 405, "method-not-allowed"),
        ("DELETE /members", 405, "method-not-allowed"),
        ("POST /members/7", 405, "method-not-allowed"),
        ("PUT /members/7", 405, "method-not-allowed"),
        ("PATCH /members/7", 405, "method-not-allowed"),
        ("BREW /members/7", 405, "method-not-allowed"),
    ] {
        assert_refused(&service, line, bare(line), (status, code, &[])).await;
    }
    let allowed = service.ask(bare("PATCH /members/7")).await;
    let allowed: Vec<&str> = allowed.header("allow").unwrap().split(',').collect();
    assert!(allowed.contains(&"GET") && allowed.contains(&"DELETE"), "{allowed:?}");
}

#[tokio::test]
async fn a_list_query_out_of_range_is_refused() {
    let service = service_with_a_member().await;
    for (query, pointer) in [
        ("limit=0", "/limit"),
        ("limit=201", "/limit"),
        ("limit=-1", "/limit"),
        ("limit=abc", "/limit"),
        ("limit=", "/limit"),
        ("after=abc", "/after"),
        ("after=1.5", "/after"),
        ("after=99999999999999999999", "/after"),
        ("page=-1", "/page"),
        ("page=9223372036854775807", "/page"),
        ("size=0", "/size"),
        ("size=201", "/size"),
        ("page=0&after=1", "/page"),
        ("limit=1&limit=2", "/limit"),
    ] {
        let line = format!("GET /members?{query}");
        assert_refused(&service, query, bare(&line), (422, "invalid-request", &[pointer])).await;
    }
    for query in ["limit=1", "limit=200", "after=-5", "page=1099511627776&size=200", "utm=x"] {
        let answer = service.get(&format!("/members?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
    }
}
