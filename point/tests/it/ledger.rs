//! The ledger adds up, whatever happens in whatever order.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared_events::event::MemberStatus::{Normal, Ready};

use crate::support::{Membership, Service};

/// Set to repeat a run that failed.
const SEED: &str = "POINT_TEST_SEED";
const STEPS: usize = 300;

/// What one member's account should be.
#[derive(Clone, Copy, Debug)]
struct Model {
    membership: Membership,
    member_version: i64,
    balance: Option<i64>,
}

fn seed() -> u64 {
    let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        now.as_secs() ^ u64::from(now.subsec_nanos()) << 32
    });
    println!("{SEED}={seed}");
    seed
}

/// Earns, uses, withdraws and joins anew at random; every answer has to be that of the model.
#[tokio::test]
async fn the_ledger_is_the_sum_of_a_random_history() {
    let mut rng = StdRng::seed_from_u64(seed());
    let service = Service::start().await;
    let mut models: Vec<Model> = (1..=3)
        .map(|member_id| Model { membership: Membership::of(member_id), member_version: 0, balance: None })
        .collect();

    for step in 0..STEPS {
        let index = rng.random_range(0..models.len());
        let model = &mut models[index];
        let member_id = model.membership.member_id;
        match (rng.random_range(0..20), model.balance) {
            (0 | 1, Some(balance)) => {
                let answer = service.forfeit(model.membership).await;
                assert_eq!(answer.number("forfeitedPoint"), balance, "step {step}: {model:?}");
                *model = Model { membership: Membership::of(member_id), balance: None, ..*model };
            }
            (0..10, None) => {
                let version = model.member_version + 1;
                service.deliver(model.membership.is(Ready, version)).await;
                service.deliver(model.membership.is(Normal, version + 1)).await;
                *model = Model { member_version: version + 1, balance: Some(1000), ..*model };
            }
            (_, balance) => {
                let require_point = match rng.random_range(-1500..1500) {
                    0 => 1,
                    other => other,
                };
                let answer = service.change(member_id, require_point).await;
                let expected = match balance {
                    None => (404, None),
                    Some(balance) if balance + require_point < 0 => (422, Some(balance)),
                    Some(balance) => {
                        model.balance = Some(balance + require_point);
                        (200, model.balance)
                    }
                };
                let remaining = answer.body["remainPoint"].as_i64();
                assert_eq!(
                    (answer.status.as_u16(), remaining),
                    expected,
                    "step {step}: {require_point} {model:?}"
                );
            }
        }
    }

    for model in models {
        let answer = service.get(&format!("/points/{}", model.membership.member_id)).await;
        assert_eq!(answer.body["remainPoint"].as_i64(), model.balance, "{model:?}");
    }
    service.assert_books_are_right().await;
}
