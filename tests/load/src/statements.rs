//! The SQL of the services, word for word: what sqlx checked when they were compiled.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

/// All statements of the services.
#[derive(Debug)]
pub struct Statements(Vec<Statement>);

#[derive(Debug, Deserialize)]
struct Statement {
    query: String,
    describe: Describe,
}

#[derive(Debug, Deserialize)]
struct Describe {
    parameters: Parameters,
}

/// The types of the parameters.
#[derive(Debug, Deserialize)]
struct Parameters {
    #[serde(rename = "Left")]
    types: Vec<String>,
}

impl Statements {
    /// Reads them from the project's folder.
    pub fn read(project: &Path) -> anyhow::Result<Self> {
        let folder = project.join(".sqlx");
        let files = fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))?;
        let statements = files.map(|file| {
            let path = file?.path();
            serde_json::from_slice(&fs::read(&path)?).with_context(|| path.display().to_string())
        });
        Ok(Self(statements.collect::<anyhow::Result<_>>()?))
    }

    /// The only statement that begins so, whatever the white space, with its parameters in place.
    ///
    /// # Errors
    /// When there is no such statement or several, or it has not that many parameters.
    pub fn with(&self, beginning: &str, arguments: &[impl Display]) -> anyhow::Result<String> {
        let is_it = |statement: &&Statement| words(&statement.query).starts_with(beginning);
        let mut found =
            self.0.iter().filter(is_it).filter(|it| it.describe.parameters.types.len() == arguments.len());
        let (Some(statement), None) = (found.next(), found.next()) else {
            bail!("not just one statement with {} parameters begins with {beginning}", arguments.len());
        };
        let mut sql = statement.query.clone();
        // From the last to the first: $1 is the beginning of $10.
        let numbered = (1..).zip(&statement.describe.parameters.types).zip(arguments);
        for ((number, sqlx_type), argument) in numbered.collect::<Vec<_>>().into_iter().rev() {
            sql = sql.replace(&format!("${number}"), &format!("({argument})::{}", postgres_type(sqlx_type)?));
        }
        Ok(sql)
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// By the name that sqlx has for it.
fn postgres_type(sqlx: &str) -> anyhow::Result<String> {
    if let Some(element) = sqlx.strip_suffix("Array") {
        return Ok(format!("{}[]", postgres_type(element)?));
    }
    Ok(match sqlx {
        "Bool" => "boolean",
        "Bytea" => "bytea",
        "Int8" => "bigint",
        "Text" => "text",
        "Timestamptz" => "timestamptz",
        "Uuid" => "uuid",
        other => bail!("parameters of the type {other} are not provided for"),
    }
    .to_owned())
}
