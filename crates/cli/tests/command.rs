//! The command as its user meets it: results, errors, exit codes, and no half-written files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

/// A folder of its own for a test, empty.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn cortado(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cortado"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a command that must fail with this code, and returns what it says. Nothing may be left in the folder but `given`.
fn failure(folder: &Path, given: &[&str], code: i32, arguments: &[&str]) -> String {
    let output = cortado(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    let left = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| !given.iter().any(|given| name == given)).collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
    error
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_model_is_compiled_run_and_checked() {
    let folder = folder("all");
    let model = testdata("models/digits_mlp/quantized.pt2");
    let inputs = testdata("models/digits_mlp/inputs.npz");
    let compile =
        ["compile", text(&model), "--target", "cortex-m55", "-o", "m.pte", "--json", "r.json"];
    assert!(cortado(&folder, &compile).status.success());
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("r.json")).unwrap()).unwrap();
    assert_eq!(report["constant_form"], "kernel_sum");
    assert_eq!(report["operators"][1]["macs"], 64 * 64);
    let run = ["run", "m.pte", "--inputs", text(&inputs), "--outputs", "o.npz"];
    assert!(cortado(&folder, &run).status.success());
    let outputs = cortado_npz::Archive::open(folder.join("o.npz")).unwrap();
    let expected = cortado_npz::Archive::open(testdata("models/digits_mlp/expected.npz")).unwrap();
    assert_eq!(
        outputs.get("output0").unwrap().bytes(),
        expected.get("m55_output0").unwrap().bytes()
    );
    let check = cortado(&folder, &["check", "m.pte", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(findings["made_for"]["cpu"], "cortex-m55");
    assert_eq!(check.status.code(), Some(0));
    assert_eq!(
        cortado(&folder, &["check", "m.pte", "--target", "cortex-m0"]).status.code(),
        Some(1)
    );
}

#[test]
fn what_stays_in_float_is_named() {
    let folder = folder("float");
    let model = testdata("pt2/traced.pt2");
    let compile =
        ["compile", text(&model), "--target", "cortex-m4", "-o", "m.pte", "--json", "r.json"];
    let output = cortado(&folder, &compile);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{summary}");
    for words in
        ["in integers    0.0 %", "float island 1", "aten::linear (node `linear`)", "model.py:12"]
    {
        assert!(summary.contains(words), "{words}: {summary}");
    }
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("r.json")).unwrap()).unwrap();
    assert_eq!(report["int8_share"], 0.0);
    let [island] = &report["float_islands"].as_array().unwrap()[..] else {
        panic!("one island: {report}");
    };
    assert_eq!(island["macs"], report["macs"]);
    let computing = island["operators"].as_array().unwrap().iter();
    let computing = computing.filter(|operator| operator["computes"] == true).count();
    assert_eq!(report["float_operators"], computing);
}

#[test]
fn float_is_denied_on_request() {
    let folder = folder("deny");
    let model = testdata("pt2/traced.pt2");
    let to = |model| vec!["compile", model, "--target", "cortex-m4", "-o", "m.pte", "--deny-float"];
    let error = failure(&folder, &[], 1, &to(text(&model)));
    for words in
        ["--deny-float", "(node `linear`)", "(node `linear_1`)", "model.py:12", "quantize them"]
    {
        assert!(error.contains(words), "{words}: {error}");
    }
    let model = testdata("models/tiny_linear/quantized.pt2");
    assert!(cortado(&folder, &to(text(&model))).status.success());
}

#[test]
fn every_stage_is_dumped() {
    let folder = folder("dump");
    let model = testdata("models/tiny_linear/quantized.pt2");
    for stage in ["import", "graph", "lowered", "plan", "pte"] {
        let arguments = ["dump", text(&model), "--target", "cortex-m4", "--stage", stage];
        let output = cortado(&folder, &arguments);
        assert!(output.status.success() && !output.stdout.is_empty(), "{stage}");
        let output = cortado(&folder, &[&arguments[..], &["--json"]].concat());
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .unwrap_or_else(|error| panic!("{stage}: {error}"));
    }
}

