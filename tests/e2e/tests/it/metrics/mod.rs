//! What the services tell Prometheus: what dashboards and alerts ask for, and what has happened, no more and no less.

mod promql;
mod queries;
mod scrape;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::{SERVICES, World, block_on, eventually};
use reqwest::Method;
use serde_json::json;
use sqlx::PgConnection;

use self::queries::Query;
use self::scrape::{Metrics, value};

/// Labels that Prometheus adds to what it scrapes.
const TARGET_LABELS: [&str; 3] = ["job", "service", "instance"];
/// Metrics that Prometheus makes itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

#[test]
fn every_metric_of_a_dashboard_or_an_alert_is_told_by_a_service() {
    block_on(async {
        let world = World::start().await;
        world.client.join_and_be_granted(1).await;
        assert_eq!(world.client.change_points(1, 500).await.status, 200);
        assert_eq!(world.client.withdraw(1).await.status, 204);
        world.quiet().await;
        let metrics = eventually("the depths are looked at", || async {
            let metrics = Metrics::of(&world).await;
            let missing = ["outbox_events", "parked_events", "messages_queued"]
                .into_iter()
                .find(|name| !metrics.metrics.contains_key(*name));
            missing.map_or(Ok(metrics), Err)
        })
        .await;

        let (queries, recorded) = queries::all();
        let wrong: Vec<String> =
            queries.iter().flat_map(|query| faults(query, &metrics, &recorded)).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        is_documented(&metrics);
        for service in SERVICES {
            passes_promtool(&scrape::text(&world, service).await);
        }
        world.stop().await;
    });
}

/// What of a query no service can answer.
fn faults(query: &Query, metrics: &Metrics, recorded: &BTreeSet<String>) -> Vec<String> {
    let place = &query.place;
    let wanted = match promql::wanted(&query.expression) {
        Ok(wanted) => wanted,
        Err(error) => return vec![format!("{place}: {error}: {}", query.expression)],
    };
    let mut faults = Vec::new();
    for mut wanted in wanted {
        let name = &wanted.name;
        if OF_PROMETHEUS.contains(&name.as_str()) || recorded.contains(name) {
            continue;
        }
        let Some(labels) = metrics.series.get(name) else {
            faults.push(format!("{place}: no service tells {name}"));
            continue;
        };
        wanted.labels.extend(query.shown.iter().cloned());
        let is_added = |label: &str| TARGET_LABELS.contains(&label);
        let unknown = wanted.labels.iter().filter(|label| !is_added(label) && !labels.contains_key(*label));
        faults.extend(unknown.map(|label| format!("{place}: {name} has no label {label}")));
        let values = wanted.values.iter().filter(|(label, _)| !is_added(label));
        let absent =
            values.filter(|(label, value)| labels.get(label).is_some_and(|all| !all.contains(value)));
        faults.extend(absent.map(|(label, value)| format!("{place}: no {name} has {label}=\"{value}\"")));
    }
    faults
}

/// `docs/metrics.md` lists what the services tell; `UPDATE_METRICS=1` writes it anew.
fn is_documented(metrics: &Metrics) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let mut text = String::from(
        "# Metrics\n\n\
         What each service tells Prometheus at `/metrics` of its internal listener. Prometheus adds the labels `job`, `service`\n\
         and `instance`. This page is made by `UPDATE_METRICS=1 cargo test -p e2e --test it metrics`, and compared with what the\n\
         services tell in every run of the tests.\n\n\
         | metric | type | labels | services | |\n|---|---|---|---|---|\n",
    );
    for (name, told) in &metrics.metrics {
        let labels: Vec<String> = told.labels.keys().map(|label| format!("`{label}`")).collect();
        let services: Vec<&str> = SERVICES.into_iter().filter(|it| told.services.contains(it)).collect();
        let services = if services.len() == SERVICES.len() { "all".to_owned() } else { services.join(", ") };
        let (kind, labels) = (&told.kind, labels.join(", "));
        writeln!(text, "| `{name}` | {kind} | {labels} | {services} | {} |", told.help)
            .expect("a String takes it");
    }
    if std::env::var_os("UPDATE_METRICS").is_some() {
        fs::write(&file, &text).expect("the page is written");
    }
    let written = fs::read_to_string(&file).expect("docs/metrics.md");
    assert!(
        written == text,
        "docs/metrics.md is not what the services tell; UPDATE_METRICS=1 writes it anew:\n{text}"
    );
}

