//! The whole way from a float program and samples to an int8 program and a report.

use crate::build::{Built, Integers, Layer, Plan, build};
use crate::equalize::equalize;
use crate::execute::{ExecuteError, Executor};
use crate::ranges::{METHODS, Observer, Parameters, Ranges};
use crate::report::{FloatNode, LayerReport, OutputReport, Report, Warning, decibels};
use crate::scheme::{Role, Scheme, Unit, has_int16_kernel};
use crate::tensor::Tensor;
use cortado_compiler::export::exported;
use cortado_compiler::from_export::from_export;
use cortado_compiler::graph::{Graph, Node, ValueId};
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::passes::{
    self, DEQUANTIZE, DEQUANTIZE_PER_CHANNEL, PassContext, QUANTIZE, clamp_range,
};
use cortado_compiler::{CompileError, lower};
use cortado_contract::{Cpu, Target};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Samples that take a step together when tensors are observed.
const CHUNK: usize = 32;
/// Fewer samples say little about ranges.
const FEW: usize = 8;
/// The most samples on which choices are compared.
const COMPARED: usize = 32;
/// What comparing choices may cost: roughly multiply-accumulates. It is no time, so that results are the same on any machine.
const BUDGET: f64 = 1.5e9;
/// The share of the error that other ranges must leave at most to be better by more than chance: on the samples at hand, narrower
/// ranges nearly always look better.
const DISTINCT: f64 = 0.9;
/// The share that another way than PT2E's to choose all ranges must leave at most. All at once fit the samples at hand far better than others:
/// over 190 programs, those that won by less left more error on other inputs.
const ALTOGETHER: f64 = 0.5;
/// The standard errors beyond which a difference is no chance, although many are compared.
const CHANCE: f64 = 3.0;
/// The factor by which scales of averages, and those of int16, are greater than what was seen asks for.
const HEADROOM: f64 = 1.25;
/// How often a program is quantized anew with operators in float that turned out to have no int8 kernel.
const ATTEMPTS: usize = 4;

/// What the user may choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// How ranges of activations are chosen.
    pub ranges: Ranges,
    /// One scale for all weights of a linear layer, as ExecuTorch's kernel takes it.
    pub per_tensor_linear: bool,
    /// Never correct biases.
    pub no_bias_correction: bool,
    /// Move factors from one layer to the next, where that lessens the error.
    pub equalize: bool,
    /// Nodes to leave in float, by name or by the path of their module.
    pub float: Vec<String>,
    /// Quantize what attention computes between its inputs and its result.
    pub int8_attention: bool,
    /// Quantize every step of recurrent layers.
    pub int8_recurrence: bool,
    /// Layers whose input and result are to be int16, by name or by the path of their module; [`ALL_LAYERS`] for every one.
    pub int16: Vec<String>,
}

/// What stands for all layers in [`Options::int16`].
pub const ALL_LAYERS: &str = "all";

/// What has been done so far, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub stage: &'static str,
    /// Between 0 and 1.
    pub done: f64,
}

/// An int8 program.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The program in PT2E's form.
    pub program: ExportedProgram,
    /// What is to be said about it.
    pub report: Report,
}

/// Why a program cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// There are no samples.
    #[error("the calibration data holds no samples")]
    Empty,
    /// A number of a sample is not finite.
    #[error(
        "the calibration data for input `{input}` holds {number} in sample {sample}, at element {element}"
    )]
    NotFinite {
        /// The input.
        input: String,
        /// The sample, from 0.
        sample: usize,
        /// The element, in row-major order from 0.
        element: usize,
        /// The number.
        number: f32,
    },
    /// A value of the model is not finite.
    #[error(
        "the float model computes a number that is not finite: the result `{value}` of {operator}, in sample {sample}"
    )]
    Overflow {
        /// The value.
        value: String,
        /// The operator.
        operator: String,
        /// The sample, from 0.
        sample: usize,
    },
    /// The program has quantize and dequantize nodes already.
    #[error("the program is quantized already (node `{node}`)")]
    AlreadyQuantized {
        /// One of these nodes.
        node: String,
    },
    /// A weight is not finite.
    #[error("the constant `{name}` holds numbers that are not finite")]
    Weight {
        /// The constant.
        name: String,
    },
    /// A name of [`Options::float`] is that of no node and no module.
    #[error("the model has no node and no module `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// A name of [`Options::int16`] is that of nothing that has an int16 kernel.
    #[error(
        "`{name}` names no layer that can be int16: these are convolutions, other than transposed ones, and linear layers"
    )]
    NoInt16 {
        /// The name.
        name: String,
    },
    /// Nothing in the model has an int8 kernel.
    #[error("no operator of the model can compute in int8")]
    Nothing,
    /// The float model cannot be executed.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A pass failed.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// Quantizes a float program.
