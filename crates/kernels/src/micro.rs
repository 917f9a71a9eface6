//! The micro-operations that kernels are built from.

use crate::arch::hidden;
use crate::memory::Element;
use crate::tile::{Depthwise, Framed, Quads, Row, lines};
use cortado_contract::Isa;
use cortado_contract::ops::quantized_activation::{ENTRIES, entry_of};
use cortado_contract::ops::quantized_add::AddParams;
use cortado_contract::ops::quantized_linear::{LinearParams, LinearShape};
use cortado_contract::ops::quantized_mul::MulParams;
use cortado_contract::ops::softmax::{SoftmaxResult, SoftmaxScale};
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

    /// The dot products of 16-bit elements with two rows of bytes, over the shortest of all three: exact.
    fn dot_pair_s16(lhs: &[i16], rows: [&[i8]; 2]) -> [i64; 2] {
        in_blocks_s16(lhs, rows, |lhs, [first, second]| {
            let mut sums = [0i32; 2];
            let (quads, tail) = lhs.as_chunks::<4>();
            let ((first, first_tail), (second, second_tail)) =
                (first.as_chunks::<4>(), second.as_chunks::<4>());
            let mut add = |lhs: i16, first: i8, second: i8| {
                for (sum, weight) in sums.iter_mut().zip([first, second]) {
                    *sum = sum.wrapping_add(i32::from(lhs) * i32::from(weight));
                }
            };
            for (lhs, (first, second)) in quads.iter().zip(first.iter().zip(second)) {
                for (lhs, (first, second)) in lhs.iter().zip(first.iter().zip(second)) {
                    add(*lhs, *first, *second);
                }
            }
            for (lhs, (first, second)) in tail.iter().zip(first_tail.iter().zip(second_tail)) {
                add(*lhs, *first, *second);
            }
            sums
        })
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

    /// Whether fully connected layers are computed by [`Self::multiply_lines`] rather than by [`Self::multiply_row`].
    const TAKES_LINES: bool = false;

    /// Computes all features of all rows from sums that start with `constants`, without an input offset, see [`lines`]: of `ANY` layer, or
    /// one with a single [short](Self::is_short) factor and no offset of weights, without code for others.
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn multiply_lines<const ANY: bool>(
        shape: &LinearShape,
        params: &LinearParams<'_>,
        constants: &[i32],
        input: &[i8],
        weights: &[i8],
        out: &mut [i8],
    ) -> Option<()> {
        lines::<Self>(shape, params, constants, input, weights, out)
    }

    /// Computes the features of a row, all of whose factors are [short](Self::is_short), see [`Row::model`]: of `ANY` row, or one with a
    /// single factor, without code for others.
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn multiply_row<const ANY: bool>(row: &Row<'_>, out: &mut [i8]) -> Option<()> {
        row.model::<Self>(out)
    }

    /// Whether [`Self::depthwise`] takes channels that share an input.
    const SPREADS: bool = false;

    /// Computes all channels of a rectangle of windows, see [`Depthwise::model`]: of `ANY` tile, or with four channels and more, at
    /// most [`TAPS_MAX`](crate::tile::TAPS_MAX) taps and [short](Self::is_short) factors, for which no model is needed.
    ///
    /// `None` when a slice is too short, or the tile is another one.
    fn depthwise<const ANY: bool>(tile: &Depthwise<'_>, out: &mut [i8]) -> Option<()> {
        tile.model(0, out)
    }

    /// Whether images that have a frame are computed by [`Self::depthwise_framed`] where they are small enough.
    const FRAMES: bool = false;

    /// Computes all channels of a small image in its frame, see [`Framed::model`]; `ANY` as in [`Self::depthwise`].
    ///
    /// `None` when a slice is too short, or the tile is another one.
    fn depthwise_framed<const ANY: bool>(framed: &Framed<'_>, out: &mut [i8]) -> Option<()> {
        framed.model(out)
    }

    /// Whether loops of this instruction set rescale by a factor as [`Requantize::apply`] does. What is not short is rare, and left to
    /// the models.
    #[inline(always)]
    fn is_short(factor: Requantize) -> bool {
        is_short(factor)
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

    /// Copies `windows` times `rows` rows of `length` bytes, both of which have steps: the first of a pair goes to the next row.
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn copy_windows(
        (source, source_steps): (&[i8], [usize; 2]),
        (out, out_steps): (&mut [i8], [usize; 2]),
        windows: usize,
        rows: usize,
        length: usize,
    ) -> Option<()> {
        if rows == 1 {
            let (source, out) = ((source, source_steps[1]), (out, out_steps[1]));
            return Self::copy_rows(source, out, windows, length);
        }
        for window in 0..windows {
            let source = source.get(window * source_steps[1]..)?;
            let out = out.get_mut(window * out_steps[1]..)?;
            Self::copy_rows((source, source_steps[0]), (out, out_steps[0]), rows, length)?;
        }
        Some(())
    }

    /// Copies rows of single bytes that lie a step apart behind each other: the first step goes to a row's next byte, the second to the
    /// next row. A step of 0 repeats.
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn gather(
        (source, [step, row_step]): (&[i8], [usize; 2]),
        out: &mut [i8],
        length: usize,
    ) -> Option<()> {
        for (row, out) in out.chunks_exact_mut(length.max(1)).enumerate() {
            // The last byte is checked here, so the loop needs no checks.
            let source = source.get(row * row_step..)?.get(..=(out.len() - 1) * step)?;
            match step {
                0 => out.fill(*source.first()?),
                _ => {
                    for (out, value) in out.iter_mut().zip(source.iter().step_by(step)) {
                        *out = *value;
                    }
                }
            }
        }
        Some(())
    }

    /// Writes a value everywhere.
    #[inline(always)]
    fn fill(out: &mut [i8], value: i8) {
        out.fill(value);
    }

    /// Brings results into a range within that of `int8`.
    #[inline(never)]
    fn clamp(out: &mut [i8], range: Activation) {
        let mut at = 0;
        while let Some(out) = out.get_mut(at) {
            *out = range.clamp(i32::from(*out)) as i8;
            at = hidden(at + 1);
        }
    }

    /// `Σ_i values[i]`.
    #[inline(never)]
    fn sum(values: &[i8]) -> i32 {
        values.iter().fold(0i32, |sum, value| sum.wrapping_add(i32::from(*value)))
    }

    /// `out[j] = bias[j] + offset · Σ_i rows[j·n + i]` for rows of `n = rows.len() / out.len()` elements; no bias is 0.
    ///
    /// `None` when there is less bias than output.
    fn fold(rows: &[i8], bias: Option<&[i32]>, offset: i32, out: &mut [i32]) -> Option<()> {
        let length = rows.len().checked_div(out.len())?;
        for (index, out) in out.iter_mut().enumerate() {
            let bias = match bias {
                Some(bias) => *bias.get(index)?,
                None => 0,
            };
            *out = match offset {
                0 => bias,
                _ => {
                    let row = rows.get(index * length..)?.get(..length)?;
                    bias.wrapping_add(offset.wrapping_mul(Self::sum(row)))
                }
            };
        }
        Some(())
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

    /// Adds two operands into `out`, element by element, as [`AddParams::apply`]: `ANY`, or such as both advance and are scaled [plainly](is_plain),
    /// without code for others.
    fn add<const ANY: bool>(params: &AddParams, operands: Run<'_, i8>, out: &mut [i8]) {
        sum::add::<Self, ANY>(params, operands, out);
    }

    /// Multiplies two operands into `out`, element by element, as [`MulParams::apply`].
    fn multiply(params: &MulParams, operands: Run<'_, i8>, out: &mut [i8]) {
        sum::multiply::<Self>(params, operands, out);
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

    /// The greatest value at any position of each window for each channel, brought into a range; see [`raise`].
    ///
    /// `None` when a position lies outside of the windows' elements.
    #[inline(always)]
    fn raise_windows(windows: &Windows<'_>, activation: Activation, out: &mut [i8]) -> Option<()> {
        windows.for_each(out, |window, out| raise::<Self>(window, windows, activation, out))
    }

    /// The rounded mean over each window for each channel, brought into a range; see [`average`]. Windows may have more than
    /// [`POSITIONS_MAX`] positions only if `MAY_BE_LARGE`.
    ///
    /// `None` when a position lies outside of the windows' elements, or there is none, or there are too many.
    #[inline(always)]
    fn average_windows<const MAY_BE_LARGE: bool>(
        windows: &Windows<'_>,
        activation: Activation,
        out: &mut [i8],
    ) -> Option<()> {
        windows.for_each(out, |window, out| average::<Self>(window, windows, activation, out))
    }

    /// Softmax of a row of `(length, step)`: elements that lie `step` apart; see [`exponentials`].
    ///
    /// `None` when a slice is too short.
    #[inline(always)]
    fn softmax_row(
        scale: &SoftmaxScale,
        result: SoftmaxResult,
        places: (usize, usize),
        input: &[i8],
        out: &mut [i8],
    ) -> Option<()> {
        exponentials(scale, result, places, input, out)
    }

    /// Writes `table[input + 128]` into `out`, element by element.
    fn lookup(table: &[i8; ENTRIES], input: &[i8], out: &mut [i8]) {
        for (out, input) in out.iter_mut().zip(input) {
            *out = table[usize::from(entry_of(*input))];
        }
    }
}

/// Whether a factor is [short](Micro::is_short) for every instruction set: normalized, and below a half.
#[inline(always)]
pub(crate) fn is_short(factor: Requantize) -> bool {
    factor.multiplier >= 1 << 30 && factor.shift < 0
}

/// The positions of windows that every instruction set has loops for: sums of so many bytes fit 16 bits.
pub const POSITIONS_MAX: usize = 256;

mod pool;
mod softmax;
pub(crate) mod sum;

pub use pool::{average, average_long, raise};
pub use softmax::exponentials;
pub use sum::is_plain;

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

/// The number of products of 16 and 8 bits whose sum fits 32 bits whatever their values: `2^31 / (2^15 · 2^7)`, less one.
pub(crate) const PRODUCTS_S16: usize = 511;

/// Adds up dot products of 16-bit elements with two rows, over the shortest of all three, from those of blocks whose sums fit 32 bits.
#[inline(always)]
pub(crate) fn in_blocks_s16(
    mut lhs: &[i16],
    [mut first, mut second]: [&[i8]; 2],
    block: impl Fn(&[i16], [&[i8]; 2]) -> [i32; 2],
) -> [i64; 2] {
    let mut sums = [0i64; 2];
    // Whole quads, which loops take.
    const BLOCK: usize = PRODUCTS_S16 / 4 * 4;
    loop {
        let count = BLOCK.min(lhs.len()).min(first.len()).min(second.len());
        let (
            Some((lhs_block, lhs_rest)),
            Some((first_block, first_rest)),
            Some((second_block, second_rest)),
        ) = (
            lhs.split_at_checked(count),
            first.split_at_checked(count),
            second.split_at_checked(count),
        )
        else {
            return sums;
        };
        if count == 0 {
            return sums;
        }
        let [a, b] = block(lhs_block, [first_block, second_block]);
        sums = [sums[0] + i64::from(a), sums[1] + i64::from(b)];
        (lhs, first, second) = (lhs_rest, first_rest, second_rest);
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

/// Windows of the same extents that are a step apart.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// The first one, with the elements of all.
    pub first: Window<'a>,
    /// The rows of each.
    pub rows: usize,
    /// The columns of each.
    pub columns: usize,
    /// The number of windows.
    pub count: usize,
    /// The distance from one to the next.
    pub step: usize,
}

impl<'a> Windows<'a> {
    /// Calls `compute` with each window and its elements of the result.
    #[inline(always)]
    pub fn for_each(
        &self,
        out: &mut [i8],
        mut compute: impl FnMut(Window<'a>, &mut [i8]) -> Option<()>,
    ) -> Option<()> {
        let channels = out.len().checked_div(self.count)?.max(1);
        for (index, out) in out.chunks_exact_mut(channels).enumerate() {
            let elements = self.first.elements.get(index * self.step..)?;
            compute(Window { elements, ..self.first }, out)?;
        }
        Some(())
    }
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
