//! The static library for C: `cargo xtask c-lib` builds it, `cargo xtask c` tries it on the host and on emulated boards.

use crate::fixtures::{Ready, path};
use crate::steps::{Tally, alone, root};
use cortado_compiler::c_header::c_header;
use cortado_compiler::compile_with;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::plan::{Bank, PlanOptions};
use cortado_compiler::report::Report;
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::{
    Board, CCompiler, Image, Library, LibraryOptions, Region, Run, RunOutput, Tools,
};
use cortado_runtime::LayoutPolicy;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What to build.
#[derive(Debug, clap::Args)]
pub(crate) struct LibraryArguments {
    /// The core, such as cortex-m4; without it, a library for each kind of core
    #[arg(long, value_name = "CPU")]
    target: Option<String>,
    /// The instruction set, where the core was built with a lesser one than it can have
    #[arg(long, requires = "target")]
    isa: Option<String>,
    /// Pass floats in general registers, for firmware that is compiled with -mfloat-abi=soft or softfp
    #[arg(long)]
    soft_float: bool,
    /// With operators in float, for programs with float islands
    #[arg(long)]
    float: bool,
    /// As small as it gets, not as fast
    #[arg(long)]
    small: bool,
    /// Where lib/libcortado.a and include/cortado.h go; with several libraries, to a folder each under lib
    #[arg(short, long, default_value = "target/c")]
    output: PathBuf,
}

/// A library for each kind of core: core, instruction set, soft-float calls.
const LIBRARIES: [(Cpu, Isa, bool); 9] = [
    (Cpu::M0, Isa::Scalar, false),
    (Cpu::M23, Isa::Scalar, false),
    (Cpu::M3, Isa::Scalar, false),
    (Cpu::M4, Isa::Dsp, true),
    (Cpu::M4, Isa::Dsp, false),
    (Cpu::M33, Isa::Scalar, true),
    (Cpu::M33, Isa::Dsp, true),
    (Cpu::M33, Isa::Dsp, false),
    (Cpu::M55, Isa::Mve, false),
];

/// Builds libraries, and puts them and the header where they are wanted.
pub(crate) fn build_libraries(arguments: &LibraryArguments) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("built by {}", tools.compiler());
    let LibraryArguments { float, small, .. } = *arguments;
    let chosen = match &arguments.target {
        Some(cpu) => {
            let cpu: Cpu = cpu.parse().map_err(|error| format!("`{cpu}`: {error}"))?;
            let isa = match &arguments.isa {
                Some(isa) => isa.parse().map_err(|error| format!("`{isa}`: {error}"))?,
                None => cpu.default_isa(),
            };
            vec![(cpu, isa, arguments.soft_float)]
        }
        None => {
            let is_wanted = |it: &&(Cpu, Isa, bool)| it.2 || !arguments.soft_float;
            LIBRARIES.iter().filter(is_wanted).copied().collect()
        }
    };
    let is_one = chosen.len() == 1;
    let mut failures = Vec::new();
    for (cpu, isa, soft_float_calls) in chosen {
        let target = Target::with_isa(cpu, isa).map_err(|error| error.to_string())?;
        let options = LibraryOptions { target, soft_float_calls, float, small };
        let library = match tools.build_library(&options) {
            Ok(library) => library,
            // The tool chain may lack a target that nobody here needs.
            Err(error) => {
                println!("no library for {cpu} with {isa}");
                failures.push(format!("{cpu} with {isa}: {error}"));
                continue;
            }
        };
        let folder = arguments.output.join("lib");
        let folder = match is_one {
            true => folder,
            false => folder.join(format!("{}-{isa}", library.code.triple)),
        };
        let archive = folder.join("libcortado.a");
        copy(&library.path, &archive)?;
        println!("{}: goes with {}", archive.display(), CCompiler::options(&options).join(" "));
    }
    let header = arguments.output.join("include/cortado.h");
    copy(&Library::include_directory().join("cortado.h"), &header)?;
    println!("{}", header.display());
    match failures.is_empty() {
        true => Ok(()),
        false => Err(format!("some libraries could not be built:\n{}", failures.join("\n"))),
    }
}

