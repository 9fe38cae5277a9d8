//! What becomes of records between a topic and the database. The Kafka client is real, but reaches no broker.

use std::collections::HashMap;
use std::sync::Mutex;

use rdkafka::Timestamp;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use tokio::time::timeout;
use uuid::Uuid;

use super::*;
use crate::delivery::Outcome;
use crate::delivery::parking::BEHIND_PARKED;
use crate::delivery::settings::KafkaSettings;
use crate::delivery::test_support::{DEADLINE, pool};
use crate::envelope::{Envelope, Provenance};
use crate::event::Event;

/// Writes each event's sequence down as its effect, unless a mishap is in store for it.
#[derive(Debug, Default)]
struct Recorder {
    mishaps: Mutex<HashMap<i64, Vec<Mishap>>>,
}

/// What goes wrong, after the effect was written.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// For ever, as the handler says.
    Permanent,
    /// For ever, as a constraint of the database says.
    Constraint,
    /// Once.
    Transient,
}

impl EventHandler for Recorder {
    async fn handle_in_tx(
        &self,
        tx: &mut sqlx::PgConnection,
        envelope: &Envelope,
        _event: Event,
    ) -> Result<Outcome, HandlerError> {
        let write = || {
            sqlx::query("INSERT INTO effect (key, sequence) VALUES ($1, $2)")
                .bind(envelope.member_id.to_string())
                .bind(envelope.sequence)
        };
        write().execute(&mut *tx).await?;
        let mishap = {
            let mut mishaps = self.mishaps.lock().unwrap();
            let in_store = mishaps.entry(envelope.sequence).or_default();
            if let Some(Mishap::Transient) = in_store.last() {
                in_store.pop()
            } else {
                in_store.last().copied()
            }
        };
        match mishap {
            None => Ok(Outcome::Applied),
            Some(Mishap::Permanent) => Err(HandlerError::permanent("a broken invariant")),
            Some(Mishap::Constraint) => {
                Err(write().execute(&mut *tx).await.expect_err("it is unique").into())
            }
            Some(Mishap::Transient) => Err(HandlerError::Transient("for now".into())),
        }
    }
}

/// A consumer on a database of its own.
struct Bench {
    consumer: Consumer<Recorder>,
    token: CancellationToken,
}

impl Bench {
    async fn new(mishaps: impl IntoIterator<Item = (i64, Vec<Mishap>)>) -> Self {
        let settings = KafkaSettings {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            topic_prefix: "mileage".to_owned(),
            topic_partitions: 1,
            topic_replication: 1,
            consumer_group: None,
            kafka_properties: Vec::new(),
        };
        let options = ConsumerOptions { topics: &[Topic::Member], wakes: Vec::new() };
        let handler = Recorder { mishaps: Mutex::new(mishaps.into_iter().collect()) };
        let consumer = Consumer::new(Broker::new("point", settings), pool().await, options, handler);
        Self { consumer, token: CancellationToken::new() }
    }

    /// Deals with a batch until nothing has to be tried again; `false` when cancelled.
    async fn settle(&self, batch: &[Received]) -> bool {
        let settling = async {
            let mut rest = batch.to_vec();
            while !rest.is_empty() {
                match self.consumer.settle(&rest, &self.token).await {
                    Ok(failed) => rest = failed,
                    Err(Cancelled) => return false,
                }
            }
            true
        };
        timeout(DEADLINE, settling).await.expect("the batch in time")
    }

    /// The sequences that had an effect, in the order of the effects.
    async fn effects(&self) -> Vec<i64> {
        sqlx::query_scalar("SELECT sequence FROM effect ORDER BY id")
            .fetch_all(&self.consumer.pool)
            .await
            .unwrap()
    }

    /// Offset, key and reason of what is parked, in order.
    async fn parked(&self) -> Vec<(i64, Option<String>, String)> {
        sqlx::query_as("SELECT kafka_offset, key, reason FROM parked_event ORDER BY id")
            .fetch_all(&self.consumer.pool)
            .await
            .unwrap()
    }

    async fn parked_offsets(&self) -> Vec<i64> {
        self.parked().await.into_iter().map(|(offset, ..)| offset).collect()
    }

    async fn noted(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM inbox").fetch_one(&self.consumer.pool).await.unwrap()
    }
}

/// A record of `mileage.member`; its offset is the event's sequence.
struct Record {
    key: Option<Vec<u8>>,
    headers: OwnedHeaders,
    payload: Vec<u8>,
    offset: i64,
}

/// A `MemberWithdrawn` of a member.
fn record(member_id: i64, sequence: i64) -> Record {
    let envelope = Envelope {
        id: Uuid::now_v7(),
        event_type: "MemberWithdrawn".to_owned(),
        source: "/member".to_owned(),
        member_id: member_id.try_into().unwrap(),
        sequence,
        time: "2026-03-04T05:06:07Z".parse().unwrap(),
        provenance: Provenance { actor: "operator".to_owned(), traceparent: None },
    };
    let payload = serde_json::json!({
        "memberId": member_id, "membershipId": Uuid::now_v7(), "withdrawnAt": "2026-03-04T05:06:07Z",
    });
    Record {
        key: Some(member_id.to_string().into_bytes()),
        headers: envelope.to_headers(),
        payload: payload.to_string().into_bytes(),
        offset: sequence,
    }
}

