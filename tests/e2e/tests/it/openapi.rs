//! The services answer as their OpenAPI documents say, whatever they are asked.

use e2e::{SERVICES, World, block_on, schemathesis};
use local_stack::project;
use reqwest::Method;
use serde_json::json;

/// Set to ask otherwise than every time.
const SEED: &str = "SCHEMATHESIS_SEED";

#[test]
fn every_answer_is_one_of_the_document() {
    block_on(async {
        let seed = std::env::var(SEED).map_or(1, |seed| seed.parse().expect("a number"));
        let world = World::start().await;
        for member_id in [1, 2] {
            world.client.join_and_be_granted(member_id).await;
            let usage = json!({ "type": "USE", "amount": 10, "reference": "R-1" });
            let path = format!("/points/{member_id}/transactions");
            let used = world.client.call(Method::POST, &path, Some(&usage)).await.expect("an answer");
            assert_eq!(used.status, 201, "{used:?}");
        }
        world.quiet().await;
        for service in SERVICES {
            let output = schemathesis(world.service(service).url(), seed).await;
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{service}, {SEED}={seed}: {said}");
        }
        world.stop().await;
    });
}

#[test]
fn every_service_serves_the_committed_document_and_a_page_that_needs_nothing_from_elsewhere() {
    block_on(async {
        let world = World::start().await;
        for service in SERVICES {
            let url = world.service(service).url();
            let served = reqwest::get(format!("{url}/openapi.json")).await.expect("an answer");
            let committed = project::root().join(format!("docs/openapi/{service}.json"));
            let committed = std::fs::read_to_string(committed).expect("the committed document");
            assert!(served.text().await.expect("a document") == committed, "{service} serves another");

            let page = reqwest::get(format!("{url}/docs")).await.expect("an answer");
            assert_eq!(page.status(), 200);
            let page = page.text().await.expect("a page");
            assert!(page.contains("swagger-ui") && !page.contains("://"), "{page}");
        }
        world.stop().await;
    });
}
