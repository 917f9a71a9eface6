//! Makes tables of functions of one `int8` number.
//!
//! Whatever stands between an `int8` tensor and an `int8` tensor, as long as each element depends on one element only, has 256
//! values. This pass finds three forms of it and replaces each by a [`LOOKUP`] node with a table:
//!
//! * a quantized operator with one tensor that is no constant: an activation, a power, a sum with a number;
//! * a dequantize node, any such operators in float, and a quantize node; without operators in between, that is a change of
//!   scale, as is a requantize node;
//! * two tables in a row, of which nobody else reads the first.
//!
//! A table that changes nothing is removed. Entries are what the exported program computes in binary32, operator by operator,
//! from dequantizing to quantizing. ExecuTorch has tables of its own for ten functions, in binary64 and with ties away from zero;
//! their entries are reproduced instead. Where a function is undefined (the logarithm of a negative number), the
//! nearest entry that is defined continues, as in those tables.

use super::{DEQUANTIZE, PassContext, QUANTIZE, REQUANTIZE, constant_numbers};
use crate::error::CompileError;
use crate::functions::{Elementwise, base_name};
use crate::graph::{Argument, Graph, Node, Quantization, Value, ValueId};
use cortado_contract::DType;
use cortado_contract::ops::quantized_activation::{ENTRIES, entry_of};
use cortado_contract::quant::{Activation, ZeroPoint, dequantize, inverse_scale, quantize};
use std::collections::HashMap;

/// The target of a table: `input`, and `table` of 256 numbers, the first one for −128.
pub(crate) const LOOKUP: &str = "cortado.lookup.default";

/// A table's entries, from that of −128 on.
pub(crate) type Table = [i8; ENTRIES];

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let mut columns = Columns(HashMap::new());
    for index in 0..graph.nodes.len() {
        if let Some((input, table)) = tabulate(graph, &mut columns, index) {
            replace(graph, index, input, &table);
        }
    }
    // Nodes that nobody reads any more would count as readers.
    for rewrite in [remove_identity, join, remove_identity] {
        for index in 0..graph.nodes.len() {
            rewrite(graph, index);
        }
        graph.remove_dead_nodes();
    }
    Ok(())
}

/// The table of the node at `index`, and the tensor to look up.
fn tabulate(graph: &Graph, columns: &mut Columns, index: usize) -> Option<(ValueId, Table)> {
    let node = &graph.nodes[index];
    let [output] = node.outputs[..] else { return None };
    let output = graph.value(output);
    let (quantization, _) = int8(output)?;
    let (source, entries) = if matches!(node.target.as_str(), QUANTIZE | REQUANTIZE) {
        let Column { source, values } = columns.of(graph, node.value("input")?)?;
        (source, quantize_all(&values, quantization)?)
    } else {
        if keeps_operator(graph, node) {
            return None;
        }
        let Column { source, values } = columns.of_node(graph, node)?;
        let entries = match upstream_table(graph, node, quantization) {
            Some(entries) => entries,
            None => quantize_all(&values, quantization)?,
        };
        (source, entries)
    };
    let source = source?;
    (graph.value(source).shape == output.shape).then_some((source, entries))
}

/// Whether an operator of its own is as good as a table: the smaller or greater of two tensors on the same scale.
fn keeps_operator(graph: &Graph, node: &Node) -> bool {
    let is_alike = |id: ValueId| {
        let (a, b) = (graph.value(id), graph.value(node.outputs[0]));
        a.dtype == DType::I8
            && a.quantization.as_ref().and_then(Quantization::per_tensor)
                == b.quantization.as_ref().and_then(Quantization::per_tensor)
    };
    matches!(base_name(node), Some(("minimum" | "maximum", _)))
        && node.activation.is_none()
        && node.operands().count() == 2
        && node.operands().all(is_alike)
}

/// Real numbers, one for each value that an element of an `int8` tensor can have.
#[derive(Clone)]
struct Column {
    /// The tensor; `None` when the numbers are all the same.
    source: Option<ValueId>,
    values: Vec<f64>,
}

