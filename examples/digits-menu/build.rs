//! Compiles the model for the board's core, and tells the linker where the board's memories are.

use cortado_compiler::build::Build;

fn main() {
    Build::new("model/digits.pt2", "cortex-m4").run();

    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-link-search={}", std::env::var("CARGO_MANIFEST_DIR").unwrap());
    for argument in ["--nmagic", "-Tlink.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
