//! What the page shows, as plain data: tensors, layers, memory, flash, measurements and findings.

/// The position of a tensor in [`Report::tensors`].
pub type TensorId = usize;

/// A compiled program as the page shows it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The name of the file.
    pub title: String,
    /// Who made the file, and for what.
    pub origin: Origin,
    /// The size of the file: what it takes of the flash.
    pub file_bytes: u64,
    /// The layers in execution order: the program's instructions.
    pub layers: Vec<Layer>,
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// The program's inputs.
    pub inputs: Vec<TensorId>,
    /// The program's outputs.
    pub outputs: Vec<TensorId>,
    /// The planned memory.
    pub memory: Memory,
    /// What the file's bytes are for.
    pub flash: Flash,
    /// The size of a loaded method's state, `None` where the program cannot be loaded.
    pub state_bytes: Option<u64>,
    /// The stack that loading and executing take at most, `None` where it was not measured for the operators and the instruction set.
    pub stack_bytes: Option<u64>,
    /// Measurements on emulated boards.
    pub profiles: Vec<crate::Profile>,
    /// What deserves attention, the gravest first.
    pub findings: Vec<Finding>,
    /// What the runtimes do with the file.
    pub verdicts: Vec<Verdict>,
    /// Why the program could not be followed to its end: then constants, shapes and memory are shown as the file has them, and what
    /// they mean is not known. `None` where everything is.
    pub unread: Option<String>,
}

/// Who made a file, and for what.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The compiler.
    pub made_by: String,
    /// The core that it was made for, `None` where the file does not say.
    pub cpu: Option<String>,
    /// The instruction sets whose forms the file has: the one of the stamp, else all that it suits.
    pub isas: Vec<String>,
    /// The form of linear layers' constant terms, `None` where the file does not say.
    pub constant_form: Option<String>,
}

/// A tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name, as far as there is one.
    pub name: String,
    /// The element type.
    pub dtype: String,
    /// The extents in logical order.
    pub shape: Vec<i64>,
    /// The axes in memory order, outermost first.
    pub dim_order: Vec<u8>,
    /// The size in bytes.
    pub size_bytes: u64,
    /// Whether its elements are in the file.
    pub is_constant: bool,
    /// The tensor whose memory it has: itself, unless it is a view.
    pub storage: TensorId,
    /// The step between neighbouring integers, where it is known.
    pub scale: Option<f64>,
    /// The integer that stands for 0, where it is known.
    pub zero_point: Option<i64>,
}

/// What a layer does, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// An input of the program; no layer.
    Input,
    /// A convolution with sums over channels.
    Convolution,
    /// A depthwise convolution.
    Depthwise,
    /// A linear layer or a matrix product.
    Linear,
    /// Element by element: sums, products, activations.
    Elementwise,
    /// Pooling, softmax and others that go over windows or rows.
    Reduction,
    /// Conversion and movement: quantizing, padding, transposing, slicing.
    Movement,
    /// Computation in float.
    Float,
    /// An operator that Cortado does not have.
    Unknown,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 9] = [
        Family::Input,
        Family::Convolution,
        Family::Depthwise,
        Family::Linear,
        Family::Elementwise,
        Family::Reduction,
        Family::Movement,
        Family::Float,
        Family::Unknown,
    ];

    /// The name, for legends.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Input => "input",
            Family::Convolution => "convolution",
            Family::Depthwise => "depthwise convolution",
            Family::Linear => "linear, matrix product",
            Family::Elementwise => "element by element",
            Family::Reduction => "pooling, softmax",
            Family::Movement => "conversion, movement",
            Family::Float => "float",
            Family::Unknown => "unknown operator",
        }
    }

    /// The class in the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Family::Input => "f-input",
            Family::Convolution => "f-convolution",
            Family::Depthwise => "f-depthwise",
            Family::Linear => "f-linear",
            Family::Elementwise => "f-elementwise",
            Family::Reduction => "f-reduction",
            Family::Movement => "f-movement",
            Family::Float => "f-float",
            Family::Unknown => "f-unknown",
        }
    }
}

/// A call of an operator.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What it does, in words: `Convolution 3×3, stride 2`.
    pub title: String,
    /// The operator.
    pub operator: String,
    /// What it does, for its colour.
    pub family: Family,
    /// The node in the exported program, where it is known.
    pub node: Option<String>,
    /// Where the user wrote it, where that is known.
    pub source: Option<String>,
    /// The tensors that it reads and writes.
    pub operands: Vec<Operand>,
    /// The other arguments by name.
    pub arguments: Vec<(String, String)>,
    /// By what accumulators are multiplied, `None` for operators that do not rescale.
    pub rescale: Option<Rescale>,
    /// The constant term of a linear layer and the kernels that read it.
    pub constant_term: Option<String>,
    /// Multiply-accumulates of one execution, `None` where it is not known.
    pub macs: Option<u64>,
    /// Whether the result is another order of the operand's elements.
    pub is_transpose: bool,
    /// The tensors in float that it reads or writes, constants and conversions at the border left out.
    pub computes_float: bool,
}

