//! Brings quantized matrix products into the forms that operators have.
//!
//! A product with a constant matrix whose zero point is 0 is a linear layer. Every other product becomes a batched one whose right
//! operand is transposed, since dot products along rows read memory in order: `[batches, rows, depth]` times `[batches, cols,
//! depth]`. To that end the last two axes of the right operand are exchanged, leading axes are joined, and operands are
//! repeated where batches broadcast along some axes only. A constant is transposed here; of an activation only the axes are
//! renamed, and where it has been transposed before (as the keys of attention are), the two cancel.

use super::PassContext;
use crate::error::CompileError;
use crate::graph::{Argument, Graph, Node, Scale, Value, ValueId};
use cortado_contract::DType;

/// The target of batched products with a transposed right operand: `lhs` and `rhs_transposed`, of three axes each; a batch of 1 in
/// one stands for as many as the other has.
pub(crate) const BMM_TRANSPOSED: &str = "cortado.bmm.rhs_transposed";

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    for node in std::mem::take(&mut graph.nodes) {
        let rewritten = rewrite(graph, &node);
        match rewritten {
            Some(nodes) => graph.nodes.extend(nodes),
            None => graph.nodes.push(node),
        }
    }
    Ok(())
}

/// The nodes that a product becomes, `None` when it stays.
fn rewrite(graph: &mut Graph, node: &Node) -> Option<Vec<Node>> {
    let (lhs, rhs, bias) = match node.target.as_str() {
        "aten.bmm.default" | "aten.mm.default" => {
            (node.value("self")?, node.value("mat2")?, Argument::None)
        }
        "aten.matmul.default" => (node.value("self")?, node.value("other")?, Argument::None),
        "aten.addmm.default" if has_unit_factors(node) => {
            (node.value("mat1")?, node.value("mat2")?, node.argument("self")?.clone())
        }
        _ => return None,
    };
    let [output] = node.outputs[..] else { return None };
    if [lhs, output].iter().any(|id| graph.value(*id).dtype != DType::I8) {
        return None;
    }
    if let Some(weight) = linear_weight(graph, rhs) {
        return Some(vec![Node {
            target: "aten.linear.default".to_owned(),
            arguments: vec![
                ("input".to_owned(), Argument::Value(lhs)),
                ("weight".to_owned(), Argument::Value(weight)),
                ("bias".to_owned(), bias),
            ],
            ..node.clone()
        }]);
    }
    if bias != Argument::None || graph.value(rhs).dtype != DType::I8 {
        return None;
    }
    let mut rewriter = Rewriter { graph, node, nodes: Vec::new() };
    rewriter.product(lhs, rhs, output)?;
    Some(rewriter.nodes)
}

/// Whether `addmm` adds its operands as they are.
fn has_unit_factors(node: &Node) -> bool {
    ["beta", "alpha"].iter().all(|name| node.float(name).unwrap_or(1.0) == 1.0)
}

/// The weights of the linear layer that a product with this right operand is, if it is one: a constant matrix, quantized
/// symmetrically if at all, transposed.
fn linear_weight(graph: &mut Graph, rhs: ValueId) -> Option<ValueId> {
    let value = graph.value(rhs);
    let ([_, _], Some(_)) = (&value.shape[..], &value.data) else { return None };
    let is_symmetric = match &value.quantization {
        Some(quantization) => quantization.zero_points.iter().all(|zero_point| *zero_point == 0),
        None => value.dtype == DType::F32,
    };
    if is_symmetric { transposed_constant(graph, rhs) } else { None }
}

