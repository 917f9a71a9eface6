//! The arguments of an instruction, one after the other in schema order.

use super::memory::Lifter;
use crate::lowered::{BufferId, Ints, LoweredDomain, LoweredTensor, Tensors};
use cortado_contract::ops::{OperatorKind, is_result, is_scratch};
use cortado_contract::value::{ArgumentReader, ArgumentWriter, IntArgument, TextArgument};
use cortado_pte::owned::Value;

/// A tensor that a call reads or writes.
pub(super) struct Operand {
    pub(super) name: &'static str,
    pub(super) id: BufferId,
    pub(super) is_written: bool,
}

/// Reads one argument after the other.
pub(super) struct Arguments<'l, 'p> {
    lifter: &'l mut Lifter<'p>,
    call: usize,
    kind: OperatorKind,
    args: &'l [i32],
    position: usize,
    operands: Vec<Operand>,
}

/// Collects an operator's tensors with the names of their arguments.
#[derive(Default)]
pub(crate) struct Named(pub(crate) Vec<(&'static str, LoweredTensor)>);

impl ArgumentWriter<LoweredDomain> for Named {
    fn tensor(&mut self, name: &'static str, value: &LoweredTensor) {
        self.0.push((name, value.clone()));
    }
    fn optional_tensor(&mut self, name: &'static str, value: Option<&LoweredTensor>) {
        self.0.extend(value.map(|tensor| (name, tensor.clone())));
    }
    fn int(&mut self, _: &'static str, _: i64) {}
    fn float(&mut self, _: &'static str, _: f64) {}
    fn text(&mut self, _: &'static str, _: &'static str) {}
    fn optional_int(&mut self, _: &'static str, _: Option<i64>) {}
    fn tensor_list(&mut self, name: &'static str, value: &Tensors) {
        self.0.extend(value.0.iter().map(|tensor| (name, tensor.clone())));
    }
    fn bool(&mut self, _: &'static str, _: bool) {}
    fn int_list(&mut self, _: &'static str, _: &Ints) {}
}

impl<'l, 'p> Arguments<'l, 'p> {
    pub(super) fn new(
        lifter: &'l mut Lifter<'p>,
        call: usize,
        kind: OperatorKind,
        args: &'l [i32],
    ) -> Self {
        Arguments { lifter, call, kind, args, position: 0, operands: Vec::new() }
    }

    pub(super) fn into_operands(self) -> Vec<Operand> {
        self.operands
    }

    fn next<T>(
        &mut self,
        convert: impl FnOnce(&mut Self, &'static str, i32) -> Result<T, String>,
    ) -> Result<T, String> {
        let name = self.kind.argument_names().get(self.position).copied().unwrap_or("?");
        let index = self.args.get(self.position).copied().ok_or("an argument is missing")?;
        self.position += 1;
        convert(self, name, index).map_err(|what| format!("argument `{name}`: {what}"))
    }

    fn operand(&mut self, name: &'static str, index: i32) -> Result<LoweredTensor, String> {
        let is_written = is_result(name) || is_scratch(name);
        let tensor = if is_written {
            let buffer = format!("{}_{}_{name}", super::short_name(self.kind), self.call);
            self.lifter.write(index, self.call + 1, buffer)?
        } else {
            self.lifter.read(index)?
        };
        self.operands.push(Operand { name, id: tensor.id, is_written });
        Ok(tensor)
    }

    fn value<T>(&mut self, convert: impl FnOnce(&Value) -> Option<T>) -> Result<T, String> {
        self.next(|this, _, index| {
            let value = this.lifter.value(index)?;
            convert(value).ok_or_else(|| wrong(value))
        })
    }

    fn ints(&mut self, items: &[i64]) -> Result<Ints, String> {
        self.lifter.spend(items.len())?;
        let item = |item: &i64| {
            let index = i32::try_from(*item).map_err(|_| format!("there is no value {item}"))?;
            match self.lifter.value(index)? {
                Value::Int(number) => Ok(*number),
                other => Err(wrong(other)),
            }
        };
        items.iter().map(item).collect::<Result<_, String>>().map(Ints)
    }
}

fn wrong(value: &Value) -> String {
    let kind = match value {
        Value::Null => "None",
        Value::Int(_) => "an integer",
        Value::Bool(_) => "a truth value",
        Value::Double(_) => "a number",
        Value::Tensor(_) => "a tensor",
        Value::String(_) => "a text",
        Value::IntList(_) | Value::DoubleList(_) | Value::BoolList(_) => "a list",
        Value::TensorList(_) | Value::OptionalTensorList(_) => "a list of tensors",
    };
    format!("it is {kind} that does not fit the schema")
}

/// A number, whether it is stored as an integer or not.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Double(number) => Some(*number),
        Value::Int(number) => Some(*number as f64),
        _ => None,
    }
}

impl ArgumentReader<LoweredDomain> for Arguments<'_, '_> {
    type Error = String;

    fn tensor(&mut self) -> Result<LoweredTensor, String> {
        self.next(|this, name, index| this.operand(name, index))
    }

    fn optional_tensor(&mut self) -> Result<Option<LoweredTensor>, String> {
        self.next(|this, name, index| match this.lifter.value(index)? {
            Value::Null => Ok(None),
            _ => this.operand(name, index).map(Some),
        })
    }

    fn int<T: IntArgument>(&mut self) -> Result<T, String> {
        self.value(|value| match value {
            Value::Int(number) => T::from_i64(*number),
            _ => None,
        })
    }

    fn optional_int<T: IntArgument>(&mut self) -> Result<Option<T>, String> {
        self.value(|value| match value {
            Value::Null => Some(None),
            Value::Int(number) => T::from_i64(*number).map(Some),
            _ => None,
        })
    }

    fn float(&mut self) -> Result<f64, String> {
        self.value(|value| match value {
            Value::Double(number) => Some(*number),
            _ => None,
        })
    }

    fn scalar(&mut self) -> Result<f64, String> {
        self.value(number)
    }

    fn optional_scalar(&mut self) -> Result<Option<f64>, String> {
        self.value(|value| match value {
            Value::Null => Some(None),
            value => number(value).map(Some),
        })
    }

    fn text<T: TextArgument>(&mut self) -> Result<T, String> {
        self.value(|value| match value {
            Value::String(text) => T::from_text(text),
            _ => None,
        })
    }

    fn bool(&mut self) -> Result<bool, String> {
        self.value(|value| match value {
            Value::Bool(is) => Some(*is),
            _ => None,
        })
    }

    fn int_list(&mut self) -> Result<Ints, String> {
        self.next(|this, _, index| match this.lifter.value(index)? {
            Value::IntList(items) => this.ints(items),
            other => Err(wrong(other)),
        })
    }

    fn optional_int_list(&mut self) -> Result<Option<Ints>, String> {
        self.next(|this, _, index| match this.lifter.value(index)? {
            Value::Null => Ok(None),
            Value::IntList(items) => this.ints(items).map(Some),
            other => Err(wrong(other)),
        })
    }

    fn tensor_list(&mut self) -> Result<Tensors, String> {
        self.next(|this, name, index| match this.lifter.value(index)? {
            Value::TensorList(items) => {
                let tensors = items.iter().map(|item| this.operand(name, *item));
                tensors.collect::<Result<_, String>>().map(Tensors)
            }
            other => Err(wrong(other)),
        })
    }
}
