//! Cortado's ahead-of-time compiler: an exported PyTorch program in, an ExecuTorch program for one Cortex-M target out.
//!
//! Data flows one way, and each stage has its own type:
//!
//! | stage | module | from | to |
//! |---|---|---|---|
//! | import | [`import`] | bytes of a `.pt2` | [`import::ExportedProgram`] |
//! | graph | [`from_export`] | exported program | [`graph::Graph`] |
//! | passes | [`passes`] | graph | graph, quantization folded into values |
//! | lower | [`mod@lower`] | graph and target | [`lowered::Lowered`], calls of Cortado's operators |
//! | plan | [`mod@plan`] | lowered program | [`plan::MemoryPlan`] |
//! | emit | [`mod@emit`] | all of it | bytes of a `.pte` |
//! | link | [`mod@link`] | bytes of a `.pte` | [`link::Linked`], loaded ahead of time |
//!
//! [`mod@export`] writes a graph as a `.pt2` again. [`mod@finish`] is plan and emit in one. The other way, [`mod@lift`] reads any
//! `.pte` back as a lowered program, and
//! [`mod@retarget`] turns one for one instruction set into one for another.
//!
//! The target is a value, handed from stage to stage.

#![forbid(unsafe_code)]

pub mod allocate;
pub mod border;
pub mod build;
pub mod c_header;
pub mod dump;
pub mod emit;
pub mod error;
pub mod export;
pub mod finish;
pub mod from_export;
pub mod functions;
pub mod graph;
pub mod import;
pub mod judge;
pub mod lift;
pub mod link;
pub mod lower;
pub mod lowered;
pub mod module;
mod order;
pub mod passes;
pub mod plan;
pub mod report;
pub mod retarget;
pub mod stack;
#[cfg(test)]
mod testing;
pub mod verify;

use cortado_contract::Target;
pub use error::{CompileError, Unsupported};
use import::ExportedProgram;
use plan::PlanOptions;

/// Every stage of one compilation.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The target that was compiled for.
    pub target: Target,
    /// The graph after all passes.
    pub graph: graph::Graph,
    /// The operators, in the graph's order.
    pub lowered: lowered::Lowered,
    /// The same in its canonical form and in the order in which they run: what the plan is for.
    pub scheduled: lowered::Lowered,
    /// The memory plan.
    pub plan: plan::MemoryPlan,
    /// The file.
    pub pte: Vec<u8>,
    /// The file as it is once it has been loaded.
    pub linked: link::Linked,
}

/// Compiles an exported program for a target.
///
/// # Errors
/// See [`CompileError`].
pub fn compile(exported: &ExportedProgram, target: Target) -> Result<Compiled, CompileError> {
    compile_with(exported, target, &PlanOptions::default())
}

/// As [`compile`], with memory planned as `options` say.
///
/// # Errors
/// See [`CompileError`].
pub fn compile_with(
    exported: &ExportedProgram,
    target: Target,
    options: &PlanOptions,
) -> Result<Compiled, CompileError> {
    let mut graph = from_export::from_export(exported)?;
    let mut defect = None;
    passes::run_all(&passes::PassContext { target }, &mut graph, |pass, graph| {
        if defect.is_none() {
            let problem = verify::verify(graph).into_iter().next();
            defect = problem.map(|problem| format!("after the pass `{}`: {problem}", pass.name));
        }
    })?;
    if let Some(defect) = defect {
        return Err(CompileError::Internal(defect));
    }
    let mut lowered = lower::lower(&graph, target)?;
    if options.int8_border {
        border::drop_conversions(&mut lowered);
    }
    let finish::Finished { lowered: scheduled, plan, pte } =
        finish::finish(&lowered, target, options)?;
    let linked = link::link(&pte, target)?;
    Ok(Compiled { target, graph, lowered, scheduled, plan, pte, linked })
}
