//! Seeded cases for the three convolutions: every number of channels around the kernels' tiles, and geometries drawn at random.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::{Case, Workspace};
use cortado_contract::ops::quantized_conv2d::{
    BiasS16, ConvParams, ConvParamsS16, ConvShape, Plane,
};
use cortado_contract::ops::quantized_linear::Rescale;
use cortado_contract::quant::{Activation, InputOffset, OutputOffset};
use cortado_kernels::generic::int16::Int16Params;

/// A kernel.
pub(super) type Kernel = fn(&ConvShape, &ConvParams<'_>, &[i8], &[i8], &mut [i8]) -> Option<()>;
/// What a kernel is held against.
pub(super) type Reference = fn(&ConvShape, &ConvParams<'_>, &[i8], &[i8], &mut [i8]);

/// A kernel over 16-bit activations.
pub(super) type KernelInt16 =
    fn(&ConvShape, &Int16Params<'_>, &[i16], &[i8], &mut [i16]) -> Option<()>;
/// What a kernel over 16-bit activations is held against.
pub(super) type ReferenceInt16 = fn(&ConvShape, &ConvParamsS16<'_>, &[i16], &[i8], &mut [i16]);

/// How a convolution reads its weights, which decides the geometries that it is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Dense and grouped ones.
    Grouped,
    /// One input channel per output channel.
    Depthwise,
    /// Dense transposed ones.
    Transposed,
}

/// The elements of input, weights and both outputs together; of two bytes each, they fit the memory of a sweep together with the
/// constants.
const ELEMENTS: usize = 3 * 1024;

const CHANNELS: &[usize] = &[1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 33];

/// Runs all cases of a kernel.
pub(super) fn sweep(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    kind: Kind,
    kernel: Kernel,
    reference: Reference,
) {
    for_each_case(suite, (operator, ""), kind, 4, |random, seed, shape| {
        case(workspace, random, seed, shape, kernel, reference)
    });
}

/// A geometry at the edges of the loops that instruction sets have: input, channels, kernel, output channels, stride, padding.
#[derive(Clone, Copy)]
pub(super) struct Edge(
    pub(super) (usize, usize),
    pub(super) usize,
    pub(super) (usize, usize),
    pub(super) usize,
    pub(super) usize,
    pub(super) usize,
);

impl Edge {
    fn shape(self, kind: Kind) -> ConvShape {
        let Edge((height, width), in_channels, (rows, columns), out_channels, stride, padding) =
            self;
        let outputs = |input: usize, taps: usize| match kind {
            Kind::Transposed => (input - 1) * stride + taps - 2 * padding,
            _ => (input + 2 * padding - taps) / stride + 1,
        };
        ConvShape {
            batches: 1,
            input: Plane { height, width },
            in_channels,
            output: Plane { height: outputs(height, rows), width: outputs(width, columns) },
            out_channels,
            kernel: Plane { height: rows, width: columns },
            group_channels: if kind == Kind::Depthwise { 1 } else { in_channels },
            stride: Plane::square(stride),
            padding: Plane::square(padding),
            dilation: Plane::square(1),
        }
    }
}

/// Runs a kernel on these geometries, each of them with several parameters.
pub(super) fn sweep_edges(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    kind: Kind,
    edges: impl Iterator<Item = Edge>,
    (kernel, reference): (Kernel, Reference),
) {
    for_each_edge(suite, operator, kind, edges, 2, |random, seed, shape| {
        case(workspace, random, seed, shape, kernel, reference)
    });
}

/// Records a case for every edge, `rounds` times.
fn for_each_edge(
    suite: &mut Suite,
    operator: &'static str,
    kind: Kind,
    edges: impl Iterator<Item = Edge>,
    rounds: usize,
    mut run: impl FnMut(&mut Random, u32, &ConvShape) -> Option<What>,
) {
    let mut seed = 1;
    for shape in edges.map(|edge| edge.shape(kind)) {
        for _ in 0..rounds {
            let what = run(&mut Random::new(seed), seed, &shape);
            suite.record(what.map(|what| Failure {
                operator,
                case: "edge",
                seed,
                shape: [
                    shape.in_channels,
                    shape.out_channels,
                    shape.kernel.area(),
                    shape.output.area(),
                ],
                what,
            }));
            seed += 1;
        }
    }
}

/// Runs cases of a kernel that takes packed 4-bit weights.
pub(super) fn sweep_packed(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    kind: Kind,
    kernel: Kernel,
    reference: Reference,
) {
    for_each_case(suite, (operator, "4-bit weights"), kind, 1, |random, seed, shape| {
        packed_case(workspace, random, seed, shape, kernel, reference)
    });
}

/// Runs cases of a kernel over 16-bit activations.
pub(super) fn sweep_int16(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    kind: Kind,
    edges: &[Edge],
    (kernel, reference): (KernelInt16, ReferenceInt16),
) {
    for_each_case(suite, (operator, ""), kind, 1, |random, seed, shape| {
        int16_case(workspace, random, seed, shape, kernel, reference)
    });
    for_each_edge(suite, operator, kind, edges.iter().copied(), 1, |random, seed, shape| {
        int16_case(workspace, random, seed, shape, kernel, reference)
    });
}

/// Records a case for every pair of channels, `rounds` times.
fn for_each_case(
    suite: &mut Suite,
    (operator, case): (&'static str, &'static str),
    kind: Kind,
    rounds: usize,
    mut run: impl FnMut(&mut Random, u32, &ConvShape) -> Option<What>,
) {
    let mut seed = 1;
    for &in_channels in CHANNELS {
        for &out_channels in CHANNELS {
            for _ in 0..rounds {
                let mut random = Random::new(seed);
                let shape = geometry(&mut random, kind, in_channels, out_channels);
                suite.record(run(&mut random, seed, &shape).map(|what| Failure {
                    operator,
                    case,
                    seed,
                    shape: [in_channels, shape.out_channels, shape.kernel.area(), shape.groups()],
                    what,
                }));
                seed += 1;
            }
        }
    }
}

/// A geometry with these channels, or a depthwise one with a like number of output channels, that fits the memory.
fn geometry(random: &mut Random, kind: Kind, in_channels: usize, out_channels: usize) -> ConvShape {
    loop {
        let shape = draw(random, kind, in_channels, out_channels);
        let images =
            shape.input.area() * shape.in_channels + 2 * shape.output.area() * shape.out_channels;
        let elements = shape.batches * images + shape.out_channels * shape.kernel_size();
        if elements <= ELEMENTS {
            return shape;
        }
    }
}

fn draw(random: &mut Random, kind: Kind, in_channels: usize, out_channels: usize) -> ConvShape {
    let (rows, columns) = (Axis::draw(random, kind), Axis::draw(random, kind));
    let plane =
        |number: fn(&Axis) -> usize| Plane { height: number(&rows), width: number(&columns) };
    let groups = (1..=out_channels.min(in_channels))
        .filter(|groups| {
            in_channels.is_multiple_of(*groups) && out_channels.is_multiple_of(*groups)
        })
        .nth(random.between(0, 2) as usize)
        .unwrap_or(1);
    let (group_channels, out_channels) = match kind {
        Kind::Grouped => (in_channels / groups, out_channels),
        Kind::Depthwise => (1, in_channels * out_channels.div_ceil(in_channels)),
        Kind::Transposed => (in_channels, out_channels),
    };
    ConvShape {
        batches: random.between(1, 2) as usize,
        input: plane(|axis| axis.input),
        in_channels,
        output: plane(|axis| axis.output),
        out_channels,
        kernel: plane(|axis| axis.kernel),
        group_channels,
        stride: plane(|axis| axis.stride),
        padding: plane(|axis| axis.padding),
        dilation: plane(|axis| axis.dilation),
    }
}

/// Rows or columns.
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Axis {
    fn draw(random: &mut Random, kind: Kind) -> Axis {
        let mut number = |min, max| random.between(min, max) as usize;
        let (input, kernel) = (number(1, 6), number(1, 4));
        let (stride, padding) = (number(1, 3), number(0, 3));
        // Mostly undilated.
        let dilation = number(0, 5).saturating_sub(2).max(1);
        // One position more than even padding gives.
        let added = number(0, 1);
        let reach = dilation * (kernel - 1);
        let output = if kind == Kind::Transposed {
            ((input - 1) * stride + reach + 1 + added).saturating_sub(2 * padding)
        } else {
            (input + 2 * padding).saturating_sub(reach).div_ceil(stride) + added
        };
        Axis { input, output, kernel, stride, padding, dilation }
    }
}

fn case(
    workspace: &mut Workspace<'_>,
    random: &mut Random,
    seed: u32,
    shape: &ConvShape,
    kernel: Kernel,
    reference: Reference,
) -> Option<What> {
    let mut memory = workspace.start();
    let input = memory.take::<i8>(shape.batches * shape.input.area() * shape.in_channels);
    let weights = memory.take::<i8>(shape.out_channels * shape.kernel_size());
    random.fill_i8(input);
    random.fill_i8(weights);
    let params = params(&mut memory, random, seed, shape.out_channels);
    let outputs = shape.batches * shape.output.area() * shape.out_channels;
    let expected = memory.take::<i8>(outputs);
    reference(shape, &params, input, weights, expected);
    let out = memory.guarded::<i8>(outputs, seed as u8);
    if kernel(shape, &params, input, weights, out.values).is_none() {
        return Some(What::Refused);
    }
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}

fn packed_case(
    workspace: &mut Workspace<'_>,
    random: &mut Random,
    seed: u32,
    shape: &ConvShape,
    kernel: Kernel,
    reference: Reference,
) -> Option<What> {
    let mut memory = workspace.start();
    let input = memory.take::<i8>(shape.batches * shape.input.area() * shape.in_channels);
    random.fill_i8(input);
    let count = shape.out_channels * shape.kernel_size();
    let weights = memory.take::<i8>(count);
    weights.iter_mut().for_each(|weight| *weight = random.between(-8, 7) as i8);
    let packed = memory.take::<i8>(count.div_ceil(2));
    packed.fill(0);
    for (index, weight) in weights.iter().enumerate() {
        packed[index / 2] |= (weight & 0xf) << (index % 2 * 4);
    }
    let params = params(&mut memory, random, seed, shape.out_channels);
    let outputs = shape.batches * shape.output.area() * shape.out_channels;
    let expected = memory.take::<i8>(outputs);
    reference(shape, &params, input, weights, expected);
    let out = memory.guarded::<i8>(outputs, seed as u8);
    if kernel(shape, &params, input, packed, out.values).is_none() {
        return Some(What::Refused);
    }
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}

fn int16_case(
    workspace: &mut Workspace<'_>,
    random: &mut Random,
    seed: u32,
    shape: &ConvShape,
    kernel: KernelInt16,
    reference: ReferenceInt16,
) -> Option<What> {
    let mut memory = workspace.start();
    let input = memory.take::<i16>(shape.batches * shape.input.area() * shape.in_channels);
    input.iter_mut().for_each(|value| *value = random.between(-32768, 32767) as i16);
    let weights = memory.take::<i8>(shape.out_channels * shape.kernel_size());
    random.fill_i8(weights);
    let wide = memory.take::<i64>(shape.out_channels);
    wide.iter_mut().for_each(|bias| *bias = i64::from(random.between(i32::MIN, i32::MAX)) << 4);
    let ConvParams { rescale, .. } = params(&mut memory, random, seed, shape.out_channels);
    let Rescale::PerChannel { multipliers, shifts } = rescale else { return Some(What::Refused) };
    let bias = if seed.is_multiple_of(3) { None } else { Some(&*wide) };
    let activation = Activation { min: -32768, max: random.between(0, 32767) };
    let params = ConvParamsS16 { bias: BiasS16::Wide(bias), rescale, activation };
    let outputs = shape.batches * shape.output.area() * shape.out_channels;
    let expected = memory.take::<i16>(outputs);
    reference(shape, &params, input, weights, expected);
    let out = memory.guarded::<i16>(outputs, seed as u8);
    let params = Int16Params { bias, multipliers, shifts, activation };
    if kernel(shape, &params, input, weights, out.values).is_none() {
        return Some(What::Refused);
    }
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}

/// Numbers around their limits; every fifth layer is without bias.
fn params<'c>(
    memory: &mut Case<'c>,
    random: &mut Random,
    seed: u32,
    channels: usize,
) -> ConvParams<'c> {
    let bias = memory.take::<i32>(channels);
    // Every fourth case wraps around in 32 bits, the others stay where layers are.
    let limit = if seed.is_multiple_of(4) { i32::MAX } else { 1 << 16 };
    bias.iter_mut().for_each(|bias| *bias = random.between(-limit, limit));
    let multipliers = memory.take::<i32>(channels);
    multipliers.iter_mut().for_each(|multiplier| *multiplier = random.between(1 << 30, i32::MAX));
    let shift_max = if seed.is_multiple_of(7) { 8 } else { -5 };
    let shifts = memory.take::<i32>(channels);
    shifts.iter_mut().for_each(|shift| *shift = random.between(-14, shift_max));
    let (min, max) = (random.between(-128, 127), random.between(-128, 127));
    ConvParams {
        input_offset: InputOffset(random.between(-127, 128)),
        output_offset: OutputOffset(random.between(-128, 127)),
        bias: if seed.is_multiple_of(5) { None } else { Some(&*bias) },
        rescale: Rescale::PerChannel { multipliers, shifts },
        activation: if seed.is_multiple_of(2) {
            Activation::INT8
        } else {
            Activation { min: min.min(max), max: min.max(max) }
        },
    }
}
