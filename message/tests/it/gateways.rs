//! What the clients of the real gateways say, and what they make of the answers: bodies and answers are those of the
//! providers' documents.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use message::domain::{KoreanMobile, PhoneNo};
use message::gateway::{Accepted, Account, Gateway, SendError, Sms, SmsGateway, Solapi, Twilio};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::provider::{Provider, Reply};

const TIMEOUT: Duration = Duration::from_millis(300);
const BOTH: [&str; 2] = ["SOLAPI", "Twilio"];
const ACCOUNT_SID: &str = "ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX";

fn gateway(name: &str, base: Url) -> Gateway {
    let account = |sender: &str, id: &str| Account {
        base,
        sender: sender.to_owned(),
        id: id.to_owned(),
        secret: "s3cr3t".into(),
    };
    match name {
        "SOLAPI" => Gateway::Solapi(Solapi::new(account("029302266", "NCSAYU7YDBXYORXC"), TIMEOUT).unwrap()),
        _ => Gateway::Twilio(Twilio::new(account("+15017122661", ACCOUNT_SID), TIMEOUT).unwrap()),
    }
}

fn number() -> PhoneNo {
    PhoneNo("01000000001".to_owned())
}

fn sms(to: &PhoneNo) -> Sms<'_> {
    let to = KoreanMobile::try_from(to).unwrap();
    Sms { client_reference: 42, to, text: "내용", queued_at: queued_at() }
}

fn queued_at() -> DateTime<Utc> {
    "2026-11-24T12:00:00.5Z".parse().unwrap()
}

async fn send(name: &str, reply: Reply) -> (Provider, Result<Accepted, SendError>) {
    let provider = Provider::replying(reply).await;
    let sent = gateway(name, provider.url()).send(sms(&number())).await;
    (provider, sent)
}

async fn find(name: &str, reply: Reply) -> (Provider, Result<Option<Accepted>, SendError>) {
    let provider = Provider::replying(reply).await;
    let found = gateway(name, provider.url()).find(sms(&number())).await;
    (provider, found)
}

fn accepted(id: &str) -> Accepted {
    Accepted { gateway_message_id: Some(id.to_owned()) }
}

/// SOLAPI's answer to a message, as documented.
fn solapi_message(status_code: &str) -> Value {
    json!({
        "groupId": "G4V202009091423236IK8I5YYTFB09VE", "to": "01000000001", "from": "029302266", "type": "SMS",
        "statusMessage": "정상 접수(이통사로 접수 예정) ", "country": "82",
        "messageId": "M4V20200909142323TVYRX0MQPPPXD3W", "statusCode": status_code, "accountId": "12925149",
    })
}

/// Twilio's answer to a message, as documented.
fn twilio_message(status: &str, error_code: Option<u32>, body: &str, date_created: &str) -> Value {
    json!({
        "account_sid": ACCOUNT_SID, "api_version": "2010-04-01", "body": body, "date_created": date_created,
        "date_sent": null, "date_updated": date_created, "direction": "outbound-api", "error_code": error_code,
        "error_message": null, "from": "+15017122661", "num_media": "0", "num_segments": "1", "price": null,
        "price_unit": null, "messaging_service_sid": null, "sid": "SMXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
        "status": status, "to": "+821000000001",
    })
}

fn reason(error: &SendError) -> &str {
    match error {
        SendError::Refused { reason }
        | SendError::Unavailable { reason, .. }
        | SendError::Unknown { reason, .. } => reason,
    }
}

#[tokio::test]
async fn solapi_is_asked_as_it_documents() {
    let (provider, sent) = send("SOLAPI", Reply::answer(200, solapi_message("2000"))).await;
    assert_eq!(sent, Ok(accepted("M4V20200909142323TVYRX0MQPPPXD3W")));
    let asked = provider.asked();
    assert_eq!(asked.line, "POST /messages/v4/send");
    assert_eq!(asked.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let custom_fields = json!({ "clientReference": "42" });
    let message =
        json!({ "to": "01000000001", "from": "029302266", "text": "내용", "customFields": custom_fields });
    assert_eq!(body, json!({ "message": message }));
    is_signed(&asked.headers["authorization"]);
}

/// `HMAC-SHA256 apiKey=…, date=…, salt=…, signature=…`
fn is_signed(authorization: &str) {
    let fields = authorization.strip_prefix("HMAC-SHA256 ").unwrap().split(", ");
    let fields: Vec<(&str, &str)> = fields.map(|field| field.split_once('=').unwrap()).collect();
    let [("apiKey", key), ("date", date), ("salt", salt), ("signature", signature)] = fields[..] else {
        panic!("{authorization}");
    };
    assert_eq!(key, "NCSAYU7YDBXYORXC");
    let date: DateTime<Utc> = date.parse().unwrap();
    assert!((Utc::now() - date).abs() < TimeDelta::minutes(1), "within the 15 minutes that SOLAPI allows");
    assert!((12..=64).contains(&salt.len()), "{salt}");
    assert!(signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_hexdigit()), "{signature}");
}

