//! Writing a program.

mod builder;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::owned::{
    Chain, ContainerMetadata, Delegate, ExtraTensorInfo, Frame, Instruction, NamedData, Plan,
    Program, Tensor, TensorLocation, Value,
};
use crate::schema::{self, header};
use crate::value::{Allocation, ShapeDynamism};
use crate::{CONSTANT_ALIGNMENT, MAX_RANK, MAX_VERSION};
use builder::{Builder, Fields, Ref};

/// Alignment of delegates' data inside of the flatbuffer, as the schema has it.
const INLINE_ALIGNMENT: usize = 16;

/// Choices of [`write()`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Alignment in bytes of each segment from the start of the file: a power of two, at least
    /// [`constant_alignment`](Self::constant_alignment). Upstream's own default is 128.
    pub segment_alignment: usize,
    /// Alignment in bytes of each constant from the start of the file: a power of two.
    pub constant_alignment: usize,
}

impl Default for WriteOptions {
    /// The smallest file: 16 for both.
    fn default() -> Self {
        Self { segment_alignment: CONSTANT_ALIGNMENT, constant_alignment: CONSTANT_ALIGNMENT }
    }
}

/// Why a program cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// An alignment is no power of two, or segments are to be aligned less than constants.
    Alignment(WriteOptions),
    /// The schema version is above [`MAX_VERSION`].
    Version(u32),
    /// Buffer 0 of the constants or of a mutable segment is absent or not empty.
    ReservedBuffer,
    /// A tensor has more than [`MAX_RANK`] dimensions.
    Rank {
        /// Name of the plan.
        plan: String,
        /// Index of the tensor's value.
        value: usize,
        /// Its dimensions.
        rank: usize,
    },
    /// Two named data have the same name.
    DuplicateName(String),
    /// The file would be 2 GiB or more, the most that the format can address.
    TooLarge {
        /// Bytes that the file would have.
        bytes: usize,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alignment(options) => write!(
                f,
                "alignments must be powers of two, of segments ({}) no less than of constants ({})",
                options.segment_alignment, options.constant_alignment
            ),
            Self::Version(version) => {
                write!(f, "schema version {version} is newer than {MAX_VERSION}")
            }
            Self::ReservedBuffer => f.write_str(
                "buffer 0 of constants and of mutable segments is reserved: it must be there and \
                 be empty",
            ),
            Self::Rank { plan, value, rank } => write!(
                f,
                "value {value} of method `{plan}`: a tensor of {rank} dimensions, at most \
                 {MAX_RANK} are allowed"
            ),
            Self::DuplicateName(key) => write!(f, "two named data are called `{key}`"),
            Self::TooLarge { bytes } => {
                write!(f, "the program would have {bytes} bytes, below 2^31 are possible")
            }
        }
    }
}

impl core::error::Error for WriteError {}

/// Writes a program: headers, flatbuffer, then segments for constants, mutable data, delegates and
/// named data in this order.
///
/// Equal programs give equal bytes. Constants are written as they are, equal ones too: a tensor names
/// the one it means. Indices are not checked against the lists that they point into, as the format
/// gives them no meaning.
///
/// # Errors
///
/// Where the program breaks a rule of the format; nothing else can fail.
pub fn write(program: &Program, options: &WriteOptions) -> Result<Vec<u8>, WriteError> {
    check(program, options)?;
    let mut segments = Segments::new(options.segment_alignment);
    let mut builder = Builder::new();
    let root = write_program(&mut builder, &mut segments, program, options);
    let mut file = builder.finish(root, header::AT + header::LENGTH as usize);
    let program_size = file.len();
    let segment_base = if segments.data.is_empty() {
        0
    } else {
        program_size.next_multiple_of(options.segment_alignment)
    };
    let bytes = program_size.max(segment_base) + segments.data.len();
    if i32::try_from(bytes).is_err() {
        return Err(WriteError::TooLarge { bytes });
    }
    let mut put = |at: usize, bytes: &[u8]| file[at..][..bytes.len()].copy_from_slice(bytes);
    put(schema::IDENTIFIER_AT, &schema::IDENTIFIER);
    put(header::AT, &header::MAGIC);
    put(header::LENGTH_AT, &header::LENGTH.to_le_bytes());
    put(header::PROGRAM_SIZE_AT, &(program_size as u64).to_le_bytes());
    put(header::SEGMENT_BASE_AT, &(segment_base as u64).to_le_bytes());
    put(header::SEGMENT_SIZE_AT, &(segments.data.len() as u64).to_le_bytes());
    file.resize(program_size.max(segment_base), 0);
    file.extend_from_slice(&segments.data);
    Ok(file)
}

