//! Refusing programs in which a write is seen under another name.
//!
//! An operator such as `relu_` writes to its operand and also returns it. Exported programs read the result's name from
//! then on, so such an operator can be taken for one that makes a new tensor, except where
//!
//! * what is written belongs to the model (a parameter, buffer or constant): it would be different in the next run;
//! * an older name of the same elements, such as a view, is read after the write: it would have the old elements.
//!
//! Both are found by following which names stand for the same elements. The signature lists writes to the model only
//! after a program has been decomposed, so it does not help.

use super::error::ImportError;
use super::{Input, InputKind, Node};
use std::collections::BTreeMap;

/// Operators of ATen whose results are, or can be, the elements of their first operand: those that
/// `native_functions.yaml` declares so, and those that do so without saying it.
const VIEWS: [&str; 54] = [
    "adjoint",
    "alias",
    "alpha_dropout",
    "as_strided",
    "broadcast_to",
    "chunk",
    "contiguous",
    "detach",
    "diagonal",
    "dropout",
    "dsplit",
    "expand",
    "expand_as",
    "feature_alpha_dropout",
    "feature_dropout",
    "flatten",
    "hsplit",
    "lift_fresh",
    "linalg_diagonal",
    "mH",
    "mT",
    "matrix_H",
    "moveaxis",
    "movedim",
    "narrow",
    "numpy_T",
    "permute",
    "positive",
    "ravel",
    "real",
    "reshape",
    "reshape_as",
    "resolve_conj",
    "resolve_neg",
    "select",
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "swapaxes",
    "swapdims",
    "t",
    "tensor_split",
    "to",
    "transpose",
    "type_as",
    "unbind",
    "unflatten",
    "unfold",
    "unsafe_chunk",
    "unsafe_split",
    "unsqueeze",
    "view",
    "view_as",
];
/// Operators with a trailing underscore that change how a tensor is seen, and not its elements.
const VIEWS_IN_PLACE: [&str; 8] = [
    "detach_",
    "requires_grad_",
    "squeeze_",
    "swapaxes_",
    "swapdims_",
    "t_",
    "transpose_",
    "unsqueeze_",
];

/// A tensor's elements, which several names can stand for: where they come from, and which names are outdated.
struct Elements<'a> {
    /// The input that brings the elements along, if one does.
    input: Option<&'a Input>,
    /// The last node that wrote to the elements, counted from 1; names given before it are outdated.
    written: usize,
}

/// Refuses writes to what the model brings along, and reading a name after its elements were written under another.
pub(super) fn check<'a>(
    inputs: impl IntoIterator<Item = &'a Input>,
    nodes: &'a [Node],
    outputs: &[String],
) -> Result<(), ImportError> {
    let mut elements: Vec<Elements<'_>> = Vec::new();
    // Which elements a name stands for, and since which node; inputs are there from node 0 on.
    let mut names: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for input in inputs {
        names.insert(&input.name, (elements.len(), 0));
        elements.push(Elements { input: Some(input), written: 0 });
    }
    for (index, node) in nodes.iter().enumerate() {
        let time = index + 1;
        for operand in node.operands() {
            check_current(&elements, &names, operand, nodes)?;
        }
        let first = node.operands().next().and_then(|operand| names.get(operand)).copied();
        let operator = operator(node);
        let is_view = VIEWS.contains(&operator) || VIEWS_IN_PLACE.contains(&operator);
        let writes = node.is_in_place() && !is_view;
        if let Some((shared, _)) = first
            && writes
        {
            refuse_state(elements[shared].input, node)?;
            elements[shared].written = time;
        }
        for output in &node.outputs {
            let place = match first {
                Some((shared, _)) if is_view || writes => shared,
                _ => {
                    elements.push(Elements { input: None, written: 0 });
                    elements.len() - 1
                }
            };
            names.insert(output, (place, time));
        }
    }
    outputs.iter().try_for_each(|output| check_current(&elements, &names, output, nodes))
}

