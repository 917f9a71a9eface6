//! Kernels and models on emulated boards.

use crate::fixtures::{Ready, compare_with_recorded, compiled, cpu_of};
use crate::steps::{Tally, root};
use cortado_contract::{Isa, Target};
use cortado_host::boards::{
    BOARDS, Board, BoardError, Code, Content, Image, LARGE_M0, Reached, Run, RunOutput, Tools,
};
use cortado_host::mutate::swap_forms;
use cortado_runtime::LayoutPolicy;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The models whose layers have two constant forms.
const LINEAR_MODELS: &[&str] = &["tiny_linear", "tiny_linear_nobias", "digits_mlp"];

/// Runs all of it.
pub(crate) fn run(tools: &Tools, tally: &mut Tally) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("cortado-test-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let streams = golden_streams(&folder)?;
    for board in boards_for_cases() {
        for isa in board.cpu.allowed_isas() {
            cases(tools, board, isa, &streams, tally).map_err(|error| error.to_string())?;
        }
    }
    for board in BOARDS {
        models(tools, board, tally)?;
    }
    pairs(tools, tally)?;
    fs::remove_dir_all(&folder)
        .map_err(|error| format!("cannot remove {}: {error}", folder.display()))
}

/// Runs the testkit's cases on one board, or on all of them.
pub(crate) fn run_cases(board: Option<&str>) -> Result<(), String> {
    let tools = Tools::ensure().map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("cortado-cases-{}", std::process::id()));
    fs::create_dir_all(&folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let streams = golden_streams(&folder)?;
    let mut tally = Tally::default();
    for board in boards_for_cases().filter(|known| board.is_none_or(|name| name == known.name)) {
        for isa in board.cpu.allowed_isas() {
            cases(&tools, board, isa, &streams, &mut tally).map_err(|error| error.to_string())?;
        }
    }
    fs::remove_dir_all(&folder)
        .map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
    tally.finish()
}

/// The boards that cases run on: all, and the one that stands for an M0, which has room for operators in float as well.
fn boards_for_cases() -> impl Iterator<Item = &'static Board> {
    BOARDS.iter().chain([LARGE_M0])
}

/// The golden vectors, a stream for each file: a small board has no room for all of them at a time.
fn golden_streams(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let golden = root().join("testdata/golden");
    let entries = fs::read_dir(&golden)
        .map_err(|error| format!("cannot read {}: {error}", golden.display()))?;
    let mut files: Vec<_> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let stream = |file: &PathBuf| {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let path = folder.join(file.file_name().unwrap_or_default()).with_extension("bin");
        let packed = cortado_testkit::golden::pack(&[text])?;
        fs::write(&path, packed)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    };
    files.iter().map(stream).collect()
}

/// The testkit's cases: the sweeps, and the golden vectors.
fn cases(
    tools: &Tools,
    board: &'static Board,
    isa: Isa,
    streams: &[PathBuf],
    tally: &mut Tally,
) -> Result<(), BoardError> {
    let image = tools.build(board, isa, board.profile(Content::Cases), Content::Cases)?;
    let directory = std::env::temp_dir();
    let run = |task: &str, program: Option<&Path>| {
        let limit = Duration::from_secs(300);
        let run = Run { program, arguments: &[task], directory: &directory, limit };
        tools.run_reached(&image, &run)
    };
    let passed = |output: &RunOutput| {
        let line = output.stdout.lines().find_map(|line| line.strip_prefix("passed="));
        line.and_then(|count| count.parse::<u32>().ok()).unwrap_or(0)
    };
    let (output, mut reached) = run("task=sweep", None)?;
    let name = format!("{} {isa} sweep: {} cases", board.name, passed(&output));
    tally.record(&name, (output.exit_code != Some(0)).then_some(output.stdout));
    let (mut count, mut problems) = (0, String::new());
    for stream in streams {
        match run("task=golden", Some(stream)) {
            Ok((output, code)) => {
                reached.extend(code);
                count += passed(&output);
                if output.exit_code != Some(0) {
                    problems.push_str(&output.stdout);
                }
            }
            Err(error @ BoardError::ProgramTooLarge { .. }) => println!("skipped {error}"),
            Err(error) => return Err(error),
        }
    }
    let name = format!("{} {isa} golden: {count} cases", board.name);
    tally.record(&name, (!problems.is_empty()).then_some(problems));
    let (name, problem) = own_code_is_reached(&image.code()?, &reached);
    tally.record(&format!("{} {isa} {name}", board.name), problem);
    Ok(())
}

/// The longest stretch of an instruction set's own code, in bytes, that no case needs to reach: refusals of operands that do not fit.
const UNREACHED_BYTES_MAX: u32 = 40;

/// Whether the cases reached all of the loops and branches that are written for one instruction set, in `cortado_kernels::arch`.
fn own_code_is_reached(code: &Code, reached: &Reached) -> (String, Option<String>) {
    let is_own = |name: &str| {
        name.contains("cortado_kernels") && (name.contains("4arch") || name.contains("..arch.."))
    };
    let coverage = code.coverage(is_own, reached);
    let name =
        format!("cases reach {} of {} bytes of its own", coverage.reached_bytes, coverage.bytes);
    let long = coverage.unreached.iter().filter(|it| it.bytes > UNREACHED_BYTES_MAX);
    let mut lines: Vec<String> = long
        .map(|it| format!("  {} bytes from {:#x} in {}", it.bytes, it.offset, it.function))
        .collect();
    if coverage.bytes == 0 {
        lines.push("  the image has no such code".to_owned());
    }
    (name, (!lines.is_empty()).then(|| lines.join("\n")))
}

