//! Executing a graph in binary32, as PyTorch would.
//!
//! Every operator that Cortado imports has a float kernel here, quantize and dequantize nodes included, so that a float model and
//! what became of it are computed by the same code. All samples take a step together: whoever drives a [`Run`] can look at a
//! value of all samples, change it, and go on, and compare two runs step by step. A value is forgotten once nobody reads it any more.
//!
//! A kernel knows ATen's operator by its documented arguments and takes the extents of its result from the graph. Matrix products
//! go through `ndarray`; sums are formed in binary64 wherever that costs nothing.

mod convolution;
mod elementwise;
mod movement;
mod pooling;
mod products;
mod quantized;
mod reductions;

use crate::tensor::Tensor;
use cortado_compiler::Unsupported;
use cortado_compiler::graph::{Argument, Graph, Node, ValueId};
use rayon::prelude::*;
use std::fmt;

/// Why a graph cannot be executed.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecuteError {
    /// Operators without a kernel, all of them.
    Unsupported(Vec<Unsupported>),
    /// A node whose arguments its kernel does not take.
    Failed(Unsupported),
}

impl fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problems = match self {
            ExecuteError::Unsupported(problems) => problems.as_slice(),
            ExecuteError::Failed(problem) => std::slice::from_ref(problem),
        };
        let what = if problems.len() == 1 { "operation" } else { "operations" };
        write!(f, "{} {what} of the model cannot be computed in float:", problems.len())?;
        problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ExecuteError {}

/// A node and its operands for one sample.
pub(crate) struct Call<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) node: &'a Node,
    operands: &'a dyn Fn(ValueId) -> Option<&'a Tensor>,
}

/// What a kernel returns: the results, or what is the matter with the node.
pub(crate) type Results = Result<Vec<Tensor>, String>;
type Kernel = fn(&Call<'_>) -> Results;

impl<'a> Call<'a> {
    /// The tensor behind an id.
    pub(crate) fn tensor(&self, id: ValueId) -> Result<&'a Tensor, String> {
        (self.operands)(id)
            .ok_or_else(|| format!("`{}` has no elements yet", self.graph.value(id).name))
    }

    /// A tensor argument, under the first of these names that was given.
    pub(crate) fn input(&self, names: &[&str]) -> Result<&'a Tensor, String> {
        let id = names.iter().find_map(|name| self.node.value(name));
        self.tensor(id.ok_or_else(|| format!("its argument `{}` is no tensor", names[0]))?)
    }

    /// A tensor argument, `None` when it is absent.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<&'a Tensor>, String> {
        self.node.value(name).map(|id| self.tensor(id)).transpose()
    }

    /// The extents of the only, or first, result.
    pub(crate) fn out_shape(&self) -> Result<Vec<usize>, String> {
        let id = self.node.outputs.first().ok_or("it has no result")?;
        Ok(self.graph.value(*id).shape.iter().map(|extent| *extent as usize).collect())
    }

    /// Integers; `None` when they were not given. One integer counts as a list of it.
    pub(crate) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.node.argument(name)? {
            Argument::Ints(values) => Some(values.clone()),
            Argument::Int(value) => Some(vec![*value]),
            _ => None,
        }
    }

    /// A truth value, or its default.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        match self.node.argument(name) {
            Some(Argument::Bool(value)) => *value,
            _ => default,
        }
    }

    /// A word.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.node.argument(name)? {
            Argument::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The axis that an argument names, from the first; `default` when it was not given.
    pub(crate) fn axis(&self, name: &str, default: i64, rank: usize) -> Result<usize, String> {
        let written = self.node.int(name).unwrap_or(default);
        axis(written, rank)
    }
}

/// An axis counted from the first, for one that may count from the last.
pub(crate) fn axis(written: i64, rank: usize) -> Result<usize, String> {
    let from_first = if written < 0 { written + rank as i64 } else { written };
    // A single number may be asked for its only axis.
    match usize::try_from(from_first) {
        Ok(axis) if axis < rank.max(1) => Ok(axis),
        _ => Err(format!("there is no axis {written} among {rank}")),
    }
}

/// The kernel of a node.
fn kernel(node: &Node) -> Option<Kernel> {
    const TABLES: &[fn(&Node) -> Option<Kernel>] = &[
        convolution::kernel,
        products::kernel,
        pooling::kernel,
        reductions::kernel,
        movement::kernel,
        quantized::kernel,
        elementwise::kernel,
    ];
    TABLES.iter().find_map(|table| table(node))
}

/// A graph that can be executed.
pub struct Executor<'g> {
    graph: &'g Graph,
    kernels: Vec<Kernel>,
    constants: Vec<Option<Tensor>>,
    /// For each node, the values that nobody reads after it.
    last_reads: Vec<Vec<ValueId>>,
}

