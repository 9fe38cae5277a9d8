//! What becomes of records between a topic and the database. The Kafka client is real, but reaches no broker.

use std::slice;

use metrics_exporter_prometheus::PrometheusBuilder;
use rdkafka::message::OwnedHeaders;
use uuid::Uuid;

use super::*;
use crate::delivery::parked::BEHIND_PARKED;
use crate::delivery::test_support::{Bench, Mishap, Record, event, record};

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
            .fetch_one(&bench.pool)
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
async fn an_event_of_a_type_that_nobody_here_reacts_to_is_neither_read_nor_noted() {
    let bench = Bench::new([]).await;
    let unknown = record(1, 1).header("ce_type", b"MemberPromoted").payload(b"not even json");

    assert!(bench.settle(&[unknown.received(), event(1, 2)]).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![2], vec![]));
    assert_eq!(bench.noted().await, 1);
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

/// One partition's events of the members 1 to 4 in turn, beginning with 2.
fn full_batch() -> Vec<Received> {
    (1..).take(FULL_BATCH).map(|sequence| event(1 + sequence % 4, sequence)).collect()
}

#[tokio::test]
async fn of_a_full_batch_half_of_the_members_is_handled_though_the_other_half_fails_for_now() {
    let bench = Bench::new([(2, vec![Mishap::Transient; 2])]).await;
    let batch = full_batch();
    let offsets = |events: &[Received]| events.iter().map(|event| event.offset).collect::<Vec<_>>();
    let (even, odd): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(Received::has_even_key);

    let failed = bench.consumer.settle(&batch, &bench.token).await.ok().expect("not cancelled");

    assert_eq!(bench.effects().await, offsets(&even));
    assert_eq!(offsets(&failed), offsets(&batch[1..]), "the offset of the last one is to be stored");
    assert!(bench.settle(&failed).await);
    assert_eq!(bench.effects().await, [offsets(&even), offsets(&odd)].concat());
    assert_eq!((bench.noted().await, bench.parked_offsets().await), (400, vec![]));
}

#[tokio::test]
async fn of_a_full_batch_a_poison_event_parks_with_the_later_ones_of_its_member() {
    let bench = Bench::new([(7, vec![Mishap::Permanent])]).await;

    assert!(bench.settle(&full_batch()).await);

    let of_its_member: Vec<i64> = (7..=400).step_by(4).collect();
    assert_eq!(bench.parked_offsets().await, of_its_member);
    let mut effects = bench.effects().await;
    effects.sort_unstable();
    assert_eq!(effects, (1..=400).filter(|it| !of_its_member.contains(it)).collect::<Vec<_>>());
    assert_eq!(bench.noted().await, 400);
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
    bench.pool.close().await;
    bench.token.cancel();

    assert!(!bench.settle(&[event(1, 1)]).await);
}

#[tokio::test]
async fn what_is_counted_was_committed() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let bench = Bench::new([(2, vec![Mishap::Transient; 2]), (4, vec![Mishap::Permanent])]).await;
    let batch = [event(1, 1), event(2, 2), event(3, 3), event(4, 4)];

    assert!(bench.settle(&batch).await);
    assert!(bench.settle(&batch).await);

    let rendered = recorder.handle().render();
    for line in [
        r#"events_handled_total{type="MemberStatusChanged",outcome="applied"} 3"#,
        r#"event_delay_seconds_count{topic="member"} 3"#,
        r#"inbox_duplicates_total{topic="member"} 4"#,
        r#"parked_events_total{topic="member"} 1"#,
        "events_retried_total 1",
    ] {
        assert!(rendered.lines().any(|each| each == line), "no {line} in {rendered}");
    }
}
