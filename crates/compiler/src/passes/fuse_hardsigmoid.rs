//! Fuses a hardsigmoid into the operator before it, by way of the scale on which that operator writes its result.
//!
//! ```text
//! hardsigmoid(x) = clamp(x/6 + 1/2, 0, 1), quantized with scale s and zero point z:
//! round(hardsigmoid(x)/s) + z ≈ clamp(round(x/(6·s)) + z + round(1/(2·s)), q(0), q(1))
//! ```
//!
//! So the operator computes `x` on the scale `6·s` with the zero point `z + round(1/(2·s))`, and its integers are read on the scale
//! `s` with the zero point `z`: a [`REINTERPRET`] node, which costs nothing. Where that zero point does not fit `int8`, the
//! hardsigmoid stays. Rounding the zero point costs at most half a step.
//!
//! Source: ExecuTorch's `ActivationFusionPass`. Pools are left out as there: their results keep their inputs' scale.

use super::fuse_activations::can_clamp;
use super::{PassContext, QUANTIZE};
use crate::error::CompileError;
use crate::functions::base_name;
use crate::graph::{Argument, Graph, Node, RealRange, Value, ValueId};
use cortado_contract::DType;

/// The target of nodes whose result has the integers of their `input` but stands for other real numbers.
pub(crate) const REINTERPRET: &str = "cortado.reinterpret.default";

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    for index in 0..graph.nodes.len() {
        fuse(graph, index);
    }
    graph.remove_dead_nodes();
    Ok(())
}

/// Moves the hardsigmoid at `index` into the operator before it.
fn fuse(graph: &mut Graph, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    let (("hardsigmoid", _), [output]) = (base_name(node)?, &node.outputs[..]) else { return None };
    let (input, output) = (node.value("self").or_else(|| node.value("input"))?, *output);
    let users = graph.users(output);
    let quantize = &graph.nodes[*users.first()?];
    let is_same = |user: &usize| {
        let user = &graph.nodes[*user];
        user.target == QUANTIZE && Parameters::of(user) == Parameters::of(quantize)
    };
    let producer = graph.producer(input)?;
    let is_pooling = graph.nodes[producer].target.contains("pool");
    if graph.outputs.contains(&input)
        || graph.outputs.contains(&output)
        || graph.users(input) != [index]
        || !users.iter().all(is_same)
        || is_pooling
        || !can_clamp(graph, producer, output)
    {
        return None;
    }
    let wanted = Parameters::of(quantize)?;
    let (computed, range) = wanted.before_hardsigmoid()?;
    let quantize = quantize.clone();
    let value = Value {
        name: format!("{}_times_6", graph.value(output).name),
        dtype: DType::I8,
        ..graph.value(output).clone()
    };
    let integers = graph.add_value(value);
    let producer = &mut graph.nodes[producer];
    producer.activation = Some(producer.activation.unwrap_or(RealRange::ALL).then(range));
    let name = graph.nodes[index].name.clone();
    graph.nodes[index] =
        Node { name, outputs: vec![integers], ..computed.quantize_node(quantize, input) };
    for user in users {
        let user = &mut graph.nodes[user];
        user.target = REINTERPRET.to_owned();
        user.arguments = vec![("input".to_owned(), Argument::Value(integers))];
    }
    Some(())
}

/// What a quantize node to `int8` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Parameters {
    scale: f64,
    zero_point: i64,
    quant_min: i64,
    quant_max: i64,
}

impl Parameters {
    fn of(node: &Node) -> Option<Parameters> {
        let scale = node.float("scale").filter(|scale| *scale > 0.0 && scale.is_finite())?;
        (node.argument("dtype") == Some(&Argument::DType(DType::I8))).then_some(Parameters {
            scale,
            zero_point: node.int("zero_point")?,
            quant_min: node.int("quant_min")?,
            quant_max: node.int("quant_max")?,
        })
    }