/// The columns of values, as far as they have been asked for; `None` for values that have none.
struct Columns(HashMap<ValueId, Option<Column>>);

impl Columns {
    /// What a value is for each value of the `int8` tensor that it depends on.
    fn of(&mut self, graph: &Graph, id: ValueId) -> Option<Column> {
        if let Some(known) = self.0.get(&id) {
            return known.clone();
        }
        let column = self.compute(graph, id);
        self.0.insert(id, column.clone());
        column
    }

    fn compute(&mut self, graph: &Graph, id: ValueId) -> Option<Column> {
        let value = graph.value(id);
        if value.data.is_some() {
            let number = single_number(graph, id)?;
            return Some(Column { source: None, values: vec![number; ENTRIES] });
        }
        if !value.dtype.is_float() {
            let (_, (scale, zero_point)) = int8(value)?;
            let real = |integer| dequantize(integer, scale as f32, ZeroPoint(zero_point)).into();
            return Some(Column { source: Some(id), values: (-128..=127).map(real).collect() });
        }
        let node = &graph.nodes[graph.producer(id)?];
        if node.target == DEQUANTIZE && value.dtype == DType::F32 {
            return self.of(graph, node.value("input")?);
        }
        self.of_node(graph, node)
    }

    /// What a node computes, rounded to binary32; not for one that reads two tensors that are quantized.
    fn of_node(&mut self, graph: &Graph, node: &Node) -> Option<Column> {
        let function = Elementwise::of(node)?;
        let operands = function.operands.iter().map(|id| self.of(graph, *id));
        let operands: Vec<Column> = operands.collect::<Option<_>>()?;
        let mut sources = operands.iter().filter_map(|column| column.source);
        let source = sources.next();
        let is_quantized = !graph.value(*node.outputs.first()?).dtype.is_float();
        // Sums and products of two quantized tensors have operators of their own, even if both are the same one.
        if sources.any(|other| is_quantized || Some(other) != source) {
            return None;
        }
        let entry = |index: usize| {
            let arguments: Vec<f64> = operands.iter().map(|column| column.values[index]).collect();
            f64::from(function.apply(&arguments) as f32)
        };
        Some(Column { source, values: (0..ENTRIES).map(entry).collect() })
    }
}

/// The real number that a constant of one element stands for.
fn single_number(graph: &Graph, id: ValueId) -> Option<f64> {
    let [number] = constant_numbers(graph, id)?[..] else { return None };
    match &graph.value(id).quantization {
        None => Some(f64::from(number as f32)),
        Some(quantization) => {
            let (scale, zero_point) = quantization.per_tensor()?;
            Some(dequantize(number as i32, scale as f32, ZeroPoint(zero_point)).into())
        }
    }
}

/// The quantization of an `int8` tensor with a usable scale, and scale and zero point.
fn int8(value: &Value) -> Option<(&Quantization, (f64, i32))> {
    let quantization = value.quantization.as_ref().filter(|it| it.dtype == DType::I8)?;
    let (scale, zero_point) = quantization.per_tensor()?;
    let inverse = inverse_scale(scale);
    (value.dtype == DType::I8 && inverse > 0.0 && inverse.is_finite())
        .then_some((quantization, (scale, zero_point)))
}

/// Real numbers as integers; `None` when the function is undefined everywhere.
fn quantize_all(values: &[f64], quantization: &Quantization) -> Option<Table> {
    let (scale, zero_point) = quantization.per_tensor()?;
    let range = Activation { min: quantization.quant_min, max: quantization.quant_max };
    let (inverse, zero_point) = (inverse_scale(scale), ZeroPoint(zero_point));
    let integer = |value: f64| quantize(value as f32, inverse, zero_point, range);
    let entry = |value: &f64| (!value.is_nan()).then(|| integer(*value) as i8);
    continued(values.iter().map(entry).collect())
}

