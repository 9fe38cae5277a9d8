use chassis::db;
use chassis::testing::TestDatabase;

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