/// The calls of `crates/c/tests/calls.c` on the host and on emulated boards, and the example.
pub(crate) fn run() -> Result<(), String> {
    alone(run_all)
}

/// As [`run`], as a part of all tests.
pub(crate) fn run_all(tools: &Tools, tally: &mut Tally) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("cortado-c-{}", std::process::id()));
    let outcome = on_host(&folder.join("host"), tally).and_then(|()| {
        match CCompiler::ensure() {
            Ok(compiler) => on_boards(tools, &compiler, &folder, tally),
            // Where it must be there, as root on Debian, it has been installed.
            Err(error) => {
                println!("skipped C on boards: {error}");
                Ok(())
            }
        }
    });
    // What is left behind is in the folder for temporary files.
    let _ = fs::remove_dir_all(&folder);
    outcome
}

/// On the host, under sanitizers if the compiler has them.
fn on_host(folder: &Path, tally: &mut Tally) -> Result<(), String> {
    let target = Target::new(Cpu::M0);
    write_programs(folder, target)?;
    crate::steps::cargo(&["build", "--quiet", "--package", "cortado-c", "--profile", "device"])?;
    let library = root().join("target/device/libcortado_c.a");
    let sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let build = |flags: &[&str]| {
        let mut command = Command::new("cc");
        command
            .current_dir(folder)
            .args(["-std=c11", "-g", "-Wall", "-Wextra", "-Werror"])
            .args(flags)
            .arg("-I")
            .arg(Library::include_directory())
            .arg("-I.")
            .arg(root().join("crates/c/tests/calls.c"))
            .arg(&library)
            // What Rust's own library takes from the system's.
            .args(["-lpthread", "-ldl", "-lm", "-o", "calls"]);
        said(&mut command)
    };
    let name = match build(&sanitized) {
        Ok(_) => "C on the host under AddressSanitizer",
        Err(_) => {
            build(&[])?;
            println!("AddressSanitizer left out: cc does not link with it");
            "C on the host"
        }
    };
    let output = said(&mut Command::new(folder.join("calls")));
    tally.record(name, output.as_ref().map_or_else(|it| Some(it.clone()), |it| not_passed(it)));
    Ok(())
}

fn not_passed(output: &str) -> Option<String> {
    let last = output.lines().last().unwrap_or_default();
    (!last.starts_with("passed ")).then(|| output.to_owned())
}

/// On emulated boards: the calls, and the example as a user builds it but for `make`.
fn on_boards(
    tools: &Tools,
    compiler: &CCompiler,
    folder: &Path,
    tally: &mut Tally,
) -> Result<(), String> {
    println!("C for boards is built by {}", compiler.version());
    let boards = [("mps2-an385", Cpu::M0), ("mps2-an386", Cpu::M4), ("mps3-an547", Cpu::M55)];
    for (board, cpu) in boards {
        let board = Board::named(board).ok_or("the board is none")?;
        let target = Target::new(cpu);
        let options =
            LibraryOptions { target, soft_float_calls: false, float: false, small: false };
        let library = tools.build_library(&options).map_err(|error| error.to_string())?;
        let folder = folder.join(cpu.name());
        write_programs(&folder, target)?;
        let build = Build { options, library: &library.path, folder: &folder, board };
        let calls = build.link("calls", &root().join("crates/c/tests/calls.c"))?;
        let output = run_elf(tools, &calls, board, &folder)?;
        let problem = match output.exit_code {
            Some(0) => not_passed(&output.stdout),
            _ => Some(format!("{}{}", output.stdout, output.stderr)),
        };
        tally.record(&format!("C on {} with {cpu}'s library", board.name), problem);

        let example = build.link("main", &root().join("examples/c/main.c"))?;
        let output = run_elf(tools, &example, board, &folder)?;
        let found: Vec<&str> =
            output.stdout.lines().filter(|line| line.starts_with("this is a")).collect();
        let expected = ["this is a 0", "this is a 5", "this is a 8", "this is a 3"];
        let problem = (output.exit_code != Some(0) || found != expected).then_some(output.stdout);
        tally.record(&format!("examples/c on {} with {cpu}'s library", board.name), problem);
        let bytes = library_bytes(&folder.join("main.map"))?;
        println!("        {bytes} bytes of it are the library");
        panics(&example, tally, &format!("examples/c with {cpu}'s library"))?;
        panics(&calls, tally, &format!("all of {cpu}'s library"))?;
    }
    Ok(())
}

