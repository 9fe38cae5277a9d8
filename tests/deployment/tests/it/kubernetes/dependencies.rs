//! Postgres and Kafka: what the manifests make there is what the services rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::ConfigMap;
use local_stack::database::{BOOTSTRAP, SERVICES};
use local_stack::postgres::{Postgres, PostgresOptions};
use local_stack::project;
use serde_json::Value;
use shared_events::Topic;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::custom_resources::{Cluster, Kafka, KafkaTopic, KafkaUser};
use super::manifests::{Manifests, container, name_of};

#[path = "../../../../../shared-events/tests/asyncapi/services.rs"]
mod services;

/// What a replica opens besides its pool: the relay, the readiness probe and, at first, the migrations.
const CONNECTIONS_BESIDES_THE_POOL: i32 = 3;
/// For superusers, the operator, the exporter of metrics and a person who looks.
const CONNECTIONS_OF_OTHERS: i32 = 10;

#[test]
fn postgres_has_connections_for_the_most_replicas_during_a_rollout() {
    for manifests in Manifests::all() {
        let needed: i32 = manifests
            .deployments()
            .iter()
            .map(|deployment| {
                let scaler = manifests
                    .find::<HorizontalPodAutoscaler>(name_of(deployment))
                    .and_then(|scaler| scaler.spec);
                let replicas = scaler.expect("an autoscaler").max_replicas + 1;
                let pool: i32 =
                    manifests.environment(deployment)["DB_MAX_CONNECTIONS"].parse().expect("a number");
                replicas * (pool + CONNECTIONS_BESIDES_THE_POOL)
            })
            .sum();
        let most = max_connections(manifests);
        assert!(needed + CONNECTIONS_OF_OTHERS <= most, "{}: {needed} of {most}", manifests.overlay);
    }
}

fn max_connections(manifests: &Manifests) -> i32 {
    let setting = match manifests.find::<Cluster>("postgres") {
        Some(cluster) => cluster.spec.postgresql.parameters["max_connections"].clone(),
        None => {
            let arguments = container(&manifests.pods()["postgres"]).args.clone().expect("arguments");
            arguments
                .iter()
                .find_map(|argument| argument.strip_prefix("max_connections="))
                .expect("the setting")
                .to_owned()
        }
    };
    setting.parse().expect("a number")
}

#[test]
fn the_topics_are_as_the_services_would_create_them() {
    let manifests = Manifests::of_overlay("production");
    let environment = manifests.environment(manifests.deployment("member"));
    let setting = |name: &str| environment[name].parse::<i32>().expect("a number");
    let topics = manifests.all_of::<KafkaTopic>();
    assert_eq!(topics.len(), Topic::ALL.len());
    for topic in Topic::ALL {
        let found =
            manifests.find::<KafkaTopic>(&topic.name("mileage")).unwrap_or_else(|| panic!("no {topic}")).spec;
        assert_eq!(
            (found.partitions, found.replicas),
            (setting("TOPIC_PARTITIONS"), setting("TOPIC_REPLICATION"))
        );
        let mut expected: BTreeMap<&str, &str> = topic.config().iter().copied().collect();
        expected.insert("min.insync.replicas", "2");
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let config: BTreeMap<&str, String> =
            found.config.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
        assert_eq!(
            config,
            expected.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
            "{topic}"
        );
    }
}

/// The topic of each event type, from the AsyncAPI document.
fn topics_of_events() -> BTreeMap<String, String> {
    let document =
        fs::read_to_string(project::root().join("shared-events/asyncapi.yaml")).expect("the document");
    let document: Value = serde_saphyr::from_str(&document).expect("YAML");
    let channels = document["channels"].as_object().expect("channels");
    let events = channels.iter().flat_map(|(topic, channel)| {
        let messages = channel["messages"].as_object().expect("messages");
        messages.keys().map(move |event| (event.clone(), topic.clone()))
    });
    events.collect()
}

#[test]
fn each_kafka_user_may_do_what_its_service_does_and_no_more() {
    let manifests = Manifests::of_overlay("production");
    let topics = topics_of_events();
    for (service, reactions) in services::REACTIONS {
        let user = manifests.find::<KafkaUser>(&format!("{service}-kafka")).expect("the user").spec;
        assert_eq!((user.authentication.kind.as_str(), user.authorization.kind.as_str()), ("tls", "simple"));
        let granted: BTreeSet<(String, String, String, String)> = user
            .authorization
            .acls
            .into_iter()
            .flat_map(|acl| {
                let resource = acl.resource;
                acl.operations.into_iter().map(move |operation| {
                    (operation, resource.kind.clone(), resource.pattern_type.clone(), resource.name.clone())
                })
            })
            .collect();
        let grant = |operation: &str, kind: &str, pattern: &str, name: &str| {
            (operation.to_owned(), kind.to_owned(), pattern.to_owned(), name.to_owned())
        };
        let mut expected = BTreeSet::from([
            grant("Describe", "topic", "prefix", "mileage."),
            grant("Create", "topic", "prefix", "mileage."),
            grant("Read", "group", "literal", &format!("mileage.{service}")),
        ]);
        expected.extend(reactions.iter().map(|event| grant("Read", "topic", "literal", &topics[*event])));
        let own = format!("mileage.{service}");
        if topics.values().any(|topic| *topic == own) {
            expected.insert(grant("Write", "topic", "literal", &own));
        }
        assert_eq!(granted, expected, "{service}");
    }
}