impl Record {
    fn key(self, key: Option<&[u8]>) -> Self {
        Self { key: key.map(<[u8]>::to_vec), ..self }
    }

    fn headers(self, headers: OwnedHeaders) -> Self {
        Self { headers, ..self }
    }

    fn payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// With the value of one header replaced.
    fn header(self, key: &str, value: &[u8]) -> Self {
        let headers = self.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
            let value = if header.key == key { Some(value) } else { header.value };
            headers.insert(Header { key: header.key, value })
        });
        self.headers(headers)
    }

    fn received(self) -> Received {
        let Self { key, headers, payload, offset } = self;
        let topic = "mileage.member".to_owned();
        let message =
            OwnedMessage::new(Some(payload), key, topic, Timestamp::NotAvailable, 0, offset, Some(headers));
        Received::new(Topic::Member, &message)
    }
}

fn event(member_id: i64, sequence: i64) -> Received {
    record(member_id, sequence).received()
}

#[tokio::test]
async fn a_batch_is_handled_in_order() {
    let bench = Bench::new([]).await;

    assert!(bench.settle(&[event(1, 1), event(2, 2), event(1, 3)]).await);

    assert_eq!(bench.effects().await, [1, 2, 3]);
    assert_eq!((bench.noted().await, bench.parked_offsets().await), (3, vec![]));
}

#[tokio::test]
async fn a_poison_event_parks_with_the_later_ones_of_its_member_while_others_go_on() {
    for mishap in [Mishap::Permanent, Mishap::Constraint] {
        let bench = Bench::new([(3, vec![mishap])]).await;

        let batch = [event(1, 1), event(2, 2), event(2, 3), event(3, 4), event(2, 5), event(1, 6)];
        assert!(bench.settle(&batch).await);
        assert!(bench.settle(&[event(2, 7), event(1, 8)]).await);

        assert_eq!(bench.effects().await, [1, 2, 4, 6, 8], "{mishap:?}");
        let parked = bench.parked().await;
        assert_eq!(bench.parked_offsets().await, [3, 5, 7], "{mishap:?}");
        assert!(parked.iter().all(|(_, key, _)| key.as_deref() == Some("2")), "{parked:?}");
        assert_ne!(parked[0].2, BEHIND_PARKED);
        assert!(parked[1..].iter().all(|(_, _, reason)| reason == BEHIND_PARKED), "{parked:?}");
        assert_eq!(bench.noted().await, 8);
    }
}

#[tokio::test]
async fn a_poison_event_that_comes_alone_parks_with_its_record_and_the_reason() {
    let bench = Bench::new([(1, vec![Mishap::Permanent])]).await;
    let poison = event(7, 1);

    assert!(bench.settle(slice::from_ref(&poison)).await);

    let (ce_id, topic, reason, source, payload): (Uuid, String, String, String, Vec<u8>) =
        sqlx::query_as("SELECT ce_id, topic, reason, headers->>'ce_source', payload FROM parked_event")
            .fetch_one(&bench.consumer.pool)
            .await
            .unwrap();
    assert_eq!((ce_id, topic.as_str(), source.as_str()), (poison.inbox_id(), "member", "/member"));
    assert_eq!((reason.as_str(), payload), ("a broken invariant", poison.payload));
    assert!(bench.effects().await.is_empty());
}

#[tokio::test]
async fn an_event_of_another_topic_does_not_wait_behind_a_parked_one_of_the_same_key() {
    let bench = Bench::new([(1, vec![Mishap::Permanent])]).await;
    assert!(bench.settle(&[event(7, 1)]).await);

    let other = Received { topic: Topic::Message, ..event(7, 2) };
    assert!(bench.settle(&[other]).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![2], vec![1]));
}

#[tokio::test]
async fn a_second_delivery_has_no_effect_within_a_batch_or_across() {
    let bench = Bench::new([(2, vec![Mishap::Permanent])]).await;
    let (first, poison, third) = (event(1, 1), event(2, 2), event(2, 3));
    let batch = [first.clone(), first.clone(), poison.clone(), third.clone(), poison, third, first];

    for _ in 0..3 {
        assert!(bench.settle(&batch).await);
    }

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![1], vec![2, 3]));
    assert_eq!(bench.noted().await, 3);
}