#[tokio::test]
async fn solapi_signs_every_request_with_another_salt() {
    let mut salts = Vec::new();
    for _ in 0..3 {
        let (provider, _) = send("SOLAPI", Reply::answer(200, solapi_message("2000"))).await;
        salts.push(provider.asked().headers["authorization"].split(", ").nth(2).unwrap().to_owned());
    }
    salts.dedup();
    assert_eq!(salts.len(), 3);
}

#[tokio::test]
async fn twilio_is_asked_as_it_documents() {
    let date = "Tue, 24 Nov 2026 12:00:05 +0000";
    let (provider, sent) =
        send("Twilio", Reply::answer(201, twilio_message("queued", None, "내용", date))).await;
    assert_eq!(sent, Ok(accepted("SMXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX")));
    let asked = provider.asked();
    assert_eq!(asked.line, format!("POST /2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"));
    assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked.body, "To=%2B821000000001&From=%2B15017122661&Body=%EB%82%B4%EC%9A%A9");
    // base64 of "ACXX…:s3cr3t"
    let basic = "Basic QUNYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWDpzM2NyM3Q=";
    assert_eq!(asked.headers["authorization"], basic);
}

#[tokio::test]
async fn twilio_sends_from_a_messaging_service_when_the_sender_is_one() {
    let provider = Provider::replying(Reply::answer(201, twilio_message("accepted", None, "", ""))).await;
    let account = Account {
        base: provider.url(),
        sender: "MG752f4f0b".to_owned(),
        id: ACCOUNT_SID.to_owned(),
        secret: "s3cr3t".into(),
    };
    assert!(Twilio::new(account, TIMEOUT).unwrap().send(sms(&number())).await.is_ok());
    let expected = "To=%2B821000000001&MessagingServiceSid=MG752f4f0b&Body=%EB%82%B4%EC%9A%A9";
    assert_eq!(provider.asked().body, expected);
}

#[tokio::test]
async fn what_is_the_recipients_matter_is_refused_for_good() {
    let twilio_error = |code: u32| json!({ "code": code, "message": "to 01000000001", "status": 400 });
    for (name, reply, expected) in [
        ("SOLAPI", Reply::answer(200, solapi_message("3010")), "SOLAPI 3010"),
        ("SOLAPI", Reply::answer(200, solapi_message("1061")), "SOLAPI 1061"),
        ("SOLAPI", Reply::answer(400, json!({ "errorCode": "1060", "errorMessage": "x" })), "SOLAPI 1060"),
        ("Twilio", Reply::answer(400, twilio_error(21211)), "Twilio 21211"),
        ("Twilio", Reply::answer(400, twilio_error(21610)), "Twilio 21610"),
        ("Twilio", Reply::answer(201, twilio_message("failed", Some(21614), "", "")), "Twilio 21614"),
    ] {
        let (_, sent) = send(name, reply.clone()).await;
        assert_eq!(sent, Err(SendError::Refused { reason: expected.to_owned() }), "{reply:?}");
    }
}

