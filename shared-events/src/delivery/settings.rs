//! Settings of the connection to Kafka.

use clap::Args;
use rdkafka::ClientConfig;

/// How to reach Kafka and what the topics are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kafka")]
pub struct KafkaSettings {
    /// Brokers to start from, `host:port,host:port`
    #[arg(long, env = "KAFKA_BROKERS", default_value = "localhost:9092")]
    pub kafka_brokers: String,

    /// What topic and consumer group names begin with; one per environment on a shared cluster
    #[arg(long, env = "TOPIC_PREFIX", default_value = "mileage")]
    pub topic_prefix: String,

    /// Partitions of each topic; fixed for life, start refuses a mismatch
    #[arg(long, env = "TOPIC_PARTITIONS", default_value_t = 12, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub topic_partitions: i32,

    /// Replicas of each topic that has to be created (3 in production)
    #[arg(long, env = "TOPIC_REPLICATION", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=9))]
    pub topic_replication: i32,

    /// Consumer group to read as, instead of `<topic prefix>.<service>`
    #[arg(long, env = "CONSUMER_GROUP")]
    pub consumer_group: Option<String>,

    /// Further librdkafka properties, `name=value,name=value`, such as those for TLS and SASL; those that the guarantees
    /// rest on are refused
    #[arg(long, env = "KAFKA_PROPERTIES", hide_env_values = true, value_delimiter = ',', value_parser = property)]
    pub kafka_properties: Vec<(String, String)>,
}

/// Properties of a librdkafka client.
pub(super) type Properties = &'static [(&'static str, &'static str)];

/// What every client of this process has in common.
const CLIENT_DEFAULTS: Properties = &[
    ("socket.nagle.disable", "true"),
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
];

/// That a producer neither loses, doubles nor reorders what it is given.
///
/// One request at a time. Of several the broker may refuse the first and take the second: from a producer that a partition
/// does not know yet it takes any sequence number. librdkafka would report the first as delivered then
/// (`rd_kafka_dr_implicit_ack`, <https://github.com/confluentinc/confluent-kafka-go/issues/921>).
pub(super) const PRODUCER_GUARANTEES: Properties = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("enable.gapless.guarantee", "true"),
    ("max.in.flight.requests.per.connection", "1"),
    ("partitioner", "murmur2_random"),
];

/// That a consumer reads everything, and only what it has stored as dealt with is committed: from time to time, and
/// whenever it gives a partition away. What was not yet committed when it died comes again, and the inbox knows it.
pub(super) const CONSUMER_GUARANTEES: Properties = &[
    ("enable.auto.commit", "true"),
    ("auto.commit.interval.ms", "500"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("partition.assignment.strategy", "range,roundrobin"),
];

/// What other settings say.
const SET_ELSEWHERE: [&str; 4] = ["bootstrap.servers", "client.id", "group.id", "allow.auto.create.topics"];

/// Other names that librdkafka has for what is set here, and the name it has here: of two names for one property, either
/// could win.
const ALIASES: Properties = &[
    ("auto.commit.enable", "enable.auto.commit"),
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
];

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("must be name=value")?;
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    let mut fixed = PRODUCER_GUARANTEES.iter().chain(CONSUMER_GUARANTEES).map(|(fixed, _)| fixed);
    if fixed.any(|fixed| *fixed == name) || SET_ELSEWHERE.contains(&name) {
        return Err(format!("{name} cannot be set here: what the service promises rests on it"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl KafkaSettings {
    /// The configuration of a client: `defaults` that the operator's properties replace, and `guarantees` that nothing does.
    pub(super) fn client_config(
        &self,
        client_id: &str,
        defaults: &[Properties],
        guarantees: Properties,
    ) -> ClientConfig {
        let own = self.kafka_properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut config = ClientConfig::new();
        for (name, value) in
            CLIENT_DEFAULTS.iter().chain(defaults.iter().copied().flatten()).copied().chain(own)
        {
            config.set(name, value);
        }
        for (name, value) in guarantees {
            config.set(*name, *value);
        }
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("client.id", client_id)
            .set("allow.auto.create.topics", "false");
        config
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches, error::Error};

    use super::*;

    fn settings(properties: &str) -> Result<KafkaSettings, Error> {
        let command = KafkaSettings::augment_args(Command::new("service"));
        let arguments = ["service", "--kafka-properties", properties];
        KafkaSettings::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn an_operators_properties_replace_defaults() {
        let settings = settings("session.timeout.ms=6000,security.protocol=SSL").unwrap();
        let config = settings.client_config("it", &[&[("session.timeout.ms", "10000")]], CONSUMER_GUARANTEES);
        assert_eq!(config.get("session.timeout.ms"), Some("6000"));
        assert_eq!(config.get("security.protocol"), Some("SSL"));
        assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
    }

    #[test]
    fn a_property_by_another_name_replaces_the_same_default() {
        let settings = settings("queue.buffering.max.ms=5").unwrap();
        let config = settings.client_config("it", &[&[("linger.ms", "0")]], PRODUCER_GUARANTEES);
        assert_eq!((config.get("linger.ms"), config.get("queue.buffering.max.ms")), (Some("5"), None));
    }

    #[test]
    fn what_the_guarantees_rest_on_cannot_be_replaced() {
        for property in [
            "acks=1",
            "request.required.acks=1",
            "max.in.flight=5",
            "metadata.broker.list=elsewhere:9092",
            "enable.auto.offset.store=true",
            "group.id=x",
            "=x",
            "linger.ms",
        ] {
            assert!(settings(property).is_err(), "{property}");
        }
    }
}
