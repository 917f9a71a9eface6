//! `cargo xtask bench kernels`: the layers of the MLPerf Tiny models and single kernels on emulated boards.

use super::table::{self, Row, number, ratio, text};
use crate::fixtures::compiled_with;
use crate::linked::Made;
use cortado_compiler::plan::PlanOptions;
use cortado_contract::{Cpu, Isa, Target};
use cortado_host::boards::{Content, Profile, Run, Tools};
use cortado_testkit::Workspace;
use cortado_testkit::bench::{Kernels, Layer, Operation};
use std::collections::BTreeMap;
use std::time::Duration;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these cores, such as cortex-m55; all five without it
    #[arg(long = "target")]
    targets: Vec<String>,
    /// Only layers in whose `model/layer` this occurs; nothing is written to bench/kernels.csv then
    #[arg(long)]
    only: Option<String>,
}

const LAYERS: &str = "testdata/anchors/layers.csv";
const TOTALS: &str = "testdata/anchors/totals.csv";
const RESULTS: &str = "bench/kernels.csv";
const HEADER: &str = "layer,op,shape,target,board,macs,instructions,anchor_instructions,ratio,scratch_bytes,stack_bytes";
/// The fixtures that are the anchors' models.
const FIXTURES: [(&str, &str); 4] = [
    ("kws_ds_cnn", "ds_cnn"),
    ("vww_mobilenet_v1_025", "mobilenet_v1_025"),
    ("ic_resnet8", "resnet8"),
    ("ad_autoencoder", "deep_autoencoder"),
];
/// Single kernels, which are no model.
const SINGLE: &str = "micro";

/// A layer, and what the best build of the C library needs for it on each core.
struct Subject {
    name: String,
    model: String,
    operator: String,
    shape: String,
    macs: u64,
    layer: Layer,
    anchors: BTreeMap<Cpu, u64>,
}

/// What a board counted for a layer.
#[derive(Clone, Copy)]
struct Count {
    instructions: u64,
    stack_bytes: u64,
    digest: u64,
}

/// Measures, prints tables and writes the results.
pub(super) fn run(options: &Options) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    println!("firmware built by {}", tools.compiler());
    let cpus = table::chosen(&options.targets)?;
    let mut subjects = subjects()?;
    if let Some(part) = &options.only {
        subjects.retain(|subject| subject.name.contains(part.as_str()));
    }
    let mut expected = BTreeMap::new();
    let mut rows = Vec::new();
    for cpu in cpus {
        let (image, isa) = table::image(&tools, cpu, Content::Bench)?;
        let digests = expected.entry(isa).or_insert_with(|| digests(isa, &subjects));
        let counts = count(&tools, &image, &subjects)?;
        println!("\n{cpu}, {isa} kernels, on {}", image.board.name);
        for ((subject, count), digest) in subjects.iter().zip(&counts).zip(digests.iter()) {
            if Some(count.digest) != *digest {
                return Err(format!(
                    "{cpu}: {} computed something else than its reference",
                    subject.name
                ));
            }
            rows.push(row(subject, cpu, image.board.name, *count));
            print_row(subject, cpu, *count);
        }
        print_totals(&tools, cpu, &subjects, &counts)?;
    }
    if options.only.is_none() {
        let kept = kept(&options.targets)?;
        rows.extend(kept);
        table::write(RESULTS, HEADER, &rows)?;
        println!("\nwritten to {RESULTS}");
    }
    Ok(())
}

/// The rows of cores that were not measured now.
fn kept(measured: &[String]) -> Result<Vec<String>, String> {
    if measured.is_empty() {
        return Ok(Vec::new());
    }
    let rows = table::read(RESULTS).unwrap_or_default();
    let columns: Vec<&str> = HEADER.split(',').collect();
    let others = rows.iter().filter(|row| !measured.iter().any(|name| name == text(row, "target")));
    Ok(others
        .map(|row| columns.iter().map(|column| text(row, column)).collect::<Vec<_>>().join(","))
        .collect())
}

fn row(subject: &Subject, cpu: Cpu, board: &str, count: Count) -> String {
    let Subject { name, operator, shape, macs, .. } = subject;
    let Count { instructions, stack_bytes, .. } = count;
    let anchor = subject.anchors.get(&cpu).copied().unwrap_or(0);
    let ratio = ratio(instructions, anchor);
    // No kernel takes scratch memory: what one needs is on the stack.
    let (anchor, scratch_bytes) = (if anchor == 0 { String::new() } else { anchor.to_string() }, 0);
    format!(
        "{name},{operator},{shape},{cpu},{board},{macs},{instructions},{anchor},{ratio},{scratch_bytes},{stack_bytes}"
    )
}

fn print_row(subject: &Subject, cpu: Cpu, count: Count) {
    let anchor = subject.anchors.get(&cpu).copied().unwrap_or(0);
    let per_mac = match subject.macs {
        0 => String::new(),
        macs => format!("{:.3}/MAC", count.instructions as f64 / macs as f64),
    };
    let mark = if anchor != 0 && count.instructions > anchor { "  above" } else { "" };
    println!(
        "  {:<44} {:>11} {per_mac:>10} {:>7} of {anchor:>9}  stack {:>4}{mark}",
        subject.name,
        count.instructions,
        ratio(count.instructions, anchor),
        count.stack_bytes,
    );
}