///
/// `samples` holds for each sample a tensor for each input of the user. `progress` is called now and then.
///
/// # Errors
/// See [`QuantizeError`].
pub fn quantize(
    program: &ExportedProgram,
    samples: &[Vec<Tensor>],
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Quantized, QuantizeError> {
    let (graph, composites) = prepared(program)?;
    check(&graph, samples, options)?;
    // A model that is nothing but attention or a recurrent layer is quantized all the same.
    let all = Options { int8_attention: true, int8_recurrence: true, ..options.clone() };
    let mut job = Job { program, composites: &composites, samples, options };
    let plain = match job.run(&graph, progress) {
        Err(QuantizeError::Nothing) if *options != all => {
            job.options = &all;
            job.run(&graph, progress)?
        }
        outcome => outcome?,
    };
    if options.equalize {
        let mut equal = graph.clone();
        let pairs = equalize(&mut equal);
        if pairs > 0 {
            let mut equalized = job.run(&equal, progress)?;
            if equalized.error < plain.error {
                equalized.quantized.report.equalized = pairs;
                return Ok(equalized.quantized);
            }
        }
    }
    Ok(plain.quantized)
}

/// What is the same for all forms of a graph.
struct Job<'a> {
    program: &'a ExportedProgram,
    composites: &'a HashMap<String, Composite>,
    samples: &'a [Vec<Tensor>],
    options: &'a Options,
}

/// A result, and the error that it leaves in the outputs.
struct Outcome {
    quantized: Quantized,
    error: f64,
}

impl Job<'_> {
    /// Quantizes one form of the graph. Operators for which the compiler turns out to have no kernel stay in float.
    fn run(
        &self,
        graph: &Graph,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, QuantizeError> {
        let Job { options, samples, .. } = self;
        let mut in_float: HashMap<String, String> = HashMap::new();
        for attempt in 1.. {
            let widen = |node: &Node| options.int16.iter().any(|name| is_chosen(node, name));
            let scheme = Scheme::new(graph, |node| self.keep(node, &in_float), widen);
            if !(0..graph.nodes.len()).any(|node| scheme.is_int8(node)) {
                return Err(QuantizeError::Nothing);
            }
            let report = Report::default();
            let mut work = Work { graph, scheme: &scheme, samples, options, progress, report };
            let (built, report, error) = work.run()?;
            let program = exported(&built.graph, self.program);
            let known = in_float.len();
            // Nodes of the quantized program are named by their results, as are those of the graph.
            for (name, reason) in unsupported(&program) {
                let node = graph.nodes.iter().enumerate().find(|(index, node)| {
                    scheme.is_int8(*index)
                        && node.outputs.iter().any(|id| graph.value(*id).name == name)
                });
                if let Some((_, node)) = node {
                    in_float.insert(node.name.clone(), reason);
                }
            }
            if in_float.len() == known || attempt == ATTEMPTS {
                return Ok(Outcome { quantized: Quantized { program, report }, error });
            }
        }
        Err(QuantizeError::Nothing)
    }

    /// Why a node must stay in float.
    fn keep(&self, node: &Node, in_float: &HashMap<String, String>) -> Option<String> {
        let Job { options, composites, .. } = self;
        if let Some(reason) = in_float.get(&node.name) {
            return Some(reason.clone());
        }
        if options.float.iter().any(|name| is_named(node, name)) {
            return Some("it was asked for".to_owned());
        }
        let reason = match composites.get(&node.source.node)? {
            Composite::Attention if !options.int8_attention => {
                "it is a part of attention; --int8-attention quantizes it"
            }
            Composite::Recurrence if !options.int8_recurrence => {
                "it is a step of a recurrent layer; --int8-recurrence quantizes it"
            }
            _ => return None,
        };
        Some(reason.to_owned())
    }
}

/// Operators that the simplified graph writes as several.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Composite {
    Attention,
    Recurrence,
}

/// The simplified graph, and the nodes of the program that became several.
fn prepared(
    program: &ExportedProgram,
) -> Result<(Graph, HashMap<String, Composite>), QuantizeError> {
    let mut graph = from_export(program)?;
    let is_quantized = |node: &&Node| {
        matches!(node.target.as_str(), QUANTIZE | DEQUANTIZE | DEQUANTIZE_PER_CHANNEL)
    };
    if let Some(node) = graph.nodes.iter().find(is_quantized) {
        return Err(QuantizeError::AlreadyQuantized { node: node.name.clone() });
    }
    let mut composites = HashMap::new();
    for node in &graph.nodes {
        let kind = match node.target.as_str() {
            "aten.scaled_dot_product_attention.default" => Composite::Attention,
            "aten.lstm.input"
            | "aten.gru.input"
            | "aten.rnn_tanh.input"
            | "aten.rnn_relu.input" => Composite::Recurrence,
            _ => continue,
        };
        composites.insert(node.source.node.clone(), kind);
    }
    passes::simplify(&mut graph)?;
    Ok((graph, composites))
}

