//! Gives arithmetic in binary32 constants of no axes in place of plain numbers.
//!
//! `add`, `sub`, `mul` and `div` with a number become the same with two tensors, and a number minus a tensor becomes a difference in
//! that order. Quantized operators have become tables by then.

use super::PassContext;
use super::rewriter::{Rewriter, replace_each};
use crate::error::CompileError;
use crate::functions::base_name;
use crate::graph::{Argument, Graph};

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    replace_each(graph, rewrite);
    Ok(())
}

fn rewrite(rewriter: &mut Rewriter<'_>) -> Option<()> {
    let node = rewriter.origin;
    let (name, overload) = base_name(node)?;
    let [output] = node.outputs[..] else { return None };
    let is_plain = matches!(overload, "Tensor" | "Scalar") && node.activation.is_none();
    let input = node.value("self").filter(|id| rewriter.is_f32(*id))?;
    let alpha = node.float("alpha").unwrap_or(1.0);
    let is_rounded = !matches!(node.argument("rounding_mode"), None | Some(Argument::None));
    if !is_plain || !rewriter.is_f32(output) || is_rounded {
        return None;
    }
    let other = match node.value("other") {
        Some(other) if name == "rsub" && alpha == 1.0 => other,
        Some(_) => return None,
        None => {
            let number = node.float("other")?;
            let number = if matches!(name, "add" | "sub") { number * alpha } else { number };
            rewriter.constant("number", Vec::new(), &[number as f32])
        }
    };
    let (target, first, second) = match name {
        "add" => ("aten.add.Tensor", input, other),
        "sub" => ("aten.sub.Tensor", input, other),
        "mul" => ("aten.mul.Tensor", input, other),
        "div" => ("aten.div.Tensor", input, other),
        "rsub" if alpha == 1.0 => ("aten.sub.Tensor", other, input),
        _ => return None,
    };
    rewriter.call_into(target, [("self", first.into()), ("other", second.into())], output);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;

    fn rewritten(target: &str, other: Argument, alpha: f64) -> (Sample, String) {
        let mut sample = Sample::default();
        let input = sample.input("x", &[3]);
        let arguments =
            [("self", input.into()), ("other", other), ("alpha", Argument::Float(alpha))];
        let output = sample.node("node", target, &arguments, &[3]);
        let targets = sample.run(&[output], run);
        (sample, targets.concat())
    }

    #[test]
    fn numbers_become_tensors() {
        let (sample, target) = rewritten("aten.sub.Scalar", Argument::Int(3), 2.0);
        assert_eq!(target, "aten.sub.Tensor");
        let other = sample.graph.nodes[0].value("other").unwrap();
        assert_eq!(
            (sample.elements(other), sample.graph.value(other).shape.len()),
            (Some(vec![6.0]), 0)
        );
        let (sample, target) = rewritten("aten.rsub.Scalar", Argument::Float(1.0), 1.0);
        assert_eq!(target, "aten.sub.Tensor");
        assert_eq!(sample.graph.nodes[0].value("other"), Some(sample.graph.inputs[0]));
    }

    #[test]
    fn other_operators_stay() {
        assert_eq!(rewritten("aten.rsub.Scalar", Argument::Float(1.0), 2.0).1, "aten.rsub.Scalar");
        assert_eq!(rewritten("aten.pow.Tensor", Argument::Float(1.0), 1.0).1, "aten.pow.Tensor");
    }
}
