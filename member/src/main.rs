//! The member service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(member::SERVICE, member::app::build, member::app::perform)
}
