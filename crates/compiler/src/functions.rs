//! Functions of real numbers that ATen applies element by element, for tables.
//!
//! A function is given in binary64 and without rounding: what it is in binary32, or in integers, is the caller's
//! business. Numbers among a node's arguments count as PyTorch passes them to its float kernels, rounded to binary32.

use crate::graph::{Argument, Node, ValueId};
use crate::passes::clamp_range;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

/// A function of one element of each operand.
pub struct Elementwise {
    /// The tensors that it reads, in the order of the function's arguments: one, or two.
    pub operands: Vec<ValueId>,
    apply: Function,
}

enum Function {
    Unary(Box<dyn Fn(f64) -> f64>),
    Binary(Box<dyn Fn(f64, f64) -> f64>),
}

impl Elementwise {
    /// The function that a node applies, a fused activation included; `None` when it is not a known one, or not given by
    /// the node's arguments alone.
    pub fn of(node: &Node) -> Option<Elementwise> {
        let (name, overload) = base_name(node)?;
        let function = match unary(node, name, overload) {
            Some(function) => {
                let operand = node.value("self").or_else(|| node.value("input"));
                // `c ^ x` has its tensor in the exponent.
                let operand = operand.or_else(|| node.value("exponent"))?;
                Elementwise { operands: vec![operand], apply: Function::Unary(function) }
            }
            None => binary(node, name, overload)?,
        };
        Some(match node.activation {
            Some(range) => function.then(move |value| value.clamp(range.min, range.max)),
            None => function,
        })
    }

    /// The function's value; `arguments` are as many as the operands.
    pub fn apply(&self, arguments: &[f64]) -> f64 {
        match (&self.apply, arguments) {
            (Function::Unary(function), [x]) => function(*x),
            (Function::Binary(function), [x, y]) => function(*x, *y),
            _ => f64::NAN,
        }
    }

    fn then(self, next: impl Fn(f64) -> f64 + 'static) -> Elementwise {
        let apply = match self.apply {
            Function::Unary(function) => Function::Unary(Box::new(move |x| next(function(x)))),
            Function::Binary(function) => {
                Function::Binary(Box::new(move |x, y| next(function(x, y))))
            }
        };
        Elementwise { apply, ..self }
    }
}

/// A node's operator without namespace and overload, and without the underscore of one that writes in place; and the overload.
pub fn base_name(node: &Node) -> Option<(&str, &str)> {
    let (name, overload) = node.target.strip_prefix("aten.")?.split_once('.')?;
    Some((name.strip_suffix('_').filter(|name| !name.is_empty()).unwrap_or(name), overload))
}

/// A number among the arguments as a float kernel sees it, or the default where none was given; `None` for a tensor.
fn number(node: &Node, name: &str, default: f64) -> Option<f64> {
    match node.argument(name) {
        None | Some(Argument::None) => Some(default),
        Some(_) => node.float(name).map(|value| f64::from(value as f32)),
    }
}

/// A number that must be among the arguments.
fn given(node: &Node, name: &str) -> Option<f64> {
    node.float(name).map(|value| f64::from(value as f32))
}

fn unary(node: &Node, name: &str, overload: &str) -> Option<Box<dyn Fn(f64) -> f64>> {
    if let Some(range) = clamp_range(node) {
        let (min, max) = (f64::from(range.min as f32), f64::from(range.max as f32));
        return Some(Box::new(move |x: f64| x.clamp(min, max)));
    }
    if overload == "default"
        && let Some(function) = plain(name)
    {
        return Some(Box::new(function));
    }
    parametric(node, name, overload).or_else(|| with_number(node, name, overload))
}

