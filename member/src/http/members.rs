//! `/members`: join, look up, withdraw.

use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chassis::extract::Path;
use chassis::hal::{BaseUrl, Collection, ListQuery, Resource};
use chassis::idempotency::{self, Command, Once};
use chassis::wire::Integer;
use chassis::{FieldError, Language, Problem, RequestContext};
use serde::{Deserialize, Serialize};
use shared_events::event::MemberStatus;
use shared_events::{MemberId, MembershipId, Provenance};
use tokio::time::timeout;
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

use super::State;
use super::error::{
    log_withdrawal, member_not_found, not_joined, refused, withdrawal_refused, withdrawal_under_way,
};
use crate::domain::{Member, Nickname, PhoneNo};
use crate::store::members;
use crate::usecase::join::{Applicant, Application, Decision, Joined};

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "memberId": 1, "phoneNo": "01012345678", "nickname": "kim", "memberStatus": "READY" }))]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberBody {
    member_id: MemberId,
    /// In digits.
    #[schema(example = "01012345678")]
    phone_no: String,
    #[schema(example = "kim")]
    nickname: String,
    member_status: MemberStatus,
}

fn resource(base: &BaseUrl, member: &Member) -> Resource<MemberBody> {
    body(base, member.member_id, &member.phone_no, &member.nickname, member.status)
}

fn body(
    base: &BaseUrl,
    member_id: MemberId,
    phone_no: &PhoneNo,
    nickname: &Nickname,
    member_status: MemberStatus,
) -> Resource<MemberBody> {
    let body = MemberBody {
        member_id,
        phone_no: phone_no.as_str().to_owned(),
        nickname: nickname.as_str().to_owned(),
        member_status,
    };
    Resource::new("member", base.href(format_args!("/members/{member_id}")), body)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ApplicationBody {
    /// 1 to 20 digits; blanks, hyphens and `+82` are understood.
    #[schema(example = "010-1234-5678")]
    phone_no: String,
    #[schema(example = "kim", min_length = 1)]
    nickname: String,
    /// Left out, the service chooses one.
    #[schema(value_type = Option<MemberId>)]
    member_id: Option<Integer>,
    /// Nothing but READY.
    #[schema(value_type = Option<MemberStatus>)]
    member_status: Option<String>,
}

impl TryFrom<ApplicationBody> for Applicant {
    type Error = Problem;

    /// Names every field that is wrong, not just the first.
    fn try_from(application: ApplicationBody) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        let phone_no = field("/phoneNo", application.phone_no.parse::<PhoneNo>(), &mut errors);
        let nickname = field("/nickname", application.nickname.parse::<Nickname>(), &mut errors);
        let member_id = application.member_id.map(|Integer(id)| MemberId::try_from(id)).transpose();
        let member_id = field("/memberId", member_id, &mut errors);
        if application.member_status.is_some_and(|status| status != MemberStatus::Ready.as_str()) {
            errors.push(FieldError::new("/memberStatus", "a new member is READY; leave it out or say READY"));
        }
        match (phone_no, nickname, member_id) {
            (Some(phone_no), Some(nickname), Some(member_id)) if errors.is_empty() => {
                Ok(Self { member_id, phone_no, nickname })
            }
            _ => Err(Problem::invalid_request(errors)),
        }
    }
}

fn field<T, E: ToString>(pointer: &str, value: Result<T, E>, errors: &mut Vec<FieldError>) -> Option<T> {
    value.map_err(|error| errors.push(FieldError::new(pointer, error.to_string()))).ok()
}

/// Join
#[utoipa::path(
    post,
    path = "/members",
    operation_id = "join",
    params(Once),
    request_body(content = inline(ApplicationBody), content_type = "application/json"),
    responses((status = 201, description = "Joined; the notification is on its way", content_type = "application/hal+json",
               body = MemberBody,
               headers(("Location" = String, description = "The member"), ("Idempotency-Hit" = String, description = "`true` where this is what was answered before; a refusal that was has it too"))))
)]
pub(super) async fn post(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    base: BaseUrl,
    Command { body: application, once }: Command<ApplicationBody>,
) -> Result<Response, Problem> {
    let applicant = Applicant::try_from(application)?;
    let Applicant { phone_no, nickname, .. } = applicant.clone();
    let application = Application {
        applicant,
        membership_id: MembershipId(Uuid::now_v7()),
        once,
        provenance: provenance(&context),
        now: (state.clock)(),
    };
    Ok(match state.registrar.join(application).await.map_err(not_joined)? {
        Joined::Now(member) => resource(&base, &member).created().into_response(),
        // Whatever has become of the member since.
        Joined::Before(Decision::Granted(member_id)) => {
            idempotency::hit(body(&base, member_id, &phone_no, &nickname, MemberStatus::Ready).created())
        }
        Joined::Before(Decision::Refused(refusal)) => idempotency::hit(refused(refusal)),
    })
}

/// A member
#[utoipa::path(
    get,
    path = "/members/{memberId}",
    operation_id = "getMember",
    params(("memberId" = MemberId, Path, description = "Which member")),
    responses((status = 200, description = "The member", content_type = "application/hal+json",
               body = MemberBody))
)]
pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    Path(member_id): Path<MemberId>,
) -> Result<Resource<MemberBody>, Problem> {
    let member = state.members.find(member_id).await?;
    member.map(|member| resource(&base, &member)).ok_or_else(member_not_found)
}

/// Members by ascending memberId
#[utoipa::path(
    get,
    path = "/members",
    operation_id = "listMembers",
    params(ListQuery),
    responses((status = 200, description = "Some members", content_type = "application/hal+json",
               body = [MemberBody]))
)]
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    query: ListQuery,
) -> Result<Collection<MemberBody>, Problem> {
    let window = query.window();
    let found = members::list(&state.pool, window.after, window.offset, window.limit).await?;
    let total = if query.wants_total() { members::count(&state.pool).await? } else { 0 };
    Ok(query.collection(&base, "/members", "members", found, total, |member| {
        (member.member_id.get(), resource(&base, &member))
    }))
}

/// Withdraw: the points are forfeited, and the member is deleted everywhere
#[utoipa::path(
    delete,
    path = "/members/{memberId}",
    operation_id = "withdraw",
    params(
        ("memberId" = MemberId, Path, description = "Who withdraws"),
        ("Accept-Language" = Option<String>, Header, description = "`ko` or `en`: the language of a 503's detail"),
    ),
    responses((status = 204, description = "The member is gone"))
)]
pub(super) async fn delete(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    language: Language,
    Path(member_id): Path<MemberId>,
) -> Result<StatusCode, Problem> {
    let State { withdrawals, sagas, withdrawal_patience, clock, .. } = state;
    let provenance = provenance(&context);
    let saga =
        async move { withdrawals.withdraw(member_id, provenance, clock).await.inspect_err(log_withdrawal) };
    match timeout(withdrawal_patience, sagas.spawn(saga.in_current_span())).await {
        Ok(Ok(Ok(()))) => Ok(StatusCode::NO_CONTENT),
        Ok(Ok(Err(error))) => Err(withdrawal_refused(&error, language)),
        Ok(Err(panicked)) => Err(Problem::internal(&panicked)),
        Err(_) => Err(withdrawal_under_way(language)),
    }
}

fn provenance(context: &RequestContext) -> Provenance {
    Provenance { actor: context.principal.actor(), traceparent: Some(context.trace_parent.to_string()) }
}