/// A constant with its last two axes exchanged.
fn transposed_constant(graph: &mut Graph, id: ValueId) -> Option<ValueId> {
    let value = graph.value(id);
    let data = value.data.as_deref()?;
    let [leading @ .., rows, cols] = &value.shape[..] else { return None };
    let size = value.dtype.size_bytes() as usize;
    let (row_count, col_count) = (*rows as usize, *cols as usize);
    let mut transposed = Vec::with_capacity(data.len());
    for matrix in data.chunks_exact((row_count * col_count * size).max(1)) {
        for col in 0..col_count {
            for row in 0..row_count {
                transposed.extend(&matrix[(row * col_count + col) * size..][..size]);
            }
        }
    }
    let last = leading.len() + 1;
    let mut quantization = value.quantization.clone();
    if let Some(Scale::PerChannel { axis, .. }) =
        quantization.as_mut().map(|quantization| &mut quantization.scale)
        && *axis + 1 >= last
    {
        *axis = 2 * last - 1 - *axis;
    }
    let shape = leading.iter().chain([cols, rows]).copied().collect();
    let value = Value {
        name: format!("{}_transposed", value.name),
        dtype: value.dtype,
        shape,
        dim_order: (0..=last as u8).collect(),
        quantization,
        data: Some(transposed.into()),
    };
    Some(graph.add_value(value))
}

/// Writes the nodes of one product.
struct Rewriter<'g> {
    graph: &'g mut Graph,
    node: &'g Node,
    nodes: Vec<Node>,
}

impl Rewriter<'_> {
    fn product(&mut self, lhs: ValueId, rhs: ValueId, output: ValueId) -> Option<()> {
        let is_vector = |rewriter: &Self, id: ValueId| rewriter.shape(id).len() == 1;
        // A vector is a row on the left and a column on the right; the right operand's columns become rows.
        let lhs =
            if is_vector(self, lhs) { self.view(lhs, vec![1, self.shape(lhs)[0]]) } else { lhs };
        let rhs = if is_vector(self, rhs) {
            self.view(rhs, vec![1, self.shape(rhs)[0]])
        } else {
            self.transposed(rhs)?
        };
        let (lhs_shape, rhs_shape) = (self.shape(lhs).to_vec(), self.shape(rhs).to_vec());
        let [lhs_batch @ .., rows, depth] = &lhs_shape[..] else { return None };
        let [rhs_batch @ .., cols, rhs_depth] = &rhs_shape[..] else { return None };
        if depth != rhs_depth {
            return None;
        }
        let batch = broadcast(lhs_batch, rhs_batch)?;
        let (lhs, rhs) = if count(rhs_batch) == 1 {
            // One right matrix for all: the left ones are one tall matrix.
            let rows = count(lhs_batch) * rows;
            (self.view(lhs, vec![1, rows, *depth]), self.view(rhs, vec![1, *cols, *depth]))
        } else {
            let (lhs, rhs) = (
                self.batches(lhs, &batch, [*rows, *depth]),
                self.batches(rhs, &batch, [*cols, *depth]),
            );
            (lhs, rhs)
        };
        let joined = self.shape(lhs)[0].max(self.shape(rhs)[0]);
        let joined = if self.shape(lhs)[0] == 0 || self.shape(rhs)[0] == 0 { 0 } else { joined };
        let shape = vec![joined, self.shape(lhs)[1], *cols];
        let product = if self.shape(output) == shape {
            output
        } else {
            self.value_like(output, "product", shape)
        };
        self.push(
            BMM_TRANSPOSED,
            vec![
                ("lhs".to_owned(), Argument::Value(lhs)),
                ("rhs_transposed".to_owned(), Argument::Value(rhs)),
            ],
            product,
        );
        if product != output {
            let size = sizes(self.shape(output));
            self.push(VIEW, vec![("self".to_owned(), Argument::Value(product)), size], output);
        }
        Some(())
    }

    fn shape(&self, id: ValueId) -> &[u32] {
        &self.graph.value(id).shape
    }

    /// The matrix, or all of them, with the last two axes exchanged.
    fn transposed(&mut self, id: ValueId) -> Option<ValueId> {
        if self.graph.value(id).data.is_some() {
            return transposed_constant(self.graph, id);
        }
        let mut shape = self.shape(id).to_vec();
        let last = shape.len() - 1;
        shape.swap(last - 1, last);
        let mut dims: Vec<i64> = (0..shape.len() as i64).collect();
        dims.swap(last - 1, last);
        let transposed = self.value_like(id, "transposed", shape);
        let arguments = vec![
            ("self".to_owned(), Argument::Value(id)),
            ("dims".to_owned(), Argument::Ints(dims)),
        ];
        self.push("aten.permute.default", arguments, transposed);
        Some(transposed)
    }

    /// Matrices with their leading axes, which broadcast to `batch`, joined into one: all of them, or one where one stands for
    /// all.
    fn batches(&mut self, id: ValueId, batch: &[u32], matrix: [u32; 2]) -> ValueId {
        let shape = self.shape(id).to_vec();
        let own = &shape[..shape.len() - 2];
        let is_whole = own.len() == batch.len() && own == batch;
        let (id, joined) = if is_whole || count(own) == 1 {
            (id, count(own))
        } else {
            let wanted: Vec<u32> = batch.iter().chain(&matrix).copied().collect();
            let expanded = self.value_like(id, "expanded", wanted.clone());
            let arguments = vec![("self".to_owned(), Argument::Value(id)), sizes(&wanted)];
            self.push("aten.expand.default", arguments, expanded);
            (expanded, count(batch))
        };
        self.view(id, vec![joined, matrix[0], matrix[1]])
    }

    /// The same elements under another shape; the value itself if it has that shape.
    fn view(&mut self, id: ValueId, shape: Vec<u32>) -> ValueId {
        if self.shape(id) == shape {
            return id;
        }
        let is_constant = self.graph.value(id).data.is_some();
        let view = self.value_like(id, "matrices", shape);
        if is_constant {
            self.graph.values[view.0].data = self.graph.value(id).data.clone();
            return view;
        }
        let size = sizes(self.shape(view));
        self.push(VIEW, vec![("self".to_owned(), Argument::Value(id)), size], view);
        view
    }

    /// An activation with type and quantization of another value.
    fn value_like(&mut self, id: ValueId, suffix: &str, shape: Vec<u32>) -> ValueId {
        let value = self.graph.value(id);
        let like = Value {
            name: format!("{}_{suffix}", value.name),
            dim_order: (0..shape.len() as u8).collect(),
            shape,
            data: None,
            ..value.clone()
        };
        self.graph.add_value(like)
    }

    fn push(&mut self, target: &str, arguments: Vec<(String, Argument)>, output: ValueId) {
        let name = if target == BMM_TRANSPOSED {
            self.node.name.clone()
        } else {
            self.graph.value(output).name.clone()
        };
        self.nodes.push(Node {
            name,
            target: target.to_owned(),
            arguments,
            outputs: vec![output],
            activation: None,
            source: self.node.source.clone(),
        });
    }
}

