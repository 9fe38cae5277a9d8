//! The message service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(message::SERVICE, message::app::build, message::app::perform)
}
