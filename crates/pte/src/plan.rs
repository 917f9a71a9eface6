//! A plan: one method of a program, with its values and instructions.

use crate::error::{Error, ErrorKind};
use crate::flatbuffer::{Scalars, Table, Text, Vector, View};
use crate::schema::{
    backend_delegate, backend_delegate_data_reference, chain, compile_spec, container_metadata,
    data_location, delegate_call, execution_plan, frame, frame_list, free_call, instruction,
    instruction_arguments, jump_false_call, kernel_call, move_call, non_const_buffer_device,
    operator,
};
use crate::value::{Tensor, Value};

/// One method of a program (schema `ExecutionPlan`).
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    table: Table<'a>,
    values: Vector<'a, Value<'a>>,
}

impl<'a> View<'a> for Plan<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self { table, values: table.vector(execution_plan::VALUES)? })
    }
}

impl<'a> Plan<'a> {
    /// Name of the method.
    pub fn name(&self) -> Result<Text<'a>, Error> {
        self.table.text(execution_plan::NAME)
    }

    /// How the model's own inputs and outputs are laid out as flat lists, `None` where the file does
    /// not say.
    pub fn container(&self) -> Result<Option<ContainerMetadata<'a>>, Error> {
        let Some(table) = self.table.table(execution_plan::CONTAINER_META_TYPE)? else {
            return Ok(None);
        };
        Ok(Some(ContainerMetadata {
            inputs: table.text(container_metadata::ENCODED_INP_STR)?,
            outputs: table.text(container_metadata::ENCODED_OUT_STR)?,
        }))
    }

    /// All values.
    pub fn values(&self) -> Vector<'a, Value<'a>> {
        self.values
    }

    /// The value with this index, as instructions and lists name it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Index`] where there is none, else what is wrong with the value.
    pub fn value(&self, index: i32) -> Result<Value<'a>, Error> {
        // A negative index becomes one beyond any list.
        self.values.get(index as u32 as usize)
    }

    /// The tensor with this value index.
    ///
    /// # Errors
    ///
    /// As for [`value`](Self::value), and [`ErrorKind::ValueType`] where it is something else.
    pub fn tensor(&self, index: i32) -> Result<Tensor<'a>, Error> {
        match self.value(index)? {
            Value::Tensor(tensor) => Ok(tensor),
            _ => Err(self.table.error(ErrorKind::ValueType)),
        }
    }

    /// The tensor with this value index, or `None` where the index is −1: an item of a
    /// [`Value::OptionalTensorList`].
    ///
    /// # Errors
    ///
    /// As for [`tensor`](Self::tensor).
    pub fn optional_tensor(&self, index: i32) -> Result<Option<Tensor<'a>>, Error> {
        if index == -1 { Ok(None) } else { self.tensor(index).map(Some) }
    }

    /// The integers of a [`Value::IntList`], whose items are indices of integer values.
    ///
    /// # Errors
    ///
    /// Per item: [`ErrorKind::Index`] where it is no value's index, [`ErrorKind::ValueType`] where
    /// that value is no integer.
    pub fn ints(
        &self,
        items: Scalars<'a, i64>,
    ) -> impl ExactSizeIterator<Item = Result<i64, Error>> + use<'a> {
        let plan = *self;
        items.iter().map(move |item| {
            let index = i32::try_from(item).map_err(|_| plan.table.error(ErrorKind::Index))?;
            match plan.value(index)? {
                Value::Int(int) => Ok(int),
                _ => Err(plan.table.error(ErrorKind::ValueType)),
            }
        })
    }

    /// Indices of the values that the caller gives.
    pub fn inputs(&self) -> Result<Scalars<'a, i32>, Error> {
        self.table.scalars(execution_plan::INPUTS)
    }

    /// Indices of the values that the caller gets.
    pub fn outputs(&self) -> Result<Scalars<'a, i32>, Error> {
        self.table.scalars(execution_plan::OUTPUTS)
    }

    /// Sequences of instructions. Upstream writes one per plan.
    pub fn chains(&self) -> Result<Vector<'a, Chain<'a>>, Error> {
        self.table.vector(execution_plan::CHAINS)
    }

    /// The instructions of the chain with this index, in the order of execution.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] where there is no list of them, or none in it although there are operators to call: the file has lost
    /// them, and the method would leave in its outputs what was in their memory.
    pub fn instructions(&self, chain: usize) -> Result<Vector<'a, Instruction<'a>>, Error> {
        let chain = self.chains()?.get(chain)?;
        let instructions = chain.instructions()?;
        if instructions.is_empty() && !self.operators()?.is_empty() {
            return Err(chain.table.error(ErrorKind::Missing));
        }
        Ok(instructions)
    }

    /// Operators that the instructions call.
    pub fn operators(&self) -> Result<Vector<'a, Operator<'a>>, Error> {
        self.table.vector(execution_plan::OPERATORS)
    }

    /// The operator with this index, as instructions name it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Index`] where there is none.
    pub fn operator(&self, index: i32) -> Result<Operator<'a>, Error> {
        self.operators()?.get(index as u32 as usize)
    }

    /// Parts of the program that were compiled for some other backend.
    pub fn delegates(&self) -> Result<Vector<'a, Delegate<'a>>, Error> {
        self.table.vector(execution_plan::DELEGATES)
    }

    /// Bytes of each buffer of planned memory. Entry 0 is reserved: tensors are placed in the
    /// buffers from 1 on.
    pub fn non_const_buffer_sizes(&self) -> Result<Scalars<'a, i64>, Error> {
        self.table.scalars(execution_plan::NON_CONST_BUFFER_SIZES)
    }

    /// Devices of those buffers that are not on the CPU.
    pub fn non_const_buffer_devices(&self) -> Result<Vector<'a, BufferDevice>, Error> {
        self.table.vector(execution_plan::NON_CONST_BUFFER_DEVICE)
    }
}