impl<'g> Executor<'g> {
    /// Finds a kernel for every node.
    ///
    /// # Errors
    /// [`ExecuteError::Unsupported`] with all nodes that have none.
    pub fn new(graph: &'g Graph) -> Result<Self, ExecuteError> {
        let mut problems = Vec::new();
        let mut kernels = Vec::new();
        for node in &graph.nodes {
            match kernel(node) {
                Some(kernel) => kernels.push(kernel),
                None => problems.push(
                    Unsupported::new(node, "there is no float kernel for it")
                        .with_remedy("replace the operation, or move it out of the model"),
                ),
            }
        }
        if !problems.is_empty() {
            return Err(ExecuteError::Unsupported(problems));
        }
        let mut last_reads = vec![Vec::new(); graph.nodes.len()];
        let mut seen: Vec<bool> = graph.values.iter().map(|value| value.data.is_some()).collect();
        graph.outputs.iter().for_each(|id| seen[id.0] = true);
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            for id in node.operands().chain(node.outputs.iter().copied()) {
                if !std::mem::replace(&mut seen[id.0], true) {
                    last_reads[index].push(id);
                }
            }
        }
        let constants = graph.values.iter().map(Tensor::of_constant).collect();
        Ok(Executor { graph, kernels, constants, last_reads })
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Begins a run; each sample has a tensor for each input of the graph.
    pub fn start(&self, samples: &[Vec<Tensor>]) -> Run<'_> {
        let mut values: Vec<Vec<Tensor>> = vec![Vec::new(); self.graph.values.len()];
        for (position, id) in self.graph.inputs.iter().enumerate() {
            values[id.0] = samples.iter().map(|sample| sample[position].clone()).collect();
        }
        Run { executor: self, constants: self.constants.clone(), values, samples: samples.len() }
    }

    /// Runs to the end: for each sample the outputs.
    ///
    /// # Errors
    /// That of the first node that fails.
    pub fn run(&self, samples: &[Vec<Tensor>]) -> Result<Vec<Vec<Tensor>>, ExecuteError> {
        let mut run = self.start(samples);
        for index in 0..self.graph.nodes.len() {
            run.step(index)?;
            run.forget(index);
        }
        Ok(run.outputs())
    }
}

/// An execution under way.
pub struct Run<'e> {
    executor: &'e Executor<'e>,
    constants: Vec<Option<Tensor>>,
    /// For each value, a tensor for each sample; none before it is computed and after it is forgotten.
    values: Vec<Vec<Tensor>>,
    samples: usize,
}

impl Run<'_> {
    /// Uses other elements for a constant.
    pub fn set_constant(&mut self, id: ValueId, tensor: Tensor) {
        self.constants[id.0] = Some(tensor);
    }

    /// The tensors of a value, one for each sample; none for a constant.
    pub fn values(&self, id: ValueId) -> &[Tensor] {
        &self.values[id.0]
    }

    /// The tensors of a value, to be changed.
    pub fn values_mut(&mut self, id: ValueId) -> &mut [Tensor] {
        &mut self.values[id.0]
    }

    /// Computes the results of a node for all samples.
    ///
    /// # Errors
    /// [`ExecuteError::Failed`]
    pub fn step(&mut self, index: usize) -> Result<(), ExecuteError> {
        let graph = self.executor.graph;
        let node = &graph.nodes[index];
        let kernel = self.executor.kernels[index];
        let one = |sample: usize| {
            let operands =
                |id: ValueId| self.values[id.0].get(sample).or(self.constants[id.0].as_ref());
            let results = kernel(&Call { graph, node, operands: &operands })?;
            check(graph, node, &results)?;
            Ok(results)
        };
        let results: Result<Vec<Vec<Tensor>>, String> = match self.samples {
            1 => one(0).map(|results| vec![results]),
            samples => (0..samples).into_par_iter().map(one).collect(),
        };
        let results = results.map_err(|what| ExecuteError::Failed(Unsupported::new(node, what)))?;
        for sample in results {
            for (id, tensor) in node.outputs.iter().zip(sample) {
                self.values[id.0].push(tensor);
            }
        }
        Ok(())
    }

    /// Forgets what nobody reads after a node.
    pub fn forget(&mut self, index: usize) {
        for id in &self.executor.last_reads[index] {
            self.values[id.0] = Vec::new();
        }
    }

    /// For each sample the outputs.
    pub fn outputs(&self) -> Vec<Vec<Tensor>> {
        let of = |id: &ValueId, sample: usize| {
            let computed = self.values[id.0].get(sample).or(self.constants[id.0].as_ref());
            computed.cloned().unwrap_or_else(|| Tensor::new(vec![0], Vec::new()))
        };
        (0..self.samples)
            .map(|sample| self.executor.graph.outputs.iter().map(|id| of(id, sample)).collect())
            .collect()
    }
}

/// Holds what a kernel returned against what the graph says.
fn check(graph: &Graph, node: &Node, results: &[Tensor]) -> Result<(), String> {
    if results.len() != node.outputs.len() {
        return Err(format!("it has {} results, not {}", results.len(), node.outputs.len()));
    }
    for (id, tensor) in node.outputs.iter().zip(results) {
        let shape = graph.value(*id).shape.iter().map(|extent| *extent as usize);
        if shape.ne(tensor.shape().iter().copied()) {
            return Err(format!(
                "its result has the extents {:?}, not {:?}",
                tensor.shape(),
                graph.value(*id).shape
            ));
        }
    }
    Ok(())
}
