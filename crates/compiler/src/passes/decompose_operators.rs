//! Writes operators that no kernel stands for by operators that have one, each in its plain sense.
//!
//! | operator | as |
//! |---|---|
//! | `prelu` with a slope per channel | `relu(x) + slope · min(x, 0)` |
//! | `glu` | `a · sigmoid(b)` of both halves |
//! | `sum` | the mean times the number of elements |
//! | `var`, `std` | the mean of the squared distances from the mean, times `n / (n − correction)`; its root |
//! | `group_norm`, `instance_norm` | layer normalization of each group, and a product and a sum per channel |
//! | `rms_norm` | `x · rsqrt(mean(x²) + eps) · weight` |
//! | `amax`, `max`, `amin`, `min`, where nobody reads indices | maximum pooling with a window of the whole, of the negated input for minima |
//! | `logsumexp` | an element less the logarithm of its softmax |
//! | `addcmul`, `lerp`, `cosine_similarity` | sums and products |
//! | `cumsum` | a linear layer whose weights are ones up to the diagonal |
//! | `einsum` of two operands | a product of matrices |
//! | `index` with constants along one axis | slices, joined |
//! | `adaptive_avg_pool`, `adaptive_max_pool` | pooling; where windows differ, of one slice after the other, an axis at a time |
//! | the Euclidean `linalg_vector_norm` | the root of the mean of squares times the number of elements |
//! | `roll`, `flip`, `pad` with what is reflected, repeated or comes around | slices, joined otherwise |
//! | `upsample_linear1d`, `upsample_bilinear2d` | a linear layer along each axis, whose weights are the interpolation's |

use super::PassContext;
use super::fold_qparams::constant_numbers;
use super::rewriter::{Rewriter, replace_each};
use crate::error::CompileError;
use crate::graph::{Argument, Graph, ValueId};
use cortado_contract::DType;
use cortado_contract::strided::axis_of;

pub(super) fn run(_: &PassContext, graph: &mut Graph) -> Result<(), CompileError> {
    replace_each(graph, |rewriter| {
        let output = *rewriter.origin.outputs.first()?;
        let named = ["self", "input", "x1"].iter().find_map(|name| rewriter.origin.value(name));
        let input = named.or_else(|| rewriter.origin.operands().next())?;
        if !rewriter.is_f32(input) || !rewriter.is_f32(output) {
            return None;
        }
        let operation = Operation { rewriter, input, output };
        match operation.rewriter.origin.target.as_str() {
            "aten.prelu.default" => operation.prelu(),
            "aten.glu.default" => operation.glu(),
            "aten.sum.default" | "aten.sum.dim_IntList" => operation.sum(),
            "aten.var.dim" | "aten.var.correction" => operation.variance(false),
            "aten.std.dim" | "aten.std.correction" => operation.variance(true),
            "aten.group_norm.default" => operation.group_norm(),
            "aten.instance_norm.default" => operation.instance_norm(),
            "aten.rms_norm.default" => operation.rms_norm(),
            "aten.amax.default" | "aten.max.dim" | "aten.max.default" => operation.maximum(false),
            "aten.amin.default" | "aten.min.dim" | "aten.min.default" => operation.maximum(true),
            "aten.logsumexp.default" => operation.log_sum_exp(),
            "aten.addcmul.default" => operation.add_product(),
            "aten.lerp.Scalar" => operation.blend(),
            "aten.cosine_similarity.default" => operation.cosine_similarity(),
            "aten.cumsum.default" => operation.cumulative_sum(),
            "aten.einsum.default" => operation.einsum(),
            "aten.index.Tensor" => operation.index(),
            "aten.adaptive_avg_pool1d.default" => operation.adaptive_pool("avg_pool2d", 1),
            "aten.adaptive_avg_pool2d.default" | "aten._adaptive_avg_pool2d.default" => {
                operation.adaptive_pool("avg_pool2d", 2)
            }
            "aten.adaptive_max_pool1d.default" => operation.adaptive_pool("max_pool2d", 1),
            "aten.adaptive_max_pool2d.default" => operation.adaptive_pool("max_pool2d", 2),
            "aten.linalg_vector_norm.default" => operation.norm(),
            "aten.roll.default" => operation.roll(),
            "aten.flip.default" => operation.flip(),
            "aten.pad.default" => operation.pad(),
            "aten.upsample_linear1d.default" | "aten.upsample_linear1d.vec" => {
                operation.interpolate(1)
            }
            "aten.upsample_bilinear2d.default" | "aten.upsample_bilinear2d.vec" => {
                operation.interpolate(2)
            }
            _ => None,
        }
    });
    graph.remove_dead_nodes();
    Ok(())
}