fn check(program: &Program, options: &WriteOptions) -> Result<(), WriteError> {
    let WriteOptions { segment_alignment, constant_alignment } = *options;
    if !segment_alignment.is_power_of_two()
        || !constant_alignment.is_power_of_two()
        || segment_alignment < constant_alignment
    {
        return Err(WriteError::Alignment(*options));
    }
    if program.version > MAX_VERSION {
        return Err(WriteError::Version(program.version));
    }
    let mut reserved = program.mutable_segments.iter().chain([&program.constants]);
    if !reserved.all(|buffers| buffers.first().is_some_and(Vec::is_empty)) {
        return Err(WriteError::ReservedBuffer);
    }
    for plan in &program.plans {
        for (value, content) in plan.values.iter().enumerate() {
            let Value::Tensor(tensor) = content else { continue };
            let rank = tensor.sizes.len().max(tensor.dim_order.len());
            if rank > MAX_RANK {
                return Err(WriteError::Rank { plan: plan.name.clone(), value, rank });
            }
        }
    }
    let mut names = BTreeSet::new();
    match program.named_data.iter().find(|entry| !names.insert(&entry.key)) {
        None => Ok(()),
        Some(twice) => Err(WriteError::DuplicateName(twice.key.clone())),
    }
}

/// The segments so far.
struct Segments<'a> {
    alignment: usize,
    data: Vec<u8>,
    /// Offset and size of each.
    spans: Vec<(u64, u64)>,
    /// Index of the segment that has exactly these bytes.
    shared: BTreeMap<&'a [u8], u32>,
}

impl<'a> Segments<'a> {
    fn new(alignment: usize) -> Self {
        Self { alignment, data: Vec::new(), spans: Vec::new(), shared: BTreeMap::new() }
    }

    /// Adds a segment and returns its index.
    fn add(&mut self, bytes: &[u8]) -> u32 {
        // An empty segment needs no place of its own, so no padding before it.
        if !bytes.is_empty() {
            self.data.resize(self.data.len().next_multiple_of(self.alignment), 0);
        }
        self.spans.push((self.data.len() as u64, bytes.len() as u64));
        self.data.extend_from_slice(bytes);
        (self.spans.len() - 1) as u32
    }

    /// Adds a segment unless one was shared before that has the same bytes.
    fn share(&mut self, bytes: &'a [u8]) -> u32 {
        match self.shared.get(bytes) {
            Some(&index) => index,
            None => {
                let index = self.add(bytes);
                self.shared.insert(bytes, index);
                index
            }
        }
    }
}

fn write_program<'a>(
    builder: &mut Builder,
    segments: &mut Segments<'a>,
    program: &'a Program,
    options: &WriteOptions,
) -> Ref {
    use schema::program::*;
    // Upstream's runtime takes a program without this table for one of the old kind, and refuses it.
    let constant_segment =
        write_subsegments(builder, segments, &program.constants, options.constant_alignment);
    let mutable: Vec<Ref> = program
        .mutable_segments
        .iter()
        // This data is copied before use, so its place in the file needs no alignment.
        .map(|buffers| write_subsegments(builder, segments, buffers, 1))
        .collect();
    let mutable_segments = optional_vector(builder, &mutable);
    let plans: Vec<Ref> =
        program.plans.iter().map(|plan| write_plan(builder, segments, plan)).collect();
    let plans = builder.vector(&plans);
    let named_data = write_named_data(builder, segments, &program.named_data);
    let empty_delegate_data = program
        .plans
        .iter()
        .flat_map(|plan| &plan.delegates)
        .any(|delegate| delegate.data.is_empty())
        .then(|| {
            let bytes = builder.bytes(&[], INLINE_ALIGNMENT);
            builder.table(Fields::new().reference(schema::inline_data::BYTES, bytes))
        });
    let delegate_data = builder.vector(empty_delegate_data.as_slice());
    let constant_buffer = builder.vector(&[]);
    let spans = write_spans(builder, &segments.spans);
    builder.table(
        Fields::new()
            .scalar(VERSION, program.version, 0)
            .reference(EXECUTION_PLAN, plans)
            .reference(CONSTANT_BUFFER, constant_buffer)
            .reference(BACKEND_DELEGATE_DATA, delegate_data)
            .reference(SEGMENTS, spans)
            .reference(CONSTANT_SEGMENT, constant_segment)
            .optional(MUTABLE_DATA_SEGMENTS, mutable_segments)
            .optional(NAMED_DATA, named_data),
    )
}

