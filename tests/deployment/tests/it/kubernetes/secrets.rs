//! Secrets: who makes them, and what is mounted of them.

use std::collections::BTreeSet;
use std::fs;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use local_stack::database::SERVICES;
use local_stack::project;

use super::custom_resources::{Cluster, Kafka, KafkaUser, ObjectStore};
use super::manifests::{Manifests, container, name_of, pod};

/// The name of a Secret in the overlay: it has a suffix where the overlay generates it.
pub fn secret(manifests: &Manifests, name: &str) -> String {
    let mut generated = manifests.all_of::<Secret>().into_iter().map(|secret| name_of(&secret).to_owned());
    let of_name = |generated: &String| generated.rsplit_once('-').is_some_and(|(base, _)| base == name);
    generated.find(of_name).unwrap_or_else(|| name.to_owned())
}

/// The Secrets that the objects refer to.
fn secrets_needed(manifests: &Manifests) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    for pod in manifests.pods().into_values() {
        let spec = pod.spec.as_ref().unwrap();
        let container = container(&pod);
        let variables = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        needed.extend(variables.filter_map(|source| Some(source.secret_key_ref.as_ref()?.name.clone())));
        let whole = container.env_from.iter().flatten();
        needed.extend(whole.filter_map(|source| Some(source.secret_ref.as_ref()?.name.clone())));
        let volumes = spec.volumes.iter().flatten();
        needed.extend(volumes.clone().filter_map(|volume| volume.secret.as_ref()?.secret_name.clone()));
        let projected = volumes.filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
        needed.extend(projected.filter_map(|source| Some(source.secret.as_ref()?.name.clone())));
    }
    for cluster in manifests.all_of::<Cluster>() {
        needed.extend(cluster.spec.managed.roles.into_iter().map(|role| role.password_secret.name));
    }
    for store in manifests.all_of::<ObjectStore>() {
        let credentials = store.spec.configuration.s3_credentials;
        needed.extend([credentials.access_key_id.name, credentials.secret_access_key.name]);
    }
    for ingress in manifests.all_of::<Ingress>() {
        let tls = ingress.spec.and_then(|spec| spec.tls).unwrap_or_default();
        needed.extend(tls.into_iter().filter_map(|tls| tls.secret_name));
    }
    needed
}

/// The Secrets that the operators make.
fn secrets_of_operators(manifests: &Manifests) -> BTreeSet<String> {
    let users = manifests.all_of::<KafkaUser>().into_iter().map(|user| name_of(&user).to_owned());
    let kafka =
        manifests.all_of::<Kafka>().into_iter().map(|kafka| format!("{}-cluster-ca-cert", name_of(&kafka)));
    let postgres =
        manifests.all_of::<Cluster>().into_iter().map(|cluster| format!("{}-ca", name_of(&cluster)));
    users.chain(kafka).chain(postgres).collect()
}

#[test]
fn every_secret_is_generated_or_made_by_an_operator_or_listed_in_the_readme() {
    let readme = fs::read_to_string(project::root().join("kubernetes/README.md")).expect("the README");
    let section =
        readme.split("\n### ").find(|section| section.starts_with("Secrets\n")).expect("its section");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let listed: BTreeSet<String> =
        rows.flat_map(|name| SERVICES.map(|service| name.replace("<service>", service))).collect();
    for manifests in Manifests::all() {
        let generated: BTreeSet<String> =
            manifests.all_of::<Secret>().iter().map(|secret| name_of(secret).to_owned()).collect();
        let made = secrets_of_operators(manifests);
        let needed = secrets_needed(manifests);
        let by_hand: BTreeSet<&String> =
            needed.iter().filter(|name| !generated.contains(*name) && !made.contains(*name)).collect();
        for name in by_hand {
            assert!(listed.contains(name), "{}: nobody makes the Secret {name}", manifests.overlay);
            assert!(
                manifests.overlay != "local" || name == "message-gateway",
                "local needs the Secret {name}"
            );
        }
        let unused: Vec<_> = generated.difference(&needed).collect();
        assert!(unused.is_empty(), "{}: {unused:?} are generated for nothing", manifests.overlay);
    }
    let needed = secrets_needed(Manifests::of_overlay("production"));
    assert!(listed.iter().all(|name| needed.contains(name)), "of {listed:?} some are not needed");
}

#[test]
fn only_local_contains_secrets() {
    for manifests in Manifests::all() {
        assert_eq!(
            manifests.all_of::<Secret>().is_empty(),
            manifests.overlay != "local",
            "{}",
            manifests.overlay
        );
    }
}

#[test]
fn files_that_settings_name_are_mounted() {
    for manifests in Manifests::all() {
        for deployment in manifests.deployments() {
            let spec = pod(deployment).spec.as_ref().unwrap();
            let mounts = container(pod(deployment)).volume_mounts.clone().unwrap_or_default();
            let projected = spec.volumes.iter().flatten().flat_map(|volume| {
                let folder = mounts
                    .iter()
                    .find(|mount| mount.name == volume.name)
                    .expect("a mount")
                    .mount_path
                    .clone();
                let sources =
                    volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
                sources
                    .flat_map(|source| source.secret.iter().flat_map(|secret| secret.items.iter().flatten()))
                    .map(move |item| format!("{folder}/{}", item.path))
            });
            let mounted: BTreeSet<String> = projected.collect();
            let environment = manifests.environment(deployment);
            let values = ["DATABASE_URL", "MIGRATION_DATABASE_URL", "KAFKA_PROPERTIES"]
                .into_iter()
                .filter_map(|name| environment.get(name));
            let named: BTreeSet<String> = values
                .flat_map(|value| value.split([',', '=', '&']))
                .filter(|word| word.starts_with('/'))
                .map(str::to_owned)
                .collect();
            assert_eq!(named, mounted, "{}", name_of(deployment));
            assert_eq!(mounted.is_empty(), manifests.overlay == "local", "no certificate is checked");
        }
    }
}

#[test]
fn each_service_is_its_own_user_of_kafka() {
    let manifests = Manifests::of_overlay("production");
    for service in SERVICES {
        let volumes =
            pod(manifests.deployment(service)).spec.as_ref().unwrap().volumes.clone().expect("volumes");
        let sources = volumes.into_iter().filter_map(|volume| volume.projected?.sources).flatten();
        let secrets: Vec<String> = sources.filter_map(|source| Some(source.secret?.name)).collect();
        let user = format!("{service}-kafka");
        assert_eq!(secrets.iter().filter(|name| name.ends_with("-kafka")).collect::<Vec<_>>(), [&user]);
        assert!(manifests.find::<KafkaUser>(&user).is_some());
    }
}
