//! Pooling over one and two axes.

use super::{Call, Kernel, Results};
use crate::tensor::Tensor;
use cortado_compiler::graph::Node;

pub(super) fn kernel(node: &Node) -> Option<Kernel> {
    Some(match node.target.as_str() {
        "aten.max_pool1d.default" => |call| pool(call, 1, true),
        "aten.max_pool2d.default" => |call| pool(call, 2, true),
        "aten.avg_pool1d.default" => |call| pool(call, 1, false),
        "aten.avg_pool2d.default" => |call| pool(call, 2, false),
        "aten.adaptive_avg_pool1d.default" => |call| adaptive(call, 1, false),
        "aten.adaptive_avg_pool2d.default" | "aten._adaptive_avg_pool2d.default" => {
            |call| adaptive(call, 2, false)
        }
        _ => return None,
    })
}

/// A window along one axis: where it begins and ends within the input, and its extent with padding.
struct Window {
    start: usize,
    end: usize,
    counted: usize,
}

fn pool(call: &Call<'_>, axes: usize, is_max: bool) -> Results {
    let list = |name: &str| {
        let given = call.ints(name).unwrap_or_default();
        match given[..] {
            [] => None,
            [one] => Some(vec![one; axes]),
            _ => Some(given),
        }
    };
    let kernel = list("kernel_size").ok_or("its window is not known")?;
    let stride = list("stride").unwrap_or_else(|| kernel.clone());
    let padding = list("padding").unwrap_or_else(|| vec![0; axes]);
    let dilation = list("dilation").unwrap_or_else(|| vec![1; axes]);
    if [&kernel, &stride, &padding, &dilation].iter().any(|it| it.len() < axes) {
        return Err("its window is not known".to_owned());
    }
    let counts_padding = call.flag("count_include_pad", true);
    let divisor = call.node.int("divisor_override").map(|it| it as f64);
    let input = call.input(&["self", "input"])?;
    let shape = call.out_shape()?;
    let rank = shape.len();
    let windows = |side: usize| -> Vec<Window> {
        let axis = rank - axes + side;
        let extent = input.shape()[axis] as i64;
        let window = |index: usize| {
            let begin = index as i64 * stride[side] - padding[side];
            let reach = (kernel[side] - 1) * dilation[side] + 1;
            // Padding counts; what a window covers beyond it, where the number of windows was rounded up, does not.
            let counted = (begin + reach).min(extent + padding[side]) - begin;
            let first = if begin < 0 {
                begin + (-begin + dilation[side] - 1) / dilation[side] * dilation[side]
            } else {
                begin
            };
            Window {
                start: first.max(0) as usize,
                end: (begin + reach).clamp(0, extent) as usize,
                counted: counted.max(0) as usize,
            }
        };
        (0..shape[axis]).map(window).collect()
    };
    let step = |side: usize| dilation[side].max(1) as usize;
    let (rows, cols) = match axes {
        1 => (vec![Window { start: 0, end: 1, counted: 1 }], windows(0)),
        _ => (windows(0), windows(1)),
    };
    let steps = if axes == 1 { [1, step(0)] } else { [step(0), step(1)] };
    let divide = |row: &Window, col: &Window| {
        divisor.unwrap_or(if counts_padding {
            (row.counted * col.counted) as f64
        } else {
            ((row.end - row.start) * (col.end - col.start)) as f64
        })
    };
    Ok(vec![over_windows(input, shape, axes, &rows, &cols, steps, is_max, divide)])
}

fn adaptive(call: &Call<'_>, axes: usize, is_max: bool) -> Results {
    let input = call.input(&["self", "input"])?;
    let shape = call.out_shape()?;
    let rank = shape.len();
    let windows = |side: usize| -> Vec<Window> {
        let axis = rank - axes + side;
        let (extent, count) = (input.shape()[axis], shape[axis]);
        let window = |index: usize| {
            let (start, end) = (index * extent / count, ((index + 1) * extent).div_ceil(count));
            Window { start, end, counted: end - start }
        };
        (0..count).map(window).collect()
    };
    let (rows, cols) = match axes {
        1 => (vec![Window { start: 0, end: 1, counted: 1 }], windows(0)),
        _ => (windows(0), windows(1)),
    };
    let divide = |row: &Window, col: &Window| (row.counted * col.counted) as f64;
    Ok(vec![over_windows(input, shape, axes, &rows, &cols, [1, 1], is_max, divide)])
}

#[allow(clippy::too_many_arguments, reason = "a loop over two axes has two of everything")]
fn over_windows(
    input: &Tensor,
    shape: Vec<usize>,
    axes: usize,
    rows: &[Window],
    cols: &[Window],
    steps: [usize; 2],
    is_max: bool,
    divide: impl Fn(&Window, &Window) -> f64,
) -> Tensor {
    let own = input.shape();
    let width = own[own.len() - 1];
    let plane: usize = own[own.len() - axes..].iter().product();
    let mut out = Vec::with_capacity(shape.iter().product());
    for plane in input.data().chunks_exact(plane.max(1)) {
        for row in rows {
            for col in cols {
                let (mut sum, mut max) = (0.0f64, f32::NEG_INFINITY);
                for y in (row.start..row.end).step_by(steps[0]) {
                    let line = &plane[y * width..][..width];
                    for x in (col.start..col.end).step_by(steps[1]) {
                        sum += f64::from(line[x]);
                        max = max.max(line[x]);
                    }
                }
                out.push(if is_max { max } else { (sum / divide(row, col)) as f32 });
            }
        }
    }
    Tensor::new(shape, out)
}