#[tokio::test]
async fn what_an_operator_has_to_mend_is_no_members_fault() {
    let solapi_error = |code| json!({ "errorCode": code, "errorMessage": "01000000001" });
    for (name, reply, expected) in [
        ("SOLAPI", Reply::answer(403, solapi_error("SignatureDoesNotMatch")), "SOLAPI SignatureDoesNotMatch"),
        ("SOLAPI", Reply::answer(400, solapi_error("01000000001")), "SOLAPI answered 400"),
        ("SOLAPI", Reply::answer(200, solapi_message("1030")), "SOLAPI 1030"),
        ("SOLAPI", Reply::answer(200, solapi_message("1062")), "SOLAPI 1062"),
        ("SOLAPI", Reply::answer(404, "<html>"), "SOLAPI answered 404"),
        ("Twilio", Reply::answer(401, json!({ "code": 20003, "status": 401 })), "Twilio 20003"),
        ("Twilio", Reply::answer(400, json!({ "code": 21606, "status": 400 })), "Twilio 21606"),
        ("Twilio", Reply::answer(400, json!({ "code": "01000000001" })), "Twilio answered 400"),
        ("Twilio", Reply::answer(404, ""), "Twilio answered 404"),
    ] {
        let (_, sent) = send(name, reply.clone()).await;
        let expected = SendError::Unavailable { reason: expected.to_owned(), retry_after: None };
        assert_eq!(sent, Err(expected), "{reply:?}");
    }
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    for name in BOTH {
        for (header, seconds) in [
            ("retry-after: 7\r\n", Some(7..=7)),
            ("retry-after: Tue, 24 Nov 2099 12:00:00 GMT\r\n", Some(1_000_000_000..=10_000_000_000)),
            ("retry-after: Tue, 24 Nov 2020 12:00:00 GMT\r\n", Some(0..=0)),
            ("retry-after: soon\r\n", None),
            ("", None),
        ] {
            let (_, sent) = send(name, Reply::Answer(429, header, String::new())).await;
            let Err(SendError::Unavailable { retry_after, .. }) = sent else { panic!("{sent:?}") };
            let asked = retry_after.map(|wait| wait.num_seconds());
            let fits = seconds.as_ref().map(|seconds| asked.is_some_and(|asked| seconds.contains(&asked)));
            assert!(fits.unwrap_or(asked.is_none()), "{name} {header}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn without_a_verdict_nobody_knows_what_became_of_a_message() {
    for name in BOTH {
        for reply in [
            Reply::answer(500, "{}"),
            Reply::answer(503, "<html>"),
            Reply::answer(302, ""),
            Reply::answer(200, "this is no JSON"),
            Reply::answer(200, "{\"unexpected\":true}"),
            Reply::answer(200, "[]"),
            Reply::answer(200, ""),
            Reply::answer(200, "[".repeat(2 << 20)),
            Reply::Garbage,
            Reply::Reset,
            Reply::Half,
            Reply::Silence,
        ] {
            let (_, sent) = send(name, reply).await;
            assert!(matches!(sent, Err(SendError::Unknown { .. })), "{name}: {sent:?}");
            assert!(!reason(&sent.unwrap_err()).contains("0100"), "no number");
        }
        let (_, sent) = send(name, Reply::Answer(503, "retry-after: 3\r\n", String::new())).await;
        let Err(SendError::Unknown { retry_after, .. }) = sent else { panic!("{sent:?}") };
        assert_eq!(retry_after, Some(TimeDelta::seconds(3)));
    }
}

#[tokio::test]
async fn where_there_is_no_connection_nothing_was_accepted() {
    // Bound, but not listened on: nobody else gets the port, and who connects is refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    for name in BOTH {
        let base = format!("http://127.0.0.1:{port}/").parse().unwrap();
        let sent = gateway(name, base).send(sms(&number())).await;
        assert!(matches!(sent, Err(SendError::Unavailable { retry_after: None, .. })), "{sent:?}");
    }
}

#[tokio::test]
async fn the_gateways_are_spoken_to_by_tls() {
    for name in BOTH {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gateway = gateway(name, format!("https://127.0.0.1:{port}/").parse().unwrap());
        let (to, accept) = (number(), async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 3];
            stream.read_exact(&mut hello).await.unwrap();
            hello
        });
        let (sent, hello) = tokio::join!(gateway.send(sms(&to)), accept);
        assert_eq!(hello[..2], [0x16, 0x03], "a handshake (RFC 8446 §5.1)");
        assert!(sent.is_err());
    }
}