/// A tensor as a layer's argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// The name of the argument.
    pub role: String,
    /// The tensor.
    pub tensor: TensorId,
    /// What the layer does with it.
    pub access: Access,
}

/// What a layer does with a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads it.
    Read,
    /// It writes it: a result.
    Write,
    /// It works in it: memory that nobody else sees.
    Scratch,
}

/// The factors from accumulators to results: one, or one per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescale {
    /// The number of factors.
    pub factors: usize,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

/// The planned memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The planned buffers: one arena, or banks.
    pub banks: Vec<Bank>,
    /// Every tensor that has planned memory of its own.
    pub buffers: Vec<Buffer>,
    /// The bytes that are live at each time: 0 is before the first layer, `n` is during the `n`th.
    pub live_bytes: Vec<u64>,
    /// The first time at which most bytes are live.
    pub peak: usize,
    /// No plan of the layers in their order can need less; `None` where it is not known.
    pub lower_bound_bytes: Option<u64>,
    /// Whether it is certain that no plan of the layers in their order needs less than the file's.
    pub is_proven: bool,
    /// What Cortado plans for the same layers in the same order, `None` where it is not known.
    pub cortado_bytes: Option<u64>,
    /// The inputs and outputs that are in the caller's memory.
    pub lent: Vec<TensorId>,
}

/// A region of the device's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    /// The name; empty where the file has none.
    pub name: String,
    /// The bytes that it has, `None` where the file does not say.
    pub capacity_bytes: Option<u64>,
    /// The bytes that are planned.
    pub bytes: u64,
}

/// A tensor's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The tensor.
    pub tensor: TensorId,
    /// The position of its bank.
    pub bank: usize,
    /// The offset into the bank.
    pub offset_bytes: u64,
    /// The bytes that it takes, alignment included.
    pub size_bytes: u64,
    /// The layer that writes it, `None` for an input.
    pub writer: Option<usize>,
    /// The layers that read it.
    pub readers: Vec<usize>,
    /// Whether it is the program's output.
    pub is_output: bool,
    /// Whether it is a layer's memory to work in.
    pub is_scratch: bool,
    /// The first time at which it is live: 0 is before the first layer, `n` is during the `n`th.
    pub first: usize,
    /// The last time at which it is live.
    pub last: usize,
    /// The position of the buffer over which it is written: an operand that nobody needs any more.
    pub over: Option<usize>,
}

impl Buffer {
    /// The offset of the first byte behind it.
    pub fn end_bytes(&self) -> u64 {
        self.offset_bytes.saturating_add(self.size_bytes)
    }
}

impl Memory {
    /// The planned bytes of all banks.
    pub fn arena_bytes(&self) -> u64 {
        self.banks.iter().fold(0, |sum, bank| sum.saturating_add(bank.bytes))
    }

    /// The positions of the buffers that are live at a time, the largest first.
    pub fn live_at(&self, time: usize) -> Vec<usize> {
        let is_live = |it: &Buffer| it.first <= time && time <= it.last && it.size_bytes > 0;
        let mut live: Vec<usize> =
            (0..self.buffers.len()).filter(|index| is_live(&self.buffers[*index])).collect();
        live.sort_by_key(|index| std::cmp::Reverse(self.buffers[*index].size_bytes));
        live
    }
}

/// What the bytes of a file are for.
#[derive(Clone, Debug, Default)]
pub struct Flash {
    /// The constants of each layer. One that several layers read counts where it is read first.
    pub layers: Vec<Constants>,
    /// Bytes that no instruction can reach.
    pub dead_bytes: u64,
    /// All else: instructions, tensor descriptions, names, padding.
    pub program_bytes: u64,
}

/// The bytes of a layer's constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Constants {
    /// Weights.
    pub weights: u64,
    /// Biases or kernel sums.
    pub terms: u64,
    /// Multipliers and shifts.
    pub rescale: u64,
    /// Tables and whatever else.
    pub other: u64,
    /// Of those that an earlier layer reads too, and that count there.
    pub shared: u64,
}

impl Constants {
    /// The bytes that count for the layer.
    pub fn total(&self) -> u64 {
        self.weights + self.terms + self.rescale + self.other
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The program is refused or computed wrongly.
    Problem,
    /// It costs more than it needs to.
    Warning,
    /// Worth knowing.
    Note,
}

/// What deserves attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// The finding in a few words.
    pub title: String,
    /// What it means.
    pub text: String,
    /// What to do, if anything.
    pub remedy: Option<String>,
    /// The layers that it is about.
    pub layers: Vec<usize>,
}

/// What a runtime does with the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The runtime.
    pub runtime: &'static str,
    /// The instruction set of the kernels.
    pub isa: String,
    /// Whether the results are right.
    pub is_right: bool,
    /// The outcome in a few words.
    pub outcome: String,
    /// Why.
    pub reasons: Vec<String>,
}
