//! Bad input gets a clear problem+json and changes nothing, all the way through the running services.

use std::time::Duration;

use e2e::{World, WorldOptions, block_on};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Case {
    method: Method,
    path: String,
    content_type: &'static str,
    key: Option<String>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    pointer: Option<&'static str>,
}

fn case(method: Method, path: &str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    let (path, content_type, body) = (path.to_owned(), "application/json", body.into());
    Case { method, path, content_type, key: None, body, status, code, pointer: None }
}

impl Case {
    fn at(mut self, pointer: &'static str) -> Self {
        self.pointer = Some(pointer);
        self
    }

    fn under_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    fn of_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }
}

fn join(fields: &str) -> Case {
    case(Method::POST, "/members", fields, 422, "invalid-request")
}

fn change(fields: &str) -> Case {
    case(Method::PATCH, "/points/1", fields, 422, "invalid-request").at("/requirePoint")
}

fn cases() -> Vec<Case> {
    let (post, patch) = (|| Method::POST, || Method::PATCH);
    let nickname = |nickname: &str| {
        join(&format!(r#"{{"phoneNo":"01012345678","nickname":"{nickname}"}}"#)).at("/nickname")
    };
    let phone_no =
        |phone_no: &str| join(&format!(r#"{{"phoneNo":"{phone_no}","nickname":"N"}}"#)).at("/phoneNo");
    let member_id = |id: &str| {
        join(&format!(r#"{{"phoneNo":"01012345678","nickname":"N","memberId":{id}}}"#)).at("/memberId")
    };
    vec![
        case(post(), "/members", "", 400, "malformed-request"),
        case(post(), "/members", "phoneNo=1", 400, "malformed-request"),
        case(post(), "/members", r#"{"phoneNo":"#, 400, "malformed-request"),
        case(post(), "/members", "{}", 415, "unsupported-media-type").of_type("text/plain"),
        join(r#"{"phoneNo":"01012345678"}"#).at("/nickname"),
        nickname(""),
        nickname(&"a".repeat(51)),
        nickname(&"a".repeat(10_000)),
        nickname(r"a\u0000b"),
        nickname(r"a\nb"),
        phone_no("abc"),
        phone_no(""),
        phone_no("012345678901234567890"),
        member_id("0"),
        member_id("-1"),
        member_id("9007199254740992"),
        member_id("1.5"),
        case(
            post(),
            "/members",
            r#"{"phoneNo":"01012345678","nickname":"N","memberId":1}"#,
            409,
            "member-id-taken",
        ),
        join(r#"{"phoneNo":"01012345678","nickname":"N","memberStatus":"NORMAL"}"#).at("/memberStatus"),
        join(r#"{"phoneNo":"01012345678","phoneNo":"2","nickname":"N"}"#).at("/phoneNo"),
        join(r#"{"phoneNo":"01012345678","nickname":"N","isAdmin":true}"#).at("/isAdmin"),
        change(r#"{"requirePoint":0}"#),
        change("{}"),
        change(r#"{"requirePoint":"abc"}"#),
        change(r#"{"requirePoint":1.5}"#),
        change(r#"{"requirePoint":9223372036854775807}"#),
        change(r#"{"requirePoint":1,"requirePoint":2}"#),
        change(r#"{"requirePoint":1,"remainPoint":999999}"#).at("/remainPoint"),
        case(patch(), "/points/1", r#"{"requirePoint":-1001}"#, 422, "insufficient-points"),
        case(patch(), "/points/1", "", 400, "malformed-request"),
        case(patch(), "/points/99", r#"{"requirePoint":1}"#, 404, "account-not-found"),
        case(patch(), "/points/abc", r#"{"requirePoint":1}"#, 400, "malformed-request"),
        case(Method::GET, "/members/abc", "", 400, "malformed-request"),
        case(Method::GET, "/mypages/1e3", "", 400, "malformed-request"),
        case(Method::GET, "/messages/abc", "", 400, "malformed-request"),
        case(Method::GET, "/members/99", "", 404, "member-not-found"),
        case(Method::GET, "/nothing/here", "", 404, "not-found"),
        case(Method::PUT, "/members/1", "{}", 405, "method-not-allowed"),
        case(Method::DELETE, "/points/1", "", 405, "method-not-allowed"),
        case(post(), "/members", vec![b' '; 10_000_000], 413, "payload-too-large"),
        case(patch(), "/points/1", vec![b' '; 10_000_000], 413, "payload-too-large"),
    ]
}

const TRANSACTIONS: &str = "/points/1/transactions";
const ADJUSTMENTS: &str = "/points/1/adjustments";

/// What there is to be cancelled, or not.
struct Booked {
    /// The only one of member 1.
    signup: i64,
    /// Of 10 points of member 2, of which 4 were taken back.
    earning: i64,
    /// Of those 4.
    cancellation: i64,
}

impl Booked {
    async fn in_world(world: &World) -> Self {
        let signup = "SELECT entry_id FROM point.ledger_entry JOIN point.account USING (membership_id) WHERE member_id = 1";
        let signup = sqlx::query_scalar(signup).fetch_one(&world.pool).await.expect("the sign-up");
        let post = async |path: &str, body| {
            let answer = world.client.call(Method::POST, path, Some(&body)).await.expect("an answer");
            assert_eq!(answer.status, 201, "{answer:?}");
            answer.body["transactionId"].as_i64().expect("an id")
        };
        let path = "/points/2/transactions";
        let earning = post(path, json!({ "type": "EARN", "amount": 10, "reference": "R-2" })).await;
        let path = format!("{path}/{earning}/cancellation");
        let cancellation = post(&path, json!({ "amount": 4, "reason": "returned" })).await;
        Self { signup, earning, cancellation }
    }
}

/// At the commands and queries of the ledger.
fn ledger_cases(booked: &Booked) -> Vec<Case> {
    let Booked { signup, earning, cancellation } = booked;
    let of_earning = &format!("/points/2/transactions/{earning}/cancellation");
    let of_cancellation = &format!("/points/2/transactions/{cancellation}/cancellation");
    let of_signup = &format!("/points/1/transactions/{signup}/cancellation");
    let of_another = &format!("/points/2/transactions/{signup}");
    let cancellation_of_another = &format!("{of_another}/cancellation");
    let post = |path, body: &str| case(Method::POST, path, body, 422, "invalid-request");
    let get = |path| case(Method::GET, path, "", 422, "invalid-request");
    let transaction = |entry_type: &str, amount: &str, more: &str| {
        let fields = format!(r#"{{"type":"{entry_type}","amount":{amount},"reference":"R-1"{more}}}"#);
        post(TRANSACTIONS, &fields)
    };
    let refused = |path, body: &str, status, code| case(Method::POST, path, body, status, code);
    let keyed =
        |path, body: &str, key: String| refused(path, body, 400, "invalid-idempotency-key").under_key(key);
    let (earning, reason) = (r#"{"type":"EARN","amount":1,"reference":"R-1"}"#, r#"{"reason":"x"}"#);
    let mut cases = vec![
        transaction("EARN", "0", "").at("/amount"),
        transaction("USE", "-1", "").at("/amount"),
        transaction("EARN", "9007199254740992", "").at("/amount"),
        transaction("EARN", "1.5", "").at("/amount"),
        transaction("ADJUST", "1", "").at("/type"),
        transaction("EARN", "1", r#","expiresAt":"2020-01-01T00:00:00Z""#).at("/expiresAt"),
        transaction("EARN", "1", r#","expiresAt":"tomorrow""#).at("/expiresAt"),
        transaction("EARN", "1", r#","expiresAt":"2030-02-30T00:00:00Z""#).at("/expiresAt"),
        transaction("EARN", "1", r#","balance":9"#).at("/balance"),
        post(TRANSACTIONS, r#"{"type":"EARN","amount":1}"#).at("/reference"),
        post(TRANSACTIONS, r#"{"type":"EARN","amount":1,"reference":""}"#).at("/reference"),
        refused(
            TRANSACTIONS,
            r#"{"type":"USE","amount":1001,"reference":"R-1"}"#,
            422,
            "insufficient-points",
        ),
        refused("/points/99/transactions", earning, 404, "account-not-found"),
        refused(of_signup, reason, 422, "not-cancellable"),
        refused(cancellation_of_another, reason, 404, "transaction-not-found"),
        refused("/points/1/transactions/99/cancellation", reason, 404, "transaction-not-found"),
        refused("/points/1/transactions/abc/cancellation", reason, 400, "malformed-request"),
        post(of_signup, r#"{"amount":0,"reason":"x"}"#).at("/amount"),
        post(of_signup, r#"{"amount":-1,"reason":"x"}"#).at("/amount"),
        post(of_signup, "{}").at("/reason"),
        refused(of_cancellation, reason, 422, "not-cancellable"),
        post(of_earning, r#"{"amount":7,"reason":"x"}"#).at("/amount"),
        post(ADJUSTMENTS, r#"{"amount":0,"reason":"x"}"#).at("/amount"),
        post(ADJUSTMENTS, r#"{"amount":1}"#).at("/reason"),
        refused(ADJUSTMENTS, r#"{"amount":-1001,"reason":"x"}"#, 422, "insufficient-points"),
        get("/points/1/transactions?limit=0"),
        get("/points/1/transactions?limit=100000"),
        get("/points/1/transactions?after=forged"),
        get("/points/1/transactions?type=GIFT"),
        get("/points/1/transactions?from=yesterday"),
        case(Method::GET, of_another, "", 404, "transaction-not-found"),
    ];
    for key in [String::new(), "k".repeat(256), "k".repeat(10_000)] {
        cases.push(keyed("/members", r#"{"phoneNo":"01012345678","nickname":"N"}"#, key.clone()));
        cases.push(keyed("/points/1/transactions", earning, key.clone()));
        cases.push(keyed(of_signup, reason, key.clone()));
        cases
            .push(Case { method: Method::PATCH, ..keyed("/points/1", r#"{"requirePoint":1}"#, key.clone()) });
        cases.push(keyed(ADJUSTMENTS, r#"{"amount":1,"reason":"x"}"#, key));
    }
    cases
}

fn url(world: &World, path: &str) -> String {
    let service = match path.split('/').nth(1) {
        Some("points") => "point",
        Some("mypages") => "mypage",
        Some("messages") => "message",
        _ => "member",
    };
    format!("{}{path}", world.service(service).url())
}

#[test]
fn bad_input_is_refused_with_a_problem_and_changes_nothing() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        world.client.join_and_be_granted(2).await;
        let booked = Booked::in_world(&world).await;
        world.quiet().await;
        let before = world.snapshot().await;
        let http = Client::builder().no_proxy().build().expect("a client");

        for case in cases().into_iter().chain(ledger_cases(&booked)) {
            let shown = format!("{} {} {:.80}", case.method, case.path, String::from_utf8_lossy(&case.body));
            let request = http
                .request(case.method, url(&world, &case.path))
                .header("content-type", case.content_type)
                .body(case.body);
            let request = match case.key {
                Some(key) => request.header("idempotency-key", key),
                None => request,
            };
            let response = request.send().await.unwrap_or_else(|error| panic!("{shown}: {error}"));
            assert_eq!(response.headers()["content-type"], "application/problem+json", "{shown}");
            let problem: Value = response.json().await.expect("JSON");
            assert_eq!(problem["status"], case.status, "{shown}: {problem}");
            assert_eq!(problem["code"], case.code, "{shown}: {problem}");
            for member in ["type", "title", "detail", "instance"] {
                assert!(problem[member].is_string(), "{shown}: {problem}");
            }
            if let Some(pointer) = case.pointer {
                assert_eq!(problem["errors"][0]["pointer"], pointer, "{shown}: {problem}");
            }
        }

        world.quiet().await;
        assert_eq!(world.snapshot().await, before);
        world.stop().await;
    });
}

#[test]
fn slow_and_vanishing_clients_change_nothing() {
    block_on(async {
        let env = vec![("member", "BODY_TIMEOUT_MS", "300".to_owned())];
        let world = World::start_with(WorldOptions { env, ..Default::default() }).await;
        let before = world.snapshot().await;
        let half = "POST /members HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"phoneNo\":";

        let mut silent = connect(&world).await;
        silent.write_all(half.as_bytes()).await.expect("half a request");
        let mut answer = String::new();
        let answered =
            tokio::time::timeout(Duration::from_secs(10), silent.read_to_string(&mut answer)).await;
        answered.expect("the connection is closed").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains(r#""code":"request-timeout""#), "{answer}");

        for _ in 0..20 {
            let mut vanishing = connect(&world).await;
            vanishing.write_all(half.as_bytes()).await.expect("half a request");
        }
        assert_eq!(world.client.join(1, "01012345678", "N").await.status, 201);
        world.client.until("/mypages/1", 200, json!({ "remainPoint": 1_000 })).await;
        let members: i64 = sqlx::query_scalar("SELECT count(*) FROM member.member")
            .fetch_one(&world.pool)
            .await
            .expect("a count");
        assert_eq!((members, before.len()), (1, 0));
        world.stop().await;
    });
}

async fn connect(world: &World) -> TcpStream {
    let url = world.service("member").url();
    TcpStream::connect(url.trim_start_matches("http://")).await.expect("a connection")
}
