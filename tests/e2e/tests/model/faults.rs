//! What goes wrong, and for how long: drawn from the seed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use e2e::{Mischief, PointProxy, SERVICES, World};
use local_stack::kafka::Kafka;
use local_stack::postgres::Postgres;
use local_stack::process::Signal;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

const SHORTEST: Duration = Duration::from_millis(200);

/// A fault, as the seed has it.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// SIGKILL, and started again.
    Kill(&'static str),
    /// Stopped for a while with its locks and partitions, and let go on.
    Freeze(&'static str),
    /// A second process comes and goes.
    Replica(&'static str),
    /// The broker is killed.
    Broker,
    /// Postgres is shut down.
    Postgres,
    /// Something between member and point.
    Point(Mischief),
    /// The relays lose their locks.
    Relays,
    /// All records once more, as they are or under ids that nobody knows.
    Again { under_new_ids: bool },
}

/// One fault of a plan.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How long all goes well before it.
    pub pause: Duration,
    pub fault: Fault,
    /// How long it lasts, where it lasts.
    pub duration: Duration,
}

/// The faults of a seed, one after the other: as many as fill `length`, none of them longer than `longest`. None comes
/// again before all the others have come, so that a short run has them all.
pub fn plan(seed: u64, length: Duration, longest: Duration) -> Vec<Step> {
    let mut random = StdRng::seed_from_u64(seed);
    let (mut plan, mut filled, mut left) = (Vec::new(), Duration::ZERO, Vec::new());
    while filled < length {
        if left.is_empty() {
            left = all(&mut random);
            left.shuffle(&mut random);
        }
        plan.extend(left.pop().map(|fault| {
            let pause = random.random_range(SHORTEST..=Duration::from_secs(1));
            Step { pause, fault, duration: random.random_range(SHORTEST..=longest) }
        }));
        filled = plan.iter().map(|step| step.pause + step.duration).sum();
    }
    plan
}

fn all(random: &mut StdRng) -> Vec<Fault> {
    let mut any = || SERVICES[random.random_range(0..SERVICES.len())];
    let mut faults = vec![Fault::Freeze(any()), Fault::Replica(any()), Fault::Broker, Fault::Postgres];
    faults.extend(SERVICES.map(Fault::Kill));
    let delay = Mischief::Delay(Duration::from_millis(random.random_range(100..900)));
    let mischief = [delay, Mischief::Reset, Mischief::Swallow, Mischief::Garble, Mischief::BlackHole];
    faults.extend(mischief.map(Fault::Point));
    faults.extend([false, true].map(|under_new_ids| Fault::Again { under_new_ids }));
    faults.push(Fault::Relays);
    faults
}

/// Everything that can be made to fail.
pub struct Victims<'w> {
    pub world: &'w World,
    pub kafka: &'w Kafka,
    pub postgres: Arc<Postgres>,
    pub proxy: &'w PointProxy,
}

impl Victims<'_> {
    /// Lets a fault happen after its pause, and mends it.
    pub async fn suffer(&self, Step { pause, fault, duration }: Step) {
        tokio::time::sleep(pause).await;
        match fault {
            Fault::Kill(service) => {
                self.world.service(service).kill().await;
                tokio::time::sleep(duration).await;
                self.world.service(service).start_again().await.expect("it starts again");
            }
            Fault::Freeze(service) => {
                self.world.service(service).signal(Signal::SIGSTOP);
                tokio::time::sleep(duration).await;
                self.world.service(service).signal(Signal::SIGCONT);
            }
            Fault::Replica(service) => {
                let replica = self.world.start_replica(service).await;
                tokio::time::sleep(duration).await;
                let exit = replica.terminate(Duration::from_secs(60)).await;
                assert!(
                    exit.is_some_and(|exit| exit.success()),
                    "a replica of {service} ended with {exit:?}"
                );
            }
            Fault::Broker => {
                self.kafka.kill().await;
                tokio::time::sleep(duration).await;
                self.kafka.restart().await.expect("Kafka starts again");
            }
            Fault::Postgres => {
                self.postgres.stop().await;
                tokio::time::sleep(duration).await;
                self.postgres.restart().await.expect("Postgres starts again");
            }
            Fault::Point(mischief) => {
                self.proxy.set(mischief);
                tokio::time::sleep(duration).await;
                self.proxy.set(Mischief::None);
            }
            Fault::Relays => self.world.cut_the_relays().await,
            Fault::Again { under_new_ids } => self.say_again(under_new_ids).await,
        }
    }

    async fn say_again(&self, under_new_ids: bool) {
        for topic in ["member", "message", "point"] {
            let mut records = self.world.topics.read(topic).await;
            // What was said again before is not said again, or the log would double each time.
            let mut said = HashSet::new();
            records
                .retain(|it| said.insert((it.key.clone(), it.header("ce_type"), it.header("ce_sequence"))));
            if under_new_ids {
                let renamed = records.iter().map(|it| it.with_new_id(&Uuid::now_v7().to_string()));
                records = renamed.collect();
            }
            self.world.topics.write(&records).await;
        }
    }
}
