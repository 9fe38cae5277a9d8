//! Logs: structured lines on standard error. Standard output belongs to the commands of a service.

use std::panic;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::Settings;
use crate::settings::LogFormat;

/// Starts logging, once in a process. A panic is logged like any other error.
pub(crate) fn start(settings: &Settings) -> anyhow::Result<()> {
    let lines = match settings.log_format {
        LogFormat::Json => json_lines(),
        LogFormat::Pretty => fmt::layer().with_writer(std::io::stderr).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(settings.log.parse::<Targets>()?).try_init()?;
    panic::set_hook(Box::new(|info| tracing::error!(panic = %info, "panicked")));
    Ok(())
}

fn json_lines() -> Box<dyn Layer<Registry> + Send + Sync> {
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .boxed()
}