fn write_named_data<'a>(
    builder: &mut Builder,
    segments: &mut Segments<'a>,
    entries: &'a [NamedData],
) -> Option<Ref> {
    use schema::named_data::*;
    let entries: Vec<Ref> = entries
        .iter()
        .map(|entry| {
            let segment = segments.share(&entry.data);
            let key = builder.string(&entry.key);
            builder.table(Fields::new().reference(KEY, key).scalar(SEGMENT_INDEX, segment, 0))
        })
        .collect();
    optional_vector(builder, &entries)
}

/// Writes where each segment is: offset and size.
fn write_spans(builder: &mut Builder, spans: &[(u64, u64)]) -> Ref {
    use schema::data_segment::*;
    let spans: Vec<Ref> = spans
        .iter()
        .map(|&(offset, size)| {
            builder.table(Fields::new().scalar(OFFSET, offset, 0).scalar(SIZE, size, 0))
        })
        .collect();
    builder.vector(&spans)
}

/// Puts buffers into one segment, each aligned, and writes their offsets.
fn write_subsegments(
    builder: &mut Builder,
    segments: &mut Segments<'_>,
    buffers: &[Vec<u8>],
    alignment: usize,
) -> Ref {
    use schema::subsegment_offsets::*;
    let mut data = Vec::new();
    let mut offsets = Vec::with_capacity(buffers.len());
    for buffer in buffers {
        // An offset must lie inside of the segment, even one of an empty buffer at its end.
        data.resize(data.len().next_multiple_of(alignment), 0);
        offsets.push(data.len() as u64);
        data.extend_from_slice(buffer);
    }
    let segment = segments.add(&data);
    let offsets = builder.scalars(&offsets);
    builder.table(Fields::new().scalar(SEGMENT_INDEX, segment, 0).reference(OFFSETS, offsets))
}

fn write_plan<'a>(builder: &mut Builder, segments: &mut Segments<'a>, plan: &'a Plan) -> Ref {
    use schema::execution_plan::*;
    let name = builder.string(&plan.name);
    let container = plan.container.as_ref().map(|container| write_container(builder, container));
    let values: Vec<Ref> = plan.values.iter().map(|value| write_value(builder, value)).collect();
    let values = builder.vector(&values);
    let inputs = builder.scalars(&plan.inputs);
    let outputs = builder.scalars(&plan.outputs);
    let chains: Vec<Ref> = plan.chains.iter().map(|chain| write_chain(builder, chain)).collect();
    let chains = builder.vector(&chains);
    let operators: Vec<Ref> = plan
        .operators
        .iter()
        .map(|operator| {
            use schema::operator::*;
            let name = builder.string(&operator.name);
            let overload = builder.string(&operator.overload);
            builder.table(Fields::new().reference(NAME, name).reference(OVERLOAD, overload))
        })
        .collect();
    let operators = builder.vector(&operators);
    let delegates: Vec<Ref> =
        plan.delegates.iter().map(|delegate| write_delegate(builder, segments, delegate)).collect();
    let delegates = builder.vector(&delegates);
    let sizes = builder.scalars(&plan.non_const_buffer_sizes);
    let devices: Vec<Ref> = plan
        .non_const_buffer_devices
        .iter()
        .map(|device| {
            use schema::non_const_buffer_device::*;
            builder.table(
                Fields::new()
                    .scalar(BUFFER_IDX, device.buffer_idx, 0)
                    .scalar(DEVICE_TYPE, device.device_type, 0)
                    .scalar(DEVICE_INDEX, device.device_index, 0),
            )
        })
        .collect();
    let devices = optional_vector(builder, &devices);
    builder.table(
        Fields::new()
            .reference(NAME, name)
            .optional(CONTAINER_META_TYPE, container)
            .reference(VALUES, values)
            .reference(INPUTS, inputs)
            .reference(OUTPUTS, outputs)
            .reference(CHAINS, chains)
            .reference(OPERATORS, operators)
            .reference(DELEGATES, delegates)
            .reference(NON_CONST_BUFFER_SIZES, sizes)
            .optional(NON_CONST_BUFFER_DEVICE, devices),
    )
}

fn write_container(builder: &mut Builder, container: &ContainerMetadata) -> Ref {
    use schema::container_metadata::*;
    let inputs = builder.string(&container.inputs);
    let outputs = builder.string(&container.outputs);
    builder
        .table(Fields::new().reference(ENCODED_INP_STR, inputs).reference(ENCODED_OUT_STR, outputs))
}