/// A node that is written by others.
struct Operation<'r, 'g> {
    rewriter: &'r mut Rewriter<'g>,
    input: ValueId,
    output: ValueId,
}

fn ints(numbers: impl IntoIterator<Item = i64>) -> Argument {
    Argument::Ints(numbers.into_iter().collect())
}

impl Operation<'_, '_> {
    fn shape(&self) -> Vec<u32> {
        self.rewriter.shape(self.input).to_vec()
    }

    /// A function of one tensor and a number, or of two tensors of the first one's extents or fewer.
    fn binary(&mut self, target: &str, lhs: ValueId, rhs: Argument) -> ValueId {
        let shape = self.rewriter.shape(lhs).to_vec();
        let what = target.split('.').nth(1).unwrap_or(target).to_owned();
        self.rewriter.call(&what, target, [("self", lhs.into()), ("other", rhs)], shape)
    }

    fn unary(&mut self, target: &str, input: ValueId) -> ValueId {
        let shape = self.rewriter.shape(input).to_vec();
        let what = target.split('.').nth(1).unwrap_or(target).to_owned();
        self.rewriter.call(&what, target, [("self", input.into())], shape)
    }

    /// Part of a tensor along an axis.
    fn slice(&mut self, input: ValueId, axis: usize, start: u32, end: u32) -> ValueId {
        let mut shape = self.rewriter.shape(input).to_vec();
        shape[axis] = end - start;
        let arguments = [
            ("self", input.into()),
            ("dim", Argument::Int(axis as i64)),
            ("start", Argument::Int(start.into())),
            ("end", Argument::Int(end.into())),
        ];
        self.rewriter.call("slice", "aten.slice.Tensor", arguments, shape)
    }

    /// Tensors one behind the other along an axis, of which the result has this extent.
    fn joined(&mut self, what: &str, parts: &[ValueId], axis: usize, extent: u32) -> ValueId {
        let mut shape = self.rewriter.shape(parts[0]).to_vec();
        shape[axis] = extent;
        let parts = parts.iter().map(|id| Some(*id)).collect();
        let arguments = [("tensors", Argument::Values(parts)), ("dim", Argument::Int(axis as i64))];
        self.rewriter.call(what, "aten.cat.default", arguments, shape)
    }

    fn mean(&mut self, input: ValueId, axes: &[usize]) -> ValueId {
        let mut shape = self.rewriter.shape(input).to_vec();
        axes.iter().for_each(|axis| shape[*axis] = 1);
        let arguments = [
            ("self", input.into()),
            ("dim", ints(axes.iter().map(|axis| *axis as i64))),
            ("keepdim", Argument::Bool(true)),
        ];
        self.rewriter.call("mean", "aten.mean.dim", arguments, shape)
    }

    /// A view into the result.
    fn view_into(&mut self, id: ValueId) {
        let shape = self.rewriter.shape(self.output).to_vec();
        let size = ints(shape.iter().map(|extent| i64::from(*extent)));
        let arguments = [("self", id.into()), ("size", size)];
        self.rewriter.call_into("aten.view.default", arguments, self.output);
    }

    /// The axes that an argument names, in order; all of them where it names none.
    fn axes(&self, name: &str) -> Option<Vec<usize>> {
        let rank = self.shape().len();
        let named = match self.rewriter.origin.argument(name) {
            None | Some(Argument::None) => Vec::new(),
            Some(Argument::Int(axis)) => vec![*axis],
            Some(Argument::Ints(axes)) => axes.clone(),
            Some(_) => return None,
        };
        if named.is_empty() {
            return Some((0..rank).collect());
        }
        let axes: Option<Vec<usize>> = named.iter().map(|axis| axis_of(*axis, rank)).collect();
        let mut axes = axes?;
        axes.sort_unstable();
        axes.dedup();
        Some(axes)
    }

    /// How many elements these axes have together; `None` where there are none.
    fn count(&self, axes: &[usize]) -> Option<f64> {
        let shape = self.shape();
        let count: f64 = axes.iter().map(|axis| f64::from(shape[*axis])).product();
        (count > 0.0).then_some(count)
    }

    /// A constant with a number per channel, in the extents that go with an input of this rank.
    fn per_channel(&mut self, what: &str, id: ValueId) -> Option<ValueId> {
        let numbers = self.rewriter.f32_constant(id)?;
        let shape = self.shape();
        let channels = *shape.get(1)?;
        if numbers.len() != channels as usize {
            return None;
        }
        let mut extents = vec![1; shape.len() - 1];
        extents[0] = channels;
        Some(self.rewriter.constant(what, extents, &numbers))
    }

