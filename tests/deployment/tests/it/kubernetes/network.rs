//! Who can reach whom, by the Services, the Ingress and the NetworkPolicies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use local_stack::database::SERVICES;

use super::custom_resources::Kafka;
use super::manifests::{Labels, Manifests, container, labels, port, selects};

/// One end of a connection.
enum Party {
    /// A pod of the overlay.
    Pod(Labels),
    /// A pod of another namespace, with the labels of the namespace.
    Elsewhere(Labels),
    /// An address that is no pod's.
    Address(IpAddr),
}

/// The port of the pod that is connected to.
struct Port {
    number: i32,
    name: &'static str,
}

const POSTGRES: Port = Port { number: 5432, name: "postgres" };

/// The policies of an overlay, as a network plugin applies them to new TCP connections.
struct Network {
    namespace: Labels,
    policies: Vec<NetworkPolicySpec>,
}

impl Network {
    fn of(manifests: &Manifests) -> Self {
        let namespace = manifests.all_of::<Namespace>().remove(0).metadata;
        let mut labels = namespace.labels.unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.name.expect("a name"));
        let policies = manifests
            .all_of::<NetworkPolicy>()
            .into_iter()
            .map(|policy| policy.spec.expect("a spec"))
            .collect();
        Self { namespace: labels, policies }
    }

    /// Whether both sides let the connection through.
    fn lets(&self, from: &Party, to: &Party, port: &Port) -> bool {
        self.allows("Egress", from, to, port) && self.allows("Ingress", to, from, port)
    }

    /// Whether the policies of `side` allow it. What no policy is about is allowed.
    fn allows(&self, direction: &str, side: &Party, other: &Party, port: &Port) -> bool {
        let Party::Pod(labels) = side else { return true };
        let about = |policy: &&NetworkPolicySpec| {
            let types = policy.policy_types.as_ref().expect("policyTypes, said explicitly");
            types.iter().any(|kind| kind == direction)
                && policy.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels))
        };
        let policies: Vec<_> = self.policies.iter().filter(about).collect();
        policies.is_empty()
            || policies.iter().any(|policy| {
                self.rules(policy, direction).any(|(peers, ports)| {
                    peers.is_none_or(|peers| peers.iter().any(|peer| self.matches(peer, other)))
                        && ports.is_none_or(|ports| ports.iter().any(|rule| includes(rule, port)))
                })
            })
    }

    fn rules<'a>(
        &self,
        policy: &'a NetworkPolicySpec,
        direction: &str,
    ) -> impl Iterator<Item = (Option<&'a [NetworkPolicyPeer]>, Option<&'a [NetworkPolicyPort]>)> {
        let ingress =
            policy.ingress.iter().flatten().map(|rule| (rule.from.as_deref(), rule.ports.as_deref()));
        let egress = policy.egress.iter().flatten().map(|rule| (rule.to.as_deref(), rule.ports.as_deref()));
        let rules: Vec<_> = if direction == "Ingress" { ingress.collect() } else { egress.collect() };
        rules.into_iter()
    }

    fn matches(&self, peer: &NetworkPolicyPeer, party: &Party) -> bool {
        match (party, &peer.ip_block) {
            (Party::Address(address), Some(block)) => {
                contains(&block.cidr, *address)
                    && !block.except.iter().flatten().any(|cidr| contains(cidr, *address))
            }
            (Party::Pod(labels), None) => {
                peer.namespace_selector.as_ref().is_none_or(|selector| selects(selector, &self.namespace))
                    && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, labels))
            }
            (Party::Elsewhere(namespace), None) => {
                peer.pod_selector.is_none()
                    && peer.namespace_selector.as_ref().is_some_and(|selector| selects(selector, namespace))
            }
            _ => false,
        }
    }
}

fn includes(rule: &NetworkPolicyPort, port: &Port) -> bool {
    assert_eq!(rule.end_port, None, "this test does not know port ranges");
    let is_tcp = rule.protocol.as_deref().is_none_or(|protocol| protocol == "TCP");
    is_tcp
        && match &rule.port {
            None => true,
            Some(IntOrString::Int(number)) => *number == port.number,
            Some(IntOrString::String(name)) => name == port.name,
        }
}

fn contains(cidr: &str, address: IpAddr) -> bool {
    let (IpAddr::V4(address), Some((network, bits))) = (address, cidr.split_once('/')) else { return false };
    let network: std::net::Ipv4Addr = network.parse().expect("an address");
    let mask = u32::MAX.checked_shl(32 - bits.parse::<u32>().expect("a number of bits")).unwrap_or(0);
    u32::from(address) & mask == u32::from(network) & mask
}

