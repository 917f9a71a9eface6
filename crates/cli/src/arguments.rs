//! The command line.

use crate::failure::Failure;
use crate::suggest::nearest;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use cortado_compiler::plan::{BANK_BYTES_MAX, BANKS_MAX, Bank, PlanOptions};
use cortado_contract::{Cpu, Isa, Target};
use std::path::PathBuf;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Runs PyTorch models on Arm Cortex-M microcontrollers.
#[derive(Debug, Parser)]
#[command(name = "cortado", version, styles = STYLES, propagate_version = true)]
#[command(after_help = "Examples:
  cortado quantize float.pt2 --calibration samples.npz -o model.pt2
  cortado compile model.pt2 --target cortex-m55 -o model.pte
  cortado run model.pte --inputs samples.npz --outputs results.npz
  cortado check model.pte --target cortex-m4
  cortado retarget model.pte --target cortex-m4 -o model-m4.pte
  cortado report model.pte -o report.html

Exit codes: 0 done, 1 the request cannot be met, 2 usage.")]
pub(crate) struct Arguments {
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an int8 program of an exported float one (.pt2)
    Quantize(QuantizeArguments),
    /// Compile an exported PyTorch program (.pt2) for a target
    Compile(CompileArguments),
    /// Run a program on samples, on this machine or on an emulated board
    Run(RunArguments),
    /// Say what a compiled program (.pte) is and which cores compute it right
    Check(CheckArguments),
    /// Rewrite a compiled program (.pte) for another target, whoever made it
    Retarget(RetargetArguments),
    /// Count the instructions of each operator on an emulated board
    Profile(ProfileArguments),
    /// Show a program as one HTML page: layers, memory, instructions, flash
    Report(ReportArguments),
    /// Print any stage of a compilation
    Dump(DumpArguments),
    /// Print completions for a shell
    Completions(CompletionsArguments),
    /// Write man pages
    Man(ManArguments),
}

/// The target, as two options.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArguments {
    /// The core, such as cortex-m55 or cortex-m0plus
    #[arg(long = "target", value_name = "CPU")]
    pub(crate) cpu: Option<String>,
    /// The instruction set, where the core was built with a lesser one than it can have
    #[arg(long, value_name = "ISA", requires = "cpu")]
    pub(crate) isa: Option<String>,
}

impl TargetArguments {
    /// The target that was asked for, if any.
    pub(crate) fn target(&self) -> Result<Option<Target>, Failure> {
        let Some(cpu) = &self.cpu else { return Ok(None) };
        let cpu = parse_cpu(cpu)?;
        let isa = match &self.isa {
            Some(isa) => isa.parse().map_err(|error| {
                let names = Isa::ALL.into_iter().map(Isa::name).chain(["helium", "thumb"]);
                let meant = nearest(isa, names).map(|name| match name {
                    "helium" => "mve",
                    "thumb" => "scalar",
                    name => name,
                });
                Failure::new(format!("`{isa}`: {error}")).did_you_mean(meant)
            })?,
            None => cpu.default_isa(),
        };
        Target::with_isa(cpu, isa).map(Some).map_err(Failure::new)
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Calibration data are arrays by input name, else input0, input1, …, as for `cortado run`: samples of what the model will see.
The result is in PT2E's own form: `cortado compile` takes it, and so does torch.export.load.

Examples:
  cortado quantize float.pt2 --calibration samples.npz -o model.pt2
  cortado quantize float.pt2 --calibration train.npz --inputs test.npz --labels test.npy -o model.pt2 --json report.json
  cortado quantize float.pt2 --calibration samples.npz --float head --equalize -o model.pt2"
)]
pub(crate) struct QuantizeArguments {
    /// The exported float program, as torch.export.save writes it
    pub(crate) model: PathBuf,
    /// The samples from which ranges are taken
    #[arg(long, value_name = "NPZ")]
    pub(crate) calibration: PathBuf,
    /// Where the int8 program goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Samples on which float and int8 are compared [default: the calibration data]
    #[arg(long, value_name = "NPZ")]
    pub(crate) inputs: Option<PathBuf>,
    /// The class of each of these samples, for accuracies
    #[arg(long, value_name = "NPY")]
    pub(crate) labels: Option<PathBuf>,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) scheme: SchemeArguments,
}