    fn prelu(mut self) -> Option<()> {
        let slopes = self.rewriter.origin.value("weight")?;
        if self.rewriter.f32_constant(slopes)?.len() == 1 {
            // A table, like other functions of one element.
            return None;
        }
        let slopes = self.per_channel("slopes", slopes)?;
        let positive = self.unary("aten.relu.default", self.input);
        let arguments = [("self", self.input.into()), ("max", Argument::Float(0.0))];
        let shape = self.shape();
        let negative = self.rewriter.call("negative", "aten.clamp_max.default", arguments, shape);
        let scaled = self.binary("aten.mul.Tensor", negative, slopes.into());
        let arguments = [("self", positive.into()), ("other", scaled.into())];
        self.rewriter.call_into("aten.add.Tensor", arguments, self.output);
        Some(())
    }

    fn glu(mut self) -> Option<()> {
        let shape = self.shape();
        let axis = axis_of(self.rewriter.origin.int("dim").unwrap_or(-1), shape.len())?;
        let half = shape[axis] / 2;
        let value = self.slice(self.input, axis, 0, half);
        let gate = self.slice(self.input, axis, half, 2 * half);
        let gate = self.unary("aten.sigmoid.default", gate);
        let arguments = [("self", value.into()), ("other", gate.into())];
        self.rewriter.call_into("aten.mul.Tensor", arguments, self.output);
        Some(())
    }

    fn sum(mut self) -> Option<()> {
        let axes = self.axes("dim")?;
        let sum = self.sum_along(self.input, &axes)?;
        self.view_into(sum);
        Some(())
    }

    /// The sum over these axes, which stay with an extent of 1, of a tensor of the input's extents.
    fn sum_along(&mut self, id: ValueId, axes: &[usize]) -> Option<ValueId> {
        let count = self.count(axes)?;
        let mean = self.mean(id, axes);
        Some(self.binary("aten.mul.Tensor", mean, Argument::Float(count)))
    }

    fn variance(mut self, is_root: bool) -> Option<()> {
        let axes = self.axes("dim")?;
        let count = self.count(&axes)?;
        let node = self.rewriter.origin;
        let correction = match (node.argument("unbiased"), node.float("correction")) {
            (Some(Argument::Bool(false)), _) => 0.0,
            (_, Some(correction)) => correction,
            _ => 1.0,
        };
        if count <= correction {
            return None;
        }
        let mean = self.mean(self.input, &axes);
        let distance = self.binary("aten.sub.Tensor", self.input, mean.into());
        let squared = self.binary("aten.mul.Tensor", distance, distance.into());
        let mut variance = self.mean(squared, &axes);
        if correction != 0.0 {
            let factor = Argument::Float(count / (count - correction));
            variance = self.binary("aten.mul.Tensor", variance, factor);
        }
        if is_root {
            variance = self.unary("aten.sqrt.default", variance);
        }
        self.view_into(variance);
        Some(())
    }

    fn group_norm(self) -> Option<()> {
        let groups = u32::try_from(self.rewriter.origin.int("num_groups")?).ok()?;
        self.normalize_groups(groups)
    }

    fn instance_norm(self) -> Option<()> {
        // With statistics of its own it is a batch normalization.
        if !self.rewriter.origin.flag("use_input_stats") {
            return None;
        }
        let channels = *self.shape().get(1)?;
        self.normalize_groups(channels)
    }

    fn normalize_groups(mut self, groups: u32) -> Option<()> {
        let shape = self.shape();
        let [batches, rest @ ..] = &shape[..] else { return None };
        let elements = product(rest.iter().copied())?;
        if groups == 0 || !rest.first()?.is_multiple_of(groups) || elements == 0 {
            return None;
        }
        let node = self.rewriter.origin;
        let eps = Argument::Float(node.float("eps").unwrap_or(1e-5));
        let (weight, bias) = (node.value("weight"), node.value("bias"));
        let weight = match weight {
            Some(id) => Some(self.per_channel("weight", id)?),
            None => None,
        };
        let bias = match bias {
            Some(id) => Some(self.per_channel("bias", id)?),
            None => None,
        };
        let length = elements / groups;
        let grouped = self.rewriter.view(self.input, vec![*batches, groups, length]);
        let arguments = [
            ("input", grouped.into()),
            ("normalized_shape", ints([i64::from(length)])),
            ("weight", Argument::None),
            ("bias", Argument::None),
            ("eps", eps),
        ];
        let extents = self.rewriter.shape(grouped).to_vec();
        let normalized =
            self.rewriter.call("normalized", "aten.layer_norm.default", arguments, extents);
        let mut result = self.rewriter.view(normalized, shape.clone());
        if let Some(weight) = weight {
            result = self.binary("aten.mul.Tensor", result, weight.into());
        }
        if let Some(bias) = bias {
            result = self.binary("aten.add.Tensor", result, bias.into());
        }
        self.view_into(result);
        Some(())
    }

