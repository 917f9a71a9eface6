//! Writes recurrent layers step by step: LSTM, GRU and the plain recurrence, of several layers, in one direction or both.
//!
//! For each layer and direction the inputs of all steps go through one linear layer, and each step adds what the state before
//! it contributes (gates in the order in which PyTorch stacks their weights; `*` element by element):
//!
//! ```text
//! LSTM   i, f, o = sigmoid(Wx + Uh + b)   g = tanh(Wx + Uh + b)   c' = f * c + i * g   h' = o * tanh(c')
//! GRU    r, z = sigmoid(Wx + b + Uh + d)   n = tanh(Wx + b + r * (Uh + d))   h' = n + z * (h - n)
//! plain  h' = tanh(Wx + b + Uh + d), or relu
//! ```
//!
//! An LSTM with a projection has `h' = P (o * tanh(c'))`. A state that starts as zeros costs nothing in the first step of an
//! LSTM. Results that nobody reads are not computed.
//!
//! Source: the documentation of `torch.nn.LSTM`, `torch.nn.GRU` and `torch.nn.RNN`.

use super::PassContext;
use super::rewriter::{Rewriter, replace_each};
use crate::error::{CompileError, Unsupported};
use crate::graph::{Argument, Graph, Node, ValueId};

/// The most steps that a model may have, over its layers and directions. Each becomes about ten operators of the program, so a model
/// with more would need more flash for its operators than a Cortex-M has, and a few bytes of a file must not ask for any memory.
const STEPS_MAX: u64 = 1 << 14;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    let mut total = 0u64;
    for node in &graph.nodes {
        total = total.saturating_add(steps(graph, node).unwrap_or(0));
        if total > STEPS_MAX {
            let why = format!(
                "with it the model has {total} steps of recurrent layers; Cortado writes out at most {STEPS_MAX}"
            );
            let remedy =
                "export the model for fewer steps, and call it once for each piece of the sequence";
            return Err(CompileError::Unsupported(vec![
                Unsupported::new(node, why).with_remedy(remedy),
            ]));
        }
    }
    replace_each(graph, unroll);
    Ok(())
}

/// The number of steps of a recurrent node, over its layers and directions.
fn steps(graph: &Graph, node: &Node) -> Option<u64> {
    Cell::of(node)?;
    let time = usize::from(node.flag("batch_first"));
    let steps = *graph.value(node.value("input")?).shape.get(time)?;
    let layers = u64::try_from(node.int("num_layers")?).ok()?;
    let directions = if node.flag("bidirectional") { 2 } else { 1 };
    Some(u64::from(steps).saturating_mul(layers).saturating_mul(directions))
}

#[derive(Clone, Copy, PartialEq)]
enum Cell {
    Lstm,
    Gru,
    Tanh,
    Relu,
}

impl Cell {
    /// That of a recurrent node; `None` for any other node.
    fn of(node: &Node) -> Option<Cell> {
        Some(match node.target.as_str() {
            "aten.lstm.input" => Cell::Lstm,
            "aten.gru.input" => Cell::Gru,
            "aten.rnn_tanh.input" => Cell::Tanh,
            "aten.rnn_relu.input" => Cell::Relu,
            _ => return None,
        })
    }

    /// The number of matrices that its weights stack.
    fn gates(self) -> u32 {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
            Cell::Tanh | Cell::Relu => 1,
        }
    }
}

/// The weights of one layer in one direction.
struct Weights {
    input: ValueId,
    state: ValueId,
    input_bias: Option<ValueId>,
    state_bias: Option<ValueId>,
    projection: Option<ValueId>,
}

/// What one step hands to the next: `[batch, features]` each; no cell where there is none, or where it is zeros.
#[derive(Clone, Copy)]
struct State {
    hidden: ValueId,
    cell: Option<ValueId>,
    /// Whether `hidden` is zeros.
    is_zero: bool,
}

/// A layer that is being unrolled.
struct Layer<'r, 'g> {
    rewriter: &'r mut Rewriter<'g>,
    cell: Cell,
    /// Extent of the batch.
    batch: u32,
    /// Number of steps.
    steps: u32,
    /// The axis of the steps; that of the batch is the other one of the first two.
    time: usize,
}