/// The float graph of a program, simplified as it is before it is quantized: for comparison with what became of it.
///
/// # Errors
/// [`QuantizeError::Compile`]
pub fn simplified(program: &ExportedProgram) -> Result<Graph, QuantizeError> {
    let mut graph = from_export(program)?;
    passes::simplify(&mut graph)?;
    Ok(graph)
}

fn is_named(node: &Node, name: &str) -> bool {
    let module = node.source.module.as_ref();
    node.name == name
        || node.source.node == name
        || module.is_some_and(|module| {
            module.path == name
                || module.path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        })
}

/// Whether a name of [`Options::int16`] is a node's.
fn is_chosen(node: &Node, name: &str) -> bool {
    name == ALL_LAYERS || is_named(node, name)
}

fn check(graph: &Graph, samples: &[Vec<Tensor>], options: &Options) -> Result<(), QuantizeError> {
    if samples.is_empty() {
        return Err(QuantizeError::Empty);
    }
    for (sample, tensors) in samples.iter().enumerate() {
        for (id, tensor) in graph.inputs.iter().zip(tensors) {
            let bad = tensor.data().iter().position(|number| !number.is_finite());
            if let Some(element) = bad {
                let input = graph.value(*id).name.clone();
                let number = tensor.data()[element];
                return Err(QuantizeError::NotFinite { input, sample, element, number });
            }
        }
    }
    let read: HashSet<ValueId> = graph.nodes.iter().flat_map(Node::operands).collect();
    for id in read {
        let Some(tensor) = Tensor::of_constant(graph.value(id)) else { continue };
        // Masks hold negative infinities, layers must not.
        let is_weight = graph
            .nodes
            .iter()
            .any(|node| [node.value("weight"), node.value("bias")].contains(&Some(id)));
        if is_weight && tensor.data().iter().any(|number| !number.is_finite()) {
            return Err(QuantizeError::Weight { name: graph.value(id).name.clone() });
        }
    }
    for name in &options.int16 {
        let mut named = graph.nodes.iter().filter(|node| is_chosen(node, name)).peekable();
        if named.peek().is_none() {
            return Err(QuantizeError::Unknown { name: name.clone() });
        }
        // A layer also goes by the name of the activation that becomes part of it.
        let layer_before = |node: &Node| {
            let mut before = node.operands().filter_map(|id| graph.producer(id));
            clamp_range(node).is_some() && before.any(|it| has_int16_kernel(&graph.nodes[it]))
        };
        if !named.any(|node| has_int16_kernel(node) || layer_before(node)) {
            return Err(QuantizeError::NoInt16 { name: name.clone() });
        }
    }
    for name in &options.float {
        if !graph.nodes.iter().any(|node| is_named(node, name)) {
            return Err(QuantizeError::Unknown { name: name.clone() });
        }
    }
    Ok(())
}

/// The nodes of a quantized program that cannot be lowered, with the reason.
fn unsupported(program: &ExportedProgram) -> Vec<(String, String)> {
    let target = Target::new(Cpu::M55);
    let lowered = from_export(program).and_then(|mut graph| {
        passes::run_all(&PassContext { target }, &mut graph, |_, _| {})?;
        lower::lower(&graph, target)
    });
    match lowered {
        Err(CompileError::Unsupported(problems)) => {
            problems.into_iter().map(|problem| (problem.node, problem.reason)).collect()
        }
        _ => Vec::new(),
    }
}

struct Work<'a, 'p> {
    graph: &'a Graph,
    scheme: &'a Scheme,
    samples: &'a [Vec<Tensor>],
    options: &'a Options,
    progress: &'p mut dyn FnMut(Progress),
    report: Report,
}

/// Samples on which choices are compared, and what the float model makes of them.
struct Reference {
    samples: Vec<Vec<Tensor>>,
    outputs: Vec<Vec<Tensor>>,
    /// For each output, one over the variance of its numbers.
    weights: Vec<f64>,
}

/// The error that a plan leaves on each sample.
struct Errors(Vec<f64>);

impl Errors {
    fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// Whether they are below others, on the same samples, by more than chance: the mean difference is beyond some of its standard errors.
    fn are_below(&self, others: &Errors) -> bool {
        let differences = || others.0.iter().zip(&self.0).map(|(other, own)| other - own);
        let count = self.0.len().max(1) as f64;
        let mean = differences().sum::<f64>() / count;
        let squares = differences().map(|it| (it - mean).powi(2)).sum::<f64>();
        let standard_error = (squares / (count - 1.0).max(1.0) / count).sqrt();
        mean > CHANCE * standard_error
    }
}

/// Powers of signals and of their noise.
struct Noise {
    /// For each value of the float graph.
    results: Vec<(f64, f64)>,
    /// For each output, with the number of its numbers.
    outputs: Vec<(f64, f64, usize)>,
}

