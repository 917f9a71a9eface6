//! What deserves attention, what it means and what to do about it.

use crate::model::{Access, Finding, Report, Severity};
use crate::text::{self, bytes, clean, counted, list};
use cortado_compiler::judge::dead::Dead;
use cortado_compiler::judge::forms::contradictions;
use cortado_compiler::judge::{broken_rules, harmful_overlaps};
use cortado_compiler::lift::Lifted;
use cortado_compiler::report::float_islands;
use std::collections::HashMap;

/// Findings in a program that could be lifted.
pub(super) fn fill(report: &mut Report, lifted: &Lifted) {
    let contradictory = contradictions(lifted);
    if !contradictory.is_empty() {
        problem(
            report,
            "The program contradicts itself, and is never run",
            &contradictory,
            Some("It was damaged or edited. Compile the model again."),
        );
    }
    let mut broken = broken_rules(lifted);
    broken.extend(harmful_overlaps(lifted).map(|it| {
        format!(
            "instruction {}: `{}` shares memory with `{}` while it is written",
            it.call, it.written, it.other
        )
    }));
    if !broken.is_empty() {
        problem(report, "Operators' rules are broken", &broken, None);
    }
    fill_float_islands(report, lifted);
    fill_transposes(report);
    fill_gap(report);
}

fn problem(report: &mut Report, title: &str, sentences: &[String], remedy: Option<&str>) {
    let sentences: Vec<String> = sentences.iter().take(3).map(|it| clean(it)).collect();
    report.findings.push(Finding {
        severity: Severity::Problem,
        title: title.to_owned(),
        text: sentences.join(" "),
        remedy: remedy.map(str::to_owned),
        layers: Vec::new(),
    });
}

fn fill_float_islands(report: &mut Report, lifted: &Lifted) {
    let calls = lifted.program.calls.iter().enumerate();
    // A lifted call's name has its position in it.
    let position: HashMap<&str, usize> = calls.map(|(at, it)| (it.name.as_str(), at)).collect();
    let islands = float_islands(&lifted.program);
    let operators = || islands.iter().flat_map(|island| &island.operators);
    let computing = operators().filter(|it| it.computes).count();
    if computing == 0 {
        return;
    }
    let moved = match operators().count() - computing {
        0 => String::new(),
        moving => format!(", and {} between them only move floats", counted(moving, "layer")),
    };
    let macs = match islands.iter().map(|island| island.macs).sum() {
        0 => String::new(),
        macs => format!(" They have {} multiply-accumulates.", text::count(macs)),
    };
    report.findings.push(Finding {
        severity: Severity::Warning,
        title: counted(islands.len(), "float island"),
        text: format!(
            "Here the model leaves int8: {} in float{moved}.{macs} Each operation is a call of a routine on cores without a \
             floating-point unit, each element takes four bytes instead of one, and there are conversions on both sides.",
            match computing {
                1 => "1 layer computes".to_owned(),
                _ => format!("{} compute", counted(computing, "layer")),
            }
        ),
        remedy: Some(
            "Quantize the inputs and results of these layers in the PT2E quantizer, or move them out of the model. \
             `cortado compile --deny-float` makes sure that none come back."
                .to_owned(),
        ),
        layers: operators().filter_map(|it| position.get(it.name.as_str()).copied()).collect(),
    });
}

