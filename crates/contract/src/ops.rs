//! The operators: one list, one file each.
//!
//! Each file declares the operator's arguments with the macro `operator!`, its rules (data types, shapes, parameter ranges,
//! layout form) in an implementation of [`Rules`], and its exact integer meaning as a `reference` function.
//! [`for_each_operator!`](crate::for_each_operator) is the list; dispatch, decoding, tests and the table in the docs expand from it.

use crate::layout::ConstantForm;
use crate::target::Isa;
use crate::value::{Domain, Violation};

/// Calls a macro with every operator as `Variant = module,`, in a fixed order; tokens after the macro's name are passed
/// on before the list.
///
/// `Variant` is the argument struct's name and the variant of [`OperatorKind`] and [`Operator`]; `module` is the
/// file's name in every crate that has one file per operator.
#[macro_export]
macro_rules! for_each_operator {
    ($callback:path $(, $context:tt)*) => {
        $callback! {
            $($context)*
            QuantizePerTensor = quantize_per_tensor,
            DequantizePerTensor = dequantize_per_tensor,
            QuantizedLinear = quantized_linear,
            QuantizedLinearPerChannel = quantized_linear_per_channel,
            CloneDimOrder = clone_dim_order,
            QuantizedAvgPool2d = quantized_avg_pool2d,
            QuantizedMaxPool2d = quantized_max_pool2d,
            Softmax = softmax,
            RescaledSoftmax = rescaled_softmax,
            Transpose = transpose,
            Pad = pad,
            ConstantPadNd = constant_pad_nd,
            PermuteCopy = permute_copy,
            SliceCopy = slice_copy,
            SelectCopy = select_copy,
            ExpandCopy = expand_copy,
            Cat = cat,
            QuantizedConv2d = quantized_conv2d,
            QuantizedDepthwiseConv2d = quantized_depthwise_conv2d,
            QuantizedTransposeConv2d = quantized_transpose_conv2d,
            QuantizedBatchMatmul = quantized_batch_matmul,
            QuantizedAdd = quantized_add,
            QuantizedMul = quantized_mul,
            QuantizedDiv = quantized_div,
            QuantizedActivation = quantized_activation,
            Minimum = minimum,
            Maximum = maximum,
            FloatAdd = float_add,
            FloatSub = float_sub,
            FloatMul = float_mul,
            FloatDiv = float_div,
            FloatRelu = float_relu,
            FloatClamp = float_clamp,
            FloatHardtanh = float_hardtanh,
            FloatSigmoid = float_sigmoid,
            FloatTanh = float_tanh,
            FloatExp = float_exp,
            FloatLog = float_log,
            FloatGelu = float_gelu,
            FloatSqrt = float_sqrt,
            FloatRsqrt = float_rsqrt,
            FloatNeg = float_neg,
            FloatAbs = float_abs,
            FloatSoftmax = float_softmax,
            FloatMean = float_mean,
            FloatLinear = float_linear,
            FloatConvolution = float_convolution,
            FloatBmm = float_bmm,
            FloatLayerNorm = float_layer_norm,
            FloatNativeLayerNorm = float_native_layer_norm,
            FloatHardswish = float_hardswish,
            FloatFull = float_full,
            FloatFullLike = float_full_like,
            FloatEq = float_eq,
            FloatWhere = float_where,
            LogicalNot = logical_not,
            Any = any,
            SqueezeCopy = squeeze_copy,
            UnsqueezeCopy = unsqueeze_copy,
            SplitWithSizesCopy = split_with_sizes_copy,
            QuantizedLinearInt16 = quantized_linear_int16,
            QuantizedConv2dInt16 = quantized_conv2d_int16,
            QuantizedDepthwiseConv2dInt16 = quantized_depthwise_conv2d_int16,
            FloatLogSoftmax = float_log_softmax,
        }
    };
}

/// The rules of an operator's arguments, checked when a program is lowered and again when it is loaded.
pub trait Rules {
    /// Checks everything that does not depend on the instruction set.
    ///
    /// # Errors
    /// The first rule that does not hold.
    fn check(&self) -> Result<(), Violation>;

    /// The form in which the operator's constant term is stored, `None` where it has only one.
    fn constant_form(&self) -> Option<ConstantForm> {
        None
    }