fn unroll(rewriter: &mut Rewriter<'_>) -> Option<()> {
    let node = rewriter.origin;
    let cell = Cell::of(node)?;
    if node.flag("train") && node.float("dropout").unwrap_or(0.0) != 0.0 {
        return None;
    }
    let mut sequence = node.value("input")?;
    let time = usize::from(node.flag("batch_first"));
    let [first, second, _] = rewriter.shape(sequence)[..] else { return None };
    let (batch, steps) = if time == 1 { (first, second) } else { (second, first) };
    let initial = match node.argument("hx")? {
        Argument::Values(states) => states.iter().copied().collect::<Option<Vec<_>>>()?,
        Argument::Value(state) => vec![*state],
        _ => return None,
    };
    let directions = if node.flag("bidirectional") { 2 } else { 1 };
    let layers = usize::try_from(node.int("num_layers")?).ok()?;
    let weights = weights(rewriter, layers * directions, node.flag("has_biases"))?;
    let all_f32 = node.operands().chain(node.outputs.iter().copied());
    if steps == 0 || batch == 0 || all_f32.into_iter().any(|id| !rewriter.is_f32(id)) {
        return None;
    }

    let outputs = &node.outputs;
    let mut layer = Layer { rewriter, cell, batch, steps, time };
    let mut last = Vec::new();
    for (index, weights) in weights.chunks(directions).enumerate() {
        let is_last = index + 1 == layers;
        let mut results = Vec::new();
        for (direction, weights) in weights.iter().enumerate() {
            let state = layer.initial_state(&initial, index * directions + direction)?;
            let (hidden, state) = layer.run(sequence, weights, state, direction == 1)?;
            last.push(state);
            results.push(hidden);
        }
        let into = outputs.first().copied().filter(|_| is_last);
        if into.is_none_or(|output| layer.rewriter.is_read(output)) {
            sequence = layer.joined(&results, into);
        }
    }
    layer.last_states(&last, outputs.get(1).copied(), |state| Some(state.hidden))?;
    layer.last_states(&last, outputs.get(2).copied(), |state| state.cell)
}

/// The weights of all layers and directions, in order.
fn weights(rewriter: &Rewriter<'_>, count: usize, has_biases: bool) -> Option<Vec<Weights>> {
    let Some(Argument::Values(parameters)) = rewriter.origin.argument("params") else {
        return None;
    };
    let parameters: Vec<ValueId> = parameters.iter().copied().collect::<Option<_>>()?;
    let each = if has_biases { 4 } else { 2 };
    let with_projection = parameters.len() == count * (each + 1);
    if count == 0 || !(with_projection || parameters.len() == count * each) {
        return None;
    }
    let one = |chunk: &[ValueId]| Weights {
        input: chunk[0],
        state: chunk[1],
        input_bias: has_biases.then(|| chunk[2]),
        state_bias: has_biases.then(|| chunk[3]),
        projection: with_projection.then(|| chunk[each]),
    };
    Some(parameters.chunks_exact(parameters.len() / count).map(one).collect())
}

impl Layer<'_, '_> {
    /// The state that the caller gave for a layer and a direction.
    fn initial_state(&mut self, initial: &[ValueId], index: usize) -> Option<State> {
        let (hidden, is_zero) = self.initial(*initial.first()?, index)?;
        let cell = match initial.get(1) {
            Some(cell) => Some(self.initial(*cell, index)?).filter(|(_, is_zero)| !is_zero),
            None => None,
        };
        Some(State { hidden, cell: cell.map(|(cell, _)| cell), is_zero })
    }

    /// One matrix of the states given, and whether it is known to be zeros.
    fn initial(&mut self, states: ValueId, index: usize) -> Option<(ValueId, bool)> {
        let features = *self.rewriter.shape(states).get(2)?;
        let shape = vec![self.batch, features];
        if let Some(elements) = self.rewriter.f32_constant(states) {
            let count = (self.batch * features) as usize;
            let elements = elements.get(index * count..(index + 1) * count)?.to_vec();
            let is_zero = elements.iter().all(|element| *element == 0.0);
            return Some((self.rewriter.constant("initial", shape, &elements), is_zero));
        }
        Some((self.select(states, 0, index, shape), false))
    }

