//! The micro-operations that kernels are built from.

use crate::memory::Element;
use crate::tile::{Depthwise, Framed, Quads, Row};
use cortado_contract::Isa;
use cortado_contract::ops::quantized_activation::{ENTRIES, entry_of};
use cortado_contract::ops::quantized_add::AddParams;
use cortado_contract::ops::quantized_mul::MulParams;
use cortado_contract::quant::{Activation, Requantize, ZeroPoint, dequantize, quantize};

/// What an instruction set does for the generic kernels.
///
/// All implementations give the same bits; sums wrap in 32 bits.
pub trait Micro: Copy + 'static {
    /// The instruction set, which decides what layouts programs must have.
    const ISA: Isa;

    /// Adds to `accumulators[j]` the dot product `Σ_i (lhs[i] + lhs_offset) · rhs[j·n + i]` of `lhs` with each of four
    /// consecutive rows, where `n = lhs.len()`.
    ///
    /// Nothing is added when `rhs` has fewer than `4·n` elements.
    #[inline(always)]
    fn dot_4(lhs: &[i8], lhs_offset: i32, rhs: &[i8], accumulators: &mut [i32; 4]) {
        if let Some(rows) = split_rows(rhs, lhs.len()) {
            Self::dot_rows(lhs, lhs_offset, rows, accumulators);
        }
    }

    /// Adds to `accumulators[j]` the dot product `Σ_i (lhs[i] + lhs_offset) · rows[j][i]` of `lhs` with each of four rows.
    ///
    /// Nothing is added when a row is shorter than `lhs`.
    fn dot_rows(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 4], accumulators: &mut [i32; 4]);

    /// The dot product `Σ_i (lhs[i] + lhs_offset) · rhs[i]` over the shorter of both.
    fn dot(lhs: &[i8], lhs_offset: i32, rhs: &[i8]) -> i32;

    /// Whether up to two rows are better left to [`Self::dot_pair`] than computed with others that are computed already.
    const PAIRS: bool = false;

    /// The dot products of [`Self::dot`] with both rows, over the shortest of all three.
    #[inline(always)]
    fn dot_pair(lhs: &[i8], lhs_offset: i32, rows: [&[i8]; 2]) -> [i32; 2] {
        rows.map(|row| Self::dot(lhs, lhs_offset, row))
    }

    /// Adds to `accumulators[j]` the sum of `(lhs[j] + lhs_offset) · rhs[j]` over all positions of two windows that are walked
    /// through alike; `j` counts neighbouring elements. If `REPEAT`, `lhs[0]` stands for every `lhs[j]`.
    ///
    /// `None` when a position lies outside of a window's elements.
    #[inline(never)]
    fn multiply_add_windows<const N: usize, const REPEAT: bool>(
        lhs: Window<'_>,
        lhs_offset: i32,
        rhs: Window<'_>,
        rows: usize,
        columns: usize,
        accumulators: &mut [i32; N],
    ) -> Option<()> {
        let mut sums = *accumulators;
        for row in 0..rows {
            let mut lhs_rest = lhs.elements.get(row * lhs.row_step..)?;
            let mut rhs_rest = rhs.elements.get(row * rhs.row_step..)?;
            for column in 0..columns {
                let weights = rhs_rest.first_chunk::<N>()?;
                let inputs =
                    if REPEAT { [*lhs_rest.first()?; N] } else { *lhs_rest.first_chunk::<N>()? };
                for ((sum, input), weight) in sums.iter_mut().zip(inputs).zip(weights) {
                    let product = (i32::from(input) + lhs_offset).wrapping_mul(i32::from(*weight));
                    *sum = sum.wrapping_add(product);
                }
                if column + 1 < columns {
                    lhs_rest = lhs_rest.get(lhs.column_step..)?;
                    rhs_rest = rhs_rest.get(rhs.column_step..)?;
                }
            }
        }
        *accumulators = sums;
        Some(())
    }

    /// The number of windows that loops take at a time; fewer are slower.
    const WINDOWS: usize = 1;

    /// Whether [`Self::multiply_quads`] adds input offsets at no cost; they are folded into the constants for it otherwise.
    const ADDS_OFFSETS: bool = false;

    /// Computes the channels of `pixels` windows, all of whose factors are [short](Self::is_short); see [`Quads::model`].
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn multiply_quads(quads: &Quads<'_>, pixels: usize, out: &mut [i8]) -> Option<()> {
        quads.model::<Self>(pixels, out)
    }

    /// Whether an input offset is better folded into the constants of [`Self::multiply_row`] than added to the inputs.
    const FOLDS_OFFSETS: bool = false;

    /// Computes the features of a row, all of whose factors are [short](Self::is_short); see [`Row::model`].
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn multiply_row(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
        row.model::<Self>(out)
    }

    /// Computes all channels of a rectangle of windows, see [`Depthwise::model`].
    ///
    /// `None` when a slice is too short.
    fn depthwise(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
        tile.model(0, out)
    }

    /// Whether images that have a frame are computed by [`Self::depthwise_framed`] where they are small enough.
    const FRAMES: bool = false;

    /// Computes all channels of a small image in its frame, see [`Framed::model`].
    ///
    /// `None` when a slice is too short.
    fn depthwise_framed(framed: &Framed<'_>, out: &mut [i8]) -> Option<()> {
        framed.model(out)
    }

    /// Whether loops of this instruction set rescale by a factor as [`Requantize::apply`] does. What is not short is rare, and left to
    /// the models.
    #[inline(always)]
    fn is_short(factor: Requantize) -> bool {
        factor.multiplier >= 1 << 30 && factor.shift < 0
    }

    /// Copies rows of `length` bytes, `source_step` apart, to rows that are `out_step` apart.
    ///
    /// `None` when a slice is too short.
    fn copy_rows(
        (source, source_step): (&[i8], usize),
        (out, out_step): (&mut [i8], usize),
        rows: usize,
        length: usize,
    ) -> Option<()> {
        for row in 0..rows {
            let source = source.get(row * source_step..)?.get(..length)?;
            let out = out.get_mut(row * out_step..)?.get_mut(..length)?;
            for (out, source) in out.iter_mut().zip(source) {
                *out = *source;
            }
        }
        Some(())
    }

    /// Gathers rows of `columns` bytes, which lie a step apart in the source, and so do the rows' first ones; `out` is filled row by row.
    ///
    /// `None` when a slice is too short.
    fn gather_rows(
        source: &[u8],
        row_step: usize,
        column_step: usize,
        out: &mut [u8],
        columns: usize,
    ) -> Option<()> {
        for (row, out) in out.chunks_exact_mut(columns.max(1)).enumerate() {
            let source = source.get(row * row_step..)?;
            // The last byte is checked here, so the loop needs no checks.
            let source = source.get(..=(out.len() - 1) * column_step)?;
            match column_step {
                0 => out.fill(*source.first()?),
                _ => {
                    for (out, value) in out.iter_mut().zip(source.iter().step_by(column_step)) {
                        *out = *value;
                    }
                }
            }
        }
        Some(())
    }

    /// Brings results into a range within that of `int8`.
    #[inline(never)]
    fn clamp(out: &mut [i8], range: Activation) {
        for out in out {
            *out = range.clamp(i32::from(*out)) as i8;
        }
    }

    /// `Σ_i values[i]`.
    #[inline(never)]
    fn sum(values: &[i8]) -> i32 {
        values.iter().fold(0i32, |sum, value| sum.wrapping_add(i32::from(*value)))
    }

    /// Quantizes `input` into `out`, element by element, as [`cortado_contract::quant::quantize`]. The inverse scale is a normal number
    /// above 0.
    fn quantize<T: Integer>(
        input: &[f32],
        inverse_scale: f32,
        zero_point: ZeroPoint,
        range: Activation,
        out: &mut [T],
    ) {
        for (out, input) in out.iter_mut().zip(input) {
            *out = T::from_i32(quantize(*input, inverse_scale, zero_point, range));
        }
    }

    /// Dequantizes `input` into `out`, element by element, as [`cortado_contract::quant::dequantize`]. The scale is one of
    /// [`cortado_contract::quant::is_plain_scale`], and no integer is further than 65,535 from the zero point.
    fn dequantize<T: Integer>(input: &[T], scale: f32, zero_point: ZeroPoint, out: &mut [f32]) {
        for (out, input) in out.iter_mut().zip(input) {
            *out = dequantize(input.to_i32(), scale, zero_point);
        }
    }

    /// Adds two operands into `out`, element by element, as [`AddParams::apply`].
    fn add(params: &AddParams, operands: Run<'_, i8>, out: &mut [i8]) {
        sum::add(params, operands, out);
    }

    /// Multiplies two operands into `out`, element by element, as [`MulParams::apply`].
    fn multiply(params: &MulParams, operands: Run<'_, i8>, out: &mut [i8]) {
        let lhs = |value: i8| i32::from(value).wrapping_add(params.lhs_offset.0);
        let rhs = |value: i8| i32::from(value).wrapping_add(params.rhs_offset.0);
        operands.apply_scaled(out, lhs, rhs, |lhs, rhs| params.finish(lhs.wrapping_mul(rhs)));
    }

    /// Writes the smaller element of two operands into `out`.
    fn minimum(operands: Run<'_, i8>, out: &mut [i8]) {
        operands.apply(out, i8::min);
    }

    /// Writes the greater element of two operands into `out`.
    fn maximum(operands: Run<'_, i8>, out: &mut [i8]) {
        operands.apply(out, i8::max);
    }

    /// Raises each element of `out` to that of `values` where it is greater, over the shorter of both.
    #[inline(always)]
    fn raise(values: &[i8], out: &mut [i8]) {
        for (out, value) in out.iter_mut().zip(values) {
            *out = (*out).max(*value);
        }
    }

    /// Adds to each of `sums` its channel at every position of a window.
    ///
    /// `None` when a position lies outside of the window's elements.
    #[inline(always)]
    fn accumulate_window(
        window: Window<'_>,
        rows: usize,
        columns: usize,
        sums: &mut [i32],
    ) -> Option<()> {
        for row in 0..rows {
            let mut start = row * window.row_step;
            for _ in 0..columns {
                let values = window.elements.get(start..)?.get(..sums.len())?;
                Self::accumulate(values, sums);
                start += window.column_step;
            }
        }
        Some(())
    }

    /// Adds each element of `values` to that of `sums`, over the shorter of both.
    #[inline(always)]
    fn accumulate(values: &[i8], sums: &mut [i32]) {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = sum.wrapping_add(i32::from(*value));
        }
    }

    /// Writes `table[input + 128]` into `out`, element by element.
    fn lookup(table: &[i8; ENTRIES], input: &[i8], out: &mut [i8]) {
        for (out, input) in out.iter_mut().zip(input) {
            *out = table[usize::from(entry_of(*input))];
        }
    }
}

