//! `cargo xtask size`: what a firmware of one model takes, besides the model.

use crate::bench::models::{ANCHORS, MODELS};
use crate::bench::table::{self, number, ratio, text};
use crate::fixtures::compiled;
use crate::linked::Made;
use crate::steps::root;
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::{Board, BoardError, ModelImage, Profile, Tools};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these cores, such as cortex-m55; M0, M4 and M55 without it
    #[arg(long = "target")]
    targets: Vec<String>,
    /// Only these models; the others' rows in bench/size.csv stay as they are
    #[arg(long = "model")]
    models: Vec<String>,
    /// Print the largest functions of each image
    #[arg(long)]
    functions: bool,
}

const CPUS: [Cpu; 3] = [Cpu::M0, Cpu::M4, Cpu::M55];
/// What must hold: flash besides the model, of the linked program.
const FLASH_BYTES_MAX: [(&str, Cpu, u64); 3] = [
    ("digits_mlp", Cpu::M0, 8 << 10),
    ("resnet8", Cpu::M55, 14 << 10),
    ("ds_cnn", Cpu::M4, 24 << 10),
];
/// The samples that are run, to see that what is measured works.
const SAMPLES: usize = 2;

const RESULTS: &str = "bench/size.csv";
const HEADER: &str = "model,target,board,form,flash_bytes,kernel_bytes,state_flash_bytes,model_bytes,pte_bytes,method_ram_bytes,\
                      anchor_flash_bytes,anchor_method_bytes,flash_ratio,method_ratio";

/// Measures, prints a table and writes the results.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("firmware built by {}", tools.compiler());
    let anchors = table::read(ANCHORS)?;
    let (mut rows, mut defects) = (Vec::new(), Vec::new());
    for cpu in CPUS {
        if !options.targets.is_empty() && !options.targets.iter().any(|name| name == cpu.name()) {
            continue;
        }
        println!(
            "\n{cpu}\n  {:<18} {:<7} {:>7} {:>7} {:>9} {:>6}   {:>6} {:>9} {:>6}",
            "model", "form", "flash", "kernels", "upstream", "ratio", "RAM", "upstream", "ratio"
        );
        let chosen = |model: &&str| {
            options.models.is_empty() || options.models.iter().any(|name| name == model)
        };
        for model in MODELS.into_iter().filter(chosen) {
            let made = Made::new(model, compiled(model, Target::new(cpu))?)?;
            // What ExecuTorch makes for cores without DSP instructions was measured on an M3.
            let anchor_cpu = if cpu == Cpu::M0 { Cpu::M3 } else { cpu };
            let anchor = anchors.iter().find(|row| {
                text(row, "model") == model && text(row, "target") == anchor_cpu.name()
            });
            let of = |column| anchor.map_or(0, |anchor| number(anchor, column));
            for from_file in [false, true] {
                let form = if from_file { "file" } else { "linked" };
                let image = made.build(&tools, Profile::Size, from_file)?;
                let code = image.code().map_err(|error| error.to_string())?;
                if code.bytes_of(|name| name == "image_may_panic") > 0 {
                    defects.push(format!("{model} on {cpu}, {form}: something in it may panic"));
                }
                defects.extend(made.run(&tools, &image, SAMPLES)?);
                let linked = &made.compiled.linked;
                let pte_bytes = made.compiled.pte.len();
                let model_bytes =
                    if from_file { pte_bytes } else { pte_bytes - linked.constants_start };
                let flash = u64::from(image.flash_bytes) - model_bytes as u64;
                let kernels = code.bytes_of(|name| name.contains("cortado_kernels"));
                let state = 4 * linked.state.len();
                // A method of one bank on a machine of 32 bits; the firmware asserts it.
                let method = METHOD_BYTES + if from_file { state } else { 0 };
                let (flash_ratio, method_ratio) =
                    (ratio(flash, of("flash_bytes")), ratio(method as u64, of("method_bytes")));
                println!(
                    "  {model:<18} {form:<7} {flash:>7} {kernels:>7} {:>9} {flash_ratio:>6}   {method:>6} {:>9} {method_ratio:>6}",
                    of("flash_bytes"),
                    of("method_bytes"),
                );
                if options.functions {
                    for (name, bytes) in code.functions().into_iter().take(60) {
                        println!("    {bytes:>6} {name}");
                    }
                }
                let goal = FLASH_BYTES_MAX.into_iter().find(|it| (it.0, it.1) == (model, cpu));
                if let Some((.., most)) = goal.filter(|goal| !from_file && flash >= goal.2) {
                    defects.push(format!(
                        "{model} on {cpu}: {flash} bytes of flash, not under {most}"
                    ));
                }
                rows.push(format!(
                    "{model},{cpu},{},{form},{flash},{kernels},{},{model_bytes},{pte_bytes},{method},{},{},{flash_ratio},{method_ratio}",
                    image.board.name,
                    if from_file { 0 } else { state },
                    of("flash_bytes"),
                    of("method_bytes"),
                ));
            }
        }
    }
    write_rows(rows)?;
    println!("\nwritten to {RESULTS}");
    defects.extend(refuses_other_kernels(&tools)?);
    match defects.is_empty() {
        true => Ok(()),
        false => Err(defects.join("\n")),
    }
}

/// Writes rows in the place of those of the same model, target and form, and keeps the others.
fn write_rows(new: Vec<String>) -> Result<(), String> {
    let key = |row: &str| row.split(',').take(4).map(str::to_owned).collect::<Vec<_>>();
    let before = std::fs::read_to_string(root().join(RESULTS)).unwrap_or_default();
    let mut before = before.lines();
    let is_current = before.next() == Some(HEADER);
    let old: Vec<&str> = before.filter(|_| is_current).collect();
    let place = |row: &str| {
        let [model, target, _, form] = &key(row)[..] else { return (0, 0, true) };
        let target = CPUS.iter().position(|cpu| cpu.name() == target);
        (target.unwrap_or(0), MODELS.iter().position(|it| it == model).unwrap_or(0), form == "file")
    };
    let kept = old.into_iter().filter(|old| !new.iter().any(|new| key(new) == key(old)));
    let mut rows: Vec<String> = kept.map(str::to_owned).collect();
    rows.extend(new.iter().cloned());
    rows.sort_by_key(|row| place(row));
    table::write(RESULTS, HEADER, &rows)
}

/// The RAM of a method with one bank on a board.
const METHOD_BYTES: usize = 40;

/// A module for other kernels than the firmware's must not compile. Returns what is wrong if it does.
fn refuses_other_kernels(tools: &Tools) -> Result<Option<String>, String> {
    let made = Made::new("digits_mlp", compiled("digits_mlp", Target::new(Cpu::M55))?)?;
    let board = Board::for_target(Target::new(Cpu::M4));
    let image = ModelImage { module: &made.module, from_file: false, bare: true };
    match tools.build_model(board, Isa::Dsp, Profile::Size, "refused", &image) {
        Err(BoardError::Build { output, .. }) if output.contains("compiled for mve kernels") => {
            println!("a module for other kernels does not compile, as it should");
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
        Ok(_) => Ok(Some("a module for other kernels than the firmware's compiles".to_owned())),
    }
}