#[test]
fn bad_requests_are_refused_with_a_reason() {
    let folder = folder("bad");
    let model = testdata("models/tiny_linear/quantized.pt2");
    let model = text(&model);
    let to = |target| vec!["compile", model, "--target", target, "-o", "m.pte"];
    let error = failure(&folder, &[], 1, &to("cortex-m5"));
    assert!(error.contains("unknown core") && error.contains("did you mean"), "{error}");
    let error = failure(&folder, &[], 1, &[&to("cortex-m0")[..], &["--isa", "mve"]].concat());
    assert!(error.contains("allowed for it: scalar"), "{error}");
    failure(&folder, &[], 1, &["compile", model, "-o", "m.pte"]);
    failure(&folder, &[], 1, &["compile", model, "--target", "cortex-m4", "-o", "none/m.pte"]);
    failure(&folder, &[], 1, &["compile", "none.pt2", "--target", "cortex-m4", "-o", "m.pte"]);
    failure(&folder, &[], 2, &["compile", model]);
    failure(&folder, &[], 2, &["frobnicate"]);
}

#[test]
fn damaged_files_are_named_as_such() {
    let folder = folder("damaged");
    let given = ["half.pt2", "half.pte", "text.pte"];
    let model = std::fs::read(testdata("models/tiny_linear/quantized.pt2")).unwrap();
    std::fs::write(folder.join("half.pt2"), &model[..model.len() / 2]).unwrap();
    let program = std::fs::read(testdata("pte-upstream/tiny_linear-m4.pte")).unwrap();
    std::fs::write(folder.join("half.pte"), &program[..program.len() / 2]).unwrap();
    std::fs::write(folder.join("text.pte"), "not a program").unwrap();
    let error = failure(
        &folder,
        &given,
        1,
        &["compile", "half.pt2", "--target", "cortex-m4", "-o", "m.pte"],
    );
    assert!(error.contains("half.pt2"), "{error}");
    let error = failure(&folder, &given, 1, &["check", "half.pte"]);
    assert!(error.contains("truncated"), "{error}");
    let error = failure(&folder, &given, 1, &["check", "text.pte"]);
    assert!(error.contains("neither an exported program"), "{error}");
}

#[test]
fn a_float_model_is_quantized_compiled_and_run() {
    let folder = folder("quantize");
    let path = |file: &str| testdata("models/digits_mlp").join(file);
    let (float, calibration) = (path("float.pt2"), path("calibration.npz"));
    let (inputs, labels) = (path("inputs.npz"), path("labels.npy"));
    let arguments = [
        "quantize",
        text(&float),
        "--calibration",
        text(&calibration),
        "--inputs",
        text(&inputs),
        "--labels",
        text(&labels),
        "-o",
        "int8.pt2",
        "--json",
        "report.json",
    ];
    let output = cortado(&folder, &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("accuracy"), "{said}");
    let report = std::fs::read(folder.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["layers"].as_array().unwrap().len(), 3);
    assert_eq!(report["float_nodes"].as_array().unwrap().len(), 0);
    let comparison = &report["comparison"];
    assert!(comparison["int8_accuracy"].as_f64() > Some(0.969), "{comparison}");
    // In one step it is the same program.
    let compile = ["compile", "int8.pt2", "--target", "cortex-m4", "-o", "two.pte", "--no-module"];
    assert!(cortado(&folder, &compile).status.success());
    let calibrated = ["--calibration", text(&calibration), "--deny-float", "--no-module"];
    let compile = ["compile", text(&float), "--target", "cortex-m4", "-o", "one.pte"];
    assert!(cortado(&folder, &[&compile[..], &calibrated].concat()).status.success());
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    assert!(read("one.pte") == read("two.pte"));
}

