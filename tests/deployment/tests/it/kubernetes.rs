//! The manifests in `kubernetes/`, as kustomize renders them: each object is what Kubernetes or the operator accepts, and
//! they fit together and to the services.

mod custom_resources;
mod dependencies;
mod manifests;
mod network;
mod references;
mod secrets;
mod settings;
mod workloads;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use local_stack::database::SERVICES;

use manifests::{Manifests, name_of};

#[test]
fn every_object_is_of_a_known_type_and_has_no_unknown_field() {
    for manifests in Manifests::all() {
        let wrong: Vec<String> = manifests.objects().iter().filter_map(manifests::fault).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", manifests.overlay);
    }
}

#[test]
fn a_misspelt_field_and_an_unknown_kind_are_found() {
    let objects = Manifests::of_overlay("production").objects();
    for (kind, pointer) in
        [("Deployment", "/spec/template/spec/containers/0/ports/0"), ("Kafka", "/spec/kafka")]
    {
        let mut object = objects.iter().find(|object| object["kind"] == kind).expect("an object").clone();
        assert_eq!(manifests::fault(&object), None);
        object
            .pointer_mut(pointer)
            .expect("the place")
            .as_object_mut()
            .expect("a map")
            .insert("typo".into(), 1.into());
        assert!(manifests::fault(&object).is_some_and(|fault| fault.contains("typo")), "{kind}");
        object["kind"] = "Unknown".into();
        assert!(manifests::fault(&object).is_some());
    }
}

#[test]
fn each_object_is_there_once_and_in_the_namespace_that_the_overlay_creates() {
    for manifests in Manifests::all() {
        let namespaces = manifests.all_of::<Namespace>();
        let [namespace] = namespaces.as_slice() else { panic!("{} namespaces", namespaces.len()) };
        let mut seen = BTreeSet::new();
        for object in manifests.objects().iter().filter(|object| object["kind"] != "Namespace") {
            let (kind, name) = (
                object["kind"].as_str().expect("a kind"),
                object["metadata"]["name"].as_str().expect("a name"),
            );
            assert!(seen.insert((kind, name)), "{kind} {name} is there twice");
            assert_eq!(object["metadata"]["namespace"].as_str(), Some(name_of(namespace)), "{kind} {name}");
        }
    }
}

#[test]
fn every_service_is_deployed_by_every_overlay() {
    for manifests in Manifests::all() {
        let deployed: BTreeSet<&str> = manifests.deployments().iter().map(name_of).collect();
        assert_eq!(deployed, BTreeSet::from(SERVICES), "{}", manifests.overlay);
    }
}
