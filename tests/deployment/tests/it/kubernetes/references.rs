//! What the objects say of each other: Services, Ingress, addresses, volumes.

use std::collections::BTreeSet;
use std::fs;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use local_stack::database::SERVICES;
use local_stack::project;
use reqwest::Url;
use serde_json::Value;

use super::custom_resources::{Cluster, Kafka, ObjectStore, PodMonitor, ScheduledBackup};
use super::manifests::{Manifests, container, labels, name_of, pod, port, selects};
use super::secrets::secret;

/// The one port of a Service, its number and which one of the container it leads to, and the workload.
fn resolve(manifests: &Manifests, service: &str) -> (i32, String, String) {
    let spec = manifests
        .find::<Service>(service)
        .and_then(|service| service.spec)
        .unwrap_or_else(|| panic!("no Service {service}"));
    let selector = LabelSelector { match_labels: spec.selector, ..LabelSelector::default() };
    assert!(selector.match_labels.is_some(), "{service} selects nothing");
    let pods = manifests.pods();
    let selected: Vec<_> = pods.iter().filter(|(_, pod)| selects(&selector, &labels(pod))).collect();
    let [(workload, pod)] = selected.as_slice() else {
        panic!("{service} selects {} workloads", selected.len())
    };
    let ports = spec.ports.expect("ports");
    let [service_port] = ports.as_slice() else { panic!("{service} has {} ports", ports.len()) };
    let Some(IntOrString::String(target)) = &service_port.target_port else {
        panic!("{service} names no port")
    };
    assert!(port(container(pod), target).is_some(), "{workload} has no port {target}");
    (service_port.port, target.clone(), workload.to_string())
}

#[test]
fn each_service_leads_to_a_port_of_one_workload() {
    for manifests in Manifests::all() {
        for service in manifests.all_of::<Service>() {
            resolve(manifests, name_of(&service));
        }
        for service in SERVICES {
            let (number, target, workload) = resolve(manifests, service);
            assert_eq!((target.as_str(), workload.as_str()), ("http", service));
            assert_eq!(Some(number), port(container(pod(manifests.deployment(service))), "http"));
        }
    }
}

/// Path and backend of each rule of the Ingress; there is one host.
fn routes(ingress: &Ingress) -> (String, Vec<(String, IngressBackend)>) {
    let rules = ingress.spec.as_ref().and_then(|spec| spec.rules.as_deref()).expect("rules");
    let [rule] = rules else { panic!("{} hosts", rules.len()) };
    let paths = rule.http.as_ref().expect("paths").paths.iter().map(|path| {
        assert_eq!(path.path_type, "Prefix");
        (path.path.clone().expect("a path"), path.backend.clone())
    });
    (rule.host.clone().expect("a host"), paths.collect())
}

#[test]
fn the_ingress_routes_what_is_in_the_openapi_documents_and_no_internal_port() {
    for manifests in Manifests::all() {
        let (_, routes) = routes(&manifests.find("mileage").expect("an Ingress"));
        for (path, backend) in &routes {
            let service = backend.service.as_ref().expect("a Service");
            assert_eq!(service.port.as_ref().and_then(|port| port.name.as_deref()), Some("http"), "{path}");
            assert_eq!(resolve(manifests, &service.name).1, "http", "{path} leads to an internal port");
            let document =
                fs::read_to_string(project::root().join(format!("docs/openapi/{}.json", service.name)));
            let document: Value =
                serde_json::from_str(&document.expect("its OpenAPI document")).expect("JSON");
            for public in document["paths"].as_object().expect("paths").keys() {
                assert!(public == path || public.starts_with(&format!("{path}/")), "{public} is not routed");
            }
        }
        let routed: BTreeSet<_> =
            routes.iter().map(|(_, backend)| backend.service.clone().expect("a Service").name).collect();
        assert_eq!(routed, SERVICES.map(str::to_owned).into());
        let secret = ["/forfeitures", "/metrics", "/livez", "/readyz", "/actuator/health", "/"];
        assert!(!secret.iter().any(|path| routes.iter().any(|(routed, _)| path == routed)));
    }
}

#[test]
fn links_lead_to_the_host_of_the_ingress() {
    for manifests in Manifests::all() {
        let ingress = manifests.find::<Ingress>("mileage").expect("an Ingress");
        let (host, _) = routes(&ingress);
        let tls = ingress.spec.and_then(|spec| spec.tls).unwrap_or_default();
        assert!(tls.iter().all(|tls| tls.hosts == Some(vec![host.clone()])));
        let scheme = if tls.is_empty() { "http" } else { "https" };
        assert!(!tls.is_empty() || manifests.overlay == "local", "phone numbers travel in the clear");
        for deployment in manifests.deployments() {
            assert_eq!(manifests.environment(deployment)["PUBLIC_URL"], format!("{scheme}://{host}"));
        }
    }
}

