//! `cargo xtask bench models`: programs executed by the runtime on emulated boards, borders in float included.

use super::table::{self, number, ratio, text};
use crate::fixtures::{Ready, compare_with_recorded, compiled};
use cortado_compiler::report::Report;
use cortado_contract::{Cpu, Target};
use cortado_host::boards::{Content, Tools};
use cortado_runtime::LayoutPolicy;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these cores, such as cortex-m55; all five without it
    #[arg(long = "target")]
    targets: Vec<String>,
    /// Only this model; nothing is written to bench/models.csv then
    #[arg(long)]
    model: Option<String>,
}

/// The models that ExecuTorch's runtime was measured with.
pub(crate) const MODELS: [&str; 8] = [
    "tiny_linear",
    "digits_mlp",
    "digits_cnn",
    "ds_cnn",
    "resnet8",
    "deep_autoencoder",
    "mobilenet_v1_025",
    "mobilenet_v2_035",
];
/// The samples that are run: counts hardly depend on them.
const SAMPLES: usize = 1;

/// What ExecuTorch needs for them, by model and target.
pub(crate) const ANCHORS: &str = "testdata/anchors/models.csv";
const RESULTS: &str = "bench/models.csv";
const HEADER: &str = "model,target,board,macs,instructions,load_instructions,flash_bytes,arena_bytes,state_bytes,stack_bytes,\
                      anchor_instructions,anchor_load_instructions,anchor_flash_bytes,anchor_planned_bytes,anchor_method_bytes,ratio,load_ratio,\
                      link_instructions,link_ratio";

/// Measures, prints a table and writes the results.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("firmware built by {}", tools.compiler());
    let anchors = table::read(ANCHORS)?;
    let mut rows = Vec::new();
    for cpu in table::chosen(&options.targets)? {
        let (image, isa) = table::image(&tools, cpu, Content::Runner)?;
        println!("\n{cpu}, {isa} kernels, on {}", image.board.name);
        for model in MODELS
            .into_iter()
            .filter(|model| options.model.as_deref().is_none_or(|only| only == *model))
        {
            let compiled = compiled(model, Target::new(cpu))?;
            let report = Report::new(&compiled);
            let ready = Ready::new(&compiled.pte)?;
            let mut samples = ready.samples(model)?;
            samples.truncate(SAMPLES);
            let outcome =
                tools.run_program(&image, &ready.on_board(LayoutPolicy::Refuse), &samples);
            let run = match outcome.map_err(|error| error.to_string())? {
                Ok(run) => run,
                Err(refusal) => return Err(format!("{model} on {cpu}: {}", refusal.message)),
            };
            if let Some(difference) = compare_with_recorded(model, isa, &run.outputs)? {
                return Err(format!("{model} on {cpu}: {difference}"));
            }
            // The M3 executed what ExecuTorch makes for cores without DSP instructions.
            let anchor = anchors
                .iter()
                .find(|row| text(row, "model") == model && text(row, "target") == cpu_of(cpu));
            let of = |column| anchor.map_or(0, |anchor| number(anchor, column));
            let measured = run.measured;
            let flash_bytes = image.flash_bytes as usize + compiled.pte.len();
            let state_bytes = 4 * ready.requirements.state_words;
            let (ratio, load_ratio, link_ratio) = (
                ratio(measured.instructions, of("instructions")),
                ratio(measured.load_instructions, of("load_instructions")),
                ratio(measured.link_instructions, of("load_instructions")),
            );
            println!(
                "  {model:<18} {:>11} {ratio:>6} of {:>9}   load {:>8} {load_ratio:>6} of {:>7}, linked {}   {:.3}/MAC",
                measured.instructions,
                of("instructions"),
                measured.load_instructions,
                of("load_instructions"),
                measured.link_instructions,
                measured.instructions as f64 / report.macs as f64,
            );
            rows.push(format!(
                "{model},{cpu},{},{},{},{},{flash_bytes},{},{state_bytes},{},{},{},{},{},{},{ratio},{load_ratio},{},{link_ratio}",
                image.board.name,
                report.macs,
                measured.instructions,
                measured.load_instructions,
                report.arena_bytes,
                measured.load_stack_bytes.max(measured.execute_stack_bytes),
                of("instructions"),
                of("load_instructions"),
                of("flash_bytes"),
                of("planned_bytes"),
                of("method_bytes"),
                measured.link_instructions,
            ));
        }
    }
    if options.targets.is_empty() && options.model.is_none() {
        table::write(RESULTS, HEADER, &rows)?;
        println!("\nwritten to {RESULTS}");
    }
    Ok(())
}

/// The core under which ExecuTorch's counts for a core are found; it was not measured on an M0 or an M7.
fn cpu_of(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::M7 => Cpu::M4.name(),
        cpu => cpu.name(),
    }
}
