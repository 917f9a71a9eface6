//! Layers whose instructions are counted: what a layer is, its seeded data, and the kernels that compute it.
//!
//! A host describes a layer in [`LAYER_WORDS`] words, so that a board runs any shape without being built anew. Both make the same
//! data, so a digest of the output tells whether what was counted was right.

use crate::random::Random;
use crate::tensor::Tensor;
use crate::workspace::{Case, Workspace};
use cortado_contract::DType;
use cortado_contract::broadcast::Broadcast;
use cortado_contract::layout::ConstantForm;
use cortado_contract::ops::pad::{self, Frame};
use cortado_contract::ops::quantized_add::{self, AddParams, Addend, LEFT_SHIFT};
use cortado_contract::ops::quantized_avg_pool2d::{self, Pool, Windows};
use cortado_contract::ops::quantized_batch_matmul::{self, BatchMatmulParams, BatchMatmulShape};
use cortado_contract::ops::quantized_conv2d::{self, ConvParams, ConvShape, Plane};
use cortado_contract::ops::quantized_linear::{
    self, LinearConstants, LinearParams, LinearShape, Rescale, kernel_sums,
};
use cortado_contract::ops::quantized_mul::{self, MulParams};
use cortado_contract::ops::softmax::{self, SoftmaxResult, SoftmaxRows, SoftmaxScale};
use cortado_contract::ops::{
    quantized_depthwise_conv2d, quantized_max_pool2d, quantized_transpose_conv2d,
};
use cortado_contract::quant::{
    self, Activation, FilterOffset, InputOffset, OutputOffset, Requantize, ZeroPoint,
};
use cortado_contract::strided::{self, Gather, MAX_AXES};
use cortado_kernels::Micro;
use cortado_kernels::generic as kernels;
use cortado_kernels::generic::strided::{Moves, copy};
use cortado_kernels::memory::Source;

/// The words of a layer's description.
pub const LAYER_WORDS: usize = 16;

/// The seed of every layer's data.
const SEED: u32 = 0x00c0_4a00;

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A convolution.
    Conv,
    /// A depthwise convolution.
    Depthwise,
    /// A transposed convolution.
    TransposeConv,
    /// A fully connected layer, its constant term in the form that the instruction set reads.
    Linear,
    /// A batched matrix product.
    BatchMatmul,
    /// Softmax over rows.
    Softmax,
    /// A sum of two tensors.
    Add,
    /// A product of two tensors, element by element.
    Mul,
    /// Average pooling.
    AvgPool,
    /// Maximum pooling.
    MaxPool,
    /// A permutation of axes.
    Transpose,
    /// Padding.
    Pad,
    /// Real numbers to `int8`.
    Quantize,
    /// `int8` to real numbers.
    Dequantize,
}

impl Operation {
    const ALL: [Operation; 14] = [
        Operation::Conv,
        Operation::Depthwise,
        Operation::TransposeConv,
        Operation::Linear,
        Operation::BatchMatmul,
        Operation::Softmax,
        Operation::Add,
        Operation::Mul,
        Operation::AvgPool,
        Operation::MaxPool,
        Operation::Transpose,
        Operation::Pad,
        Operation::Quantize,
        Operation::Dequantize,
    ];
}

/// A layer: an operation and its extents. Extents that an operation has not are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it computes.
    pub operation: Operation,
    /// Images, rows, columns and channels of the input. A fully connected layer has rows and features in the first and the last,
    /// a matrix product batches, rows, columns of the result and depth; an elementwise operator its elements in the last.
    pub input: [u32; 4],
    /// Rows, columns and channels of the output.
    pub output: [u32; 3],
    /// Rows and columns of the window.
    pub kernel: [u32; 2],
    /// The steps between windows.
    pub stride: [u32; 2],
    /// The positions above and left of the input.
    pub padding: [u32; 2],
    /// The axes of a permutation, one per decimal digit.
    pub permutation: u32,
}