/// The sum of each model's layers, and the code of its kernels.
fn print_totals(
    tools: &Tools,
    cpu: Cpu,
    subjects: &[Subject],
    counts: &[Count],
) -> Result<(), String> {
    for anchor in table::read(TOTALS)?.iter().filter(|row| text(row, "target") == cpu.name()) {
        let model = text(anchor, "model");
        let layers = || subjects.iter().zip(counts).filter(|(subject, _)| subject.model == model);
        let sum: u64 = layers().map(|(_, count)| count.instructions).sum();
        let macs: u64 = layers().map(|(subject, _)| subject.macs).sum();
        if layers().count() == 0 {
            continue;
        }
        let bytes = code_bytes(tools, cpu, model)?;
        let best = number(anchor, "instructions");
        println!(
            "  total {model:<24} {sum:>11} {:>10} {:>7} of {best:>9}  code {bytes} (C: {} GCC, {} Clang)",
            format!("{:.3}/MAC", sum as f64 / macs.max(1) as f64),
            ratio(sum, best),
            text(anchor, "code_bytes_gcc"),
            text(anchor, "code_bytes_clang"),
        );
    }
    Ok(())
}

/// The bytes of the kernels that a fixture's program is linked with where speed matters most, with all that they call: without
/// conversions at its border, which the anchors do not have either.
fn code_bytes(tools: &Tools, cpu: Cpu, model: &str) -> Result<u32, String> {
    let fixture = FIXTURES.iter().find(|(anchor, _)| *anchor == model);
    let (_, fixture) = fixture.ok_or_else(|| format!("no fixture is {model}"))?;
    let options = PlanOptions { int8_border: true, ..PlanOptions::default() };
    let made = Made::new(fixture, compiled_with(fixture, Target::new(cpu), &options)?)?;
    let image = made.build(tools, Profile::Release, false)?;
    let code = image.code().map_err(|error| error.to_string())?;
    code.closure_bytes(&["cortado_kernels"]).ok_or_else(|| format!("{model} has no kernels"))
}

/// What each layer must give.
fn digests(isa: Isa, subjects: &[Subject]) -> Vec<Option<u64>> {
    let mut memory = vec![0; 4 << 20];
    let reference = Kernels::reference(isa.constant_form());
    let digest = |subject: &Subject| {
        reference.run(&subject.layer, &mut Workspace::new(&mut memory), &mut |compute| compute())
    };
    subjects.iter().map(digest).collect()
}

/// Has a board count all layers.
fn count(
    tools: &Tools,
    image: &cortado_host::boards::Image,
    subjects: &[Subject],
) -> Result<Vec<Count>, String> {
    let folder = std::env::temp_dir();
    let program = folder.join(format!("cortado-bench-{}.bin", std::process::id()));
    let words = subjects.iter().flat_map(|subject| subject.layer.to_words());
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    std::fs::write(&program, bytes)
        .map_err(|error| format!("cannot write {}: {error}", program.display()))?;
    let output = tools.run(
        image,
        &Run {
            program: Some(&program),
            arguments: &["task=bench"],
            directory: &folder,
            limit: Duration::from_secs(600),
        },
    );
    // Left behind in the temporary folder, it does no harm.
    let _ = std::fs::remove_file(&program);
    let output = output.map_err(|error| error.to_string())?;
    let failed = || format!("the image failed:\n{}{}", output.stdout, output.stderr);
    if output.exit_code != Some(0) {
        return Err(failed());
    }
    let line = |index: usize| {
        let prefix = format!("layer={index} ");
        let line = output.stdout.lines().find_map(|line| line.strip_prefix(&prefix))?;
        let mut fields = line.split(' ');
        Some(Count {
            instructions: fields.next()?.parse().ok()?,
            stack_bytes: fields.next()?.parse().ok()?,
            digest: u64::from_str_radix(fields.next()?, 16).ok()?,
        })
    };
    (0..subjects.len()).map(line).collect::<Option<_>>().ok_or_else(failed)
}

/// The layers of the anchors, and the conversions at a program's border.
fn subjects() -> Result<Vec<Subject>, String> {
    let mut subjects: Vec<Subject> = Vec::new();
    for row in table::read(LAYERS)? {
        let name = format!("{}/{}", text(&row, "model"), text(&row, "layer"));
        if subjects.last().is_none_or(|last| last.name != name) {
            subjects.push(subject(&row, name)?);
        }
        let cpu = super::table::CPUS.into_iter().find(|cpu| cpu.name() == text(&row, "target"));
        if let (Some(cpu), Some(last)) = (cpu, subjects.last_mut()) {
            last.anchors.insert(cpu, number(&row, "instructions"));
        }
    }
    for (operation, operator) in
        [(Operation::Quantize, "quantize"), (Operation::Dequantize, "dequantize")]
    {
        subjects.push(Subject {
            name: format!("{SINGLE}/{operator}_1000"),
            model: SINGLE.to_owned(),
            operator: operator.to_owned(),
            shape: "1000 elements".to_owned(),
            macs: 0,
            layer: Layer { input: [0, 0, 0, 1000], ..empty(operation) },
            anchors: BTreeMap::new(),
        });
    }
    Ok(subjects)
}