/// Functions without parameters.
fn plain(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" | "absolute" => f64::abs,
        "neg" | "negative" => |x| -x,
        "sign" | "sgn" => |x| if x == 0.0 { x } else { x.signum() },
        "square" => |x| x * x,
        "sqrt" => f64::sqrt,
        "rsqrt" => |x| 1.0 / x.sqrt(),
        "reciprocal" => |x| 1.0 / x,
        "exp" => f64::exp,
        "exp2" => f64::exp2,
        "expm1" => f64::exp_m1,
        "log" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "log1p" => f64::ln_1p,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" | "arcsin" => f64::asin,
        "acos" | "arccos" => f64::acos,
        "atan" | "arctan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" | "arcsinh" => f64::asinh,
        "acosh" | "arccosh" => f64::acosh,
        "atanh" | "arctanh" => f64::atanh,
        "erf" => erf,
        "erfc" => |x| 1.0 - erf(x),
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "round" => f64::round_ties_even,
        "trunc" | "fix" => f64::trunc,
        "frac" => f64::fract,
        "sigmoid" => sigmoid,
        "log_sigmoid" => |x| x.min(0.0) - (-x.abs()).exp().ln_1p(),
        "silu" => |x| x * sigmoid(x),
        "mish" => |x| x * softplus(x).tanh(),
        "hardsigmoid" => |x| (x + 3.0).clamp(0.0, 6.0) / 6.0,
        "hardswish" => |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        "selu" => |x| {
            const ALPHA: f64 = 1.673_263_242_354_377_2;
            const SCALE: f64 = 1.050_700_987_355_480_5;
            SCALE * if x > 0.0 { x } else { ALPHA * x.exp_m1() }
        },
        _ => return None,
    })
}

/// Functions with numbers as parameters.
fn parametric(node: &Node, name: &str, overload: &str) -> Option<Box<dyn Fn(f64) -> f64>> {
    Some(match (name, overload) {
        ("gelu", _) => match node.argument("approximate") {
            None => Box::new(gelu),
            Some(Argument::Text(text)) if text == "none" => Box::new(gelu),
            Some(Argument::Text(text)) if text == "tanh" => Box::new(gelu_tanh),
            Some(_) => return None,
        },
        ("elu", _) => {
            let alpha = number(node, "alpha", 1.0)?;
            let scale = number(node, "scale", 1.0)?;
            let input_scale = number(node, "input_scale", 1.0)?;
            Box::new(move |x| scale * if x > 0.0 { x } else { alpha * (x * input_scale).exp_m1() })
        }
        ("celu", _) => {
            let alpha = number(node, "alpha", 1.0)?;
            Box::new(move |x| if x > 0.0 { x } else { alpha * (x / alpha).exp_m1() })
        }
        ("leaky_relu", _) => {
            let slope = number(node, "negative_slope", 0.01)?;
            Box::new(move |x| if x > 0.0 { x } else { slope * x })
        }
        ("softplus", _) => {
            let (beta, threshold) = (number(node, "beta", 1.0)?, number(node, "threshold", 20.0)?);
            Box::new(move |x| if x * beta > threshold { x } else { softplus(x * beta) / beta })
        }
        ("threshold", _) => {
            let (threshold, value) = (given(node, "threshold")?, given(node, "value")?);
            Box::new(move |x| if x > threshold { x } else { value })
        }
        ("hardshrink", _) => {
            let lambda = number(node, "lambd", 0.5)?;
            Box::new(move |x| if x.abs() <= lambda { 0.0 } else { x })
        }
        ("softshrink", _) => {
            let lambda = number(node, "lambd", 0.5)?;
            Box::new(move |x| {
                if x > lambda {
                    x - lambda
                } else if x < -lambda {
                    x + lambda
                } else {
                    0.0
                }
            })
        }
        ("logit", _) => {
            // Without the argument nothing is clamped.
            let epsilon = number(node, "eps", f64::NEG_INFINITY)?;
            Box::new(move |x| {
                let x = x.max(epsilon).min(f64::from(1.0 - epsilon as f32));
                (x / (1.0 - x)).ln()
            })
        }
        ("pow", "Tensor_Scalar") => {
            let exponent = given(node, "exponent")?;
            Box::new(move |x| x.powf(exponent))
        }
        ("pow", "Scalar") => {
            let base = given(node, "self")?;
            Box::new(move |x| base.powf(x))
        }
        _ => return None,
    })
}