impl Noise {
    /// The mean of the logarithms of noise to signal.
    fn mean(&self) -> f64 {
        let heard = self.results.iter().filter(|(signal, noise)| *signal > 0.0 && *noise > 0.0);
        let (sum, count) = heard
            .map(|(signal, noise)| (noise / signal).ln())
            .fold((0.0, 0usize), |(sum, count), ratio| (sum + ratio, count + 1));
        sum / count.max(1) as f64
    }
}

impl Work<'_, '_> {
    fn run(&mut self) -> Result<(Built, Report, f64), QuantizeError> {
        let (graph, scheme) = (self.graph, self.scheme);
        let float = Executor::new(graph)?;
        let observers = self.observe(&float)?;
        self.tell("comparing", 0.4);
        let proposals: Vec<Vec<Parameters>> = observers
            .par_iter()
            .zip(&scheme.groups)
            .map(|(observer, group)| {
                let proposals = proposals(observer, group.unit);
                // PT2E gives averages the scale of what is averaged, which is far wider than they are. A part of that stays as
                // headroom: few samples show few averages.
                let headroom =
                    |it: &Parameters| Parameters::new(it.scale * HEADROOM, it.zero_point);
                match scheme.has_average(group) {
                    true => proposals.iter().map(headroom).collect(),
                    false => proposals,
                }
            })
            .collect();
        let layers = graph.nodes.iter().enumerate().filter_map(|(index, node)| {
            let is_layer = scheme.roles[index] == Role::Layer;
            let layer = is_layer.then(|| Layer::of(graph, node, self.options.per_tensor_linear));
            Some((index, layer??))
        });
        let layers: HashMap<usize, Layer> = layers.collect();
        let method = |method: usize| -> Vec<Parameters> {
            proposals.iter().map(|proposals| proposals[method.min(proposals.len() - 1)]).collect()
        };
        let reference = self.reference(&float)?;
        let mut budget = BUDGET;
        let cost = self.cost(&layers) * reference.samples.len() as f64;
        let mut spend = || {
            budget -= cost;
            budget >= 0.0
        };
        let first = METHODS.iter().position(|it| *it == self.options.ranges).unwrap_or(0);
        let int16_scales = observers.iter().map(|it| HEADROOM * it.int16_scale()).collect();
        let mut best = Plan { groups: method(first), int16_scales, layers };
        let mut least = self.error(&best, &reference)?;
        let attempt = |work: &Self, least: &mut Errors, best: &mut Plan, plan: Plan, gain: f64| {
            let errors = work.error(&plan, &reference)?;
            let is_better = errors.mean() < least.mean() * gain && errors.are_below(least);
            if is_better {
                (*best, *least) = (plan, errors);
            }
            Ok::<bool, QuantizeError>(is_better)
        };
        if self.options.ranges == Ranges::Auto {
            for (other, ranges) in METHODS.iter().enumerate().skip(1) {
                if spend() {
                    let plan = Plan { groups: method(other), ..best.clone() };
                    let is_histogram = *ranges == Ranges::Histogram;
                    let gain = if is_histogram { DISTINCT } else { ALTOGETHER };
                    attempt(self, &mut least, &mut best, plan, gain)?;
                }
            }
        }
        if spend() {
            let mut plan = best.clone();
            plan.layers.values_mut().for_each(|layer| layer.searched = false);
            attempt(self, &mut least, &mut best, plan, 1.0)?;
        }
        self.tell("comparing", 0.6);
        if self.options.ranges == Ranges::Auto {
            for pass in 0..3 {
                let mut has_gained = false;
                for (group, proposals) in proposals.iter().enumerate() {
                    let unit = scheme.groups[group].unit;
                    if unit == Some(Unit::Softmax) || scheme.groups[group].is_int16 {
                        continue;
                    }
                    for candidate in candidates(best.groups[group], proposals, pass) {
                        if !spend() {
                            break;
                        }
                        // Samples do not show what a narrower range would cut off of others.
                        let is_narrower = candidate.scale < 0.999 * best.groups[group].scale;
                        let gain = if is_narrower { DISTINCT } else { 0.99 };
                        let mut plan = best.clone();
                        plan.groups[group] = candidate;
                        has_gained |= attempt(self, &mut least, &mut best, plan, gain)?;
                    }
                }
                if !has_gained {
                    break;
                }
            }
        }
        self.tell("correcting", 0.8);
        if !self.options.no_bias_correction {
            let plan = self.corrected(&float, &best, &reference)?;
            let errors = self.error(&plan, &reference)?;
            let (error, before) = (errors.mean(), least.mean());
            // Outputs can be few numbers; what all results say together is less of a chance.
            let noise = |plan: &Plan| {
                let built = build(graph, scheme, plan);
                Ok::<f64, QuantizeError>(self.noise(&float, &built, &reference.samples)?.mean())
            };
            if error < 1.1 * before && (error < before || noise(&plan)? < noise(&best)?) {
                self.report.bias_corrected = true;
                (best, least) = (plan, errors);
            }
        }
        self.tell("measuring", 0.9);
        let built = build(graph, scheme, &best);
        self.measure(&float, &built)?;
        self.note_float();
        self.tell("measuring", 1.0);
        Ok((built, self.report.clone(), least.mean()))
    }

