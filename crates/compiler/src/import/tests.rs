//! Programs that torch exported (`testdata/pt2`, `testdata/models`), and what can be wrong with them.

use super::*;
use cortado_npz::zip::{self, Limits, ZipArchive};
use serde_json::{Value, json};
use std::path::PathBuf;

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata")).join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(testdata(name)).unwrap()
}

fn program(name: &str) -> ExportedProgram {
    ExportedProgram::open(testdata(name)).unwrap()
}

fn error(bytes: &[u8]) -> ImportError {
    ExportedProgram::read(bytes).unwrap_err()
}

fn message(name: &str) -> String {
    error(&bytes(name)).to_string()
}

/// The entries of an archive, to be changed and packed again.
struct Entries(Vec<(String, Vec<u8>)>);

impl Entries {
    fn of(name: &str) -> Self {
        let bytes = bytes(name);
        let limits = Limits { entries: 100, total_bytes: 1 << 20 };
        let archive = ZipArchive::new(&bytes, &limits).unwrap();
        let entries = archive.entries();
        let entries = entries.map(|entry| (entry.name().to_owned(), entry.read().unwrap().into()));
        Entries(entries.collect())
    }

    fn get(&mut self, suffix: &str) -> &mut Vec<u8> {
        &mut self.0.iter_mut().find(|(name, _)| name.ends_with(suffix)).unwrap().1
    }

    fn without(mut self, suffix: &str) -> Self {
        self.get(suffix);
        self.0.retain(|(name, _)| !name.ends_with(suffix));
        self
    }

    fn with(mut self, suffix: &str, content: impl Into<Vec<u8>>) -> Self {
        *self.get(suffix) = content.into();
        self
    }

    fn with_json(mut self, suffix: &str, edit: impl FnOnce(&mut Value)) -> Self {
        let entry = self.get(suffix);
        let mut value = serde_json::from_slice(entry).unwrap();
        edit(&mut value);
        *entry = serde_json::to_vec(&value).unwrap();
        self
    }