    fn rms_norm(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let Some(Argument::Ints(normalized)) = node.argument("normalized_shape") else {
            return None;
        };
        let rank = self.shape().len();
        let axes: Vec<usize> = (rank.checked_sub(normalized.len())?..rank).collect();
        let eps = node.float("eps").unwrap_or(f64::from(f32::EPSILON));
        let weight = node.value("weight");
        self.count(&axes)?;
        let squared = self.binary("aten.mul.Tensor", self.input, self.input.into());
        let mean = self.mean(squared, &axes);
        let moved = self.binary("aten.add.Tensor", mean, Argument::Float(eps));
        let factor = self.unary("aten.rsqrt.default", moved);
        let mut result = self.binary("aten.mul.Tensor", self.input, factor.into());
        if let Some(weight) = weight {
            result = self.binary("aten.mul.Tensor", result, weight.into());
        }
        self.view_into(result);
        Some(())
    }

    fn maximum(mut self, is_minimum: bool) -> Option<()> {
        let others = self.rewriter.origin.outputs.get(1..).unwrap_or(&[]);
        if others.iter().any(|id| self.rewriter.is_read(*id)) {
            return None;
        }
        let (axes, shape) = (self.axes("dim")?, self.shape());
        self.count(&axes)?;
        if is_minimum {
            self.input = self.unary("aten.neg.default", self.input);
        }
        let is_image = shape.len() == 4 && axes == [2, 3];
        let pooled = if is_image {
            self.pool("max_pool2d", self.input, [shape[2], shape[3]])
        } else {
            let kept: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
            let order: Vec<usize> = kept.iter().chain(&axes).copied().collect();
            let last = self.permuted(self.input, &order);
            let rows = product(kept.iter().map(|axis| shape[*axis]))?;
            let length = product(axes.iter().map(|axis| shape[*axis]))?;
            let image = self.rewriter.view(last, vec![1, 1, rows, length]);
            self.pool("max_pool2d", image, [1, length])
        };
        let pooled = if is_minimum { self.unary("aten.neg.default", pooled) } else { pooled };
        self.view_into(pooled);
        Some(())
    }

    /// Pooling with windows that lie side by side and fill the image.
    fn pool(&mut self, kind: &str, image: ValueId, window: [u32; 2]) -> ValueId {
        let mut shape = self.rewriter.shape(image).to_vec();
        shape[2] /= window[0];
        shape[3] /= window[1];
        let arguments = [
            ("self", image.into()),
            ("kernel_size", ints(window.map(i64::from))),
            ("stride", ints(window.map(i64::from))),
        ];
        self.rewriter.call("pooled", &format!("aten.{kind}.default"), arguments, shape)
    }

    /// Pooling to some extents of the last one or two axes. An average over windows of like extents has a lowering of its own.
    fn adaptive_pool(mut self, kind: &str, axes: usize) -> Option<()> {
        let others = self.rewriter.origin.outputs.get(1..).unwrap_or(&[]);
        if others.iter().any(|id| self.rewriter.is_read(*id)) {
            return None;
        }
        let (shape, result) = (self.shape(), self.rewriter.shape(self.output).to_vec());
        let first = shape.len().checked_sub(axes)?;
        let is_batched = first == 2;
        if !matches!(first, 1 | 2) || shape.len() != result.len() || result.contains(&0) {
            return None;
        }
        let is_even = (first..shape.len()).all(|axis| shape[axis].is_multiple_of(result[axis]));
        let is_large =
            |axis: usize| result[axis] > PARTS_MAX && !shape[axis].is_multiple_of(result[axis]);
        if is_even && kind == "avg_pool2d" || (first..shape.len()).any(is_large) {
            return None;
        }
        let batch = if is_batched { shape[0] } else { 1 };
        let height = if axes == 2 { shape[first] } else { 1 };
        let extents = vec![batch, shape[first - 1], height, *shape.last()?];
        let wanted = [if axes == 2 { result[first] } else { 1 }, *result.last()?];
        let mut image = self.rewriter.view(self.input, extents);
        for axis in [3, 2] {
            image = self.adaptive_axis(kind, image, axis, wanted[axis - 2]);
        }
        self.view_into(image);
        Some(())
    }

