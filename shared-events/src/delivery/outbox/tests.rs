use super::*;
use crate::delivery::test_support::{append, outgoing, pool, provenance};
use crate::event::MemberWithdrawn;

async fn waiting(connection: &mut PgConnection, limit: usize) -> Vec<i64> {
    let rows = advance(connection, &[], &[], limit, "/member").await.unwrap();
    rows.iter().map(|row| row.envelope.sequence).collect()
}

#[tokio::test]
async fn an_event_waits_as_it_will_be_published() {
    let mut connection = pool().await.acquire().await.unwrap();
    let (aggregate, payload) = outgoing(3);
    append_in_tx(&mut connection, aggregate, &payload, &provenance()).await.unwrap();

    let rows = advance(&mut connection, &[], &[], 10, "/member").await.unwrap();

    let [row] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    assert_eq!((row.topic.as_str(), row.key.as_str()), ("member", "7"));
    assert_eq!(serde_json::from_str::<MemberWithdrawn>(&row.payload).unwrap(), payload);
    let envelope = &row.envelope;
    assert_eq!((envelope.event_type.as_str(), envelope.source.as_str()), ("MemberWithdrawn", "/member"));
    assert_eq!((envelope.member_id, envelope.sequence), (aggregate.member_id, 3));
    assert_eq!(envelope.provenance, provenance());
    assert_eq!(envelope.id.get_version_num(), 7);
}

#[tokio::test]
async fn the_event_of_a_transaction_that_is_rolled_back_is_never_seen() {
    let pool = pool().await;
    let mut connection = pool.acquire().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    append(&mut tx, 1).await;

    assert!(waiting(&mut connection, 10).await.is_empty());
    tx.rollback().await.unwrap();
    assert!(waiting(&mut connection, 10).await.is_empty());
}

#[tokio::test]
async fn rows_are_read_in_the_order_they_were_written_and_stay_until_deleted() {
    let mut connection = pool().await.acquire().await.unwrap();
    for version in 1..=5 {
        append(&mut connection, version).await;
    }

    assert_eq!(waiting(&mut connection, 3).await, [1, 2, 3]);
    assert_eq!(waiting(&mut connection, 3).await, [1, 2, 3]);
    let published: Vec<_> =
        advance(&mut connection, &[], &[], 2, "/member").await.unwrap().iter().map(|row| row.id).collect();
    delete(&mut connection, &published).await.unwrap();
    assert_eq!(waiting(&mut connection, 10).await, [3, 4, 5]);
}

#[tokio::test]
async fn what_is_in_flight_is_not_read_again_and_what_is_confirmed_is_gone() {
    let mut connection = pool().await.acquire().await.unwrap();
    for version in 1..=5 {
        append(&mut connection, version).await;
    }
    let rows = advance(&mut connection, &[], &[], 3, "/member").await.unwrap();
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();

    let next = advance(&mut connection, &ids[..1], &ids[1..], 1, "/member").await.unwrap();

    assert_eq!(next.iter().map(|row| row.envelope.sequence).collect::<Vec<_>>(), [4]);
    assert_eq!(waiting(&mut connection, 10).await, [2, 3, 4, 5], "what is not confirmed comes again");
}

#[tokio::test]
async fn a_row_that_is_committed_after_later_ones_were_published_is_not_skipped() {
    let pool = pool().await;
    let mut connection = pool.acquire().await.unwrap();
    let mut late = pool.begin().await.unwrap();
    append(&mut late, 1).await;
    append(&mut connection, 2).await;
    let published: Vec<_> =
        advance(&mut connection, &[], &[], 10, "/member").await.unwrap().iter().map(|row| row.id).collect();
    assert_eq!(published.len(), 1);
    delete(&mut connection, &published).await.unwrap();

    late.commit().await.unwrap();

    assert_eq!(waiting(&mut connection, 10).await, [1]);
}

#[tokio::test]
async fn the_depth_is_how_many_events_wait_and_for_how_long_the_oldest_has() {
    let pool = pool().await;
    assert_eq!(depth::depth(&pool, 10).await.unwrap(), (0, 0.0));
    for version in 1..=3 {
        append(&mut pool.acquire().await.unwrap(), version).await;
    }

    let (count, age) = depth::depth(&pool, 10).await.unwrap();
    assert_eq!(count, 3);
    assert!((0.0..60.0).contains(&age), "{age}");
    assert!(depth::depth(&pool, 10).await.unwrap().1 > age, "it grows");
    assert_eq!(depth::depth(&pool, 2).await.unwrap().0, 2);
}
