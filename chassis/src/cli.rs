//! Arguments and environment: from the command line to checked settings.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command};

use crate::{Service, Validate};

/// What the command line asked for.
#[derive(Debug)]
pub enum Parsed<C> {
    /// To run with these settings.
    Run(C),
    /// To be told this: `--help` or `--version`.
    Answer(String),
}

/// The command of a service: all its settings, each with help, default and environment variable.
pub fn command<C: Args>(service: &Service) -> Command {
    C::augment_args(Command::new(service.name))
        .about(service.about)
        .long_about(None)
        .version(env!("CARGO_PKG_VERSION"))
        .mut_arg("listen", |arg| arg.default_value(loopback(service.public_port)).required(false))
        .mut_arg("internal_listen", |arg| arg.default_value(loopback(service.internal_port)).required(false))
}

/// Leaks a few bytes, twice in the life of a process: the parser wants a static default.
fn loopback(port: u16) -> &'static str {
    format!("127.0.0.1:{port}").leak()
}

/// Parses and validates. The error is one line for standard error.
pub fn parse<C>(service: &Service, args: impl IntoIterator<Item = OsString>) -> Result<Parsed<C>, String>
where
    C: Args + Validate,
{
    let mut command = command::<C>(service);
    let parsed = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| C::from_arg_matches(&matches).map_err(|error| error.format(&mut command)));
    match parsed {
        Ok(config) => config.validate().map(|()| Parsed::Run(config)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Answer(error.to_string()))
        }
        Err(error) => Err(one_line(&command, &error)),
    }
}

/// The first paragraph of the parser's message, on one line, and the environment variable it may have come from.
fn one_line(command: &Command, error: &clap::Error) -> String {
    let message = error.to_string();
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    match environment_variable(command, error) {
        Some(variable) => format!("{line} [environment: {variable}]"),
        None => line.to_owned(),
    }
}

fn environment_variable(command: &Command, error: &clap::Error) -> Option<String> {
    let name = match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(name) => name,
        ContextValue::Strings(names) => names.first()?,
        _ => return None,
    };
    let long = name.strip_prefix("--")?.split(' ').next()?;
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(long))?;
    Some(arg.get_env()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::settings::Auth;

    const SERVICE: Service =
        Service { name: "point", about: "Points.", public_port: 8083, internal_port: 9083 };
    const URL: &str = "--database-url=postgres://point_app:secret@localhost/mileage";

    fn parsed(args: &[&str]) -> Result<Parsed<Settings>, String> {
        parse(&SERVICE, ["point"].iter().chain(args).map(OsString::from))
    }

    fn settings(args: &[&str]) -> Settings {
        match parsed(args) {
            Ok(Parsed::Run(settings)) => settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_service() {
        let settings = settings(&[URL]);

        assert_eq!(settings.listen.to_string(), "127.0.0.1:8083");
        assert_eq!(settings.internal_listen.to_string(), "127.0.0.1:9083");
        assert_eq!(settings.auth(), Auth::None);
        assert!(!settings.no_migrate);
        assert_eq!(settings.migration_database_url().expose(), settings.database_url.expose());
    }

    #[test]
    fn a_flag_may_stand_alone_or_have_a_value() {
        assert!(settings(&[URL, "--no-migrate"]).no_migrate);
        assert!(settings(&[URL, "--no-migrate=yes"]).no_migrate);
        assert!(!settings(&[URL, "--no-migrate=false"]).no_migrate);
    }

    #[test]
    fn a_wrong_setting_is_one_line_that_names_it() {
        for (args, expected) in [
            (
                &["--database-url"][..],
                "--database-url <DATABASE_URL>' but none was supplied [environment: DATABASE_URL]",
            ),
            (&[URL, "--body-limit-bytes=0"], "[environment: BODY_LIMIT_BYTES]"),
            (&[URL, "--listen=nowhere"], "[environment: LISTEN]"),
            (&[URL, "--log-format=xml"], "'xml'"),
            (&[URL, "--colour=red"], "--colour"),
            (&[URL, "--log=a=b=c"], "RUST_LOG"),
            (&[URL, "--public-url=example.org"], "PUBLIC_URL"),
            (&[URL, "--listen=127.0.0.1:9083"], "both 127.0.0.1:9083"),
        ] {
            let line = parsed(args).unwrap_err();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn everybody_is_operator_only_where_nobody_comes_or_it_was_said() {
        assert!(parsed(&[URL, "--listen=0.0.0.0:80"]).unwrap_err().contains("--auth none"));
        assert!(parsed(&[URL, "--listen=[::]:80"]).is_err());
        assert_eq!(settings(&[URL, "--listen=0.0.0.0:80", "--auth=none"]).auth(), Auth::None);
        assert_eq!(settings(&[URL, "--listen=[::1]:80"]).auth(), Auth::None);
    }

    #[test]
    fn no_password_is_shown() {
        assert!(!format!("{:?}", settings(&[URL])).contains("secret"));
        for url in ["postgres://u:secret@host:x/db", "mysql://u:secret@host/db"] {
            let line = parsed(&["--database-url", url]).unwrap_err();
            assert!(line.contains("DATABASE_URL") && !line.contains("secret"), "{line}");
        }
    }

    #[test]
    fn help_has_every_setting_with_its_variable() {
        let Ok(Parsed::Answer(help)) = parsed(&["--help"]) else { panic!("no help") };
        for arg in command::<Settings>(&SERVICE).get_arguments() {
            let variable = arg.get_env().unwrap().to_str().unwrap();
            assert!(help.contains(&format!("[env: {variable}")), "{variable}");
            assert!(arg.get_help().is_some(), "{variable}");
        }
        assert!(help.starts_with("Points.") && help.contains("127.0.0.1:8083"));
    }
}