    /// Pools one axis of an image to an extent: window `i` is from `⌊i · n / extent⌋` to `⌈(i + 1) · n / extent⌉`.
    fn adaptive_axis(&mut self, kind: &str, image: ValueId, axis: usize, extent: u32) -> ValueId {
        let length = self.rewriter.shape(image)[axis];
        let window = |length: u32| if axis == 3 { [1, length] } else { [length, 1] };
        if length == extent {
            return image;
        }
        if length.is_multiple_of(extent) {
            return self.pool(kind, image, window(length / extent));
        }
        let at = |index: u32| u64::from(index) * u64::from(length);
        let parts: Vec<ValueId> = (0..extent)
            .map(|index| {
                let start = (at(index) / u64::from(extent)) as u32;
                let end = at(index + 1).div_ceil(u64::from(extent)) as u32;
                let part = self.slice(image, axis, start, end);
                self.pool(kind, part, window(end - start))
            })
            .collect();
        self.joined("joined", &parts, axis, extent)
    }

    fn roll(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let list = |name: &str| match node.argument(name) {
            Some(Argument::Ints(numbers)) => Some(numbers.clone()),
            Some(Argument::Int(number)) => Some(vec![*number]),
            _ => None,
        };
        let (shifts, dims) = (list("shifts")?, list("dims")?);
        let shape = self.shape();
        if shifts.len() != dims.len() || shifts.is_empty() || shape.contains(&0) {
            return None;
        }
        let mut rolled = self.input;
        for (shift, dim) in shifts.iter().zip(&dims) {
            let axis = axis_of(*dim, shape.len())?;
            let length = shape[axis];
            let shift = shift.rem_euclid(i64::from(length)) as u32;
            if shift == 0 {
                continue;
            }
            let last = self.slice(rolled, axis, length - shift, length);
            let first = self.slice(rolled, axis, 0, length - shift);
            rolled = self.joined("rolled", &[last, first], axis, length);
        }
        self.view_into(rolled);
        Some(())
    }

    fn norm(mut self) -> Option<()> {
        if self.rewriter.origin.float("ord").unwrap_or(2.0) != 2.0 {
            return None;
        }
        let axes = self.axes("dim")?;
        let root = self.length_along(self.input, &axes)?;
        self.view_into(root);
        Some(())
    }

    /// The sum of products over these axes, which stay with an extent of 1.
    fn sum_of_products(&mut self, a: ValueId, b: ValueId, axes: &[usize]) -> Option<ValueId> {
        let products = self.binary("aten.mul.Tensor", a, b.into());
        self.sum_along(products, axes)
    }

    /// The Euclidean norm over these axes.
    fn length_along(&mut self, id: ValueId, axes: &[usize]) -> Option<ValueId> {
        let sum = self.sum_of_products(id, id, axes)?;
        Some(self.unary("aten.sqrt.default", sum))
    }

    fn cosine_similarity(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let (a, b) = (node.value("x1")?, node.value("x2")?);
        let eps = node.float("eps").unwrap_or(1e-8);
        let axis = axis_of(node.int("dim").unwrap_or(1), self.shape().len())?;
        if self.rewriter.shape(a) != self.rewriter.shape(b) {
            return None;
        }
        let product = self.sum_of_products(a, b, &[axis])?;
        let mut lengths = [a, b];
        for length in &mut lengths {
            let norm = self.length_along(*length, &[axis])?;
            let shape = self.rewriter.shape(norm).to_vec();
            let arguments = [("self", norm.into()), ("min", Argument::Float(eps))];
            *length = self.rewriter.call("length", "aten.clamp_min.default", arguments, shape);
        }
        let area = self.binary("aten.mul.Tensor", lengths[0], lengths[1].into());
        let cosine = self.binary("aten.div.Tensor", product, area.into());
        self.view_into(cosine);
        Some(())
    }

    fn log_sum_exp(mut self) -> Option<()> {
        let (axes, shape) = (self.axes("dim")?, self.shape());
        let [axis] = axes[..] else { return None };
        if shape[axis] == 0 {
            return None;
        }
        let arguments = [("self", self.input.into()), ("dim", Argument::Int(axis as i64))];
        let logarithms = self.rewriter.call("logarithms", "aten.log_softmax.int", arguments, shape);
        let first = self.slice(self.input, axis, 0, 1);
        let share = self.slice(logarithms, axis, 0, 1);
        let total = self.binary("aten.sub.Tensor", first, share.into());
        self.view_into(total);
        Some(())
    }

