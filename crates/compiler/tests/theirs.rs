//! Files of ExecuTorch's compiler: they run as they are, and rewritten for each instruction set.

mod common;

use common::TARGETS;
use cortado_compiler::finish::finish;
use cortado_compiler::lift::lift;
use cortado_compiler::plan::PlanOptions;
use cortado_compiler::retarget::retarget;
use cortado_contract::{Isa, Target};
use cortado_host::local::{self, AlignedBytes, RunError};
use cortado_host::recorded;
use cortado_host::samples::{Outputs, Samples};
use cortado_npz::Archive;
use cortado_runtime::{LayoutPolicy, LoadError, OperatorProblem};

/// A model of which ExecuTorch's compiler makes files that mean nothing: `aten::clamp` and `aten::hardswish` are called with the integers of
/// quantized tensors, whose scales are not in the file. ExecuTorch's runtime has no kernels for that either.
const MEANINGLESS: &str = "op_hardswish";

/// Models that take long to compute.
const SLOW: &[&str] = &["deep_autoencoder", "ds_cnn", "mobilenet_v1_025", "resnet8"];

/// Runs the first samples of a model: enough to compare, few enough for large models.
fn run(pte: &[u8], model: &str, isa: Isa, policy: LayoutPolicy) -> Result<Outputs, LoadError> {
    let inputs = Archive::open(common::path(model, "inputs.npz")).unwrap();
    let file = AlignedBytes::copy_of(pte);
    let boundary = local::boundary(&file)?;
    let mut samples = Samples::take(&inputs, &[], &boundary.inputs).unwrap();
    samples.truncate(if SLOW.contains(&model) { 1 } else { 8 });
    match local::run(&file, isa, policy, &samples, || {}) {
        Ok(outputs) => Ok(outputs),
        Err(RunError::Load(error)) => Err(error),
        Err(error) => panic!("{model}: {error}"),
    }
}

#[test]
fn they_run_as_they_are() {
    let mut problems = Vec::new();
    for (model, target, file) in common::upstream_files() {
        let made_for = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1.default_isa();
        let mut problem = |what: String| problems.push(format!("{model} {target}: {what}"));
        let own = match run(&file, &model, made_for, LayoutPolicy::Refuse) {
            Ok(_) if model == MEANINGLESS => {
                problem("it was run".to_owned());
                continue;
            }
            Ok(own) => own,
            Err(LoadError::Operator { problem: OperatorProblem::Rule(_), .. })
                if model == MEANINGLESS =>
            {
                continue;
            }
            Err(error) => {
                problem(error.to_string());
                continue;
            }
        };
        if let Some(difference) =
            recorded::compare_upstream(&common::path(&model, ""), &target, &own).unwrap()
        {
            problem(difference);
        }
        for isa in Isa::ALL.into_iter().filter(|isa| *isa != made_for) {
            match run(&file, &model, isa, LayoutPolicy::Refuse) {
                Ok(outputs) if outputs == own => {}
                Ok(_) => problem(format!("other outputs on {isa}")),
                Err(LoadError::Layout(_)) if isa.constant_form() != made_for.constant_form() => {}
                Err(error) => problem(format!("on {isa}: {error}")),
            }
            match run(&file, &model, isa, LayoutPolicy::Adapt) {
                Ok(outputs) if outputs == own => {}
                other => problem(format!("adapted to {isa}: {other:?}")),
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn they_are_retargeted_without_a_change_of_results() {
    let mut problems = Vec::new();
    for (model, target, file) in common::upstream_files() {
        let made_for = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1.default_isa();
        let Ok(own) = run(&file, &model, made_for, LayoutPolicy::Refuse) else { continue };
        for (_, cpu) in TARGETS {
            let mut lifted = lift(&file).unwrap();
            let target = Target::new(cpu);
            let options = PlanOptions { seconds: 0.01, ..lifted.plan_options() };
            retarget(&mut lifted.program, target.isa()).unwrap();
            let made = finish(&lifted.program, target, &options).unwrap().pte;
            if made.len() >= file.len() {
                problems.push(format!(
                    "{model} for {made_for} is no smaller for {cpu}: {} bytes, was {}",
                    made.len(),
                    file.len()
                ));
            }
            match run(&made, &model, target.isa(), LayoutPolicy::Refuse) {
                Ok(outputs) if outputs == own => {}
                other => {
                    problems.push(format!("{model} for {made_for}, rewritten for {cpu}: {other:?}"))
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
