//! The mypage service.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::run(mypage::SERVICE, mypage::app::build, mypage::app::perform)
}
