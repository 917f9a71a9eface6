//! What passes share that replace a node by others: values and nodes that carry the name and the source of the one replaced.

use crate::graph::{Argument, Graph, Node, Value, ValueId};
use crate::import::SourceLocation;
use cortado_contract::DType;
use std::collections::HashMap;
use std::sync::Arc;

/// Visits every node in order; where `rewrite` returns `Some`, the nodes that it has written stand in the place of the visited one.
pub(super) fn replace_each(
    graph: &mut Graph,
    mut rewrite: impl FnMut(&mut Rewriter<'_>) -> Option<()>,
) {
    let mut read: HashMap<ValueId, usize> = HashMap::new();
    for id in graph.nodes.iter().flat_map(Node::operands).chain(graph.outputs.iter().copied()) {
        *read.entry(id).or_default() += 1;
    }
    for origin in std::mem::take(&mut graph.nodes) {
        let mut rewriter = Rewriter { graph, origin: &origin, read: &read, nodes: Vec::new() };
        let is_replaced = rewrite(&mut rewriter).is_some();
        let nodes = rewriter.nodes;
        match is_replaced {
            true => graph.nodes.extend(nodes),
            false => graph.nodes.push(origin),
        }
    }
}

/// Writes the nodes that replace one node. While it does, the graph holds the nodes before that one.
pub(super) struct Rewriter<'g> {
    pub(super) graph: &'g mut Graph,
    /// The node to replace.
    pub(super) origin: &'g Node,
    read: &'g HashMap<ValueId, usize>,
    nodes: Vec<Node>,
}

