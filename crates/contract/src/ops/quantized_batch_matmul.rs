//! `cortex_m::quantized_batch_matmul`: products of matrices of activations.

use super::Rules;
use super::quantized_linear::{LinearConstants, LinearParams, LinearShape, Rescale};
use crate::DType;
use crate::quant::{Activation, FilterOffset, InputOffset, OutputOffset, Requantize};
use crate::target::Isa;
use crate::value::{Domain, Rule, TensorMeta, Violation, require};

operator! {
    /// `out[b,r,c] = clamp(requantize(Σ_i (lhs[b,r,i] + lhs_zero_point)·(rhs_transposed[b,c,i] + rhs_zero_point)) +
    /// output_zero_point)`.
    ///
    /// Shapes: `lhs` `[batches, rows, depth]`, `rhs_transposed` `[batches, cols, depth]`, `out` `[batches, rows, cols]`, all `int8`
    /// and row-major; a `batches` of 1 in `lhs` or `rhs_transposed` stands for as many as the other has. The sum wraps in 32
    /// bits.
    ///
    /// The schema's names mislead: `lhs_zero_point` and `rhs_zero_point` carry *minus* the zero point, hence their types.
    ///
    /// Source: `arm_batch_matmul_s8` of CMSIS-NN. ExecuTorch's operator does not broadcast.
    QuantizedBatchMatmul = "cortex_m::quantized_batch_matmul" {
        /// The left matrices.
        lhs: Tensor,
        /// Minus the left matrices' zero point.
        lhs_zero_point: Int<InputOffset>,
        /// The right matrices, transposed.
        rhs_transposed: Tensor,
        /// Minus the right matrices' zero point.
        rhs_zero_point: Int<FilterOffset>,
        /// The output's zero point.
        output_zero_point: Int<OutputOffset>,
        /// The rescaling factor's multiplier.
        output_multiplier: Int<i32>,
        /// The rescaling factor's shift.
        output_shift: Int<i32>,
        /// Memory that ExecuTorch's kernels use; Cortado's do without.
        scratch: Tensor,
    }
}

impl<D: Domain> QuantizedBatchMatmul<D> {
    /// The rescaling factor.
    pub fn requantize(&self) -> Requantize {
        Requantize { multiplier: self.output_multiplier, shift: self.output_shift }
    }

    /// The geometry.
    pub fn shape(&self) -> BatchMatmulShape {
        let extent = |tensor: &D::Tensor, axis: usize| tensor.dim(axis) as usize;
        BatchMatmulShape {
            lhs_batches: extent(&self.lhs, 0),
            rhs_batches: extent(&self.rhs_transposed, 0),
            rows: extent(&self.out, 1),
            cols: extent(&self.out, 2),
            depth: extent(&self.lhs, 2),
        }
    }
}

impl<D: Domain> Rules for QuantizedBatchMatmul<D> {
    fn check(&self) -> Result<(), Violation> {
        let (lhs, rhs, out) = (&self.lhs, &self.rhs_transposed, &self.out);
        for (position, tensor) in
            [(argument::lhs, lhs), (argument::rhs_transposed, rhs), (argument::out, out)]
        {
            require(tensor.dtype() == DType::I8, position, Rule::DType)?;
            require(tensor.rank() == 3, position, Rule::Rank)?;
            let fits = tensor.element_count().is_some_and(|count| count <= i32::MAX as u32);
            require(fits, position, Rule::TooLarge)?;
            require(tensor.is_row_major(), position, Rule::Layout)?;
        }
        let batches = out.dim(0);
        let broadcasts = |tensor: &D::Tensor| [1, batches].contains(&tensor.dim(0));
        require(broadcasts(lhs), argument::lhs, Rule::Shape)?;
        require(broadcasts(rhs), argument::rhs_transposed, Rule::Shape)?;
        require(batches as usize == self.shape().batches(), argument::out, Rule::Shape)?;
        require(rhs.dim(2) == lhs.dim(2), argument::rhs_transposed, Rule::Shape)?;
        require(out.dim(1) == lhs.dim(1), argument::out, Rule::Shape)?;
        require(out.dim(2) == rhs.dim(1), argument::out, Rule::Shape)?;
        let is_offset = |offset: i32| (-127..=128).contains(&offset);
        require(is_offset(self.lhs_zero_point.0), argument::lhs_zero_point, Rule::Range)?;
        require(is_offset(self.rhs_zero_point.0), argument::rhs_zero_point, Rule::Range)?;
        let output_offset = (-128..=127).contains(&self.output_zero_point.0);
        require(output_offset, argument::output_zero_point, Rule::Range)?;
        require(self.requantize().is_valid(), argument::output_multiplier, Rule::Range)
    }

    fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
        [scratch_bytes(&self.shape(), isa), 0]
    }

    fn multiply_accumulates(&self) -> u64 {
        u64::from(self.out.element_count().unwrap_or(0)) * u64::from(self.lhs.dim(2))
    }
}

/// The extents of a batched matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMatmulShape {
    /// The number of left matrices: 1, or as many as products.
    pub lhs_batches: usize,
    /// The number of right matrices: 1, or as many as products.
    pub rhs_batches: usize,
    /// The rows of a left matrix.
    pub rows: usize,
    /// The columns of a right matrix.
    pub cols: usize,
    /// The columns of a left matrix and the rows of a right one.
    pub depth: usize,
}

