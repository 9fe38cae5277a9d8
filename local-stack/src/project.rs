//! Where things are: the project folder and cargo's target folder.

use std::path::{Path, PathBuf};

/// The project's top folder: the nearest ancestor of the working directory that holds `local-stack/kafka/pom.xml`,
/// else the folder this crate was compiled in.
pub fn root() -> PathBuf {
    let compiled = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::current_dir()
        .ok()
        .and_then(|cwd| {
            cwd.ancestors().find(|dir| dir.join("local-stack/kafka/pom.xml").is_file()).map(Path::to_owned)
        })
        .or_else(|| compiled.parent().map(Path::to_owned))
        .unwrap_or_else(|| compiled.to_owned())
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, else the one that the running binary is in, else `<root>/target`.
pub fn target_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR").filter(|dir| !dir.is_empty()) {
        return root().join(dir);
    }
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).map(Path::to_owned))
        .unwrap_or_else(|| root().join("target"))
}
