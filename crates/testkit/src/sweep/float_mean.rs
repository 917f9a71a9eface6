//! Means over axes, in float. Sums of the cases are exact in any order.

use super::float::{fill, near, record};
use crate::random::Random;
use crate::suite::{Suite, What};
use crate::tensor::{CaseDomain, Ints, Tensor};
use crate::workspace::Workspace;
use cortado_contract::DType;
use cortado_contract::ops::{FloatMean, Rules};
use cortado_contract::strided::{MAX_AXES, strides};
use cortado_contract::value::TensorMeta;
use cortado_kernels::Micro;
use cortado_kernels::generic::float_mean::mean;

const SHAPES: &[&[u32]] = &[&[5], &[3, 4], &[2, 3, 4], &[2, 3, 4, 5], &[1, 8, 3, 3], &[2, 0, 3]];
const ORDERS: &[[u8; 4]] = &[[0, 1, 2, 3], [0, 2, 3, 1], [3, 2, 1, 0]];

/// Runs all cases on the kernels of `M`.
pub fn run<M: Micro>(workspace: &mut Workspace<'_>, suite: &mut Suite) {
    let mut seed = 0;
    for shape in SHAPES {
        for order in ORDERS {
            for reduced in 1..1u32 << shape.len() {
                for keepdim in [false, true] {
                    let input = Tensor::new(DType::F32, shape, order);
                    let what = case(workspace, input, reduced, keepdim, seed);
                    record(suite, "aten::mean", seed, input.extents(), what);
                    seed += 1;
                }
            }
        }
    }
}

fn case(
    workspace: &mut Workspace<'_>,
    input: Tensor,
    reduced: u32,
    keepdim: bool,
    seed: u32,
) -> Option<What> {
    let rank = input.rank();
    let is_reduced = |axis: usize| reduced & 1 << axis != 0;
    let (mut dims, mut shape) = ([0; MAX_AXES], [0; MAX_AXES]);
    let (mut dims_count, mut out_rank) = (0, 0);
    for axis in 0..rank {
        if is_reduced(axis) {
            dims[dims_count] = axis as i64 - rank as i64;
            dims_count += 1;
        }
        if keepdim || !is_reduced(axis) {
            shape[out_rank] = if is_reduced(axis) { 1 } else { input.dim(axis) };
            out_rank += 1;
        }
    }
    let out = Tensor::new(DType::F32, &shape[..out_rank], &[0, 2, 3, 1]);
    let dim = Some(Ints::new(&dims[..dims_count]));
    let operator = FloatMean::<CaseDomain> { input, dim, keepdim, dtype: None, out };
    let (Ok(()), Some(axes)) = (operator.check(), operator.axes()) else {
        return Some(What::Refused);
    };
    let mut memory = workspace.start();
    let values = memory.take::<f32>(input.size_bytes() / 4);
    fill(&mut Random::new(seed), values);
    let expected = memory.take::<f32>(out.size_bytes() / 4);
    expected.fill(0.0);
    let (steps, out_steps) = (strides(&input), strides(&out));
    for element in 0..input.element_count()? {
        let (mut rest, mut from, mut to, mut kept) = (element, 0, 0, out_rank);
        for axis in (0..rank).rev() {
            let index = rest % input.dim(axis);
            rest /= input.dim(axis);
            from += index * steps[axis];
            if keepdim || !is_reduced(axis) {
                kept -= 1;
                to += if is_reduced(axis) { 0 } else { index * out_steps[kept] };
            }
        }
        expected[to as usize] += values[from as usize];
    }
    let count: u32 =
        (0..rank).filter(|axis| is_reduced(*axis)).map(|axis| input.dim(axis)).product();
    let divide = |sum: &mut f32| *sum = (f64::from(*sum) / f64::from(count)) as f32;
    expected.iter_mut().for_each(divide);
    let found = memory.guarded::<f32>(expected.len(), seed as u8);
    let Some(()) = mean(&axes, values, found.values) else {
        return Some(What::Refused);
    };
    if !found.is_intact() {
        return Some(What::Guard);
    }
    near(found.values, expected, 0)
}
