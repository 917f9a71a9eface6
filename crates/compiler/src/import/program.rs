//! From the file's JSON to [`ExportedProgram`], with all checks.

use super::aliasing;
use super::archive::{Archive, CONSTANTS, WEIGHTS};
use super::error::{DynamicDimension, ImportError};
use super::schema::{self, Union};
use super::source::SourceLocation;
use super::tensor::{self, STRIDED};
use super::{
    Argument, ExportedProgram, Input, InputKind, MAX_PROGRAM_BYTES, MemoryFormat, Node, ScalarType,
    SchemaVersion, TensorData, ValueMeta,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Reads the program of an archive.
pub(super) fn convert(archive: &Archive<'_>) -> Result<ExportedProgram, ImportError> {
    let schema::Header { schema_version, torch_version } = archive.header()?;
    let schema_version = SchemaVersion { major: schema_version.major, minor: schema_version.minor };
    let torch_version = torch_version.unwrap_or_else(|| "an unknown version".to_owned());
    if schema_version.major != schema::MAJOR {
        return Err(ImportError::SchemaMajor { found: schema_version, torch_version });
    }
    let newer = (schema_version > schema::NEWEST).then_some(schema_version);
    let reader = Reader { newer };

    let raw = archive.program(newer)?;
    let schema::Graph { inputs, outputs, nodes, tensor_values, .. } = raw.graph_module.graph;
    let schema::Signature { input_specs, output_specs } = raw.graph_module.signature;
    let inputs = reader.inputs(input_specs, &inputs)?;
    refuse_dynamic_inputs(&inputs, &tensor_values, &raw.range_constraints)?;
    let nodes = nodes.into_iter().enumerate().map(|(index, node)| reader.node(index, node));
    let nodes = nodes.collect::<Result<Vec<Node>, _>>()?;
    let outputs = reader.outputs(output_specs, &outputs)?;

    check_definitions(&inputs, &nodes, &outputs)?;
    aliasing::check(inputs.iter().map(|(input, _)| input), &nodes, &outputs)?;
    let inputs = drop_unread(inputs, &nodes, &outputs, &tensor_values);
    let values = values(&inputs, &nodes, &tensor_values)?;
    let constants = constants(archive, newer, &inputs, &values)?;
    Ok(ExportedProgram {
        torch_version,
        schema_version,
        inputs: inputs.into_iter().map(|(input, _)| input).collect(),
        nodes,
        outputs,
        values,
        constants,
    })
}

/// In which folder an input's elements are to be found, `None` for the user's inputs.
type Home = Option<&'static str>;

/// Reads parts of the JSON that are unions.
struct Reader {
    /// The file's schema version, if it is newer than the newest that is known.
    newer: Option<SchemaVersion>,
}

impl Reader {
    fn content<T: DeserializeOwned>(
        &self,
        content: Value,
        place: impl FnOnce() -> String,
    ) -> Result<T, ImportError> {
        serde_json::from_value(content).map_err(|error| ImportError::Malformed {
            place: place(),
            detail: error.to_string(),
            newer: self.newer,
        })
    }

    /// The inputs that are tensors, and where their elements are stored.
    fn inputs(
        &self,
        specs: Vec<Union>,
        placeholders: &[Union],
    ) -> Result<Vec<(Input, Home)>, ImportError> {
        if specs.len() != placeholders.len() {
            return Err(ImportError::Inconsistent {
                place: "the signature".to_owned(),
                expected: format!("{} inputs, as the graph has", placeholders.len()),
                found: specs.len().to_string(),
            });
        }
        let mut inputs = Vec::new();
        for (index, (spec, placeholder)) in specs.into_iter().zip(placeholders).enumerate() {
            let Some((input, home)) = self.input(index, spec)? else { continue };
            let found = placeholder.content.get("name").and_then(Value::as_str);
            if placeholder.kind != "as_tensor" || found != Some(&input.name) {
                return Err(ImportError::Inconsistent {
                    place: format!("input {index} of the graph"),
                    expected: format!("the tensor `{}`, as the signature says", input.name),
                    found: format!("`{}` {}", placeholder.kind, placeholder.content),
                });
            }
            inputs.push((input, home));
        }
        Ok(inputs)
    }

    fn input(&self, index: usize, spec: Union) -> Result<Option<(Input, Home)>, ImportError> {
        let place = || format!("input {index} of the signature");
        let unsupported = |kind: String, remedy| {
            Err(ImportError::UnsupportedSignature { place: place(), kind, remedy })
        };
        let (name, kind, home) = match spec.kind.as_str() {
            "parameter" => {
                let spec: schema::ParameterSpec = self.content(spec.content, place)?;
                let kind = InputKind::Parameter { fqn: spec.parameter_name };
                (spec.arg.name, kind, Some(WEIGHTS))
            }
            "buffer" => {
                let spec: schema::BufferSpec = self.content(spec.content, place)?;
                let home = if spec.persistent { WEIGHTS } else { CONSTANTS };
                (spec.arg.name, InputKind::Buffer { fqn: spec.buffer_name }, Some(home))
            }
            "tensor_constant" => {
                let spec: schema::ConstantSpec = self.content(spec.content, place)?;
                let kind = InputKind::Constant { fqn: spec.tensor_constant_name };
                (spec.arg.name, kind, Some(CONSTANTS))
            }
            "user_input" => {
                let spec: schema::UserSpec = self.content(spec.content, place)?;
                if spec.arg.kind != "as_tensor" {
                    return unsupported(
                        spec.arg.kind,
                        "make it a tensor, or a constant of the model",
                    );
                }
                let tensor: schema::TensorArgument = self.content(spec.arg.content, place)?;
                (tensor.name, InputKind::User, None)
            }
            // A number, truth value or word, which the nodes contain as it was when the model was exported.
            "constant_input" => return Ok(None),
            "custom_obj" => {
                return unsupported(spec.kind, "replace custom objects by plain tensors");
            }
            _ => return unsupported(spec.kind, "remove it from the model, or update Cortado"),
        };
        Ok(Some((Input { name, kind }, home)))
    }

    /// The names of the tensors that the program returns.
    fn outputs(&self, specs: Vec<Union>, returned: &[Union]) -> Result<Vec<String>, ImportError> {
        if specs.len() != returned.len() {
            return Err(ImportError::Inconsistent {
                place: "the signature".to_owned(),
                expected: format!("{} outputs, as the graph has", returned.len()),
                found: specs.len().to_string(),
            });
        }
        let mut outputs = Vec::new();
        for (index, (spec, returned)) in specs.into_iter().zip(returned).enumerate() {
            let Some(name) = self.output(index, spec)? else { continue };
            let found = returned.content.get("name").and_then(Value::as_str);
            if returned.kind != "as_tensor" || found != Some(&name) {
                return Err(ImportError::Inconsistent {
                    place: format!("output {index} of the graph"),
                    expected: format!("the tensor `{name}`, as the signature says"),
                    found: format!("`{}` {}", returned.kind, returned.content),
                });
            }
            outputs.push(name);
        }
        Ok(outputs)
    }

    fn output(&self, index: usize, spec: Union) -> Result<Option<String>, ImportError> {
        let place = || format!("output {index} of the signature");
        let target = match spec.kind.as_str() {
            "user_output" => {
                let spec: schema::UserSpec = self.content(spec.content, place)?;
                return match spec.arg.kind.as_str() {
                    "as_tensor" => {
                        let tensor: schema::TensorArgument =
                            self.content(spec.arg.content, place)?;
                        Ok(Some(tensor.name))
                    }
                    // There is nothing to compute and nothing to return.
                    "as_none" => Ok(None),
                    _ => Err(ImportError::UnsupportedSignature {
                        place: place(),
                        kind: spec.arg.kind,
                        remedy: "return tensors only",
                    }),
                };
            }
            "buffer_mutation" => "the buffer",
            "parameter_mutation" => "the parameter",
            "user_input_mutation" => "the input",
            "loss_output" | "gradient_to_parameter" | "gradient_to_user_input" => {
                return Err(ImportError::UnsupportedSignature {
                    place: place(),
                    kind: spec.kind,
                    remedy: "export the model for inference: without a loss, after model.eval()",
                });
            }
            _ => {
                return Err(ImportError::UnsupportedSignature {
                    place: place(),
                    kind: spec.kind,
                    remedy: "remove it from the model, or update Cortado",
                });
            }
        };
        let spec: schema::MutationSpec = self.content(spec.content, place)?;
        let what = format!("{target} `{}`", spec.name);
        Err(ImportError::Mutation { what, source_location: None })
    }

    fn node(&self, index: usize, raw: schema::Node) -> Result<Node, ImportError> {
        let first_output = raw.outputs.first().and_then(|output| output.content.get("name"));
        let name = raw
            .name
            .or_else(|| Some(first_output?.as_str()?.to_owned()))
            .unwrap_or_else(|| format!("node {index}"));
        let metadata = |key: &str| raw.metadata.get(key).map(String::as_str);
        let source =
            SourceLocation::new(&name, metadata("stack_trace"), metadata("nn_module_stack"));
        let target = raw.target.strip_prefix("torch.ops.").unwrap_or(&raw.target).to_owned();
        let mut node = Node { name, target, arguments: Vec::new(), outputs: Vec::new(), source };
        for (index, schema::NamedArgument { name, arg, .. }) in raw.inputs.into_iter().enumerate() {
            // Operators of higher order have arguments without names; all others name each once.
            let name = if name.is_empty() { format!("#{index}") } else { name };
            let argument = self.argument(&node, &name, arg)?;
            if node.argument(&name).is_some() {
                return Err(ImportError::Inconsistent {
                    place: format!("node `{}`", node.name),
                    expected: format!("one argument `{name}`"),
                    found: "several".to_owned(),
                });
            }
            node.arguments.push((name, argument));
        }
        for output in raw.outputs {
            let place = || format!("a result of node `{}`", node.name);
            let tensors: Vec<schema::TensorArgument> = match output.kind.as_str() {
                "as_tensor" => vec![self.content(output.content, place)?],
                "as_tensors" => self.content(output.content, place)?,
                _ => {
                    return Err(ImportError::UnsupportedResult {
                        node: node.name,
                        target: node.target,
                        kind: output.kind,
                        source_location: Box::new(node.source),
                    });
                }
            };
            node.outputs.extend(tensors.into_iter().map(|tensor| tensor.name));
        }
        Ok(node)
    }

    fn argument(&self, node: &Node, name: &str, raw: Union) -> Result<Argument, ImportError> {
        let Union { kind, content } = raw;
        let place = || format!("argument `{name}` of node `{}`", node.name);
        let known = |value: Option<Argument>| {
            value.ok_or_else(|| unsupported_argument(node, name, SYMBOLIC, STATIC_SHAPES))
        };
        Ok(match kind.as_str() {
            "as_none" => Argument::None,
            "as_tensor" => {
                Argument::Tensor(self.content::<schema::TensorArgument>(content, place)?.name)
            }
            "as_tensors" => {
                let tensors: Vec<schema::TensorArgument> = self.content(content, place)?;
                Argument::Tensors(tensors.into_iter().map(|tensor| Some(tensor.name)).collect())
            }
            "as_optional_tensor" => match self.content(content, place)? {
                schema::OptionalTensor::Tensor(tensor) => Argument::Tensor(tensor.name),
                schema::OptionalTensor::None(_) => Argument::None,
            },
            "as_optional_tensors" => {
                let tensors: Vec<schema::OptionalTensor> = self.content(content, place)?;
                Argument::Tensors(tensors.into_iter().map(optional_name).collect())
            }
            "as_int" => Argument::Int(self.content(content, place)?),
            "as_ints" => Argument::Ints(self.content(content, place)?),
            "as_int_lists" => Argument::IntLists(self.content(content, place)?),
            "as_float" => Argument::Float(self.content::<schema::Float>(content, place)?.0),
            "as_floats" => {
                let floats: Vec<schema::Float> = self.content(content, place)?;
                Argument::Floats(floats.into_iter().map(|float| float.0).collect())
            }
            "as_bool" => Argument::Bool(self.content(content, place)?),
            "as_bools" => Argument::Bools(self.content(content, place)?),
            "as_string" => Argument::Text(self.content(content, place)?),
            "as_strings" => Argument::Texts(self.content(content, place)?),
            "as_sym_int" => known(one(self.content(content, place)?).map(Argument::Int))?,
            "as_sym_ints" => known(all(self.content(content, place)?).map(Argument::Ints))?,
            "as_sym_bool" => known(one(self.content(content, place)?).map(Argument::Bool))?,
            "as_sym_bools" => known(all(self.content(content, place)?).map(Argument::Bools))?,
            "as_sym_float" => {
                let float = one(self.content(content, place)?);
                known(float.map(|float: schema::Float| Argument::Float(float.0)))?
            }
            "as_sym_floats" => {
                let floats = all(self.content(content, place)?);
                let floats = floats.map(|floats: Vec<schema::Float>| {
                    Argument::Floats(floats.into_iter().map(|float| float.0).collect())
                });
                known(floats)?
            }
            "as_scalar_type" => {
                Argument::ScalarType(ScalarType::from_code(self.content(content, place)?))
            }
            "as_memory_format" => {
                let code = self.content(content, place)?;
                memory_format(code).ok_or_else(|| ImportError::Malformed {
                    place: place(),
                    detail: format!("{code} is no memory format"),
                    newer: self.newer,
                })?
            }
            "as_layout" if self.content::<i64>(content.clone(), place)? == STRIDED => {
                Argument::StridedLayout
            }
            "as_device" => Argument::Device(device(self.content(content, place)?)),
            _ => return Err(self.refused_argument(node, name, kind)),
        })
    }

    /// The error for an argument of a kind that is not handled.
    fn refused_argument(&self, node: &Node, name: &str, kind: String) -> ImportError {
        let plain = "replace it by plain tensors and numbers";
        let (what, remedy) = match kind.as_str() {
            "as_graph" => (
                "a graph of its own",
                "leave out torch.no_grad() and similar blocks, torch.cond and torch.map in the model",
            ),
            "as_layout" => ("a sparse layout", "use dense tensors"),
            "as_custom_obj" => ("a custom object", plain),
            "as_operator" => ("an operator", plain),
            "as_complex" => ("a complex number", plain),
            "as_nested_tensors" => ("a list of lists of tensors", plain),
            "as_float_lists" => ("a list of lists of numbers", plain),
            "as_string_to_argument" => ("a dictionary", plain),
            _ => {
                return ImportError::UnknownArgument {
                    node: node.name.clone(),
                    target: node.target.clone(),
                    argument: name.to_owned(),
                    kind,
                    newer: self.newer,
                    source_location: Box::new(node.source.clone()),
                };
            }
        };
        unsupported_argument(node, name, what, remedy)
    }
}

const SYMBOLIC: &str = "a number that is only known at run time";
const STATIC_SHAPES: &str =
    "export with static shapes: leave out `dynamic_shapes` in torch.export.export";

fn unsupported_argument(
    node: &Node,
    argument: &str,
    what: &'static str,
    remedy: &'static str,
) -> ImportError {
    ImportError::UnsupportedArgument {
        node: node.name.clone(),
        target: node.target.clone(),
        argument: argument.to_owned(),
        what,
        remedy,
        source_location: Box::new(node.source.clone()),
    }
}

fn optional_name(tensor: schema::OptionalTensor) -> Option<String> {
    match tensor {
        schema::OptionalTensor::Tensor(tensor) => Some(tensor.name),
        schema::OptionalTensor::None(_) => None,
    }
}

/// The value, `None` if it is only known at run time.
fn one<T>(value: schema::Symbolic<T>) -> Option<T> {
    match value {
        schema::Symbolic::Known(value) => Some(value),
        schema::Symbolic::Name(_) => None,
    }
}

/// The values, `None` if one is only known at run time.
fn all<T>(values: Vec<schema::Symbolic<T>>) -> Option<Vec<T>> {
    values.into_iter().map(one).collect()
}

fn memory_format(code: i64) -> Option<Argument> {
    Some(Argument::MemoryFormat(match code {
        1 => MemoryFormat::Contiguous,
        2 => MemoryFormat::ChannelsLast,
        3 => MemoryFormat::ChannelsLast3d,
        4 => MemoryFormat::Preserve,
        _ => return None,
    }))
}

fn device(device: schema::Device) -> String {
    match device.index {
        Some(index) => format!("{}:{index}", device.r#type),
        None => device.r#type,
    }
}

/// Refuses inputs of the user with dimensions that are only known at run time, and names them all.
fn refuse_dynamic_inputs(
    inputs: &[(Input, Home)],
    tensors: &BTreeMap<String, schema::TensorMeta>,
    ranges: &BTreeMap<String, schema::RangeConstraint>,
) -> Result<(), ImportError> {
    let mut dimensions = Vec::new();
    for (input, _) in inputs.iter().filter(|(input, _)| input.kind == InputKind::User) {
        let Some(meta) = tensors.get(&input.name) else { continue };
        for (dimension, size) in meta.sizes.iter().enumerate() {
            let schema::SymInt::Expression(expression) = size else { continue };
            let symbol = expression.text().to_owned();
            let range = ranges.get(&symbol).map(|range| (range.min_val, range.max_val));
            let input = input.name.clone();
            dimensions.push(DynamicDimension { input, dimension, symbol, range });
        }
    }
    if dimensions.is_empty() { Ok(()) } else { Err(ImportError::DynamicShape { dimensions }) }
}

/// Checks that every tensor is defined once and before it is read.
fn check_definitions(
    inputs: &[(Input, Home)],
    nodes: &[Node],
    outputs: &[String],
) -> Result<(), ImportError> {
    let mut defined = BTreeSet::new();
    let redefined = |value: &str| ImportError::Redefined { value: value.to_owned() };
    let undefined =
        |reader: String, value: &str| ImportError::Undefined { reader, value: value.to_owned() };
    for (input, _) in inputs {
        if !defined.insert(input.name.as_str()) {
            return Err(redefined(&input.name));
        }
    }
    for node in nodes {
        if let Some(operand) = node.operands().find(|operand| !defined.contains(operand)) {
            return Err(undefined(format!("node `{}`", node.name), operand));
        }
        for output in &node.outputs {
            if !defined.insert(output) {
                return Err(redefined(output));
            }
        }
    }
    match outputs.iter().find(|output| !defined.contains(output.as_str())) {
        None => Ok(()),
        Some(output) => Err(undefined("the output of the program".to_owned(), output)),
    }
}

/// Drops what the model brings along, nothing reads, and Cortado has no element type for.
fn drop_unread(
    mut inputs: Vec<(Input, Home)>,
    nodes: &[Node],
    outputs: &[String],
    tensors: &BTreeMap<String, schema::TensorMeta>,
) -> Vec<(Input, Home)> {
    let read: BTreeSet<&str> =
        nodes.iter().flat_map(Node::operands).chain(outputs.iter().map(String::as_str)).collect();
    inputs.retain(|(input, home)| {
        home.is_none()
            || read.contains(input.name.as_str())
            || tensors
                .get(&input.name)
                .is_none_or(|meta| ScalarType::from_code(meta.dtype).dtype().is_some())
    });
    inputs
}

/// Type and layout of all inputs and results.
fn values(
    inputs: &[(Input, Home)],
    nodes: &[Node],
    tensors: &BTreeMap<String, schema::TensorMeta>,
) -> Result<BTreeMap<String, ValueMeta>, ImportError> {
    let mut values = BTreeMap::new();
    let raw = |name: &str, place: &dyn Fn() -> String| {
        tensors.get(name).ok_or_else(|| ImportError::Inconsistent {
            place: place(),
            expected: "type and sizes".to_owned(),
            found: "none".to_owned(),
        })
    };
    for (Input { name, .. }, _) in inputs {
        let place = || format!("the input `{name}`");
        let meta = tensor::value_meta(raw(name, &place)?, place, |expression| {
            // Sizes are checked before: what is left are strides and offsets.
            ImportError::Inconsistent {
                place: place(),
                expected: "numbers for sizes and strides".to_owned(),
                found: expression.text().to_owned(),
            }
        })?;
        values.insert(name.clone(), meta);
    }
    for node in nodes {
        for value in &node.outputs {
            let place = || {
                let (name, target, source) = (&node.name, &node.target, &node.source);
                format!("the result `{value}` of node `{name}` ({target}, at {source})")
            };
            let dynamic = |expression: &schema::SymExpr| ImportError::DynamicValue {
                node: node.name.clone(),
                value: value.clone(),
                symbol: expression.text().to_owned(),
                source_location: Box::new(node.source.clone()),
            };
            values.insert(value.clone(), tensor::value_meta(raw(value, &place)?, place, dynamic)?);
        }
    }
    Ok(values)
}

/// The elements of everything that the model brings along.
fn constants(
    archive: &Archive<'_>,
    newer: Option<SchemaVersion>,
    inputs: &[(Input, Home)],
    values: &BTreeMap<String, ValueMeta>,
) -> Result<BTreeMap<String, TensorData>, ImportError> {
    let mut budget = MAX_PROGRAM_BYTES;
    let weights = archive.config(WEIGHTS, newer)?;
    let others = archive.config(CONSTANTS, newer)?;
    let mut constants = BTreeMap::new();
    for (input, home) in inputs {
        let (Some(folder), Some(fqn)) = (*home, input.kind.fqn()) else { continue };
        let config = if folder == WEIGHTS { &weights } else { &others };
        let payload = config.config.get(fqn).ok_or_else(|| ImportError::Inconsistent {
            place: format!("the list of constants in `{folder}`"),
            expected: format!("`{fqn}`, which the signature names"),
            found: "nothing".to_owned(),
        })?;
        let data = tensor::read_constant(archive, folder, fqn, payload, &mut budget)?;
        if let Some(meta) = values.get(&input.name)
            && (meta.dtype, &meta.shape) != (data.dtype, &data.shape)
        {
            return Err(ImportError::Inconsistent {
                place: format!("the constant `{fqn}`"),
                expected: format!("{} of shape {:?}, as in the graph", meta.dtype, meta.shape),
                found: format!("{} of shape {:?}", data.dtype, data.shape),
            });
        }
        constants.insert(input.name.clone(), data);
    }
    Ok(constants)
}