/// A table in which undefined entries have the value of the nearest one that is defined, the lower one of two.
fn continued(entries: Vec<Option<i8>>) -> Option<Table> {
    let defined: Vec<(usize, i8)> =
        entries.iter().enumerate().filter_map(|(index, entry)| Some((index, (*entry)?))).collect();
    let nearest = |index: usize| {
        defined.iter().min_by_key(|(other, _)| other.abs_diff(index)).map(|(_, value)| *value)
    };
    let filled: Option<Vec<i8>> =
        entries.iter().enumerate().map(|(index, entry)| entry.or_else(|| nearest(index))).collect();
    filled?.try_into().ok()
}

/// The table that ExecuTorch makes of a function (`build_activation_lut`), if it does: in binary64, ties away from zero.
fn upstream_table(graph: &Graph, node: &Node, output: &Quantization) -> Option<Table> {
    const TABULATED: &[&str] =
        &["sigmoid", "tanh", "silu", "gelu", "log", "log2", "log10", "log1p", "sqrt", "rsqrt"];
    let (name, _) = base_name(node)?;
    if !TABULATED.contains(&name) || node.activation.is_some() {
        return None;
    }
    let function = Elementwise::of(node)?;
    let (_, (scale, zero_point)) = int8(graph.value(*function.operands.first()?))?;
    let (output_scale, output_zero_point) = output.per_tensor()?;
    let entry = |integer: i32| {
        let value = function.apply(&[f64::from(integer - zero_point) * scale]);
        let scaled = value / output_scale + f64::from(output_zero_point);
        (!scaled.is_nan()).then(|| scaled.round().clamp(-128.0, 127.0) as i8)
    };
    continued((-128..=127).map(entry).collect())
}

/// Makes the node at `index` look up `input` in `table`.
fn replace(graph: &mut Graph, index: usize, input: ValueId, table: &Table) {
    let name = format!("{}_lut", graph.nodes[index].name);
    let table = graph.add_value(Value {
        name,
        dtype: DType::I8,
        shape: vec![ENTRIES as u32],
        dim_order: vec![0],
        quantization: None,
        data: Some(table.iter().map(|entry| *entry as u8).collect()),
    });
    let node = &mut graph.nodes[index];
    node.target = LOOKUP.to_owned();
    node.activation = None;
    node.arguments = vec![
        ("input".to_owned(), Argument::Value(input)),
        ("table".to_owned(), Argument::Value(table)),
    ];
}

/// The input and the table of a [`LOOKUP`] node.
fn lookup(graph: &Graph, index: usize) -> Option<(ValueId, Table)> {
    let node = graph.nodes.get(index).filter(|node| node.target == LOOKUP)?;
    let bytes = graph.value(node.value("table")?).data.as_deref()?;
    let entries: Vec<i8> = bytes.iter().map(|byte| *byte as i8).collect();
    Some((node.value("input")?, entries.try_into().ok()?))
}

/// Joins the table at `index` with the one before it, if nobody else reads that one's result.
fn join(graph: &mut Graph, index: usize) {
    let Some((middle, second)) = lookup(graph, index) else { return };
    if graph.outputs.contains(&middle) || graph.users(middle) != [index] {
        return;
    }
    let first = graph.producer(middle).and_then(|producer| lookup(graph, producer));
    if let Some((input, first)) = first {
        replace(graph, index, input, &first.map(|entry| second[usize::from(entry_of(entry))]));
    }
}