    fn tell(&mut self, stage: &'static str, done: f64) {
        (self.progress)(Progress { stage, done });
    }

    /// Runs the float model on all samples and keeps what decides about ranges.
    fn observe(&mut self, float: &Executor<'_>) -> Result<Vec<Observer>, QuantizeError> {
        let (graph, scheme) = (self.graph, self.scheme);
        let mut observers: Vec<Observer> = scheme.groups.iter().map(|_| Observer::new()).collect();
        let is_root: HashSet<ValueId> =
            scheme.groups.iter().flat_map(|group| group.roots.iter().copied()).collect();
        self.note_constant_channels();
        let count = self.samples.len();
        if count < FEW {
            self.report.warnings.push(Warning::FewSamples { samples: count });
        }
        for (chunk, samples) in self.samples.chunks(CHUNK).enumerate() {
            let mut run = float.start(samples);
            let mut see = |id: ValueId, tensors: &[Tensor]| {
                let Some(group) = scheme.group_of[id.0] else { return };
                let observer = &mut observers[group];
                let seen = scheme.groups[group].seen.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
                tensors.iter().for_each(|it| observer.count(it.data(), seen));
                if is_root.contains(&id) {
                    let roots = scheme.groups[group].roots.len();
                    tensors.iter().for_each(|it| observer.observe(it.data(), count * roots));
                }
            };
            graph.inputs.iter().for_each(|id| see(*id, run.values(*id)));
            for index in 0..graph.nodes.len() {
                run.step(index)?;
                for id in &graph.nodes[index].outputs {
                    let tensors = run.values(*id);
                    if scheme.group_of[id.0].is_some() {
                        refuse_infinite(graph, index, *id, tensors, chunk * CHUNK)?;
                    }
                    see(*id, tensors);
                }
                run.forget(index);
            }
            let done = ((chunk + 1) * CHUNK).min(count) as f64 / count as f64;
            self.tell("observing", 0.4 * done);
        }
        for (observer, group) in observers.iter_mut().zip(&scheme.groups) {
            let name = group.roots.first().map(|id| graph.value(*id).name.clone());
            let name = name.unwrap_or_default();
            if observer.is_dead() && group.unit.is_none() {
                self.report.warnings.push(Warning::Dead { value: name });
            } else if observer.min == observer.max {
                let value = observer.min;
                self.report.warnings.push(Warning::Constant { value: name, number: value });
            }
            observer.include(&group.numbers);
            if let Some(seen) = group.seen {
                observer.clamp(seen);
            }
        }
        Ok(observers)
    }

    /// Channels of inputs that are the same in all samples.
    fn note_constant_channels(&mut self) {
        for (position, id) in self.graph.inputs.iter().enumerate() {
            let value = self.graph.value(*id);
            let Some(channels) = value.shape.get(1).map(|it| *it as usize) else { continue };
            let inner: usize = value.shape[2..].iter().map(|extent| *extent as usize).product();
            // Single numbers are channels only where there are few of them: features often are constant, as at an image's border.
            if inner <= 1 || channels <= 1 || self.samples.len() * inner < 2 {
                continue;
            }
            let mut extremes = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
            for sample in self.samples {
                for (index, run) in sample[position].data().chunks_exact(inner).enumerate() {
                    let (min, max) = &mut extremes[index % channels];
                    run.iter().for_each(|it| (*min, *max) = (min.min(*it), max.max(*it)));
                }
            }
            let constant = extremes.iter().enumerate().filter(|(_, (min, max))| min == max);
            let constant: Vec<usize> = constant.map(|(channel, _)| channel).collect();
            if !constant.is_empty() {
                let input = value.name.clone();
                self.report.warnings.push(Warning::ConstantChannels { input, channels: constant });
            }
        }
    }

    fn reference(&self, float: &Executor<'_>) -> Result<Reference, QuantizeError> {
        // Spread over all samples, which may be sorted.
        let step = self.samples.len().div_ceil(COMPARED).max(1);
        let samples: Vec<Vec<Tensor>> = self.samples.iter().step_by(step).cloned().collect();
        let outputs = float.run(&samples)?;
        let weights = (0..self.graph.outputs.len()).map(|position| {
            let numbers = outputs.iter().flat_map(|sample| sample[position].data().iter().copied());
            let numbers: Vec<f64> = numbers.map(f64::from).collect();
            let mean = numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
            let power = numbers.iter().map(|it| (it - mean).powi(2)).sum::<f64>();
            1.0 / (power / numbers.len().max(1) as f64).max(1e-30)
        });
        let weights = weights.collect();
        Ok(Reference { samples, outputs, weights })
    }

