//! Redriving, and what a withdrawal does to what is parked.

use std::slice;

use sqlx::Connection;
use tokio::time::timeout;

use super::redrive::{Redriven, redrive};
use super::store::{self, Filter, Queue};
use super::{BEHIND_PARKED, table};
use crate::delivery::received::Received;
use crate::delivery::test_support::{Bench, DEADLINE, Mishap, Record, event, record, withdrawal};
use crate::topic::Topic;

fn queue(key: &str) -> Queue {
    Queue::Keyed("member".to_owned(), key.to_owned())
}

async fn redriven(bench: &Bench, key: &str) -> Redriven {
    timeout(DEADLINE, redrive(&bench.pool, &bench.recorder, &queue(key))).await.expect("in time").unwrap()
}

fn all(handled: u64) -> Redriven {
    Redriven { handled, refused: None }
}

#[tokio::test]
async fn what_is_mended_is_redriven_in_order_with_its_original_id() {
    let bench = Bench::new([(2, vec![Mishap::Permanent])]).await;
    let batch = [event(1, 1), event(7, 2), event(7, 3), event(1, 4), event(7, 5)];
    assert!(bench.settle(&batch).await);
    assert_eq!(bench.effects().await, [1, 4]);

    bench.recorder.mend(2);
    assert_eq!(redriven(&bench, "7").await, all(3));

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![1, 4, 2, 3, 5], vec![]));
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT ce_id FROM effect ORDER BY id").fetch_all(&bench.pool).await.unwrap();
    assert_eq!(ids[2..], [&batch[1], &batch[2], &batch[4]].map(Received::inbox_id));
    assert!(bench.settle(&batch).await);
    assert_eq!(bench.effects().await.len(), 5, "a second delivery has no effect after a redrive either");
}

#[tokio::test]
async fn what_is_not_mended_stays_with_those_behind_it_and_says_why() {
    let bench = Bench::new([(1, vec![Mishap::Permanent]), (3, vec![Mishap::Constraint])]).await;
    assert!(bench.settle(&[event(7, 1), event(7, 2), event(7, 3), event(7, 4)]).await);

    bench.recorder.mend(1);
    let Redriven { handled, refused } = redriven(&bench, "7").await;

    let (_, reason) = refused.unwrap();
    assert_eq!((handled, bench.effects().await), (2, vec![1, 2]));
    let parked = bench.parked().await;
    assert_eq!(parked.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [3, 4]);
    assert_eq!((parked[0].2.as_str(), parked[1].2.as_str()), (reason.as_str(), BEHIND_PARKED));
    assert!(reason.contains("effect_sequence_key"), "{reason}");
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let bench = Bench::new([(1, vec![Mishap::Permanent])]).await;
    assert!(bench.settle(&[event(7, 1)]).await);
    bench.recorder.set(1, vec![Mishap::Transient; 2]);

    assert_eq!(redriven(&bench, "7").await, all(1));
    assert_eq!(bench.effects().await, [1]);
}

#[tokio::test]
async fn events_that_arrive_during_a_redrive_keep_their_place() {
    const LAST: i64 = 200;
    let bench = Bench::new([(1, vec![Mishap::Permanent])]).await;
    let parked: Vec<_> = (1..=20).map(|sequence| event(7, sequence)).collect();
    assert!(bench.settle(&parked).await);
    bench.recorder.mend(1);

    let redriving = async {
        while bench.effects().await.len() < usize::try_from(LAST).unwrap() {
            assert_eq!(redriven(&bench, "7").await.refused, None);
        }
    };
    let arriving = async {
        for sequence in 21..=LAST {
            assert!(bench.settle(slice::from_ref(&event(7, sequence))).await);
        }
    };
    timeout(DEADLINE, async { tokio::join!(redriving, arriving) }).await.expect("in time");

    assert_eq!(bench.effects().await, (1..=LAST).collect::<Vec<_>>());
    assert!(bench.parked().await.is_empty());
}

#[tokio::test]
async fn an_event_waits_for_the_redrive_that_is_under_way() {
    let bench = Bench::new([(1, vec![Mishap::Permanent])]).await;
    assert!(bench.settle(&[event(7, 1)]).await);
    let mut connection = bench.pool.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    store::lock_in_tx(&mut tx, "member", "7").await.unwrap();
    let [parked] = store::queue_in_tx(&mut tx, "member", "7").await.unwrap().try_into().unwrap();
    assert!(store::remove(&mut *tx, parked.id).await.unwrap());

    let batch = [event(7, 2)];
    let (settled, ()) = tokio::join!(bench.settle(&batch), async {
        until_somebody_waits_for_a_lock(&bench).await;
        tx.commit().await.unwrap();
    });

    assert!(settled);
    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![2], vec![]));
}

async fn until_somebody_waits_for_a_lock(bench: &Bench) {
    let waiting = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = database
                   WHERE locktype = 'advisory' AND NOT granted AND datname = current_database())";
    let until = async {
        while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&bench.pool).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, until).await.expect("somebody waits");
}

