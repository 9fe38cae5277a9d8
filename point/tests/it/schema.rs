use chassis::db;
use chassis::testing::TestDatabase;

use crate::support::{Membership, Service};

#[tokio::test]
async fn the_service_migrates_an_empty_database_and_finds_nothing_to_do_the_next_time() {
    let owner = TestDatabase::empty(&point::SERVICE).await.owner_url();
    let migrators = point::app::migrators();

    let behind = db::check(&owner, "point", &migrators).await;
    assert!(matches!(behind, Err(db::MigrationError::Behind { .. })), "{behind:?}");
    for _ in 0..2 {
        db::migrate(&owner, "point", &migrators).await.expect("the migrations apply");
    }
    db::check(&owner, "point", &migrators).await.expect("nothing is missing");
}

#[tokio::test]
async fn what_the_version_before_books_makes_and_burns_lots_too() {
    let service = Service::with_normal_member(Membership::of(1)).await;
    for amount in [500, -1_200, 40, -340] {
        let booked = "WITH changed AS (UPDATE account SET balance = balance + $1 RETURNING membership_id, balance)
             INSERT INTO ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
             SELECT membership_id, CASE WHEN $1 > 0 THEN 'EARN' ELSE 'USE' END, $1, balance, 'former', now() FROM changed";
        sqlx::query(booked).bind(amount).execute(&service.pool).await.expect("it is booked");
    }
    let books: (i64, i64) =
        sqlx::query_as("SELECT balance, (SELECT sum(remaining)::bigint FROM lot) FROM account")
            .fetch_one(&service.pool)
            .await
            .expect("the books");
    assert_eq!(books, (0, 0));
    assert_eq!(service.change(1, 7).await.number("remainPoint"), 7);
}
