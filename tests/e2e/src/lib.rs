//! What the end-to-end tests stand on: real services, a real Postgres and a real Apache Kafka, and ways to look
//! at all of them from outside.

mod books;
mod breakpoints;
mod client;
mod database;
mod evidence;
mod infrastructure;
mod load;
mod point_proxy;
mod polyglot;
mod replicas;
mod reverse_proxy;
mod siege;
mod sms_provider;
mod topics;
mod wait;
mod world;

pub use breakpoints::{Armed, Breakpoints, Moment, Outcome};
pub use client::{Answer, Client};
pub use infrastructure::{block_on, kafka, postgres};
pub use load::{Fate, Load, Log, Seen, Sent};
pub use local_stack::database::SERVICES;
pub use point_proxy::{Mischief, PointProxy};
pub use polyglot::{contract, points_report, schemathesis, validate_asyncapi};
pub use replicas::Replicas;
pub use reverse_proxy::ReverseProxy;
pub use siege::siege_report;
pub use sms_provider::{Mood, SMS_SECRET, SmsProvider};
pub use topics::{Record, Topics};
pub use wait::{eventually, eventually_within};
pub use world::{World, WorldOptions, noticed_soon};
