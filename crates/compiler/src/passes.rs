//! Rewrites of the graph before lowering, in one list.

use crate::error::CompileError;
use crate::graph::Graph;
use cortado_contract::Target;

mod assign_layouts;
mod fold_qparams;
mod fuse_activations;
mod remove_no_ops;

pub(crate) use assign_layouts::CLONE_DIM_ORDER;
pub(crate) use fold_qparams::{DEQUANTIZE, QUANTIZE, constant_numbers};

/// What a pass may know besides the graph.
#[derive(Clone, Copy, Debug)]
pub struct PassContext {
    /// The target that is compiled for.
    pub target: Target,
}

/// A rewrite of the graph.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What it does, as a verb phrase; also its name in dumps and timings.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&PassContext, &mut Graph) -> Result<(), CompileError>,
}

/// The passes in their order.
pub const PASSES: &[Pass] = &[
    Pass { name: "remove_no_ops", run: remove_no_ops::run },
    Pass { name: "fuse_activations", run: fuse_activations::run },
    Pass { name: "fold_qparams", run: fold_qparams::run },
    Pass { name: "assign_layouts", run: assign_layouts::run },
];

/// Runs all passes; `after` sees the graph after each of them.
///
/// # Errors
/// That of the first pass that fails.
pub fn run_all(
    context: &PassContext,
    graph: &mut Graph,
    mut after: impl FnMut(&Pass, &Graph),
) -> Result<(), CompileError> {
    for pass in PASSES {
        (pass.run)(context, graph)?;
        after(pass, graph);
    }
    Ok(())
}
