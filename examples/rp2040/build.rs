//! Compiles the model for the chip's core, with integers at its border, and tells the linker where the chip's memories are.

use cortado_compiler::build::Build;
use cortado_compiler::plan::PlanOptions;

fn main() {
    let options = PlanOptions { int8_border: true, ..PlanOptions::default() };
    Build::new("model/digits.pt2", "cortex-m0plus").options(options).run();

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    for argument in ["--nmagic", "-Tlink.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
