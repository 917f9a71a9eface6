//! Whether the runtime can panic: looks for what panics call in images of the runtime alone.

use crate::steps::{Tally, alone};
use cortado_contract::Isa;
use cortado_host::boards::{Board, Content, Tools};

/// Parts of the names of functions that only panics call.
const PANICS: &[&str] = &[
    "panicking",
    "panic_fmt",
    "panic_bounds_check",
    "slice_index_fail",
    "unwrap_failed",
    "expect_failed",
    "rust_begin_unwind",
    "len_mismatch_fail",
];

/// A board of each architecture, with the instruction sets that code is generated for there.
const IMAGES: &[(&str, Isa)] = &[
    ("microbit", Isa::Scalar),
    ("mps2-an385", Isa::Scalar),
    ("mps2-an386", Isa::Dsp),
    ("mps2-an505", Isa::Dsp),
    ("mps3-an547", Isa::Mve),
];

/// [`run`], on its own.
pub(crate) fn check() -> Result<(), String> {
    alone(run)
}

/// Links the runtime for every instruction set, and fails where something in it can panic.
pub(crate) fn run(tools: &Tools, tally: &mut Tally) -> Result<(), String> {
    for (board, isa) in IMAGES {
        let board = Board::named(board).ok_or_else(|| format!("there is no board {board}"))?;
        // As the board's firmware is built: for speed, or for size where flash is small.
        let profile = board.profile(Content::Bare);
        let image = tools.build(board, *isa, profile, Content::Bare);
        let image = image.map_err(|error| error.to_string())?;
        let code = image.code().map_err(|error| error.to_string())?;
        let name = format!(
            "{} {isa} {}: load and execute of all operators cannot panic",
            board.name,
            profile.name()
        );
        let executes = code.closure_bytes(&["main"]);
        let found = code.callers(PANICS);
        let problem = match executes {
            None => Some("the image has no functions to look at".to_owned()),
            Some(_) if found.is_empty() => None,
            Some(_) => Some(
                found
                    .iter()
                    .map(|(panic, callers)| {
                        format!("  {panic}\n    from {}", callers.join("\n    from "))
                    })
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
        };
        tally.record(&name, problem);
    }
    Ok(())
}