#[test]
fn an_acknowledged_event_and_a_commit_survive_the_loss_of_a_node() {
    let manifests = Manifests::of_overlay("production");
    let config = manifests.find::<Kafka>("mileage").expect("Kafka").spec.kafka.config;
    assert_eq!(
        (&config["min.insync.replicas"], &config["default.replication.factor"]),
        (&2.into(), &3.into())
    );
    assert_eq!(config["auto.create.topics.enable"], false);
    let cluster = manifests.find::<Cluster>("postgres").expect("the Cluster").spec;
    let synchronous = &cluster.postgresql.synchronous;
    assert_eq!(
        (cluster.instances, synchronous.number, synchronous.data_durability.as_str()),
        (3, 1, "required")
    );
}

#[test]
fn kafka_is_of_the_version_that_the_tests_use() {
    let pom = fs::read_to_string(project::root().join("local-stack/kafka/pom.xml")).expect("the file");
    let dependency = pom.split("<artifactId>").find(|rest| rest.starts_with("kafka_")).expect("Kafka");
    let tested =
        dependency.split(['<', '>']).skip_while(|part| *part != "version").nth(1).expect("a version");
    let production = Manifests::of_overlay("production").find::<Kafka>("mileage").expect("Kafka").spec.kafka;
    assert_eq!(production.version, tested);
    let pods = Manifests::of_overlay("local").pods();
    assert_eq!(container(&pods["kafka"]).image.as_deref(), Some(format!("apache/kafka:{tested}").as_str()));
}

#[test]
fn both_overlays_bootstrap_postgres_as_the_local_stack_does() {
    for manifests in Manifests::all() {
        let map = manifests
            .find::<ConfigMap>("postgres-bootstrap")
            .and_then(|map| map.data)
            .expect("the ConfigMap");
        assert_eq!(map.into_iter().collect::<Vec<_>>(), [("bootstrap.sql".to_owned(), BOOTSTRAP.to_owned())]);
        for cluster in manifests.all_of::<Cluster>() {
            let references = cluster.spec.bootstrap.initdb.post_init_application_sql_refs.config_map_refs;
            let [reference] = references.as_slice() else { panic!("{} references", references.len()) };
            assert_eq!(
                (reference.name.as_str(), reference.key.as_str()),
                ("postgres-bootstrap", "bootstrap.sql")
            );
        }
        if let Some(set) = manifests.find::<StatefulSet>("postgres") {
            let mounts = container(&set.spec.unwrap().template).volume_mounts.clone().expect("mounts");
            assert!(
                mounts
                    .iter()
                    .any(|mount| mount.name == "bootstrap"
                        && mount.mount_path == "/docker-entrypoint-initdb.d")
            );
        }
    }
}

#[test]
fn the_operator_gives_each_role_its_password() {
    let cluster = Manifests::of_overlay("production").find::<Cluster>("postgres").expect("the Cluster").spec;
    let managed: BTreeSet<(String, String)> = cluster
        .managed
        .roles
        .into_iter()
        .map(|role| {
            assert!(role.login);
            (role.name, role.password_secret.name)
        })
        .collect();
    let roles = SERVICES.into_iter().flat_map(|service| {
        ["owner", "app"].map(|role| (format!("{service}_{role}"), format!("{service}-{role}")))
    });
    assert_eq!(managed, roles.collect());
}

#[tokio::test]
async fn nobody_can_log_in_before_the_operator_has_given_passwords() {
    let cluster = Manifests::of_overlay("production").find::<Cluster>("postgres").expect("the Cluster").spec;
    let postgres = Postgres::start(PostgresOptions::default()).await.unwrap();
    let mut admin = PgConnection::connect(&postgres.admin_url()).await.unwrap();
    for statement in cluster.bootstrap.initdb.post_init_sql {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
    }
    sqlx::raw_sql(BOOTSTRAP).execute(&mut admin).await.unwrap();
    let roles: Vec<(String, bool)> = sqlx::query_as(
        "SELECT rolname::text, rolpassword IS NULL FROM pg_authid WHERE rolcanlogin AND NOT rolsuper ORDER BY rolname",
    ).fetch_all(&mut admin).await.unwrap();
    let names: BTreeSet<String> = SERVICES
        .into_iter()
        .flat_map(|service| [format!("{service}_app"), format!("{service}_owner")])
        .collect();
    assert_eq!(roles, names.into_iter().map(|name| (name, true)).collect::<Vec<_>>());
}
