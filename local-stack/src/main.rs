//! `local-stack`: the command behind `./dev up`, `down`, `status` and `sqlx`.

mod cli;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    local_stack::report::enable();
    match cli::run().await {
        Ok(code) => code,
        Err(error) => {
            local_stack::report::say(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
