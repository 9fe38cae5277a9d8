//! AsyncAPI 3.0 of the topics.

use clap::{Args, Command};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use shared_events::Topic;
use shared_events::delivery::KafkaSettings;

use crate::examples::Example;
use crate::headers;
use crate::services::REACTIONS;

const KAFKA_BINDING: &str = "0.5.0";

/// The document, in the order in which it is read.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    asyncapi: &'static str,
    info: Value,
    default_content_type: &'static str,
    servers: Value,
    channels: InOrder<Channel>,
    operations: InOrder<Operation>,
    components: Components,
}

#[derive(Serialize)]
struct Channel {
    address: String,
    description: &'static str,
    servers: Vec<Value>,
    messages: InOrder<Value>,
    bindings: Value,
}

#[derive(Serialize)]
struct Operation {
    action: &'static str,
    summary: String,
    tags: Vec<Value>,
    channel: Value,
    messages: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    name: &'static str,
    title: &'static str,
    summary: String,
    content_type: &'static str,
    headers: Value,
    payload: Value,
    bindings: Value,
    examples: Vec<Value>,
}

#[derive(Serialize)]
struct Components {
    messages: InOrder<Message>,
    schemas: InOrder<Value>,
}

/// Entries of a mapping, kept in their order.
struct InOrder<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for InOrder<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, entry)| (name, entry)))
    }
}

impl Document {
    /// The document of events of which these are examples.
    pub fn of(examples: &[Example]) -> Self {
        Self {
            asyncapi: "3.0.0",
            info: json!({
                "title": "Mileage events",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "What happens in the membership mileage system. Read any topic with a consumer group of \
                    your own: nobody else has to change. Delivery is at least once and in order per memberId. Payloads \
                    only ever gain optional fields: ignore fields and types that you do not know.",
                "license": { "name": env!("CARGO_PKG_LICENSE") },
            }),
            default_content_type: "application/json",
            servers: json!({ "local": {
                "host": default_of("kafka_brokers"),
                "protocol": "kafka",
                "description": "What ./dev up starts.",
            }}),
            channels: InOrder(
                Topic::ALL.map(|topic| (topic_name(topic), channel(topic, examples))).into_iter().collect(),
            ),
            operations: InOrder(sending(examples).chain(receiving(examples)).collect()),
            components: Components {
                messages: InOrder(
                    examples
                        .iter()
                        .map(|example| (example.event_type.to_owned(), message(example)))
                        .collect(),
                ),
                schemas: InOrder(vec![("Headers".to_owned(), headers::schema()), ("Key".to_owned(), key())]),
            },
        }
    }
}

fn channel(topic: Topic, examples: &[Example]) -> Channel {
    let messages = examples.iter().filter(|example| example.topic == topic).map(|example| {
        (example.event_type.to_owned(), reference(&format!("/components/messages/{}", example.event_type)))
    });
    let partitions: i32 = default_of("topic_partitions").parse().expect("a number");
    Channel {
        address: topic_name(topic),
        description: match topic {
            Topic::Member => {
                "The public state of members. The only topic with personal data: who reads it erases on \
                 MemberWithdrawn what it keeps of them."
            }
            Topic::Message => "How notifications ended.",
            Topic::Point => "What happened to balances.",
        },
        servers: vec![reference("/servers/local")],
        messages: InOrder(messages.collect()),
        bindings: json!({ "kafka": {
            "topic": topic_name(topic),
            "partitions": partitions,
            "topicConfiguration": topic_configuration(topic),
            "bindingVersion": KAFKA_BINDING,
        }}),
    }
}

/// The topic's configuration, typed as the Kafka binding wants it.
fn topic_configuration(topic: Topic) -> Map<String, Value> {
    let typed = |name: &str, value: &str| match (name, value.parse::<i64>()) {
        ("cleanup.policy", _) => json!([value]),
        (_, Ok(number)) => json!(number),
        (_, Err(_)) => json!(value),
    };
    topic.config().iter().map(|(name, value)| ((*name).to_owned(), typed(name, value))).collect()
}

fn sending(examples: &[Example]) -> impl Iterator<Item = (String, Operation)> {
    Topic::ALL.into_iter().map(|topic| {
        let published = examples.iter().filter(|example| example.topic == topic);
        let service = topic.suffix();
        let operation = operation("send", format!("{service} says what happened to what it owns."), service);
        (
            format!("{service}.publish"),
            operation(topic, published.map(|example| example.event_type).collect()),
        )
    })
}

fn receiving(examples: &[Example]) -> impl Iterator<Item = (String, Operation)> {
    REACTIONS.into_iter().flat_map(move |(service, types)| {
        Topic::ALL.into_iter().filter_map(move |topic| {
            let reacts = |example: &&Example| example.topic == topic && types.contains(&example.event_type);
            let read: Vec<_> = examples.iter().filter(reacts).map(|example| example.event_type).collect();
            let summary = format!("What {service} reacts to of {}.", topic_name(topic));
            let operation = operation("receive", summary, service);
            (!read.is_empty()).then(|| (format!("{service}.on.{topic}"), operation(topic, read)))
        })
    })
}

fn operation(
    action: &'static str,
    summary: String,
    service: &'static str,
) -> impl FnOnce(Topic, Vec<&'static str>) -> Operation {
    move |topic, types| {
        let channel = format!("/channels/{}", topic_name(topic));
        Operation {
            action,
            summary,
            tags: vec![json!({ "name": service })],
            messages: types
                .iter()
                .map(|event_type| reference(&format!("{channel}/messages/{event_type}")))
                .collect(),
            channel: reference(&channel),
        }
    }
}

fn message(example: &Example) -> Message {
    let headers = headers::written(&example.envelope);
    Message {
        name: example.event_type,
        title: example.event_type,
        summary: example.description.clone(),
        content_type: "application/json",
        headers: json!({
            "type": "object",
            "allOf": [
                reference("/components/schemas/Headers"),
                { "properties": {
                    "ce_source": { "const": headers["ce_source"] },
                    "ce_type": { "const": headers["ce_type"] },
                }},
            ],
        }),
        payload: json!({ "$ref": format!("./schemas/{}.json", example.event_type) }),
        bindings: json!({ "kafka": {
            "key": reference("/components/schemas/Key"),
            "bindingVersion": KAFKA_BINDING,
        }}),
        examples: vec![json!({ "headers": headers, "payload": example.payload })],
    }
}

fn key() -> Value {
    json!({
        "type": "string",
        "pattern": "^[1-9][0-9]{0,15}$",
        "description": "The memberId in ASCII decimal, so that the events of one member are in order.",
    })
}

fn reference(pointer: &str) -> Value {
    json!({ "$ref": format!("#{pointer}") })
}

fn topic_name(topic: Topic) -> String {
    topic.name(&default_of("topic_prefix"))
}

/// What a setting is unless it is set otherwise, whatever this process' environment says.
fn default_of(setting: &str) -> String {
    let settings = KafkaSettings::augment_args(Command::new("settings"));
    let argument = settings.get_arguments().find(|argument| argument.get_id() == setting);
    let defaults = argument.expect("a setting").get_default_values();
    defaults.first().and_then(|value| value.to_str()).expect("it has a default").to_owned()
}
