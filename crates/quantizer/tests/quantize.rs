//! Float models become int8 programs that compile, are near to the float model, and are no worse than PT2E's.

use cortado_compiler::export::write;
use cortado_compiler::import::ExportedProgram;
use cortado_compiler::report::Report;
use cortado_compiler::{Compiled, compile};
use cortado_contract::{Cpu, Target};
use cortado_npz::{Archive, Array};
use cortado_quantizer::execute::ExecuteError;
use cortado_quantizer::quantize::{Comparison, compare, simplified};
use cortado_quantizer::report::Warning;
use cortado_quantizer::tensor::{Tensor, numbers};
use cortado_quantizer::{Options, QuantizeError, Quantized, Ranges, quantize};
use std::path::{Path, PathBuf};

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/models").join(name)
}

fn float(name: &str) -> ExportedProgram {
    ExportedProgram::open(model(name).join("float.pt2")).unwrap()
}

fn samples(name: &str, file: &str) -> Vec<Vec<Tensor>> {
    let archive = Archive::open(model(name).join(file)).unwrap();
    let arrays: Vec<&Array> =
        (0..).map_while(|index| archive.get(&format!("input{index}"))).collect();
    let tensor = |array: &&Array, index: usize| {
        let bytes = array.item(index).unwrap();
        Tensor::new(array.shape()[1..].to_vec(), numbers(array.dtype(), bytes))
    };
    let sample = |index| arrays.iter().map(|array| tensor(array, index)).collect();
    (0..arrays[0].shape()[0]).map(sample).collect()
}

fn quantized(name: &str, options: &Options) -> Quantized {
    quantize(&float(name), &samples(name, "calibration.npz"), options, &mut |_| {}).unwrap()
}

fn compared(name: &str, program: &ExportedProgram, labels: Option<&[i64]>) -> Comparison {
    let (plain, int8) = (simplified(&float(name)).unwrap(), simplified(program).unwrap());
    compare(&plain, &int8, &samples(name, "inputs.npz"), labels).unwrap()
}