fn label(name: &str, value: &str) -> Labels {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn service(manifests: &Manifests, name: &str) -> Party {
    Party::Pod(labels(&manifests.pods()[name]))
}

fn port_of(manifests: &Manifests, service: &str, name: &'static str) -> Port {
    Port { number: port(container(&manifests.pods()[service]), name).expect("the port"), name }
}

/// Postgres, and a pod of its kind where an operator makes the pods.
fn postgres(manifests: &Manifests) -> Party {
    let made = manifests.pods().get("postgres").map(labels);
    Party::Pod(made.unwrap_or_else(|| label("cnpg.io/cluster", "postgres")))
}

/// A broker, and where it listens.
fn kafka(manifests: &Manifests) -> (Party, Port) {
    if let Some(pod) = manifests.pods().get("kafka") {
        return (Party::Pod(labels(pod)), Port { number: 9092, name: "kafka" });
    }
    let listeners = manifests.find::<Kafka>("mileage").expect("Kafka").spec.kafka.listeners;
    let mut broker = label("strimzi.io/cluster", "mileage");
    broker.insert("strimzi.io/pool-name".to_owned(), "broker".to_owned());
    (Party::Pod(broker), Port { number: listeners[0].port, name: "tcp-tls" })
}

#[test]
fn only_member_reaches_the_internal_port_of_point() {
    for manifests in Manifests::all() {
        let network = Network::of(manifests);
        let (point, internal) = (service(manifests, "point"), port_of(manifests, "point", "internal"));
        for name in manifests.pods().keys() {
            let from = service(manifests, name);
            // Both sides say so, so that a slip in one policy opens nothing.
            for (direction, side, other) in [("Ingress", &point, &from), ("Egress", &from, &point)] {
                let allowed = network.allows(direction, side, other, &internal);
                let open = direction == "Egress" && !SERVICES.contains(&name.as_str());
                assert!(open || allowed == (name == "member"), "{}: {direction}, {name}", manifests.overlay);
            }
        }
        let ingress = Party::Elsewhere(label("mileage/ingress", "true"));
        let strangers = [
            ingress,
            Party::Elsewhere(Labels::new()),
            Party::Pod(Labels::new()),
            postgres(manifests),
            kafka(manifests).0,
        ];
        assert!(!strangers.iter().any(|stranger| network.lets(stranger, &point, &internal)));
    }
}

#[test]
fn services_are_reached_by_ingress_controllers_and_prometheus_only() {
    for manifests in Manifests::all() {
        let network = Network::of(manifests);
        for name in SERVICES {
            let to = service(manifests, name);
            let (http, internal) = (port_of(manifests, name, "http"), port_of(manifests, name, "internal"));
            let ingress = Party::Elsewhere(label("mileage/ingress", "true"));
            let prometheus = Party::Elsewhere(label("mileage/monitoring", "true"));
            assert!(network.lets(&ingress, &to, &http) && !network.lets(&ingress, &to, &internal));
            assert!(network.lets(&prometheus, &to, &internal) && !network.lets(&prometheus, &to, &http));
            assert!(!network.lets(&Party::Elsewhere(Labels::new()), &to, &http));
            for other in SERVICES {
                assert!(!network.lets(&service(manifests, other), &to, &http), "{other} reaches {name}");
            }
        }
    }
}

#[test]
fn services_reach_postgres_and_kafka_and_nothing_else_does() {
    for manifests in Manifests::all() {
        let network = Network::of(manifests);
        let (postgres, (kafka, listener)) = (postgres(manifests), kafka(manifests));
        for name in SERVICES {
            let service = service(manifests, name);
            assert!(network.lets(&service, &postgres, &POSTGRES), "{name}");
            assert!(network.lets(&service, &kafka, &listener), "{name}");
        }
        assert!(!network.lets(&Party::Elsewhere(label("mileage/ingress", "true")), &postgres, &POSTGRES));
        assert!(!network.lets(&Party::Pod(Labels::new()), &postgres, &POSTGRES));
        for kafka in manifests.all_of::<Kafka>() {
            for listener in kafka.spec.kafka.listeners {
                let admits = |party: &Party| {
                    listener.network_policy_peers.iter().any(|peer| network.matches(peer, party))
                };
                assert!(SERVICES.iter().all(|name| admits(&service(manifests, name))));
                assert!(!admits(&Party::Pod(Labels::new())) && !admits(&Party::Elsewhere(Labels::new())));
            }
        }
    }
}

#[test]
fn only_message_reaches_the_internet_and_only_by_https() {
    let manifests = Manifests::of_overlay("production");
    let network = Network::of(manifests);
    let [gateway, inside] =
        ["203.0.113.9", "10.0.0.9"].map(|address| Party::Address(address.parse().unwrap()));
    for name in SERVICES {
        let from = service(manifests, name);
        let reaches = |to: &Party, number| network.lets(&from, to, &Port { number, name: "" });
        assert_eq!(reaches(&gateway, 443), name == "message", "{name}");
        assert!(!reaches(&gateway, 80) && !reaches(&inside, 443), "{name}");
    }
}

#[test]
fn names_can_be_looked_up() {
    for manifests in Manifests::all() {
        let dns = Party::Elsewhere(label("kubernetes.io/metadata.name", "kube-system"));
        for name in SERVICES {
            assert!(Network::of(manifests).lets(
                &service(manifests, name),
                &dns,
                &Port { number: 53, name: "dns-tcp" }
            ));
        }
    }
}
