//! Settles which board and instruction set the image is for, and writes its linker scripts.

#[path = "../crates/host/src/boards/table.rs"]
#[allow(dead_code, unreachable_pub, reason = "a module of a library, which uses the rest")]
mod boards;

use std::env;
use std::fs;
use std::path::Path;

use boards::{BOARDS, Board, LARGE_M0, ProgramPlace, Region};
use cortado_contract::{Cpu, Isa, Target};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../crates/host/src/boards/table.rs");
    println!(
        "cargo::rustc-check-cfg=cfg(cortado_architecture, values(\"armv6m\", \"armv7m\", \"armv8m\"))"
    );
    println!("cargo::rerun-if-env-changed=CORTADO_MODULE");
    match choose() {
        Ok((board, target)) => write_outputs(board, target),
        Err(message) => println!("cargo::error={message}"),
    }
}

/// The board and the instruction set that the features choose, checked against each other and the compiler's
/// target.
fn choose() -> Result<(&'static Board, Target), String> {
    let boards = BOARDS.iter().chain([LARGE_M0]);
    let board = the_one("a board", boards.map(|board| (board.feature.to_owned(), board)))?;
    let isa =
        the_one("an instruction set", Isa::ALL.into_iter().map(|isa| (format!("isa-{isa}"), isa)))?;
    let target = Target::with_isa(board.cpu, isa).map_err(|error| {
        format!("feature isa-{isa} does not go with {}: {error}", board.feature)
    })?;
    let code = board.code_generation(isa).expect("the target above allows it");

    let triple = variable("TARGET");
    if triple != code.triple {
        return Err(format!(
            "{} with isa-{isa} is built for {wanted}, not {triple}; pass --target {wanted}",
            board.feature,
            wanted = code.triple,
        ));
    }
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let enabled: Vec<&str> = flags
        .split('\x1f')
        .filter_map(|flag| flag.trim_start_matches("-C").trim().strip_prefix("target-feature="))
        .flat_map(|features| features.split(','))
        .collect();
    for feature in code.target_features.split(',').filter(|feature| !feature.is_empty()) {
        if !enabled.contains(&feature) {
            return Err(format!(
                "{} with isa-{isa} needs RUSTFLAGS=\"-C target-feature={}\"",
                board.feature, code.target_features
            ));
        }
    }
    Ok((board, target))
}

/// The one choice whose feature is on; an error naming the features when none is or several are.
fn the_one<T>(what: &str, choices: impl Iterator<Item = (String, T)>) -> Result<T, String> {
    let (all, mut on): (Vec<String>, Vec<(String, T)>) = choices
        .map(|(feature, choice)| {
            let variable = format!("CARGO_FEATURE_{}", feature.to_uppercase().replace('-', "_"));
            let chosen = env::var_os(variable).is_some();
            (feature.clone(), chosen.then_some((feature, choice)))
        })
        .fold((Vec::new(), Vec::new()), |(mut all, mut on), (feature, chosen)| {
            all.push(feature);
            on.extend(chosen);
            (all, on)
        });
    match on.len() {
        1 => Ok(on.remove(0).1),
        0 => Err(format!("no feature chooses {what}; enable exactly one of {}", all.join(", "))),
        _ => Err(format!(
            "several features choose {what}: {}; enable exactly one",
            on.into_iter().map(|(feature, _)| feature).collect::<Vec<_>>().join(", ")
        )),
    }
}

fn write_outputs(board: &Board, target: Target) {
    let out = variable("OUT_DIR");
    let out = Path::new(&out);
    write(&out.join("memory.x"), &memory_script(board));
    write(&out.join("regions.x"), &regions_script(board));
    write(&out.join("board.rs"), &constants(board, target));
    // Every exception goes to the handlers that cortex-m-rt has: a bare image asks for no device's interrupts.
    write(&out.join("device.x"), "");
    if let Ok(module) = env::var("CORTADO_MODULE") {
        let declaration = format!("/// The model.\n#[path = {module:?}]\npub mod model;\n");
        write(&out.join("model.rs"), &declaration);
    }
    let architecture = architecture(board.cpu);
    println!("cargo::rustc-cfg=cortado_architecture=\"{architecture}\"");
    println!("cargo::rustc-link-search={}", out.display());
    if let Some(script) = constants_script(board) {
        // Read first, so that it takes its sections before others do.
        write(&out.join("constants.x"), &script);
        println!("cargo::rustc-link-arg-bins=-Tconstants.x");
    }
    for argument in ["--nmagic", "-Tlink.x", "-Tregions.x"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}

/// The core's architecture as far as start-up and faults differ; Armv8.1-M counts as Armv8-M.
fn architecture(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::M0 | Cpu::M0Plus | Cpu::M1 => "armv6m",
        Cpu::M3 | Cpu::M4 | Cpu::M7 => "armv7m",
        Cpu::M23 => panic!("no board has an Armv8-M Baseline core"),
        Cpu::M33 | Cpu::M35P | Cpu::M52 | Cpu::M55 | Cpu::M85 => "armv8m",
    }
}

