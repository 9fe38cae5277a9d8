use chassis::db;
use local_stack::database::Role;

use crate::support::{database_name, postgres};

#[tokio::test]
async fn the_service_migrates_an_empty_database_and_finds_nothing_to_do_the_next_time() {
    let database = postgres().await.create_database(&database_name()).await.expect("a database");
    let owner = database.url("point", Role::Owner);
    let migrators = point::app::migrators();

    let behind = db::check(&owner, "point", &migrators).await;
    assert!(matches!(behind, Err(db::MigrationError::Behind { .. })), "{behind:?}");
    for _ in 0..2 {
        db::migrate(&owner, "point", &migrators).await.expect("the migrations apply");
    }
    db::check(&owner, "point", &migrators).await.expect("nothing is missing");
}
