//! Verdicts from a file's bytes: what ExecuTorch's runtime was measured to do with files of other instruction sets, and dead bytes.

mod common;

use common::TARGETS;
use cortado_compiler::judge::dead::dead;
use cortado_compiler::judge::forms::contradictions;
use cortado_compiler::judge::upstream::{Outcome, verdict};
use cortado_compiler::judge::{broken_rules, harmful_overlaps};
use cortado_compiler::lift::lift;
use cortado_contract::Isa;

/// What was measured with ExecuTorch 1.5's C++ runtime and CMSIS-NN on emulated boards (M55, M4, M3): a row per model, and per
/// column the outcome of a file made for one instruction set on a runtime built for another.
const MEASURED: &str = "
model              mve/dsp mve/scalar dsp/mve scalar/mve scalar/dsp dsp/scalar
tiny_linear        wrong   wrong      error   error      equal      equal
tiny_linear_nobias equal   equal      error   error      equal      equal
digits_mlp         wrong   wrong      error   error      equal      equal
digits_cnn         wrong   wrong      error   error      equal      equal
deep_autoencoder   wrong   wrong      error   error      equal      equal
ds_cnn             error   wrong      crash   crash      error      equal
resnet8            error   wrong      error   error      error      equal
mobilenet_v1_025   error   wrong      error   error      error      equal
mobilenet_v2_035   error   equal      error   error      error      equal
";

fn measured(model: &str, made_for: Isa, kernels: Isa) -> Option<Outcome> {
    let mut rows = MEASURED.trim().lines().map(|line| line.split_whitespace());
    let column = format!("{made_for}/{kernels}");
    let position = rows.next()?.position(|heading| heading == column);
    let mut row = rows.find(|row| row.clone().next() == Some(model))?;
    Some(match (position, row.nth(position.unwrap_or(0))) {
        // On its own kernels every file was right.
        (None, _) | (_, Some("equal")) => Outcome::Equal,
        (_, Some("wrong")) => Outcome::SilentlyWrong,
        (_, Some("error")) => Outcome::ErrorAtExecute,
        (_, Some("crash")) => Outcome::Crash,
        (_, other) => panic!("{other:?}"),
    })
}

#[test]
fn verdicts_are_those_that_were_measured() {
    let isa = |target: &str| {
        TARGETS.iter().find(|(name, _)| *name == target).map(|(_, cpu)| cpu.default_isa()).unwrap()
    };
    let mut files = common::upstream_files();
    for (model, _) in MEASURED.trim().lines().skip(1).filter_map(|line| line.split_once(' ')) {
        for (target, cpu) in TARGETS {
            files.push((model.to_owned(), target.to_owned(), common::compiled(model, cpu).pte));
        }
    }
    let (mut problems, mut cells) = (Vec::new(), 0);
    for (model, target, file) in files {
        for kernels in Isa::ALL {
            let Some(expected) = measured(&model, isa(&target), kernels) else { continue };
            let found = verdict(&lift(&file).unwrap(), kernels);
            cells += 1;
            if found.outcome != expected {
                problems.push(format!(
                    "{model} {target} on {kernels}: {found:?}, measured {expected:?}"
                ));
            }
        }
    }
    assert!(problems.is_empty() && cells > 100, "{cells}\n{}", problems.join("\n"));
}

/// Three of ExecuTorch's own files come out wrong on its runtime, on each instruction set alike; no other file does on its own.
#[test]
fn files_that_are_wrong_everywhere_are_named() {
    const WRONG: [&str; 3] = ["op_cat", "op_permute", "op_conv_transpose"];
    for (model, target, file) in common::upstream_files() {
        let Ok(lifted) = lift(&file) else { continue };
        let made_for = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1.default_isa();
        let found = verdict(&lifted, made_for);
        let expected = match model.as_str() {
            model if WRONG.contains(&model) => Outcome::SilentlyWrong,
            "op_hardswish" => continue,
            _ => Outcome::Equal,
        };
        assert_eq!(found.outcome, expected, "{model} {target}: {found:?}");
    }
}

#[test]
fn nothing_contradicts_itself_in_sound_files() {
    for (model, target, file) in common::upstream_files() {
        if let Ok(lifted) = lift(&file) {
            assert_eq!(contradictions(&lifted), Vec::<String>::new(), "{model} {target}");
        }
    }
    for model in common::models() {
        for (target, cpu) in TARGETS {
            let lifted = lift(&common::compiled(&model, cpu).pte).unwrap();
            assert_eq!(contradictions(&lifted), Vec::<String>::new(), "{model} {target}");
        }
    }
}

/// Counted independently from these files, by reading them with ExecuTorch's own deserializer.
#[test]
fn dead_constants_are_counted() {
    let counted = [("ds_cnn", 10_288), ("mobilenet_v1_025", 37_128), ("resnet8", 3_304)];
    let files = common::upstream_files();
    for (model, bytes) in counted {
        let (.., file) =
            files.iter().find(|(name, target, _)| name == model && target == "m55").unwrap();
        assert_eq!(dead(file).unwrap().constant_bytes, bytes, "{model}");
    }
}

#[test]
fn our_files_carry_nothing_in_vain_and_are_smaller_than_upstreams() {
    let upstream = common::upstream_files();
    for model in common::models() {
        for (target, cpu) in TARGETS {
            let file = common::compiled(&model, cpu).pte;
            assert_eq!(dead(&file).unwrap(), Default::default(), "{model} {target}");
            let theirs = upstream.iter().find(|(name, of, _)| *name == model && of == target);
            if let Some((.., theirs)) = theirs {
                assert!(
                    file.len() < theirs.len(),
                    "{model} {target}: {} bytes, theirs {}",
                    file.len(),
                    theirs.len()
                );
            }
        }
    }
}

/// On the instruction set that they were made for, our files are right on ExecuTorch's runtime as well, or cannot be loaded there for an
/// operator of Cortado's own. Only what its kernel for transposed convolutions misplaces cannot be helped.
#[test]
fn our_files_are_right_on_executorchs_runtime() {
    for model in common::models() {
        for (target, cpu) in TARGETS {
            let lifted = lift(&common::compiled(&model, cpu).pte).unwrap();
            assert_eq!(harmful_overlaps(&lifted).count(), 0, "{model} {target}");
            assert_eq!(broken_rules(&lifted), Vec::<String>::new(), "{model} {target}");
            let found = verdict(&lifted, cpu.default_isa());
            let mut calls = lifted.program.calls.iter();
            let has_own = calls.any(|call| call.operator.kind().name().starts_with("cortado::"));
            let expected = match model.as_str() {
                "op_conv_transpose" => Outcome::SilentlyWrong,
                _ if has_own => Outcome::ErrorAtLoad,
                _ => Outcome::Equal,
            };
            assert_eq!(found.outcome, expected, "{model} {target}: {found:?}");
        }
    }
}

#[test]
fn what_breaks_rules_cannot_be_told() {
    for (model, target, file) in common::upstream_files() {
        if model == "op_hardswish" {
            let lifted = lift(&file).unwrap();
            assert_eq!(verdict(&lifted, Isa::Dsp).outcome, Outcome::Unknown, "{target}");
            assert!(broken_rules(&lifted)[0].contains("aten::clamp"), "{target}");
        }
    }
}