/// The operator of ATen without its overload; empty for other libraries.
fn operator(node: &Node) -> &str {
    let name = node.target.strip_prefix("aten.").unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

/// Refuses a name that was given before its elements were written.
fn check_current(
    elements: &[Elements<'_>],
    names: &BTreeMap<&str, (usize, usize)>,
    name: &str,
    nodes: &[Node],
) -> Result<(), ImportError> {
    let Some(&(place, since)) = names.get(name) else { return Ok(()) };
    let written = elements[place].written;
    if since >= written {
        return Ok(());
    }
    let writer = &nodes[written - 1];
    Err(ImportError::Outdated {
        value: name.to_owned(),
        node: writer.name.clone(),
        target: writer.target.clone(),
        source_location: Box::new(writer.source.clone()),
    })
}

/// Refuses a write to elements that the model brings along.
fn refuse_state(input: Option<&Input>, node: &Node) -> Result<(), ImportError> {
    let what = match input.map(|input| &input.kind) {
        Some(InputKind::Parameter { fqn }) => format!("the parameter `{fqn}`"),
        Some(InputKind::Buffer { fqn }) => format!("the buffer `{fqn}`"),
        Some(InputKind::Constant { fqn }) => format!("the constant `{fqn}`"),
        // The caller's own copy stays as it is.
        Some(InputKind::User) | None => return Ok(()),
    };
    Err(ImportError::Mutation { what, source_location: Some(Box::new(node.source.clone())) })
}

#[cfg(test)]
mod tests {
    use super::super::Argument;
    use super::*;

    fn node(target: &str, operands: &[&str], output: &str) -> Node {
        let arguments = operands
            .iter()
            .map(|name| (String::new(), Argument::Tensor((*name).to_owned())))
            .collect();
        Node {
            name: output.to_owned(),
            target: target.to_owned(),
            arguments,
            outputs: vec![output.to_owned()],
            source: crate::import::SourceLocation::new(output, None, None),
        }
    }

    fn check_nodes(nodes: &[Node], output: &str) -> Result<(), String> {
        let inputs = [
            Input {
                name: "b_state".to_owned(),
                kind: InputKind::Buffer { fqn: "state".to_owned() },
            },
            Input { name: "x".to_owned(), kind: InputKind::User },
        ];
        check(&inputs, nodes, &[output.to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn writes_whose_result_is_read_are_fine() {
        let nodes = [
            node("aten.conv2d.default", &["x"], "conv"),
            node("aten.view.default", &["conv"], "view"),
            node("aten.relu_.default", &["view"], "relu_"),
            node("aten.add_.Tensor", &["relu_", "x"], "add_"),
            node("aten.transpose.int", &["add_"], "transpose"),
        ];
        assert_eq!(check_nodes(&nodes, "transpose"), Ok(()));
        // Writing to the caller's input leaves the caller's copy alone.
        assert_eq!(check_nodes(&[node("aten.relu_.default", &["x"], "relu_")], "relu_"), Ok(()));
        // `detach_` writes nothing, `__and__` is no write, and a copy is no view.
        let nodes = [
            node("aten.lift_fresh_copy.default", &["b_state"], "copy"),
            node("aten.detach_.default", &["copy"], "detach_"),
            node("aten.__and__.Tensor", &["copy", "b_state"], "and"),
            node("aten.relu_.default", &["detach_"], "relu_"),
        ];
        assert_eq!(check_nodes(&nodes, "relu_"), Ok(()));
    }

    #[test]
    fn state_is_refused_through_views_too() {
        let nodes = [
            node("aten.select.int", &["b_state"], "select"),
            node("aten.copy_.default", &["select", "x"], "copy_"),
        ];
        let message = "the program writes to the buffer `state` at node `copy_`, and programs with state are not \
                       supported; call model.eval() before the export, or return the new value as an output";
        assert_eq!(check_nodes(&nodes, "copy_"), Err(message.to_owned()));
    }

    #[test]
    fn outdated_names_are_refused() {
        let mut nodes = vec![
            node("aten.conv2d.default", &["x"], "conv"),
            node("aten.view.default", &["conv"], "view"),
            node("aten.relu_.default", &["view"], "relu_"),
            node("aten.sigmoid.default", &["conv"], "sigmoid"),
        ];
        let message = |value| {
            format!(
                "`{value}` is read after node `relu_` (aten.relu_.default) has changed its elements in place, at node \
                 `relu_`; use the operation that is not in place, such as inplace=False"
            )
        };
        assert_eq!(check_nodes(&nodes, "sigmoid"), Err(message("conv")));
        nodes.pop();
        assert_eq!(check_nodes(&nodes, "view"), Err(message("view")));
        assert_eq!(check_nodes(&nodes, "relu_"), Ok(()));
    }
}
