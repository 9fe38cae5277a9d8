//! The environment of the services: its names exist and its values are accepted.

use deployment_tests::settings;
use k8s_openapi::api::core::v1::Secret;
use local_stack::database::DEFAULT_PASSWORD;

use super::manifests::{Manifests, container, name_of, pod};

#[test]
fn every_variable_is_a_setting_of_the_service_or_a_part_of_one() {
    for manifests in Manifests::all() {
        for deployment in manifests.deployments() {
            let service = name_of(deployment);
            let known = settings::names(service).unwrap();
            let values: Vec<_> = container(pod(deployment))
                .env
                .iter()
                .flatten()
                .filter_map(|variable| variable.value.as_deref())
                .collect();
            for name in manifests.environment(deployment).keys() {
                let is_part = values.iter().any(|value| value.contains(&format!("$({name})")));
                assert!(
                    known.contains(name) != is_part,
                    "{}: {service} has no setting {name}",
                    manifests.overlay
                );
            }
        }
    }
}

#[test]
fn the_services_accept_their_settings_once_it_is_said_who_may_do_what() {
    for manifests in Manifests::all() {
        for deployment in manifests.deployments() {
            let service = name_of(deployment);
            let mut environment = manifests.environment(deployment);
            if manifests.overlay != "local" {
                let refusal = settings::refusal(service, &environment).unwrap();
                assert!(
                    refusal.is_some_and(|line| line.contains("AUTH=none")),
                    "{service} is open to everybody"
                );
                environment.insert("AUTH".to_owned(), "none".to_owned());
            }
            assert_eq!(
                settings::refusal(service, &environment).unwrap(),
                None,
                "{}: {service}",
                manifests.overlay
            );
        }
    }
}

#[test]
fn message_takes_the_account_with_a_gateway_from_its_optional_secret() {
    let manifests = Manifests::of_overlay("production");
    let message = manifests.deployment("message");
    let sources = container(pod(message)).env_from.clone().expect("sources");
    let secret = sources.into_iter().find_map(|source| source.secret_ref).expect("a Secret");
    assert_eq!((secret.name.as_str(), secret.optional), ("message-gateway", Some(true)));
    let mut environment = manifests.environment(message);
    let account = ["SOLAPI_API_KEY", "SOLAPI_API_SECRET"];
    for (name, value) in [("AUTH", "none"), ("SMS_GATEWAY", "solapi"), ("SMS_SENDER", "0212345678")] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    assert!(settings::refusal("message", &environment).unwrap().is_some());
    environment.extend(account.map(|name| (name.to_owned(), "x".to_owned())));
    assert_eq!(settings::refusal("message", &environment).unwrap(), None);
}

#[test]
fn the_throw_away_passwords_are_those_that_the_bootstrap_gives() {
    for secret in Manifests::of_overlay("local").all_of::<Secret>() {
        let data = secret.data.clone().unwrap_or_default();
        let text = |key: &str| data.get(key).map(|value| String::from_utf8(value.0.clone()).expect("text"));
        assert_eq!(text("password").as_deref(), Some(DEFAULT_PASSWORD), "{}", name_of(&secret));
        if let Some(username) = text("username") {
            assert!(name_of(&secret).starts_with(&format!("{}-", username.replace('_', "-"))), "{username}");
        }
    }
}
