//! Means over axes, in `float32`, with sums in `float64`.
//!
//! ```text
//! for each element of the result, in memory order:
//!     go along the axes that are summed over, from where the element's index leads in the input
//! ```

use super::require_disjoint;
use crate::memory::{Location, Memory};
use crate::micro::Micro;
use crate::operand::{Lists, Loaded};
use cortado_contract::ops::FloatMean;
use cortado_contract::ops::float_mean::{MeanAxes, MeanAxis, argument};
use cortado_contract::strided::MAX_AXES;
use cortado_contract::value::{TensorMeta, Violation};

/// Word 0 (how many axes are kept, how many there are), input, output, number of input elements, and the axes.
pub const STATE_WORDS: usize = 4 + 2 * MAX_AXES;

/// Computes means. `None` when `input` is shorter than the axes say.
pub fn mean(axes: &MeanAxes, input: &[f32], out: &mut [f32]) -> Option<()> {
    let kept = axes.axes.get(..axes.kept)?;
    let summed = axes.axes.get(axes.kept..axes.count)?;
    let (lines, line) = match summed.split_last() {
        Some((line, lines)) => (lines, *line),
        None => (summed, MeanAxis { extent: 1, stride: 1 }),
    };
    let count = summed.iter().fold(1.0, |count, axis| count * f64::from(axis.extent));
    let is_empty = summed.iter().any(|axis| axis.extent == 0);
    let mut start = Odometer::default();
    for out in out {
        let mut sum = 0.0f64;
        let mut at = Odometer::default();
        loop {
            if is_empty {
                break;
            }
            let values = input.get(start.offset.checked_add(at.offset)?..)?;
            let last = (line.extent as usize - 1).checked_mul(line.stride as usize)?;
            let values = values.get(..=last)?.iter().step_by(line.stride.max(1) as usize);
            sum = values.fold(sum, |sum, value| sum + f64::from(*value));
            if !at.advance(lines) {
                break;
            }
        }
        *out = (sum / count) as f32;
        start.advance(kept);
    }
    Some(())
}

/// A position along axes, outermost first.
#[derive(Default)]
struct Odometer {
    indices: [u32; MAX_AXES],
    offset: usize,
}

impl Odometer {
    /// Goes on by one step of the innermost axis that has one left; back to the start and `false` after the last position.
    fn advance(&mut self, axes: &[MeanAxis]) -> bool {
        for (index, axis) in self.indices.iter_mut().zip(axes).rev() {
            *index += 1;
            self.offset += axis.stride as usize;
            if *index < axis.extent {
                return true;
            }
            self.offset -= *index as usize * axis.stride as usize;
            *index = 0;
        }
        false
    }
}

pub(super) fn prepare<L: Lists>(
    arguments: &FloatMean<Loaded<L>>,
    _program: &[u8],
    state: &mut [u32],
) -> Result<(), Violation> {
    let FloatMean { input, out, .. } = arguments;
    require_disjoint(out, argument::out, &[Some(input)])?;
    let axes = arguments.axes().unwrap_or(MeanAxes::NONE);
    if let [head, source, target, count, words @ ..] = state {
        *head |= (axes.kept as u32) << 8 | (axes.count as u32) << 16;
        *source = Location::to_word(Some(input.location));
        *target = Location::to_word(Some(out.location));
        *count = input.element_count().unwrap_or(0);
        for (words, axis) in words.as_chunks_mut().0.iter_mut().zip(axes.axes) {
            *words = [axis.extent, axis.stride];
        }
    }
    Ok(())
}

pub(super) fn execute<M: Micro>(state: &[u32], memory: &mut Memory<'_>) -> Option<()> {
    let [head, source, target, count, words @ ..] = <&[u32; STATE_WORDS]>::try_from(state).ok()?;
    let mut axes = MeanAxes::NONE;
    for (axis, [extent, stride]) in axes.axes.iter_mut().zip(words.as_chunks().0) {
        *axis = MeanAxis { extent: *extent, stride: *stride };
    }
    (axes.kept, axes.count) = ((head >> 8 & 0xff) as usize, (head >> 16) as usize);
    let kept = axes.axes.get(..axes.kept)?;
    let results = kept.iter().map(|axis| axis.extent as usize).product();
    let (reader, out) = memory.write::<f32>(Location::from_word(*target)?, results)?;
    mean(&axes, reader.read(Location::from_word(*source)?, *count as usize)?, out)
}
