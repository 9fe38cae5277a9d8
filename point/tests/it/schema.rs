//! The schema, and what becomes of data from before a migration.

use chassis::db::{self, Migrations};
use chassis::testing::TestDatabase;
use chrono::{DateTime, Utc};
use point::store::books;
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Service, TERMS};

/// What is migrated by the service's own migrations up to this one.
fn up_to(version: i64) -> Vec<Migrations> {
    let mut sets = point::app::migrators();
    let own = sets.iter_mut().find(|set| set.table == "_sqlx_migrations").expect("the service's own");
    let migrations = own.migrator.iter().filter(|migration| migration.version <= version);
    own.migrator = Box::leak(Box::new(Migrator::with_migrations(migrations.cloned().collect())));
    sets
}

async fn migrate(database: &TestDatabase, sets: &[Migrations]) {
    db::migrate(&database.owner_url(), "point", sets).await.expect("the migrations apply");
}

/// Accounts as the first version kept them: of members 1 and 2 with points, of 3 without, and a closed one of 4.
const ACCOUNTS: &str = "
    INSERT INTO holder (member_id) VALUES (1), (2), (3), (4);
    INSERT INTO account (membership_id, member_id, member_status, member_version, balance, version, signup_granted,
                         opened_at, closed_at, forfeited)
    SELECT lpad(member_id::text, 32, '0')::uuid, member_id, 'NORMAL', 2, balance, 1, true, now(), closed_at, forfeited
    FROM (VALUES (1, 1400, NULL, NULL), (2, 1, NULL, NULL), (3, 0, NULL, NULL), (4, 0, now(), 1000))
        AS account (member_id, balance, closed_at, forfeited);
    INSERT INTO ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
    SELECT lpad(member_id::text, 32, '0')::uuid, type, amount, balance_after, 'client', now()
    FROM (VALUES (1, 'SIGNUP', 1000, 1000), (1, 'EARN', 500, 1500), (1, 'USE', -100, 1400),
                 (2, 'SIGNUP', 1000, 1000), (2, 'USE', -999, 1),
                 (3, 'SIGNUP', 1000, 1000), (3, 'USE', -1000, 0),
                 (4, 'SIGNUP', 1000, 1000), (4, 'FORFEIT', -1000, 0))
        AS entry (member_id, type, amount, balance_after)";

async fn assert_books_agree(service: &Service) {
    let books = books::page(&service.pool, (0, Uuid::nil()), 100).await.expect("the books");
    assert_eq!(books.len(), 4);
    for account in books {
        assert_eq!((account.balance, account.balance), (account.entries, account.lots), "{account:?}");
    }
}

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
async fn a_balance_from_before_there_were_lots_becomes_one_lot() {
    let database = TestDatabase::migrated(&point::SERVICE, &up_to(1)).await;
    database.as_owner(ACCOUNTS).await;
    let mut owner = PgConnection::connect(&database.owner_url()).await.expect("a connection");
    let before: DateTime<Utc> =
        sqlx::query_scalar("SELECT now()").fetch_one(&mut owner).await.expect("the time");

    migrate(&database, &point::app::migrators()).await;

    let made = "SELECT member_id, amount, earned_at, expires_at
                FROM lot JOIN account USING (membership_id)
                WHERE entry_id IS NULL AND remaining = amount ORDER BY member_id";
    let lots: Vec<(i64, i64, DateTime<Utc>, DateTime<Utc>)> =
        sqlx::query_as(made).fetch_all(&mut owner).await.expect("the lots");
    let of_members: Vec<(i64, i64)> = lots.iter().map(|lot| (lot.0, lot.1)).collect();
    assert_eq!(of_members, [(1, 1_400), (2, 1)]);
    for (.., earned_at, expires_at) in lots {
        assert!(earned_at >= before);
        assert_eq!(expires_at, TERMS.validity.of_earning(earned_at));
    }
    assert_books_agree(&Service::on_database(&database)).await;
}

#[tokio::test]
async fn points_from_before_there_were_lots_are_used_and_cancelled_as_all_others() {
    let database = TestDatabase::migrated(&point::SERVICE, &up_to(1)).await;
    database.as_owner(ACCOUNTS).await;
    migrate(&database, &point::app::migrators()).await;
    let service = Service::on_database(&database);
    let id = async |entry_type: &str| -> i64 {
        let query = "SELECT entry_id FROM ledger_entry JOIN account USING (membership_id)
                     WHERE member_id = 1 AND type = $1 AND amount IN (500, -100)";
        sqlx::query_scalar(query).bind(entry_type).fetch_one(&service.pool).await.expect("the entry")
    };

    assert_eq!(service.change(1, -300).await.number("remainPoint"), 1_100);
    assert_eq!(service.cancel(1, id("EARN").await, None).await.number("remainPoint"), 600);
    // No lot is known that paid it: it comes back for 30 days.
    assert_eq!(service.cancel(1, id("USE").await, None).await.number("remainPoint"), 700);
    let left: Vec<i64> = service.lots(1).await.into_iter().map(|(points, _)| points).collect();
    assert_eq!(left, [100, 600]);
    assert_eq!(service.change(1, -700).await.number("remainPoint"), 0);
    assert_books_agree(&service).await;
}

#[tokio::test]
async fn while_the_first_version_serves_beside_the_next_what_it_books_makes_and_burns_lots() {
    let database = TestDatabase::migrated(&point::SERVICE, &up_to(1)).await;
    database.as_owner(ACCOUNTS).await;
    migrate(&database, &up_to(4)).await;
    let service = Service::on_database(&database);
    for (amount, after) in [(50_i64, 1_450_i64), (-1_410, 40)] {
        let mut tx = service.pool.begin().await.expect("a transaction");
        sqlx::query("UPDATE account SET balance = $1 WHERE member_id = 1")
            .bind(after)
            .execute(&mut *tx)
            .await
            .expect("the balance");
        sqlx::query(
            "INSERT INTO ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
             SELECT membership_id, CASE WHEN $1 > 0 THEN 'EARN' ELSE 'USE' END, $1, $2, 'client', now()
             FROM account WHERE member_id = 1",
        )
        .bind(amount)
        .bind(after)
        .execute(&mut *tx)
        .await
        .expect("the entry");
        tx.commit().await.expect("the commit");
        assert_books_agree(&service).await;
    }
    let left: Vec<i64> = service.lots(1).await.into_iter().map(|(points, _)| points).collect();
    assert_eq!(left, [40], "the older lot was burnt first");

    migrate(&database, &point::app::migrators()).await;
    assert_eq!(service.change(1, -40).await.number("remainPoint"), 0);
    assert_books_agree(&service).await;
}