mod sum;

/// The operands of a binary operator along one axis: one after the other, or one value against all of the other operand.
#[derive(Clone, Copy, Debug)]
pub enum Run<'r, T> {
    /// Both advance.
    Both(&'r [T], &'r [T]),
    /// The second one stays.
    Lhs(&'r [T], T),
    /// The first one stays.
    Rhs(T, &'r [T]),
}

impl<T: Copy> Run<'_, T> {
    /// `out = apply(lhs, rhs)`, element by element, over the shortest of them.
    #[inline(always)]
    pub fn apply(self, out: &mut [T], apply: impl Fn(T, T) -> T) {
        self.apply_scaled(out, |lhs| lhs, |rhs| rhs, apply);
    }

    /// `out = apply(scale_lhs(lhs), scale_rhs(rhs))`, element by element, over the shortest of them; an operand that stays is
    /// scaled once.
    #[inline(always)]
    pub fn apply_scaled<S: Copy>(
        self,
        out: &mut [T],
        scale_lhs: impl Fn(T) -> S,
        scale_rhs: impl Fn(T) -> S,
        apply: impl Fn(S, S) -> T,
    ) {
        match self {
            Run::Both(lhs, rhs) => {
                for (out, (lhs, rhs)) in out.iter_mut().zip(lhs.iter().zip(rhs)) {
                    *out = apply(scale_lhs(*lhs), scale_rhs(*rhs));
                }
            }
            Run::Lhs(lhs, rhs) => {
                let rhs = scale_rhs(rhs);
                for (out, lhs) in out.iter_mut().zip(lhs) {
                    *out = apply(scale_lhs(*lhs), rhs);
                }
            }
            Run::Rhs(lhs, rhs) => {
                let lhs = scale_lhs(lhs);
                for (out, rhs) in out.iter_mut().zip(rhs) {
                    *out = apply(lhs, scale_rhs(*rhs));
                }
            }
        }
    }
}