const VIEW: &str = "aten.view.default";

fn sizes(shape: &[u32]) -> (String, Argument) {
    ("size".to_owned(), Argument::Ints(shape.iter().map(|extent| i64::from(*extent)).collect()))
}

fn count(shape: &[u32]) -> u32 {
    shape.iter().product()
}

/// The shape that both broadcast to.
fn broadcast(a: &[u32], b: &[u32]) -> Option<Vec<u32>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[u32], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape[axis],
        None => 1,
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b => Some(a),
            (1, b) => Some(b),
            (a, 1) => Some(a),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Quantization;
    use crate::verify::verify;
    use cortado_contract::{Cpu, Target};

    fn value(graph: &mut Graph, name: &str, shape: &[u32], zero_point: i32) -> ValueId {
        graph.add_value(Value {
            name: name.to_owned(),
            dtype: DType::I8,
            shape: shape.to_vec(),
            dim_order: (0..shape.len() as u8).collect(),
            quantization: Some(Quantization {
                scale: Scale::PerTensor(0.5),
                zero_points: vec![zero_point],
                quant_min: -128,
                quant_max: 127,
                dtype: DType::I8,
            }),
            data: None,
        })
    }

    /// A product, rewritten; `constant` is the right operand's content and zero point.
    fn product(lhs: &[u32], rhs: &[u32], out: &[u32], constant: Option<(&[u8], i32)>) -> Graph {
        let mut graph = Graph::default();
        let lhs = value(&mut graph, "lhs", lhs, 3);
        let rhs = value(&mut graph, "rhs", rhs, constant.map_or(5, |(_, zero_point)| zero_point));
        let output = value(&mut graph, "output", out, 7);
        graph.inputs = vec![lhs];
        match constant {
            Some((data, _)) => graph.values[rhs.0].data = Some(data.into()),
            None => graph.inputs.push(rhs),
        }
        graph.outputs = vec![output];
        graph.nodes.push(Node {
            name: "matmul".to_owned(),
            target: "aten.matmul.default".to_owned(),
            arguments: vec![
                ("self".to_owned(), Argument::Value(lhs)),
                ("other".to_owned(), Argument::Value(rhs)),
            ],
            outputs: vec![output],
            activation: None,
            source: Default::default(),
        });
        let context = PassContext { target: Target::new(Cpu::M55) };
        run(&context, &mut graph).unwrap();
        assert_eq!(verify(&graph), []);
        graph
    }

    /// The nodes in order, with the shapes of their results.
    fn shapes(graph: &Graph) -> Vec<(&str, &[u32])> {
        let mut described = Vec::new();
        for node in &graph.nodes {
            let name = node.target.split('.').nth(1).unwrap_or_default();
            described.push((name, graph.value(node.outputs[0]).shape.as_slice()));
        }
        described
    }

    #[test]
    fn leading_axes_are_joined() {
        let graph = product(&[2, 3, 4, 5], &[2, 3, 5, 6], &[2, 3, 4, 6], None);
        let expected: [(&str, &[u32]); 5] = [
            ("permute", &[2, 3, 6, 5]),
            ("view", &[6, 4, 5]),
            ("view", &[6, 6, 5]),
            ("bmm", &[6, 4, 6]),
            ("view", &[2, 3, 4, 6]),
        ];
        assert_eq!(shapes(&graph), expected);
    }

    #[test]
    fn one_right_matrix_serves_one_tall_left_matrix() {
        let graph = product(&[3, 4, 5], &[5, 6], &[3, 4, 6], None);
        let expected: [(&str, &[u32]); 5] = [
            ("permute", &[6, 5]),
            ("view", &[1, 12, 5]),
            ("view", &[1, 6, 5]),
            ("bmm", &[1, 12, 6]),
            ("view", &[3, 4, 6]),
        ];
        assert_eq!(shapes(&graph), expected);
    }

    #[test]
    fn one_left_matrix_stands_for_all() {
        let graph = product(&[4, 5], &[3, 5, 6], &[3, 4, 6], None);
        let expected: [(&str, &[u32]); 3] =
            [("permute", &[3, 6, 5]), ("view", &[1, 4, 5]), ("bmm", &[3, 4, 6])];
        assert_eq!(shapes(&graph), expected);
    }

    #[test]
    fn batches_that_broadcast_along_some_axes_are_repeated() {
        let graph = product(&[2, 1, 4, 5], &[1, 3, 5, 6], &[2, 3, 4, 6], None);
        let names: Vec<&str> = shapes(&graph).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["permute", "expand", "view", "expand", "view", "bmm", "view"]);
    }

    #[test]
    fn a_constant_is_transposed() {
        let graph = product(&[2, 3], &[3, 2], &[2, 2], Some((&[1, 2, 3, 4, 5, 6], 9)));
        let bmm = graph.nodes.iter().find(|node| node.target == BMM_TRANSPOSED).unwrap();
        let rhs = graph.value(bmm.value("rhs_transposed").unwrap());
        assert_eq!(rhs.shape, [1, 2, 3]);
        assert_eq!(rhs.data.as_deref(), Some(&[1, 3, 5, 2, 4, 6][..]));
    }

    #[test]
    fn a_symmetric_constant_makes_a_linear_layer() {
        let graph = product(&[2, 3], &[3, 2], &[2, 2], Some((&[1, 2, 3, 4, 5, 6], 0)));
        let expected: [(&str, &[u32]); 1] = [("linear", &[2, 2])];
        assert_eq!(shapes(&graph), expected);
        let weight = graph.value(graph.nodes[0].value("weight").unwrap());
        assert_eq!(
            (&weight.shape[..], weight.data.as_deref()),
            (&[2, 3][..], Some(&[1, 3, 5, 2, 4, 6][..]))
        );
    }
}
