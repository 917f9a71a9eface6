//! An instruction's arguments, read from the file and checked.

use crate::context::Context;
use crate::error::{ArgumentCause, OperatorProblem};
use core::marker::PhantomData;
use cortado_contract::value::{ArgumentReader, IntArgument, IntList, TensorList, TextArgument};
use cortado_kernels::operand::{Lists, Loaded, LoadedTensor};
use cortado_pte::{Plan, Scalars, Value};

/// An `int[]` in the file, each item of which is the index of an integer value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileInts<'p> {
    plan: Plan<'p>,
    items: Scalars<'p, i64>,
    /// The first items, which rules and kernels ask for several times over.
    first: [i32; FIRST_INTS],
    /// How many of them there are.
    known: u8,
}

const FIRST_INTS: usize = 4;

impl<'p> FileInts<'p> {
    fn new(plan: Plan<'p>, items: Scalars<'p, i64>) -> Self {
        let mut list = FileInts { plan, items, first: [0; FIRST_INTS], known: 0 };
        for index in 0..FIRST_INTS {
            let value = list.read(index).and_then(|value| i32::try_from(value).ok());
            let (Some(value), Some(place)) = (value, list.first.get_mut(index)) else { break };
            *place = value;
            list.known += 1;
        }
        list
    }

    fn read(&self, index: usize) -> Option<i64> {
        match self.plan.value(i32::try_from(self.items.get(index)?).ok()?) {
            Ok(Value::Int(value)) => Some(value),
            _ => None,
        }
    }
}

impl IntList for FileInts<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn get(&self, index: usize) -> Option<i64> {
        match self.first.get(..usize::from(self.known)).and_then(|first| first.get(index)) {
            Some(value) => Some(i64::from(*value)),
            None => self.read(index),
        }
    }
}

/// A `Tensor[]` in the file, each item of which is the index of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileTensors<'p> {
    context: Context<'p>,
    items: Scalars<'p, i32>,
}

impl TensorList<LoadedTensor> for FileTensors<'_> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn get(&self, index: usize) -> Option<LoadedTensor> {
        self.context.tensor_at(self.items.get(index)?).ok()
    }
}

/// What stands for lists in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileLists<'p>(PhantomData<&'p ()>);

impl<'p> Lists for FileLists<'p> {
    type Ints = FileInts<'p>;
    type Tensors = FileTensors<'p>;
}

/// Reads one argument after the other.
pub(crate) struct Arguments<'p> {
    context: Context<'p>,
    indices: Scalars<'p, i32>,
    position: u8,
}

impl<'p> Arguments<'p> {
    pub(crate) fn new(context: Context<'p>, indices: Scalars<'p, i32>) -> Self {
        Arguments { context, indices, position: 0 }
    }

    fn next<T>(
        &mut self,
        convert: impl FnOnce(&Context<'p>, Value<'p>) -> Result<T, ArgumentCause>,
    ) -> Result<T, OperatorProblem> {
        self.next_indexed(|context, _, value| convert(context, value))
    }

    /// As [`Self::next`], with the value's index.
    fn next_indexed<T>(
        &mut self,
        convert: impl FnOnce(&Context<'p>, i32, Value<'p>) -> Result<T, ArgumentCause>,
    ) -> Result<T, OperatorProblem> {
        let position = self.position;
        let index =
            self.indices.get(usize::from(position)).ok_or(OperatorProblem::ArgumentCount)?;
        self.position += 1;
        let value = self.context.plan.value(index).map_err(ArgumentCause::Format);
        value
            .and_then(|value| convert(&self.context, index, value))
            .map_err(|cause| OperatorProblem::Argument { position, cause })
    }
}

impl<'p> ArgumentReader<Loaded<FileLists<'p>>> for Arguments<'p> {
    type Error = OperatorProblem;

    fn tensor(&mut self) -> Result<LoadedTensor, OperatorProblem> {
        self.next_indexed(|context, index, value| match value {
            Value::Tensor(tensor) => context.tensor(index, &tensor),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn optional_tensor(&mut self) -> Result<Option<LoadedTensor>, OperatorProblem> {
        self.next_indexed(|context, index, value| match value {
            Value::Null => Ok(None),
            Value::Tensor(tensor) => context.tensor(index, &tensor).map(Some),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn int<T: IntArgument>(&mut self) -> Result<T, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Int(value) => T::from_i64(value).ok_or(ArgumentCause::Range),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn optional_int<T: IntArgument>(&mut self) -> Result<Option<T>, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Null => Ok(None),
            Value::Int(value) => T::from_i64(value).map(Some).ok_or(ArgumentCause::Range),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn float(&mut self) -> Result<f64, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Double(value) => Ok(value),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn scalar(&mut self) -> Result<f64, OperatorProblem> {
        self.next(|_, value| number(value))
    }

    fn optional_scalar(&mut self) -> Result<Option<f64>, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Null => Ok(None),
            value => number(value).map(Some),
        })
    }

    fn text<T: TextArgument>(&mut self) -> Result<T, OperatorProblem> {
        self.next(|_, value| match value {
            Value::String(text) => {
                let text = text.as_str().map_err(ArgumentCause::Format)?;
                T::from_text(text).ok_or(ArgumentCause::Range)
            }
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn bool(&mut self) -> Result<bool, OperatorProblem> {
        self.next(|_, value| match value {
            Value::Bool(value) => Ok(value),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn tensor_list(&mut self) -> Result<FileTensors<'p>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::TensorList(items) => {
                let list = FileTensors { context: *context, items };
                for item in items.iter() {
                    context.tensor_at(item)?;
                }
                Ok(list)
            }
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn optional_int_list(&mut self) -> Result<Option<FileInts<'p>>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::Null => Ok(None),
            Value::IntList(items) => Ok(Some(FileInts::new(context.plan, items))),
            _ => Err(ArgumentCause::Kind),
        })
    }

    fn int_list(&mut self) -> Result<FileInts<'p>, OperatorProblem> {
        self.next(|context, value| match value {
            Value::IntList(items) => Ok(FileInts::new(context.plan, items)),
            _ => Err(ArgumentCause::Kind),
        })
    }
}

/// A number, whether it is stored as an integer or not.
fn number(value: Value<'_>) -> Result<f64, ArgumentCause> {
    match value {
        Value::Double(value) => Ok(value),
        Value::Int(value) => Ok(value as f64),
        _ => Err(ArgumentCause::Kind),
    }
}