/// How a model's own inputs and outputs are laid out as flat lists: PyTorch's tree specifications,
/// as text.
#[derive(Clone, Copy, Debug)]
pub struct ContainerMetadata<'a> {
    /// Specification of the inputs.
    pub inputs: Text<'a>,
    /// Specification of the outputs.
    pub outputs: Text<'a>,
}

/// A sequence of instructions.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    table: Table<'a>,
}

impl<'a> View<'a> for Chain<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self { table })
    }
}

impl<'a> Chain<'a> {
    /// Indices of the values that the chain takes. Upstream leaves this empty.
    pub fn inputs(&self) -> Result<Scalars<'a, i32>, Error> {
        self.table.scalars(chain::INPUTS)
    }

    /// Indices of the values that the chain gives. Upstream leaves this empty.
    pub fn outputs(&self) -> Result<Scalars<'a, i32>, Error> {
        self.table.scalars(chain::OUTPUTS)
    }

    /// The instructions, in the order of execution.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Missing`] where there is no list of them, as upstream has it.
    pub fn instructions(&self) -> Result<Vector<'a, Instruction<'a>>, Error> {
        self.table.required_vector(chain::INSTRUCTIONS)
    }

    /// The source lines of each instruction; empty where the program was made without.
    pub fn stacktrace(&self) -> Result<Vector<'a, FrameList<'a>>, Error> {
        self.table.vector(chain::STACKTRACE)
    }
}

/// One step of a chain. All numbers called value are indices of values of the plan.
#[derive(Clone, Copy, Debug)]
pub enum Instruction<'a> {
    /// Call an operator.
    KernelCall {
        /// Index of the operator.
        op_index: i32,
        /// The values of its arguments in the order of the operator's schema, `out` included, then
        /// of its results. Upstream's emitter gives an `out` operator's result the very value of its
        /// `out` argument, so that index comes twice.
        args: Scalars<'a, i32>,
    },
    /// Call a delegate.
    DelegateCall {
        /// Index of the delegate.
        delegate_index: i32,
        /// The values of its inputs, then of its outputs.
        args: Scalars<'a, i32>,
    },
    /// Copy one value to another.
    MoveCall {
        /// Value to copy from.
        move_from: i32,
        /// Value to copy to.
        move_to: i32,
    },
    /// Continue at another instruction if a value is false.
    JumpFalseCall {
        /// Value with the condition.
        cond_value_index: i32,
        /// Index of the instruction to continue at.
        destination_instruction: i32,
    },
    /// Free the memory of a tensor.
    FreeCall {
        /// Value of the tensor.
        value_index: i32,
    },
}

impl<'a> View<'a> for Instruction<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        let code: u8 = table.scalar(instruction::INSTR_ARGS_TYPE, 0)?;
        let content = table.required_table(instruction::INSTR_ARGS)?;
        Ok(match code {
            instruction_arguments::KERNEL_CALL => Self::KernelCall {
                op_index: content.scalar(kernel_call::OP_INDEX, 0)?,
                args: content.scalars(kernel_call::ARGS)?,
            },
            instruction_arguments::DELEGATE_CALL => Self::DelegateCall {
                delegate_index: content.scalar(delegate_call::DELEGATE_INDEX, 0)?,
                args: content.scalars(delegate_call::ARGS)?,
            },
            instruction_arguments::MOVE_CALL => Self::MoveCall {
                move_from: content.scalar(move_call::MOVE_FROM, 0)?,
                move_to: content.scalar(move_call::MOVE_TO, 0)?,
            },
            instruction_arguments::JUMP_FALSE_CALL => Self::JumpFalseCall {
                cond_value_index: content.scalar(jump_false_call::COND_VALUE_INDEX, 0)?,
                destination_instruction: content
                    .scalar(jump_false_call::DESTINATION_INSTRUCTION, 0)?,
            },
            instruction_arguments::FREE_CALL => {
                Self::FreeCall { value_index: content.scalar(free_call::VALUE_INDEX, 0)? }
            }
            _ => return Err(table.error(ErrorKind::Code)),
        })
    }
}