    /// The bytes of each scratch buffer that ExecuTorch's kernels for `isa` ask for, in the order of the scratch arguments.
    ///
    /// The compiler writes buffers of these sizes, so that a program also runs there. Cortado's kernels need no more; what
    /// they need is checked when an operator is prepared.
    fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
        let _ = isa;
        [0, 0]
    }

    /// The multiply-accumulates of one execution, padding included; 0 for operators without sums of products.
    fn multiply_accumulates(&self) -> u64 {
        0
    }

    /// Whether each element of the result follows from the elements at the same position of those tensor arguments that have
    /// as many, and the kernels go from the first to the last in memory. Then such an argument's memory may be written over: see
    /// `cortado_kernels::memory::may_overlap_spans`.
    fn is_element_by_element(&self) -> bool {
        false
    }

    /// Whether the operator computes in `float32`. Not so operators at the border, which convert to or from integers, and those
    /// that only move elements.
    fn is_float(&self) -> bool {
        false
    }
}

macro_rules! declare_operators {
    ($($variant:ident = $module:ident,)*) => {
        $(pub mod $module;)*
        $(pub use $module::$variant;)*

        /// An operator without its arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u8)]
        pub enum OperatorKind {
            $(#[doc = concat!("See [`", stringify!($variant), "`].")] $variant,)*
        }

        impl OperatorKind {
            /// Every operator.
            pub const ALL: &'static [OperatorKind] = &[$(OperatorKind::$variant),*];

            /// The operator's name as ExecuTorch writes it, without the overload.
            pub const fn name(self) -> &'static str {
                match self { $(OperatorKind::$variant => $variant::<Nowhere>::NAME),* }
            }

            /// The operator's overload: `out`, or a longer name that ends in it.
            pub const fn overload(self) -> &'static str {
                match self { $(OperatorKind::$variant => $variant::<Nowhere>::OVERLOAD),* }
            }

            /// The operator's schema: names, types and order of its arguments.
            pub const fn schema(self) -> &'static str {
                match self { $(OperatorKind::$variant => $variant::<Nowhere>::SCHEMA),* }
            }

            /// The positions of the arguments that are scratch memory, as a set of bits.
            pub const fn scratch_arguments(self) -> u32 {
                match self {
                    $(OperatorKind::$variant => const {
                        set_of(SCRATCH_ARGUMENTS, $variant::<Nowhere>::ARGUMENTS)
                    },)*
                }
            }

            /// The positions of the arguments that are tensors or lists of them, results included, as a set of bits.
            pub const fn tensor_arguments(self) -> u32 {
                match self {
                    $(OperatorKind::$variant => const { set($variant::<Nowhere>::TENSORS) },)*
                }
            }

            /// The positions of the arguments that are results, as a set of bits.
            pub const fn result_arguments(self) -> u32 {
                match self {
                    $(OperatorKind::$variant => const {
                        set_of(RESULT_ARGUMENTS, $variant::<Nowhere>::ARGUMENTS)
                    },)*
                }
            }

            /// The names of the arguments in schema order; `out` is the last.
            pub const fn argument_names(self) -> &'static [&'static str] {
                match self { $(OperatorKind::$variant => $variant::<Nowhere>::ARGUMENTS),* }
            }
        }

        /// An operator with its arguments.
        #[derive(Clone, Debug)]
        #[allow(missing_docs, reason = "each variant is documented as its argument struct")]
        pub enum Operator<D: Domain> { $($variant($variant<D>),)* }

        impl<D: Domain> Operator<D> {
            /// The operator without its arguments.
            pub const fn kind(&self) -> OperatorKind {
                match self { $(Operator::$variant(_) => OperatorKind::$variant),* }
            }

            /// Reads the arguments of an operator in schema order.
            pub fn decode<R: crate::value::ArgumentReader<D>>(
                kind: OperatorKind,
                reader: &mut R,
            ) -> Result<Self, R::Error> {
                Ok(match kind {
                    $(OperatorKind::$variant => Operator::$variant($variant::decode(reader)?),)*
                })
            }

            /// Writes the arguments in schema order.
            pub fn encode<W: crate::value::ArgumentWriter<D>>(&self, writer: &mut W) {
                match self { $(Operator::$variant(arguments) => arguments.encode(writer)),* }
            }
        }

        impl<D: Domain> Rules for Operator<D> {
            fn check(&self) -> Result<(), Violation> {
                match self { $(Operator::$variant(arguments) => arguments.check()),* }
            }

            fn constant_form(&self) -> Option<ConstantForm> {
                match self { $(Operator::$variant(arguments) => arguments.constant_form()),* }
            }

            fn scratch_bytes(&self, isa: Isa) -> [u32; 2] {
                match self { $(Operator::$variant(arguments) => arguments.scratch_bytes(isa)),* }
            }

            fn multiply_accumulates(&self) -> u64 {
                match self { $(Operator::$variant(arguments) => arguments.multiply_accumulates()),* }
            }

            fn is_element_by_element(&self) -> bool {
                match self {
                    $(Operator::$variant(arguments) => arguments.is_element_by_element()),*
                }
            }

            fn is_float(&self) -> bool {
                match self { $(Operator::$variant(arguments) => arguments.is_float()),* }
            }
        }
    };
}

