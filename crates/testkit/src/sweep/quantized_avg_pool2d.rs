//! Average pooling.

use crate::random::Random;
use crate::suite::{Failure, Suite, What, compare};
use crate::workspace::Workspace;
use cortado_contract::ops::quantized_avg_pool2d::{Pool, Windows, reference};
use cortado_contract::quant::Activation;
use cortado_kernels::Micro;
use cortado_kernels::generic::quantized_avg_pool2d::avg_pool;

/// Around the 16 channels that are summed at once.
const CHANNELS: &[u32] = &[0, 1, 3, 8, 15, 16, 17, 33];
const BATCHES: &[u32] = &[1, 2];
/// The elements for which boards have the memory.
const ELEMENTS_MAX: u32 = 5000;
/// Image, window, stride, padding and dilation, along the height and along the width.
const WINDOWS: &[[[u32; 5]; 2]] = &[
    [[1, 1, 1, 0, 1], [1, 1, 1, 0, 1]],
    [[4, 2, 2, 0, 1], [4, 2, 2, 0, 1]],
    [[5, 2, 2, 0, 1], [6, 3, 1, 1, 1]],
    [[4, 4, 1, 0, 1], [5, 5, 1, 0, 1]],
    [[6, 3, 2, 1, 1], [3, 2, 3, 1, 1]],
    [[3, 3, 1, 1, 1], [7, 2, 3, 0, 1]],
    [[6, 2, 1, 0, 3], [5, 3, 2, 2, 2]],
    [[2, 4, 1, 2, 1], [1, 3, 1, 1, 1]],
    // 255 and 256 positions, whose sums of bytes fit 16 bits, and 272.
    [[15, 15, 1, 0, 1], [17, 17, 1, 0, 1]],
    [[16, 16, 1, 0, 1], [16, 16, 1, 0, 1]],
    [[16, 16, 1, 0, 1], [17, 17, 1, 0, 1]],
];

/// A kernel for pooling and its reference.
pub(super) type Kernel = fn(&Pool, Activation, &[i8], &mut [i8]) -> Option<()>;
/// The exact meaning of pooling.
pub(super) type Reference = fn(&Pool, Activation, &[i8], &mut [i8]);

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    sweep(workspace, suite, "cortex_m::quantized_avg_pool2d", avg_pool::<M>, reference);
}

/// The cases, without and with `ceil_mode`.
pub(super) fn sweep(
    workspace: &mut Workspace<'_>,
    suite: &mut Suite,
    operator: &'static str,
    kernel: Kernel,
    reference: Reference,
) {
    let mut seed = 1;
    for &batch in BATCHES {
        for &channels in CHANNELS {
            let fits = |windows: &&[[u32; 5]; 2]| {
                let [[height, ..], [width, ..]] = **windows;
                batch * channels * height * width <= ELEMENTS_MAX
            };
            for windows in WINDOWS.iter().filter(fits) {
                for ceil_mode in [false, true] {
                    let [height, width] =
                        windows.map(|[input, kernel, stride, padding, dilation]| {
                            let mut windows =
                                Windows { input, out: 0, kernel, stride, padding, dilation };
                            windows.out = windows.count(ceil_mode).unwrap_or(0);
                            windows
                        });
                    let pool = Pool { batch, channels, height, width };
                    let what = case(workspace, &pool, seed, kernel, reference);
                    let shape = [batch, channels, height.input, width.input].map(|it| it as usize);
                    let case = if ceil_mode { "ceil" } else { "floor" };
                    suite.record(what.map(|what| Failure { operator, case, seed, shape, what }));
                    seed += 1;
                }
            }
        }
    }
}

fn case(
    workspace: &mut Workspace<'_>,
    pool: &Pool,
    seed: u32,
    kernel: Kernel,
    reference: Reference,
) -> Option<What> {
    let Pool { batch, channels, height, width } = pool;
    let count = |height: u32, width: u32| (batch * channels * height * width) as usize;
    let mut random = Random::new(seed);
    let mut memory = workspace.start();
    let input = memory.take::<i8>(count(height.input, width.input));
    random.fill_i8(input);
    // Small values make ties, where the rounding shows; the least ones, the greatest sums.
    if seed.is_multiple_of(3) {
        input.iter_mut().for_each(|value| *value %= 4);
    } else if seed.is_multiple_of(5) {
        input.fill(i8::MIN);
    }
    let (a, b) = (random.between(-128, 127), random.between(-128, 127));
    let activation = match seed % 4 {
        0 => Activation { min: a.min(b), max: a.max(b) },
        _ => Activation::INT8,
    };
    let expected = memory.take::<i8>(count(height.out, width.out));
    reference(pool, activation, input, expected);
    let out = memory.guarded::<i8>(expected.len(), seed as u8);
    let Some(()) = kernel(pool, activation, input, out.values) else {
        return Some(What::Refused);
    };
    if !out.is_intact() {
        return Some(What::Guard);
    }
    compare(out.values, expected)
}