/// The name of an operator, such as `cortex_m::quantized_linear` with overload `out`.
#[derive(Clone, Copy, Debug)]
pub struct Operator<'a> {
    /// Name with namespace.
    pub name: Text<'a>,
    /// Overload, may be empty.
    pub overload: Text<'a>,
}

impl<'a> View<'a> for Operator<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self { name: table.text(operator::NAME)?, overload: table.text(operator::OVERLOAD)? })
    }
}

impl Operator<'_> {
    /// Whether this is the operator of this name and overload.
    pub fn is(&self, name: &str, overload: &str) -> bool {
        self.name == name && self.overload == overload
    }
}

/// The source lines of one instruction, innermost last.
#[derive(Clone, Copy, Debug)]
pub struct FrameList<'a> {
    /// The lines.
    pub frames: Vector<'a, Frame<'a>>,
}

impl<'a> View<'a> for FrameList<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self { frames: table.vector(frame_list::ITEMS)? })
    }
}

/// One source line of the model.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// File of the line.
    pub filename: Text<'a>,
    /// Number of the line, from 1.
    pub lineno: i32,
    /// Function that it is in.
    pub name: Text<'a>,
    /// The line itself.
    pub context: Text<'a>,
}

impl<'a> View<'a> for Frame<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self {
            filename: table.text(frame::FILENAME)?,
            lineno: table.scalar(frame::LINENO, 0)?,
            name: table.text(frame::NAME)?,
            context: table.text(frame::CONTEXT)?,
        })
    }
}

/// A part of the program that was compiled for some other backend (schema `BackendDelegate`).
#[derive(Clone, Copy, Debug)]
pub struct Delegate<'a> {
    /// Name of the backend.
    pub id: Text<'a>,
    /// Where the backend's own program is; see
    /// [`Program::delegate_data`](crate::Program::delegate_data).
    pub processed: DataReference,
    /// Options of the compilation.
    pub compile_specs: Vector<'a, CompileSpec<'a>>,
}

impl<'a> View<'a> for Delegate<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        use backend_delegate_data_reference::{INDEX, LOCATION};
        let processed = table.required_table(backend_delegate::PROCESSED)?;
        let index = processed.scalar(INDEX, 0)?;
        Ok(Self {
            id: table.text(backend_delegate::ID)?,
            processed: match processed.scalar(LOCATION, data_location::INLINE)? {
                data_location::INLINE => DataReference::Inline(index),
                data_location::SEGMENT => DataReference::Segment(index),
                _ => return Err(processed.error(ErrorKind::Code)),
            },
            compile_specs: table.vector(backend_delegate::COMPILE_SPECS)?,
        })
    }
}

/// Where a delegate's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataReference {
    /// In the flatbuffer: index of the program's inline delegate data.
    Inline(u32),
    /// In a segment of this index.
    Segment(u32),
}

/// An option that a delegate was compiled with.
#[derive(Clone, Copy, Debug)]
pub struct CompileSpec<'a> {
    /// Name of the option.
    pub key: Text<'a>,
    /// Its value, in the backend's own encoding.
    pub value: &'a [u8],
}

impl<'a> View<'a> for CompileSpec<'a> {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self { key: table.text(compile_spec::KEY)?, value: table.bytes(compile_spec::VALUE)? })
    }
}

/// Device of a buffer of planned memory (schema `NonConstBufferDevice`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BufferDevice {
    /// Index into [`Plan::non_const_buffer_sizes`].
    pub buffer_idx: i32,
    /// Type of the device: 0 is the CPU, 1 is CUDA.
    pub device_type: i8,
    /// Number of the device among those of its type.
    pub device_index: i8,
}

impl<'a> View<'a> for BufferDevice {
    fn view(table: Table<'a>) -> Result<Self, Error> {
        Ok(Self {
            buffer_idx: table.scalar(non_const_buffer_device::BUFFER_IDX, 0)?,
            device_type: table.scalar(non_const_buffer_device::DEVICE_TYPE, 0)?,
            device_index: table.scalar(non_const_buffer_device::DEVICE_INDEX, 0)?,
        })
    }
}