/// How a model is quantized, as options.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Quantization")]
pub(crate) struct SchemeArguments {
    /// How ranges of activations are chosen; auto takes for each tensor what leaves the least error in the outputs
    #[arg(long, value_enum, requires = "calibration", default_value_t = RangesArgument::Auto)]
    pub(crate) ranges: RangesArgument,
    /// Scales of linear layers' weights; ExecuTorch's own runtime takes one per tensor
    #[arg(long, value_enum, requires = "calibration", default_value_t = Linear::PerChannel)]
    pub(crate) linear: Linear,
    /// Also try to move factors from one layer to the next, and keep that if it helps
    #[arg(long, requires = "calibration")]
    pub(crate) equalize: bool,
    /// Do not try to correct biases
    #[arg(long, requires = "calibration")]
    pub(crate) no_bias_correction: bool,
    /// Leave a node, or all of a module, in float
    #[arg(long, value_name = "NODE", value_delimiter = ',', requires = "calibration")]
    pub(crate) float: Vec<String>,
    /// Quantize what scaled dot product attention computes between its inputs and its result
    #[arg(long, requires = "calibration")]
    pub(crate) int8_attention: bool,
    /// Quantize every step of recurrent layers
    #[arg(long, requires = "calibration")]
    pub(crate) int8_recurrence: bool,
    /// Let a convolution or a linear layer, or all of a module, read and give int16; `all` stands for every layer
    #[arg(long, value_name = "NODE", value_delimiter = ',', requires = "calibration")]
    pub(crate) int16: Vec<String>,
}

/// How ranges of activations are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RangesArgument {
    /// The one that is measured best, for each tensor
    Auto,
    /// By norm minimization over a running histogram, as PT2E's observer has it
    Histogram,
    /// All that was seen
    MinMax,
    /// All but the outermost 0.01 %
    Percentile,
    /// By Kullback-Leibler divergence of histograms
    Kl,
    /// By least squared error
    Mse,
}

/// Scales of linear layers' weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Linear {
    /// One for each output feature
    PerChannel,
    /// One for all
    PerTensor,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cortado compile model.pt2 --target cortex-m33 --isa scalar -o model.pte --json report.json
  cortado compile float.pt2 --calibration samples.npz --target cortex-m4 -o model.pte")]
pub(crate) struct CompileArguments {
    /// The exported program, as `cortado quantize` or, after PT2E quantization, torch.export.save writes it
    pub(crate) model: PathBuf,
    /// Quantize the program first, with ranges from these samples, as `cortado quantize` does
    #[arg(long, value_name = "NPZ")]
    pub(crate) calibration: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) scheme: SchemeArguments,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Where the compiled program goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Also write a report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Refuse the model if any operator computes in float
    #[arg(long)]
    pub(crate) deny_float: bool,
    #[command(flatten)]
    pub(crate) memory: MemoryArguments,
    /// Do not write the Rust module and the report beside the program
    #[arg(long)]
    pub(crate) no_module: bool,
    /// Also write a C header beside the program: its sizes, its inputs and outputs, and a function that loads it, for cortado.h
    #[arg(long)]
    pub(crate) c_header: bool,
}

/// How memory is planned, as options.
#[derive(Clone, Debug, Args)]
pub(crate) struct MemoryArguments {
    /// Spread the arena over banks of memory, the fastest first, such as dtcm=128K,sram=512K
    #[arg(long, value_name = "NAME=BYTES", value_delimiter = ',', value_parser = parse_bank)]
    pub(crate) memory: Vec<Bank>,
    /// Which numbers the program takes and gives: with int8 their conversion is the caller's, wherever it can be
    #[arg(long, value_enum, default_value_t = Io::Model)]
    pub(crate) io: Io,
    /// Leave inputs or outputs in memory of the caller's, who lends it for each execution
    #[arg(long, value_enum, value_name = "SIDE", value_delimiter = ',')]
    pub(crate) lend: Vec<Side>,
    /// Roughly how long to search for a better memory plan; the plan is the same on any machine
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = parse_seconds)]
    pub(crate) plan_seconds: f64,
}

/// Which numbers a program takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Io {
    /// Those of the model
    Model,
    /// The integers behind them; the report, the module and check say their scales and zero points
    Int8,
}