/// Layers over `int16`, next to ones over `int8`, compute what the program says: to half a percent of the greatest number, which is far
/// less than int8 layers leave.
#[test]
fn int16_layers_are_compiled_and_run() {
    let folder = folder("int16");
    let path = |file: &str| testdata("models/digits_cnn").join(file);
    let (float, calibration, inputs) =
        (path("float.pt2"), path("calibration.npz"), path("inputs.npz"));
    let expected = cortado_npz::Archive::open(path("expected.npz")).unwrap();
    let numbers = |archive: &cortado_npz::Archive, name: &str| -> Vec<f32> {
        let bytes = archive.get(name).unwrap().bytes();
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    };
    let expected = numbers(&expected, "float_output0");
    let mut errors = Vec::new();
    for layers in [&[][..], &["--int16", "linear"], &["--int16", "all"]] {
        let calibrated = ["quantize", text(&float), "--calibration", text(&calibration)];
        let arguments = [&calibrated[..], layers, &["-o", "m.pt2"]].concat();
        let output = cortado(&folder, &arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut results = Vec::new();
        for target in ["cortex-m0plus", "cortex-m4", "cortex-m55"] {
            let run = ["run", "m.pt2", "--target", target, "--inputs", text(&inputs)];
            let output = cortado(&folder, &[&run[..], &["--outputs", "o.npz"]].concat());
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let archive = cortado_npz::Archive::open(folder.join("o.npz")).unwrap();
            results.push(numbers(&archive, "output0"));
        }
        assert!(results.iter().all(|result| *result == results[0]), "{layers:?}");
        let squares = results[0].iter().zip(&expected).map(|(a, b)| f64::from(a - b).powi(2));
        errors.push(squares.sum::<f64>() / expected.len() as f64);
    }
    let [int8, last, all] = errors[..] else { panic!("three programs") };
    assert!(last < int8 && all < 0.8 * int8, "{errors:?}");
}

#[test]
fn calibration_data_must_fit_the_model() {
    let folder = folder("calibration");
    let path = |file: &str| testdata("models/digits_mlp").join(file);
    let (float, quantized, good) =
        (path("float.pt2"), path("quantized.pt2"), path("calibration.npz"));
    let save = |name: &str, key: &str, array: cortado_npz::Array| {
        let mut archive = cortado_npz::Archive::new();
        archive.insert(key, array);
        archive.write(folder.join(name)).unwrap();
    };
    let array = |shape: Vec<usize>, fill: f32| {
        let count = shape.iter().product();
        cortado_npz::Array::from_values(shape, &vec![fill; count]).unwrap()
    };
    save("shape.npz", "input0", array(vec![2, 1, 63], 0.0));
    save("name.npz", "pixels", array(vec![2, 1, 64], 0.0));
    save("empty.npz", "input0", array(vec![0, 1, 64], 0.0));
    save("nan.npz", "input0", array(vec![2, 1, 64], f32::NAN));
    save("zero.npz", "input0", array(vec![2, 1, 64], 0.0));
    let given = ["shape.npz", "name.npz", "empty.npz", "nan.npz", "zero.npz"];
    for (data, words) in [
        ("shape.npz", "has shape [2, 1, 63]"),
        ("name.npz", "the arrays are: pixels"),
        ("empty.npz", "holds no samples"),
        ("nan.npz", "holds NaN in sample 0, at element 0"),
        ("nothing.npz", "nothing.npz"),
    ] {
        let arguments = ["quantize", text(&float), "--calibration", data, "-o", "int8.pt2"];
        let error = failure(&folder, &given, 1, &arguments);
        assert!(error.contains(words), "{error}");
        let start = ["compile", text(&float), "--calibration", data];
        let rest = ["--target", "cortex-m4", "-o", "o.pte"];
        failure(&folder, &given, 1, &[&start[..], &rest].concat());
    }
    let arguments = ["quantize", text(&quantized), "--calibration", text(&good), "-o", "o.pt2"];
    let error = failure(&folder, &given, 1, &arguments);
    assert!(error.contains("is quantized already"), "{error}");
    let labels = testdata("models/digits_mlp/labels.npy");
    let arguments = ["quantize", text(&float), "--calibration", text(&good), "-o", "o.pt2"];
    let arguments = [&arguments[..], &["--labels", text(&labels)]].concat();
    let error = failure(&folder, &given, 1, &arguments);
    assert!(error.contains("360 labels for 100 samples"), "{error}");
    let arguments = ["quantize", text(&float), "--calibration", "zero.npz", "-o", "int8.pt2"];
    let output = cortado(&folder, &arguments);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning: dead activation: `input`"), "{said}");
}

#[test]
fn samples_must_fit_the_model() {
    let folder = folder("samples");
    let program = testdata("pte-upstream/tiny_linear-m4.pte");
    let save = |name: &str, array: cortado_npz::Array| {
        let mut archive = cortado_npz::Archive::new();
        archive.insert("input0", array);
        archive.write(folder.join(name)).unwrap();
    };
    save("shape.npz", cortado_npz::Array::from_values(vec![2, 1, 511], &[0f32; 2 * 511]).unwrap());
    save("dtype.npz", cortado_npz::Array::from_values(vec![2, 1, 512], &[0f64; 2 * 512]).unwrap());
    std::fs::write(folder.join("broken.npz"), "PK").unwrap();
    let given = ["shape.npz", "dtype.npz", "broken.npz"];
    for (inputs, word) in
        [("shape.npz", "shape"), ("dtype.npz", "float64"), ("broken.npz", "broken.npz")]
    {
        let arguments = ["run", text(&program), "--inputs", inputs, "--outputs", "o.npz"];
        let error = failure(&folder, &given, 1, &arguments);
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_foreign_form_is_refused_and_adapted_on_request() {
    let folder = folder("foreign");
    let program = testdata("pte-upstream/digits_mlp-m55.pte");
    let inputs = testdata("models/digits_mlp/inputs.npz");
    let mut arguments = vec![
        "run",
        text(&program),
        "--target",
        "cortex-m4",
        "--inputs",
        text(&inputs),
        "--outputs",
        "o.npz",
    ];
    let error = failure(&folder, &[], 1, &arguments);
    for word in ["cortex_m::quantized_linear", "kernel_sum", "bias", "dsp", "--layout adapt"] {
        assert!(error.contains(word), "{word}: {error}");
    }
    arguments.extend(["--layout", "adapt"]);
    assert!(cortado(&folder, &arguments).status.success());
    let outputs = cortado_npz::Archive::open(folder.join("o.npz")).unwrap();
    let expected = cortado_npz::Archive::open(testdata("models/digits_mlp/expected.npz")).unwrap();
    assert_eq!(
        outputs.get("output0").unwrap().bytes(),
        expected.get("m55_output0").unwrap().bytes()
    );
}

/// `check --json` with its exit code.
fn findings(folder: &Path, file: &Path, target: &str) -> (serde_json::Value, Option<i32>) {
    let output = cortado(folder, &["check", text(file), "--target", target, "--json"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let findings = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|problem| panic!("{}: {problem}: {error}", file.display()));
    (findings, output.status.code())
}

fn outcome(findings: &serde_json::Value, isa: &str) -> String {
    let verdicts = findings["executorch"].as_array().unwrap();
    let verdict = verdicts.iter().find(|verdict| verdict["isa"] == isa).unwrap();
    verdict["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_file_for_another_isa_is_found_out_and_mended() {
    let folder = folder("mended");
    for (model, from, target, isa, before) in [
        ("tiny_linear", "m55", "cortex-m4", "dsp", "silently_wrong"),
        ("tiny_linear", "m0", "cortex-m55", "mve", "error_at_execute"),
        ("ds_cnn", "m4", "cortex-m55", "mve", "crash"),
        ("resnet8", "m0", "cortex-m7", "dsp", "error_at_execute"),
        ("op_cat", "m55", "cortex-m55", "mve", "silently_wrong"),
    ] {
        let file = testdata(&format!("pte-upstream/{model}-{from}.pte"));
        let (found, code) = findings(&folder, &file, target);
        assert_eq!((outcome(&found, isa), code), (before.to_owned(), Some(1)), "{model} {from}");
        let mended = folder.join("mended.pte");
        let output =
            cortado(&folder, &["retarget", text(&file), "--target", target, "-o", text(&mended)]);
        assert!(output.status.success(), "{model}: {}", String::from_utf8_lossy(&output.stderr));
        let (found, code) = findings(&folder, &mended, target);
        assert_eq!((outcome(&found, isa), code), ("equal".to_owned(), Some(0)), "{model} {from}");
        assert_eq!(found["dead"]["bytes"], 0);
        assert_eq!(found["made_for"]["isa"], isa);
    }
}

/// Files that cannot be what they should be: each is named by `check`, and neither run nor rewritten.
#[test]
fn contradictions_are_named_and_never_run() {
    use cortado_host::mutate::{BIAS, KERNEL_SUM, edited, linear_arguments};
    let folder = folder("contradictions");
    let read = |name: &str| std::fs::read(testdata(&format!("pte-upstream/{name}.pte"))).unwrap();
    let compiled = |target: &str| {
        let model = testdata("models/digits_cnn/quantized.pt2");
        let arguments = ["compile", text(&model), "--target", target, "-o", "c.pte"];
        assert!(cortado(&folder, &arguments).status.success());
        std::fs::read(folder.join("c.pte")).unwrap()
    };
    let null = |program: &mut cortado_pte::owned::Program| {
        program.plans[0].values.push(cortado_pte::owned::Value::Null);
        program.plans[0].values.len() as i32 - 1
    };
    // Both terms: the layer's own sums beside a bias that they do not contain.
    let both = |agree: bool| {
        edited(&read("tiny_linear-m4"), |program| {
            use cortado_pte::owned::Value;
            let args = linear_arguments(program)[0].clone();
            let bias = &program.plans[0].values[args[BIAS] as usize];
            let Value::Tensor(mut tensor) = bias.clone() else { panic!("no bias") };
            let sums = read("tiny_linear-m55");
            let sums = cortado_compiler::lift::lift(&sums).unwrap().program;
            let sums = sums.buffers.iter().find_map(|buffer| match &buffer.kind {
                cortado_compiler::lowered::BufferKind::Constant(data) if data.len() == 40 => {
                    Some(data.to_vec())
                }
                _ => None,
            });
            let mut sums = sums.unwrap();
            sums[0] ^= u8::from(!agree);
            tensor.data_buffer_idx = program.add_constant(sums);
            program.plans[0].values.push(Value::Tensor(tensor));
            let index = program.plans[0].values.len() as i32 - 1;
            linear_arguments(program)[0][KERNEL_SUM] = index;
        })
        .unwrap()
    };
    let neither = edited(&read("digits_mlp-m55"), |program| {
        let null = null(program);
        linear_arguments(program)[1][KERNEL_SUM] = null;
    })
    .unwrap();
    let stamp = |file: &[u8], of: &[u8]| {
        let key = cortado_contract::stamp::KEY;
        let of = cortado_pte::Program::parse(of).unwrap().named(key).unwrap().unwrap().to_vec();
        edited(file, |program| {
            program.named_data.iter_mut().find(|entry| entry.key == key).unwrap().data = of;
        })
        .unwrap()
    };
    let (mve, dsp) = (compiled("cortex-m55"), compiled("cortex-m4"));
    let none = edited(&mve, |program| {
        let null = null(program);
        linear_arguments(program)[0][KERNEL_SUM] = null;
    })
    .unwrap();
    for (name, file, words) in [
        ("agree.pte", both(true), &["both bias and kernel_sum", "redundant copy"][..]),
        ("contradict.pte", both(false), &["both bias and kernel_sum", "contradict each other"]),
        ("neither.pte", neither, &["one layer has a kernel_sum and the other has none"]),
        ("none.pte", none, &["neither bias nor kernel_sum", "stamp says cortex-m55"]),
        ("stamp.pte", stamp(&mve, &dsp), &["it has kernel_sum", "stamp says cortex-m4"]),
    ] {
        std::fs::write(folder.join(name), &file).unwrap();
        let output = cortado(&folder, &["check", name]);
        let report = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {report}");
        words.iter().for_each(|word| assert!(report.contains(word), "{name}: {word}: {report}"));
        let inputs = testdata("models/tiny_linear/inputs.npz");
        for target in ["cortex-m0", "cortex-m4", "cortex-m55"] {
            for policy in ["refuse", "adapt"] {
                let run = [
                    "run",
                    name,
                    "--target",
                    target,
                    "--layout",
                    policy,
                    "--inputs",
                    text(&inputs),
                    "--outputs",
                    "o.npz",
                ];
                let output = cortado(&folder, &run);
                assert_eq!(output.status.code(), Some(1), "{name} was run on {target}");
            }
            let retarget = ["retarget", name, "--target", target, "-o", "r.pte"];
            let output = cortado(&folder, &retarget);
            assert_eq!(output.status.code(), Some(1), "{name} was rewritten for {target}");
            // Nor does the runtime itself take it, whatever the policy.
            let file = cortado_host::local::AlignedBytes::copy_of(&file);
            for isa in cortado_contract::Isa::ALL {
                for policy in
                    [cortado_runtime::LayoutPolicy::Refuse, cortado_runtime::LayoutPolicy::Adapt]
                {
                    assert!(
                        cortado_host::local::with_method(&file, isa, policy, |_| ()).is_err(),
                        "{name} on {isa}"
                    );
                }
            }
        }
        assert!(!folder.join("o.npz").exists() && !folder.join("r.pte").exists(), "{name}");
    }
}

/// The text for people, held against files: `CORTADO_BLESS=1 cargo test -p cortado-cli --test command` writes them anew.
#[test]
fn reports_read_as_they_should() {
    let folder = folder("reports");
    for (name, target) in
        [("tiny_linear-m55", "cortex-m4"), ("ds_cnn-m4", "cortex-m55"), ("op_lstm-m4", "cortex-m4")]
    {
        let file = format!("{name}.pte");
        std::fs::copy(testdata(&format!("pte-upstream/{file}")), folder.join(&file)).unwrap();
        let output = cortado(&folder, &["check", &file, "--target", target]);
        let report = format!(
            "{}--- to standard error\n{}",
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        );
        let expected =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/reports/{name}.txt"));
        if std::env::var_os("CORTADO_BLESS").is_some() {
            std::fs::write(&expected, &report).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert!(report == expected, "{name}: the report has changed:\n{report}");
    }
}

#[test]
fn what_was_probably_meant_is_suggested() {
    let folder = folder("meant");
    let model = testdata("models/two_inputs/quantized.pt2");
    std::fs::copy(&model, folder.join("model.pt2")).unwrap();
    let given = ["model.pt2", "samples.npz", "report.json"];
    let inputs = cortado_npz::Archive::open(testdata("models/two_inputs/inputs.npz")).unwrap();
    let mut renamed = cortado_npz::Archive::new();
    for name in inputs.names() {
        renamed.insert(format!("{name}_"), inputs.get(name).unwrap().clone());
    }
    renamed.write(folder.join("samples.npz")).unwrap();
    std::fs::write(folder.join("report.json"), "{}").unwrap();
    let compile = |model, target, rest: &[&'static str]| {
        let words = ["compile", model, "--target", target, "-o", "m.pte"];
        [&words[..], rest].concat()
    };
    let run = |inputs| {
        vec!["run", "model.pt2", "--target", "m4", "--inputs", inputs, "--outputs", "o.npz"]
    };
    let report = ["report", "model.pt2", "--target", "m4", "-o", "r.html", "--profile"];
    for (arguments, code, words) in [
        (compile("modle.pt2", "cortex-m4", &[]), 1, "did you mean `model.pt2`?"),
        (compile("model.pt", "cortex-m4", &[]), 1, "did you mean `model.pt2`?"),
        (compile("model.pte", "cortex-m4", &[]), 1, "did you mean `model.pt2`?"),
        (compile("model.pt2", "cortex-m555", &[]), 1, "did you mean `cortex-m55`?"),
        (compile("model.pt2", "cortex-m0plsu", &[]), 1, "did you mean `cortex-m0plus`?"),
        (compile("model.pt2", "cortex-m33", &["--isa", "dps"]), 1, "did you mean `dsp`?"),
        (compile("model.pt2", "cortex-m55", &["--isa", "helium"]), 1, "did you mean `mve`?"),
        (compile("model.pt2", "m4", &["--memory", "sram:512K"]), 2, "did you mean `sram=512K`?"),
        (compile("model.pt2", "m4", &["--lend", "input"]), 2, "'inputs'"),
        (compile("model.pt2", "m4", &["--dney-float"]), 2, "'--deny-float'"),
        (vec!["chekc", "model.pt2"], 2, "'check'"),
        (run("sample.npz"), 1, "did you mean `samples.npz`?"),
        (run("samples.npz"), 1, "did you mean `input0_`? Save it as `input0`"),
        ([&report[..], &["reprot.json"]].concat(), 1, "did you mean `report.json`?"),
    ] {
        let error = failure(&folder, &given, code, &arguments);
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = failure(&folder, &given, 1, &compile("esp32.onnx", "esp32", &[]));
    assert!(!error.contains("did you mean"), "{error}");
}

#[test]
fn a_program_is_shown_as_a_page() {
    let folder = folder("page");
    let model = testdata("models/tiny_linear/quantized.pt2");
    let theirs = testdata("pte-upstream/ds_cnn-m4.pte");
    let page = |arguments: &[&str]| {
        let words = [&["report"][..], arguments, &["-o", "r.html"]].concat();
        let output = cortado(&folder, &words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.as_ref()), (Some(0), ""), "{arguments:?}");
        let page = std::fs::read_to_string(folder.join("r.html")).unwrap();
        std::fs::remove_file(folder.join("r.html")).unwrap();
        page
    };
    let exported = page(&[text(&model), "--target", "cortex-m55"]);
    for words in ["for <strong>cortex-m55</strong>", "kernel_sum", "zero point", "exact"] {
        assert!(exported.contains(words), "{words}");
    }
    let upstream = page(&[text(&theirs)]);
    for words in ["ds_cnn-m4.pte", "10,240 bytes of flash are dead", "crash (HardFault)"] {
        assert!(upstream.contains(words), "{words}");
    }
    std::fs::write(folder.join("profile.json"), "{\"cpu\": 1}").unwrap();
    std::fs::copy(&theirs, folder.join("m.pte")).unwrap();
    let given = ["profile.json", "m.pte"];
    for (arguments, words) in [
        (vec![text(&model)], "none was given"),
        (vec!["m.pte", "--profile", "profile.json"], "no profile"),
        (vec!["m.pte", "--profile", "profile.json", "-o", "profile.json"], "written over it"),
        (vec!["m.pte", "-o", "m.pte"], "written over it"),
        (vec!["profile.json"], "neither an exported program"),
    ] {
        let mut words_of = [&["report"][..], &arguments].concat();
        if !arguments.contains(&"-o") {
            words_of.extend(["-o", "r.html"]);
        }
        let error = failure(&folder, &given, 1, &words_of);
        assert!(error.contains(words), "{words}: {error}");
    }
    failure(&folder, &given, 2, &["report", "m.pte", "--on", "cortex-m4", "-o", "r.html"]);
}

#[test]
fn the_command_keeps_to_the_customs_of_commands() {
    let folder = folder("customs");
    let version = cortado(&folder, &["--version"]);
    let expected = format!("cortado {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = cortado(&folder, &["completions", shell]);
        let script = String::from_utf8(script.stdout).unwrap();
        for words in ["retarget", "report", "deny-float"] {
            assert!(script.contains(words), "{shell}: {words}");
        }
    }
    assert_eq!(cortado(&folder, &["man", "-o", "pages/man1"]).status.code(), Some(0));
    let pages = std::fs::read_dir(folder.join("pages/man1")).unwrap().count();
    assert!(pages >= 10, "{pages}");
    let page = std::fs::read_to_string(folder.join("pages/man1/cortado-compile.1")).unwrap();
    assert!(page.starts_with(".ie") && page.contains("\\-\\-deny\\-float"), "{page:.300}");
    // No colours where they are not wanted, and none into pipes.
    let help = |variable: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cortado"));
        let output = command.env(variable, "1").args(["compile", "--help"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!help("NO_COLOR").contains('\u{1b}') && !help("UNRELATED").contains('\u{1b}'));
    assert!(help("CLICOLOR_FORCE").contains('\u{1b}'));
    let model = testdata("models/tiny_linear/quantized.pt2");
    let compile = ["compile", text(&model), "--target", "cortex-m4", "-o", "m.pte"];
    assert!(!cortado(&folder, &compile).stderr.is_empty());
    for quiet in ["-q", "--quiet"] {
        let output = cortado(&folder, &[&[quiet][..], &compile].concat());
        assert!(output.status.success() && output.stderr.is_empty());
    }
    let retarget = ["retarget", "m.pte", "--target", "cortex-m55", "-o", "n.pte", "-q"];
    let output = cortado(&folder, &retarget);
    assert!(output.status.success() && output.stderr.is_empty());
    // Errors are said all the same.
    let output = cortado(&folder, &["-q", "check", "none.pte"]);
    assert!(output.status.code() == Some(1) && !output.stderr.is_empty());
}