/// The script that cortex-m-rt's `link.x` includes. The stack lies at the bottom of the RAM, so that
/// overflowing it runs into unmapped addresses and faults, instead of into the statics.
fn memory_script(board: &Board) -> String {
    let Board { flash, ram, stack_bytes, .. } = board;
    let Region { start, bytes } = ram;
    format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {:#x}, LENGTH = {:#x}\n  RAM : ORIGIN = {:#x}, LENGTH = {:#x}\n}}\n\
         _stack_end = {start:#x};\n_stack_start = ORIGIN(RAM);\n",
        flash.start,
        flash.bytes,
        start + stack_bytes,
        bytes - stack_bytes,
    )
}

/// The script read after `link.x`, which places the program and the arena.
fn regions_script(board: &Board) -> String {
    let program = match board.program {
        ProgramPlace::AfterImage => {
            "__program_start = ALIGN(__sidata + (__edata - __sdata), 16);\n\
             __program_end = ORIGIN(FLASH) + LENGTH(FLASH);\n"
                .to_owned()
        }
        ProgramPlace::Own(Region { start, bytes }) => {
            format!("__program_start = {start:#x};\n__program_end = {:#x};\n", start + bytes)
        }
    };
    format!(
        "{program}__arena_start = ALIGN(__sheap, 16);\n__arena_end = ORIGIN(RAM) + LENGTH(RAM);\n\
         ASSERT(__program_start <= __program_end, \"the image leaves no room for a program\");\n\
         ASSERT(__arena_start <= __arena_end, \"the statics leave no room for an arena\");\n"
    )
}

/// The script that places constants where the board keeps programs, for a model that would take most of its flash.
fn constants_script(board: &Board) -> Option<String> {
    let ProgramPlace::Own(Region { start, bytes }) = board.program else { return None };
    let module = env::var("CORTADO_MODULE").ok()?;
    // Where it is missing, the module does not compile and says why.
    let program = Path::new(&module).with_extension("pte");
    println!("cargo::rerun-if-changed={}", program.display());
    let program = fs::metadata(program).ok()?;
    (program.len() > u64::from(board.flash.bytes) / 2).then(|| {
        format!(
            "MEMORY\n{{\n  PROGRAM : ORIGIN = {start:#x}, LENGTH = {bytes:#x}\n}}\n\
             SECTIONS\n{{\n  .constants : ALIGN(16) {{ *(.rodata .rodata.*) }} > PROGRAM\n}}\n"
        )
    })
}

/// Constants for `src/board.rs`.
fn constants(board: &Board, target: Target) -> String {
    let region = |region: Region| format!("({:#x}, {:#x})", region.start, region.bytes);
    let program = match board.program {
        ProgramPlace::AfterImage => "None".to_owned(),
        ProgramPlace::Own(place) => format!("Some({})", region(place)),
    };
    format!(
        "/// The board's name.\npub const NAME: &str = {:?};\n\
         /// The core's name.\npub const CPU: &str = {:?};\n\
         /// The instruction set of the image's kernels.\npub const ISA: &str = {:?};\n\
         /// The part number that the core's CPUID register shows.\npub const CPUID_PART: u32 = {:#x};\n\
         /// Frequency of SysTick, in hertz.\npub const CLOCK_HZ: u32 = {};\n\
         /// The longest command line that is read, in bytes.\n\
         pub const COMMAND_LINE_BYTES_MAX: usize = {};\n\
         /// First address and bytes of the image's memory.\npub const FLASH: (u32, u32) = {};\n\
         /// First address and bytes of the program's memory, if it is not the image's.\n\
         pub const PROGRAM: Option<(u32, u32)> = {program};\n\
         /// First address and bytes of the RAM.\npub const RAM: (u32, u32) = {};\n",
        board.name,
        target.cpu().name(),
        target.isa().name(),
        board.cpuid_part,
        board.clock_hz,
        boards::COMMAND_LINE_BYTES_MAX,
        region(board.flash),
        region(board.ram),
    )
}

fn write(path: &Path, text: &str) {
    fs::write(path, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("Cargo did not set {name} for the build script"))
}