fn fill_transposes(report: &mut Report) {
    let storage = |tensor: usize| report.tensors[tensor].storage;
    let is_side =
        |side: &[usize], tensor: usize| side.iter().any(|id| storage(*id) == storage(tensor));
    let layers = || report.layers.iter().enumerate().filter(|(_, layer)| layer.is_transpose);
    let of = |index: usize, access: Access| {
        report.layers[index].operands.iter().find(|it| it.access == access).map(|it| it.tensor)
    };
    let moved = layers().filter_map(|(index, _)| of(index, Access::Write));
    let moved: u64 = moved.map(|tensor| report.tensors[tensor].size_bytes).sum();
    let positions: Vec<usize> = layers().map(|(index, _)| index).collect();
    if positions.is_empty() {
        return;
    }
    // A conversion at the border may stand between a transpose and the border.
    let made_of_input = |tensor: usize| {
        let maker = report.layers.iter().find(|layer| {
            layer.operands.iter().any(|it| it.access == Access::Write && it.tensor == tensor)
        });
        let operands = maker.into_iter().flat_map(|layer| &layer.operands);
        let mut reads = operands.filter(|it| it.access == Access::Read);
        is_side(&report.inputs, tensor)
            || maker.is_some_and(|layer| layer.operator.ends_with("quantize_per_tensor"))
                && reads.any(|it| is_side(&report.inputs, it.tensor))
    };
    let read_by_output = |tensor: usize| {
        is_side(&report.outputs, tensor)
            || report.layers.iter().any(|layer| {
                layer.operator.ends_with("dequantize_per_tensor")
                    && layer.operands.iter().any(|it| {
                        it.access == Access::Read && storage(it.tensor) == storage(tensor)
                    })
                    && layer
                        .operands
                        .iter()
                        .any(|it| it.access == Access::Write && is_side(&report.outputs, it.tensor))
            })
    };
    let at_input = positions.iter().any(|at| of(*at, Access::Read).is_some_and(made_of_input));
    let at_output = positions.iter().any(|at| of(*at, Access::Write).is_some_and(read_by_output));
    let mut remedies = Vec::new();
    if at_input {
        remedies.push(
            "At the input: export with channels-last example inputs (`x.to(memory_format=torch.channels_last)`) and hand the device \
             NHWC data; the kernels read that as it is.",
        );
    }
    if at_output {
        remedies.push(
            "At the output: let the model return its channels last, as the kernels write them.",
        );
    }
    let inside = positions.iter().any(|at| {
        !of(*at, Access::Read).is_some_and(made_of_input)
            && !of(*at, Access::Write).is_some_and(read_by_output)
    });
    if inside {
        remedies.push(
            "Within the model: a `permute`, `transpose` or `reshape` that keeps the channels last costs nothing; others move every \
             element. Where the source line is known, it is with the layer.",
        );
    }
    let finding = Finding {
        severity: Severity::Warning,
        title: format!("{} left over", counted(positions.len(), "transpose")),
        text: format!(
            "They compute nothing and move {} in each inference, from one order of axes to another.",
            bytes(moved)
        ),
        remedy: Some(remedies.join(" ")),
        layers: positions,
    };
    report.findings.push(finding);
}

fn fill_gap(report: &mut Report) {
    let arena = report.memory.arena_bytes();
    let (Some(bound), Some(cortado)) =
        (report.memory.lower_bound_bytes, report.memory.cortado_bytes)
    else {
        return;
    };
    if arena <= bound || report.memory.is_proven {
        return;
    }
    let remedy = (cortado < arena).then(|| {
        format!(
            "`cortado retarget` plans the same layers in {}: {} less.",
            bytes(cortado),
            bytes(arena - cortado)
        )
    });
    report.findings.push(Finding {
        severity: if remedy.is_some() { Severity::Warning } else { Severity::Note },
        title: format!("The arena is {} above its bound", bytes(arena - bound)),
        text: format!(
            "At the peak {} are live, and {} are planned. It is not proven that a better plan of this order of layers exists.",
            bytes(bound),
            bytes(arena)
        ),
        remedy,
        layers: Vec::new(),
    });
}

/// Findings in any file.
pub(super) fn fill_costs(report: &mut Report, dead: &Dead) {
    if let Some(reason) = &report.unread {
        let text = format!(
            "{}. So the page shows the instructions, shapes, constants and memory as the file has them; what the operators mean, and \
             whether the plan could be better, is not known.",
            reason.trim_end_matches('.')
        );
        report.findings.push(Finding {
            severity: Severity::Warning,
            title: "Cortado cannot read this program to its end".to_owned(),
            text,
            remedy: Some("`cortado check` says what each runtime would do with it.".to_owned()),
            layers: Vec::new(),
        });
    }
    if dead.bytes > 0 {
        let mut parts = Vec::new();
        if dead.constant_bytes > 0 {
            parts.push(format!(
                "{} in {}",
                bytes(dead.constant_bytes),
                counted(dead.constants, "constant")
            ));
        }
        if dead.segment_bytes > 0 {
            parts.push(format!("{} in segments", bytes(dead.segment_bytes)));
        }
        if dead.trailing_bytes > 0 {
            parts.push(format!("{} behind the last segment", bytes(dead.trailing_bytes)));
        }
        report.findings.push(Finding {
            severity: Severity::Warning,
            title: format!("{} of flash are dead", bytes(dead.bytes)),
            text: format!("No instruction can reach them: {}.", list(&parts, 3)),
            // What cannot be read cannot be rewritten.
            remedy: report
                .unread
                .is_none()
                .then(|| "`cortado retarget` writes only what the program uses.".to_owned()),
            layers: Vec::new(),
        });
    }
    let (refused, runs): (Vec<_>, Vec<_>) =
        report.verdicts.iter().filter(|it| it.runtime == "Cortado").partition(|it| !it.is_right);
    if runs.is_empty() && !refused.is_empty() {
        let reason = refused.iter().find_map(|it| it.reasons.first()).cloned().unwrap_or_default();
        report.findings.push(Finding {
            severity: Severity::Problem,
            title: "Cortado's runtime refuses the program on every instruction set".to_owned(),
            text: reason,
            remedy: None,
            layers: Vec::new(),
        });
    }
}