    /// The hidden states after each step, in the order of the sequence, and the state after the last one.
    fn run(
        &mut self,
        sequence: ValueId,
        weights: &Weights,
        mut state: State,
        is_reverse: bool,
    ) -> Option<(Vec<ValueId>, State)> {
        let width = *self.rewriter.shape(weights.state).first()?;
        let features = width / self.cell.gates();
        // Gates of an LSTM, and the plain recurrence, add both biases; those of a GRU are apart.
        let joined = match (self.cell, weights.input_bias, weights.state_bias) {
            (Cell::Gru, ..) => None,
            (_, Some(a), Some(b)) => self.summed_constants(a, b),
            _ => None,
        };
        let input_bias = joined.or(weights.input_bias);
        let state_bias = weights.state_bias.filter(|_| joined.is_none());
        let mut shape = self.rewriter.shape(sequence).to_vec();
        *shape.last_mut()? = width;
        let projected = self.linear("projected", sequence, weights.input, input_bias, shape);

        let mut hidden = Vec::new();
        for step in 0..self.steps as usize {
            let step = if is_reverse { self.steps as usize - 1 - step } else { step };
            let shape = vec![self.batch, width];
            let given = self.select(projected, self.time, step, shape.clone());
            let contributes = !(state.is_zero && state_bias.is_none()) || self.cell == Cell::Gru;
            let from_state = contributes
                .then(|| self.linear("recurrent", state.hidden, weights.state, state_bias, shape));
            state = match self.cell {
                Cell::Lstm => self.lstm_step(given, from_state, state, features, weights)?,
                Cell::Gru => self.gru_step(given, from_state?, state, features),
                Cell::Tanh | Cell::Relu => {
                    let sum = self.sum_with(given, from_state);
                    let function = if self.cell == Cell::Tanh { "tanh" } else { "relu" };
                    State { hidden: self.unary(function, sum), cell: None, is_zero: false }
                }
            };
            hidden.push(state.hidden);
        }
        if is_reverse {
            hidden.reverse();
        }
        Some((hidden, state))
    }

    fn lstm_step(
        &mut self,
        given: ValueId,
        from_state: Option<ValueId>,
        state: State,
        features: u32,
        weights: &Weights,
    ) -> Option<State> {
        let gates = self.sum_with(given, from_state);
        let [input, forget, candidate, output] = [0, 1, 2, 3].map(|gate| {
            (gate != 1 || state.cell.is_some()).then(|| self.part(gates, gate, 1, features))
        });
        let input = self.unary("sigmoid", input?);
        let candidate = self.unary("tanh", candidate?);
        let mut cell = self.binary("mul", input, candidate);
        if let (Some(forget), Some(before)) = (forget, state.cell) {
            let forget = self.unary("sigmoid", forget);
            let kept = self.binary("mul", forget, before);
            cell = self.binary("add", kept, cell);
        }
        let output = self.unary("sigmoid", output?);
        let bounded = self.unary("tanh", cell);
        let mut hidden = self.binary("mul", output, bounded);
        if let Some(projection) = weights.projection {
            let shape = vec![self.batch, *self.rewriter.shape(projection).first()?];
            hidden = self.linear("hidden", hidden, projection, None, shape);
        }
        Some(State { hidden, cell: Some(cell), is_zero: false })
    }

    fn gru_step(
        &mut self,
        given: ValueId,
        from_state: ValueId,
        state: State,
        features: u32,
    ) -> State {
        let [given_gates, state_gates] =
            [given, from_state].map(|id| self.part(id, 0, 2, features));
        let sum = self.binary("add", given_gates, state_gates);
        let gates = self.unary("sigmoid", sum);
        let [reset, update] = [0, 1].map(|gate| self.part(gates, gate, 1, features));
        let [given, from_state] = [given, from_state].map(|id| self.part(id, 2, 1, features));
        let kept = self.binary("mul", reset, from_state);
        let sum = self.binary("add", given, kept);
        let new = self.unary("tanh", sum);
        let difference = self.binary("sub", state.hidden, new);
        let change = self.binary("mul", update, difference);
        State { hidden: self.binary("add", new, change), cell: None, is_zero: false }
    }

