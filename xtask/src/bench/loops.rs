//! `cargo xtask bench loops`: the innermost loops of the instruction sets' own code, with the cycles that a static analyser expects of them.
//!
//! Counts of instructions can be won by what costs more on silicon. `llvm-mca` knows the pipelines of the Cortex-M4 (which it also takes
//! for an M3), M7 and M55, without memory's wait states; an M0+ has a published number of cycles for each instruction.

use super::table;
use cortado_contract::Cpu;
use cortado_host::boards::{Content, Tools};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// What to analyse.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these cores, such as cortex-m55; all five without it
    #[arg(long = "target")]
    targets: Vec<String>,
    /// Only functions in whose names this occurs; nothing is written to bench/loops.csv then
    #[arg(long)]
    only: Option<String>,
    /// Print the instructions of each loop, and where the analyser sees it wait
    #[arg(long)]
    timeline: bool,
}

const RESULTS: &str = "bench/loops.csv";
const HEADER: &str = "function,loop,target,instructions,multiplications,cycles,source";
/// The iterations that the analyser is given, so that the first and last ones do not count.
const ITERATIONS: usize = 1000;
/// The version of LLVM that knows all of these cores.
const TOOLS: &[&str] = &["-22", ""];
const TOOLS_VERSION_MIN: u32 = 22;

/// Analyses, prints a table and writes the results.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let Some(analyser) = Analyser::find() else {
        println!(
            "skipped: this takes llvm-mca and llvm-objdump of LLVM {TOOLS_VERSION_MIN} or newer (apt install llvm-{TOOLS_VERSION_MIN})"
        );
        return Ok(());
    };
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for cpu in table::chosen(&options.targets)? {
        let (image, isa) = table::image(&tools, cpu, Content::Bench)?;
        let listing = analyser.disassemble(cpu, &image.path)?;
        println!("\n{cpu}, {isa} kernels: {}", source(cpu));
        println!(
            "  {:<52} {:>4} {:>12} {:>15} {:>8} {:>10}",
            "function", "loop", "instructions", "multiplications", "cycles", "per mult."
        );
        for (name, code) in functions(&listing) {
            if options.only.as_deref().is_some_and(|part| !name.contains(part)) {
                continue;
            }
            for (index, body) in innermost(&code).enumerate() {
                let multiplications: u32 = body.iter().map(Instruction::multiplications).sum();
                let cycles = match cpu {
                    Cpu::M0 => body.iter().map(Instruction::cycles_on_m0_plus).sum::<u32>().into(),
                    _ => analyser.cycles(cpu, body, options.timeline)?,
                };
                let per_product = match multiplications {
                    0 => String::new(),
                    count => format!("{:.3}", cycles / f64::from(count)),
                };
                let instructions = body.len();
                println!(
                    "  {name:<52} {index:>4} {instructions:>12} {multiplications:>15} {cycles:>8.1} {per_product:>10}"
                );
                rows.push(format!(
                    "{name},{index},{cpu},{instructions},{multiplications},{cycles:.1},{}",
                    source(cpu)
                ));
            }
        }
    }
    if rows.is_empty() {
        return Err("no such loop was found".to_owned());
    }
    if options.only.is_none() && options.targets.is_empty() {
        table::write(RESULTS, HEADER, &rows)?;
        println!("\nwritten to {RESULTS}");
    }
    Ok(())
}

/// Where the cycles of a core come from.
fn source(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::M0 => "the M0+ reference manual's cycles",
        Cpu::M3 => "llvm-mca's Cortex-M4",
        Cpu::M4 => "llvm-mca's Cortex-M4",
        Cpu::M7 => "llvm-mca's Cortex-M7",
        _ => "llvm-mca's Cortex-M55",
    }
}

/// The programs of LLVM that this takes.
struct Analyser {
    suffix: &'static str,
}

impl Analyser {
    fn find() -> Option<Self> {
        let is_there = |suffix: &&&str| {
            let version = |program: &str| {
                let output =
                    Command::new(format!("{program}{suffix}")).arg("--version").output().ok()?;
                let text = String::from_utf8(output.stdout).ok()?;
                let number = text.split("LLVM version ").nth(1)?.split('.').next()?.parse().ok()?;
                Some(number)
            };
            ["llvm-mca", "llvm-objdump"]
                .into_iter()
                .all(|program| version(program).is_some_and(|it: u32| it >= TOOLS_VERSION_MIN))
        };
        TOOLS.iter().find(is_there).map(|suffix| Analyser { suffix })
    }

