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
    context: &'p Context<'p>,
    indices: Scalars<'p, i32>,
    position: u8,
}

impl<'p> Arguments<'p> {
    pub(crate) fn new(context: &'p Context<'p>, indices: Scalars<'p, i32>) -> Self {
        Arguments { context, indices, position: 0 }
    }

    /// The next argument's value with its index, and how a problem of it is reported.
    ///
    /// Results are made by the callers: tensors and lists are large, and each change of a result's type would copy them.
    #[inline(always)]
    fn next_value(&mut self) -> Result<(Problem, i32, Value<'p>), OperatorProblem> {
        let position = self.position;
        let index =
            self.indices.get(usize::from(position)).ok_or(OperatorProblem::ArgumentCount)?;
        self.position += 1;
        let problem = Problem { position };
        match self.context.plan.value(index) {
            Ok(value) => Ok((problem, index, value)),
            Err(error) => Err(problem.of(ArgumentCause::Format(error))),
        }
    }

    fn next<T>(
        &mut self,
        convert: impl FnOnce(&Context<'p>, Value<'p>) -> Result<T, ArgumentCause>,
    ) -> Result<T, OperatorProblem> {
        let (problem, _, value) = self.next_value()?;
        convert(self.context, value).map_err(|cause| problem.of(cause))
    }
}

/// The argument that a problem is one of.
#[derive(Clone, Copy)]
struct Problem {
    position: u8,
}

impl Problem {
    fn of(self, cause: ArgumentCause) -> OperatorProblem {
        OperatorProblem::Argument { position: self.position, cause }
    }
}

impl<'p> ArgumentReader<Loaded<FileLists<'p>>> for Arguments<'p> {
    type Error = OperatorProblem;

    fn tensor(&mut self) -> Result<LoadedTensor, OperatorProblem> {
        let (problem, index, value) = self.next_value()?;
        let Value::Tensor(tensor) = value else { return Err(problem.of(ArgumentCause::Kind)) };
        let mut loaded = LoadedTensor::NOTHING;
        match self.context.read_tensor(index, &tensor, &mut loaded) {
            Ok(()) => Ok(loaded),
            Err(cause) => Err(problem.of(cause)),
        }
    }

    fn optional_tensor(&mut self) -> Result<Option<LoadedTensor>, OperatorProblem> {
        let (problem, index, value) = self.next_value()?;
        let tensor = match value {
            Value::Null => return Ok(None),
            Value::Tensor(tensor) => tensor,
            _ => return Err(problem.of(ArgumentCause::Kind)),
        };
        let mut loaded = LoadedTensor::NOTHING;
        match self.context.read_tensor(index, &tensor, &mut loaded) {
            Ok(()) => Ok(Some(loaded)),
            Err(cause) => Err(problem.of(cause)),
        }
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
        let (problem, _, value) = self.next_value()?;
        match value {
            Value::Null => Ok(None),
            Value::IntList(items) => Ok(Some(FileInts::new(self.context.plan, items))),
            _ => Err(problem.of(ArgumentCause::Kind)),
        }
    }

    fn int_list(&mut self) -> Result<FileInts<'p>, OperatorProblem> {
        let (problem, _, value) = self.next_value()?;
        match value {
            Value::IntList(items) => Ok(FileInts::new(self.context.plan, items)),
            _ => Err(problem.of(ArgumentCause::Kind)),
        }
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