    fn add_product(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let (a, b) = (node.value("tensor1")?, node.value("tensor2")?);
        let factor = node.float("value").unwrap_or(1.0);
        let shape = self.shape();
        if self.rewriter.shape(a) != shape || self.rewriter.shape(b) != shape {
            return None;
        }
        let mut product = self.binary("aten.mul.Tensor", a, b.into());
        if factor != 1.0 {
            product = self.binary("aten.mul.Tensor", product, Argument::Float(factor));
        }
        let arguments = [("self", self.input.into()), ("other", product.into())];
        self.rewriter.call_into("aten.add.Tensor", arguments, self.output);
        Some(())
    }

    /// `start + weight · (end − start)`, as two products.
    fn blend(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let (end, weight) = (node.value("end")?, node.float("weight")?);
        if self.rewriter.shape(end) != self.shape() {
            return None;
        }
        let kept = self.binary("aten.mul.Tensor", self.input, Argument::Float(1.0 - weight));
        let added = self.binary("aten.mul.Tensor", end, Argument::Float(weight));
        let arguments = [("self", kept.into()), ("other", added.into())];
        self.rewriter.call_into("aten.add.Tensor", arguments, self.output);
        Some(())
    }

    fn cumulative_sum(mut self) -> Option<()> {
        let shape = self.shape();
        let (rank, node) = (shape.len(), self.rewriter.origin);
        let axis = axis_of(node.int("dim")?, rank)?;
        let length = shape[axis];
        if u64::from(length).pow(2) > MATRIX_MAX || shape.contains(&0) {
            return None;
        }
        let ones: Vec<f32> = (0..length)
            .flat_map(|row| (0..length).map(move |column| if column <= row { 1.0 } else { 0.0 }))
            .collect();
        let sums = self.multiplied("sums", self.input, axis, (length, &ones));
        self.view_into(sums);
        Some(())
    }

    /// Two operands each of whose axes has a letter of its own: letters of both and of the result count matrices, those of both alone are
    /// summed over, and the others are rows and columns.
    fn einsum(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let Some(Argument::Text(equation)) = node.argument("equation") else { return None };
        let equation: String = equation.chars().filter(|letter| *letter != ' ').collect();
        let (operands, result) = equation.split_once("->")?;
        let (a, b) = operands.split_once(',')?;
        let operands: Vec<ValueId> = node.operands().collect();
        let [first, second] = operands[..] else { return None };
        let letters = |text: &str, rank: usize| -> Option<Vec<char>> {
            let letters: Vec<char> = text.chars().collect();
            let are_letters = letters.iter().all(char::is_ascii_alphabetic);
            let are_unique =
                letters.iter().enumerate().all(|(at, letter)| !letters[..at].contains(letter));
            (are_letters && are_unique && letters.len() == rank).then_some(letters)
        };
        let a = letters(a, self.rewriter.shape(first).len())?;
        let b = letters(b, self.rewriter.shape(second).len())?;
        let result = letters(result, self.rewriter.shape(self.output).len())?;
        let both = |letter: &&char| a.contains(letter) && b.contains(letter);
        let batch: Vec<char> = result.iter().filter(both).copied().collect();
        let summed: Vec<char> =
            a.iter().filter(both).filter(|it| !batch.contains(it)).copied().collect();
        let rows: Vec<char> = result.iter().filter(|it| !b.contains(it)).copied().collect();
        let columns: Vec<char> = result.iter().filter(|it| !a.contains(it)).copied().collect();
        // What only one operand has and the result has not would be summed over first.
        let counts = a.len() == batch.len() + rows.len() + summed.len()
            && b.len() == batch.len() + columns.len() + summed.len()
            && result.len() == batch.len() + rows.len() + columns.len();
        if !counts {
            return None;
        }
        let lhs = self.matrices(first, &a, [&batch, &rows, &summed])?;
        let rhs = self.matrices(second, &b, [&batch, &summed, &columns])?;
        let ([count, height, depth], [other, other_depth, width]) = (
            <[u32; 3]>::try_from(self.rewriter.shape(lhs)).ok()?,
            <[u32; 3]>::try_from(self.rewriter.shape(rhs)).ok()?,
        );
        if (count, depth) != (other, other_depth) {
            return None;
        }
        let arguments = [("self", lhs.into()), ("mat2", rhs.into())];
        let product = self.rewriter.call(
            "product",
            "aten.bmm.default",
            arguments,
            vec![count, height, width],
        );
        let order: Vec<char> = batch.iter().chain(&rows).chain(&columns).copied().collect();
        let extent = |letter: &char| {
            let at = result.iter().position(|it| it == letter)?;
            self.rewriter.shape(self.output).get(at).copied()
        };
        let extents: Option<Vec<u32>> = order.iter().map(extent).collect();
        let product = self.rewriter.view(product, extents?);
        let place = |letter: &char| order.iter().position(|it| it == letter);
        let axes: Option<Vec<usize>> = result.iter().map(place).collect();
        let product = self.permuted(product, &axes?);
        self.view_into(product);
        Some(())
    }

