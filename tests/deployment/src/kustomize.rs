//! Renders kustomizations with whatever the machine has for that.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// The objects of the kustomization in `folder`.
///
/// # Errors
/// When it cannot be rendered; says what each program that was tried says about it.
pub fn render(folder: &Path) -> anyhow::Result<Vec<Value>> {
    let mut failures = String::new();
    for (program, argument) in renderers() {
        let output = match Command::new(&program).arg(argument).arg(folder).output() {
            Ok(output) => output,
            Err(error) => {
                failures += &format!("\n{}: {error}", program.display());
                continue;
            }
        };
        if output.status.success() {
            let text = String::from_utf8(output.stdout).context("the rendered objects are not UTF-8")?;
            return serde_saphyr::from_multiple(&text).context("the rendered objects are not YAML");
        }
        failures += &format!("\n{}: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    bail!(
        "{} cannot be rendered; without kubectl and kustomize, `./dev setup` installs one{failures}",
        folder.display()
    )
}

/// Programs, and what they are to do. `go install` leaves kustomize in a folder that is rarely in PATH.
fn renderers() -> Vec<(PathBuf, &'static str)> {
    let go_path = env::var_os("GOPATH").filter(|path| !path.is_empty());
    let go_folders: Vec<PathBuf> = match go_path {
        Some(folders) => env::split_paths(&folders).collect(),
        None => env::home_dir().map(|home| home.join("go")).into_iter().collect(),
    };
    let installed = go_folders.into_iter().map(|folder| (folder.join("bin/kustomize"), "build"));
    let in_path = [("kubectl", "kustomize"), ("kustomize", "build")];
    in_path
        .map(|(program, argument)| (PathBuf::from(program), argument))
        .into_iter()
        .chain(installed)
        .collect()
}