    /// What executing the quantized graph for one sample costs, roughly in multiply-accumulates.
    fn cost(&self, layers: &HashMap<usize, Layer>) -> f64 {
        let elements = |id: &ValueId| self.graph.value(*id).shape.iter().product::<u32>() as f64;
        let nodes = self.graph.nodes.iter().enumerate().map(|(index, node)| {
            let out: f64 = node.outputs.iter().map(elements).sum();
            let macs = layers.get(&index).map_or(0.0, |layer| {
                out * layer.weight.len() as f64 / layer.out_channels.max(1) as f64
            });
            // Quantizing, dequantizing and calling cost as well.
            macs + 30.0 * out + 10_000.0
        });
        nodes.sum()
    }

    /// The mean squared errors that a plan leaves in the outputs, relative to their variance.
    fn error(&self, plan: &Plan, reference: &Reference) -> Result<Errors, QuantizeError> {
        let built = build(self.graph, self.scheme, plan);
        let outputs = Executor::new(&built.graph)?.run(&reference.samples)?;
        let of_sample = |(found, expected): (&Vec<Tensor>, &Vec<Tensor>)| {
            let outputs = reference.weights.iter().zip(found.iter().zip(expected));
            let error = |(weight, (found, expected)): (&f64, (&Tensor, &Tensor))| {
                let sum = squared_error(found.data(), expected.data());
                sum / found.data().len().max(1) as f64 * weight
            };
            outputs.map(error).sum::<f64>()
        };
        Ok(Errors(outputs.iter().zip(&reference.outputs).map(of_sample).collect()))
    }

    /// The plan with biases that make up for the mean error of each channel, layer after layer.
    ///
    /// A channel is corrected where its mean error is more than chance: above twice its own standard error.
    fn corrected(
        &self,
        float: &Executor<'_>,
        plan: &Plan,
        reference: &Reference,
    ) -> Result<Plan, QuantizeError> {
        let built = build(self.graph, self.scheme, plan);
        let quantized = Executor::new(&built.graph)?;
        let mut corrected = plan.clone();
        let (mut ours, mut theirs) =
            (quantized.start(&reference.samples), float.start(&reference.samples));
        let mut position = 0;
        for (index, node) in self.graph.nodes.iter().enumerate() {
            theirs.step(index)?;
            while position < built.ends[index] {
                ours.step(position)?;
                let is_layer = built.layers.get(&index).is_some_and(|layer| layer.node == position);
                if let (true, Some(layer)) = (is_layer, corrected.layers.get_mut(&index)) {
                    let output = node.outputs[0];
                    let channels = layer.out_channels;
                    let of = channel_index(self.graph, node, channels);
                    let shifts = shifts(theirs.values(output), ours.values(output), channels, of);
                    for tensor in ours.values_mut(output) {
                        for (at, number) in tensor.data_mut().iter_mut().enumerate() {
                            *number += shifts[of.of(at)];
                        }
                    }
                    let bias = layer.bias.get_or_insert_with(|| vec![0.0; channels]);
                    bias.iter_mut().zip(&shifts).for_each(|(bias, shift)| *bias += shift);
                }
                ours.forget(position);
                position += 1;
            }
            theirs.forget(index);
        }
        Ok(corrected)
    }

    /// The power of every quantized result and of its noise, and of the outputs.
    fn noise(
        &self,
        float: &Executor<'_>,
        built: &Built,
        samples: &[Vec<Tensor>],
    ) -> Result<Noise, QuantizeError> {
        let graph = self.graph;
        let quantized = Executor::new(&built.graph)?;
        let mut sums: Vec<(f64, f64)> = vec![(0.0, 0.0); graph.values.len()];
        let mut outputs: Vec<(f64, f64, usize)> = vec![(0.0, 0.0, 0); graph.outputs.len()];
        for samples in samples.chunks(CHUNK) {
            let (mut ours, mut theirs) = (quantized.start(samples), float.start(samples));
            let mut position = 0;
            for (index, node) in graph.nodes.iter().enumerate() {
                theirs.step(index)?;
                while position < built.ends[index] {
                    ours.step(position)?;
                    for id in &node.outputs {
                        let Some(Integers { id: integers, parameters, .. }) = built.integers[id.0]
                        else {
                            continue;
                        };
                        if !built.graph.nodes[position].outputs.contains(&integers) {
                            continue;
                        }
                        let sum = &mut sums[id.0];
                        for (found, expected) in
                            ours.values(integers).iter().zip(theirs.values(*id))
                        {
                            let real = |integer: f32| {
                                (integer - parameters.zero_point as f32) * parameters.scale as f32
                            };
                            for (found, expected) in found.data().iter().zip(expected.data()) {
                                sum.0 += f64::from(*expected).powi(2);
                                sum.1 += f64::from(real(*found) - expected).powi(2);
                            }
                        }
                    }
                    ours.forget(position);
                    position += 1;
                }
                theirs.forget(index);
            }
            // Dequantize nodes of outputs come last.
            while position < built.graph.nodes.len() {
                ours.step(position)?;
                position += 1;
            }
            for (found, expected) in ours.outputs().iter().zip(theirs.outputs()) {
                for (output, (found, expected)) in
                    outputs.iter_mut().zip(found.iter().zip(&expected))
                {
                    output.0 +=
                        expected.data().iter().map(|it| f64::from(*it).powi(2)).sum::<f64>();
                    output.1 += squared_error(found.data(), expected.data());
                    output.2 += found.data().len();
                }
            }
        }
        Ok(Noise { results: sums, outputs })
    }