fn compiled(program: &ExportedProgram, cpu: Cpu) -> Compiled {
    compile(program, Target::new(cpu)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn digits_are_recognized_as_well_as_by_upstreams_program() {
    for (name, share) in [("digits_mlp", 0.6), ("digits_cnn", 0.8)] {
        let labels =
            Array::read_npy(&std::fs::read(model(name).join("labels.npy")).unwrap()).unwrap();
        let labels: Vec<i64> =
            numbers(labels.dtype(), labels.bytes()).iter().map(|label| *label as i64).collect();
        let theirs = ExportedProgram::open(model(name).join("quantized.pt2")).unwrap();
        let theirs = compared(name, &theirs, Some(&labels));
        let ours = compared(name, &quantized(name, &Options::default()).program, Some(&labels));
        assert!(ours.int8_accuracy >= theirs.int8_accuracy, "{name}: {ours:?} {theirs:?}");
        assert!(ours.mean_squared_errors[0] < share * theirs.mean_squared_errors[0], "{name}");
    }
}

#[test]
fn what_pt2e_quantizes_is_quantized_for_all_targets() {
    let mut count = 0;
    let folder = model("");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Nothing that the other convolutional models do not show, but longer.
        if !model(&name).join("float.pt2").exists() || name.contains("mobilenet") {
            continue;
        }
        let Quantized { program, report } = quantized(&name, &Options::default());
        // What is written is what was made.
        let again = ExportedProgram::read(&write(&program).unwrap()).unwrap();
        let theirs = ExportedProgram::open(model(&name).join("quantized.pt2")).unwrap();
        for cpu in [Cpu::M55, Cpu::M4, Cpu::M0] {
            let ours = Report::new(&compiled(&again, cpu)).float_islands.len();
            let Ok(theirs) = compile(&theirs, Target::new(cpu)) else { continue };
            let theirs = Report::new(&theirs).float_islands.len();
            assert!(theirs > 0 || ours == 0, "{name}: {ours} float islands, upstream {theirs}");
        }
        // A difference of chance between two roundings of few numbers is no defect; twice the error would be.
        let ours = compared(&name, &again, None);
        let theirs = compared(&name, &theirs, None);
        for (ours, theirs) in ours.mean_squared_errors.iter().zip(&theirs.mean_squared_errors) {
            assert!(*ours <= 1.2 * theirs, "{name}: {ours:e}, upstream {theirs:e}");
        }
        assert!(report.layers.iter().all(|layer| layer.scale > 0.0 && layer.scale.is_finite()));
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    let bytes = || write(&quantized("digits_cnn", &Options::default()).program).unwrap();
    assert!(bytes() == bytes());
}

#[test]
fn options_do_what_they_say() {
    let name = "digits_cnn";
    for ranges in [Ranges::Histogram, Ranges::MinMax, Ranges::Percentile, Ranges::Kl, Ranges::Mse] {
        let options = Options { ranges, ..Options::default() };
        let found = compared(name, &quantized(name, &options).program, None);
        assert!(found.mean_squared_errors[0] < 0.1, "{ranges:?}: {found:?}");
    }
    let options = Options { per_tensor_linear: true, ..Options::default() };
    let program = quantized("digits_mlp", &options).program;
    let per_channel = |node: &&cortado_compiler::import::Node| node.target.contains("per_channel");
    assert_eq!(program.nodes.iter().filter(per_channel).count(), 0);
    let options = Options { float: vec!["linear".to_owned()], ..Options::default() };
    let Quantized { program, report } = quantized(name, &options);
    assert!(report.float_nodes.iter().any(|node| node.name == "linear"), "{report:?}");
    assert!(!Report::new(&compiled(&program, Cpu::M4)).float_islands.is_empty());
    let options = Options { equalize: true, no_bias_correction: true, ..Options::default() };
    let Quantized { report, .. } = quantized("resnet8", &options);
    assert!(!report.bias_corrected);
    let options = Options { int8_recurrence: true, ..Options::default() };
    let Quantized { report, .. } = quantized("op_lstm", &options);
    assert!(report.float_nodes.is_empty(), "{:?}", report.float_nodes);
}

/// Everything but what has no int8 kernel computes in int8, and near to the float model.
#[test]
fn operators_that_are_written_by_others_are_quantized() {
    let name = "../decomposed";
    // Inputs are alike: they serve for calibration as well, many times over with other signs and sizes.
    let inputs = samples(name, "inputs.npz");
    let varied = (0..16).flat_map(|round| {
        inputs.iter().map(move |sample| {
            let mut sample = sample.clone();
            let factor = if round % 2 == 0 { 1.0 } else { -1.0 } / (1.0 + round as f32 / 16.0);
            for tensor in &mut sample {
                tensor.data_mut().iter_mut().for_each(|number| *number *= factor);
            }
            sample
        })
    });
    let calibration: Vec<_> = varied.collect();
    let exported = float(name);
    let quantized = quantize(&exported, &calibration, &Options::default(), &mut |_| {}).unwrap();
    let Quantized { program, report } = quantized;
    let count = |name| report.float_nodes.iter().filter(|node| node.operator == name).count();
    let (norms, logarithms) = (count("aten.layer_norm.default"), count("aten.log_softmax.int"));
    assert_eq!((norms, logarithms, report.float_nodes.len()), (4, 3, 7));
    for cpu in [Cpu::M55, Cpu::M4, Cpu::M0] {
        compiled(&program, cpu);
    }
    for output in &report.outputs {
        // Without noise there is no ratio.
        assert!(output.sqnr_db.is_none_or(|ratio| ratio > 20.0), "{output:?}");
    }
}

/// The types of a program's results.
fn types(report: &cortado_quantizer::report::Report) -> Vec<&'static str> {
    report.layers.iter().map(|layer| layer.dtype).collect()
}

fn int16(names: &[&str]) -> Options {
    Options { int16: names.iter().map(|name| (*name).to_owned()).collect(), ..Options::default() }
}

#[test]
fn int16_layers_leave_less_noise_and_compile() {
    // Dense, grouped, depthwise and linear layers, sums between them, two readers and two makers of one tensor.
    for (name, share) in [
        ("digits_mlp", 0.2),
        ("digits_cnn", 0.8),
        ("op_conv2d_grouped", 0.1),
        ("op_depthwise_m2", 0.1),
        ("multiple_outputs", 0.9),
        ("op_encoder_layer", 0.5),
        ("resnet8", 0.9),
        ("two_inputs", 0.1),
    ] {
        let narrow = quantized(name, &Options::default());
        let wide = quantized(name, &int16(&["all"]));
        assert!(types(&wide.report).contains(&"int16"), "{name}: {:?}", wide.report);
        assert_eq!(wide.report.float_nodes.len(), narrow.report.float_nodes.len(), "{name}");
        // What is written is what was made.
        let again = ExportedProgram::read(&write(&wide.program).unwrap()).unwrap();
        let [narrow, wide] = [&narrow.program, &again].map(|it| compared(name, it, None));
        for (narrow, wide) in narrow.mean_squared_errors.iter().zip(&wide.mean_squared_errors) {
            assert!(*wide < share * narrow, "{name}: int16 {wide:e}, int8 {narrow:e}");
        }
        for cpu in [Cpu::M55, Cpu::M4, Cpu::M0] {
            let report = Report::new(&compiled(&again, cpu));
            assert_eq!(report.float_islands.is_empty(), name != "op_encoder_layer", "{name}");
        }
    }
}

#[test]
fn chosen_layers_alone_are_int16() {
    let Quantized { program, report } = quantized("digits_mlp", &int16(&["linear_1"]));
    assert_eq!(types(&report), ["int8", "int16", "int8"]);
    compiled(&program, Cpu::M4);
    let Quantized { program, report } = quantized("digits_mlp", &int16(&["linear", "linear_2"]));
    assert_eq!(types(&report), ["int16", "int8", "int16"]);
    compiled(&program, Cpu::M4);
    // A pooling in between has an int8 kernel only.
    for (name, expected) in [("3", "relu_1"), ("relu_1", "relu_1"), ("11", "linear")] {
        let Quantized { report, .. } = quantized("digits_cnn", &int16(&[name]));
        let wide: Vec<_> = report.layers.iter().filter(|layer| layer.dtype == "int16").collect();
        let [layer] = wide[..] else { panic!("{name}: {wide:?}") };
        assert_eq!((layer.name.as_str(), layer.zero_point), (expected, 0));
    }
}

#[test]
fn int16_is_refused_where_there_is_no_layer() {
    let refused = |name: &str, layer: &str| {
        refusal(name, &samples(name, "calibration.npz"), &int16(&[layer])).to_string()
    };
    assert!(refused("digits_mlp", "nothing").contains("no node and no module `nothing`"));
    assert!(refused("digits_cnn", "max_pool2d").contains("`max_pool2d` names no layer"));
    assert!(refused("op_conv_transpose", "all").contains("other than transposed ones"));
    assert!(refused("op_add", "all").contains("names no layer"));
}

fn refusal(name: &str, samples: &[Vec<Tensor>], options: &Options) -> QuantizeError {
    quantize(&float(name), samples, options, &mut |_| {}).unwrap_err()
}

#[test]
fn bad_calibration_data_is_refused() {
    let good = samples("digits_mlp", "calibration.npz");
    let plain = Options::default();
    assert!(matches!(refusal("digits_mlp", &[], &plain), QuantizeError::Empty));
    for bad in [f32::NAN, f32::INFINITY] {
        let mut samples = good.clone();
        samples[3][0].data_mut()[5] = bad;
        let error = refusal("digits_mlp", &samples, &plain);
        assert!(matches!(error, QuantizeError::NotFinite { sample: 3, element: 5, .. }), "{error}");
    }
    let mut samples = good.clone();
    samples[0][0].data_mut().fill(f32::MAX);
    let error = refusal("digits_mlp", &samples, &plain);
    assert!(matches!(error, QuantizeError::Overflow { sample: 0, .. }), "{error}");
    let options = Options { float: vec!["nothing".to_owned()], ..Options::default() };
    assert!(matches!(refusal("digits_mlp", &good, &options), QuantizeError::Unknown { .. }));
    let quantized = ExportedProgram::open(model("digits_mlp").join("quantized.pt2")).unwrap();
    let error = quantize(&quantized, &good, &plain, &mut |_| {}).unwrap_err();
    assert!(matches!(error, QuantizeError::AlreadyQuantized { .. }), "{error}");
    let _: fn(ExecuteError) -> QuantizeError = QuantizeError::Execute;
}

#[test]
fn data_that_shows_nothing_is_warned_of_and_still_compiles() {
    let zeros: Vec<Vec<Tensor>> = vec![vec![Tensor::new(vec![1, 1, 8, 8], vec![0.0; 64])]; 4];
    let Quantized { program, report } =
        quantize(&float("digits_cnn"), &zeros, &Options::default(), &mut |_| {}).unwrap();
    assert!(
        report.warnings.iter().any(|warning| matches!(warning, Warning::Dead { .. })),
        "{:?}",
        report.warnings
    );
    for cpu in [Cpu::M55, Cpu::M0] {
        compiled(&program, cpu);
    }
    let image: Vec<f32> = (0..3 * 64).map(|at| if at < 64 { 0.5 } else { at as f32 }).collect();
    let samples = vec![vec![Tensor::new(vec![1, 3, 8, 8], image)]; 2];
    let Quantized { report, .. } =
        quantize(&float("op_flatten"), &samples, &Options::default(), &mut |_| {}).unwrap();
    let constant = |warning: &Warning| matches!(warning, Warning::ConstantChannels { channels, .. } if channels == &[0]);
    assert!(report.warnings.iter().any(constant), "{:?}", report.warnings);
}