/// Prometheus' own checks of names and descriptions, where it is installed.
fn passes_promtool(text: &str) {
    let check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut check = match check {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("promtool is not installed: what it says of the metrics is not known");
            return;
        }
        started => started.expect("promtool starts"),
    };
    check.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("promtool reads");
    let output = check.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn counters_count_what_was_committed_and_nothing_else() {
    block_on(async {
        let world = World::start().await;
        let client = &world.client;
        client.join_and_be_granted(1).await;
        assert_eq!(client.join(2, "0108558", "SEQ2").await.status, 201);
        client.until("/members/2", 200, json!({ "memberStatus": "ABNORMAL" })).await;
        assert_eq!(client.join(1, "01000000009", "Taken").await.status, 409);

        let transaction = |query, reference| async move {
            let body = json!({ "type": "EARN", "amount": 500, "reference": reference });
            let path = format!("/points/1/transactions{query}");
            client.call(Method::POST, &path, Some(&body)).await.expect("an answer").status
        };
        assert_eq!(transaction("?dryRun=true", "R-1").await, 200);
        assert_eq!(transaction("", "R-1").await, 201);
        assert_eq!(transaction("", "R-1").await, 409);
        assert_eq!(client.change_points(1, -700).await.status, 200);
        assert_eq!(client.change_points(1, -1_000).await.status, 422);
        assert_eq!(client.withdraw(1).await.status, 204);
        assert_eq!(client.withdraw(1).await.status, 404);
        world.quiet().await;

        for (service, series, count) in [
            ("member", r#"member_transitions_total{to="READY"}"#, 2.0),
            ("member", r#"member_transitions_total{to="NORMAL"}"#, 1.0),
            ("member", r#"member_transitions_total{to="ABNORMAL"}"#, 1.0),
            ("member", r#"member_transitions_total{to="WITHDRAWN"}"#, 1.0),
            ("message", r#"messages_finished_total{kind="WELCOME",status="SENT"}"#, 1.0),
            ("message", r#"messages_finished_total{kind="WELCOME",status="FAILED"}"#, 1.0),
            ("message", r#"messages_finished_total{kind="WELCOME",status="CANCELLED"}"#, 0.0),
            ("point", r#"points_booked_total{type="SIGNUP",direction="credit"}"#, 1_000.0),
            ("point", r#"points_booked_total{type="EARN",direction="credit"}"#, 500.0),
            ("point", r#"points_booked_total{type="USE",direction="debit"}"#, 700.0),
            ("point", r#"points_booked_total{type="FORFEIT",direction="debit"}"#, 800.0),
            ("point", r#"points_booked_total{type="EXPIRE",direction="debit"}"#, 0.0),
            ("point", r#"point_transactions_total{type="EARN",direction="credit"}"#, 1.0),
        ] {
            assert_eq!(value(&world, service, series).await, count, "{series}");
        }
        world.stop().await;
    });
}

#[test]
fn events_that_cannot_be_handled_for_now_show_as_lag() {
    block_on(async {
        let world = World::start().await;
        let lag = r#"consumer_lag_records{topic="member"}"#;
        let mut locked = world.pool.begin().await.expect("a transaction");
        sqlx::query("LOCK TABLE mypage.page").execute(&mut *locked).await.expect("the lock");
        assert_eq!(world.client.join_with_own_number(1).await.status, 201);
        eventually("my page is behind", || async {
            let held = value(&world, "mypage", "consumer_partitions_held").await;
            let behind = value(&world, "mypage", lag).await;
            if held > 0.0 && behind > 0.0 { Ok(()) } else { Err(format!("held {held}, behind {behind}")) }
        })
        .await;

        locked.rollback().await.expect("the lock is let go");
        eventually("my page has caught up", || async {
            let held = value(&world, "mypage", "consumer_partitions_held").await;
            let behind = value(&world, "mypage", lag).await;
            if held + behind == 0.0 { Ok(()) } else { Err(format!("held {held}, behind {behind}")) }
        })
        .await;
        world.stop().await;
    });
}

#[test]
fn the_outbox_shows_how_much_waits_also_while_nobody_relays() {
    block_on(async {
        let world = World::start().await;
        let active = || value(&world, "member", "outbox_relay_active");
        eventually("it relays", || async { if active().await == 1.0 { Ok(()) } else { Err("not yet") } })
            .await;
        let mut connection = world.pool.acquire().await.expect("a connection");
        take_the_relays_lock(&world, &mut connection).await;
        assert_eq!(world.client.join_with_own_number(1).await.status, 201);
        eventually("an event waits", || async {
            let waiting = value(&world, "member", "outbox_events").await;
            let age = value(&world, "member", "outbox_event_oldest_age_seconds").await;
            let active = active().await;
            let is_so = waiting == 1.0 && age > 0.0 && active == 0.0;
            if is_so { Ok(()) } else { Err(format!("{waiting} wait, for {age} s; {active} relay")) }
        })
        .await;

        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut *connection).await.expect("it is let go");
        eventually("it is published", || async {
            let waiting = value(&world, "member", "outbox_events").await;
            let active = active().await;
            if waiting == 0.0 && active == 1.0 {
                Ok(())
            } else {
                Err(format!("{waiting} wait, {active} relay"))
            }
        })
        .await;
        world.stop().await;
    });
}

/// Waits for the lock of member's relay behind its owner, and ends that one's session.
async fn take_the_relays_lock(world: &World, connection: &mut PgConnection) {
    let lock = "SELECT pg_advisory_lock(hashtextextended('outbox-relay:member', 0))";
    let locked = sqlx::query(lock).execute(connection);
    let cut = async {
        eventually("the lock is waited for", || async {
            let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&world.pool).await.expect("an answer");
            if waits { Ok(()) } else { Err("not yet") }
        })
        .await;
        world.cut_the_relays().await;
    };
    let (locked, ()) = tokio::join!(locked, cut);
    locked.expect("the lock");
}