    /// The hidden states of all steps, those of both directions side by side.
    fn joined(&mut self, directions: &[Vec<ValueId>], into: Option<ValueId>) -> ValueId {
        let is_one = directions.len() == 1;
        let stacks: Vec<ValueId> = directions
            .iter()
            .map(|steps| {
                let [rows, cols] = self.rewriter.shape(steps[0])[..] else { return steps[0] };
                let mut shape = vec![rows, cols];
                shape.insert(self.time, steps.len() as u32);
                let output = into.filter(|_| is_one);
                let output = output.unwrap_or_else(|| self.rewriter.result("sequence", shape));
                self.join("aten.stack.default", steps, self.time, output);
                output
            })
            .collect();
        if is_one {
            return stacks[0];
        }
        let mut shape = self.rewriter.shape(stacks[0]).to_vec();
        shape[2] = stacks.iter().map(|stack| self.rewriter.shape(*stack)[2]).sum();
        let output = into.unwrap_or_else(|| self.rewriter.result("sequence", shape));
        self.join("aten.cat.default", &stacks, 2, output);
        output
    }

    /// The states after the last step, one per layer and direction, if anybody reads them.
    fn last_states(
        &mut self,
        states: &[State],
        output: Option<ValueId>,
        part: fn(&State) -> Option<ValueId>,
    ) -> Option<()> {
        if let Some(output) = output.filter(|output| self.rewriter.is_read(*output)) {
            let parts = states.iter().map(part).collect::<Option<Vec<_>>>()?;
            self.join("aten.stack.default", &parts, 0, output);
        }
        Some(())
    }

    fn join(&mut self, target: &str, parts: &[ValueId], dim: usize, output: ValueId) {
        let tensors = Argument::Values(parts.iter().copied().map(Some).collect());
        let arguments = [("tensors", tensors), ("dim", Argument::Int(dim as i64))];
        self.rewriter.call_into(target, arguments, output);
    }

    /// The sum of two constants.
    fn summed_constants(&mut self, a: ValueId, b: ValueId) -> Option<ValueId> {
        let (first, second) = (self.rewriter.f32_constant(a)?, self.rewriter.f32_constant(b)?);
        let sum: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
        Some(self.rewriter.constant("bias", vec![sum.len() as u32], &sum))
    }

    fn linear(
        &mut self,
        what: &str,
        input: ValueId,
        weight: ValueId,
        bias: Option<ValueId>,
        shape: Vec<u32>,
    ) -> ValueId {
        let bias = bias.map_or(Argument::None, Argument::Value);
        let arguments = [("input", input.into()), ("weight", weight.into()), ("bias", bias)];
        self.rewriter.call(what, "aten.linear.default", arguments, shape)
    }

    /// The tensor at one index of an axis, which goes.
    fn select(&mut self, from: ValueId, dim: usize, index: usize, shape: Vec<u32>) -> ValueId {
        if self.rewriter.shape(from)[dim] == 1 {
            return self.rewriter.view(from, shape);
        }
        let arguments = [
            ("self", from.into()),
            ("dim", Argument::Int(dim as i64)),
            ("index", Argument::Int(index as i64)),
        ];
        self.rewriter.call("step", "aten.select.int", arguments, shape)
    }

    /// The columns of some gates.
    fn part(&mut self, gates: ValueId, first: u32, count: u32, features: u32) -> ValueId {
        let arguments = [
            ("self", gates.into()),
            ("dim", Argument::Int(1)),
            ("start", Argument::Int(i64::from(first * features))),
            ("end", Argument::Int(i64::from((first + count) * features))),
        ];
        let shape = vec![self.batch, count * features];
        self.rewriter.call("gate", "aten.slice.Tensor", arguments, shape)
    }

    fn sum_with(&mut self, given: ValueId, from_state: Option<ValueId>) -> ValueId {
        from_state.map_or(given, |from_state| self.binary("add", given, from_state))
    }

    fn unary(&mut self, function: &str, operand: ValueId) -> ValueId {
        let shape = self.rewriter.shape(operand).to_vec();
        let target = format!("aten.{function}.default");
        self.rewriter.call(function, &target, [("self", operand.into())], shape)
    }