/// The linear models, compiled for the board's own target: equal to the host and to what is recorded.
fn models(tools: &Tools, board: &'static Board, tally: &mut Tally) -> Result<(), String> {
    let target = Target::new(board.cpu);
    let image = tools.build(board, target.isa(), board.profile(Content::Runner), Content::Runner);
    let image = image.map_err(|error| error.to_string())?;
    for model in LINEAR_MODELS {
        let ready = Ready::new(&compiled(model, target)?.pte)?;
        let problem =
            run_and_compare(tools, &image, &ready, LayoutPolicy::Refuse, model, target.isa())?;
        tally.record(&format!("{} {} {model}", board.name, target.isa()), problem);
    }
    Ok(())
}

fn run_and_compare(
    tools: &Tools,
    image: &Image,
    ready: &Ready,
    policy: LayoutPolicy,
    model: &str,
    made_for: Isa,
) -> Result<Option<String>, String> {
    let samples = ready.samples(model)?;
    let here = ready.run_here(image.isa, policy, &samples)?;
    let there = match tools.run_program(image, &ready.on_board(policy), &samples) {
        Ok(Ok(run)) => run.outputs,
        Ok(Err(refusal)) => return Ok(Some(refusal.message)),
        Err(error) => return Ok(Some(error.to_string())),
    };
    if there != here {
        return Ok(Some("the board's outputs differ from the host's".to_owned()));
    }
    compare_with_recorded(model, made_for, &there)
}

/// All nine pairs of file and kernels, under both policies, on boards of each kernel's own core; and files whose form was
/// swapped on purpose, which must be caught.
fn pairs(tools: &Tools, tally: &mut Tally) -> Result<(), String> {
    for kernels in Isa::ALL {
        let board = Board::for_target(Target::new(cpu_of(kernels)));
        let image = tools.build(board, kernels, board.profile(Content::Runner), Content::Runner);
        let image = image.map_err(|error| error.to_string())?;
        for made_for in Isa::ALL {
            let pte = compiled("tiny_linear", Target::new(cpu_of(made_for)))?.pte;
            let name = format!("{} {kernels} kernels, {made_for} file", board.name);
            pair(tools, &image, &pte, made_for, &name, tally)?;
            swapped(tools, &image, &pte, &name, tally)?;
        }
    }
    Ok(())
}

fn pair(
    tools: &Tools,
    image: &Image,
    pte: &[u8],
    made_for: Isa,
    name: &str,
    tally: &mut Tally,
) -> Result<(), String> {
    let ready = Ready::new(pte)?;
    let problem =
        run_and_compare(tools, image, &ready, LayoutPolicy::Adapt, "tiny_linear", made_for)?;
    tally.record(&format!("{name}: adapted, exact"), problem);
    let samples = ready.samples("tiny_linear")?;
    let outcome = tools.run_program(image, &ready.on_board(LayoutPolicy::Refuse), &samples);
    let is_foreign = made_for.constant_form() != image.isa.constant_form();
    let problem = match outcome.map_err(|error| error.to_string())? {
        Ok(_) if is_foreign => Some("a foreign form was run under the refusing policy".to_owned()),
        Ok(run) => compare_with_recorded("tiny_linear", made_for, &run.outputs)?,
        Err(refusal)
            if is_foreign
                && refusal.at_load
                && refusal.message.contains("cortex_m::quantized_linear") =>
        {
            None
        }
        Err(refusal) => Some(refusal.message),
    };
    tally.record(&format!("{name}: {}", if is_foreign { "refused" } else { "exact" }), problem);
    Ok(())
}

/// A file whose constant was moved into the other form's place without being converted, which is the defect that this project began
/// from: with its stamp it is refused under each policy; without a stamp it must give other outputs, or the comparisons above
/// could not notice a swapped form.
fn swapped(
    tools: &Tools,
    image: &Image,
    pte: &[u8],
    name: &str,
    tally: &mut Tally,
) -> Result<(), String> {
    for policy in [LayoutPolicy::Refuse, LayoutPolicy::Adapt] {
        let stamped = swap_forms(pte, true)?;
        let ready = Ready::new(&swap_forms(pte, false)?)?;
        let samples = ready.samples("tiny_linear")?;
        let mut program = ready.on_board(policy);
        let unstamped =
            tools.run_program(image, &program, &samples).map_err(|error| error.to_string())?;
        let file = cortado_host::local::AlignedBytes::copy_of(&stamped);
        program.file = &file;
        let refused =
            tools.run_program(image, &program, &samples).map_err(|error| error.to_string())?;
        let problem = match refused {
            Err(refusal) if refusal.at_load && refusal.message.contains("stamp") => None,
            Err(refusal) => Some(refusal.message),
            Ok(_) => Some("a file that contradicts its stamp was run".to_owned()),
        };
        tally.record(&format!("{name}, swapped, {policy:?}: refused by its stamp"), problem);
        let recorded = match unstamped {
            // Refused for its form, before anything was computed.
            Err(refusal) => (!refusal.at_load).then_some(refusal.message),
            Ok(run) => match compare_with_recorded("tiny_linear", image.isa, &run.outputs)? {
                Some(_) => None,
                None => Some("the outputs do not show that the form was swapped".to_owned()),
            },
        };
        tally.record(&format!("{name}, swapped, {policy:?}, no stamp: noticed"), recorded);
    }
    Ok(())
}
