//! Settles the instruction set of the kernels in one place: the cfg `cortado_isa`.
//!
//! Neither DSP nor Helium shows in stable `cfg(target_feature)`, so the firmware declares its choice as a Cargo
//! feature and this script holds it against the target. A wrong or missing choice becomes the cfg
//! `cortado_isa = "invalid"`, which `src/lib.rs` turns into a `compile_error!`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!(
        "cargo::rustc-check-cfg=cfg(cortado_isa, values(\"model\", \"scalar\", \"dsp\", \"mve\", \"invalid\"))"
    );
    // The Thumb of the target, for what assembly may use besides the declared instruction set.
    println!("cargo::rustc-check-cfg=cfg(cortado_thumb, values(\"1\", \"2\"))");
    let target = env::var("TARGET").unwrap_or_default();
    let is_small = target.starts_with("thumbv6m") || target.starts_with("thumbv8m.base");
    if target.starts_with("thumbv") {
        println!("cargo::rustc-cfg=cortado_thumb=\"{}\"", if is_small { 1 } else { 2 });
    }
    // A core with the DSP extension, as the assembler knows it.
    let cpu = if target.starts_with("thumbv8m") { "cortex-m33" } else { "cortex-m4" };
    println!("cargo::rustc-env=CORTADO_DSP_CPU={cpu}");
    println!("cargo::rustc-cfg=cortado_isa=\"{}\"", settle());
}

fn settle() -> &'static str {
    let target = env::var("TARGET").unwrap_or_default();
    if !target.starts_with("thumbv") {
        return "model";
    }
    let chosen: Vec<&str> = [("scalar", "SCALAR"), ("dsp", "DSP"), ("mve", "MVE")]
        .into_iter()
        .filter(|(_, feature)| env::var_os(format!("CARGO_FEATURE_ISA_{feature}")).is_some())
        .map(|(isa, _)| isa)
        .collect();
    let [isa] = chosen[..] else { return "invalid" };
    let possible = match isa {
        "mve" => target.starts_with("thumbv8m.main"),
        "dsp" => target.starts_with("thumbv7em") || target.starts_with("thumbv8m.main"),
        _ => true,
    };
    if possible { isa } else { "invalid" }
}