impl Rewriter<'_> {
    /// Whether any node, or the caller of the model, reads a value of the graph as it was.
    pub(super) fn is_read(&self, id: ValueId) -> bool {
        self.read_count(id) != 0
    }

    /// How often that is so.
    pub(super) fn read_count(&self, id: ValueId) -> usize {
        self.read.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn shape(&self, id: ValueId) -> &[u32] {
        &self.graph.value(id).shape
    }

    pub(super) fn is_f32(&self, id: ValueId) -> bool {
        self.graph.value(id).dtype == DType::F32
    }

    /// The elements of a constant in binary32.
    pub(super) fn f32_constant(&self, id: ValueId) -> Option<Vec<f32>> {
        let value = self.graph.value(id);
        let data = value.data.as_deref().filter(|_| value.dtype == DType::F32)?;
        Some(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// A new constant.
    pub(super) fn constant(&mut self, what: &str, shape: Vec<u32>, elements: &[f32]) -> ValueId {
        let data: Arc<[u8]> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        self.value(what, DType::F32, shape, Some(data))
    }

    /// A new value in binary32, for a node that is written afterwards.
    pub(super) fn result(&mut self, what: &str, shape: Vec<u32>) -> ValueId {
        self.value(what, DType::F32, shape, None)
    }

    /// A node with a new result in binary32.
    pub(super) fn call<const N: usize>(
        &mut self,
        what: &str,
        target: &str,
        arguments: [(&str, Argument); N],
        shape: Vec<u32>,
    ) -> ValueId {
        let output = self.result(what, shape);
        self.call_into(target, arguments, output);
        output
    }

    /// A node with a result that exists already.
    pub(super) fn call_into<const N: usize>(
        &mut self,
        target: &str,
        arguments: [(&str, Argument); N],
        output: ValueId,
    ) {
        let arguments = arguments.map(|(name, argument)| (name.to_owned(), argument));
        self.nodes.push(Node {
            name: self.graph.value(output).name.clone(),
            target: target.to_owned(),
            arguments: arguments.into(),
            outputs: vec![output],
            activation: None,
            source: self.origin.source.clone(),
        });
    }

    /// Gives the last node that was written these arguments.
    pub(super) fn set_arguments(&mut self, arguments: Vec<(String, Argument)>) {
        if let Some(last) = self.nodes.last_mut() {
            last.arguments = arguments;
        }
    }

    /// Says where the user wrote what the last node that was written stands for.
    pub(super) fn set_source(&mut self, source: SourceLocation) {
        if let Some(last) = self.nodes.last_mut() {
            last.source = source;
        }
    }

    /// The same elements under another shape; the value itself if it has that shape.
    pub(super) fn view(&mut self, id: ValueId, shape: Vec<u32>) -> ValueId {
        if self.shape(id) == shape {
            return id;
        }
        if let Some(data) = self.graph.value(id).data.clone() {
            return self.value("view", self.graph.value(id).dtype, shape, Some(data));
        }
        let size = Argument::Ints(shape.iter().map(|extent| i64::from(*extent)).collect());
        self.call("view", "aten.view.default", [("self", id.into()), ("size", size)], shape)
    }

    /// A new value, row-major, with a name that no other value has.
    fn value(
        &mut self,
        what: &str,
        dtype: DType,
        shape: Vec<u32>,
        data: Option<Arc<[u8]>>,
    ) -> ValueId {
        let name = format!("{}_{what}_{}", self.origin.name, self.graph.values.len());
        let dim_order = (0..shape.len() as u8).collect();
        self.graph.add_value(Value { name, dtype, shape, dim_order, quantization: None, data })
    }
}

impl From<ValueId> for Argument {
    fn from(id: ValueId) -> Self {
        Argument::Value(id)
    }
}

/// Graphs for the unit tests of passes.
#[cfg(test)]
pub(super) mod sample {
    use super::*;
    use crate::import::SourceLocation;
    use crate::passes::PassContext;
    use crate::verify::verify;
    use cortado_contract::{Cpu, Target};

    /// A graph that is being put together.
    #[derive(Default)]
    pub(in crate::passes) struct Sample {
        pub(in crate::passes) graph: Graph,
    }

    impl Sample {
        pub(in crate::passes) fn value(
            &mut self,
            name: &str,
            dtype: DType,
            shape: &[u32],
            data: Option<Vec<u8>>,
        ) -> ValueId {
            self.graph.add_value(Value {
                name: name.to_owned(),
                dtype,
                shape: shape.to_vec(),
                dim_order: (0..shape.len() as u8).collect(),
                quantization: None,
                data: data.map(Arc::from),
            })
        }

        pub(in crate::passes) fn input(&mut self, name: &str, shape: &[u32]) -> ValueId {
            let id = self.value(name, DType::F32, shape, None);
            self.graph.inputs.push(id);
            id
        }

        pub(in crate::passes) fn constant(
            &mut self,
            name: &str,
            shape: &[u32],
            elements: &[f32],
        ) -> ValueId {
            let data = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
            self.value(name, DType::F32, shape, Some(data))
        }

        /// A node with results of these types and extents.
        pub(in crate::passes) fn results(
            &mut self,
            name: &str,
            target: &str,
            arguments: &[(&str, Argument)],
            results: &[(DType, &[u32])],
        ) -> Vec<ValueId> {
            let named = |index: usize| match index {
                0 => name.to_owned(),
                _ => format!("{name}_{index}"),
            };
            let outputs: Vec<ValueId> = results
                .iter()
                .enumerate()
                .map(|(index, (dtype, shape))| self.value(&named(index), *dtype, shape, None))
                .collect();
            let arguments = arguments.iter().map(|(name, it)| ((*name).to_owned(), it.clone()));
            self.graph.nodes.push(Node {
                name: name.to_owned(),
                target: target.to_owned(),
                arguments: arguments.collect(),
                outputs: outputs.clone(),
                activation: None,
                source: SourceLocation::default(),
            });
            outputs
        }

        /// A node with one result in binary32.
        pub(in crate::passes) fn node(
            &mut self,
            name: &str,
            target: &str,
            arguments: &[(&str, Argument)],
            shape: &[u32],
        ) -> ValueId {
            self.results(name, target, arguments, &[(DType::F32, shape)])[0]
        }

        /// Runs a pass over the graph, which must be valid afterwards, and returns the targets of its nodes.
        pub(in crate::passes) fn run(
            &mut self,
            outputs: &[ValueId],
            pass: fn(&PassContext, &mut Graph) -> Result<(), crate::CompileError>,
        ) -> Vec<String> {
            self.graph.outputs = outputs.to_vec();
            let context = PassContext { target: Target::new(Cpu::M55) };
            pass(&context, &mut self.graph).expect("the pass succeeds");
            assert_eq!(verify(&self.graph), []);
            self.graph.nodes.iter().map(|node| node.target.clone()).collect()
        }

        /// The elements of a constant in binary32.
        pub(in crate::passes) fn elements(&self, id: ValueId) -> Option<Vec<f32>> {
            let data = self.graph.value(id).data.as_deref()?;
            Some(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
    }
}