#[tokio::test]
async fn a_withdrawal_takes_the_place_of_what_is_parked_of_its_member() {
    let bench = Bench::new([(1, vec![Mishap::Permanent]), (2, vec![Mishap::Permanent])]).await;
    let unreadable = record(7, 3).headers(rdkafka::message::OwnedHeaders::new()).received();
    let batch = [event(7, 1), event(8, 2), unreadable, withdrawal(7, 4).received(), event(7, 5)];
    assert!(bench.settle(&batch).await);

    assert_eq!(bench.effects().await, [4, 5]);
    assert_eq!(bench.parked_offsets().await, [2], "of another member");
}

#[tokio::test]
async fn a_withdrawal_that_cannot_be_handled_leaves_no_personal_data_behind_either() {
    let bench = Bench::new([(1, vec![Mishap::Permanent]), (3, vec![Mishap::Permanent])]).await;
    let batch = [event(7, 1), event(7, 2), withdrawal(7, 3).received(), event(7, 4)];
    assert!(bench.settle(&batch).await);
    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![], vec![3, 4]));

    bench.recorder.mend(3);
    assert_eq!(redriven(&bench, "7").await, all(2));
    assert_eq!(bench.effects().await, [3, 4]);
}

#[tokio::test]
async fn a_withdrawal_of_a_former_membership_leaves_the_present_one_alone() {
    let bench = Bench::new([(6, vec![Mishap::Permanent])]).await;
    assert!(bench.settle(&[event(7, 6), event(7, 7)]).await);

    assert!(bench.settle(&[withdrawal(7, 4).received()]).await);

    assert_eq!((bench.effects().await, bench.parked_offsets().await), (vec![], vec![6, 7, 4]));
    bench.recorder.mend(6);
    assert_eq!(redriven(&bench, "7").await, all(3));
    assert_eq!(bench.effects().await, [4, 6, 7]);
}

#[tokio::test]
async fn a_record_without_a_readable_key_is_redriven_alone_and_refused() {
    let bench = Bench::new([]).await;
    let unreadable = [1, 2].map(|offset| record(7, offset).key(None).received());
    assert!(bench.settle(&unreadable).await);

    let queues = store::queues(&bench.pool).await.unwrap();
    assert_eq!(queues.len(), 2);
    for queue in queues {
        let outcome = redrive(&bench.pool, &bench.recorder, &queue).await.unwrap();
        assert!(outcome.handled == 0 && outcome.refused.is_some(), "{outcome:?}");
    }
    assert_eq!(bench.parked_offsets().await, [1, 2]);
}

#[tokio::test]
async fn queues_are_those_of_topic_and_key_and_a_list_is_filtered_and_paged() {
    let bench = Bench::new([(1, vec![Mishap::Permanent]), (2, vec![Mishap::Permanent])]).await;
    let elsewhere = |event: Received| Received { topic: Topic::Message, ..event };
    assert!(bench.settle(&[event(7, 1), event(8, 2), event(7, 3), elsewhere(event(7, 4))]).await);
    let mishap = Received { topic: Topic::Point, ..record(7, 5).payload(b"{").received() };
    assert!(bench.settle(&[mishap]).await);

    let in_point = Queue::Keyed("point".to_owned(), "7".to_owned());
    assert_eq!(store::queues(&bench.pool).await.unwrap(), [queue("7"), queue("8"), in_point]);
    let offsets = async |filter: Filter| {
        let found = store::list(&bench.pool, &filter).await.unwrap();
        found.into_iter().map(|parked| parked.kafka_offset).collect::<Vec<_>>()
    };
    let every = Filter { limit: 10, ..Filter::default() };
    assert_eq!(offsets(every.clone()).await, [1, 2, 3, 5]);
    assert_eq!(offsets(Filter { key: Some("7".to_owned()), ..every.clone() }).await, [1, 3, 5]);
    assert_eq!(offsets(Filter { topic: Some("point".to_owned()), ..every.clone() }).await, [5]);
    assert_eq!(offsets(Filter { after: 1, limit: 1, ..every }).await, [2]);
    assert_eq!(store::depth(&bench.pool, Topic::Member).await.unwrap().0, 3);
    assert_eq!(store::depth(&bench.pool, Topic::Message).await.unwrap(), (0, 0.0));
}

#[tokio::test]
async fn personal_data_is_shown_only_where_it_is_asked_for() {
    let bench = Bench::new([]).await;
    let foreign =
        record(7, 1).payload(br#"{"memberStatus":"GOLD","phoneNo":"01012345678","phone":"01012345678"}"#);
    let broken = record(8, 2).payload(b"{\"phoneNo\":\"01012345678");
    let in_a_header = record(9, 3).payload(b"{}").with_header("x-phone", b"01012345678");
    assert!(bench.settle(&[foreign, broken, in_a_header].map(Record::received)).await);

    let parked = store::list(&bench.pool, &Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(parked.len(), 3);
    for parked in &parked {
        assert!(table::in_full(parked, true).contains("01012345678"), "{parked:?}");
        assert!(!table::in_full(parked, false).contains("01012345678"), "{parked:?}");
    }
    assert!(table::in_full(&parked[0], false).contains(r#""memberStatus": "GOLD""#));
    for text in [table::rows(&parked, 10), table::json_lines(&parked)] {
        assert!(!text.contains("01012345678") && text.contains("MemberStatusChanged"), "{text}");
    }
}