    /// The parameters for the argument of a hardsigmoid whose result has these, and the range of arguments beyond which
    /// the result is 0 or 1.
    fn before_hardsigmoid(self) -> Option<(Parameters, RealRange)> {
        let scale = 6.0 * self.scale;
        let half = (1.0 / (2.0 * self.scale)).round_ties_even();
        let zero_point = (self.zero_point as f64 + half) as i64;
        if zero_point > self.quant_max || self.quant_max > 127 || self.quant_min < -128 {
            return None;
        }
        let integer = |real: f64| {
            let integer = (real / self.scale + self.zero_point as f64).round_ties_even();
            integer.clamp(self.quant_min as f64, self.quant_max as f64)
        };
        let argument = |integer: f64| (integer - zero_point as f64) * scale;
        let range = RealRange { min: argument(integer(0.0)), max: argument(integer(1.0)) };
        (range.min <= range.max).then_some((Parameters { scale, zero_point, ..self }, range))
    }

    /// A quantize node like another one, with these parameters.
    fn quantize_node(self, mut node: Node, input: ValueId) -> Node {
        for (name, argument) in &mut node.arguments {
            match name.as_str() {
                "input" => *argument = Argument::Value(input),
                "scale" => *argument = Argument::Float(self.scale),
                "zero_point" => *argument = Argument::Int(self.zero_point),
                _ => {}
            }
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::GraphBuilder;
    use cortado_contract::{Cpu, Target};

    /// A linear layer, a hardsigmoid, and a quantize node with these parameters.
    fn fused(scale: f64, zero_point: i64) -> Graph {
        let mut builder = GraphBuilder::default();
        let input = builder.float("x", &[1, 4]);
        let sums = builder.float("sums", &[1, 4]);
        let gates = builder.float("gates", &[1, 4]);
        let output = builder.int8("y", &[1, 4], scale, zero_point as i32);
        builder.node("aten.linear.default", &[input], &[], sums);
        builder.node("aten.hardsigmoid.default", &[sums], &[], gates);
        let arguments = [
            ("input", Argument::Value(gates)),
            ("scale", Argument::Float(scale)),
            ("zero_point", Argument::Int(zero_point)),
            ("quant_min", Argument::Int(-128)),
            ("quant_max", Argument::Int(127)),
            ("dtype", Argument::DType(DType::I8)),
        ];
        builder.node(QUANTIZE, &[], &arguments, output);
        builder.0.outputs = vec![output];
        run(&PassContext { target: Target::new(Cpu::M4) }, &mut builder.0).unwrap();
        builder.0
    }

    fn targets(graph: &Graph) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.target.as_str()).collect()
    }

    #[test]
    fn the_operator_before_writes_on_six_times_the_scale() {
        let graph = fused(1.0 / 256.0, -128);
        assert_eq!(targets(&graph), ["aten.linear.default", QUANTIZE, REINTERPRET]);
        let quantize = &graph.nodes[1];
        assert_eq!(quantize.float("scale"), Some(6.0 / 256.0));
        assert_eq!(quantize.int("zero_point"), Some(0));
        let range = graph.nodes[0].activation.unwrap();
        // From −3 to 127/256 · 6, the greatest integer's argument.
        assert_eq!((range.min, range.max), (-3.0, 127.0 * 6.0 / 256.0));
    }

    #[test]
    fn bounds_are_those_of_the_result() {
        let graph = fused(1.0 / 100.0, -20);
        let range = graph.nodes[0].activation.unwrap();
        assert_eq!(graph.nodes[1].int("zero_point"), Some(30));
        assert!((range.min + 3.0).abs() < 1e-12 && (range.max - 3.0).abs() < 1e-12, "{range:?}");
    }

    #[test]
    fn a_zero_point_outside_of_int8_stays() {
        let graph = fused(1.0 / 1024.0, -128);
        assert_eq!(targets(&graph), ["aten.linear.default", "aten.hardsigmoid.default", QUANTIZE]);
    }
}
