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

    /// Further librdkafka properties, `name=value,name=value`, such as those for TLS and SASL
    #[arg(long, env = "KAFKA_PROPERTIES", hide_env_values = true, value_delimiter = ',', value_parser = property)]
    pub kafka_properties: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be name=value".to_owned()),
    }
}

impl KafkaSettings {
    /// What every client of this process has in common.
    pub(super) fn client_config(&self, client_id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("client.id", client_id)
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("allow.auto.create.topics", "false");
        for (name, value) in &self.kafka_properties {
            config.set(name, value);
        }
        config
    }
}