/// Lets everybody read the input of a table that changes nothing.
fn remove_identity(graph: &mut Graph, index: usize) {
    let Some((input, table)) = lookup(graph, index) else { return };
    let [output] = graph.nodes[index].outputs[..] else { return };
    let parameters =
        |id: ValueId| graph.value(id).quantization.as_ref().and_then(Quantization::per_tensor);
    let is_identity = table.iter().map(|entry| i32::from(*entry)).eq(-128..=127);
    // An input of the model stays apart from its outputs.
    let is_border = graph.inputs.contains(&input) && graph.outputs.contains(&output);
    if is_identity && parameters(input) == parameters(output) && !is_border {
        graph.replace_uses(output, input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::PassContext;
    use crate::testing::GraphBuilder;
    use crate::verify::verify;
    use cortado_contract::{Cpu, Target};

    const SHAPE: &[u32] = &[2, 3];

    fn tabulated(mut builder: GraphBuilder, output: ValueId) -> Graph {
        builder.0.outputs = vec![output];
        run(&PassContext { target: Target::new(Cpu::M4) }, &mut builder.0).unwrap();
        assert_eq!(verify(&builder.0), []);
        builder.0
    }

    /// The table of a graph with nothing else in it.
    fn only_table(graph: &Graph) -> Table {
        let targets: Vec<&str> = graph.nodes.iter().map(|node| node.target.as_str()).collect();
        assert_eq!(targets, [LOOKUP]);
        let (input, table) = lookup(graph, 0).unwrap();
        assert_eq!(graph.inputs, [input]);
        table
    }

    /// What dequantizing, a function in binary32, and quantizing give.
    fn expected(
        (scale, zero_point): (f32, i32),
        (out_scale, out_zero_point): (f64, i32),
        function: impl Fn(f32) -> f32,
    ) -> Vec<i8> {
        let entry = |integer: i32| {
            let real = function((integer - zero_point) as f32 * scale) * (1.0 / out_scale) as f32;
            (real.round_ties_even() as i32).saturating_add(out_zero_point).clamp(-128, 127) as i8
        };
        (-128..=127).map(entry).collect()
    }

    #[test]
    fn quantized_functions_become_tables() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.0625, 3);
        let output = builder.int8("y", SHAPE, 0.03125, -128);
        builder.node("aten.relu6.default", &[input], &[], output);
        let table = only_table(&tabulated(builder, output));
        assert_eq!(table.to_vec(), expected((0.0625, 3), (0.03125, -128), |x| x.clamp(0.0, 6.0)));
    }

    #[test]
    fn upstreams_tables_round_away_from_zero() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 1.0, 0);
        let output = builder.int8("y", SHAPE, 2.0, 0);
        builder.node("aten.sqrt.default", &[input], &[], output);
        let table = only_table(&tabulated(builder, output));
        // √1 / 2 and √25 / 2 are ties; below 0 the value at 0 continues.
        assert_eq!([-128, -1, 0, 1, 25].map(|x| table[usize::from(entry_of(x))]), [0, 0, 0, 1, 3]);
    }

    #[test]
    fn poles_saturate_and_undefined_entries_continue() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, -100);
        let output = builder.int8("y", SHAPE, 0.05, 0);
        builder.node("aten.log.default", &[input], &[], output);
        let table = only_table(&tabulated(builder, output));
        assert_eq!(table[..29], [-128; 29]);
        assert_eq!(table[usize::from(entry_of(-90))], 0);
    }

    #[test]
    fn everything_between_dequantize_and_quantize_becomes_one_table() {
        // x · sigmoid(x + 1) / 2, left in float.
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.05, 4);
        let real = builder.dequantize(input);
        let floats: Vec<ValueId> = (0..4).map(|_| builder.float("f", SHAPE)).collect();
        let one = builder.constant("one", &[1], &[1.0]);
        builder.node("aten.add.Tensor", &[real, one], &[], floats[0]);
        builder.node("aten.sigmoid.default", &[floats[0]], &[], floats[1]);
        builder.node("aten.mul.Tensor", &[real, floats[1]], &[], floats[2]);
        let two = [("other", Argument::Float(2.0))];
        builder.node("aten.div.Tensor", &[floats[2]], &two, floats[3]);
        let output = builder.quantize(floats[3], 0.02, -10);
        let table = only_table(&tabulated(builder, output));
        let function = |x: f32| x * (1.0 / (1.0 + (-(x + 1.0)).exp())) / 2.0;
        assert_eq!(table.to_vec(), expected((0.05, 4), (0.02, -10), function));
    }

    #[test]
    fn a_change_of_scale_is_a_table() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.5, 0);
        let real = builder.dequantize(input);
        let output = builder.quantize(real, 1.0, 0);
        let table = only_table(&tabulated(builder, output));
        // Halves go to the even number, as quantize nodes round.
        assert_eq!([1, 3, 5, -1, -3].map(|x| table[usize::from(entry_of(x))]), [0, 2, 2, 0, -2]);
    }

    #[test]
    fn requantizing_joins_what_follows() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, 0);
        let middle = builder.int8("m", SHAPE, 0.05, 3);
        let output = builder.int8("y", SHAPE, 0.1, 7);
        builder.node(REQUANTIZE, &[], &[("input", Argument::Value(input))], middle);
        builder.node("aten.neg.default", &[middle], &[], output);
        let table = only_table(&tabulated(builder, output));
        // Beyond what the scale between holds, the first table has saturated.
        let function = |x: f32| -x.clamp(-131.0 * 0.05, 124.0 * 0.05);
        assert_eq!(table.to_vec(), expected((0.1, 0), (0.1, 7), function));
    }

    #[test]
    fn tables_in_a_row_are_joined() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, 0);
        let middle = builder.int8("m", SHAPE, 0.1, 0);
        let output = builder.int8("y", SHAPE, 0.05, -100);
        builder.node("aten.clamp.default", &[input], &[("min", Argument::Int(-3))], middle);
        builder.node("aten.hardswish.default", &[middle], &[], output);
        let table = only_table(&tabulated(builder, output));
        let hardswish = |x: f32| x * (x + 3.0).clamp(0.0, 6.0) / 6.0;
        let function = |x: f32| hardswish(x.max(-3.0));
        assert_eq!(table.to_vec(), expected((0.1, 0), (0.05, -100), function));
    }

    #[test]
    fn a_table_with_other_readers_stays() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, 0);
        let middle = builder.int8("m", SHAPE, 0.1, -128);
        let output = builder.int8("y", SHAPE, 0.1, 0);
        builder.node("aten.relu.default", &[input], &[], middle);
        builder.node("aten.neg.default", &[middle], &[], output);
        let real = builder.dequantize(middle);
        builder.0.outputs = vec![output, real];
        let context = PassContext { target: Target::new(Cpu::M4) };
        run(&context, &mut builder.0).unwrap();
        let targets: Vec<&str> = builder.0.nodes.iter().map(|node| node.target.as_str()).collect();
        assert_eq!(targets, [LOOKUP, LOOKUP, DEQUANTIZE]);
    }

    #[test]
    fn tables_that_change_nothing_are_removed() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, -128);
        let middle = builder.int8("m", SHAPE, 0.1, -128);
        builder.node("aten.relu.default", &[input], &[], middle);
        let real = builder.dequantize(middle);
        let graph = tabulated(builder, real);
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.nodes[0].value("input"), Some(input));
    }

    #[test]
    fn operators_of_two_tensors_stay() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, 0);
        let square = builder.int8("s", SHAPE, 0.1, 0);
        let output = builder.int8("y", SHAPE, 0.1, 0);
        builder.node("aten.mul.Tensor", &[input, input], &[], square);
        let bound = builder.int8_constant("bound", &[], (0.1, 0), &[5]);
        builder.node("aten.minimum.default", &[square, bound], &[], output);
        let graph = tabulated(builder, output);
        let targets: Vec<&str> = graph.nodes.iter().map(|node| node.target.as_str()).collect();
        assert_eq!(targets, ["aten.mul.Tensor", "aten.minimum.default"]);
    }

    #[test]
    fn constants_of_one_element_are_numbers() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, 0);
        let output = builder.int8("y", SHAPE, 0.2, 7);
        let number = builder.int8_constant("c", &[1, 1], (0.5, 2), &[8]);
        builder.node("aten.sub.Tensor", &[number, input], &[], output);
        let table = only_table(&tabulated(builder, output));
        assert_eq!(table.to_vec(), expected((0.1, 0), (0.2, 7), |x| 3.0 - x));
    }

    #[test]
    fn other_types_are_left_alone() {
        let mut builder = GraphBuilder::default();
        let input = builder.int8_input("x", SHAPE, 0.1, 0);
        let output = builder.float("y", SHAPE);
        let real = builder.dequantize(input);
        builder.node("aten.sigmoid.default", &[real], &[], output);
        let graph = tabulated(builder, output);
        assert_eq!(graph.nodes.len(), 2);
    }
}
