//! From an exported program to the graph that passes work on.
//!
//! The graph is functional. Operators that write to their first argument (`aten.relu_`) may be taken for those that do not: the
//! import has refused programs in which anybody reads that argument afterwards.

use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, Value, ValueId};
use crate::import::{self, ExportedProgram, InputKind};
use std::collections::HashMap;

/// Converts an exported program.
///
/// # Errors
/// [`CompileError::Internal`] when the program names a tensor that it does not have, which the import rules out.
pub fn from_export(exported: &ExportedProgram) -> Result<Graph, CompileError> {
    let mut graph = Graph::default();
    let mut current: HashMap<&str, ValueId> = HashMap::new();
    for input in &exported.inputs {
        let id = add_value(exported, &mut graph, &input.name)?;
        current.insert(&input.name, id);
        if input.kind == InputKind::User {
            graph.inputs.push(id);
        }
    }
    // Nodes without results only assert what the import knows already.
    for node in exported.nodes.iter().filter(|node| !node.outputs.is_empty()) {
        let arguments: Result<Vec<_>, CompileError> = node
            .arguments
            .iter()
            .map(|(name, argument)| Ok((name.clone(), convert(argument, &current)?)))
            .collect();
        let outputs: Result<Vec<_>, CompileError> =
            node.outputs.iter().map(|name| add_value(exported, &mut graph, name)).collect();
        let outputs = outputs?;
        for (name, id) in node.outputs.iter().zip(&outputs) {
            current.insert(name, *id);
        }
        let converted = Node {
            name: node.name.clone(),
            target: node.target.clone(),
            arguments: arguments?,
            outputs,
            activation: None,
            source: node.source.clone(),
        };
        graph.nodes.push(converted);
    }
    for output in &exported.outputs {
        graph.outputs.push(lookup(&current, output)?);
    }
    Ok(graph)
}

/// The most elements that a tensor may have: more than any microcontroller's memory holds, and few enough that no pass which makes a
/// constant of a tensor's extents runs out of the host's.
const ELEMENTS_MAX: u64 = 1 << 28;

fn add_value(
    exported: &ExportedProgram,
    graph: &mut Graph,
    name: &str,
) -> Result<ValueId, CompileError> {
    let meta = exported.values.get(name).ok_or_else(|| unknown(name))?;
    // Of a tensor without elements too, so that no product of some of its extents overflows.
    let elements = meta.shape.iter().map(|extent| u64::from(*extent).max(1));
    let elements = elements.fold(1, u64::saturating_mul);
    if elements > ELEMENTS_MAX {
        let shape = meta.shape.clone();
        return Err(CompileError::TooLarge { value: name.to_owned(), shape });
    }
    Ok(graph.add_value(Value {
        name: name.to_owned(),
        dtype: meta.dtype,
        shape: meta.shape.clone(),
        dim_order: meta.dim_order(),
        quantization: None,
        data: exported.constants.get(name).map(|data| data.bytes.clone()),
    }))
}

fn convert(
    argument: &import::Argument,
    current: &HashMap<&str, ValueId>,
) -> Result<Argument, CompileError> {
    Ok(match argument {
        import::Argument::None => Argument::None,
        import::Argument::Tensor(name) => Argument::Value(lookup(current, name)?),
        import::Argument::Tensors(names) => {
            let ids: Result<Vec<_>, _> = names
                .iter()
                .map(|name| name.as_deref().map(|name| lookup(current, name)).transpose())
                .collect();
            Argument::Values(ids?)
        }
        import::Argument::Int(value) => Argument::Int(*value),
        import::Argument::Ints(values) => Argument::Ints(values.clone()),
        import::Argument::Float(value) => Argument::Float(*value),
        import::Argument::Floats(values) => Argument::Floats(values.clone()),
        import::Argument::Bool(value) => Argument::Bool(*value),
        import::Argument::Bools(values) => Argument::Bools(values.clone()),
        import::Argument::Text(text) => Argument::Text(text.clone()),
        import::Argument::ScalarType(_) => {
            argument.as_dtype().map_or(Argument::Other, Argument::DType)
        }
        import::Argument::IntLists(_)
        | import::Argument::Texts(_)
        | import::Argument::MemoryFormat(_)
        | import::Argument::StridedLayout
        | import::Argument::Device(_) => Argument::Other,
    })
}

fn lookup(current: &HashMap<&str, ValueId>, name: &str) -> Result<ValueId, CompileError> {
    current.get(name).copied().ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> CompileError {
    CompileError::Internal(format!("the import let through the unknown tensor `{name}`"))
}