#[tokio::test]
async fn a_record_without_a_readable_key_parks_alone_and_once() {
    let long = "7".repeat(5_000);
    let keys: [Option<&[u8]>; 6] =
        [None, Some(b""), Some(b"seven"), Some(b"\xff"), Some(b"7\0"), Some(long.as_bytes())];
    let unreadable: Vec<_> =
        (1..).zip(keys).map(|(offset, key)| record(7, offset).key(key).received()).collect();
    let bench = Bench::new([]).await;

    let batch: Vec<_> = unreadable.iter().cloned().chain([event(7, 10), event(8, 11)]).collect();
    assert!(bench.settle(&batch).await);
    assert!(bench.settle(&unreadable).await);

    assert_eq!(bench.effects().await, [10, 11]);
    let parked = bench.parked().await;
    assert!(parked.iter().all(|(_, key, _)| key.is_none()), "{parked:?}");
    assert_eq!(bench.parked_offsets().await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_record_with_a_key_but_no_envelope_parks_with_what_follows_of_its_member() {
    let wrong_version = record(7, 1).header("ce_specversion", b"0.3");
    let other_subject = record(7, 1).header("ce_subject", b"8");
    let id_of_no_kind = record(7, 1).header("ce_id", b"seven");
    for unreadable in [record(7, 1).headers(OwnedHeaders::new()), wrong_version, other_subject, id_of_no_kind]
    {
        let bench = Bench::new([]).await;

        assert!(bench.settle(&[unreadable.received(), event(7, 2), event(8, 3)]).await);

        assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![3], vec![1, 2]));
    }
}

#[tokio::test]
async fn a_payload_that_is_not_of_its_type_parks() {
    let not_json = record(1, 1).payload(b"not json");
    let empty = record(2, 2).payload(b"");
    let not_utf8 = record(3, 3).payload(b"\xff\x00");
    let other_shape = record(4, 4).payload(br#"{"memberId":"four"}"#);
    let bench = Bench::new([]).await;

    let batch = [not_json, empty, not_utf8, other_shape, record(5, 5)].map(Record::received);
    assert!(bench.settle(&batch).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![5], vec![1, 2, 3, 4]));
}

#[tokio::test]
async fn what_postgres_cannot_store_as_text_parks_all_the_same() {
    let quoted_in_the_reason = record(1, 1).header("ce_type", b"MemberJoined").payload(
        br#"{"memberId":1,"membershipId":"00000000-0000-7000-8000-000000000000","phoneNo":"1","nickname":"a",
            "memberStatus":"A\u0000B","joinedAt":"2026-03-04T05:06:07Z"}"#,
    );
    let in_a_header = record(2, 2).payload(b"not json").header("ce_actor", b"opera\0tor");
    let not_utf8 = record(3, 3).payload(b"not json").header("ce_actor", b"opera\xfftor");
    let bench = Bench::new([]).await;

    let batch = [quoted_in_the_reason, in_a_header, not_utf8, record(4, 4)].map(Record::received);
    assert!(bench.settle(&batch).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![4], vec![1, 2, 3]));
}

#[tokio::test]
async fn an_event_of_an_unknown_type_is_noted_and_ignored() {
    let bench = Bench::new([]).await;
    let unknown = record(1, 1).header("ce_type", b"MemberPromoted").payload(b"not even json");

    assert!(bench.settle(&[unknown.received(), event(1, 2)]).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![2], vec![]));
    assert_eq!(bench.noted().await, 2);
}

#[tokio::test]
async fn a_transient_failure_is_retried_until_it_passes_and_the_effect_is_there_once() {
    let bench = Bench::new([(2, vec![Mishap::Transient; 2])]).await;

    assert!(bench.settle(&[event(1, 1), event(1, 2), event(2, 3)]).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![1, 2, 3], vec![]));
}

#[tokio::test]
async fn a_partition_that_fails_for_now_keeps_no_other_waiting() {
    let bench = Bench::new([(2, vec![Mishap::Transient; 2])]).await;
    let elsewhere = |event: Received| Received { partition: 1, ..event };
    let batch =
        [event(1, 1), event(2, 2), event(1, 3), elsewhere(event(3, 4)), event(4, 5), elsewhere(event(3, 6))];

    let failed = bench.consumer.settle(&batch, &bench.token).await.ok().expect("not cancelled");

    assert_eq!(bench.effects().await, [1, 4, 6]);
    assert_eq!(failed.iter().map(|event| event.offset).collect::<Vec<_>>(), [2, 3, 5]);
    assert!(bench.settle(&failed).await);
    assert_eq!(bench.effects().await, [1, 4, 6, 2, 3, 5]);
}

#[tokio::test]
async fn a_shutdown_during_retries_leaves_everything_to_the_next_start() {
    let bench = Bench::new([(2, vec![Mishap::Transient; 1_000])]).await;
    bench.token.cancel();

    assert!(!bench.settle(&[event(1, 1), event(1, 2)]).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![], vec![]));
    assert_eq!(bench.noted().await, 0);
}

#[tokio::test]
async fn an_outage_parks_nothing() {
    let bench = Bench::new([]).await;
    bench.consumer.pool.close().await;
    bench.token.cancel();

    assert!(!bench.settle(&[event(1, 1)]).await);
}