/// Operators with a tensor and a number.
fn with_number(node: &Node, name: &str, overload: &str) -> Option<Box<dyn Fn(f64) -> f64>> {
    let function = arithmetic(node, name, overload)?;
    node.value("self")?;
    let other = given(node, "other")?;
    Some(Box::new(move |x| function(x, other)))
}

/// Operators with two tensors.
fn binary(node: &Node, name: &str, overload: &str) -> Option<Elementwise> {
    let (second, function) = match name {
        "prelu" => {
            let prelu = |x: f64, weight: f64| if x > 0.0 { x } else { weight * x };
            ("weight", Box::new(prelu) as Box<dyn Fn(f64, f64) -> f64>)
        }
        "pow" => ("exponent", Box::new(f64::powf) as _),
        _ => ("other", arithmetic(node, name, overload)?),
    };
    let operands = vec![node.value("self")?, node.value(second)?];
    Some(Elementwise { operands, apply: Function::Binary(function) })
}

fn arithmetic(node: &Node, name: &str, overload: &str) -> Option<Box<dyn Fn(f64, f64) -> f64>> {
    let round: fn(f64) -> f64 = match node.argument("rounding_mode") {
        None | Some(Argument::None) => |quotient| quotient,
        Some(Argument::Text(mode)) if mode == "floor" => f64::floor,
        Some(Argument::Text(mode)) if mode == "trunc" => f64::trunc,
        Some(_) => return None,
    };
    let alpha = number(node, "alpha", 1.0)?;
    Some(match (name, overload) {
        ("add", _) => Box::new(move |x, y| x + alpha * y),
        ("sub" | "subtract", _) => Box::new(move |x, y| x - alpha * y),
        ("rsub", _) => Box::new(move |x, y| y - alpha * x),
        ("mul" | "multiply", _) => Box::new(|x, y| x * y),
        ("div" | "divide" | "true_divide", _) => Box::new(move |x, y| round(x / y)),
        ("floor_divide", _) => Box::new(|x, y| (x / y).floor()),
        ("minimum", _) => Box::new(f64::min),
        ("maximum", _) => Box::new(f64::max),
        _ => return None,
    })
}

/// `1 / (1 + e^-x)`, without overflow.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `ln(1 + e^x)`, without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The Gaussian error linear unit.
fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// Its approximation with a hyperbolic tangent.
fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
}

