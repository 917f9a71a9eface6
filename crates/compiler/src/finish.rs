//! From operators to a file: one canonical form of a program, then the order of its calls, memory plan and file.
//!
//! A linear layer's bias of zeros is none: the other form of the constant term does not tell them apart.
//!
//! Programs come from a lowered graph or from a file that is being retargeted. [`finish`] gives both the same bytes when they are
//! the same program, because [`canonical`] keeps nothing that a file does not keep: buffers count in the order in which they
//! are first referred to, what is stored is the first tensor in its memory and the others are views of it, and equal constants
//! are one.

use crate::emit;
use crate::error::CompileError;
use crate::lowered::{
    Buffer, BufferId, BufferKind, Call, Ints, Lowered, LoweredDomain, LoweredTensor, Tensors,
};
use crate::plan::{self, MemoryPlan, PlanOptions};
use cortado_contract::ops::Operator;
use cortado_contract::value::{ArgumentReader, ArgumentWriter, IntArgument, TextArgument};
use cortado_contract::{DType, Target};
use std::collections::HashMap;
use std::sync::Arc;

/// A program with its memory plan and its file.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The program in its canonical form.
    pub lowered: Lowered,
    /// The memory plan.
    pub plan: MemoryPlan,
    /// The file.
    pub pte: Vec<u8>,
}

/// Puts a program's calls in order, plans its memory and writes its file.
///
/// # Errors
/// [`CompileError::Memory`] when it does not fit the banks, [`CompileError::Write`] when it exceeds the format's limits,
/// [`CompileError::Internal`] when the plan is wrong.
pub fn finish(
    program: &Lowered,
    target: Target,
    options: &PlanOptions,
) -> Result<Finished, CompileError> {
    let mut program = program.clone();
    crate::retarget::drop_zero_biases(&mut program);
    let program = canonical(&reordered(&program, &plan::canonical_order(&program)));
    let (order, schedule_proven) = plan::schedule(&program, options);
    let lowered = canonical(&reordered(&program, &order));
    let plan = plan::plan(&lowered, options)?;
    let plan = MemoryPlan { schedule_proven: Some(schedule_proven), ..plan };
    let defects = plan::check(&lowered, &plan);
    if !defects.is_empty() {
        return Err(CompileError::Internal(format!(
            "the memory plan is wrong: {}",
            defects.join("; ")
        )));
    }
    let pte = emit::emit(&lowered, &plan, target)?;
    Ok(Finished { lowered, plan, pte })
}

/// A program with these calls in this order.
fn reordered(program: &Lowered, order: &[usize]) -> Lowered {
    let calls = order.iter().map(|index| program.calls[*index].clone()).collect();
    Lowered { calls, ..program.clone() }
}

/// The canonical form of a program: the same calls, and only the buffers that they and the boundary refer to.
pub fn canonical(program: &Lowered) -> Lowered {
    let mut canon = Canon {
        from: program,
        to: Lowered::default(),
        storages: Vec::new(),
        known: HashMap::new(),
        constants: HashMap::new(),
        activations: HashMap::new(),
    };
    let inputs = program.inputs.iter().map(|id| canon.buffer(*id)).collect();
    for call in &program.calls {
        let operator = replace_tensors(&call.operator, |tensor| {
            let id = canon.buffer(tensor.id);
            canon.to.tensor(id)
        });
        canon.to.calls.push(Call {
            name: call.name.clone(),
            source: call.source.clone(),
            operator,
        });
    }
    let outputs = program.outputs.iter().map(|id| canon.buffer(*id)).collect();
    let Lowered { input_affines, output_affines, .. } = program.clone();
    Lowered { inputs, outputs, input_affines, output_affines, ..canon.to }
}

/// What tells tensors of one storage apart.
type Meta = (usize, DType, Vec<u32>, Vec<u8>);

struct Canon<'p> {
    from: &'p Lowered,
    to: Lowered,
    /// The first buffer of each storage.
    storages: Vec<BufferId>,
    known: HashMap<Meta, BufferId>,
    /// The storages of constants, by their bytes.
    constants: HashMap<Arc<[u8]>, usize>,
    activations: HashMap<BufferId, usize>,
}

impl Canon<'_> {
    fn buffer(&mut self, id: BufferId) -> BufferId {
        let root = self.from.storage(id);
        let kind = &self.from.buffer(root).kind;
        let next = self.storages.len();
        let storage = match kind {
            BufferKind::Constant(data) => *self.constants.entry(data.clone()).or_insert(next),
            _ => *self.activations.entry(root).or_insert(next),
        };
        let buffer = self.from.buffer(id);
        let meta = (storage, buffer.dtype, buffer.shape.clone(), buffer.dim_order.clone());
        if let Some(known) = self.known.get(&meta) {
            return *known;
        }
        let kind = match self.storages.get(storage) {
            Some(first) => BufferKind::View(*first),
            None => kind.clone(),
        };
        let new = self.to.add(Buffer { kind, ..buffer.clone() });
        if storage == next {
            self.storages.push(new);
        }
        self.known.insert(meta, new);
        new
    }
}