fn empty(operation: Operation) -> Layer {
    Layer {
        operation,
        input: [0; 4],
        output: [0; 3],
        kernel: [0; 2],
        stride: [0; 2],
        padding: [0; 2],
        permutation: 0,
    }
}

fn subject(row: &Row, name: String) -> Result<Subject, String> {
    let shape = text(row, "shape");
    let layer = parse(text(row, "op"), shape)
        .ok_or_else(|| format!("{LAYERS}: {shape} of {name} is no shape"))?;
    Ok(Subject {
        name,
        model: text(row, "model").to_owned(),
        operator: text(row, "op").to_owned(),
        shape: shape.to_owned(),
        macs: number(row, "macs"),
        layer,
        anchors: BTreeMap::new(),
    })
}

/// A layer from the words of its shape, such as `in 1x25x5x64 k 3x3 s1 out 1x25x5x64 pad h1 w1`.
fn parse(operator: &str, shape: &str) -> Option<Layer> {
    let words: Vec<&str> = shape.split(' ').collect();
    let after = |key: &str| {
        let position = words.iter().position(|word| *word == key)?;
        words.get(position + 1).copied()
    };
    let extents = |key: &str| -> Option<Vec<u32>> {
        after(key)?.split('x').map(|number| number.parse().ok()).collect()
    };
    let with_prefix = |prefix: char| -> u32 {
        let number = words
            .iter()
            .find_map(|word| word.strip_prefix(prefix)?.split('+').next()?.parse().ok());
        number.unwrap_or(0)
    };
    let image = |operation| {
        let input = <[u32; 4]>::try_from(extents("in")?).ok()?;
        let [_, output @ ..] = <[u32; 4]>::try_from(extents("out")?).ok()?;
        let stride =
            words.iter().find_map(|word| word.strip_prefix('s')?.parse().ok()).unwrap_or(1);
        Some(Layer {
            input,
            output,
            kernel: extents("k").map_or(Some([0; 2]), |kernel| kernel.try_into().ok())?,
            stride: [stride; 2],
            padding: [with_prefix('h'), with_prefix('w')],
            permutation: after("perm").map_or(Some(0), |digits| digits.parse().ok())?,
            ..empty(operation)
        })
    };
    let elements = |operation| {
        let count = words.first()?.parse().ok()?;
        Some(Layer { input: [0, 0, 0, count], ..empty(operation) })
    };
    match operator {
        "convolve" => image(Operation::Conv),
        "depthwise_conv" => image(Operation::Depthwise),
        "transpose_conv" => image(Operation::TransposeConv),
        "avgpool" => image(Operation::AvgPool),
        "max_pool" => image(Operation::MaxPool),
        "transpose" => image(Operation::Transpose),
        "pad" => image(Operation::Pad),
        "elementwise_add" => elements(Operation::Add),
        "elementwise_mul" => elements(Operation::Mul),
        "fully_connected" => {
            let ([rows, features], [_, outputs]) =
                (*extents("in")?.first_chunk()?, *extents("out")?.first_chunk()?);
            Some(Layer {
                input: [rows, 0, 0, features],
                output: [0, 0, outputs],
                ..empty(Operation::Linear)
            })
        }
        "batch_matmul" => {
            let [batches, _, rows, depth] = <[u32; 4]>::try_from(extents("lhs")?).ok()?;
            let [.., cols] = <[u32; 4]>::try_from(extents("out")?).ok()?;
            Some(Layer { input: [batches, rows, cols, depth], ..empty(Operation::BatchMatmul) })
        }
        "softmax" => {
            let number = |key| after(key)?.parse().ok();
            Some(Layer {
                input: [number("rows")?, 0, 0, number("row_size")?],
                ..empty(Operation::Softmax)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anchor_is_a_layer() {
        let subjects = subjects().unwrap();
        assert_eq!(subjects.len(), 89);
        for subject in &subjects {
            let (macs, [kh, kw]) = (subject.macs, subject.layer.kernel.map(u64::from));
            let [n, _, _, c] = subject.layer.input.map(u64::from);
            let [oh, ow, oc] = subject.layer.output.map(u64::from);
            let expected = match subject.layer.operation {
                Operation::Conv => oh * ow * oc * kh * kw * c,
                Operation::Depthwise => oh * ow * oc * kh * kw,
                Operation::Linear => n * c * oc,
                _ => macs,
            };
            assert_eq!(macs, expected, "{}", subject.name);
            assert_eq!(Layer::from_words(&subject.layer.to_words()), Some(subject.layer));
        }
    }
}