    fn binary(&mut self, function: &str, a: ValueId, b: ValueId) -> ValueId {
        let shape = self.rewriter.shape(a).to_vec();
        let target = format!("aten.{function}.Tensor");
        self.rewriter.call(function, &target, [("self", a.into()), ("other", b.into())], shape)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewriter::sample::Sample;
    use super::*;
    use cortado_contract::DType;

    /// A layer with two features of input and two of output over three steps, and its targets when some of its results are read.
    fn unrolled(
        target: &str,
        gates: usize,
        bidirectional: bool,
        read: &[usize],
    ) -> (Sample, Vec<String>) {
        let mut sample = Sample::default();
        let input = sample.input("x", &[1, 3, 2]);
        let directions = if bidirectional { 2 } else { 1 };
        let zeros =
            sample.constant("zeros", &[directions, 1, 2], &vec![0.0; 2 * directions as usize]);
        let rows = 2 * gates as u32;
        let mut parameters = Vec::new();
        for _ in 0..directions {
            for shape in [&[rows, 2][..], &[rows, 2], &[rows], &[rows]] {
                let count = shape.iter().product::<u32>() as usize;
                parameters.push(Some(sample.constant("w", shape, &vec![0.5; count])));
            }
        }
        let is_lstm = gates == 4;
        let hx = if is_lstm { Argument::Values(vec![Some(zeros); 2]) } else { zeros.into() };
        let arguments = [
            ("input", input.into()),
            ("hx", hx),
            ("params", Argument::Values(parameters)),
            ("has_biases", Argument::Bool(true)),
            ("num_layers", Argument::Int(1)),
            ("dropout", Argument::Float(0.0)),
            ("train", Argument::Bool(false)),
            ("bidirectional", Argument::Bool(bidirectional)),
            ("batch_first", Argument::Bool(true)),
        ];
        let state: &[u32] = &[directions, 1, 2];
        let results =
            [(DType::F32, &[1, 3, 2 * directions][..]), (DType::F32, state), (DType::F32, state)];
        let count = if is_lstm { 3 } else { 2 };
        let outputs = sample.results("layer", target, &arguments, &results[..count]);
        let read: Vec<ValueId> = read.iter().map(|index| outputs[*index]).collect();
        let targets = sample.run(&read, run);
        (sample, targets)
    }

    fn count(targets: &[String], target: &str) -> usize {
        targets.iter().filter(|it| *it == target).count()
    }

    #[test]
    fn an_lstm_is_unrolled() {
        let (sample, targets) = unrolled("aten.lstm.input", 4, false, &[0, 1, 2]);
        // One layer for all inputs, and one for each state that is not zeros.
        assert_eq!(count(&targets, "aten.linear.default"), 3);
        assert_eq!(count(&targets, "aten.sigmoid.default"), 3 * 3 - 1);
        assert_eq!(count(&targets, "aten.tanh.default"), 2 * 3);
        assert_eq!(count(&targets, "aten.stack.default"), 3);
        let bias = sample.graph.nodes[0].value("bias").unwrap();
        assert_eq!(sample.elements(bias), Some(vec![1.0; 8]));
    }

    #[test]
    fn results_that_nobody_reads_go() {
        let (_, targets) = unrolled("aten.lstm.input", 4, true, &[1]);
        assert_eq!(count(&targets, "aten.stack.default"), 1);
        assert_eq!(count(&targets, "aten.cat.default"), 0);
        assert_eq!(count(&targets, "aten.linear.default"), 6);
    }

    #[test]
    fn both_directions_stand_side_by_side() {
        let (sample, targets) = unrolled("aten.gru.input", 3, true, &[0]);
        assert_eq!(targets.last().map(String::as_str), Some("aten.cat.default"));
        let last = sample.graph.nodes.last().unwrap();
        assert_eq!((last.int("dim"), last.operands().count()), (Some(2), 2));
        assert_eq!(count(&targets, "aten.linear.default"), 8);
    }

    #[test]
    fn the_plain_recurrence_is_unrolled() {
        let (_, targets) = unrolled("aten.rnn_relu.input", 1, false, &[0]);
        assert_eq!(count(&targets, "aten.relu.default"), 3);
        assert_eq!(count(&targets, "aten.add.Tensor"), 2);
    }
}