fn write_value(builder: &mut Builder, value: &Value) -> Ref {
    use schema::kernel_types::*;
    let list = |content| Fields::new().reference(schema::boxed::CONTENT, content);
    let (code, fields) = match value {
        Value::Null => (NULL, Fields::new()),
        Value::Int(int) => (INT, Fields::new().scalar(schema::boxed::CONTENT, *int, 0)),
        Value::Bool(bool) => (BOOL, Fields::new().scalar(schema::boxed::CONTENT, *bool, false)),
        // The bits, so that −0 is not taken for the default and NaN keeps its payload.
        Value::Double(double) => {
            (DOUBLE, Fields::new().scalar(schema::boxed::CONTENT, double.to_bits(), 0))
        }
        Value::Tensor(tensor) => (TENSOR, write_tensor(builder, tensor)),
        Value::String(string) => (STRING, list(builder.string(string))),
        Value::IntList(items) => (INT_LIST, list(builder.scalars(items))),
        Value::DoubleList(items) => (DOUBLE_LIST, list(builder.scalars(items))),
        Value::BoolList(items) => (BOOL_LIST, list(builder.scalars(items))),
        Value::TensorList(items) => (TENSOR_LIST, list(builder.scalars(items))),
        Value::OptionalTensorList(items) => (OPTIONAL_TENSOR_LIST, list(builder.scalars(items))),
    };
    let content = builder.table(fields);
    builder.table(
        Fields::new()
            .scalar(schema::e_value::VAL_TYPE, code, 0)
            .reference(schema::e_value::VAL, content),
    )
}

fn write_tensor(builder: &mut Builder, tensor: &Tensor) -> Fields {
    use schema::tensor::*;
    let sizes = builder.scalars(&tensor.sizes);
    let dim_order = builder.bytes(&tensor.dim_order, 1);
    let allocation = tensor.allocation.map(|allocation| write_allocation(builder, allocation));
    let info = tensor.extra_tensor_info.as_ref().map(|info| write_extra_info(builder, info));
    let dynamism: i8 = match tensor.shape_dynamism {
        ShapeDynamism::Static => 0,
        ShapeDynamism::DynamicBound => 1,
        ShapeDynamism::DynamicUnbound => 2,
    };
    Fields::new()
        .scalar(SCALAR_TYPE, tensor.scalar_type.0, 0)
        .scalar(STORAGE_OFFSET, tensor.storage_offset, 0)
        .reference(SIZES, sizes)
        .reference(DIM_ORDER, dim_order)
        .scalar(REQUIRES_GRAD, tensor.requires_grad, false)
        .scalar(DATA_BUFFER_IDX, tensor.data_buffer_idx, 0)
        .optional(ALLOCATION_INFO, allocation)
        .scalar(LAYOUT, tensor.layout, 0)
        .scalar(SHAPE_DYNAMISM, dynamism, 0)
        .optional(EXTRA_TENSOR_INFO, info)
}

fn write_allocation(builder: &mut Builder, allocation: Allocation) -> Ref {
    use schema::allocation_details::*;
    builder.table(
        Fields::new()
            .scalar(MEMORY_ID, allocation.memory_id, 0)
            .scalar(MEMORY_OFFSET_LOW, allocation.offset as u32, 0)
            .scalar(MEMORY_OFFSET_HIGH, (allocation.offset >> u32::BITS) as u32, 0),
    )
}

fn write_extra_info(builder: &mut Builder, info: &ExtraTensorInfo) -> Ref {
    use schema::extra_tensor_info::*;
    let name = info.fully_qualified_name.as_ref().map(|name| builder.string(name));
    let location: i8 = match info.location {
        TensorLocation::Segment => 0,
        TensorLocation::External => 1,
    };
    builder.table(
        Fields::new()
            .scalar(MUTABLE_DATA_SEGMENTS_IDX, info.mutable_data_segments_idx, 0)
            .optional(FULLY_QUALIFIED_NAME, name)
            .scalar(LOCATION, location, 0)
            .scalar(DEVICE_TYPE, info.device_type, 0)
            .scalar(DEVICE_INDEX, info.device_index, 0),
    )
}

