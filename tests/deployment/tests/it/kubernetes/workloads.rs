//! The pods: how they are probed, stopped, confined, spread and scaled.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use local_stack::database::SERVICES;
use local_stack::port::free_port;
use local_stack::scratch::ScratchDir;
use local_stack::service::{ServiceOptions, ServiceProcess};
use local_stack::wait::until_ok;

use super::manifests::{Manifests, container, labels, name_of, pod, port, selects};

/// Each service of each overlay.
fn services() -> impl Iterator<Item = (&'static Manifests, &'static Deployment)> {
    Manifests::all()
        .iter()
        .flat_map(|manifests| manifests.deployments().iter().map(move |deployment| (manifests, deployment)))
}

fn http_get(probe: Option<&Probe>) -> &HTTPGetAction {
    probe.and_then(|probe| probe.http_get.as_ref()).expect("a probe by HTTP")
}

fn probes(container: &Container) -> [&HTTPGetAction; 3] {
    [&container.startup_probe, &container.readiness_probe, &container.liveness_probe]
        .map(|probe| http_get(probe.as_ref()))
}

#[test]
fn probes_ask_the_internal_listener() {
    for (_, deployment) in services() {
        let container = container(pod(deployment));
        for probe in probes(container) {
            assert_eq!(probe.port, IntOrString::String("internal".to_owned()));
        }
        let [startup, readiness, liveness] = probes(container).map(|probe| probe.path.as_deref());
        assert_eq!([startup, readiness, liveness], [Some("/livez"), Some("/readyz"), Some("/livez")]);
    }
}

#[tokio::test]
async fn a_pod_that_waits_for_postgres_is_started_and_alive_but_not_ready() {
    let logs = ScratchDir::new("probes").unwrap();
    let nowhere = format!("postgres://nobody@127.0.0.1:{}/nothing", free_port().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for service in SERVICES {
        let process = ServiceProcess::spawn(ServiceOptions {
            name: service.to_owned(),
            port: free_port().unwrap(),
            internal_port: free_port().unwrap(),
            env: vec![("DATABASE_URL".to_owned(), nowhere.clone())],
            args: Vec::new(),
            log: logs.path().join(service),
        })
        .unwrap();
        let deployment = Manifests::of_overlay("production").deployment(service);
        let [startup, readiness, liveness] = probes(container(pod(deployment)));
        for (probe, expected) in [(startup, 200), (readiness, 503), (liveness, 200)] {
            let url = format!("{}{}", process.internal_url(), probe.path.as_deref().unwrap());
            let answer = until_ok(Duration::from_secs(20), || client.get(&url).send()).await.unwrap();
            assert_eq!(answer.status().as_u16(), expected, "{service} {url}");
        }
    }
}

#[test]
fn the_listeners_are_where_the_ports_say() {
    for (manifests, deployment) in services() {
        let environment = manifests.environment(deployment);
        for (setting, name) in [("LISTEN", "http"), ("INTERNAL_LISTEN", "internal")] {
            let expected = format!("0.0.0.0:{}", port(container(pod(deployment)), name).expect("the port"));
            assert_eq!(environment[setting], expected, "{}", name_of(deployment));
        }
    }
}

#[test]
fn a_pod_is_given_the_time_that_it_may_take_to_stop() {
    for (manifests, deployment) in services() {
        let environment = manifests.environment(deployment);
        let milliseconds = |setting: &str| environment[setting].parse::<i64>().expect("a number");
        let hook =
            container(pod(deployment)).lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        let sleep = hook.and_then(|hook| hook.sleep.as_ref()).expect("a preStop hook that sleeps").seconds;
        assert!(sleep > 0);
        let needed = sleep * 1_000 + milliseconds("DRAIN_MS") + milliseconds("SHUTDOWN_GRACE_MS");
        let given = pod(deployment)
            .spec
            .as_ref()
            .and_then(|spec| spec.termination_grace_period_seconds)
            .expect("a grace period")
            * 1_000;
        assert!(needed < given, "{needed} ms are needed, {given} given");
    }
}

#[test]
fn a_pod_that_is_not_ready_is_noticed_before_it_stops_to_serve() {
    for (manifests, deployment) in services() {
        let probe = container(pod(deployment)).readiness_probe.as_ref().expect("a probe");
        let noticed = probe.period_seconds.expect("a period") * probe.failure_threshold.expect("a threshold");
        let drain = manifests.environment(deployment)["DRAIN_MS"].parse::<i32>().expect("a number");
        assert!(noticed * 1_000 < drain, "noticed after {noticed} s, but it serves for {drain} ms only");
    }
}

#[test]
fn a_rollout_never_takes_a_replica_away_before_another_is_ready() {
    for (_, deployment) in services() {
        let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref()).expect("a strategy");
        assert_eq!(strategy.type_.as_deref(), Some("RollingUpdate"));
        let rollout = strategy.rolling_update.as_ref().expect("its parameters");
        assert_eq!(rollout.max_unavailable, Some(IntOrString::Int(0)));
        assert_eq!(rollout.max_surge, Some(IntOrString::Int(1)));
    }
}