impl Layer {
    /// The description.
    pub fn to_words(&self) -> [u32; LAYER_WORDS] {
        let [n, h, w, c] = self.input;
        let [oh, ow, oc] = self.output;
        let ([kh, kw], [sh, sw], [ph, pw]) = (self.kernel, self.stride, self.padding);
        let operation = self.operation as u32;
        [operation, n, h, w, c, oh, ow, oc, kh, kw, sh, sw, ph, pw, self.permutation, 0]
    }

    /// The layer of a description; `None` when it has no such operation.
    pub fn from_words(words: &[u32; LAYER_WORDS]) -> Option<Layer> {
        let [operation, n, h, w, c, oh, ow, oc, kh, kw, sh, sw, ph, pw, permutation, _] = *words;
        Some(Layer {
            operation: *Operation::ALL.get(operation as usize)?,
            input: [n, h, w, c],
            output: [oh, ow, oc],
            kernel: [kh, kw],
            stride: [sh, sw],
            padding: [ph, pw],
            permutation,
        })
    }

    fn conv_shape(&self) -> ConvShape {
        let plane =
            |[height, width]: [u32; 2]| Plane { height: height as usize, width: width as usize };
        let [batches, height, width, channels] = self.input;
        let [out_height, out_width, out_channels] = self.output;
        let is_depthwise = self.operation == Operation::Depthwise;
        ConvShape {
            batches: batches as usize,
            input: plane([height, width]),
            in_channels: channels as usize,
            output: plane([out_height, out_width]),
            out_channels: out_channels as usize,
            kernel: plane(self.kernel),
            group_channels: if is_depthwise { 1 } else { channels as usize },
            stride: plane(self.stride),
            padding: plane(self.padding),
            dilation: Plane::square(1),
        }
    }

    fn pool(&self) -> Pool {
        let [batch, height, width, channels] = self.input;
        let windows = |input: u32, axis: usize| Windows {
            input,
            out: self.output[axis],
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            padding: self.padding[axis],
            dilation: 1,
        };
        Pool { batch, channels, height: windows(height, 0), width: windows(width, 1) }
    }
}

