//! The JSON of exported programs, as torch declares it in `torch/_export/serde/schema.py`, version 8.
//!
//! These types mirror the file and check nothing but its form. Fields that are unknown are refused, because what they
//! mean could change what the program computes; fields without meaning for Cortado are named and skipped. A union,
//! in JSON an object with the variant's name as its only key, is kept as name and content, so that
//! whoever knows the place can name it when the variant is unknown.

use super::SchemaVersion;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The major version that is read.
pub(super) const MAJOR: u32 = 8;
/// The newest version whose additions are known, that of torch 2.15.
pub(super) const NEWEST: SchemaVersion = SchemaVersion { major: MAJOR, minor: 20 };

/// What can be read of a program of any version.
#[derive(serde::Deserialize)]
pub(super) struct Header {
    pub(super) schema_version: RawVersion,
    #[serde(default)]
    pub(super) torch_version: Option<String>,
}

#[derive(serde::Deserialize)]
pub(super) struct RawVersion {
    pub(super) major: u32,
    pub(super) minor: u32,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    pub(super) graph_module: GraphModule,
    #[serde(rename = "opset_version")]
    _opset_version: IgnoredAny,
    #[serde(deserialize_with = "unique")]
    pub(super) range_constraints: BTreeMap<String, RangeConstraint>,
    #[serde(rename = "schema_version")]
    _schema_version: IgnoredAny,
    #[serde(default, rename = "verifiers")]
    _verifiers: IgnoredAny,
    #[serde(default, rename = "torch_version")]
    _torch_version: IgnoredAny,
    #[serde(default, rename = "guards_code")]
    _guards_code: IgnoredAny,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeConstraint {
    pub(super) min_val: Option<i64>,
    pub(super) max_val: Option<i64>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphModule {
    pub(super) graph: Graph,
    pub(super) signature: Signature,
    #[serde(rename = "module_call_graph")]
    _module_call_graph: IgnoredAny,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
    #[serde(default, rename = "treespec_namedtuple_fields")]
    _treespec_namedtuple_fields: IgnoredAny,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Graph {
    pub(super) inputs: Vec<Union>,
    pub(super) outputs: Vec<Union>,
    pub(super) nodes: Vec<Node>,
    #[serde(deserialize_with = "unique")]
    pub(super) tensor_values: BTreeMap<String, TensorMeta>,
    #[serde(rename = "sym_int_values")]
    _sym_int_values: IgnoredAny,
    #[serde(rename = "sym_bool_values")]
    _sym_bool_values: IgnoredAny,
    #[serde(default, rename = "is_single_tensor_return")]
    _is_single_tensor_return: IgnoredAny,
    #[serde(default, rename = "custom_obj_values")]
    _custom_obj_values: IgnoredAny,
    #[serde(default, rename = "sym_float_values")]
    _sym_float_values: IgnoredAny,
}

/// Lists of `InputSpec` and `OutputSpec`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) input_specs: Vec<Union>,
    pub(super) output_specs: Vec<Union>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) target: String,
    pub(super) inputs: Vec<NamedArgument>,
    pub(super) outputs: Vec<Union>,
    #[serde(deserialize_with = "unique")]
    pub(super) metadata: BTreeMap<String, String>,
    #[serde(default, rename = "is_hop_single_tensor_return")]
    _is_hop_single_tensor_return: IgnoredAny,
    #[serde(default)]
    pub(super) name: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedArgument {
    pub(super) name: String,
    pub(super) arg: Union,
    #[serde(default, rename = "kind")]
    _kind: IgnoredAny,
}

/// The metadata of a tensor, in the graph and of a constant.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorMeta {
    pub(super) dtype: i64,
    pub(super) sizes: Vec<SymInt>,
    #[serde(rename = "requires_grad")]
    _requires_grad: IgnoredAny,
    #[serde(rename = "device")]
    _device: IgnoredAny,
    pub(super) strides: Vec<SymInt>,
    pub(super) storage_offset: SymInt,
    pub(super) layout: i64,
}

/// An integer, or an expression of sizes that are known at run time.
#[derive(serde::Deserialize)]
pub(super) enum SymInt {
    #[serde(rename = "as_int")]
    Int(i64),
    #[serde(rename = "as_expr")]
    Expression(SymExpr),
}

#[derive(serde::Deserialize)]
pub(super) struct SymExpr {
    pub(super) expr_str: String,
}

impl SymExpr {
    /// The expression, with `s77` for `Symbol('s77', positive=True, integer=True)`.
    pub(super) fn text(&self) -> &str {
        self.expr_str
            .strip_prefix("Symbol('")
            .and_then(|rest| rest.split_once('\''))
            .filter(|(_, rest)| rest.matches("Symbol(").count() == 0)
            .map_or(&self.expr_str, |(name, _)| name)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorArgument {
    pub(super) name: String,
}

#[derive(serde::Deserialize)]
pub(super) enum OptionalTensor {
    #[serde(rename = "as_tensor")]
    Tensor(TensorArgument),
    #[serde(rename = "as_none")]
    None(IgnoredAny),
}

/// An element of an argument that may be the name of a value known at run time.
#[derive(serde::Deserialize)]
pub(super) enum Symbolic<T> {
    #[serde(rename = "as_name")]
    Name(IgnoredAny),
    #[serde(rename = "as_int", alias = "as_float", alias = "as_bool")]
    Known(T),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) index: Option<i64>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterSpec {
    pub(super) arg: TensorArgument,
    pub(super) parameter_name: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BufferSpec {
    pub(super) arg: TensorArgument,
    pub(super) buffer_name: String,
    pub(super) persistent: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConstantSpec {
    pub(super) arg: TensorArgument,
    pub(super) tensor_constant_name: String,
}

/// An input or output of the user.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserSpec {
    pub(super) arg: Union,
}

/// What stands with a mutation: the name of what is written.
#[derive(serde::Deserialize)]
pub(super) struct MutationSpec {
    #[serde(alias = "buffer_name", alias = "parameter_name", alias = "user_input_name")]
    pub(super) name: String,
}

/// The list of a program's constants, beside their entries.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PayloadConfig {
    #[serde(deserialize_with = "unique")]
    pub(super) config: BTreeMap<String, Payload>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    pub(super) path_name: String,
    #[serde(rename = "is_param")]
    _is_param: bool,
    pub(super) use_pickle: bool,
    pub(super) tensor_meta: Option<TensorMeta>,
}

/// A float, which JSON cannot always express: infinities and NaN are strings.
pub(super) struct Float(pub(super) f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
        }
        match Raw::deserialize(deserializer)? {
            Raw::Number(value) => Ok(Float(value)),
            Raw::Text(text) => match text.as_str() {
                "Infinity" => Ok(Float(f64::INFINITY)),
                "-Infinity" => Ok(Float(f64::NEG_INFINITY)),
                "NaN" => Ok(Float(f64::NAN)),
                _ => Err(D::Error::custom(format!("`{text}` is not a float"))),
            },
        }
    }
}

/// One of several variants: the variant's name and what it holds.
pub(super) struct Union {
    pub(super) kind: String,
    pub(super) content: Value,
}

impl<'de> Deserialize<'de> for Union {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnionVisitor;

        impl<'de> Visitor<'de> for UnionVisitor {
            type Value = Union;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with exactly one key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Union, A::Error> {
                let none = || A::Error::custom("an object with exactly one key is expected");
                let (kind, content) = map.next_entry()?.ok_or_else(none)?;
                match map.next_key::<IgnoredAny>()? {
                    None => Ok(Union { kind, content }),
                    Some(_) => Err(none()),
                }
            }
        }

        deserializer.deserialize_map(UnionVisitor)
    }
}

/// Reads an object as a map and refuses keys that occur twice.
fn unique<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct UniqueVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for UniqueVisitor<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                if entries.contains_key(&key) {
                    return Err(A::Error::custom(format!("key `{key}` occurs twice")));
                }
                entries.insert(key, map.next_value()?);
            }
            Ok(entries)
        }
    }

    deserializer.deserialize_map(UniqueVisitor(PhantomData))
}
