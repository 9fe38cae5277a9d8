//! What kustomize makes of an overlay.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use deployment_tests::kustomize::render;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Namespace, PodTemplateSpec, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::{Metadata, Resource};
use local_stack::project;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::custom_resources::{
    Cluster, Kafka, KafkaNodePool, KafkaTopic, KafkaUser, ObjectStore, PodMonitor, ScheduledBackup,
};

/// Labels of a pod or a namespace.
pub type Labels = BTreeMap<String, String>;

/// The rendered objects of one overlay.
pub struct Manifests {
    /// Its folder's name.
    pub overlay: String,
    objects: Vec<Value>,
    deployments: Vec<Deployment>,
}

static ALL: LazyLock<Vec<Manifests>> = LazyLock::new(|| {
    let folders = fs::read_dir(project::root().join("kubernetes/overlays")).expect("the overlays");
    let mut overlays: Vec<_> = folders.map(|folder| folder.expect("an overlay").path()).collect();
    overlays.sort();
    overlays
        .iter()
        .map(|folder| {
            let objects = render(folder).unwrap();
            let overlay = folder.file_name().expect("a name").to_string_lossy().into_owned();
            let deployments = parse_all(&objects);
            Manifests { overlay, objects, deployments }
        })
        .collect()
});

impl Manifests {
    /// Those of every overlay.
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Those of one.
    pub fn of_overlay(name: &str) -> &'static Self {
        ALL.iter().find(|manifests| manifests.overlay == name).expect("the overlay")
    }

    /// All objects.
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// Those of one kind.
    pub fn all_of<T: Resource + DeserializeOwned>(&self) -> Vec<T> {
        parse_all(&self.objects)
    }

    /// The one of a kind with this name, if it is there.
    pub fn find<T: Resource + DeserializeOwned + Metadata<Ty = ObjectMeta>>(&self, name: &str) -> Option<T> {
        self.all_of::<T>().into_iter().find(|object| name_of(object) == name)
    }

    /// The services.
    pub fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    /// The Deployment of a service.
    pub fn deployment(&self, service: &str) -> &Deployment {
        self.deployments.iter().find(|deployment| name_of(*deployment) == service).expect("the Deployment")
    }

    /// The pods of all Deployments and StatefulSets, by the name of these.
    pub fn pods(&self) -> BTreeMap<String, PodTemplateSpec> {
        let stateful_sets = self
            .all_of::<StatefulSet>()
            .into_iter()
            .map(|set| (name_of(&set).to_owned(), set.spec.unwrap().template));
        let deployments = self
            .deployments
            .iter()
            .map(|deployment| (name_of(deployment).to_owned(), pod(deployment).clone()));
        deployments.chain(stateful_sets).collect()
    }

    /// The environment that the container of a service gets. A password is the name of its Secret.
    pub fn environment(&self, deployment: &Deployment) -> BTreeMap<String, String> {
        let container = container(pod(deployment));
        let mut environment = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            if let Some(reference) = &source.config_map_ref {
                let map = self
                    .find::<ConfigMap>(&reference.name)
                    .unwrap_or_else(|| panic!("ConfigMap {}", reference.name));
                environment.extend(map.data.unwrap_or_default());
            }
        }
        for variable in container.env.iter().flatten() {
            let secret = variable.value_from.as_ref().and_then(|source| source.secret_key_ref.as_ref());
            let value = match (&variable.value, secret) {
                (Some(value), None) => expand(value, &environment),
                (None, Some(secret)) => secret.name.clone(),
                _ => panic!("{} is neither a value nor from a Secret", variable.name),
            };
            environment.insert(variable.name.clone(), value);
        }
        environment
    }
}

/// `$(NAME)` becomes the value of NAME, as the kubelet does it.
fn expand(value: &str, environment: &BTreeMap<String, String>) -> String {
    environment
        .iter()
        .fold(value.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}

/// The name of an object.
pub fn name_of<T: Metadata<Ty = ObjectMeta>>(object: &T) -> &str {
    object.metadata().name.as_deref().expect("a name")
}

/// The pod of a Deployment.
pub fn pod(deployment: &Deployment) -> &PodTemplateSpec {
    &deployment.spec.as_ref().expect("a spec").template
}

/// The only container of a pod.
pub fn container(pod: &PodTemplateSpec) -> &Container {
    let containers = &pod.spec.as_ref().expect("a spec").containers;
    let [container] = containers.as_slice() else { panic!("{} containers", containers.len()) };
    container
}

/// The labels of a pod.
pub fn labels(pod: &PodTemplateSpec) -> Labels {
    pod.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).expect("labels")
}

/// The port of a container with this name.
pub fn port(container: &Container, name: &str) -> Option<i32> {
    let mut ports = container.ports.iter().flatten();
    ports.find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
}

/// Whether a selector selects what has these labels. An empty one selects everything.
pub fn selects(selector: &LabelSelector, labels: &Labels) -> bool {
    assert!(selector.match_expressions.is_none(), "this test does not know match expressions");
    selector.match_labels.iter().flatten().all(|(name, value)| labels.get(name) == Some(value))
}

fn parse_all<T: Resource + DeserializeOwned>(objects: &[Value]) -> Vec<T> {
    let of_kind =
        objects.iter().filter(|object| object["apiVersion"] == T::API_VERSION && object["kind"] == T::KIND);
    of_kind.map(|object| parse(object).unwrap()).collect()
}

fn parse<T: DeserializeOwned>(object: &Value) -> Result<T, String> {
    let mut unknown = Vec::new();
    let parsed = serde_ignored::deserialize(object, |path| unknown.push(path.to_string()));
    let named = |fault: String| format!("{} {}: {fault}", object["kind"], object["metadata"]["name"]);
    match parsed {
        Err(error) => Err(named(error.to_string())),
        Ok(_) if !unknown.is_empty() => Err(named(format!("unknown: {}", unknown.join(", ")))),
        Ok(parsed) => Ok(parsed),
    }
}

/// What is wrong with an object by itself, if anything is.
pub fn fault(object: &Value) -> Option<String> {
    fn check<T: Resource + DeserializeOwned>(object: &Value) -> Option<Result<(), String>> {
        (object["apiVersion"] == T::API_VERSION && object["kind"] == T::KIND)
            .then(|| parse::<T>(object).map(drop))
    }
    let checks = [
        check::<Cluster>,
        check::<ConfigMap>,
        check::<Deployment>,
        check::<HorizontalPodAutoscaler>,
        check::<Ingress>,
        check::<Kafka>,
        check::<KafkaNodePool>,
        check::<KafkaTopic>,
        check::<KafkaUser>,
        check::<Namespace>,
        check::<NetworkPolicy>,
        check::<ObjectStore>,
        check::<PodDisruptionBudget>,
        check::<PodMonitor>,
        check::<ScheduledBackup>,
        check::<Secret>,
        check::<Service>,
        check::<ServiceAccount>,
        check::<StatefulSet>,
    ];
    let unknown = || Err(format!("{} {} is of no known type", object["apiVersion"], object["kind"]));
    checks.iter().find_map(|check| check(object)).unwrap_or_else(unknown).err()
}