/// A side of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Side {
    /// All inputs
    Inputs,
    /// All outputs
    Outputs,
}

impl MemoryArguments {
    /// How memory is to be planned.
    pub(crate) fn options(&self) -> Result<PlanOptions, Failure> {
        let names: Vec<&str> = self.memory.iter().map(|bank| bank.name.as_str()).collect();
        if names.len() > BANKS_MAX {
            let reason =
                format!("{} banks were given; a program has at most {BANKS_MAX}", names.len());
            return Err(Failure::usage(reason));
        }
        if let Some((index, name)) =
            names.iter().enumerate().find(|(index, name)| names[..*index].contains(name))
        {
            return Err(Failure::usage(format!(
                "--memory names `{name}` twice, the second time in place {}",
                index + 1
            )));
        }
        Ok(PlanOptions {
            int8_border: self.io == Io::Int8,
            banks: self.memory.clone(),
            lend_inputs: self.lend.contains(&Side::Inputs),
            lend_outputs: self.lend.contains(&Side::Outputs),
            seconds: self.plan_seconds,
        })
    }
}

/// `NAME=BYTES`, where the bytes may be in binary thousands: `K`, `M`.
fn parse_bank(text: &str) -> Result<Bank, String> {
    let (name, size) = text.split_once('=').ok_or_else(|| {
        let parts = text.split_once([':', '@', ' ']).filter(|(name, _)| !name.is_empty());
        let meant = parts.map(|(name, size)| format!("; did you mean `{name}={size}`?"));
        format!("a bank is NAME=BYTES, such as sram=512K{}", meant.unwrap_or_default())
    })?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!("`{name}` is no name: letters, digits, `_` and `-`"));
    }
    let letters = size.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let digits = &size[..size.len() - letters.len()];
    let unit = match letters.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1u64),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => {
            return Err(format!("a bank has at most {} MiB", BANK_BYTES_MAX >> 20));
        }
        _ => None,
    };
    let bytes = unit.and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
    let bytes = bytes.ok_or_else(|| format!("`{size}` is no size: bytes, or with K or M"))?;
    if bytes > BANK_BYTES_MAX {
        return Err(format!("a bank has at most {} MiB", BANK_BYTES_MAX >> 20));
    }
    Ok(Bank { name: name.to_owned(), capacity_bytes: bytes })
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0 to 3600".to_owned()),
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Inputs are arrays by input name, else input0, input1, … An array of one axis more than the model's
input holds one sample per index of its first axis; the model runs once per sample.

Example:
  cortado run model.pte --inputs samples.npz --outputs results.npz --on qemu"
)]
pub(crate) struct RunArguments {
    /// A compiled program (.pte), or an exported one (.pt2) to compile first
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// The samples
    #[arg(long, value_name = "NPZ")]
    pub(crate) inputs: PathBuf,
    /// Where the results go: output0, output1, …
    #[arg(long, value_name = "NPZ")]
    pub(crate) outputs: PathBuf,
    /// Where to run
    #[arg(long, value_enum, default_value_t = Place::Host)]
    pub(crate) on: Place,
    /// What to do with a program whose constants are in another instruction set's form
    #[arg(long, value_enum, default_value_t = Policy::Refuse)]
    pub(crate) layout: Policy,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Counts are instructions of an emulator, not cycles. The first sample is run.

Example:
  cortado profile model.pte --target cortex-m55 --inputs samples.npz --json"
)]
pub(crate) struct ProfileArguments {
    /// A compiled program (.pte), or an exported one (.pt2) to compile first
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// The samples, as for `cortado run`
    #[arg(long, value_name = "NPZ")]
    pub(crate) inputs: PathBuf,
    /// What to do with a program whose constants are in another instruction set's form
    #[arg(long, value_enum, default_value_t = Policy::Refuse)]
    pub(crate) layout: Policy,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// This machine, with portable models of the target's kernels
    Host,
    /// An emulated board with the target's core, with the target's kernels
    Qemu,
}

/// What to do with a foreign constant form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Policy {
    /// Refuse the program
    Refuse,
    /// Compute it exactly from the form that is there
    Adapt,
}

impl From<Policy> for cortado_runtime::LayoutPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Refuse => cortado_runtime::LayoutPolicy::Refuse,
            Policy::Adapt => cortado_runtime::LayoutPolicy::Adapt,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1 when, on --target, Cortado's runtime would refuse the program, or ExecuTorch's runtime would compute it
