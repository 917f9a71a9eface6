//! Functions of one `int8` number; the pass `tabulate_functions` has made their tables.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::functions::Elementwise;
use crate::graph::{Graph, Node};
use crate::passes::LOOKUP;
use cortado_contract::DType;
use cortado_contract::ops::{Operator, QuantizedActivation};

pub(super) fn lower(lowerer: &mut Lowerer<'_>, node: &Node) -> Outcome {
    if node.target == LOOKUP {
        return Some(lower_lookup(lowerer, node));
    }
    is_left_over(lowerer.graph, node).then(|| Err(not_tabulated(lowerer.graph, node)))
}

fn lower_lookup(lowerer: &mut Lowerer<'_>, node: &Node) -> Result<(), Unsupported> {
    let (Some(input), Some(table), [output]) =
        (node.value("input"), node.value("table"), node.outputs.as_slice())
    else {
        return Err(Unsupported::new(node, "it has no input, no table or no result"));
    };
    let operator = QuantizedActivation {
        input: lowerer.tensor(input),
        lut: lowerer.tensor(table),
        out: lowerer.tensor(*output),
    };
    lowerer.call(node, Operator::QuantizedActivation(operator));
    Ok(())
}

/// Whether a node is a function of one quantized tensor which the pass could not make a table of.
fn is_left_over(graph: &Graph, node: &Node) -> bool {
    let is_integer = |node: &Node| {
        node.outputs.iter().chain(&node.value("self")).all(|id| !graph.value(*id).dtype.is_float())
    };
    is_integer(node) && Elementwise::of(node).is_some_and(|function| function.operands.len() == 1)
}

fn not_tabulated(graph: &Graph, node: &Node) -> Unsupported {
    let other = node.operands().chain(node.outputs.iter().copied()).find(|id| {
        let quantization = graph.value(*id).quantization.as_ref();
        quantization.is_none_or(|it| it.dtype != DType::I8 || it.per_tensor().is_none())
    });
    let why = match other {
        Some(id) => format!(
            "it is computed by a table, which takes int8 with one scale and one zero point; `{}` is otherwise",
            graph.value(id).name
        ),
        None => "it is undefined for every number that its input can be".to_owned(),
    };
    Unsupported::new(node, why).with_remedy("quantize its input and its result per tensor as int8")
}
