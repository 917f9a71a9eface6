//! What is published, on trial: each package is built from its archive alone.

use crate::steps::cargo;
use std::path::PathBuf;

/// Publishes everything in trial.
pub(crate) fn run() -> Result<(), String> {
    forget_former_trials();
    cargo(&["publish", "--workspace", "--dry-run", "--allow-dirty", "--quiet"])
}

/// Cargo unpacks the archives of a trial where it unpacks those of registries, and takes what it finds there for the same, although a version
/// that is not published yet may change. The registry of a trial has no host, so its folder has no name before the dash.
fn forget_former_trials() {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let Some(registries) = home.map(|home| home.join("registry/src")) else { return };
    let folders = |of: PathBuf, prefix: &'static str| {
        let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
        let is_meant = move |path: &PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
        };
        entries.map(|entry| entry.path()).filter(is_meant)
    };
    for package in folders(registries, "-").flat_map(|registry| folders(registry, "cortado-")) {
        let _ = std::fs::remove_dir_all(package);
    }
}
