//! Rewrites of the graph before lowering, in one list.

use crate::error::CompileError;
use crate::graph::Graph;
use cortado_contract::{Cpu, Target};

mod assign_layouts;
mod batch_products;
mod decompose_attention;
mod decompose_operators;
mod drop_unread_results;
mod fold_batch_norms;
mod fold_constants;
mod fold_copies_into_weights;
mod fold_qparams;
mod fuse_activations;
mod fuse_hardsigmoid;
mod make_numbers_tensors;
mod narrow_joins;
mod remove_no_ops;
mod requantize_in_integers;
mod rewriter;
mod share_qparams;
mod split_into_slices;
mod tabulate_functions;
mod transpose_matmul;
mod unroll_recurrences;
mod widen_convolutions;

pub(crate) use assign_layouts::{CLONE_DIM_ORDER, permutation};
pub use fold_qparams::{DEQUANTIZE, DEQUANTIZE_PER_CHANNEL, QUANTIZE, constant_numbers};
pub use fuse_activations::{clamp_range, is_clamping_producer};
pub(crate) use fuse_hardsigmoid::REINTERPRET;
pub(crate) use requantize_in_integers::REQUANTIZE;
pub(crate) use tabulate_functions::{LOOKUP, Table};
pub(crate) use transpose_matmul::BMM_TRANSPOSED;

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
    Pass { name: "split_into_slices", run: split_into_slices::run },
    Pass { name: "drop_unread_results", run: drop_unread_results::run },
    Pass { name: "fold_constants", run: fold_constants::run },
    Pass { name: "decompose_attention", run: decompose_attention::run },
    Pass { name: "unroll_recurrences", run: unroll_recurrences::run },
    Pass { name: "decompose_operators", run: decompose_operators::run },
    Pass { name: "narrow_joins", run: narrow_joins::run },
    Pass { name: "fold_batch_norms", run: fold_batch_norms::run },
    Pass { name: "share_qparams", run: share_qparams::run },
    Pass { name: "fuse_activations", run: fuse_activations::run },
    Pass { name: "fuse_hardsigmoid", run: fuse_hardsigmoid::run },
    Pass { name: "fold_qparams", run: fold_qparams::run },
    Pass { name: "requantize_in_integers", run: requantize_in_integers::run },
    Pass { name: "tabulate_functions", run: tabulate_functions::run },
    Pass { name: "fold_dequantized_constants", run: fold_constants::run_with_quantized },
    Pass { name: "make_numbers_tensors", run: make_numbers_tensors::run },
    Pass { name: "widen_convolutions", run: widen_convolutions::run },
    Pass { name: "transpose_matmul", run: transpose_matmul::run },
    Pass { name: "batch_products", run: batch_products::run },
    Pass { name: "assign_layouts", run: assign_layouts::run },
    Pass { name: "fold_copies_into_weights", run: fold_copies_into_weights::run },
];

/// The last of the passes that hold for any target and leave ATen's operators in place: what a quantizer starts from.
const LAST_SIMPLIFICATION: &str = "fold_batch_norms";

/// Makes a graph as simple as it can be for any target: no-ops, batch normalization and whatever is constant go, attention and
/// recurrent layers become the operators that they stand for.
///
/// # Errors
/// That of the first pass that fails.
pub fn simplify(graph: &mut Graph) -> Result<(), CompileError> {
    // None of these passes asks for the target.
    let context = PassContext { target: Target::new(Cpu::M55) };
    for pass in PASSES {
        (pass.run)(&context, graph)?;
        if pass.name == LAST_SIMPLIFICATION {
            break;
        }
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simplification_ends_somewhere() {
        assert!(PASSES.iter().any(|pass| pass.name == LAST_SIMPLIFICATION));
    }
}