#[test]
fn every_pod_meets_the_restricted_standard() {
    for manifests in Manifests::all() {
        for (name, pod) in manifests.pods() {
            let spec = pod.spec.as_ref().unwrap();
            assert_eq!(spec.automount_service_account_token, Some(false), "{name}");
            assert_eq!(spec.enable_service_links, Some(false), "{name}");
            let of_pod = spec.security_context.as_ref().expect("a security context");
            assert_eq!(of_pod.run_as_non_root, Some(true), "{name}");
            assert!(of_pod.run_as_user.is_some_and(|user| user > 0), "{name}");
            assert_eq!(
                of_pod.seccomp_profile.as_ref().map(|profile| profile.type_.as_str()),
                Some("RuntimeDefault")
            );
            let of_container = container(&pod).security_context.as_ref().expect("a security context");
            assert_eq!(of_container.allow_privilege_escalation, Some(false), "{name}");
            let dropped =
                of_container.capabilities.as_ref().and_then(|capabilities| capabilities.drop.as_deref());
            assert_eq!(dropped, Some(&["ALL".to_owned()][..]), "{name}");
        }
    }
}

#[test]
fn services_write_to_no_file_and_run_as_the_user_of_the_image() {
    for (_, deployment) in services() {
        let pod = pod(deployment);
        let of_container = container(pod).security_context.as_ref().expect("a security context");
        assert_eq!(of_container.read_only_root_filesystem, Some(true));
        let user = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.security_context.as_ref())
            .and_then(|context| context.run_as_user);
        assert_eq!(user, Some(65532));
    }
}

#[test]
fn every_container_asks_for_cpu_and_memory_and_is_limited_in_memory_only() {
    for manifests in Manifests::all() {
        for (name, pod) in manifests.pods() {
            let resources = container(&pod).resources.as_ref().expect("resources");
            let named = |list: Option<&std::collections::BTreeMap<String, _>>| {
                list.map(|list| list.keys().cloned().collect::<Vec<_>>())
            };
            assert_eq!(
                named(resources.requests.as_ref()),
                Some(vec!["cpu".to_owned(), "memory".to_owned()]),
                "{name}"
            );
            assert_eq!(named(resources.limits.as_ref()), Some(vec!["memory".to_owned()]), "{name}");
        }
    }
}

#[test]
fn replicas_are_spread_over_nodes_and_zones() {
    for (_, deployment) in services() {
        let pod = pod(deployment);
        let constraints = pod
            .spec
            .as_ref()
            .and_then(|spec| spec.topology_spread_constraints.as_deref())
            .expect("constraints");
        let keys: Vec<&str> = constraints.iter().map(|constraint| constraint.topology_key.as_str()).collect();
        assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
        for constraint in constraints {
            assert!(selects(constraint.label_selector.as_ref().expect("a selector"), &labels(pod)));
            let by = constraint.match_label_keys.as_deref().expect("keys");
            assert_eq!(
                by,
                ["app.kubernetes.io/name", "pod-template-hash"],
                "all services would be spread as one"
            );
        }
    }
}

#[test]
fn images_are_the_services_own_and_of_a_fixed_version() {
    for manifests in Manifests::all() {
        for (name, pod) in manifests.pods() {
            let image = container(&pod).image.clone().expect("an image");
            let (repository, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
            assert!(!tag.is_empty() && tag != "latest" && !tag.contains('/'), "{image}");
            if SERVICES.contains(&name.as_str()) {
                let own = format!("mileage/{name}");
                assert!(repository == own || repository.ends_with(&format!("/{own}")), "{image}");
            }
        }
    }
}

#[test]
fn every_service_scales_by_cpu_and_point_as_required() {
    for (manifests, deployment) in services() {
        let name = name_of(deployment);
        assert_eq!(
            deployment.spec.as_ref().unwrap().replicas,
            None,
            "{name}: each apply would undo the scaling"
        );
        let spec = manifests
            .find::<HorizontalPodAutoscaler>(name)
            .and_then(|scaler| scaler.spec)
            .expect("an autoscaler");
        let target = &spec.scale_target_ref;
        assert_eq!(
            (target.api_version.as_deref(), target.kind.as_str(), target.name.as_str()),
            (Some("apps/v1"), "Deployment", name)
        );
        let metrics = spec.metrics.expect("metrics");
        let [metric] = metrics.as_slice() else { panic!("{} metrics", metrics.len()) };
        let resource = metric.resource.as_ref().expect("a resource");
        assert_eq!(resource.name, "cpu");
        let percent = resource.target.average_utilization.expect("a target");
        let (min, max) = (spec.min_replicas.expect("a minimum"), spec.max_replicas);
        if name == "point" {
            assert_eq!((min, max, percent), (2, 10, 15));
        }
        assert!(min >= 2 && min < max && (1..100).contains(&percent), "{name}: {min}..{max} at {percent} %");
        let down = spec.behavior.and_then(|behavior| behavior.scale_down).expect("how to scale down");
        assert!(down.stabilization_window_seconds.is_some_and(|seconds| seconds >= 300), "{name}");
        let partitions = manifests
            .environment(deployment)
            .get("TOPIC_PARTITIONS")
            .map_or(12, |count| count.parse().expect("a number"));
        assert!(max <= partitions, "{name}: a replica more than there are partitions reads nothing");
    }
}

#[test]
fn one_pod_of_a_service_is_evicted_at_a_time() {
    for (manifests, deployment) in services() {
        let name = name_of(deployment);
        let budget =
            manifests.find::<PodDisruptionBudget>(name).and_then(|budget| budget.spec).expect("a budget");
        assert_eq!(budget.max_unavailable, Some(IntOrString::Int(1)));
        let selector = budget.selector.as_ref().expect("a selector");
        let selected: Vec<String> = manifests
            .pods()
            .into_iter()
            .filter(|(_, pod)| selects(selector, &labels(pod)))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(selected, [name]);
    }
}
