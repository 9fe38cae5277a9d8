//! What `docker-compose.yml`, the `Dockerfile` and the build configurations say is what the services and the rest of
//! the project say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use deployment_tests::settings;
use local_stack::database::SERVICES;
use local_stack::service::find_binary;
use local_stack::services::Ports;
use serde::Deserialize;
use serde::de::IgnoredAny;

const PROFILES: [&str; 2] = ["replicas", "observability"];

/// The parts of `docker-compose.yml` that are used; an unknown key is an error.
#[derive(Debug, Deserialize)]
struct Compose {
    services: BTreeMap<String, Container>,
    volumes: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Container {
    image: String,
    build: Option<Build>,
    profiles: Vec<String>,
    restart: String,
    depends_on: BTreeMap<String, Dependency>,
    environment: BTreeMap<String, String>,
    healthcheck: Option<HealthCheck>,
    volumes: Vec<String>,
    ports: Vec<String>,
    stop_grace_period: Option<String>,
    read_only: bool,
    cap_drop: Vec<String>,
    security_opt: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    context: String,
    args: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct HealthCheck {
    test: Vec<String>,
    interval: String,
    timeout: String,
    retries: u32,
    start_period: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &str, text: &str) -> T {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The variables of `docker-compose.yml`, `${NAME:-default}`, with their defaults.
fn interpolated(text: &str) -> BTreeMap<String, String> {
    let variables = text.split("${").skip(1).map(|rest| {
        let (name, default) = rest.split('}').next().unwrap().split_once(":-").expect("no default");
        (name.to_owned(), default.to_owned())
    });
    variables.collect()
}

/// `docker-compose.yml` as it is without an `.env`.
fn compose() -> Compose {
    let mut text = read("docker-compose.yml");
    for (name, default) in interpolated(&text) {
        let value = if default.is_empty() { "''" } else { &default };
        text = text.replace(&format!("${{{name}:-{default}}}"), value);
    }
    parse("docker-compose.yml", &text.replace("$$", "$"))
}

fn in_plain_profile(compose: &Compose) -> impl Iterator<Item = (&String, &Container)> {
    compose.services.iter().filter(|(_, container)| container.profiles.is_empty())
}

/// Each service's containers: its name, its ports, and the container of either replica.
fn replicas(compose: &Compose) -> impl Iterator<Item = (&'static str, Ports, [&Container; 2])> {
    SERVICES.into_iter().zip(Ports::FIXED).map(|(service, ports)| {
        (service, ports, [&compose.services[service], &compose.services[&format!("{service}-2")]])
    })
}

fn seconds(duration: &str) -> u64 {
    duration.strip_suffix('s').and_then(|number| number.parse().ok()).expect("not a number of seconds")
}

/// Runs a program to its end; `None` when there is no such program.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).current_dir(root()).stdin(Stdio::null()).output();
    output.ok()
}

fn complaints(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn the_tools_that_read_it_accept_every_profile() {
    let tools = [&["docker-compose"][..], &["docker", "compose"]].into_iter().filter(|tool| {
        let version = [&tool[1..], &["version"]].concat();
        run(tool[0], &version).is_some_and(|output| output.status.success())
    });
    let tools: Vec<_> = tools.collect();
    assert!(!tools.is_empty(), "neither docker-compose nor docker compose is here: ./dev setup installs one");
    for tool in tools {
        for profiles in [&[][..], &PROFILES[..1], &PROFILES[1..], &PROFILES] {
            let mut arguments = tool[1..].to_vec();
            arguments.extend(["--env-file", ".env.example"]);
            arguments.extend(profiles.iter().flat_map(|profile| ["--profile", profile]));
            arguments.extend(["config", "--quiet"]);
            let output = run(tool[0], &arguments).unwrap();
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{tool:?} {arguments:?}: {}",
                complaints(&output)
            );
        }
    }
}

#[test]
fn the_services_accept_their_settings() {
    for (service, _, containers) in replicas(&compose()) {
        let known = settings::names(service).unwrap();
        for container in containers {
            for (name, value) in &container.environment {
                assert!(known.contains(name), "{service} does not know {name}={value}");
            }
            assert_eq!(settings::refusal(service, &container.environment).unwrap(), None);
        }
    }
}

#[test]
fn the_ports_are_those_of_the_local_stack_and_open_to_this_machine_only() {
    let compose = compose();
    let up = Command::new(find_binary("local-stack").unwrap()).args(["up", "--help"]).output().unwrap();
    let up = String::from_utf8(up.stdout).unwrap();
    let fixed = |option: &str| {
        let (_, rest) = up.split_once(&format!("--{option} ")).expect("no such option");
        rest.split_once("[default: ").unwrap().1.split_once(']').unwrap().0.to_owned()
    };
    let public = Ports::FIXED.map(|ports| format!("127.0.0.1:{0}:{0}", ports.public));
    assert_eq!(compose.services["proxy"].ports, public);
    assert_eq!(compose.services["postgres"].ports, [format!("127.0.0.1:{}:5432", fixed("postgres-port"))]);
    assert_eq!(compose.services["kafka"].ports, [format!("127.0.0.1:{0}:{0}", fixed("kafka-port"))]);
    for (service, ports, [first, second]) in replicas(&compose) {
        assert_eq!(first.ports, [format!("127.0.0.1:{0}:{0}", ports.internal)], "{service}");
        assert!(second.ports.is_empty(), "{service}");
        for container in [first, second] {
            assert_eq!(container.environment["LISTEN"], format!("0.0.0.0:{}", ports.public));
            assert_eq!(container.environment["INTERNAL_LISTEN"], format!("0.0.0.0:{}", ports.internal));
        }
    }
    for (name, container) in &compose.services {
        assert!(container.ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{name}");
    }
}

#[test]
fn the_replicas_are_alike_and_the_proxy_knows_both() {
    let compose = compose();
    let proxy = &compose.services["proxy"];
    for (service, ports, [first, second]) in replicas(&compose) {
        assert_eq!(second.profiles, ["replicas"], "{service}");
        assert!(second.build.is_none(), "two builds of one image get in each other's way");
        assert_eq!(first.image, second.image);
        assert_eq!(first.environment, second.environment);
        assert_eq!(first.healthcheck, second.healthcheck);
        assert_eq!(
            proxy.environment[&format!("{}_BIND", service.to_uppercase())],
            format!(":{}", ports.public)
        );
        for (number, host) in [(1, service.to_owned()), (2, format!("{service}-2"))] {
            let variable = format!("{}_{number}", service.to_uppercase());
            assert_eq!(proxy.environment[&variable], format!("{host}:{}", ports.public));
        }
    }
    let configuration = read("ops/haproxy.cfg");
    let asked: BTreeSet<&str> =
        configuration.split("${").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(asked, proxy.environment.keys().map(String::as_str).collect(), "of ops/haproxy.cfg");
}

#[test]
fn members_call_either_point_through_the_proxy() {
    let compose = compose();
    let [_, _, Ports { internal, .. }, _] = Ports::FIXED;
    let proxy = &compose.services["proxy"];
    assert_eq!(
        compose.services["member"].environment["POINT_INTERNAL_URL"],
        format!("http://proxy:{internal}/")
    );
    assert_eq!(proxy.environment["POINT_INTERNAL_BIND"], format!(":{internal}"));
    for (variable, host) in [("POINT_INTERNAL_1", "point"), ("POINT_INTERNAL_2", "point-2")] {
        assert_eq!(proxy.environment[variable], format!("{host}:{internal}"));
    }
}

#[test]
fn each_role_of_a_service_has_its_own_url() {
    for (service, _, containers) in replicas(&compose()) {
        for (variable, role) in [("DATABASE_URL", "app"), ("MIGRATION_DATABASE_URL", "owner")] {
            let expected = format!("postgres://{service}_{role}:mileage@postgres/mileage");
            for container in containers {
                assert_eq!(container.environment[variable], expected);
            }
        }
    }
}

#[test]
fn everything_starts_once_what_it_needs_is_healthy() {
    let compose = compose();
    let plain: BTreeSet<&String> = in_plain_profile(&compose).map(|(name, _)| name).collect();
    for (name, container) in &compose.services {
        assert!(container.healthcheck.is_some(), "{name} has no health check");
        assert_eq!(container.restart, "unless-stopped", "{name}");
        for (other, dependency) in &container.depends_on {
            assert_eq!(dependency.condition, "service_healthy", "{name} on {other}");
            assert!(plain.contains(other), "{name} needs {other}, which its profile may not start");
        }
    }
    for (service, _, containers) in replicas(&compose) {
        assert!(compose.services["proxy"].depends_on.contains_key(service));
        for container in containers {
            assert!(["postgres", "kafka"].iter().all(|needed| container.depends_on.contains_key(*needed)));
        }
    }
    for profile in compose.services.values().flat_map(|container| &container.profiles) {
        assert!(PROFILES.contains(&profile.as_str()), "{profile}");
    }
}

#[test]
fn a_service_may_do_little_and_has_the_time_to_stop() {
    for (service, _, containers) in replicas(&compose()) {
        for container in containers {
            assert!(container.read_only, "{service}");
            assert_eq!(container.cap_drop, ["ALL"], "{service}");
            let drain: u64 = container.environment["DRAIN_MS"].parse().unwrap();
            let grace: u64 = container.environment["SHUTDOWN_GRACE_MS"].parse().unwrap();
            let period = seconds(container.stop_grace_period.as_deref().unwrap());
            assert!(period * 1_000 > drain + grace, "{service} is killed after {period} s");
        }
    }
    for (name, container) in compose().services {
        assert_eq!(container.security_opt, ["no-new-privileges:true"], "{name}");
    }
}

#[test]
fn what_is_mounted_is_there() {
    let compose = compose();
    let mut mounted = BTreeSet::new();
    for volume in compose.services.values().flat_map(|container| &container.volumes) {
        let (source, rest) = volume.split_once(':').unwrap();
        if source.starts_with("./") {
            assert!(root().join(source).exists(), "{source}");
            assert!(rest.ends_with(":ro"), "{source} can be written to");
        } else {
            mounted.insert(source);
        }
    }
    assert_eq!(mounted, compose.volumes.keys().map(String::as_str).collect());
}

#[test]
fn the_example_of_settings_has_all_of_them_with_their_defaults() {
    let text = read(".env.example");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut example: BTreeMap<String, String> = lines
        .map(|line| line.split_once('=').expect("not NAME=value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(example.remove("COMPOSE_PROFILES").is_some(), "which the tools themselves know");
    assert_eq!(example, interpolated(&read("docker-compose.yml")));
}

#[test]
fn versions_are_pinned_as_elsewhere() {
    let compose = compose();
    let pom = read("local-stack/kafka/pom.xml");
    let (_, kafka) = pom.split_once("<artifactId>kafka_2.13</artifactId>").unwrap();
    let kafka = kafka.split_once("<version>").unwrap().1.split_once('<').unwrap().0;
    assert_eq!(compose.services["kafka"].image, format!("apache/kafka:{kafka}"));

    for (name, container) in &compose.services {
        let tag = container.image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(tag == "dev" || tag.contains(|c: char| c.is_ascii_digit()), "{name}: {}", container.image);
    }

    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.contains(&format!("FROM rust:{channel}-")), "Rust is {channel} elsewhere");
}

#[test]
fn the_image_is_built_of_each_service_and_of_nothing_else() {
    let dockerfile = read("Dockerfile");
    for (service, _, [first, _]) in replicas(&compose()) {
        assert_eq!(first.image, format!("mileage/{service}:dev"));
        let build = first.build.as_ref().unwrap();
        assert_eq!((build.context.as_str(), build.args["SERVICE"].as_str()), (".", service));
        assert_eq!(build.args.len(), 1);
        // Once to cook the dependencies and once to build.
        assert_eq!(dockerfile.matches(&format!("--package {service}")).count(), 2, "{service}");
    }
    let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert_eq!(user, "65532:65532");

    let manifest = read("Cargo.toml");
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members: Vec<&str> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.contains(&"chassis"));
    for ignored in read(".dockerignore").lines().filter_map(|line| line.strip_prefix('/')) {
        let has = members.iter().find(|member| Path::new(member).starts_with(ignored));
        assert!(has.is_none(), "the workspace cannot be built without {has:?}");
    }
}

#[test]
fn prometheus_scrapes_the_internal_listener_of_every_replica() {
    #[derive(Deserialize)]
    struct Prometheus {
        scrape_configs: Vec<Job>,
    }
    #[derive(Deserialize)]
    struct Job {
        static_configs: Vec<Fixed>,
        dns_sd_configs: Vec<Looked>,
    }
    #[derive(Deserialize)]
    struct Fixed {
        targets: Vec<String>,
        labels: BTreeMap<String, String>,
    }
    #[derive(Deserialize)]
    struct Looked {
        names: Vec<String>,
        port: u16,
    }
    let path = "ops/prometheus/prometheus.yml";
    let Prometheus { scrape_configs } = parse(path, &read(path));
    let [job] = scrape_configs.as_slice() else { panic!("there is one job") };
    for ((service, ports), (fixed, looked)) in
        SERVICES.iter().zip(Ports::FIXED).zip(job.static_configs.iter().zip(&job.dns_sd_configs))
    {
        assert_eq!(fixed.targets, [format!("{service}:{}", ports.internal)]);
        assert_eq!(fixed.labels["service"], *service);
        assert_eq!((&looked.names, looked.port), (&vec![format!("{service}-2")], ports.internal));
    }
    assert_eq!((job.static_configs.len(), job.dns_sd_configs.len()), (SERVICES.len(), SERVICES.len()));

    match run("promtool", &["check", "config", path]) {
        Some(output) => assert!(output.status.success(), "{}", complaints(&output)),
        None => println!("promtool is not here to check {path}"),
    }
}

#[test]
fn each_service_has_a_build_of_its_own() {
    #[derive(Deserialize)]
    struct CloudBuild {
        substitutions: BTreeMap<String, String>,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    struct Step {
        id: String,
    }
    let path = "member/cloudbuild.yaml";
    let text = read(path);
    for service in SERVICES {
        let own = read(&format!("{service}/cloudbuild.yaml"));
        assert_eq!(own, text.replace("member", service), "{service} is not built as member is");
    }
    let build: CloudBuild = parse(path, &text);
    assert_eq!(build.substitutions["_SERVICE"], "member");
    let steps: Vec<&str> = build.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(steps, ["build", "push", "deploy"]);
    let dockerfile = read("Dockerfile");
    let arguments = text.split("--build-arg=").skip(1).map(|rest| rest.split('=').next().unwrap());
    for argument in arguments {
        assert!(dockerfile.contains(&format!("ARG {argument}")), "{argument}");
    }
    let overlay = text.split_once("resources: [../").unwrap().1.split(']').next().unwrap();
    assert!(root().join(overlay).join("kustomization.yaml").is_file(), "{overlay}");
}