/// The error function: `2/√π · e^(−x²) · Σ_n 2^n x^(2n+1) / (1·3·5…(2n+1))`, whose terms have one sign, so that nothing cancels.
/// Source: DLMF 7.6.2.
fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    // Beyond, the difference to one is below half a step of binary64.
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut odd) = (x, x, 1.0);
    while term.abs() > f64::EPSILON / 4.0 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::RealRange;
    use crate::import::SourceLocation;

    fn node(target: &str, arguments: &[(&str, Argument)]) -> Node {
        let arguments =
            arguments.iter().map(|(name, argument)| ((*name).to_owned(), argument.clone()));
        Node {
            name: "node".to_owned(),
            target: target.to_owned(),
            arguments: arguments.collect(),
            outputs: vec![ValueId(9)],
            activation: None,
            source: SourceLocation::default(),
        }
    }

    fn value_of(target: &str, arguments: &[(&str, Argument)], x: f64) -> f64 {
        let mut all = vec![("self", Argument::Value(ValueId(0)))];
        all.extend_from_slice(arguments);
        let function = Elementwise::of(&node(target, &all)).expect("a known function");
        assert_eq!(function.operands, [ValueId(0)]);
        function.apply(&[x])
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-14 * expected.abs().max(1.0), "{found} {expected}");
    }

    #[test]
    fn the_error_function_is_accurate() {
        // Abramowitz and Stegun, table 7.1, and Wolfram Alpha beyond it.
        for (x, expected) in [
            (0.0, 0.0),
            (0.02, 0.022_564_574_691_844_94),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.5, 0.999_999_256_901_627_7),
            (5.5, 0.999_999_999_999_992_6),
            (7.0, 1.0),
        ] {
            assert_close(erf(x), expected);
            assert_close(erf(-x), -expected);
        }
    }

    #[test]
    fn functions_have_their_values() {
        assert_close(value_of("aten.sigmoid.default", &[], 0.0), 0.5);
        assert_close(value_of("aten.sigmoid_.default", &[], -800.0), 0.0);
        assert_close(value_of("aten.hardswish.default", &[], 1.5), 1.125);
        assert_close(value_of("aten.hardswish_.default", &[], -4.0), 0.0);
        assert_close(value_of("aten.hardsigmoid.default", &[], 0.0), 0.5);
        assert_close(value_of("aten.relu6.default", &[], 7.0), 6.0);
        assert_close(value_of("aten.log_sigmoid.default", &[], -2.0), -2.126_928_011_042_972_6);
        assert_close(value_of("aten.mish.default", &[], 1.0), 0.865_098_388_267_310_3);
        assert_close(value_of("aten.softplus.default", &[], 1.0), 1.313_261_687_518_222_9);
        assert_close(value_of("aten.softplus.default", &[], 30.0), 30.0);
        assert_close(value_of("aten.elu.default", &[], -1.0), -0.632_120_558_828_557_7);
        assert_close(value_of("aten.selu.default", &[], -1.0), -1.111_330_737_812_562_8);
        assert!(value_of("aten.log.default", &[], -1.0).is_nan());
        assert_eq!(value_of("aten.log.default", &[], 0.0), f64::NEG_INFINITY);
    }

    #[test]
    fn gelu_has_two_forms() {
        let tanh = [("approximate", Argument::Text("tanh".to_owned()))];
        assert_close(value_of("aten.gelu.default", &[], 1.0), 0.841_344_746_068_542_9);
        assert_close(value_of("aten.gelu.default", &tanh, 1.0), 0.841_191_990_608_276_8);
        let unknown = [("approximate", Argument::Text("other".to_owned()))];
        assert!(Elementwise::of(&node("aten.gelu.default", &unknown)).is_none());
    }

    #[test]
    fn numbers_are_parameters() {
        let other = |value| [("other", Argument::Float(value))];
        assert_close(value_of("aten.add.Tensor", &other(2.0), 3.0), 5.0);
        assert_close(value_of("aten.sub.Scalar", &other(2.0), 3.0), 1.0);
        assert_close(value_of("aten.rsub.Scalar", &other(2.0), 3.0), -1.0);
        assert_close(value_of("aten.div_.Tensor", &other(4.0), 3.0), 0.75);
        let exponent = [("exponent", Argument::Int(3))];
        assert_close(value_of("aten.pow.Tensor_Scalar", &exponent, -2.0), -8.0);
        let slope = [("negative_slope", Argument::Float(0.25))];
        assert_close(value_of("aten.leaky_relu.default", &slope, -2.0), -0.5);
        let mode = [("other", Argument::Int(2)), ("rounding_mode", Argument::Text("floor".into()))];
        assert_close(value_of("aten.div.Tensor_mode", &mode, -3.0), -2.0);
    }

    #[test]
    fn tensors_are_operands() {
        let arguments =
            [("self", Argument::Value(ValueId(3))), ("other", Argument::Value(ValueId(4)))];
        let mut sub = node("aten.sub.Tensor", &arguments);
        sub.arguments.push(("alpha".to_owned(), Argument::Int(2)));
        sub.activation = Some(RealRange { min: 0.0, max: 6.0 });
        let function = Elementwise::of(&sub).expect("a known function");
        assert_eq!(function.operands, [ValueId(3), ValueId(4)]);
        assert_eq!(function.apply(&[5.0, 1.0]), 3.0);
        assert_eq!(function.apply(&[5.0, 4.0]), 0.0);
        let power = node(
            "aten.pow.Scalar",
            &[("self", Argument::Float(2.0)), ("exponent", Argument::Value(ValueId(1)))],
        );
        let function = Elementwise::of(&power).expect("a known function");
        assert_eq!(
            (function.operands.as_slice(), function.apply(&[3.0])),
            (&[ValueId(1)][..], 8.0)
        );
        assert!(Elementwise::of(&node("aten.linear.default", &arguments)).is_none());
    }
}
