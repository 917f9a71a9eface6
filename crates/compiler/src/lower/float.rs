//! What lowerings of operators that were left in float share.
//!
//! They take nodes whose result is `float32`. Where a clamping activation has been fused into such a node, the operator computes
//! into memory of its own and [`FloatClamp`] brings the result to its place.

use super::{Lowerer, Outcome};
use crate::error::Unsupported;
use crate::graph::{Argument, Node, RealRange, ValueId};
use crate::lowered::{LoweredDomain, LoweredTensor};
use crate::passes::constant_numbers;
use cortado_contract::DType;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::ops::{FloatClamp, Operator};
use cortado_contract::value::{Rule, TensorMeta};
use std::sync::Arc;

/// An operator with one operand, made of it and of the result.
pub(super) type Unary = fn(LoweredTensor, LoweredTensor) -> Operator<LoweredDomain>;
/// An operator with two operands, made of them and of the result.
pub(super) type Binary<'f> =
    &'f dyn Fn(LoweredTensor, LoweredTensor, LoweredTensor) -> Operator<LoweredDomain>;

/// Lowers a function of one number: a node whose target is `aten.<name>.default`, or the same in place.
pub(super) fn lower_unary(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    name: &str,
    make: Unary,
) -> Outcome {
    is_float(lowerer, node, &[name]).then(|| {
        let input = lowerer.float_operand(node, "self")?;
        lowerer.float_call(node, |out| make(input, out))
    })
}

/// Lowers a function of two numbers.
pub(super) fn lower_binary(
    lowerer: &mut Lowerer<'_>,
    node: &Node,
    make: Binary<'_>,
) -> Result<(), Unsupported> {
    // `rsub` and its like name a tensor first and a number second, or the other way round.
    let (lhs, rhs) = (lowerer.float_operand(node, "self")?, lowerer.float_operand(node, "other")?);
    lowerer.float_binary(node, lhs, rhs, make)
}

/// Whether a node is one of these ATen operators, or the same in place, and results in `float32`.
pub(super) fn is_float(lowerer: &Lowerer<'_>, node: &Node, names: &[&str]) -> bool {
    let name = node.target.strip_prefix("aten.").and_then(|target| target.split('.').next());
    let is_named = name.is_some_and(|name| {
        names.iter().any(|known| name == *known || name.strip_suffix('_') == Some(known))
    });
    let result = node.outputs.first().map(|id| lowerer.graph.value(*id).dtype);
    is_named && result == Some(DType::F32)
}