/// How a program in C is linked with the library.
struct Build<'b> {
    options: LibraryOptions,
    library: &'b Path,
    folder: &'b Path,
    board: &'static Board,
}

impl Build<'_> {
    fn link(&self, name: &str, source: &Path) -> Result<PathBuf, String> {
        let example = root().join("examples/c");
        let script = if self.board.machine.starts_with("mps3") { "mps3.ld" } else { "mps2.ld" };
        let elf = self.folder.join(name).with_extension("elf");
        let mut command = Command::new(CCompiler::COMMAND);
        command
            .current_dir(self.folder)
            .args(CCompiler::options(&self.options))
            .args(["-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
            .args(["-ffunction-sections", "-fdata-sections", "-nostartfiles"])
            .args(["--specs=rdimon.specs", "-Wl,--gc-sections"])
            .arg(format!("-Wl,-Map={name}.map"))
            .arg("-I")
            .arg(Library::include_directory())
            .arg("-I.")
            .arg("-L")
            .arg(&example)
            .arg("-T")
            .arg(example.join(script))
            .args([source, &example.join("startup.c"), self.library])
            .arg("-o")
            .arg(&elf);
        said(&mut command)?;
        Ok(elf)
    }
}

/// Runs an image that has its program in it.
fn run_elf(
    tools: &Tools,
    elf: &Path,
    board: &'static Board,
    folder: &Path,
) -> Result<RunOutput, String> {
    let nowhere = Region { start: 0, bytes: 0 };
    let image = Image {
        path: elf.to_owned(),
        board,
        isa: board.cpu.default_isa(),
        flash_bytes: 0,
        variable_bytes: 0,
        program: nowhere,
        arena: nowhere,
    };
    let limit = Duration::from_secs(60);
    let run = Run { program: None, arguments: &[], directory: folder, limit };
    tools.run(&image, &run).map_err(|error| error.to_string())
}

/// The bytes of an image that are from the library, by the linker's map.
fn library_bytes(map: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(map).map_err(|error| format!("{}: {error}", map.display()))?;
    let linked = text.split("Linker script and memory map").nth(1).unwrap_or_default();
    let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let (mut section, mut sum) = ("", 0);
    for line in linked.lines() {
        // A long name of a section stands in a line of its own before its numbers.
        section =
            line.split_whitespace().next().filter(|it| it.starts_with('.')).unwrap_or(section);
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_loaded = [".text", ".rodata", ".data", ".bss", ".ARM.ex"]
            .iter()
            .any(|loaded| section.starts_with(loaded));
        if let [.., address, size, file] = words[..]
            && is_loaded
            && file.contains("libcortado")
            && number(address).is_some_and(|address| address != 0)
        {
            sum += number(size).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Checks that nothing in an image leads to a panic.
fn panics(elf: &Path, tally: &mut Tally, name: &str) -> Result<(), String> {
    let listing =
        said(Command::new("arm-none-eabi-objdump").args(["--disassemble", "--demangle"]).arg(elf))?;
    let is_panic = |name: &str| name.starts_with("core::") || name.contains("rust_begin_unwind");
    let (mut caller, mut callers) = ("", Vec::new());
    for line in listing.lines() {
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once('<')) {
            caller = name;
        } else if line.contains("<core::panicking") && line.contains("\tb") && !is_panic(caller) {
            callers.push(caller);
        }
    }
    callers.sort_unstable();
    callers.dedup();
    let problem = (!callers.is_empty()).then(|| format!("{callers:?}"));
    tally.record(&format!("{name}: nothing may panic"), problem);
    Ok(())
}

/// The headers and programs that `calls.c` asks for.
fn write_programs(folder: &Path, target: Target) -> Result<(), String> {
    const MODEL: &str = "digits_mlp";
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let exported =
        ExportedProgram::open(path(MODEL, "quantized.pt2")).map_err(|error| error.to_string())?;
    let bank = |name: &str, capacity_bytes| Bank { name: name.to_owned(), capacity_bytes };
    let plain = PlanOptions::default;
    let is_sum = target.isa() == Isa::Mve;
    let foreign = Target::new(if is_sum { Cpu::M4 } else { Cpu::M55 });
    let programs = [
        ("digits", target, plain()),
        ("int8", target, PlanOptions { int8_border: true, ..plain() }),
        ("lent", target, PlanOptions { lend_inputs: true, lend_outputs: true, ..plain() }),
        (
            "banks",
            target,
            PlanOptions { banks: vec![bank("fast", 64), bank("slow", 4096)], ..plain() },
        ),
        ("foreign", foreign, plain()),
    ];
    for (name, target, options) in programs {
        let compiled =
            compile_with(&exported, target, &options).map_err(|error| error.to_string())?;
        let file = format!("{name}.pte");
        write(
            &folder.join(format!("{name}.h")),
            c_header(&compiled, &Report::new(&compiled), &file),
        )?;
        write(&folder.join(&file), &compiled.pte)?;
        if name == "digits" {
            write(&folder.join("samples.h"), samples(&compiled.pte, MODEL, target.isa())?)?;
        }
    }
    Ok(())
}

/// Some of a model's samples, and what comes of them on the host.
fn samples(pte: &[u8], model: &str, isa: Isa) -> Result<String, String> {
    const COUNT: usize = 8;
    let ready = Ready::new(pte)?;
    let mut samples = ready.samples(model)?;
    samples.truncate(COUNT);
    let outputs = ready.run_here(isa, LayoutPolicy::Refuse, &samples)?;
    let outputs = outputs.bytes().next().unwrap_or(&[]).to_vec();
    let row_bytes = outputs.len() / COUNT;
    let mut text = format!(
        "#define SAMPLES {COUNT}\nstatic const float inputs[SAMPLES][DIGITS_INPUT0_COUNT] = {{\n"
    );
    // Writing to a string cannot fail.
    for index in 0..COUNT {
        let bytes = samples.sample(index).next().unwrap_or_default();
        let floats = bytes.as_chunks().0.iter().map(|it| format!("{:?}f", f32::from_le_bytes(*it)));
        let _ = writeln!(text, "    {{{}}},", floats.collect::<Vec<_>>().join(", "));
    }
    let _ = writeln!(text, "}};\nstatic const uint32_t outputs[SAMPLES][{}] = {{", row_bytes / 4);
    for row in outputs.chunks_exact(row_bytes) {
        let words = row.as_chunks().0.iter().map(|it| format!("{:#x}", u32::from_le_bytes(*it)));
        let _ = writeln!(text, "    {{{}}},", words.collect::<Vec<_>>().join(", "));
    }
    text.push_str("};\n");
    Ok(text)
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", to.display());
    fs::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    fs::copy(from, to).map(|_| ()).map_err(failed)
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// What a command prints; it must succeed.
fn said(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot start {name}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("{name}: {}\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr)))
    }
}