type ConvKernel = fn(&ConvShape, &ConvParams<'_>, &[i8], &[i8], &mut [i8]) -> Option<()>;
type PoolKernel = fn(&Pool, Activation, &[i8], &mut [i8]) -> Option<()>;
type LinearKernel = fn(LinearShape, &LinearParams<'_>, &[i8], &[i8], &mut [i8]) -> Option<()>;
type ProductKernel =
    fn(&BatchMatmulShape, &BatchMatmulParams, &[i8], &[i8], &mut [i8]) -> Option<()>;
type BinaryKernel<P> = fn(&Broadcast, &P, Source<'_, i8>, Source<'_, i8>, &mut [i8]) -> Option<()>;

/// The kernels that compute layers.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "named as the operations are")]
pub struct Kernels {
    form: ConstantForm,
    conv: ConvKernel,
    depthwise: ConvKernel,
    transpose_conv: ConvKernel,
    linear: LinearKernel,
    batch_matmul: ProductKernel,
    softmax: fn(SoftmaxRows, &SoftmaxScale, &[i8], &mut [i8]) -> Option<()>,
    add: BinaryKernel<AddParams>,
    mul: BinaryKernel<MulParams>,
    avg_pool: PoolKernel,
    max_pool: PoolKernel,
    gather: fn(&Tensor, &Gather, &[u8], &mut [u8]) -> Option<()>,
    pad: fn(&Frame, &[u8], &mut [u8]) -> Option<()>,
    quantize: fn(&[f32], f32, ZeroPoint, &mut [i8]) -> Option<()>,
    dequantize: fn(&[i8], f32, ZeroPoint, &mut [f32]) -> Option<()>,
}

impl Kernels {
    /// The kernels of an instruction set.
    pub fn of<M: Micro>() -> Kernels {
        Kernels {
            form: M::ISA.constant_form(),
            conv: kernels::quantized_conv2d::conv_s8::<M>,
            depthwise: kernels::quantized_depthwise_conv2d::depthwise_conv_s8::<M>,
            transpose_conv: kernels::quantized_transpose_conv2d::transpose_conv_s8::<M>,
            linear: kernels::quantized_linear::linear_s8::<M>,
            batch_matmul: kernels::quantized_batch_matmul::batch_matmul_s8::<M>,
            softmax: |rows, scale, input, out| {
                kernels::softmax::softmax::<M>(rows, scale, SoftmaxResult::Standard, input, out)
            },
            add: |broadcast, params, lhs, rhs, out| {
                kernels::quantized_add::add_s8::<M>(broadcast, params, lhs, rhs, out)
            },
            mul: |broadcast, params, lhs, rhs, out| {
                kernels::quantized_mul::mul_s8::<M>(broadcast, params, lhs, rhs, out)
            },
            avg_pool: kernels::quantized_avg_pool2d::avg_pool::<M>,
            max_pool: kernels::quantized_max_pool2d::max_pool::<M>,
            gather: |out_tensor, gather, input, out| {
                copy::<M>(&Moves::new(out_tensor, gather), input, out)
            },
            pad: |frame, input, out| kernels::pad::pad::<M>(frame, &[PAD_VALUE], input, out),
            quantize: |input, inverse_scale, zero_point, out| {
                M::quantize(input, inverse_scale, zero_point, Activation::INT8, out);
                Some(())
            },
            dequantize: |input, scale, zero_point, out| {
                M::dequantize(input, scale, zero_point, out);
                Some(())
            },
        }
    }

    /// The contract's references, with the constant form of an instruction set.
    #[allow(clippy::unit_arg, reason = "references refuse nothing and return nothing")]
    pub fn reference(form: ConstantForm) -> Kernels {
        Kernels {
            form,
            conv: |a, b, c, d, e| Some(quantized_conv2d::reference(a, b, c, d, e)),
            depthwise: |a, b, c, d, e| Some(quantized_depthwise_conv2d::reference(a, b, c, d, e)),
            transpose_conv: |a, b, c, d, e| {
                Some(quantized_transpose_conv2d::reference(a, b, c, d, e))
            },
            linear: |a, b, c, d, e| Some(quantized_linear::reference(a, b, c, d, e)),
            batch_matmul: |a, b, c, d, e| Some(quantized_batch_matmul::reference(a, b, c, d, e)),
            softmax: |a, b, c, d| Some(softmax::reference(a, b, SoftmaxResult::Standard, c, d)),
            add: |a, b, c, d, e| Some(quantized_add::reference(a, b, apart(c), apart(d), e)),
            mul: |a, b, c, d, e| Some(quantized_mul::reference(a, b, apart(c), apart(d), e)),
            avg_pool: |a, b, c, d| Some(quantized_avg_pool2d::reference(a, b, c, d)),
            max_pool: |a, b, c, d| Some(quantized_max_pool2d::reference(a, b, c, d)),
            gather: |out_tensor, gather, input, out| {
                let strides = strided::strides(out_tensor);
                Some(strided::reference(out_tensor.shape(), gather, &strides, 1, input, out))
            },
            pad: |frame, input, out| Some(pad::reference(frame, &[PAD_VALUE], input, out)),
            quantize: |input, inverse_scale, zero_point, out| {
                for (out, input) in out.iter_mut().zip(input) {
                    let range = Activation::INT8;
                    *out = quant::quantize(*input, inverse_scale, zero_point, range) as i8;
                }
                Some(())
            },
            dequantize: |input, scale, zero_point, out| {
                for (out, input) in out.iter_mut().zip(input) {
                    *out = quant::dequantize(i32::from(*input), scale, zero_point);
                }
                Some(())
            },
        }
    }

    /// Computes a layer. `measure` is called once, with what computes it; data are ready then. Returns a digest of the output,
    /// `None` when the kernel refuses its arguments.
    pub fn run(
        &self,
        layer: &Layer,
        workspace: &mut Workspace<'_>,
        measure: &mut dyn FnMut(&mut dyn FnMut()),
    ) -> Option<u64> {
        let mut subject = Subject { random: Random::new(SEED), memory: workspace.start(), measure };
        match layer.operation {
            Operation::Conv => subject.convolve(self.conv, layer),
            Operation::Depthwise => subject.convolve(self.depthwise, layer),
            Operation::TransposeConv => subject.convolve(self.transpose_conv, layer),
            Operation::Linear => subject.linear(self, layer),
            Operation::BatchMatmul => subject.batch_matmul(self, layer),
            Operation::Softmax => subject.softmax(self, layer),
            Operation::Add => subject.add(self, layer),
            Operation::Mul => subject.mul(self, layer),
            Operation::AvgPool => subject.pool(self.avg_pool, layer),
            Operation::MaxPool => subject.pool(self.max_pool, layer),
            Operation::Transpose => subject.transpose(self, layer),
            Operation::Pad => subject.pad(self, layer),
            Operation::Quantize => subject.quantize(self, layer),
            Operation::Dequantize => subject.dequantize(self, layer),
        }
    }
}

/// The elements of an operand that is not in place, as all of a layer's are.
fn apart<'m>(source: Source<'m, i8>) -> &'m [i8] {
    match source {
        Source::Apart(elements) => elements,
        Source::InPlace => &[],
    }
}