    fn pack(&self) -> Vec<u8> {
        zip::write_stored(self.0.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())))
            .unwrap()
    }

    fn read(&self) -> Result<ExportedProgram, ImportError> {
        ExportedProgram::read(&self.pack())
    }

    fn message(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

const PROGRAM: &str = "models/model.json";
const WEIGHTS: &str = "model_weights_config.json";
const CONSTANTS: &str = "model_constants_config.json";

/// The message for `traced.pt2` with changed JSON.
fn changed(edit: impl FnOnce(&mut Value)) -> String {
    Entries::of("pt2/traced.pt2").with_json(PROGRAM, edit).message()
}

/// The message for `traced.pt2` with a changed list of weights.
fn changed_weights(edit: impl FnOnce(&mut Value)) -> String {
    Entries::of("pt2/traced.pt2").with_json(WEIGHTS, edit).message()
}

fn graph(program: &mut Value) -> &mut Value {
    &mut program["graph_module"]["graph"]
}

#[test]
fn programs_display_as_text() {
    let text = program("pt2/traced.pt2").to_string();
    let path = testdata("pt2/traced.txt");
    if std::env::var_os("CORTADO_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, expected, "run with CORTADO_BLESS=1 if the difference is wanted");
}

#[test]
fn signature_nodes_and_constants_are_read() {
    let program = program("pt2/traced.pt2");
    assert_eq!(program.schema_version, SchemaVersion { major: 8, minor: 20 });
    assert!(program.torch_version.starts_with("2.15.0"));
    let input = |name: &str| program.inputs.iter().find(|input| input.name == name).unwrap();
    let fqn = |fqn: &str| fqn.to_owned();
    assert_eq!(input("p_head_fc_weight").kind, InputKind::Parameter { fqn: fqn("head.fc.weight") });
    assert_eq!(input("b_offset").kind, InputKind::Buffer { fqn: fqn("offset") });
    assert_eq!(input("c_table").kind, InputKind::Constant { fqn: fqn("table") });
    assert_eq!(program.user_inputs().map(|input| &input.name).collect::<Vec<_>>(), ["x"]);
    assert_eq!(program.outputs, ["cat"]);

    let cat = program.nodes.iter().find(|node| node.name == "cat").unwrap();
    assert_eq!(cat.target, "aten.cat.default");
    let tensors = [Some("add_2".to_owned()), Some("x".to_owned())];
    assert_eq!(cat.argument("tensors"), Some(&Argument::Tensors(tensors.to_vec())));
    assert_eq!(cat.operands().collect::<Vec<_>>(), ["add_2", "x"]);
    assert_eq!(cat.argument("dim").and_then(Argument::as_int), Some(1));
    assert_eq!(cat.argument("out"), None);
    assert_eq!(program.values["cat"].shape, [1, 7]);

    let table = &program.constants["c_table"];
    assert_eq!((table.dtype, table.shape.as_slice()), (DType::F32, &[1, 3][..]));
    assert_eq!(floats(table), [1.0, 2.0, 3.0]);
    assert_eq!(floats(&program.constants["b_offset"]), [0.0, 1.0, 2.0]);
}

fn floats(data: &TensorData) -> Vec<f32> {
    data.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn views_of_one_storage_are_read_in_logical_order() {
    let program = program("pt2/views.pt2");
    let data = |name: &str| &program.constants[name];
    assert_eq!(floats(data("b_columns")), [6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
    assert_eq!(data("b_columns").strides, [6, 2]);
    assert_eq!(floats(data("b_transposed"))[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
    assert_eq!(data("b_transposed").dim_order(), [1, 0]);
    assert_eq!(floats(data("b_expanded")), [7.0; 3]);
    assert_eq!(data("p_a_weight").bytes, data("p_b_weight").bytes);
    assert_eq!(program.values["b_columns"].storage_offset, 6);
}

#[test]
fn memory_order_follows_strides() {
    let order = |strides: &[u64]| tensor::dim_order(strides);
    assert_eq!(order(&[18, 9, 3, 1]), [0, 1, 2, 3]);
    assert_eq!(order(&[18, 1, 6, 2]), [0, 2, 3, 1]);
    assert_eq!(order(&[1, 1]), [0, 1]);
    assert_eq!(order(&[]), [0u8; 0]);
}

#[test]
fn arguments_of_many_kinds_are_read() {
    let program = program("pt2/arguments.pt2");
    let argument = |node: &str, name: &str| {
        let node = program.nodes.iter().find(|other| other.name == node).unwrap();
        node.argument(name).unwrap().clone()
    };
    assert_eq!(argument("mul", "other"), Argument::Int(3));
    assert_eq!(argument("mul", "other").as_float(), Some(3.0));
    assert_eq!(argument("clamp", "min"), Argument::Float(f64::NEG_INFINITY));
    assert_eq!(argument("clamp", "max").as_float(), Some(1.5));
    assert_eq!(argument("split_with_sizes", "split_sizes").as_ints(), Some(&[1, 3][..]));
    let indices = vec![None, Some("detach_".to_owned())];
    assert_eq!(argument("index", "indices"), Argument::Tensors(indices));
    assert_eq!(argument("zeros", "dtype").as_dtype(), Some(DType::I32));
    assert_eq!(argument("zeros", "device"), Argument::Device("cpu".to_owned()));
    assert_eq!(argument("zeros", "pin_memory").as_bool(), Some(false));
    assert_eq!(argument("upsample_nearest2d", "output_size"), Argument::None);
    assert_eq!(argument("upsample_nearest2d", "scale_factors"), Argument::Floats(vec![2.0, 2.0]));
    let format = Argument::MemoryFormat(MemoryFormat::Preserve);
    assert_eq!(argument("empty_like", "memory_format"), format);
    let layout = argument("_assert_tensor_metadata_default", "layout");
    assert_eq!(layout, Argument::StridedLayout);

    // The number among the inputs is no tensor and leaves no trace.
    assert_eq!(program.user_inputs().count(), 1);
    let outputs = |node: &str| {
        let node = program.nodes.iter().find(|other| other.name == node).unwrap();
        node.outputs.clone()
    };
    assert_eq!(outputs("split_with_sizes"), ["getitem", "getitem_1"]);
    assert_eq!(outputs("_assert_tensor_metadata_default"), [""; 0]);
    let json = serde_json::to_value(&program).unwrap();
    assert_eq!(json["nodes"][1]["arguments"][1], json!(["min", {"float": "-inf"}]));
}

#[test]
fn quantized_programs_keep_source_lines() {
    let program = program("pt2/quantized.pt2");
    let source = |name: &str| {
        let node = program.nodes.iter().find(|node| node.name == name).unwrap();
        node.source.clone()
    };
    let line = "model.py:12, in forward: return F.relu(self.fc(x))";
    assert_eq!(source("linear").to_string(), line);
    assert_eq!(source("dequantize_per_tensor_1").to_string(), line);
    assert_eq!(source("quantize_per_tensor").to_string(), "node `quantize_per_tensor`");
    let module = source("linear").module.unwrap();
    assert_eq!(module.to_string(), "module `fc` (Linear)");
}

#[test]
fn the_models_of_the_tests_are_read() {
    for name in ["tiny_linear", "tiny_linear_nobias", "digits_mlp"] {
        let program = program(&format!("models/{name}/quantized.pt2"));
        let weights = &program.constants["b__frozen_param0"];
        assert_eq!((weights.dtype, weights.bytes.len()), (DType::I8, weights_bytes(name)));
        let last = program.nodes.last().unwrap();
        assert_eq!(last.target, "quantized_decomposed.dequantize_per_tensor.default");
        assert_eq!(program.outputs, last.outputs);
    }
    let program = program("models/tiny_linear/quantized.pt2");
    assert_eq!(
        program.nodes[0].argument("scale").and_then(Argument::as_float),
        Some(7.838790224923287e-6)
    );
}

fn weights_bytes(model: &str) -> usize {
    if model == "digits_mlp" { 64 * 64 } else { 512 * 10 }
}

#[test]
fn dynamic_dimensions_are_all_named() {
    let error = error(&bytes("pt2/dynamic.pt2"));
    assert_eq!(error.class(), ErrorClass::Unsupported);
    let ImportError::DynamicShape { dimensions } = &error else { panic!("{error}") };
    let symbol = &dimensions[0].symbol;
    assert_eq!(
        error.to_string(),
        format!(
            "dimension 0 of input `image` is dynamic ({symbol}, 1 to 16), dimension 0 of input `mask` is dynamic \
             ({symbol}, 1 to 16); Cortado plans all memory ahead of time: leave out `dynamic_shapes` in \
             torch.export.export"
        )
    );
}

#[test]
fn state_is_refused() {
    assert_eq!(
        message("pt2/mutates.pt2"),
        "the program writes to the buffer `count` at model.py:73, in forward: self.count += 1, and programs with \
         state are not supported; call model.eval() before the export, or return the new value as an output"
    );
    assert_eq!(
        message("pt2/mutates-decomposed.pt2"),
        "the program writes to the buffer `count`, and programs with state are not supported; call model.eval() \
         before the export, or return the new value as an output"
    );
}

#[test]
fn subgraphs_and_half_precision_are_refused() {
    assert_eq!(
        message("pt2/subgraph.pt2"),
        "argument `#1` of node `add` (higher_order.wrap_with_set_grad_enabled) is a graph of its own, which Cortado \
         does not support, at the top module (Subgraph); leave out torch.no_grad() and similar blocks, torch.cond and \
         torch.map in the model"
    );
    assert_eq!(
        message("pt2/half.pt2"),
        "the result `to` of node `to` (aten.to.dtype, at model.py:86, in forward: return x.half() + 1) is of type \
         float16, and Cortado handles uint8, int8, int16, int32, int64, float32, float64 and bool; convert the model, \
         for example with model.float()"
    );
}

#[test]
fn other_formats_are_named() {
    let hint = ", and a program exported by PyTorch (.pt2) is expected; make one with torch 2.9 or later: \
                torch.export.save(torch.export.export(model, inputs), \"model.pt2\")";
    let check = |bytes: &[u8], what: &str| {
        let error = error(bytes);
        assert_eq!(error.to_string(), format!("this is {what}{hint}"));
        assert_eq!(error.class(), ErrorClass::OtherFormat);
    };
    let checkpoint = "a checkpoint or whole model, as torch.save writes it";
    check(&bytes("pt2/state-dict.pt"), checkpoint);
    let torchscript = "a TorchScript model, as torch.jit.save writes it";
    check(&bytes("pt2/torchscript.pt"), torchscript);
    let other = "a zip archive of something else";
    check(&bytes("models/tiny_linear/inputs.npz"), other);
    check(b"\x1c\0\0\0ET12", "an ExecuTorch program (.pte)");
    check(b"\x1c\0\0\0TFL3", "a TensorFlow Lite model");
    check(b"\x80\x02c", "a Python pickle, as an old torch.save writes it");
    check(b"# Models", "no zip archive");
    check(b"", "an empty file");
    check(&zip::write_stored([]).unwrap(), "an empty zip archive");
    let package = [("p/archive_format", &b"pt2"[..]), ("p/data/aotinductor/model/model.so", b"")];
    let compiled =
        "a package of compiled code, as torch._inductor.aoti_compile_and_package writes it";
    check(&zip::write_stored(package).unwrap(), compiled);

    let missing = ExportedProgram::open("missing.pt2").unwrap_err();
    assert_eq!(missing.class(), ErrorClass::Unreadable);
    assert!(missing.to_string().starts_with("cannot read `missing.pt2`: "), "{missing}");
}

#[test]
fn old_layouts_are_named() {
    let hint = "in an older file layout; export the model again with torch 2.9 or later: \
                torch.export.save(torch.export.export(model, inputs), \"model.pt2\")";
    let pack = |entries: &[(&'static str, &'static str)]| {
        let entries = entries.iter().map(|(name, content)| (*name, content.as_bytes()));
        error(&zip::write_stored(entries).unwrap()).to_string()
    };
    assert_eq!(
        pack(&[
            ("version", "8.5"),
            ("serialized_exported_program.json", "{}"),
            ("serialized_state_dict.pt", ""),
        ]),
        format!("this program was written by torch 2.7 or earlier (schema version 8.5), {hint}")
    );
    assert_eq!(
        pack(&[("serialized_exported_program.json", "{}")]),
        format!("this program was written by torch 2.7 or earlier, {hint}")
    );
    assert_eq!(
        pack(&[("archive_format", "pt2"), ("models/model.json", "{}")]),
        format!("this program was written by torch 2.7 or earlier, {hint}")
    );
    let mut entries = Entries::of("pt2/traced.pt2").without(WEIGHTS).without(CONSTANTS);
    entries.0.push(("traced/data/weights/model.pt".to_owned(), Vec::new()));
    assert_eq!(entries.message(), format!("this program was written by torch 2.8, {hint}"));
    assert_eq!(entries.read().unwrap_err().class(), ErrorClass::OtherFormat);
}

#[test]
fn schema_versions_are_judged() {
    assert_eq!(
        changed(|program| program["schema_version"] = json!({"major": 9, "minor": 1})),
        format!(
            "this program is written in schema version 9.1 (by torch {}), and Cortado reads version 8; export the \
             model again with a torch that writes version 8, such as 2.9 or 2.15",
            program("pt2/traced.pt2").torch_version
        )
    );
    let newer = |program: &mut Value| program["schema_version"]["minor"] = json!(99);
    let entries = Entries::of("pt2/traced.pt2").with_json(PROGRAM, newer);
    assert_eq!(entries.read().unwrap().schema_version.minor, 99);

    let error = Entries::of("pt2/traced.pt2").with_json(PROGRAM, |program| {
        newer(program);
        graph(program)["nodes"][0]["fast_math"] = json!(true);
    });
    let error = error.read().unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(
            "entry `models/model.json` cannot be understood: unknown field `fast_math`"
        ),
        "{text}"
    );
    let hint = "; the file's schema version 8.99 is newer than 8.20, the newest that is known: update Cortado, or \
                export with an older torch";
    assert!(text.ends_with(hint), "{text}");
    assert_eq!(error.class(), ErrorClass::Unsupported);
}

#[test]
fn markers_are_checked() {
    let hint = "export the model again with torch 2.9 or later: \
                torch.export.save(torch.export.export(model, inputs), \"model.pt2\")";
    let check = |entry: &str, found: &str, expected: &str| {
        let message = Entries::of("pt2/views.pt2").with(&format!("views/{entry}"), found).message();
        let start = format!("entry `{entry}` is `{found}`, and `{expected}` is expected; ");
        assert_eq!(message, start + hint);
    };
    check("byteorder", "big", "little");
    check("archive_format", "pt3", "pt2");
    check("archive_version", "1", "0");
}

#[test]
fn missing_entries_are_named() {
    for entry in [
        "archive_format",
        "byteorder",
        PROGRAM,
        "data/weights/model_weights_config.json",
        "data/constants/model_constants_config.json",
        "data/weights/weight_2",
        "data/constants/tensor_0",
    ] {
        let error = Entries::of("pt2/traced.pt2").without(entry).read().unwrap_err();
        assert_eq!(error.to_string(), format!("the file is damaged: entry `{entry}` is missing"));
        assert_eq!(error.class(), ErrorClass::Damaged);
    }
}

#[test]
fn several_programs_and_folders_are_refused() {
    let mut entries = Entries::of("pt2/views.pt2");
    entries.0.push(("views/models/other.json".to_owned(), b"{}".to_vec()));
    assert_eq!(
        entries.message(),
        "the file holds 2 programs (model, other), and one is expected; save one program per file with \
         torch.export.save"
    );
    let mut entries = Entries::of("pt2/views.pt2");
    entries.0.push(("elsewhere/byteorder".to_owned(), b"big".to_vec()));
    assert_eq!(
        entries.message(),
        "the file is damaged: entry `elsewhere/byteorder` is not in the folder `views` that the first entry is in"
    );
}

#[test]
fn entries_of_the_wrong_size_are_refused() {
    let check = |bytes: Vec<u8>, detail: &str| {
        let message = Entries::of("pt2/traced.pt2").with("weights/weight_0", bytes).message();
        let start = "`head.fc.weight` cannot be read from entry `data/weights/weight_0`: ";
        assert_eq!(message, format!("{start}{detail}"));
    };
    let view =
        "a float32 view of shape [3, 4], strides [4, 1] and offset 0 does not lie within 47 bytes";
    check(vec![0; 47], view);
    check(vec![], "the entry is empty: the model was exported without real weights");
    // A storage may be larger than what one constant needs of it.
    let entries = Entries::of("pt2/traced.pt2").with("weights/weight_0", vec![0; 400]);
    assert!(entries.read().is_ok());
}

/// Changes the metadata of one weight.
fn meta(config: &mut Value, field: &str, value: Value) {
    config["config"]["head.fc.weight"]["tensor_meta"][field] = value;
}

#[test]
fn lying_lists_of_weights_are_refused() {
    let start = "`head.fc.weight` cannot be read from entry `data/weights/weight_0`: ";
    let cases = [
        (
            "strides",
            json!([{"as_int": 5}, {"as_int": 1}]),
            format!(
                "{start}a float32 view of shape [3, 4], strides [5, 1] and offset 0 does not lie within 48 bytes"
            ),
        ),
        (
            "storage_offset",
            json!({"as_int": 1}),
            format!(
                "{start}a float32 view of shape [3, 4], strides [4, 1] and offset 1 does not lie within 48 bytes"
            ),
        ),
        (
            "storage_offset",
            json!({"as_int": -1}),
            "the program is damaged: the constant `head.fc.weight`: expected a storage offset of 0 or more, \
             found -1"
                .to_owned(),
        ),
        (
            "sizes",
            json!([{"as_int": 3}]),
            "the program is damaged: the constant `head.fc.weight`: expected a stride for each of at most 64 \
             sizes, found 1 sizes and 2 strides"
                .to_owned(),
        ),
        (
            "sizes",
            json!([{"as_expr": {"expr_str": "s0 + 1"}}, {"as_int": 4}]),
            format!("{start}its size is not a number but s0 + 1"),
        ),
        (
            "dtype",
            json!(6),
            "the constant `head.fc.weight` is of type float16, and Cortado handles uint8, int8, int16, int32, int64, \
             float32, float64 and bool; convert the model, for example with model.float()"
                .to_owned(),
        ),
        (
            "layout",
            json!(2),
            "the constant `head.fc.weight` has the layout sparse_csr, and only strided tensors are supported; \
             convert it with .to_dense()"
                .to_owned(),
        ),
    ];
    for (field, value, expected) in cases {
        assert_eq!(changed_weights(|config| meta(config, field, value)), expected);
    }
}

#[test]
fn constants_that_cannot_be_taken_are_named() {
    // The strides fit the changed sizes, so that only the graph disagrees.
    let other_shape = changed_weights(|config| {
        meta(config, "sizes", json!([{"as_int": 4}, {"as_int": 3}]));
        meta(config, "strides", json!([{"as_int": 3}, {"as_int": 1}]));
    });
    assert_eq!(
        other_shape,
        "the program is damaged: the constant `head.fc.weight`: expected float32 of shape [3, 4], as in the graph, \
         found float32 of shape [4, 3]"
    );
    let huge = changed_weights(|config| {
        meta(config, "sizes", json!([{"as_int": 4_000_000_000u32}, {"as_int": 4_000_000_000u32}]));
        meta(config, "strides", json!([{"as_int": 0}, {"as_int": 0}]));
    });
    assert_eq!(huge, "the constants of the program take more than 1073741824 bytes");
    let pickled =
        changed_weights(|config| config["config"]["head.fc.weight"]["use_pickle"] = json!(true));
    assert_eq!(
        pickled,
        "`head.fc.weight` is stored as a Python object (in `data/weights/weight_0`), not as plain elements; replace \
         tensor subclasses and custom objects by plain tensors before the export"
    );
    let unlisted = changed_weights(|config| {
        config["config"].as_object_mut().unwrap().remove("head.fc.weight");
    });
    assert_eq!(
        unlisted,
        "the program is damaged: the list of constants in `data/weights/`: expected `head.fc.weight`, which the \
         signature names, found nothing"
    );
}

#[test]
fn arguments_that_cannot_be_handled_are_named() {
    let with = |argument: Value| {
        changed(|program| {
            graph(program)["nodes"][0]["inputs"][0]["arg"] = argument;
        })
    };
    let place = "argument `input` of node `linear`";
    let source = "at model.py:12, in forward: return F.relu(self.fc(x))";
    assert_eq!(
        with(json!({"as_quaternion": [1, 2, 3, 4]})),
        format!("{place} (aten.linear.default) is of the unknown kind `as_quaternion`, {source}")
    );
    assert_eq!(
        with(json!({"as_sym_int": {"as_name": "s0"}})),
        format!(
            "{place} (aten.linear.default) is a number that is only known at run time, which Cortado does not support, \
             {source}; export with static shapes: leave out `dynamic_shapes` in torch.export.export"
        )
    );
    assert_eq!(
        with(json!({"as_complex": {"real": 0.0, "imag": 1.0}})),
        format!(
            "{place} (aten.linear.default) is a complex number, which Cortado does not support, {source}; replace it \
             by plain tensors and numbers"
        )
    );
    assert_eq!(
        with(json!({"as_layout": 1})),
        format!(
            "{place} (aten.linear.default) is a sparse layout, which Cortado does not support, {source}; use dense \
             tensors"
        )
    );
    let memory_format = format!("{place} cannot be understood: 9 is no memory format");
    assert_eq!(with(json!({"as_memory_format": 9})), memory_format);
    let float = format!("{place} cannot be understood: `many` is not a float");
    assert_eq!(with(json!({"as_float": "many"})), float);
    let int = with(json!({"as_int": 0.5}));
    assert!(int.starts_with(&format!("{place} cannot be understood: invalid type")), "{int}");
    for argument in [json!({}), json!({"as_int": 1, "as_none": true})] {
        let message = with(argument);
        let start = "entry `models/model.json` cannot be understood: an object with exactly one key is expected";
        assert!(message.starts_with(start), "{message}");
    }
    let twice = changed(|program| {
        let inputs = graph(program)["nodes"][0]["inputs"].as_array_mut().unwrap();
        inputs.push(inputs[0].clone());
    });
    assert_eq!(
        twice,
        "the program is damaged: node `linear`: expected one argument `input`, found several"
    );
}

#[test]
fn symbolic_lists_of_known_numbers_are_numbers() {
    let entries = Entries::of("pt2/traced.pt2").with_json(PROGRAM, |program| {
        let inputs = graph(program)["nodes"][0]["inputs"].as_array_mut().unwrap();
        for (name, arg) in [
            ("a", json!({"as_sym_ints": [{"as_int": 2}, {"as_int": -1}]})),
            ("b", json!({"as_sym_float": {"as_float": "NaN"}})),
            ("c", json!({"as_sym_bools": [{"as_bool": true}]})),
            ("d", json!({"as_optional_tensor": {"as_none": true}})),
            ("e", json!({"as_strings": ["x"]})),
            ("f", json!({"as_int_lists": [[1], []]})),
            // A JSON reader that does not care for the last bit reads another number.
            ("h", json!({"as_float": 0.024844646453857422})),
            ("g", json!({"as_device": {"type": "cuda", "index": 1}})),
        ] {
            inputs.push(json!({"name": name, "arg": arg}));
        }
    });
    let program = entries.read().unwrap();
    let argument = |name| program.nodes[0].argument(name).unwrap();
    assert_eq!(argument("a"), &Argument::Ints(vec![2, -1]));
    assert!(argument("b").as_float().unwrap().is_nan());
    assert_eq!(argument("c"), &Argument::Bools(vec![true]));
    assert_eq!(argument("d"), &Argument::None);
    assert_eq!(argument("e"), &Argument::Texts(vec!["x".to_owned()]));
    assert_eq!(argument("f"), &Argument::IntLists(vec![vec![1], vec![]]));
    assert_eq!(argument("g"), &Argument::Device("cuda:1".to_owned()));
    assert_eq!(argument("h").as_float(), Some(0.024844646453857422));
}

#[test]
fn contradictions_in_the_graph_are_refused() {
    let output = |name: &str| json!([{"as_tensor": {"name": name}}]);
    assert_eq!(
        changed(|program| graph(program)["nodes"][1]["inputs"][0]["arg"]["as_tensor"]["name"] =
            json!("cat")),
        "the program is damaged: node `relu` reads the tensor `cat`, which nothing before it defines"
    );
    assert_eq!(
        changed(|program| graph(program)["nodes"][1]["outputs"] = output("linear")),
        "the program is damaged: the tensor `linear` is defined more than once"
    );
    assert_eq!(
        changed(|program| {
            graph(program)["outputs"] = output("nothing");
            program["graph_module"]["signature"]["output_specs"][0]["user_output"]["arg"] =
                json!({"as_tensor": {"name": "nothing"}});
        }),
        "the program is damaged: the output of the program reads the tensor `nothing`, which nothing before it defines"
    );
    assert_eq!(
        changed(|program| graph(program)["outputs"] = output("add")),
        "the program is damaged: output 0 of the graph: expected the tensor `cat`, as the signature says, found \
         `as_tensor` {\"name\":\"add\"}"
    );
    assert_eq!(
        changed(|program| graph(program)["inputs"][0] = json!({"as_int": 1})),
        "the program is damaged: input 0 of the graph: expected the tensor `p_head_fc_weight`, as the signature \
         says, found `as_int` 1"
    );
    assert_eq!(
        changed(|program| _ = graph(program)["inputs"].as_array_mut().unwrap().pop()),
        "the program is damaged: the signature: expected 7 inputs, as the graph has, found 8"
    );
    assert_eq!(
        changed(
            |program| _ = graph(program)["tensor_values"].as_object_mut().unwrap().remove("relu")
        ),
        "the program is damaged: the result `relu` of node `relu` (aten.relu.default, at model.py:12, in forward: \
         return F.relu(self.fc(x))): expected type and sizes, found none"
    );
    assert_eq!(
        changed(|program| {
            graph(program)["tensor_values"]["relu"]["sizes"][0] =
                json!({"as_expr": {"expr_str": "u0"}});
        }),
        "the result `relu` of node `relu` has a size that is only known at run time (u0), at model.py:12, in forward: \
         return F.relu(self.fc(x)); Cortado plans all memory ahead of time: rewrite the model so that sizes do not \
         depend on data"
    );
    assert_eq!(
        changed(|program| graph(program)["nodes"][0]["outputs"] =
            json!([{"as_sym_int": {"as_name": "u0"}}])),
        "node `linear` (aten.linear.default) has a result of kind `as_sym_int`, and only tensors are supported, at \
         model.py:12, in forward: return F.relu(self.fc(x))"
    );
}

#[test]
fn signatures_of_other_kinds_are_refused() {
    let input = |kind: &str, content: Value| {
        changed(|program| {
            let specs = &mut program["graph_module"]["signature"]["input_specs"];
            *specs.as_array_mut().unwrap().last_mut().unwrap() = json!({kind: content});
        })
    };
    assert_eq!(
        input("user_input", json!({"arg": {"as_sym_int": {"as_name": "s0"}}})),
        "input 7 of the signature is of kind `as_sym_int`, and only tensors are supported; make it a tensor, or a \
         constant of the model"
    );
    assert_eq!(
        input("custom_obj", json!({})),
        "input 7 of the signature is of kind `custom_obj`, and only tensors are supported; replace custom objects by \
         plain tensors"
    );
    assert_eq!(
        input("hologram", json!({})),
        "input 7 of the signature is of kind `hologram`, and only tensors are supported; remove it from the model, or \
         update Cortado"
    );
    let output = |spec: Value| {
        changed(|program| program["graph_module"]["signature"]["output_specs"][0] = spec)
    };
    assert_eq!(
        output(json!({"user_output": {"arg": {"as_int": 5}}})),
        "output 0 of the signature is of kind `as_int`, and only tensors are supported; return tensors only"
    );
    assert_eq!(
        output(json!({"loss_output": {"arg": {"name": "cat"}}})),
        "output 0 of the signature is of kind `loss_output`, and only tensors are supported; export the model for \
         inference: without a loss, after model.eval()"
    );
    let start = "the program writes to the input `x`, and programs with state are not supported; ";
    let mutation =
        output(json!({"user_input_mutation": {"arg": {"name": "cat"}, "user_input_name": "x"}}));
    assert!(mutation.starts_with(start), "{mutation}");
}

#[test]
fn outputs_that_are_none_are_left_out() {
    let entries = Entries::of("pt2/traced.pt2").with_json(PROGRAM, |program| {
        graph(program)["outputs"].as_array_mut().unwrap().push(json!({"as_none": true}));
        let specs = &mut program["graph_module"]["signature"]["output_specs"];
        specs.as_array_mut().unwrap().push(json!({"user_output": {"arg": {"as_none": true}}}));
    });
    assert_eq!(entries.read().unwrap().outputs, ["cat"]);
}

#[test]
fn weights_that_nothing_reads_may_be_of_any_type() {
    let half = |meta: &mut Value| meta["dtype"] = json!(13);
    let entries = Entries::of("pt2/quantized.pt2")
        .with_json(PROGRAM, |program| half(&mut graph(program)["tensor_values"]["p_fc_weight"]))
        .with_json(WEIGHTS, |config| half(&mut config["config"]["fc.weight"]["tensor_meta"]));
    let program = entries.read().unwrap();
    assert!(program.inputs.iter().all(|input| input.name != "p_fc_weight"));
    assert!(!program.constants.contains_key("p_fc_weight"));

    let entries = Entries::of("pt2/quantized.pt2")
        .with_json(PROGRAM, |program| half(&mut graph(program)["tensor_values"]["p_fc_bias"]));
    let message = entries.message();
    assert!(message.starts_with("the input `p_fc_bias` is of type bfloat16, and "), "{message}");
}

#[test]
fn keys_that_occur_twice_are_refused() {
    let config = br#"{"config": {"a": null, "a": null}}"#;
    let message = Entries::of("pt2/traced.pt2").with(CONSTANTS, *config).message();
    assert!(
        message.starts_with(
            "entry `data/constants/model_constants_config.json` cannot be understood: "
        )
    );
    let twice = br#"{"min_val": 1, "max_val": null}"#;
    let twice = str::from_utf8(twice).unwrap();
    let mut entries = Entries::of("pt2/traced.pt2");
    let text = String::from_utf8(entries.get(PROGRAM).clone()).unwrap();
    let ranges = format!(r#""range_constraints": {{"s0": {twice}, "s0": {twice}}}"#);
    let text = text.replace(r#""range_constraints": {}"#, &ranges);
    let message = entries.with(PROGRAM, text).message();
    let start = "entry `models/model.json` cannot be understood: key `s0` occurs twice at line 1";
    assert!(message.starts_with(start), "{message}");
}

/// `views.pt2` without what is not read, so that there are few bytes to damage.
fn small() -> Entries {
    let entries = Entries::of("pt2/views.pt2").without("sample_inputs/model.pt");
    entries.with_json(PROGRAM, |program| {
        for node in graph(program)["nodes"].as_array_mut().unwrap() {
            node["metadata"] = json!({});
        }
    })
}

#[test]
fn damage_anywhere_never_panics() {
    let whole = small().pack();
    assert!(ExportedProgram::read(&whole).is_ok());
    for end in 0..whole.len() {
        assert!(ExportedProgram::read(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut damaged = whole.clone();
    for at in 0..whole.len() {
        damaged[at] ^= 0x41;
        // Checksums find what changes an entry that is read; the rest does not matter.
        let _ = ExportedProgram::read(&damaged);
        damaged[at] ^= 0x41;
    }
}

#[test]
fn damaged_json_never_panics() {
    for name in [PROGRAM, WEIGHTS] {
        let mut entries = small();
        let whole = entries.get(name).clone();
        for at in 0..whole.len() {
            entries.get(name)[at] = [b'9', b'"', b'-', 0xff][at % 4];
            let _ = entries.read();
            entries.get(name)[at] = whole[at];
        }
    }
}