    /// A tensor whose axes have letters, as matrices: the letters of each group together make an axis.
    fn matrices(&mut self, id: ValueId, letters: &[char], groups: [&[char]; 3]) -> Option<ValueId> {
        let place = |letter: &char| letters.iter().position(|it| it == letter);
        let order: Option<Vec<usize>> = groups.concat().iter().map(place).collect();
        let id = self.permuted(id, &order?);
        let mut extents = self.rewriter.shape(id).iter().copied();
        let mut shape = Vec::new();
        for group in groups {
            shape.push(product(extents.by_ref().take(group.len()))?);
        }
        Some(self.rewriter.view(id, shape))
    }

    /// A tensor with its axes in another order; the value itself if they are in it.
    fn permuted(&mut self, id: ValueId, order: &[usize]) -> ValueId {
        if order.is_sorted() {
            return id;
        }
        let shape = self.rewriter.shape(id);
        let shape = order.iter().map(|axis| shape[*axis]).collect();
        let dims = ints(order.iter().map(|axis| *axis as i64));
        let arguments = [("self", id.into()), ("dims", dims)];
        self.rewriter.call("ordered", "aten.permute.default", arguments, shape)
    }

    fn index(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let Some(Argument::Values(indices)) = node.argument("indices") else { return None };
        let mut named = indices.iter().enumerate().filter_map(|(axis, id)| Some((axis, (*id)?)));
        let (Some((axis, id)), None) = (named.next(), named.next()) else { return None };
        let length = *self.shape().get(axis)?;
        let value = self.rewriter.graph.value(id);
        if value.dtype != DType::I64 || value.shape.len() != 1 {
            return None;
        }
        let numbers = constant_numbers(self.rewriter.graph, id)?;
        let places = numbers.iter().map(|number| {
            let place = if *number < 0.0 { number + f64::from(length) } else { *number };
            (0.0..f64::from(length)).contains(&place).then_some(place as u32)
        });
        let places: Vec<u32> = places.collect::<Option<_>>()?;
        // Neighbours are taken together.
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for place in places {
            match runs.last_mut() {
                Some((_, end)) if *end == place => *end += 1,
                _ => runs.push((place, place + 1)),
            }
        }
        if runs.is_empty() || runs.len() > PARTS_MAX as usize {
            return None;
        }
        let parts: Vec<ValueId> =
            runs.into_iter().map(|(start, end)| self.slice(self.input, axis, start, end)).collect();
        let chosen = match parts[..] {
            [part] => part,
            _ => self.joined("chosen", &parts, axis, numbers.len() as u32),
        };
        self.view_into(chosen);
        Some(())
    }

    fn flip(mut self) -> Option<()> {
        let (axes, shape) = (self.axes("dims")?, self.shape());
        if axes.iter().any(|axis| !(1..=PARTS_MAX).contains(&shape[*axis])) {
            return None;
        }
        let mut flipped = self.input;
        for axis in axes {
            let parts: Vec<ValueId> = (0..shape[axis])
                .rev()
                .map(|index| self.slice(flipped, axis, index, index + 1))
                .collect();
            flipped = self.joined("flipped", &parts, axis, shape[axis]);
        }
        self.view_into(flipped);
        Some(())
    }

    /// Padding with anything but a constant, one axis after the other from the last on.
    fn pad(mut self) -> Option<()> {
        let node = self.rewriter.origin;
        let (Some(Argument::Text(mode)), Some(Argument::Ints(written))) =
            (node.argument("mode"), node.argument("pad"))
        else {
            return None;
        };
        let (mode, written) = (mode.clone(), written.clone());
        let mut padded = self.input;
        for (pair, axis) in written.as_chunks::<2>().0.iter().zip((0..self.shape().len()).rev()) {
            let [before, after] = pair.map(|count| u32::try_from(count).ok());
            let (before, after) = (before?, after?);
            if before > PARTS_MAX || after > PARTS_MAX {
                return None;
            }
            let length = self.rewriter.shape(padded)[axis];
            // Where the element at a distance beyond either end comes from.
            let place = |distance: u32| match mode.as_str() {
                "reflect" => Some((distance, length.checked_sub(1 + distance)?)),
                "replicate" => Some((0, length.checked_sub(1)?)),
                "circular" => Some((length.checked_sub(distance)?, distance - 1)),
                _ => None,
            };
            let mut parts = Vec::new();
            for distance in (1..=before).rev() {
                let (start, _) = place(distance).filter(|(start, _)| *start < length)?;
                parts.push(self.slice(padded, axis, start, start + 1));
            }
            parts.push(padded);
            for distance in 1..=after {
                let (_, start) = place(distance).filter(|(_, start)| *start < length)?;
                parts.push(self.slice(padded, axis, start, start + 1));
            }
            if parts.len() > 1 {
                let extent = length.checked_add(before + after)?;
                padded = self.joined("padded", &parts, axis, extent);
            }
        }
        if padded == self.input {
            return None;
        }
        self.view_into(padded);
        Some(())
    }

