//! Where things are in a `.pte` file: the one table that reader and writer share.
//!
//! Facts from ExecuTorch's `schema/program.fbs` and `docs/source/pte-file-format.md`. A field of a
//! flatbuffer table is known by its number, in the order of declaration; a union takes two numbers,
//! the first for its type code. Constants here are *slots*: byte positions in the vtable, that is
//! `4 + 2 × number`.

/// File identifier at byte 4: format generation 12.
pub(crate) const IDENTIFIER: [u8; 4] = *b"ET12";
/// Byte position of [`IDENTIFIER`].
pub(crate) const IDENTIFIER_AT: usize = 4;

/// The optional header that ExecuTorch puts behind the flatbuffer's own eight bytes.
pub(crate) mod header {
    /// Byte position of the header in the file.
    pub(crate) const AT: usize = 8;
    /// First bytes of the header.
    pub(crate) const MAGIC: [u8; 4] = *b"eh00";
    /// Position of the header's own length (u32), from the file's start like all below.
    pub(crate) const LENGTH_AT: usize = AT + 4;
    /// Position of the size of headers and flatbuffer together (u64).
    pub(crate) const PROGRAM_SIZE_AT: usize = AT + 8;
    /// Position of the first segment's position (u64), 0 without segments.
    pub(crate) const SEGMENT_BASE_AT: usize = AT + 16;
    /// Position of the size of all segments with the padding between them (u64).
    pub(crate) const SEGMENT_SIZE_AT: usize = AT + 24;
    /// Length of a header without the size of the segments: files made before ExecuTorch 1.0.
    pub(crate) const LENGTH_MIN: u32 = 24;
    /// Length of a header with all fields.
    pub(crate) const LENGTH: u32 = 32;
}

/// Slot of the field with this number.
const fn slot(number: u16) -> u16 {
    4 + 2 * number
}

macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident { $($field:ident = $number:literal),* $(,)? })*) => {
        $($(#[$doc])* pub(crate) mod $table {
            $(pub(crate) const $field: u16 = super::slot($number);)*
        })*
    };
}

tables! {
    /// The root table.
    program {
        VERSION = 0, EXECUTION_PLAN = 1, CONSTANT_BUFFER = 2, BACKEND_DELEGATE_DATA = 3,
        SEGMENTS = 4, CONSTANT_SEGMENT = 5, MUTABLE_DATA_SEGMENTS = 6, NAMED_DATA = 7,
    }
    /// One method of the program.
    execution_plan {
        NAME = 0, CONTAINER_META_TYPE = 1, VALUES = 2, INPUTS = 3, OUTPUTS = 4, CHAINS = 5,
        OPERATORS = 6, DELEGATES = 7, NON_CONST_BUFFER_SIZES = 8, NON_CONST_BUFFER_DEVICE = 9,
    }
    container_metadata { ENCODED_INP_STR = 0, ENCODED_OUT_STR = 1 }
    e_value { VAL_TYPE = 0, VAL = 1 }
    /// `Int`, `Bool`, `Double`, `String` and the lists: one field each.
    boxed { CONTENT = 0 }
    tensor {
        SCALAR_TYPE = 0, STORAGE_OFFSET = 1, SIZES = 2, DIM_ORDER = 3, REQUIRES_GRAD = 4,
        DATA_BUFFER_IDX = 5, ALLOCATION_INFO = 6, LAYOUT = 7, SHAPE_DYNAMISM = 8,
        EXTRA_TENSOR_INFO = 9,
    }
    allocation_details { MEMORY_ID = 0, MEMORY_OFFSET_LOW = 1, MEMORY_OFFSET_HIGH = 2 }
    extra_tensor_info {
        MUTABLE_DATA_SEGMENTS_IDX = 0, FULLY_QUALIFIED_NAME = 1, LOCATION = 2, DEVICE_TYPE = 3,
        DEVICE_INDEX = 4,
    }
    operator { NAME = 0, OVERLOAD = 1 }
    chain { INPUTS = 0, OUTPUTS = 1, INSTRUCTIONS = 2, STACKTRACE = 3 }
    instruction { INSTR_ARGS_TYPE = 0, INSTR_ARGS = 1 }
    kernel_call { OP_INDEX = 0, ARGS = 1 }
    delegate_call { DELEGATE_INDEX = 0, ARGS = 1 }
    move_call { MOVE_FROM = 0, MOVE_TO = 1 }
    jump_false_call { COND_VALUE_INDEX = 0, DESTINATION_INSTRUCTION = 1 }
    free_call { VALUE_INDEX = 0 }
    frame { FILENAME = 0, LINENO = 1, NAME = 2, CONTEXT = 3 }
    frame_list { ITEMS = 0 }
    backend_delegate { ID = 0, PROCESSED = 1, COMPILE_SPECS = 2 }
    backend_delegate_data_reference { LOCATION = 0, INDEX = 1 }
    compile_spec { KEY = 0, VALUE = 1 }
    non_const_buffer_device { BUFFER_IDX = 0, DEVICE_TYPE = 1, DEVICE_INDEX = 2 }
    /// `Buffer` and `BackendDelegateInlineData`: bytes inside of the flatbuffer.
    inline_data { BYTES = 0 }
    data_segment { OFFSET = 0, SIZE = 1 }
    subsegment_offsets { SEGMENT_INDEX = 0, OFFSETS = 1 }
    named_data { KEY = 0, SEGMENT_INDEX = 1 }
}

/// Type codes of the union `KernelTypes`.
pub(crate) mod kernel_types {
    pub(crate) const NULL: u8 = 1;
    pub(crate) const INT: u8 = 2;
    pub(crate) const BOOL: u8 = 3;
    pub(crate) const DOUBLE: u8 = 4;
    pub(crate) const TENSOR: u8 = 5;
    pub(crate) const STRING: u8 = 6;
    pub(crate) const INT_LIST: u8 = 7;
    pub(crate) const DOUBLE_LIST: u8 = 8;
    pub(crate) const BOOL_LIST: u8 = 9;
    pub(crate) const TENSOR_LIST: u8 = 10;
    pub(crate) const OPTIONAL_TENSOR_LIST: u8 = 11;
}

/// Type codes of the union `InstructionArguments`.
pub(crate) mod instruction_arguments {
    pub(crate) const KERNEL_CALL: u8 = 1;
    pub(crate) const DELEGATE_CALL: u8 = 2;
    pub(crate) const MOVE_CALL: u8 = 3;
    pub(crate) const JUMP_FALSE_CALL: u8 = 4;
    pub(crate) const FREE_CALL: u8 = 5;
}

/// Codes of the enum `DataLocation`.
pub(crate) mod data_location {
    pub(crate) const INLINE: i8 = 0;
    pub(crate) const SEGMENT: i8 = 1;
}
