//! `cargo xtask interop`: files of ours in ExecuTorch's own Python reader.

use crate::fixtures::{compiled, cpu_of, target_name};
use crate::steps::{Tally, root};
use cortado_contract::{Isa, Target};
use std::process::Command;

const MODELS: &[&str] = &["tiny_linear", "tiny_linear_nobias", "digits_mlp"];
/// The exit code by which the script says that the package is absent.
const ABSENT: i32 = 77;

pub(crate) fn run(python: &str) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("cortado-interop-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let mut tally = Tally::default();
    for model in MODELS {
        for isa in Isa::ALL {
            let name = format!("{model}-{}", target_name(isa));
            let path = folder.join(format!("{name}.pte"));
            std::fs::write(&path, compiled(model, Target::new(cpu_of(isa)))?.pte)
                .map_err(|error| error.to_string())?;
            let output = Command::new(python)
                .arg(root().join("xtask/src/interop.py"))
                .arg(&path)
                .output()
                .map_err(|error| format!("cannot start `{python}`: {error}"))?;
            if output.status.code() == Some(ABSENT) {
                println!(
                    "skipped: `{python}` has no package executorch; install executorch==1.5.1 and pass --python"
                );
                return Ok(());
            }
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                print!("{text}");
            }
            tally.record(
                &format!("{name} deserializes"),
                (!output.status.success()).then_some(text),
            );
        }
    }
    std::fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    tally.finish()
}