impl Lowerer<'_> {
    /// A `float32` operand. Numbers, and constants of other types, become constants.
    pub(super) fn float_operand(
        &mut self,
        node: &Node,
        name: &str,
    ) -> Result<LoweredTensor, Unsupported> {
        let operand = self.optional_float_operand(node, name)?;
        operand.ok_or_else(|| Unsupported::new(node, format!("its argument `{name}` is no tensor")))
    }

    /// A `float32` operand, `None` when it is absent.
    pub(super) fn optional_float_operand(
        &mut self,
        node: &Node,
        name: &str,
    ) -> Result<Option<LoweredTensor>, Unsupported> {
        match node.argument(name) {
            None | Some(Argument::None) => Ok(None),
            Some(Argument::Value(id)) => self.float_tensor(node, *id).map(Some),
            Some(Argument::Float(number)) => Ok(Some(self.float_number(*number))),
            Some(Argument::Int(number)) => Ok(Some(self.float_number(*number as f64))),
            Some(_) => Err(Unsupported::new(node, format!("its argument `{name}` is no tensor"))),
        }
    }

    /// A number as a constant without axes.
    pub(super) fn float_number(&mut self, number: f64) -> LoweredTensor {
        let data: Arc<[u8]> = (number as f32).to_le_bytes().into();
        let id = self.constant(&format!("{number}"), DType::F32, Vec::new(), data);
        self.program.tensor(id)
    }

    /// A value as a `float32` operand.
    fn float_tensor(&mut self, node: &Node, id: ValueId) -> Result<LoweredTensor, Unsupported> {
        let value = self.graph.value(id);
        if value.dtype == DType::F32 {
            return Ok(self.tensor(id));
        }
        if let (None, Some(numbers)) = (&value.quantization, constant_numbers(self.graph, id)) {
            let data = numbers.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
            let (shape, order) = (value.shape.clone(), value.dim_order.clone());
            let id = self.ordered_constant(&value.name, DType::F32, shape, order, data);
            return Ok(self.program.tensor(id));
        }
        let why = format!("`{}` is {}, but its result is float32", value.name, value.dtype);
        Err(Unsupported::new(node, why)
            .with_remedy("quantize the operator with its result, or leave all of it in float32"))
    }

    /// Adds the call that computes a node's result, and the clamping that was fused into the node.
    pub(super) fn float_call(
        &mut self,
        node: &Node,
        make: impl FnOnce(LoweredTensor) -> Operator<LoweredDomain>,
    ) -> Result<(), Unsupported> {
        let target = self.float_target(node)?;
        self.call(node, make(target.clone()));
        self.float_finish(node, target)
    }

    /// Where a node's operator computes to: its result, or memory of its own if that is still to be clamped.
    pub(super) fn float_target(&mut self, node: &Node) -> Result<LoweredTensor, Unsupported> {
        let out = self.float_result(node)?;
        Ok(if node.activation.is_some() { self.like(node, "unclamped", &out) } else { out })
    }

    /// Clamps what the operator computed, if that was fused into the node.
    pub(super) fn float_finish(
        &mut self,
        node: &Node,
        computed: LoweredTensor,
    ) -> Result<(), Unsupported> {
        if let Some(RealRange { min, max }) = node.activation {
            let clamp = FloatClamp {
                input: computed,
                min: Some(min).filter(|min| min.is_finite()),
                max: Some(max).filter(|max| max.is_finite()),
                out: self.float_result(node)?,
            };
            self.call(node, Operator::FloatClamp(clamp));
        }
        Ok(())
    }

    fn float_result(&mut self, node: &Node) -> Result<LoweredTensor, Unsupported> {
        match node.outputs.first() {
            Some(output) => Ok(self.tensor(*output)),
            None => Err(Unsupported::new(node, "it has no result")),
        }
    }

    /// Memory for an intermediate result of the same extents and order.
    pub(super) fn like(&mut self, node: &Node, what: &str, of: &LoweredTensor) -> LoweredTensor {
        let name = format!("{}_{what}", node.name);
        self.temporary(name, DType::F32, of.shape.clone(), of.dim_order.clone())
    }

    /// Adds the call of a function of two numbers.
    pub(super) fn float_binary(
        &mut self,
        node: &Node,
        lhs: LoweredTensor,
        rhs: LoweredTensor,
        make: Binary<'_>,
    ) -> Result<(), Unsupported> {
        let out = self.float_result(node)?;
        let (lhs, rhs) = (self.ordered_like(lhs, &out), self.ordered_like(rhs, &out));
        if let Err(violation) = Broadcast::new((&lhs, 0), (&rhs, 1), (&out, 2)) {
            let what = if violation.rule == Rule::Layout {
                "its operands lie in memory in different orders"
            } else {
                "its operands do not fit each other"
            };
            return Err(Unsupported::new(node, what)
                .with_remedy("give both operands the same number of axes"));
        }
        self.float_call(node, |out| make(lhs, rhs, out))
    }

    /// A constant of fewer axes than the result, in an order in memory that fits the result's. Others stay as they are.
    fn ordered_like(&mut self, operand: LoweredTensor, out: &LoweredTensor) -> LoweredTensor {
        let buffer = self.program.buffer(operand.id);
        let missing = out.rank().saturating_sub(operand.rank());
        let crate::lowered::BufferKind::Constant(data) = &buffer.kind else { return operand };
        if missing == 0 || !operand.dim_order.is_sorted() {
            return operand;
        }
        let (name, data) = (buffer.name.clone(), data.clone());
        let order = out.dim_order.iter().map(|axis| usize::from(*axis));
        let order: Vec<u8> =
            order.filter_map(|axis| axis.checked_sub(missing)).map(|axis| axis as u8).collect();
        let id = self.ordered_constant(&name, DType::F32, operand.shape.clone(), order, data);
        self.program.tensor(id)
    }
}
