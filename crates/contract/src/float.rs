//! What operators over `float32` share: rules of their tensors, and the functions that some of them name.
//!
//! They are for what nobody quantized. The kernels define their results: sums are taken in the kernels' order, so that all
//! instruction sets give the same bits, and agree with PyTorch's up to rounding.

use crate::DType;
use crate::broadcast::Broadcast;
use crate::strided::axis_of;
use crate::value::{Rule, TensorMeta, TextArgument, Violation, require};

/// The most elements of a `float32` tensor.
pub const MAX_ELEMENTS: u32 = i32::MAX as u32 / 4;

/// Checks that a tensor holds `float32` numbers, and not too many.
///
/// # Errors
/// The rule that does not hold, with the argument's position.
pub fn check_float(tensor: &impl TensorMeta, argument: u8) -> Result<(), Violation> {
    require(tensor.dtype() == DType::F32, argument, Rule::DType)?;
    let fits = tensor.element_count().is_some_and(|count| count <= MAX_ELEMENTS);
    require(fits, argument, Rule::TooLarge)
}

/// Checks the tensors of a function of one number: same extents, same order in memory, whichever.
///
/// # Errors
/// The first rule that does not hold. Each tensor comes with its position in the schema.
pub fn check_unary<T: TensorMeta>(input: (&T, u8), out: (&T, u8)) -> Result<(), Violation> {
    check_float(input.0, input.1)?;
    check_float(out.0, out.1)?;
    require(input.0.same_shape(out.0), out.1, Rule::Shape)?;
    require(input.0.same_layout(out.0), out.1, Rule::Layout)
}

/// Checks the tensors of a function of two numbers, and says how they meet.
///
/// # Errors
/// The first rule that does not hold. Each tensor comes with its position in the schema.
pub fn check_binary<T: TensorMeta>(
    lhs: (&T, u8),
    rhs: (&T, u8),
    out: (&T, u8),
) -> Result<Broadcast, Violation> {
    for (tensor, argument) in [lhs, rhs, out] {
        check_float(tensor, argument)?;
    }
    Broadcast::new(lhs, rhs, out)
}

/// Elements along one axis, in memory: `outer · inner` rows of `length` elements that lie `inner` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The product of the extents outside of the axis.
    pub outer: usize,
    /// The axis's extent.
    pub length: usize,
    /// The product of the extents inside of the axis.
    pub inner: usize,
}

impl Rows {
    /// The rows of a tensor along an axis; a scalar is one row.
    pub fn along(tensor: &impl TensorMeta, axis: usize) -> Rows {
        let mut rows = Rows { outer: 1, length: 1, inner: 1 };
        let mut is_inside = false;
        for position in 0..tensor.rank() {
            let at = tensor.dim_order(position);
            let extent = tensor.dim(at) as usize;
            if at == axis {
                rows.length = extent;
                is_inside = true;
            } else {
                let product = if is_inside { &mut rows.inner } else { &mut rows.outer };
                *product = product.wrapping_mul(extent);
            }
        }
        rows
    }

    /// The rows along an axis that is counted from either end, or `None` where there is none; a scalar counts as having one.
    pub fn along_dim(tensor: &impl TensorMeta, dim: i64) -> Option<Rows> {
        Some(Rows::along(tensor, axis_of(dim, tensor.rank().max(1))?))
    }
}

/// The extents of products of matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixShape {
    /// The number of matrices.
    pub batches: usize,
    /// The rows of the left matrix and of the result.
    pub rows: usize,
    /// The length that is summed over.
    pub inner: usize,
    /// The columns of the right matrix and of the result.
    pub cols: usize,
}

/// Which form of the Gaussian error linear unit is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeluForm {
    /// `none`: with the error function.
    Exact,
    /// `tanh`: with a hyperbolic tangent.
    Tanh,
}

impl TextArgument for GeluForm {
    fn from_text(text: &str) -> Option<Self> {
        match text {
            "none" => Some(GeluForm::Exact),
            "tanh" => Some(GeluForm::Tanh),
            _ => None,
        }
    }
    fn to_text(&self) -> &'static str {
        match self {
            GeluForm::Exact => "none",
            GeluForm::Tanh => "tanh",
        }
    }
}
