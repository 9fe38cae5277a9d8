//! Replicas are added under load: more is done, and their partitions are shared out again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{Client, Replicas, SERVICES, block_on, eventually};
use futures::future::join_all;
use tokio::task::JoinSet;

const MEMBERS: i64 = 12;
const WINDOW: Duration = Duration::from_secs(6);
/// Lets one point be busy with few commands at a time, however many cores the machine has.
const SLOW_WRITE: &str = "
CREATE FUNCTION point.take_time() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
CREATE TRIGGER take_time AFTER INSERT ON point.ledger_entry FOR EACH ROW EXECUTE FUNCTION point.take_time()";

#[test]
fn a_second_replica_raises_the_throughput_and_shares_the_partitions() {
    block_on(async {
        let mut replicas = Replicas::start(&[("point", "DB_MAX_CONNECTIONS", "3")]).await;
        let client = replicas.proxy.client();
        join_all((1..=MEMBERS).map(|member_id| client.join_and_be_granted(member_id))).await;
        sqlx::raw_sql(SLOW_WRITE).execute(&replicas.world.pool).await.expect("writes take time");
        let load = Earning::start(&client);

        let with_one = load.rate().await;
        replicas.scale_out().await;
        until_shared_out(&replicas).await;
        let with_two = load.rate().await;

        println!("{with_one:.0} earnings a second with one point, {with_two:.0} with two");
        assert!(with_two > 1.4 * with_one, "{with_one:.0} a second, then {with_two:.0}");
        let earned = load.stop().await;
        replicas.world.quiet().await;
        for (member_id, times) in (1..).zip(earned) {
            let points = client.get(&format!("/points/{member_id}")).await;
            assert_eq!(points.body["remainPoint"], 1_000 + times, "{points:?}");
        }
        for (server, process) in replicas.all() {
            assert!(!process.log().contains(r#""level":"ERROR""#), "{server}: {}", process.log());
        }
        replicas.stop().await;
    });
}

/// Until both replicas of each service have partitions, and together all of them.
async fn until_shared_out(replicas: &Replicas) {
    for service in SERVICES {
        eventually(&format!("the partitions of {service} are shared out"), || async {
            let mut assigned = Vec::new();
            for (_, process) in replicas.all().filter(|(_, process)| process.name() == service) {
                assigned.push(process.partitions_assigned().await.map_err(|error| error.to_string())?);
            }
            let topics = if service == "point" { 1 } else { 2 };
            let is_shared = assigned.iter().all(|it| *it > 0) && assigned.iter().sum::<u64>() == topics * 12;
            if is_shared { Ok(()) } else { Err(format!("{assigned:?}")) }
        })
        .await;
    }
}

/// Members who earn one point after the other.
struct Earning {
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    members: JoinSet<(i64, i64)>,
}

impl Earning {
    fn start(client: &Client) -> Self {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut members = JoinSet::new();
        for member_id in 1..=MEMBERS {
            let (client, is_over, done) = (client.clone(), Arc::clone(&is_over), Arc::clone(&done));
            members.spawn(async move {
                let mut times = 0;
                while !is_over.load(Ordering::SeqCst) {
                    let answer = client.change_points(member_id, 1).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    times += 1;
                    done.fetch_add(1, Ordering::SeqCst);
                }
                (member_id, times)
            });
        }
        Self { is_over, done, members }
    }

    /// How many earnings a second there are now.
    async fn rate(&self) -> f64 {
        let (start, before) = (Instant::now(), self.done.load(Ordering::SeqCst));
        tokio::time::sleep(WINDOW).await;
        (self.done.load(Ordering::SeqCst) - before) as f64 / start.elapsed().as_secs_f64()
    }

    /// How many each member has earned, in the order of the members.
    async fn stop(self) -> Vec<i64> {
        self.is_over.store(true, Ordering::SeqCst);
        let mut earned = self.members.join_all().await;
        earned.sort_unstable();
        earned.into_iter().map(|(_, times)| times).collect()
    }
}
