//! A client of one set of services.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::wait::eventually;

/// What a service answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The JSON body, `null` when there is none.
    pub body: Value,
}

impl Answer {
    /// Whether it has this status and, in its body, these fields.
    #[must_use]
    pub fn shows(&self, status: u16, fields: &Value) -> bool {
        let mut fields = fields.as_object().into_iter().flatten();
        self.status == status && fields.all(|(name, value)| self.body.get(name) == Some(value))
    }
}

/// Calls the public listeners of the four services.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: [String; 4],
}

impl Client {
    /// A client of services at these base URLs: member, message, point, mypage.
    #[must_use]
    pub fn of(base: [String; 4]) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().expect("a client"), base }
    }

    /// Calls any path of the service that owns it. `Err` when there was no answer.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Answer> {
        let service = match path.split(['/', '?']).nth(1) {
            Some("messages") => 1,
            Some("points") => 2,
            Some("mypages") => 3,
            _ => 0,
        };
        let mut request = self.http.request(method, format!("{}{path}", self.base[service]));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        Ok(Answer { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await.expect("an answer")
    }

    /// `POST /members`
    pub async fn join(&self, member_id: i64, phone_no: &str, nickname: &str) -> Answer {
        let body = json!({ "memberId": member_id, "phoneNo": phone_no, "nickname": nickname });
        self.call(Method::POST, "/members", Some(&body)).await.expect("an answer")
    }

    /// `PATCH /points/{member_id}`
    pub async fn change_points(&self, member_id: i64, require_point: i64) -> Answer {
        let body = json!({ "requirePoint": require_point });
        self.call(Method::PATCH, &format!("/points/{member_id}"), Some(&body)).await.expect("an answer")
    }

    /// `DELETE /members/{member_id}`
    pub async fn withdraw(&self, member_id: i64) -> Answer {
        self.call(Method::DELETE, &format!("/members/{member_id}"), None).await.expect("an answer")
    }

    /// Waits until a `GET` shows this status and these fields.
    pub async fn until(&self, path: &str, status: u16, fields: Value) {
        eventually(path, || async {
            let answer = self.call(Method::GET, path, None).await.map_err(|error| error.to_string())?;
            if answer.shows(status, &fields) {
                Ok(())
            } else {
                Err(format!("{answer:?}, not {status} {fields}"))
            }
        })
        .await;
    }

    /// `POST /members` with a valid number that nobody else has.
    pub async fn join_with_own_number(&self, member_id: i64) -> Answer {
        self.join(member_id, &phone_no(member_id), &format!("N{member_id}")).await
    }

    /// Joins with a valid number and waits until point and my page show the sign-up points.
    pub async fn join_and_be_granted(&self, member_id: i64) {
        let joined = self.join_with_own_number(member_id).await;
        assert_eq!(joined.status, 201, "{joined:?}");
        self.until(&format!("/points/{member_id}"), 200, json!({ "remainPoint": 1_000 })).await;
        self.until(
            &format!("/mypages/{member_id}"),
            200,
            json!({ "remainPoint": 1_000, "memberStatus": "NORMAL" }),
        )
        .await;
    }
}

/// A Korean mobile number of a member's own.
fn phone_no(member_id: i64) -> String {
    format!("010{member_id:08}")
}