/// The kinds of arguments that a schema can have.
pub mod kind {
    use crate::DType;
    use crate::value::{ArgumentReader, ArgumentWriter, Domain, IntArgument, TextArgument};
    use core::fmt::Debug;
    use core::marker::PhantomData;

    /// A kind of argument: what holds it, how it is read and written.
    pub trait Kind {
        /// What holds an argument of this kind in a domain.
        type Of<D: Domain>: Clone + Debug;
        /// Reads the next argument.
        fn read<D: Domain, R: ArgumentReader<D>>(reader: &mut R) -> Result<Self::Of<D>, R::Error>;
        /// Writes the next argument.
        fn write<D: Domain, W: ArgumentWriter<D>>(
            writer: &mut W,
            name: &'static str,
            value: &Self::Of<D>,
        );
    }

    macro_rules! kinds {
        ($($(#[$doc:meta])* $kind:ident ($of:ty), $method:ident, |$value:ident| $pass:expr;)*) => {$(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $kind {}

            impl Kind for $kind {
                type Of<D: Domain> = $of;
                fn read<D: Domain, R: ArgumentReader<D>>(reader: &mut R) -> Result<$of, R::Error> {
                    reader.$method()
                }
                fn write<D: Domain, W: ArgumentWriter<D>>(writer: &mut W, name: &'static str, $value: &$of) {
                    writer.$method(name, $pass);
                }
            }
        )*};
    }

    kinds! {
        /// `Tensor`.
        Tensor(D::Tensor), tensor, |value| value;
        /// `Tensor?`.
        OptionalTensor(Option<D::Tensor>), optional_tensor, |value| value.as_ref();
        /// `float`.
        Float(f64), float, |value| *value;
        /// `Scalar`: a number, whether it is stored as an integer or not.
        Scalar(f64), scalar, |value| *value;
        /// `Scalar?`.
        OptionalScalar(Option<f64>), optional_scalar, |value| *value;
        /// `bool`.
        Bool(bool), bool, |value| *value;
        /// `int[]`.
        IntList(D::IntList), int_list, |value| value;
        /// `int[]?`.
        OptionalIntList(Option<D::IntList>), optional_int_list, |value| value.as_ref();
        /// `Tensor[]`.
        TensorList(D::TensorList), tensor_list, |value| value;
    }

    /// `int`, held as a type of its own.
    #[derive(Clone, Copy, Debug)]
    pub struct Int<T>(PhantomData<T>);

    impl<T: IntArgument + Clone + Debug> Kind for Int<T> {
        type Of<D: Domain> = T;
        fn read<D: Domain, R: ArgumentReader<D>>(reader: &mut R) -> Result<T, R::Error> {
            reader.int()
        }
        fn write<D: Domain, W: ArgumentWriter<D>>(writer: &mut W, name: &'static str, value: &T) {
            writer.int(name, value.to_i64());
        }
    }

    /// `int?`.
    #[derive(Clone, Copy, Debug)]
    pub enum OptionalInt {}

    impl Kind for OptionalInt {
        type Of<D: Domain> = Option<i64>;
        fn read<D: Domain, R: ArgumentReader<D>>(reader: &mut R) -> Result<Option<i64>, R::Error> {
            reader.optional_int()
        }
        fn write<D: Domain, W: ArgumentWriter<D>>(
            writer: &mut W,
            name: &'static str,
            value: &Option<i64>,
        ) {
            writer.optional_int(name, *value);
        }
    }

    /// `str`, held as a type of its own.
    #[derive(Clone, Copy, Debug)]
    pub struct Text<T>(PhantomData<T>);

    impl<T: TextArgument + Clone + Debug> Kind for Text<T> {
        type Of<D: Domain> = T;
        fn read<D: Domain, R: ArgumentReader<D>>(reader: &mut R) -> Result<T, R::Error> {
            reader.text()
        }
        fn write<D: Domain, W: ArgumentWriter<D>>(writer: &mut W, name: &'static str, value: &T) {
            writer.text(name, value.to_text());
        }
    }

    /// `ScalarType`.
    pub type ScalarType = Int<DType>;
    /// `ScalarType?`.
    pub type OptionalScalarType = OptionalInt;
}

/// What results are called; most operators have one.
const RESULT_ARGUMENTS: &[&str] = &["out", "out0", "out1"];
/// What memory for an operator to work in is called.
const SCRATCH_ARGUMENTS: &[&str] = &["scratch", "output_scratch"];

/// The positions of those names that are among `chosen`.
const fn set_of(chosen: &[&str], names: &[&str]) -> u32 {
    assert!(names.len() <= 32, "a set of bits has room for every argument");
    let (mut set, mut index) = (0, 0);
    while index < names.len() {
        let mut choice = 0;
        while choice < chosen.len() {
            if is_equal(chosen[choice].as_bytes(), names[index].as_bytes()) {
                set |= 1 << index;
            }
            choice += 1;
        }
        index += 1;
    }
    set
}

/// The positions of those that are true.
const fn set(members: &[bool]) -> u32 {
    assert!(members.len() <= 32, "a set of bits has room for every argument");
    let (mut set, mut index) = (0, 0);
    while index < members.len() {
        set |= (members[index] as u32) << index;
        index += 1;
    }
    set
}

const fn is_equal(mut a: &[u8], mut b: &[u8]) -> bool {
    while let ([x, a_rest @ ..], [y, b_rest @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (a_rest, b_rest);
    }
    a.is_empty() && b.is_empty()
}

impl OperatorKind {
    /// The operator with this name and overload.
    pub fn from_name(name: &str, overload: &str) -> Option<OperatorKind> {
        OperatorKind::ALL
            .iter()
            .copied()
            .find(|kind| kind.name() == name && kind.overload() == overload)
    }

    /// A number made of the operator's name and overload, to find it by without comparing names; see [`name_hash`].
    pub const fn name_hash(self) -> u32 {
        name_hash(self.name().as_bytes(), self.overload().as_bytes())
    }

    /// The operator with this [`name_hash`]. That of a name which is no operator's may be the same by chance.
    pub fn from_name_hash(hash: u32) -> Option<OperatorKind> {
        const HASHES: [u32; OperatorKind::ALL.len()] = {
            let mut hashes = [0; OperatorKind::ALL.len()];
            let mut index = 0;
            while index < hashes.len() {
                hashes[index] = OperatorKind::ALL[index].name_hash();
                index += 1;
            }
            hashes
        };
        let position = HASHES.iter().position(|known| *known == hash)?;
        OperatorKind::ALL.get(position).copied()
    }

    /// The position of an argument in the schema.
    pub fn argument_name(self, position: u8) -> &'static str {
        self.argument_names().get(usize::from(position)).copied().unwrap_or("?")
    }
}

/// The 32-bit Fowler-Noll-Vo hash 1a of an operator's name, a dot and its overload.
pub const fn name_hash(name: &[u8], overload: &[u8]) -> u32 {
    let hash = hashed(0x811c_9dc5, name);
    hashed(hashed(hash, b"."), overload)
}

const fn hashed(mut hash: u32, mut bytes: &[u8]) -> u32 {
    while let [byte, rest @ ..] = bytes {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        bytes = rest;
    }
    hash
}

/// A domain without values, to name an argument struct's constants.
#[derive(Clone, Copy, Debug)]
pub enum Nowhere {}

impl Domain for Nowhere {
    type Tensor = Nowhere;
    type IntList = Nowhere;
    type TensorList = Nowhere;
}

impl crate::value::TensorList<Nowhere> for Nowhere {
    fn len(&self) -> usize {
        match *self {}
    }
    fn get(&self, _: usize) -> Option<Nowhere> {
        match *self {}
    }
}

impl crate::value::TensorMeta for Nowhere {
    fn dtype(&self) -> crate::DType {
        match *self {}
    }
    fn rank(&self) -> usize {
        match *self {}
    }
    fn dim(&self, _: usize) -> u32 {
        match *self {}
    }
    fn dim_order(&self, _: usize) -> usize {
        match *self {}
    }
}

impl crate::value::IntList for Nowhere {
    fn len(&self) -> usize {
        match *self {}
    }
    fn get(&self, _: usize) -> Option<i64> {
        match *self {}
    }
}

/// Whether an operator writes this argument, of which it is a result; most operators have one, called `out`.
pub fn is_result(argument: &str) -> bool {
    RESULT_ARGUMENTS.contains(&argument)
}

/// Whether this argument is memory for an operator to work in.
pub fn is_scratch(argument: &str) -> bool {
    SCRATCH_ARGUMENTS.contains(&argument)
}

/// Declares an operator's argument struct with its name, schema, decoder and encoder.
///
/// The name is followed by `.overload` unless the overload is `out`, and by `-> TensorList` where `out` is a list. Arguments are `name: Kind`, in schema order, without the
/// trailing `out`; the kinds are those of [`kind`]. Where Rust does not take a name, such as `self`, an argument is
/// `name as "self": Kind`. The positions of the arguments are constants in a module `argument`.
macro_rules! operator {
    (
        $(#[$doc:meta])*
        $name:ident = $torch_name:literal $(. $overload:ident)? -> $out:ident {
            $($(#[$field_doc:meta])* $field:ident $(as $torch_field:literal)? : $kind:ident $(<$ty:ty>)?,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<D: $crate::value::Domain> {
            $($(#[$field_doc])* pub $field: <$crate::ops::kind::$kind $(<$ty>)? as $crate::ops::kind::Kind>::Of<D>,)*
            /// The result.
            pub out: <$crate::ops::kind::$out as $crate::ops::kind::Kind>::Of<D>,
        }

        impl<D: $crate::value::Domain> $name<D> {
            /// The operator's name, as ExecuTorch writes it.
            pub const NAME: &'static str = $torch_name;
            /// The operator's overload.
            pub const OVERLOAD: &'static str = operator!(@overload $($overload)?);
            /// The operator's schema.
            pub const SCHEMA: &'static str = concat!(
                $torch_name, ".", operator!(@overload $($overload)?), "(",
                $(operator!(@schema $kind), " ", operator!(@name $field $($torch_field)?), ", ",)*
                operator!(@signature $out)
            );
            /// The arguments' names in schema order.
            pub const ARGUMENTS: &'static [&'static str] = &[$(operator!(@name $field $($torch_field)?),)* "out"];

            /// Whether each argument is a tensor or a list of them, in schema order.
            pub const TENSORS: &'static [bool] = &[$(operator!(@tensor $kind),)* true];

            /// Reads the arguments in schema order.
            pub fn decode<R: $crate::value::ArgumentReader<D>>(reader: &mut R) -> Result<Self, R::Error> {
                use $crate::ops::kind::{self, Kind};
                Ok($name {
                    $($field: <kind::$kind $(<$ty>)? as Kind>::read(reader)?,)*
                    out: <kind::$out as Kind>::read(reader)?,
                })
            }

            /// Writes the arguments in schema order.
            pub fn encode<W: $crate::value::ArgumentWriter<D>>(&self, writer: &mut W) {
                use $crate::ops::kind::{self, Kind};
                $(<kind::$kind $(<$ty>)? as Kind>::write(writer, operator!(@name $field $($torch_field)?), &self.$field);)*
                <kind::$out as Kind>::write(writer, "out", &self.out);
            }
        }

        operator!(@positions $($field)* out);
    };

    (
        $(#[$doc:meta])*
        $name:ident = $torch_name:literal $(. $overload:ident)? { $($fields:tt)* }
    ) => {
        operator! { $(#[$doc])* $name = $torch_name $(. $overload)? -> Tensor { $($fields)* } }
    };

    (@signature Tensor) => { "*, Tensor(a!) out) -> Tensor(a!)" };
    (@signature TensorList) => { "*, Tensor(a!)[] out) -> ()" };

    (@tensor Tensor) => { true };
    (@tensor OptionalTensor) => { true };
    (@tensor TensorList) => { true };
    (@tensor $other:ident) => { false };

    (@overload) => { "out" };
    (@overload $overload:ident) => { stringify!($overload) };

    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $torch_field:literal) => { $torch_field };

    (@schema Tensor) => { "Tensor" };
    (@schema OptionalTensor) => { "Tensor?" };
    (@schema Float) => { "float" };
    (@schema Scalar) => { "Scalar" };
    (@schema OptionalScalar) => { "Scalar?" };
    (@schema Text) => { "str" };
    (@schema OptionalScalarType) => { "ScalarType?" };
    (@schema Bool) => { "bool" };
    (@schema IntList) => { "int[]" };
    (@schema OptionalIntList) => { "int[]?" };
    (@schema TensorList) => { "Tensor[]" };
    (@schema OptionalInt) => { "int?" };
    (@schema ScalarType) => { "ScalarType" };
    (@schema Int) => { "int" };

    (@positions $($field:ident)*) => {
        /// The arguments' positions in the schema.
        #[allow(non_upper_case_globals, missing_docs, reason = "named exactly as the arguments are")]
        pub mod argument {
            operator!(@position 0u8; $($field)*);
        }
    };
    (@position $index:expr; $field:ident $($rest:ident)*) => {
        pub const $field: u8 = $index;
        operator!(@position $index + 1; $($rest)*);
    };
    (@position $index:expr;) => {};
}

for_each_operator!(declare_operators);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_found_by_name() {
        for kind in OperatorKind::ALL {
            assert_eq!(OperatorKind::from_name(kind.name(), kind.overload()), Some(*kind));
            assert_eq!(OperatorKind::from_name(kind.name(), "default"), None);
            assert_eq!(kind.argument_names().last(), Some(&"out"));
            // So no two have the same hash.
            assert_eq!(OperatorKind::from_name_hash(kind.name_hash()), Some(*kind));
        }
        assert_eq!(hashed(0x811c_9dc5, b"a"), 0xe40c_292c, "the hash's own test vector");
    }

    #[test]
    fn arguments_are_known_by_name() {
        for kind in OperatorKind::ALL {
            for (position, name) in kind.argument_names().iter().enumerate() {
                assert_eq!(kind.scratch_arguments() >> position & 1 != 0, is_scratch(name));
                assert_eq!(kind.result_arguments() >> position & 1 != 0, is_result(name));
            }
            assert_ne!(kind.result_arguments(), 0);
            let written = kind.result_arguments() | kind.scratch_arguments();
            assert_eq!(kind.tensor_arguments() & written, written);
        }
        let transposed = OperatorKind::QuantizedTransposeConv2d;
        assert_eq!(transposed.scratch_arguments().count_ones(), 2);
        assert_eq!(OperatorKind::FloatNativeLayerNorm.result_arguments().count_ones(), 3);
    }

    #[test]
    fn schemas_are_upstreams() {
        let schemas = [
            "cortex_m::quantize_per_tensor.out(Tensor input, float scale, int zero_point, int quant_min, \
             int quant_max, ScalarType dtype, *, Tensor(a!) out) -> Tensor(a!)",
            "cortex_m::dequantize_per_tensor.out(Tensor input, float scale, int zero_point, int quant_min, \
             int quant_max, ScalarType dtype, *, Tensor(a!) out) -> Tensor(a!)",
            "cortex_m::quantized_linear.out(Tensor input, Tensor weights, Tensor? bias, Tensor? kernel_sum, \
             int input_offset, int filter_offset, int output_offset, int[] requantize_multipliers, \
             int[] requantize_shifts, int activation_max, int activation_min, *, Tensor(a!) out) -> Tensor(a!)",
        ];
        for (kind, schema) in OperatorKind::ALL.iter().zip(schemas) {
            assert_eq!(kind.schema(), schema);
        }
    }
}
