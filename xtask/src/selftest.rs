//! Builds every image and runs its self-test on its board, with what goes wrong on purpose.

use crate::steps::Tally;
use cortado_host::boards::{
    BOARDS, BoardError, Content, Image, Profile, Run, RunOutput, Tools, exit_code,
};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs the self-test of every image.
pub(crate) fn run(tools: &Tools, tally: &mut Tally) -> Result<(), BoardError> {
    let directory = std::env::temp_dir().join(format!("cortado-boards-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a temporary folder");
    let program = directory.join("program, with comma.bin");
    let bytes: Vec<u8> =
        (0..100_003u32).map(|index| (index.wrapping_mul(index) >> 7) as u8).collect();
    fs::write(&program, &bytes).expect("a temporary file");
    fs::write(directory.join("in.bin"), &bytes[..777]).expect("a temporary file");

    for board in BOARDS {
        for isa in board.cpu.allowed_isas() {
            let profile = board.profile(Content::Runner);
            // With checks, an image for a board of little flash does not fit, optimised for size or not.
            let checked = (profile == Profile::Release).then_some(Profile::Checked);
            for profile in [Some(profile), checked].into_iter().flatten() {
                let start = Instant::now();
                let image = tools.build(board, isa, profile, Content::Runner)?;
                println!(
                    "== {} {isa} {}: flash {} bytes, RAM {} + stack {} bytes, arena {} bytes, \
                     program at {:#x} up to {} bytes; built in {:.1?}",
                    board.name,
                    profile.name(),
                    image.flash_bytes,
                    image.variable_bytes,
                    board.stack_bytes,
                    image.arena.bytes,
                    image.program.start,
                    image.program.bytes,
                    start.elapsed(),
                );
                try_image(tools, &image, &program, &directory, tally)?;
            }
        }
    }
    fs::remove_dir_all(&directory).expect("the temporary folder");
    Ok(())
}

fn try_image(
    tools: &Tools,
    image: &Image,
    program: &Path,
    directory: &Path,
    tally: &mut Tally,
) -> Result<(), BoardError> {
    let run = |arguments: &[&str]| {
        let limit = Duration::from_secs(10);
        tools.run(image, &Run { program: Some(program), arguments, directory, limit })
    };
    let mut expect = |name: &str, output: &RunOutput, good: bool| {
        let problem = (!good).then(|| format!("{output:#?}"));
        tally.record(&format!("{} {}: {name}", image.board.name, image.isa), problem);
    };
    let arguments = ["read=in.bin", "write=out.txt", "loop=50000000", "list=1,2", "exit=42"];
    let output = run(&arguments)?;
    println!("{}-- {:?}", output.stdout, output.duration);
    expect("self-test", &output, output.exit_code == Some(42) && output.stderr.is_empty());
    let written = fs::read_to_string(directory.join("out.txt")).unwrap_or_default();
    let lines = written.lines().skip(1).eq(arguments);
    expect("file written", &output, lines);
    let again = run(&arguments)?;
    expect("the same again", &again, again.stdout == output.stdout);

    for (kind, code) in [
        ("panic", exit_code::PANIC),
        ("undefined", exit_code::FAULT),
        ("address", exit_code::FAULT),
        ("stack", exit_code::FAULT),
        ("interrupt", exit_code::UNEXPECTED_EXCEPTION),
    ] {
        let output = run(&[&format!("fault={kind}")])?;
        let said: Vec<&str> = output.stdout.lines().skip(3).collect();
        println!("-- {kind}: {}", said.join("\n   "));
        expect(kind, &output, output.exit_code == Some(code));
    }
    for kind in ["unaligned", "program"] {
        let output = run(&[&format!("fault={kind}"), "exit=7"])?;
        let said =
            output.stdout.lines().find(|line| line.contains("access") || line.contains("wr"));
        println!("-- {kind}: {:?} {}", output.exit_code, said.unwrap_or("?"));
    }
    let hang = Run {
        program: None,
        arguments: &["fault=hang"],
        directory,
        limit: Duration::from_millis(500),
    };
    let output = tools.run(image, &hang)?;
    expect("hang", &output, output.timed_out && output.exit_code.is_none());
    Ok(())
}