    /// Reports the noise of every quantized result, and of the outputs.
    fn measure(&mut self, float: &Executor<'_>, built: &Built) -> Result<(), QuantizeError> {
        let (graph, scheme) = (self.graph, self.scheme);
        let Noise { results: sums, outputs } = self.noise(float, built, self.samples)?;
        for (index, node) in graph.nodes.iter().enumerate() {
            let output = node.outputs[0];
            let (Some(Integers { parameters, dtype, .. }), true) =
                (built.integers[output.0], scheme.is_int8(index))
            else {
                continue;
            };
            // What only moves integers has the noise of what it moves.
            if scheme.roles[index] == Role::Shared {
                continue;
            }
            // The operator in front of a fused activation is the layer.
            let named = match scheme.roles[index] {
                Role::Fused => node
                    .operands()
                    .find_map(|id| scheme.producer[id.0])
                    .map_or(node, |it| &graph.nodes[it]),
                _ => node,
            };
            let (signal, noise) = sums[output.0];
            self.report.layers.push(LayerReport {
                name: graph.value(output).name.clone(),
                operator: named.target.clone(),
                source: named.source.to_string(),
                sqnr_db: decibels(signal, noise),
                dtype: dtype.name(),
                scale: parameters.scale,
                zero_point: parameters.zero_point,
            });
        }
        for (position, (signal, noise, count)) in outputs.into_iter().enumerate() {
            self.report.outputs.push(OutputReport {
                name: graph.value(graph.outputs[position]).name.clone(),
                mean_squared_error: noise / count.max(1) as f64,
                sqnr_db: decibels(signal, noise),
            });
        }
        Ok(())
    }

    fn note_float(&mut self) {
        for (node, role) in self.graph.nodes.iter().zip(&self.scheme.roles) {
            if let Role::Float(reason) = role {
                self.report.float_nodes.push(FloatNode {
                    name: node.name.clone(),
                    operator: node.target.clone(),
                    source: node.source.to_string(),
                    reason: reason.clone(),
                });
            }
        }
        self.report.samples = self.samples.len();
    }
}

/// What each of [`METHODS`] proposes; one proposal where the range is known.
fn proposals(observer: &Observer, unit: Option<Unit>) -> Vec<Parameters> {
    // Softmax and sigmoid give numbers from 0 up to 1.
    let fixed = Parameters { scale: 1.0 / 256.0, zero_point: -128 };
    match unit {
        Some(Unit::Softmax) => return vec![fixed],
        // A sigmoid that is seen to keep to a small part of its range gets steps for that part.
        Some(Unit::Sigmoid) if observer.max > 0.75 => return vec![fixed],
        _ => {}
    }
    observer.propose_all()
}

/// Parameters to try in the place of others: what the methods propose, and their neighbours, nearer in later passes.
fn candidates(current: Parameters, proposals: &[Parameters], pass: u32) -> Vec<Parameters> {
    let mut candidates: Vec<Parameters> = if pass == 0 { proposals.to_vec() } else { Vec::new() };
    let step = 0.06 / f64::from(1 << pass);
    for factor in [1.0 - step, 1.0 + step, 1.0 - step / 2.0, 1.0 + step / 2.0] {
        // The least number stays on its integer where that is the end of the range.
        let zero_point = match current.zero_point {
            -128 => -128,
            other => ((f64::from(other) + 0.5) / factor - 0.5).round() as i32,
        };
        candidates.push(Parameters::new(current.scale * factor, zero_point));
    }
    if current.zero_point != -128 {
        for shift in [-1, 1] {
            candidates.push(Parameters::new(current.scale, current.zero_point + shift));
        }
    }
    candidates.retain(|candidate| *candidate != current);
    candidates.dedup();
    candidates
}

