//! `/messages`: the notifications and how delivery went; an operator may have a failed one sent again.

use axum::extract;
use axum::http::StatusCode;
use chassis::extract::{Path, Query};
use chassis::hal::{BaseUrl, Collection, ListQuery, Resource};
use chassis::wire::Integer;
use chassis::{FieldError, Problem, RequestContext};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared_events::event::MessageKind;
use shared_events::{MemberId, Provenance};
use utoipa::{IntoParams, ToSchema};

use super::State;
use super::error::{message_not_found, resend_refused};
use crate::domain::{Message, MessageStatus, PhoneNo};
use crate::store::messages;
use crate::usecase::resend_message::resend_message;

#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "messageId": 1, "memberId": 1, "kind": "WELCOME", "phoneNo": "01012345678", "messageStatus": "SENT", "reason": null, "attempts": 1, "gatewayMessageId": "M1", "queuedAt": "2026-11-24T12:00:00Z", "finishedAt": "2026-11-24T12:00:00Z" }))]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageBody {
    message_id: i64,
    member_id: MemberId,
    kind: MessageKind,
    /// In digits; `null` once the member has withdrawn.
    phone_no: Option<String>,
    message_status: MessageStatus,
    reason: Option<String>,
    attempts: i32,
    gateway_message_id: Option<String>,
    queued_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those of this member.
    #[param(value_type = Option<MemberId>)]
    member_id: Option<Integer>,
}

fn resource(base: &BaseUrl, message: Message) -> Resource<MessageBody> {
    let message_id = message.message_id;
    let body = MessageBody {
        message_id,
        member_id: message.member_id,
        kind: message.kind,
        phone_no: message.phone_no.map(|PhoneNo(digits)| digits),
        message_status: message.status,
        reason: message.reason,
        attempts: message.attempts,
        gateway_message_id: message.gateway_message_id,
        queued_at: message.queued_at,
        finished_at: message.finished_at,
    };
    Resource::new("message", base.href(format_args!("/messages/{message_id}")), body)
}

/// A notification and how its delivery went
#[utoipa::path(
    get,
    path = "/messages/{messageId}",
    operation_id = "getMessage",
    params(("messageId" = i64, Path, description = "Which notification")),
    responses((status = 200, description = "The notification", content_type = "application/hal+json",
               body = MessageBody))
)]
pub(super) async fn get(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    Path(message_id): Path<i64>,
) -> Result<Resource<MessageBody>, Problem> {
    let message = messages::find(&state.pool, message_id).await?;
    message.map(|message| resource(&base, message)).ok_or_else(message_not_found)
}

/// Send a failed notification again (operators)
#[utoipa::path(
    post,
    path = "/messages/{messageId}/resend",
    operation_id = "resendMessage",
    params(("messageId" = i64, Path, description = "Which notification")),
    responses((status = 202, description = "Queued again", content_type = "application/hal+json",
               body = MessageBody))
)]
pub(super) async fn resend(
    extract::State(state): extract::State<State>,
    context: RequestContext,
    base: BaseUrl,
    Path(message_id): Path<i64>,
) -> Result<(StatusCode, Resource<MessageBody>), Problem> {
    context.principal.require_operator()?;
    let provenance =
        Provenance { actor: context.principal.actor(), traceparent: Some(context.trace_parent.to_string()) };
    let now = (state.clock)();
    let message = resend_message(&state.pool, &state.worker, message_id, &provenance, now)
        .await
        .map_err(resend_refused)?;
    Ok((StatusCode::ACCEPTED, resource(&base, message)))
}

/// Notifications by ascending messageId
#[utoipa::path(
    get,
    path = "/messages",
    operation_id = "listMessages",
    params(ListQuery, Filter),
    responses((status = 200, description = "Some notifications", content_type = "application/hal+json",
               body = [MessageBody]))
)]
pub(super) async fn list(
    extract::State(state): extract::State<State>,
    _context: RequestContext,
    base: BaseUrl,
    query: ListQuery,
    Query(filter): Query<Filter>,
) -> Result<Collection<MessageBody>, Problem> {
    let member_id = filter.member_id.map(|Integer(id)| MemberId::try_from(id)).transpose();
    let member_id = member_id
        .map_err(|error| Problem::invalid_request(vec![FieldError::new("/memberId", error.to_string())]))?;
    let path = match member_id {
        Some(member_id) => format!("/messages?memberId={member_id}"),
        None => "/messages".to_owned(),
    };
    let window = query.window();
    let found = messages::list(&state.pool, member_id, window.after, window.offset, window.limit).await?;
    let total = if query.wants_total() { messages::count(&state.pool, member_id).await? } else { 0 };
    Ok(query.collection(&base, &path, "messages", found, total, |message| {
        (message.message_id, resource(&base, message))
    }))
}