#[tokio::test]
async fn solapi_finds_a_message_by_our_reference() {
    let listed = |reference: Value, status_code: &str| {
        let mut message = solapi_message(status_code);
        message["customFields"] = reference;
        json!({ "startKey": null, "limit": 100, "messageList": {
            "M4V20180307110044DTYYJBBYLPQZIB1": solapi_message("4000"),
            "M4V20200909142323TVYRX0MQPPPXD3W": message,
        }})
    };
    let ours = || json!({ "clientReference": "42" });
    let found = Ok(Some(accepted("M4V20200909142323TVYRX0MQPPPXD3W")));
    for (list, expected) in [
        (listed(ours(), "2000"), found.clone()),
        (listed(ours(), "3000"), found.clone()),
        (listed(ours(), "4000"), found),
        (listed(ours(), "1030"), Ok(None)),
        (listed(ours(), "3010"), Ok(None)),
        (listed(Value::Null, "4000"), Ok(None)),
        (listed(json!({ "clientReference": 42 }), "4000"), Ok(None)),
        (listed(json!({ "clientReference": "43" }), "4000"), Ok(None)),
        (listed(json!({}), "4000"), Ok(None)),
        (json!({ "messageList": {} }), Ok(None)),
    ] {
        let (provider, result) = find("SOLAPI", Reply::answer(200, &list)).await;
        assert_eq!(result, expected, "{list}");
        let asked = provider.asked();
        assert_eq!(asked.line, "GET /messages/v4/list?criteria=to&cond=eq&value=01000000001&limit=100");
        is_signed(&asked.headers["authorization"]);
    }
}

#[tokio::test]
async fn of_several_attempts_the_one_that_was_accepted_is_found() {
    let record = |id: &str, status_code: &str| {
        let mut message = solapi_message(status_code);
        message["messageId"] = id.into();
        message["customFields"] = json!({ "clientReference": "42" });
        message
    };
    let list = json!({ "messageList": {
        "1": record("1", "1030"), "2": record("2", "3032"), "3": record("3", "2000"), "4": record("4", "1030"),
        "5": { "unlike": "ours" },
    }});
    for _ in 0..5 {
        let (_, found) = find("SOLAPI", Reply::answer(200, &list)).await;
        assert_eq!(found, Ok(Some(accepted("3"))));
    }
}

#[tokio::test]
async fn twilio_finds_a_message_by_number_text_and_time() {
    let (soon, before) = ("Tue, 24 Nov 2026 12:00:00 +0000", "Tue, 24 Nov 2026 11:59:00 +0000");
    let found = Ok(Some(accepted("SMXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX")));
    for (message, expected) in [
        (twilio_message("queued", None, "내용", soon), found.clone()),
        (twilio_message("delivered", None, "내용", soon), found),
        (twilio_message("failed", Some(30003), "내용", soon), Ok(None)),
        (twilio_message("delivered", None, "something else", soon), Ok(None)),
        (twilio_message("delivered", None, "내용", before), Ok(None)),
        (twilio_message("delivered", None, "내용", "yesterday"), Ok(None)),
    ] {
        let other = twilio_message("delivered", None, "another", soon);
        let list = json!({ "messages": [other, message], "page": 0, "page_size": 100 });
        let (provider, result) = find("Twilio", Reply::answer(200, &list)).await;
        assert_eq!(result, expected, "{message}");
        let path = format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json");
        assert_eq!(provider.asked().line, format!("GET {path}?To=%2B821000000001&PageSize=100"));
    }
}

#[tokio::test]
async fn a_look_that_fails_finds_nothing_out() {
    for name in BOTH {
        for reply in [Reply::answer(500, ""), Reply::answer(200, "{}"), Reply::Reset, Reply::Silence] {
            let (_, found) = find(name, reply).await;
            assert!(matches!(found, Err(SendError::Unknown { .. })), "{name}: {found:?}");
        }
        for status in [401, 403, 404, 429] {
            let (_, found) = find(name, Reply::answer(status, "{}")).await;
            assert!(matches!(found, Err(SendError::Unavailable { .. })), "{name} {status}: {found:?}");
        }
    }
}

#[test]
fn secrets_and_numbers_are_not_printed() {
    for name in BOTH {
        let gateway = gateway(name, "https://localhost/".parse().unwrap());
        let printed = format!("{gateway:?} {:?}", sms(&number()));
        assert!(!printed.contains("s3cr3t") && !printed.contains("01000000001"), "{printed}");
    }
}