fn squared_error(found: &[f32], expected: &[f32]) -> f64 {
    found.iter().zip(expected).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

fn refuse_infinite(
    graph: &Graph,
    node: usize,
    id: ValueId,
    tensors: &[Tensor],
    first: usize,
) -> Result<(), QuantizeError> {
    for (sample, tensor) in tensors.iter().enumerate() {
        if tensor.data().iter().any(|number| !number.is_finite()) {
            return Err(QuantizeError::Overflow {
                value: graph.value(id).name.clone(),
                operator: graph.nodes[node].target.clone(),
                sample: first + sample,
            });
        }
    }
    Ok(())
}

/// Where the channel of an element stands.
#[derive(Clone, Copy)]
struct ChannelIndex {
    inner: usize,
    channels: usize,
}

impl ChannelIndex {
    fn of(self, element: usize) -> usize {
        element / self.inner % self.channels
    }
}

/// A linear layer has its features last, a convolution its channels in front of its axes.
fn channel_index(graph: &Graph, node: &Node, channels: usize) -> ChannelIndex {
    let shape = &graph.value(node.outputs[0]).shape;
    let weight = node.value("weight").map_or(2, |id| graph.value(id).shape.len());
    let inner = match node.target.as_str() {
        "aten.linear.default" => 1,
        _ => shape[shape.len() - (weight - 2)..].iter().map(|extent| *extent as usize).product(),
    };
    ChannelIndex { inner: inner.max(1), channels: channels.max(1) }
}

/// For each channel the mean difference, where it is more than chance.
fn shifts(expected: &[Tensor], found: &[Tensor], channels: usize, of: ChannelIndex) -> Vec<f32> {
    let mut sums = vec![(0.0f64, 0.0f64, 0.0f64); channels];
    for (expected, found) in expected.iter().zip(found) {
        for (at, (expected, found)) in expected.data().iter().zip(found.data()).enumerate() {
            let difference = f64::from(expected - found);
            let (sum, squares, count) = &mut sums[of.of(at)];
            *sum += difference;
            *squares += difference * difference;
            *count += 1.0;
        }
    }
    let shift = |(sum, squares, count): &(f64, f64, f64)| {
        let count = count.max(1.0);
        let mean = sum / count;
        let error = ((squares / count - mean * mean).max(0.0) / count).sqrt();
        if mean.abs() > 2.0 * error { mean as f32 } else { 0.0 }
    };
    sums.iter().map(shift).collect()
}

/// How the outputs of two graphs compare on samples.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Comparison {
    /// Mean squared error of each output.
    pub mean_squared_errors: Vec<f64>,
    /// The share of rows of the first output that have their greatest number at the same place.
    pub top1_agreement: f64,
    /// With labels: the shares of samples in which the greatest number is where the label says, in float and in int8.
    pub float_accuracy: Option<f64>,
    /// See [`Comparison::float_accuracy`].
    pub int8_accuracy: Option<f64>,
}

/// Executes both and compares.
///
/// # Errors
/// [`ExecuteError`] of either.
pub fn compare(
    float: &Graph,
    quantized: &Graph,
    samples: &[Vec<Tensor>],
    labels: Option<&[i64]>,
) -> Result<Comparison, ExecuteError> {
    let (float, quantized) = (Executor::new(float)?, Executor::new(quantized)?);
    let mut sums: Vec<(f64, usize)> = Vec::new();
    let (mut alike, mut rows, mut float_hits, mut int8_hits) = (0usize, 0usize, 0usize, 0usize);
    for (chunk, samples) in samples.chunks(CHUNK).enumerate() {
        let outcomes = float.run(samples)?.into_iter().zip(quantized.run(samples)?);
        for (index, (expected, found)) in outcomes.enumerate() {
            sums.resize(expected.len(), (0.0, 0));
            for (sum, (expected, found)) in sums.iter_mut().zip(expected.iter().zip(&found)) {
                sum.0 += squared_error(found.data(), expected.data());
                sum.1 += found.data().len();
            }
            let (Some(expected), Some(found)) = (expected.first(), found.first()) else { continue };
            let classes = expected.shape().last().copied().unwrap_or(1).max(1);
            let pairs = expected.data().chunks(classes).zip(found.data().chunks(classes));
            for (expected, found) in pairs {
                rows += 1;
                alike += usize::from(greatest(expected) == greatest(found));
            }
            let label = labels.and_then(|labels| labels.get(chunk * CHUNK + index));
            if let Some(label) = label {
                float_hits += usize::from(greatest(expected.data()) as i64 == *label);
                int8_hits += usize::from(greatest(found.data()) as i64 == *label);
            }
        }
    }
    let share = |hits: usize| labels.map(|labels| hits as f64 / labels.len().max(1) as f64);
    Ok(Comparison {
        mean_squared_errors: sums.iter().map(|(sum, count)| sum / (*count).max(1) as f64).collect(),
        top1_agreement: alike as f64 / rows.max(1) as f64,
        float_accuracy: share(float_hits),
        int8_accuracy: share(int8_hits),
    })
}

/// The place of the greatest number, the first of several.
fn greatest(numbers: &[f32]) -> usize {
    let mut best = 0;
    for (index, number) in numbers.iter().enumerate() {
        if *number > numbers[best] {
            best = index;
        }
    }
    best
}