/// An operator with other tensors in the place of its own, taken in the order of the schema.
pub(crate) fn replace_tensors(
    operator: &Operator<LoweredDomain>,
    replace: impl FnMut(&LoweredTensor) -> LoweredTensor,
) -> Operator<LoweredDomain> {
    let mut written = Written(Vec::new());
    operator.encode(&mut written);
    let mut reader = Replay { arguments: written.0.into_iter(), replace };
    match Operator::decode(operator.kind(), &mut reader) {
        Ok(operator) => operator,
        Err(Unfit) => unreachable!("an operator reads what it wrote"),
    }
}

/// An argument as it was written.
enum Argument {
    Absent,
    Tensor(LoweredTensor),
    Int(i64),
    Float(f64),
    Text(&'static str),
    Bool(bool),
    Ints(Ints),
    Tensors(Tensors),
}

struct Written(Vec<Argument>);

impl ArgumentWriter<LoweredDomain> for Written {
    fn tensor(&mut self, _: &'static str, value: &LoweredTensor) {
        self.0.push(Argument::Tensor(value.clone()));
    }
    fn optional_tensor(&mut self, _: &'static str, value: Option<&LoweredTensor>) {
        self.0.push(value.map_or(Argument::Absent, |tensor| Argument::Tensor(tensor.clone())));
    }
    fn int(&mut self, _: &'static str, value: i64) {
        self.0.push(Argument::Int(value));
    }
    fn float(&mut self, _: &'static str, value: f64) {
        self.0.push(Argument::Float(value));
    }
    fn text(&mut self, _: &'static str, value: &'static str) {
        self.0.push(Argument::Text(value));
    }
    fn optional_int(&mut self, _: &'static str, value: Option<i64>) {
        self.0.push(value.map_or(Argument::Absent, Argument::Int));
    }
    fn tensor_list(&mut self, _: &'static str, value: &Tensors) {
        self.0.push(Argument::Tensors(value.clone()));
    }
    fn bool(&mut self, _: &'static str, value: bool) {
        self.0.push(Argument::Bool(value));
    }
    fn int_list(&mut self, _: &'static str, value: &Ints) {
        self.0.push(Argument::Ints(value.clone()));
    }
}

/// An argument is not of the kind that is read. Cannot happen to what the same operator wrote.
struct Unfit;

struct Replay<F> {
    arguments: std::vec::IntoIter<Argument>,
    replace: F,
}

macro_rules! replay {
    ($($method:ident -> $of:ty, $($pattern:pat => $value:expr),+;)*) => {$(
        fn $method(&mut self) -> Result<$of, Unfit> {
            match self.arguments.next() {
                $($pattern => $value,)+
                _ => Err(Unfit),
            }
        }
    )*};
}

impl<F: FnMut(&LoweredTensor) -> LoweredTensor> ArgumentReader<LoweredDomain> for Replay<F> {
    type Error = Unfit;

    fn tensor(&mut self) -> Result<LoweredTensor, Unfit> {
        match self.arguments.next() {
            Some(Argument::Tensor(tensor)) => Ok((self.replace)(&tensor)),
            _ => Err(Unfit),
        }
    }

    fn optional_tensor(&mut self) -> Result<Option<LoweredTensor>, Unfit> {
        match self.arguments.next() {
            Some(Argument::Tensor(tensor)) => Ok(Some((self.replace)(&tensor))),
            Some(Argument::Absent) => Ok(None),
            _ => Err(Unfit),
        }
    }

    fn int<T: IntArgument>(&mut self) -> Result<T, Unfit> {
        match self.arguments.next() {
            Some(Argument::Int(value)) => T::from_i64(value).ok_or(Unfit),
            _ => Err(Unfit),
        }
    }

    fn optional_int<T: IntArgument>(&mut self) -> Result<Option<T>, Unfit> {
        match self.arguments.next() {
            Some(Argument::Int(value)) => T::from_i64(value).map(Some).ok_or(Unfit),
            Some(Argument::Absent) => Ok(None),
            _ => Err(Unfit),
        }
    }

    fn text<T: TextArgument>(&mut self) -> Result<T, Unfit> {
        match self.arguments.next() {
            Some(Argument::Text(text)) => T::from_text(text).ok_or(Unfit),
            _ => Err(Unfit),
        }
    }

    fn tensor_list(&mut self) -> Result<Tensors, Unfit> {
        match self.arguments.next() {
            Some(Argument::Tensors(tensors)) => {
                Ok(Tensors(tensors.0.iter().map(&mut self.replace).collect()))
            }
            _ => Err(Unfit),
        }
    }

    replay! {
        float -> f64, Some(Argument::Float(value)) => Ok(value);
        scalar -> f64, Some(Argument::Float(value)) => Ok(value);
        optional_scalar -> Option<f64>, Some(Argument::Float(value)) => Ok(Some(value)), Some(Argument::Absent) => Ok(None);
        bool -> bool, Some(Argument::Bool(value)) => Ok(value);
        int_list -> Ints, Some(Argument::Ints(list)) => Ok(list);
        optional_int_list -> Option<Ints>, Some(Argument::Ints(list)) => Ok(Some(list)), Some(Argument::Absent) => Ok(None);
    }
}
