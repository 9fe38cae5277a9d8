//! Arguments and environment: from the command line to checked settings.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::{Service, Validate};

/// What the command line asked for.
#[derive(Debug)]
pub enum Parsed<C, S> {
    /// To serve with these settings.
    Serve(C),
    /// To carry out a command of the service's own, with these settings.
    Command(C, S),
    /// To ask the process that serves with these settings whether it is ready.
    HealthCheck(C),
    /// To be told this: `--help` or `--version`.
    Answer(String),
}

/// The commands of a command line: those of every service, and the service's own.
#[derive(Subcommand)]
enum Commands<S: Subcommand> {
    /// Asks the service that runs with these settings for /readyz; exits with 0 when it is ready, else with 1
    #[command(name = "healthcheck")]
    HealthCheck,
    #[command(flatten)]
    Own(S),
}

/// The command line of a service: all its settings, each with help, default and environment variable, and its commands.
pub fn command<C: Args, S: Subcommand>(service: &Service) -> Command {
    Commands::<S>::augment_subcommands(C::augment_args(Command::new(service.name)))
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
pub fn parse<C, S>(
    service: &Service,
    args: impl IntoIterator<Item = OsString>,
) -> Result<Parsed<C, S>, String>
where
    C: Args + Validate,
    S: Subcommand,
{
    let mut command = command::<C, S>(service);
    let parsed = command
        .try_get_matches_from_mut(args)
        .and_then(|matches| from_matches::<C, S>(&matches).map_err(|error| error.format(&mut command)));
    match parsed {
        Ok((config, subcommand)) => {
            config.validate()?;
            Ok(match subcommand {
                None => Parsed::Serve(config),
                Some(Commands::HealthCheck) => Parsed::HealthCheck(config),
                Some(Commands::Own(own)) => Parsed::Command(config, own),
            })
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Answer(error.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err("that command needs another one behind it; --help there says which".to_owned())
        }
        Err(error) => Err(one_line(&command, &error)),
    }
}

fn from_matches<C: Args, S: Subcommand>(
    matches: &ArgMatches,
) -> Result<(C, Option<Commands<S>>), clap::Error> {
    let subcommand = matches.subcommand_name().map(|_| Commands::from_arg_matches(matches)).transpose()?;
    Ok((C::from_arg_matches(matches)?, subcommand))
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

    /// What the service can do besides serving.
    #[derive(Debug, PartialEq, Eq, Subcommand)]
    enum Tool {
        /// Counts something
        Count {
            /// How far
            to: u8,
        },
        /// Does one thing or another
        #[command(subcommand)]
        Choose(Choice),
    }

    #[derive(Debug, PartialEq, Eq, Subcommand)]
    enum Choice {
        /// The one thing
        This,
    }

    fn parsed(args: &[&str]) -> Result<Parsed<Settings, Tool>, String> {
        parse(&SERVICE, ["point"].iter().chain(args).map(OsString::from))
    }

    fn settings(args: &[&str]) -> Settings {
        match parsed(args) {
            Ok(Parsed::Serve(settings)) => settings,
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
    fn a_command_comes_with_the_settings_and_is_checked_as_strictly() {
        assert!(matches!(parsed(&[URL, "count", "7"]), Ok(Parsed::Command(_, Tool::Count { to: 7 }))));
        assert!(matches!(
            parsed(&[URL, "choose", "this"]),
            Ok(Parsed::Command(_, Tool::Choose(Choice::This)))
        ));
        assert!(matches!(parsed(&[URL, "healthcheck"]), Ok(Parsed::HealthCheck(_))));
        let wrong =
            [&["count", "7"][..], &[URL, "count", "300"], &[URL, "count"], &[URL, "choose"], &[URL, "x"]];
        for args in wrong {
            let line = parsed(args).unwrap_err();
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
        assert!(matches!(parsed(&["count", "--help"]), Ok(Parsed::Answer(_))));
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
        for arg in command::<Settings, Tool>(&SERVICE).get_arguments() {
            let variable = arg.get_env().unwrap().to_str().unwrap();
            assert!(help.contains(&format!("[env: {variable}")), "{variable}");
            assert!(arg.get_help().is_some(), "{variable}");
        }
        assert!(help.starts_with("Points.") && help.contains("127.0.0.1:8083"));
    }
}