impl BatchMatmulShape {
    /// The number of products.
    pub const fn batches(&self) -> usize {
        if self.lhs_batches == 1 { self.rhs_batches } else { self.lhs_batches }
    }

    /// One product as a linear layer: a right matrix's columns are the output features.
    pub const fn product(&self) -> LinearShape {
        LinearShape { rows: self.rows, in_features: self.depth, out_features: self.cols }
    }
}

/// The numbers of a batched matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMatmulParams {
    /// Minus the left matrices' zero point.
    pub lhs_offset: InputOffset,
    /// Minus the right matrices' zero point.
    pub rhs_offset: FilterOffset,
    /// The output's zero point.
    pub output_offset: OutputOffset,
    /// The rescaling factor.
    pub requantize: Requantize,
    /// The range of results.
    pub activation: Activation,
}

impl BatchMatmulParams {
    /// The numbers of a linear layer that computes one product.
    pub const fn product(&self) -> LinearParams<'static> {
        LinearParams {
            input_offset: self.lhs_offset,
            filter_offset: self.rhs_offset,
            output_offset: self.output_offset,
            constants: LinearConstants::Bias(None),
            rescale: Rescale::PerTensor(self.requantize),
            activation: self.activation,
        }
    }
}

/// The exact meaning of a batched matrix product over `int8`: one linear layer after the other.
///
/// `lhs` is `[lhs_batches, rows, depth]`, `rhs_transposed` `[rhs_batches, cols, depth]`, `out` `[batches, rows, cols]`.
///
/// # Panics
/// If a slice is shorter than its extents say.
pub fn reference(
    shape: &BatchMatmulShape,
    params: &BatchMatmulParams,
    lhs: &[i8],
    rhs_transposed: &[i8],
    out: &mut [i8],
) {
    let BatchMatmulShape { lhs_batches, rhs_batches, rows, cols, depth } = *shape;
    for batch in 0..shape.batches() {
        let lhs = &lhs[batch % lhs_batches * rows * depth..][..rows * depth];
        let rhs = &rhs_transposed[batch % rhs_batches * cols * depth..][..cols * depth];
        let out = &mut out[batch * rows * cols..][..rows * cols];
        super::quantized_linear::reference(shape.product(), &params.product(), lhs, rhs, out);
    }
}

/// The scratch memory that `arm_batch_matmul_s8` uses: with Helium, a 32-bit sum for each column
/// (`arm_fully_connected_s8_get_buffer_size` of CMSIS-NN).
pub fn scratch_bytes(shape: &BatchMatmulShape, isa: Isa) -> u32 {
    match isa {
        Isa::Mve => u32::try_from(shape.cols * size_of::<i32>()).unwrap_or(u32::MAX),
        Isa::Dsp | Isa::Scalar => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Nowhere;
    use crate::ops::quantized_conv2d::tests::{Plain, tensor};

    fn product() -> QuantizedBatchMatmul<Plain> {
        QuantizedBatchMatmul {
            lhs: tensor(DType::I8, &[2, 3, 4]),
            lhs_zero_point: InputOffset(128),
            rhs_transposed: tensor(DType::I8, &[2, 5, 4]),
            rhs_zero_point: FilterOffset(-127),
            output_zero_point: OutputOffset(0),
            output_multiplier: 1 << 30,
            output_shift: -6,
            scratch: tensor(DType::U8, &[20]),
            out: tensor(DType::I8, &[2, 3, 5]),
        }
    }

    #[test]
    fn the_schema_is_upstreams() {
        assert_eq!(
            QuantizedBatchMatmul::<Nowhere>::SCHEMA,
            "cortex_m::quantized_batch_matmul.out(Tensor lhs, int lhs_zero_point, Tensor rhs_transposed, \
             int rhs_zero_point, int output_zero_point, int output_multiplier, int output_shift, Tensor scratch, *, \
             Tensor(a!) out) -> Tensor(a!)"
        );
    }

    #[test]
    fn rules_hold_and_are_named() {
        assert_eq!(product().check(), Ok(()));
        assert_eq!(product().multiply_accumulates(), 2 * 3 * 5 * 4);
        assert_eq!(product().scratch_bytes(Isa::Mve), [20, 0]);
        let mut broadcast = product();
        broadcast.lhs.shape[0] = 1;
        assert_eq!(broadcast.check(), Ok(()));
        type Change = fn(&mut QuantizedBatchMatmul<Plain>);
        let cases: [(Change, (u8, Rule)); 6] = [
            (|it| it.lhs.shape[0] = 3, (argument::lhs, Rule::Shape)),
            (|it| it.rhs_transposed.shape[2] = 3, (argument::rhs_transposed, Rule::Shape)),
            (|it| it.out.shape[0] = 1, (argument::lhs, Rule::Shape)),
            (|it| it.out.shape[2] = 6, (argument::out, Rule::Shape)),
            (|it| it.output_shift = 31, (argument::output_multiplier, Rule::Range)),
            (|it| it.rhs_zero_point.0 = 129, (argument::rhs_zero_point, Rule::Range)),
        ];
        for (change, (argument, rule)) in cases {
            let mut broken = product();
            change(&mut broken);
            assert_eq!(broken.check(), Err(Violation { argument, rule }));
        }
    }
}