/// What padding is filled with.
const PAD_VALUE: u8 = 0x80;

/// A layer that is being made up.
struct Subject<'c, 'm> {
    random: Random,
    memory: Case<'c>,
    measure: &'m mut dyn FnMut(&mut dyn FnMut()),
}

impl<'c> Subject<'c, '_> {
    /// Activations of the whole range.
    fn activations(&mut self, count: usize) -> &'c mut [i8] {
        let values = self.memory.take::<i8>(count);
        values.iter_mut().for_each(|value| *value = self.random.bits() as i8);
        values
    }

    /// Bytes to move.
    fn bytes(&mut self, count: usize) -> &'c mut [u8] {
        let values = self.memory.take::<u8>(count);
        values.iter_mut().for_each(|value| *value = self.random.bits() as u8);
        values
    }

    fn weights(&mut self, count: usize) -> &'c mut [i8] {
        let values = self.memory.take::<i8>(count);
        values.iter_mut().for_each(|value| *value = self.random.between(-127, 127) as i8);
        values
    }

    fn bias(&mut self, channels: usize) -> &'c mut [i32] {
        let values = self.memory.take::<i32>(channels);
        values.iter_mut().for_each(|value| *value = self.random.between(-4096, 4096));
        values
    }

    /// A factor that spreads sums of `products` products over the range of results.
    fn factor(&mut self, products: usize) -> Requantize {
        // A product is about 2^12.7 in the mean; sums grow with the root of their number.
        let shift = -7 - products.max(1).ilog2().div_ceil(2) as i32;
        Requantize { multiplier: self.random.between(1 << 30, i32::MAX), shift }
    }

    /// Runs `compute` measured; returns the digest of `out`.
    fn finish<T: Copy + Into<f64>>(
        &mut self,
        out: &mut [T],
        mut compute: impl FnMut(&mut [T]) -> Option<()>,
    ) -> Option<u64> {
        let mut outcome = None;
        (self.measure)(&mut || outcome = compute(out));
        outcome?;
        // Fowler-Noll-Vo 1a.
        Some(out.iter().fold(0xcbf2_9ce4_8422_2325, |digest: u64, value| {
            let value: f64 = (*value).into();
            (digest ^ value.to_bits() >> 40 ^ value.to_bits()).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    fn convolve(&mut self, kernel: ConvKernel, layer: &Layer) -> Option<u64> {
        let shape = layer.conv_shape();
        let ConvShape { batches, input, in_channels, output, out_channels, .. } = shape;
        let size = match layer.operation {
            Operation::Depthwise => shape.kernel.area(),
            _ => shape.kernel_size(),
        };
        let input = self.activations(batches * input.area() * in_channels);
        let weights = self.weights(out_channels * size);
        let bias = self.bias(out_channels);
        let multipliers = self.memory.take::<i32>(out_channels);
        let shifts = self.memory.take::<i32>(out_channels);
        for (multiplier, shift) in multipliers.iter_mut().zip(shifts.iter_mut()) {
            let factor = self.factor(size);
            (*multiplier, *shift) = (factor.multiplier, factor.shift);
        }
        let params = ConvParams {
            input_offset: InputOffset(128),
            output_offset: OutputOffset(-3),
            bias: Some(bias),
            rescale: Rescale::PerChannel { multipliers, shifts },
            activation: Activation::INT8,
        };
        let out = self.memory.take::<i8>(batches * output.area() * out_channels);
        self.finish(out, |out| kernel(&shape, &params, input, weights, out))
    }

    fn linear(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let [rows, .., in_features] = layer.input.map(|extent| extent as usize);
        let out_features = layer.output[2] as usize;
        let shape = LinearShape { rows, in_features, out_features };
        let input = self.activations(rows * in_features);
        let weights = self.weights(out_features * in_features);
        let bias = self.bias(out_features);
        let sums = self.memory.take::<i32>(out_features);
        let (input_offset, filter_offset) = (InputOffset(128), FilterOffset(0));
        kernel_sums(in_features, weights, input_offset, filter_offset, Some(bias), sums);
        let params = LinearParams {
            input_offset,
            filter_offset,
            output_offset: OutputOffset(-3),
            constants: match kernels.form {
                ConstantForm::KernelSum => LinearConstants::KernelSum(sums),
                _ => LinearConstants::Bias(Some(bias)),
            },
            rescale: Rescale::PerTensor(self.factor(in_features)),
            activation: Activation::INT8,
        };
        let out = self.memory.take::<i8>(rows * out_features);
        self.finish(out, |out| (kernels.linear)(shape, &params, input, weights, out))
    }

    fn batch_matmul(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let [batches, rows, cols, depth] = layer.input.map(|extent| extent as usize);
        let shape =
            BatchMatmulShape { lhs_batches: batches, rhs_batches: batches, rows, cols, depth };
        let lhs = self.activations(batches * rows * depth);
        let rhs = self.activations(batches * cols * depth);
        let params = BatchMatmulParams {
            lhs_offset: InputOffset(12),
            rhs_offset: FilterOffset(-7),
            output_offset: OutputOffset(-3),
            requantize: self.factor(depth),
            activation: Activation::INT8,
        };
        let out = self.memory.take::<i8>(batches * rows * cols);
        self.finish(out, |out| (kernels.batch_matmul)(&shape, &params, lhs, rhs, out))
    }

    fn softmax(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let [outer, .., length] = layer.input.map(|extent| extent as usize);
        let rows = SoftmaxRows { outer, length, inner: 1 };
        // A scale of 1/16: 2^22 as a multiplier of one half and a shift.
        let scale = SoftmaxScale { multiplier: 1 << 30, shift: 23, diff_min: -248 };
        let input = self.activations(outer * length);
        let out = self.memory.take::<i8>(outer * length);
        self.finish(out, |out| (kernels.softmax)(rows, &scale, input, out))
    }

    fn add(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let count = layer.input[3];
        let mut addend = |shift| Addend {
            offset: InputOffset(128),
            factor: Requantize { multiplier: self.random.between(1 << 30, i32::MAX), shift },
        };
        let params = AddParams {
            lhs: addend(0),
            rhs: addend(-1),
            left_shift: LEFT_SHIFT,
            output_offset: OutputOffset(-128),
            factor: Requantize { multiplier: 1 << 30, shift: 1 - LEFT_SHIFT as i32 },
            activation: Activation::INT8,
        };
        let (lhs, rhs) = (self.activations(count as usize), self.activations(count as usize));
        let broadcast = Broadcast::elementwise(count);
        let out = self.memory.take::<i8>(count as usize);
        self.finish(out, |out| {
            (kernels.add)(&broadcast, &params, Source::Apart(lhs), Source::Apart(rhs), out)
        })
    }

    fn mul(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let count = layer.input[3];
        let params = MulParams {
            lhs_offset: InputOffset(5),
            rhs_offset: InputOffset(-9),
            output_offset: OutputOffset(-3),
            factor: Requantize { multiplier: self.random.between(1 << 30, i32::MAX), shift: -7 },
            activation: Activation::INT8,
        };
        let (lhs, rhs) = (self.activations(count as usize), self.activations(count as usize));
        let broadcast = Broadcast::elementwise(count);
        let out = self.memory.take::<i8>(count as usize);
        self.finish(out, |out| {
            (kernels.mul)(&broadcast, &params, Source::Apart(lhs), Source::Apart(rhs), out)
        })
    }

    fn pool(&mut self, kernel: PoolKernel, layer: &Layer) -> Option<u64> {
        let pool = layer.pool();
        let input = self.activations(layer.input.iter().product::<u32>() as usize);
        let outputs = layer.input[0] * layer.output.iter().product::<u32>();
        let out = self.memory.take::<i8>(outputs as usize);
        self.finish(out, |out| kernel(&pool, Activation::INT8, input, out))
    }

    fn transpose(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let order = [0, 1, 2, 3];
        let axes = [1000, 100, 10, 1].map(|unit| (layer.permutation / unit % 10) as usize % 4);
        let strides = strided::strides(&Tensor::new(DType::I8, &layer.input, &order));
        let out_tensor = Tensor::new(DType::I8, &axes.map(|axis| layer.input[axis]), &order);
        let mut gather = Gather { offset: 0, strides: [0; MAX_AXES] };
        (0..4).for_each(|axis| gather.strides[axis] = strides[axes[axis]]);
        let input = self.bytes(layer.input.iter().product::<u32>() as usize);
        let out = self.memory.take::<u8>(input.len());
        self.finish(out, |out| (kernels.gather)(&out_tensor, &gather, input, out))
    }

    fn pad(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let [height, width] = layer.padding;
        let frame =
            Frame { extents: layer.input, pre: [0, height, width, 0], post: [0, height, width, 0] };
        let input = self.bytes(layer.input.iter().product::<u32>() as usize);
        let outputs: u64 = (0..4).map(|position| frame.out_extent(position)).product();
        let out = self.memory.take::<u8>(outputs as usize);
        self.finish(out, |out| (kernels.pad)(&frame, input, out))
    }

    fn quantize(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let input = self.memory.take::<f32>(layer.input[3] as usize);
        // A normal input of a model: some of it saturates.
        let random = &mut self.random;
        input.iter_mut().for_each(|value| *value = random.between(-40_000, 40_000) as f32 * 0.0001);
        let out = self.memory.take::<i8>(input.len());
        self.finish(out, |out| (kernels.quantize)(input, 42.5, ZeroPoint(-3), out))
    }

    fn dequantize(&mut self, kernels: &Kernels, layer: &Layer) -> Option<u64> {
        let input = self.activations(layer.input[3] as usize);
        let out = self.memory.take::<f32>(input.len());
        self.finish(out, |out| (kernels.dequantize)(input, 0.0235, ZeroPoint(-3), out))
    }
}