wrongly, fail to execute it or crash; also when the program contradicts itself, or cannot be read. What ExecuTorch's runtime does
with a program of Cortado's on the instruction set that it was made for is said, and no failure.

Example:
  cortado check model.pte --target cortex-m4 --json"
)]
pub(crate) struct CheckArguments {
    /// A compiled program (.pte)
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Constant forms, scratch buffers and the memory plan become those of the target; results stay the same, bit for bit. What
cannot be proved from the file is refused.

Example:
  cortado retarget model.pte --target cortex-m33 --isa scalar -o model-m33.pte"
)]
pub(crate) struct RetargetArguments {
    /// A compiled program (.pte)
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Where the rewritten program goes
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The page is one file that works offline. Of an exported program (.pt2) it also knows the names, source lines and scales that a
compiled one does not have. Layers are counted on emulated boards with --inputs, or taken from what `cortado profile --json` printed.

Examples:
  cortado report model.pte -o report.html
  cortado report model.pte --inputs samples.npz --on cortex-m4,cortex-m55 -o report.html
  cortado report model.pt2 --target cortex-m55 --profile m55.json -o report.html"
)]
pub(crate) struct ReportArguments {
    /// A compiled program (.pte), whoever made it, or an exported one (.pt2) to compile first
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Where the page goes
    #[arg(short, long, value_name = "HTML")]
    pub(crate) output: PathBuf,
    /// What `cortado profile --json` printed for this program; may be given several times
    #[arg(long, value_name = "JSON", num_args = 1..)]
    pub(crate) profile: Vec<PathBuf>,
    /// Samples to count each layer's instructions with, as for `cortado profile`
    #[arg(long, value_name = "NPZ")]
    pub(crate) inputs: Option<PathBuf>,
    /// The cores to count on, with the program rewritten for each; without it the program's own
    #[arg(long, value_name = "CPU", value_delimiter = ',', requires = "inputs")]
    pub(crate) on: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  cortado dump model.pt2 --target cortex-m55 --stage lowered")]
pub(crate) struct DumpArguments {
    /// An exported (.pt2) or compiled program (.pte)
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Which stage
    #[arg(long, value_enum)]
    pub(crate) stage: Stage,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  cortado completions bash > ~/.local/share/bash-completion/completions/cortado")]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:
  cortado man -o ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// The folder that the pages go to; it is made if there is none
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
}

/// A stage of a compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The exported program as it is in the file
    Import,
    /// The graph after all passes
    Graph,
    /// The target's operators
    Lowered,
    /// The memory plan
    Plan,
    /// The compiled program as it is in the file
    Pte,
}

pub(crate) fn parse_cpu(text: &str) -> Result<Cpu, Failure> {
    text.parse().map_err(|error| {
        // Who leaves the family out means a core without it.
        let is_short = !text.to_lowercase().starts_with('c');
        let name = |cpu: &Cpu| if is_short { &cpu.name()["cortex-".len()..] } else { cpu.name() };
        let names = Cpu::ALL.iter().map(name);
        Failure::new(format!("`{text}`: {error}")).did_you_mean(nearest(text, names))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_have_units() {
        let bytes = |text| parse_bank(text).map(|bank| bank.capacity_bytes);
        assert_eq!(bytes("sram=512K"), Ok(512 << 10));
        assert_eq!(bytes("sram=512KiB"), Ok(512 << 10));
        assert_eq!(bytes("sram=2m"), Ok(2 << 20));
        assert_eq!(bytes("sram=100"), Ok(100));
        for wrong in [
            "sram",
            "=1K",
            "a b=1K",
            "sram=",
            "sram=K",
            "sram=-1",
            "sram=+1",
            "sram=1G",
            "sram=9999M",
            "sram=12i",
            "sram=1iB",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn near_names_are_suggested() {
        let message = |text| parse_cpu(text).unwrap_err().to_string();
        assert!(message("cortex-m5").contains("did you mean `cortex-m52`"));
        assert!(message("cortexm55").contains("did you mean `cortex-m55`"));
        assert!(message("m555").contains("did you mean `m55`"));
        assert!(!message("esp32").contains("did you mean"));
    }
}
