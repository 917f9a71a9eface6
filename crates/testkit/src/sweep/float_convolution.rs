//! Convolutions, in float. Sums of the cases are exact in any order.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{FloatConvolution, Rules};
use cortado_contract::strided::strides;
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_convolution::convolve;

/// Batches, channels in a group, groups, output channels in a group; input and kernel extents; stride, padding, dilation.
struct Geometry {
    channels: [u32; 4],
    input: [u32; 2],
    kernel: [u32; 2],
    steps: [i64; 3],
}

const GEOMETRIES: &[Geometry] = &[
    Geometry { channels: [1, 1, 1, 1], input: [1, 1], kernel: [1, 1], steps: [1, 0, 1] },
    Geometry { channels: [2, 3, 1, 4], input: [5, 6], kernel: [3, 3], steps: [1, 1, 1] },
    Geometry { channels: [1, 5, 1, 3], input: [7, 5], kernel: [3, 2], steps: [2, 1, 1] },
    Geometry { channels: [1, 4, 1, 2], input: [9, 8], kernel: [3, 3], steps: [1, 2, 2] },
    Geometry { channels: [2, 1, 6, 1], input: [5, 5], kernel: [3, 3], steps: [2, 1, 1] },
    Geometry { channels: [1, 2, 3, 2], input: [4, 6], kernel: [2, 3], steps: [1, 0, 1] },
    Geometry { channels: [1, 8, 1, 5], input: [4, 4], kernel: [1, 1], steps: [3, 0, 1] },
    Geometry { channels: [1, 2, 1, 3], input: [2, 2], kernel: [5, 5], steps: [1, 4, 1] },
    Geometry { channels: [0, 2, 1, 3], input: [4, 4], kernel: [3, 3], steps: [1, 0, 1] },
];
const ORDERS: &[[u8; 4]] = &[[0, 1, 2, 3], [0, 2, 3, 1]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 0;
    for geometry in GEOMETRIES {
        for order in ORDERS {
            for rank in [3, 4] {
                for has_bias in [false, true] {
                    let what = case(workspace, geometry, order, rank, has_bias, seed);
                    let [height, width] = geometry.input.map(|extent| extent as usize);
                    record(suite, "aten::convolution", seed, [rank, height, width, 0], what);
                    seed += 1;
                }
            }
        }
    }
}

fn case(
    workspace: &mut Workspace<'_>,
    geometry: &Geometry,
    order: &[u8; 4],
    rank: usize,
    has_bias: bool,
    seed: u32,
) -> Option<What> {
    let [batches, group_channels, groups, group_outputs] = geometry.channels;
    let [stride, padding, dilation] = geometry.steps;
    let mut results = [0; 2];
    for ((result, input), kernel) in results.iter_mut().zip(geometry.input).zip(geometry.kernel) {
        let span = dilation * (i64::from(kernel) - 1) + 1;
        *result = ((i64::from(input) + 2 * padding - span) / stride + 1) as u32;
    }
    // Along one axis, the last extents count.
    let tensor = |leading: [u32; 2], extents: [u32; 2]| {
        let shape = [leading[0], leading[1], extents[0], extents[1]];
        let line = [leading[0], leading[1], extents[1]];
        Tensor::new(DType::F32, if rank == 4 { &shape } else { &line }, order)
    };
    let input = tensor([batches, group_channels * groups], geometry.input);
    let weight = tensor([group_outputs * groups, group_channels], geometry.kernel);
    let out = tensor([batches, group_outputs * groups], results);
    let list = |number: i64| Ints::new(&[number, number][..rank - 2]);
    let operator = FloatConvolution::<CaseDomain> {
        input,
        weight,
        bias: has_bias.then(|| Tensor::new(DType::F32, &[group_outputs * groups], &[0])),
        stride: list(stride),
        padding: list(padding),
        dilation: list(dilation),
        transposed: false,
        output_padding: list(0),
        groups: i64::from(groups),
        out,
    };
    let (Ok(()), Some(convolution)) = (operator.check(), operator.convolution()) else {
        return Some(What::Refused);
    };
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input_values = memory.take::<f32>(input.size_bytes() / 4);
    let weights = memory.take::<f32>(weight.size_bytes() / 4);
    let bias = memory.take::<f32>((group_outputs * groups) as usize);
    for values in [&mut *input_values, &mut *weights, &mut *bias] {
        fill(&mut random, values);
    }
    let bias = has_bias.then_some(&*bias);
    let expected = memory.take::<f32>(out.size_bytes() / 4);
    reference(&operator, input_values, weights, bias, expected);
    let found = memory.guarded::<f32>(expected.len(), seed as u8);
    let Some(()) = convolve(&convolution, input_values, weights, bias, found.values) else {
        return Some(What::Refused);
    };
    if !found.is_intact() {
        return Some(What::Guard);
    }
    near(found.values, expected, 0)
}

/// The definition: every weight adds to every result that it reaches.
fn reference(
    operator: &FloatConvolution<CaseDomain>,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let FloatConvolution { input: from, weight, out: to, .. } = operator;
    let get = |list: &Ints| cortado_contract::value::IntList::get(list, 0).unwrap_or(0);
    let (stride, padding) = (get(&operator.stride), get(&operator.padding));
    let dilation = get(&operator.dilation);
    // Along one axis, the height is a second axis of extent 1 without a stride.
    let last = to.rank() - 1;
    let height = |tensor: &Tensor| if last == 3 { tensor.dim(2) } else { 1 };
    let steps = |tensor: &Tensor| {
        let steps = strides(tensor);
        [steps[0], steps[1], if last == 3 { steps[2] } else { 0 }, steps[last]]
    };
    let at = |steps: [u32; 4], index: [u32; 4]| {
        steps.iter().zip(index).map(|(step, index)| step * index).sum::<u32>() as usize
    };
    let (from_steps, weight_steps, to_steps) = (steps(from), steps(weight), steps(to));
    let group_outputs = to.dim(1) / operator.groups as u32;
    let position = |window: u32, tap: u32, extent: u32, padding: i64| {
        let position = i64::from(window) * stride + i64::from(tap) * dilation - padding;
        u32::try_from(position).ok().filter(|position| *position < extent)
    };
    for [n, o, y, x] in indices([to.dim(0), to.dim(1), height(to), to.dim(last)]) {
        let mut sum = bias.map_or(0.0, |bias| bias[o as usize]);
        for [_, c, i, j] in indices([1, weight.dim(1), height(weight), weight.dim(last)]) {
            let vertical_padding = if last == 3 { padding } else { 0 };
            let row = position(y, i, height(from), vertical_padding);
            let (Some(row), Some(col)) = (row, position(x, j, from.dim(last), padding)) else {
                continue;
            };
            let channel = o / group_outputs * weight.dim(1) + c;
            let value = input[at(from_steps, [n, channel, row, col])];
            sum += value * weights[at(weight_steps, [o, c, i, j])];
        }
        out[at(to_steps, [n, o, y, x])] = sum;
    }
}

/// All indices of four axes.
fn indices(extents: [u32; 4]) -> impl Iterator<Item = [u32; 4]> {
    let [a, b, c, d] = extents;
    (0..a * b * c * d).map(move |at| [at / (b * c * d), at / (c * d) % b, at / d % c, at % d])
}