    /// Linear interpolation along the last one or two axes.
    fn interpolate(mut self, axes: usize) -> Option<()> {
        let node = self.rewriter.origin;
        let is_aligned = node.flag("align_corners");
        let factors: Vec<Option<f64>> = match node.argument("scale_factors") {
            Some(Argument::Floats(factors)) => factors.iter().map(|it| Some(*it)).collect(),
            _ if axes == 1 => vec![node.float("scales")],
            _ => vec![node.float("scales_h"), node.float("scales_w")],
        };
        let (shape, result) = (self.shape(), self.rewriter.shape(self.output).to_vec());
        let rank = shape.len();
        if rank != 2 + axes || factors.len() != axes || shape.contains(&0) || result.contains(&0) {
            return None;
        }
        let mut image = self.input;
        for (index, factor) in factors.iter().enumerate().rev() {
            let axis = 2 + index;
            if u64::from(shape[axis]) * u64::from(result[axis]) > MATRIX_MAX {
                return None;
            }
            let matrix = interpolation(shape[axis], result[axis], *factor, is_aligned);
            image = self.multiplied("interpolated", image, axis, (result[axis], &matrix));
        }
        self.view_into(image);
        Some(())
    }

    /// A tensor one axis of which is multiplied by a matrix of so many rows: a linear layer, whose axis is the last one.
    fn multiplied(
        &mut self,
        what: &str,
        id: ValueId,
        axis: usize,
        (rows, matrix): (u32, &[f32]),
    ) -> ValueId {
        let shape = self.rewriter.shape(id);
        let (last, length) = (shape.len() - 1, shape[axis]);
        let matrix = self.rewriter.constant("matrix", vec![rows, length], matrix);
        let id = self.swapped(id, axis, last);
        let mut extents = self.rewriter.shape(id).to_vec();
        extents[last] = rows;
        let arguments = [("input", id.into()), ("weight", matrix.into())];
        let id = self.rewriter.call(what, "aten.linear.default", arguments, extents);
        self.swapped(id, axis, last)
    }

    /// A tensor with two axes in each other's place.
    fn swapped(&mut self, id: ValueId, a: usize, b: usize) -> ValueId {
        if a == b {
            return id;
        }
        let mut shape = self.rewriter.shape(id).to_vec();
        let mut order: Vec<i64> = (0..shape.len() as i64).collect();
        order.swap(a, b);
        shape.swap(a, b);
        let arguments = [("self", id.into()), ("dims", ints(order))];
        self.rewriter.call("swapped", "aten.permute.default", arguments, shape)
    }
}

/// The most parts of an axis that are joined anew.
const PARTS_MAX: u32 = 32;
/// The most weights of an interpolation along one axis.
const MATRIX_MAX: u64 = 1 << 20;

/// The number of elements of some extents, if 32 bits count them.
fn product(extents: impl IntoIterator<Item = u32>) -> Option<u32> {
    extents.into_iter().try_fold(1u32, u32::checked_mul)
}

/// The weights of linear interpolation from some positions to others, a row for each of these; as `torch.nn.functional.interpolate` has
/// them.
fn interpolation(from: u32, to: u32, factor: Option<f64>, is_aligned: bool) -> Vec<f32> {
    let (from, to) = (from as usize, to as usize);
    let step = match (is_aligned, factor) {
        (true, _) if to > 1 => (from - 1) as f64 / (to - 1) as f64,
        (true, _) => 0.0,
        (false, Some(factor)) if factor > 0.0 => 1.0 / factor,
        (false, _) => from as f64 / to as f64,
    };
    let mut weights = vec![0.0; from * to];
    for (row, weights) in weights.chunks_exact_mut(from).enumerate() {
        let place = match is_aligned {
            true => row as f64 * step,
            false => ((row as f64 + 0.5) * step - 0.5).max(0.0),
        };
        let first = (place as usize).min(from - 1);
        let share = (place - first as f64) as f32;
        weights[first] += 1.0 - share;
        weights[(first + 1).min(from - 1)] += share;
    }
    weights
}
