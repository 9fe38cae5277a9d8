//! The point service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(point::SERVICE, point::app::build, point::app::perform)
}
