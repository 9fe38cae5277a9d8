//! How fast, how steadily and in how much memory one message service works off a long queue.

use std::time::{Duration, Instant};

use local_stack::stack::Stack;
use sqlx::PgPool;

use crate::counter::counter;
use crate::process;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What working off the queue took.
pub struct WorkedOff {
    /// How many messages.
    pub messages: u32,
    /// From the first to the last.
    pub time: Duration,
    /// Messages a second, look by look.
    pub rates: Vec<f64>,
    /// The most resident memory of the service, in bytes.
    pub memory: u64,
}

/// Queues messages to as many numbers, and waits until the service of this stack has sent them.
pub async fn work_off(stack: &Stack, messages: u32) -> anyhow::Result<WorkedOff> {
    let service = stack.service("message");
    let pool = PgPool::connect(&stack.database.admin_url()).await?;
    sqlx::query(
        "INSERT INTO message.message (member_id, membership_id, kind, phone_no, status, due_at, queued_at)
         SELECT id, gen_random_uuid(), 'WELCOME', '010' || lpad(id::text, 8, '0'), 'QUEUED', now(), now()
         FROM generate_series(1, $1) AS id",
    )
    .bind(i64::from(messages))
    .execute(&pool)
    .await?;
    let start = Instant::now();
    let (mut sent, mut looked) = (0, start);
    let (mut rates, mut memory) = (Vec::new(), 0);
    while sent < u64::from(messages) {
        tokio::time::sleep(LOOK_EVERY).await;
        let (before, since) = (sent, looked);
        (sent, looked) =
            (counter(service, "messages_attempted_total", "outcome=\"sent\"").await?, Instant::now());
        rates.push((sent - before) as f64 / (looked - since).as_secs_f64());
        memory = memory.max(process::resident_bytes(service)?);
    }
    Ok(WorkedOff { messages, time: start.elapsed(), rates, memory })
}