    fn disassemble(&self, cpu: Cpu, image: &std::path::Path) -> Result<String, String> {
        let mut command = Command::new(format!("llvm-objdump{}", self.suffix));
        command.args(["--disassemble", "--demangle", "--no-show-raw-insn"]);
        let output = command.arg(format!("--mcpu={}", mcpu(cpu))).arg(image).output();
        let output = output.map_err(|error| format!("cannot start llvm-objdump: {error}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The cycles of an iteration.
    fn cycles(
        &self,
        cpu: Cpu,
        body: &[Instruction<'_>],
        has_timeline: bool,
    ) -> Result<f64, String> {
        let triple = if cpu == Cpu::M55 { "thumbv8.1m.main-none-eabihf" } else { "thumbv7em" };
        let mut command = Command::new(format!("llvm-mca{}", self.suffix));
        command.arg(format!("-mtriple={triple}")).arg(format!("-mcpu={}", mcpu(cpu)));
        command.arg(format!("-iterations={ITERATIONS}"));
        // Ends of low-overhead loops, which cost nothing from the second iteration on, are not described.
        command.arg("-skip-unsupported-instructions=lack-sched");
        if has_timeline {
            command.args(["-timeline", "-timeline-max-iterations=2", "-timeline-max-cycles=400"]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: std::io::Error| format!("cannot start llvm-mca: {error}");
        let mut child = command.spawn().map_err(failed)?;
        let text: String = body.iter().map(|it| format!("{}\n", it.within(body))).collect();
        if let Some(mut input) = child.stdin.take() {
            input.write_all(format!("start:\n{text}").as_bytes()).map_err(failed)?;
        }
        let output = child.wait_with_output().map_err(failed)?;
        let report = String::from_utf8_lossy(&output.stdout);
        if has_timeline {
            println!("{report}");
        }
        let total = report.lines().find_map(|line| line.strip_prefix("Total Cycles:"));
        let total = total.and_then(|number| number.trim().parse::<f64>().ok());
        let errors = String::from_utf8_lossy(&output.stderr);
        total
            .map(|total| total / ITERATIONS as f64)
            .ok_or_else(|| format!("llvm-mca cannot read\n{text}{errors}"))
    }
}

/// The core's name in LLVM.
fn mcpu(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::M0 => "cortex-m0plus",
        cpu => cpu.name(),
    }
}

/// A line of a disassembly.
#[derive(Clone, Copy, Debug)]
struct Instruction<'t> {
    address: u32,
    /// What it does, without width suffix.
    name: &'t str,
    text: &'t str,
    /// Where it branches to.
    target: Option<u32>,
}

impl<'t> Instruction<'t> {
    /// Reads `7ba: beq 0x892 <symbol+0xf2> @ imm = #0xd4`.
    fn read(line: &'t str) -> Option<Self> {
        let (address, text) = line.trim_start().split_once(':')?;
        let address = u32::from_str_radix(address, 16).ok()?;
        let text = text.split(" @ ").next()?.split(" <").next()?.trim();
        let (name, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let name = name.trim_end_matches(".w").trim_end_matches(".n");
        let branches = matches!(name, "b" | "le" | "letp" | "cbz" | "cbnz")
            || name.len() == 3 && name.starts_with('b') && !matches!(name, "bic" | "bfi" | "blx");
        let target = operands.rsplit(' ').next().and_then(|word| word.strip_prefix("0x"));
        let target = target.filter(|_| branches).and_then(|it| u32::from_str_radix(it, 16).ok());
        Some(Instruction { address, name, text, target })
    }

    /// The instruction with its own loop's start in the place of an address; other branches leave the loop or skip a part of it.
    fn within(&self, body: &[Instruction<'_>]) -> String {
        match self.target {
            None => self.text.to_owned(),
            Some(target) => {
                let to = if body.first().is_some_and(|it| it.address == target) {
                    "start"
                } else {
                    "elsewhere"
                };
                let written = self.text.rsplit_once(char::is_whitespace);
                written.map_or_else(String::new, |(before, _)| format!("{before} {to}"))
            }
        }
    }

    /// The multiplications that it does.
    fn multiplications(&self) -> u32 {
        let name = self.name;
        let lanes = || match name.rsplit('.').next().unwrap_or_default() {
            "s8" | "u8" | "i8" => 16,
            "s16" | "u16" | "i16" => 8,
            _ => 4,
        };
        if ["vml", "vmul", "vrmul", "vqrdml", "vqdml", "vqrdmul", "vqdmul", "vrmlal"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            // Long products of halves of a vector are half as many.
            if name.starts_with("vmull") { lanes() / 2 } else { lanes() }
        } else if ["smlad", "smuad", "smlsd", "smusd", "smlald"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            2
        } else if ["mul", "mla", "mls", "sml", "smul", "umull", "umlal", "smmul", "smmla"]
            .iter()
            .any(|start| name.starts_with(start))
        {
            1
        } else {
            0
        }
    }

    /// The cycles on an M0+ with the multiplier of a single cycle, memory without wait states, and a branch that is taken.
    ///
    /// Source: Cortex-M0+ Technical Reference Manual, 3.3.
    fn cycles_on_m0_plus(&self) -> u32 {
        let registers = || 1 + self.text.matches(',').count() as u32;
        match self.name {
            "push" | "pop" => 1 + registers(),
            name if name.starts_with("ldm") || name.starts_with("stm") => registers(),
            name if name.starts_with("ldr") || name.starts_with("str") => 2,
            _ if self.target.is_some() => 2,
            "bl" => 3,
            _ => 1,
        }
    }
}

/// The functions of the instruction sets' own code: name and instructions.
fn functions(listing: &str) -> BTreeMap<String, Vec<Instruction<'_>>> {
    let mut functions: BTreeMap<String, Vec<Instruction<'_>>> = BTreeMap::new();
    let mut current = None;
    for line in listing.lines() {
        if let Some(name) = line.split_once(" <").and_then(|(_, rest)| rest.strip_suffix(">:")) {
            current = name.contains("cortado_kernels::arch::").then(|| short(name));
        } else if let (Some(name), Some(instruction)) = (&current, Instruction::read(line)) {
            functions.entry(name.clone()).or_default().push(instruction);
        }
    }
    functions
}

/// A function's path within the crate, without its hash and without commas.
fn short(name: &str) -> String {
    let path = name.rsplit_once("::h").map_or(name, |(path, _)| path);
    path.replace("cortado_kernels::arch::", "").replace("cortado_kernels::", "").replace(',', ";")
}

/// The loops that no other loop is in: from where a branch leads back to, to the branch.
fn innermost<'c, 't>(code: &'c [Instruction<'t>]) -> impl Iterator<Item = &'c [Instruction<'t>]> {
    let mut loops: Vec<(usize, usize)> = Vec::new();
    for (end, instruction) in code.iter().enumerate() {
        let Some(target) = instruction.target.filter(|to| *to <= instruction.address) else {
            continue;
        };
        let Some(start) = code.iter().position(|it| it.address == target) else { continue };
        // A loop that ends within this one begins in it, or is one that it continues.
        if loops.iter().all(|inner| inner.0 < start) {
            loops.push((start, end));
        }
    }
    loops.into_iter().map(|(start, end)| &code[start..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
00000700 <cortado_kernels::arch::dsp::pair::multiply::h7d45989b9ae66b06>:
     700:      \tmovs\tr1, #0x2
     702:      \tldr\tr8, [r3], #4
     706:      \tsmlad\tr2, r8, r10, r2
     70a:      \tcbz\tr1, 0x710 <cortado_kernels::arch::dsp::pair::multiply::h7d45989b9ae66b06+0x10> @ imm = #0x4
     70c:      \tsubs\tr1, #0x1
     70e:      \tbne\t0x702 <cortado_kernels::arch::dsp::pair::multiply::h7d45989b9ae66b06+0x2> @ imm = #-0x10
     710:      \tbne.w\t0x700 <cortado_kernels::arch::dsp::pair::multiply::h7d45989b9ae66b06> @ imm = #-0x14

00000720 <core::fmt::write::h0>:
     720:      \tb\t0x720 <core::fmt::write::h0> @ imm = #-0x4
";

    #[test]
    fn innermost_loops_of_own_code_are_found() {
        let functions = functions(LISTING);
        assert_eq!(functions.keys().collect::<Vec<_>>(), ["dsp::pair::multiply"]);
        let code = &functions["dsp::pair::multiply"];
        let loops: Vec<_> = innermost(code).collect();
        let [body] = loops[..] else { panic!("{loops:?}") };
        assert_eq!((body[0].address, body.len()), (0x702, 5));
        assert_eq!(body.iter().map(Instruction::multiplications).sum::<u32>(), 2);
        let lines: Vec<String> = body.iter().map(|it| it.within(body)).collect();
        assert_eq!(lines[2..], ["cbz\tr1, elsewhere", "subs\tr1, #0x1", "bne start"]);
    }

    #[test]
    fn products_and_cycles_are_those_of_the_manuals() {
        let read = |text: &str| format!("  10: {text}");
        let products = [
            ("vmladava.s8 r2, q0, q1", 16),
            ("vmla.s16 q0, q1, r2", 8),
            ("vmullb.s8 q0, q1, q2", 8),
            ("smlad r0, r1, r2, r3", 2),
            ("smmlar r4, r4, r8, r4", 1),
            ("muls r0, r1, r0", 1),
            ("ldr r0, [r1]", 0),
        ];
        for (text, expected) in products {
            let line = read(text);
            assert_eq!(Instruction::read(&line).map(|it| it.multiplications()), Some(expected));
        }
        let cycles = [
            ("ldm r0!, {r1, r2}", 3),
            ("ldrsb r0, [r1, r2]", 2),
            ("adds r0, #1", 1),
            ("bne 0x10", 2),
        ];
        for (text, expected) in cycles {
            let line = read(text);
            assert_eq!(Instruction::read(&line).map(|it| it.cycles_on_m0_plus()), Some(expected));
        }
    }
}