fn write_chain(builder: &mut Builder, chain: &Chain) -> Ref {
    use schema::chain::*;
    let inputs = builder.scalars(&chain.inputs);
    let outputs = builder.scalars(&chain.outputs);
    let instructions: Vec<Ref> = chain
        .instructions
        .iter()
        .map(|instruction| write_instruction(builder, instruction))
        .collect();
    let instructions = builder.vector(&instructions);
    let stacktrace: Vec<Ref> =
        chain.stacktrace.iter().map(|frames| write_frames(builder, frames)).collect();
    let stacktrace = optional_vector(builder, &stacktrace);
    builder.table(
        Fields::new()
            .reference(INPUTS, inputs)
            .reference(OUTPUTS, outputs)
            .reference(INSTRUCTIONS, instructions)
            .optional(STACKTRACE, stacktrace),
    )
}

fn write_instruction(builder: &mut Builder, instruction: &Instruction) -> Ref {
    use schema::instruction_arguments::*;
    use schema::{delegate_call, free_call, jump_false_call, kernel_call, move_call};
    let fields = Fields::new();
    let (code, fields) = match instruction {
        Instruction::KernelCall { op_index, args } => (
            KERNEL_CALL,
            fields
                .scalar(kernel_call::OP_INDEX, *op_index, 0)
                .reference(kernel_call::ARGS, builder.scalars(args)),
        ),
        Instruction::DelegateCall { delegate_index, args } => (
            DELEGATE_CALL,
            fields
                .scalar(delegate_call::DELEGATE_INDEX, *delegate_index, 0)
                .reference(delegate_call::ARGS, builder.scalars(args)),
        ),
        Instruction::MoveCall { move_from, move_to } => (
            MOVE_CALL,
            fields.scalar(move_call::MOVE_FROM, *move_from, 0).scalar(
                move_call::MOVE_TO,
                *move_to,
                0,
            ),
        ),
        Instruction::JumpFalseCall { cond_value_index, destination_instruction } => (
            JUMP_FALSE_CALL,
            fields.scalar(jump_false_call::COND_VALUE_INDEX, *cond_value_index, 0).scalar(
                jump_false_call::DESTINATION_INSTRUCTION,
                *destination_instruction,
                0,
            ),
        ),
        Instruction::FreeCall { value_index } => {
            (FREE_CALL, fields.scalar(free_call::VALUE_INDEX, *value_index, 0))
        }
    };
    let content = builder.table(fields);
    builder.table(
        Fields::new()
            .scalar(schema::instruction::INSTR_ARGS_TYPE, code, 0)
            .reference(schema::instruction::INSTR_ARGS, content),
    )
}

fn write_frames(builder: &mut Builder, frames: &[Frame]) -> Ref {
    let frames: Vec<Ref> = frames
        .iter()
        .map(|frame| {
            use schema::frame::*;
            let filename = builder.string(&frame.filename);
            let name = builder.string(&frame.name);
            let context = builder.string(&frame.context);
            builder.table(
                Fields::new()
                    .reference(FILENAME, filename)
                    .scalar(LINENO, frame.lineno, 0)
                    .reference(NAME, name)
                    .reference(CONTEXT, context),
            )
        })
        .collect();
    let frames = builder.vector(&frames);
    builder.table(Fields::new().reference(schema::frame_list::ITEMS, frames))
}

fn write_delegate<'a>(
    builder: &mut Builder,
    segments: &mut Segments<'a>,
    delegate: &'a Delegate,
) -> Ref {
    use schema::backend_delegate::*;
    use schema::{backend_delegate_data_reference as reference, compile_spec, data_location};
    let id = builder.string(&delegate.id);
    // Like upstream: empty data stays inline, where all of it is entry 0.
    let (location, index) = if delegate.data.is_empty() {
        (data_location::INLINE, 0)
    } else {
        (data_location::SEGMENT, segments.share(&delegate.data))
    };
    let processed = builder.table(
        Fields::new().scalar(reference::LOCATION, location, data_location::INLINE).scalar(
            reference::INDEX,
            index,
            0,
        ),
    );
    let specs: Vec<Ref> = delegate
        .compile_specs
        .iter()
        .map(|spec| {
            let key = builder.string(&spec.key);
            let value = builder.bytes(&spec.value, 1);
            builder.table(
                Fields::new()
                    .reference(compile_spec::KEY, key)
                    .reference(compile_spec::VALUE, value),
            )
        })
        .collect();
    let specs = builder.vector(&specs);
    builder.table(
        Fields::new()
            .reference(ID, id)
            .reference(PROCESSED, processed)
            .reference(COMPILE_SPECS, specs),
    )
}

/// A vector that the format lets be absent, where it is empty.
fn optional_vector(builder: &mut Builder, items: &[Ref]) -> Option<Ref> {
    (!items.is_empty()).then(|| builder.vector(items))
}