/// Elements that are visited row by row, with the distances between neighbouring positions.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The elements from the first position on.
    pub elements: &'a [i8],
    /// The distance to the next row.
    pub row_step: usize,
    /// The distance to the next position of a row.
    pub column_step: usize,
}

/// Four consecutive rows of `length`; `None` when there are fewer.
#[inline(always)]
fn split_rows(values: &[i8], length: usize) -> Option<[&[i8]; 4]> {
    let (a, rest) = values.split_at_checked(length)?;
    let (b, rest) = rest.split_at_checked(length)?;
    let (c, rest) = rest.split_at_checked(length)?;
    Some([a, b, c, rest.get(..length)?])
}

/// The first `length` elements of each row; `None` when a row has fewer.
#[inline(always)]
pub(crate) fn cut_rows(rows: [&[i8]; 4], length: usize) -> Option<[&[i8]; 4]> {
    let [a, b, c, d] = rows;
    Some([a.get(..length)?, b.get(..length)?, c.get(..length)?, d.get(..length)?])
}

/// An integer type that holds quantized values.
pub trait Integer: Element {
    /// The value, truncated to this type.
    fn from_i32(value: i32) -> Self;
    /// The value.
    fn to_i32(self) -> i32;
    /// The same elements where this type is `i8`, for loops that are made for it; else they come back.
    ///
    /// # Errors
    /// The elements themselves, where the type is another.
    fn as_i8_mut(values: &mut [Self]) -> Result<&mut [i8], &mut [Self]> {
        Err(values)
    }
}

macro_rules! integers {
    ($($ty:ty $({ $($special:item)* })?),*) => {$(
        impl Integer for $ty {
            #[inline(always)]
            fn from_i32(value: i32) -> Self {
                value as $ty
            }
            #[inline(always)]
            fn to_i32(self) -> i32 {
                i32::from(self)
            }
            $($($special)*)?
        }
    )*};
}
integers! {
    i8 {
        #[inline(always)]
        fn as_i8_mut(values: &mut [i8]) -> Result<&mut [i8], &mut [i8]> {
            Ok(values)
        }
    },
    u8,
    i16
}
