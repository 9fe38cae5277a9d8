//! What a set of services leaves behind that tells why a test failed, before it is removed.

use std::collections::HashSet;
use std::fmt::Write;

use sqlx::PgPool;

use crate::topics::Topics;

const QUOTED_LINES: usize = 40;

/// The events of every member whose id is among the numbers in `wrong`, and which services have noted them as handled.
pub(crate) async fn events(pool: &PgPool, topics: &Topics, wrong: &[String]) -> String {
    let numbers = wrong.iter().flat_map(|line| line.split(|character: char| !character.is_ascii_digit()));
    let keys: HashSet<&[u8]> = numbers.filter(|number| !number.is_empty()).map(str::as_bytes).collect();
    let mut evidence = String::new();
    for topic in ["member", "message", "point"] {
        let records = topics.read(topic).await;
        for record in records.iter().filter(|record| keys.contains(&*record.key)) {
            let key = String::from_utf8_lossy(&record.key);
            let (event_type, id) = (record.header("ce_type"), record.header("ce_id"));
            let handled = handled_by(pool, id.as_deref()).await;
            let _ = writeln!(evidence, "{topic} {key}: {event_type:?} {id:?}, handled by {handled:?}");
        }
    }
    evidence
}

async fn handled_by(pool: &PgPool, id: Option<&str>) -> sqlx::Result<Vec<String>> {
    let inboxes = "SELECT 'member' FROM member.inbox WHERE ce_id = $1::uuid
        UNION ALL SELECT 'message' FROM message.inbox WHERE ce_id = $1::uuid
        UNION ALL SELECT 'point' FROM point.inbox WHERE ce_id = $1::uuid
        UNION ALL SELECT 'mypage' FROM mypage.inbox WHERE ce_id = $1::uuid";
    sqlx::query_scalar(inboxes).bind(id).fetch_all(pool).await
}

/// The last warnings and errors of a service's log.
pub(crate) fn complaints(log: &str) -> String {
    let calm = [r#""level":"INFO""#, r#""level":"DEBUG""#, r#""level":"TRACE""#];
    let lines: Vec<&str> =
        log.lines().filter(|line| !calm.iter().any(|level| line.contains(level))).collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}