#[test]
fn member_finds_the_internal_listener_of_point() {
    for manifests in Manifests::all() {
        let url: Url = manifests.environment(manifests.deployment("member"))["POINT_INTERNAL_URL"]
            .parse()
            .expect("a URL");
        let (number, target, workload) = resolve(manifests, url.host_str().expect("a host"));
        assert_eq!(
            (url.port().map(i32::from), target.as_str(), workload.as_str()),
            (Some(number), "internal", "point")
        );
    }
}

#[test]
fn the_services_find_postgres_and_kafka() {
    for manifests in Manifests::all() {
        for deployment in manifests.deployments() {
            let environment = manifests.environment(deployment);
            for (setting, role) in [("DATABASE_URL", "app"), ("MIGRATION_DATABASE_URL", "owner")] {
                let url: Url = environment[setting].parse().expect("a URL");
                let service = name_of(deployment);
                assert_eq!(url.username(), format!("{service}_{role}"));
                assert_eq!(
                    url.password(),
                    Some(secret(manifests, &format!("{service}-{role}")).as_str()),
                    "{setting}"
                );
                assert_eq!(url.path(), "/mileage");
                let address = (url.host_str().expect("a host"), i32::from(url.port().expect("a port")));
                match manifests.find::<Cluster>("postgres") {
                    Some(_) => assert_eq!(address, ("postgres-rw", 5432)),
                    None => assert_eq!(resolve(manifests, address.0).0, address.1),
                }
            }
            let (host, number) = environment["KAFKA_BROKERS"].split_once(':').expect("a port");
            let number: i32 = number.parse().expect("a number");
            match manifests.find::<Kafka>("mileage") {
                Some(kafka) => {
                    assert_eq!(host, "mileage-kafka-bootstrap");
                    assert!(kafka.spec.kafka.listeners.iter().any(|listener| listener.port == number));
                }
                None => assert_eq!(resolve(manifests, host).0, number),
            }
        }
    }
}

#[test]
fn service_accounts_volumes_and_config_maps_are_there() {
    for manifests in Manifests::all() {
        for (name, pod) in manifests.pods() {
            let spec = pod.spec.as_ref().unwrap();
            if SERVICES.contains(&name.as_str()) {
                let account = manifests
                    .find::<ServiceAccount>(spec.service_account_name.as_deref().expect("an account"));
                assert_eq!(account.expect("the ServiceAccount").automount_service_account_token, Some(false));
            }
            let maps = spec.volumes.iter().flatten().filter_map(|volume| volume.config_map.as_ref());
            assert!(maps.into_iter().all(|map| manifests.find::<ConfigMap>(&map.name).is_some()), "{name}");
            let mut volumes: BTreeSet<&str> =
                spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
            let claims = claims(manifests, &name);
            volumes.extend(claims.iter().map(name_of));
            let mounted = container(&pod).volume_mounts.iter().flatten().map(|mount| mount.name.as_str());
            assert_eq!(mounted.collect::<BTreeSet<_>>(), volumes, "{name}");
        }
    }
}

fn claims(manifests: &Manifests, stateful_set: &str) -> Vec<PersistentVolumeClaim> {
    let set = manifests.find::<StatefulSet>(stateful_set);
    set.and_then(|set| set.spec?.volume_claim_templates).unwrap_or_default()
}

#[test]
fn prometheus_scrapes_each_service() {
    let manifests = Manifests::of_overlay("production");
    let monitors = manifests.all_of::<PodMonitor>();
    for service in SERVICES {
        let pod = pod(manifests.deployment(service));
        let endpoints: Vec<_> = monitors
            .iter()
            .filter(|monitor| selects(&monitor.spec.selector, &labels(pod)))
            .flat_map(|monitor| &monitor.spec.pod_metrics_endpoints)
            .collect();
        let [endpoint] = endpoints.as_slice() else {
            panic!("{service} is scraped {} times", endpoints.len())
        };
        assert_eq!((endpoint.port.as_str(), endpoint.path.as_str()), ("internal", "/metrics"));
    }
}

#[test]
fn the_backup_is_of_the_cluster_and_goes_to_the_store() {
    let manifests = Manifests::of_overlay("production");
    let cluster = manifests.find::<Cluster>("postgres").expect("the Cluster").spec;
    let [plugin] = cluster.plugins.as_slice() else { panic!("{} plugins", cluster.plugins.len()) };
    assert!(plugin.is_wal_archiver);
    assert!(manifests.find::<ObjectStore>(&plugin.parameters["barmanObjectName"]).is_some());
    let backups = manifests.all_of::<ScheduledBackup>();
    let [backup] = backups.as_slice() else { panic!("{} backups", backups.len()) };
    assert_eq!(
        (backup.spec.cluster.name.as_str(), &backup.spec.plugin_configuration.name),
        ("postgres", &plugin.name)
    );
}
