//! The findings as text for people.

use super::{Boundary, Findings, Instruction, MadeFor, ScratchSizes};
use cortado_compiler::judge::dead::Dead;
use cortado_compiler::judge::forms::Term;
use cortado_compiler::judge::memory::{Alive, Memory};
use cortado_compiler::judge::upstream::{Outcome, Verdict};
use cortado_compiler::report::BankReport;
use std::fmt::{self, Write};

/// Findings of one kind that are written out; of more the rest is only counted.
const FINDINGS_MAX: usize = 4;

/// All findings.
pub(super) fn text(path: &str, findings: &Findings) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, path, findings);
    text
}

fn write(out: &mut String, path: &str, findings: &Findings) -> fmt::Result {
    writeln!(out, "{path}")?;
    write_origin(out, findings)?;
    write_sizes(out, findings)?;
    for (side, tensors) in [("input", &findings.inputs), ("output", &findings.outputs)] {
        for (index, tensor) in tensors.iter().enumerate() {
            writeln!(out, "  {:<15} {}", format!("{side} {index}"), boundary(tensor))?;
        }
    }
    writeln!(out, "  instructions")?;
    for (index, instruction) in findings.instructions.iter().enumerate() {
        write_instruction(out, index, instruction)?;
    }
    for (heading, list) in [
        ("contradictions: this program is never run", &findings.contradictions),
        ("problems", &findings.problems),
    ] {
        if !list.is_empty() {
            writeln!(out, "  {heading}")?;
        }
        list.iter().try_for_each(|problem| writeln!(out, "    {problem}"))?;
    }
    writeln!(out, "  on Cortado's runtime, with the kernels for")?;
    for verdict in &findings.isas {
        let isa = verdict.isa;
        match &verdict.reason {
            None => writeln!(out, "    {isa:<7} exact")?,
            Some(reason) => {
                writeln!(out, "    {isa:<7} refused: {reason}")?;
                if verdict.adapts {
                    writeln!(out, "            exact with --layout adapt")?;
                }
            }
        }
    }
    let Some(verdicts) = &findings.executorch else { return Ok(()) };
    writeln!(out, "  on ExecuTorch's runtime, with the kernels for")?;
    verdicts.iter().try_for_each(|verdict| write_verdict(out, verdict))
}

fn write_origin(out: &mut String, findings: &Findings) -> fmt::Result {
    match &findings.made_for {
        Some(MadeFor { cpu, isa, constant_form, compiler_version }) => {
            writeln!(out, "  made by         Cortado {compiler_version}")?;
            writeln!(out, "  made for        {cpu}, {isa} kernels, constant form {constant_form}")?;
        }
        None => {
            writeln!(out, "  made by         another compiler (no stamp of Cortado's)")?;
            let suits = match &findings.suits[..] {
                [] if findings.executorch.is_none() => "it cannot be read to its end".to_owned(),
                [] => "its layouts are not those of any one instruction set".to_owned(),
                suits => format!("its layouts are those for {}", suits.join(", ")),
            };
            writeln!(out, "  made for        the file does not say; {suits}")?;
        }
    }
    match findings.rounding {
        Some(rounding) => writeln!(out, "  rounding        {rounding}"),
        None => writeln!(
            out,
            "  rounding        the file does not say; double, CMSIS-NN's default, is what it was most likely made for"
        ),
    }
}

fn write_sizes(out: &mut String, findings: &Findings) -> fmt::Result {
    let Dead { bytes, constants, constant_bytes, segment_bytes, trailing_bytes, values } =
        findings.dead;
    writeln!(out, "  file            {} bytes", findings.file_bytes)?;
    if bytes == 0 {
        writeln!(out, "  dead bytes      0")?;
    } else {
        let parts = [
            (
                constant_bytes,
                format!(
                    "{constant_bytes} in {} that no instruction reaches",
                    counted(constants, "constant")
                ),
            ),
            (segment_bytes, format!("{segment_bytes} in segments that nothing refers to")),
            (trailing_bytes, format!("{trailing_bytes} behind the last segment")),
        ];
        let parts: Vec<String> =
            parts.into_iter().filter(|(bytes, _)| *bytes > 0).map(|(_, part)| part).collect();
        writeln!(out, "  dead bytes      {bytes}: {}", parts.join(", "))?;
    }
    if values > 0 {
        writeln!(out, "  dead values     {values}, which no instruction names")?;
    }
    if let Some(bytes) = findings.arena_bytes {
        writeln!(out, "  planned memory  {bytes} bytes")?;
    }
    if let Some(memory) = &findings.memory {
        let Memory {
            lower_bound_bytes,
            gap_bytes,
            proven,
            cortado_bytes,
            banks,
            peak_instruction,
            alive_at_peak,
            ..
        } = memory;
        for BankReport { name, capacity_bytes, bytes } in banks.iter().filter(|_| banks.len() > 1) {
            let of = capacity_bytes.map_or(String::new(), |bytes| format!(" of {bytes}"));
            writeln!(out, "                  bank {name}: {bytes} bytes{of}")?;
        }
        writeln!(
            out,
            "                  lower bound {lower_bound_bytes}, gap {gap_bytes} ({}); Cortado's plan needs {cortado_bytes}",
            if *proven {
                "proven: no plan of this order of calls needs less"
            } else {
                "not proven"
            }
        )?;
        let when = match peak_instruction {
            Some(index) => format!("during instruction {index}"),
            None => "before the first instruction".to_owned(),
        };
        let mut tensors: Vec<String> = alive_at_peak
            .iter()
            .take(FINDINGS_MAX)
            .map(|Alive { name, bytes }| format!("{name} {bytes}"))
            .collect();
        if let Some(more) = alive_at_peak.len().checked_sub(FINDINGS_MAX + 1) {
            tensors.push(format!("{} more", more + 1));
        }
        writeln!(out, "                  most is alive {when}: {}", tensors.join(", "))?;
    }
    if let Some(bytes) = findings.state_bytes {
        writeln!(out, "  method state    {bytes} bytes")?;
    }
    Ok(())
}

fn boundary(tensor: &Boundary) -> String {
    let Boundary { dtype, shape, dim_order, scale, zero_point } = tensor;
    let mut text = format!("{dtype} {shape:?}");
    if let Some(order) = dim_order.as_ref().filter(|order| !order.is_sorted()) {
        let _ = write!(text, ", in memory in the order {order:?}");
    }
    if let (Some(scale), Some(zero_point)) = (scale, zero_point) {
        let _ = write!(text, ", scale {scale}, zero point {zero_point}");
    }
    text
}

fn write_instruction(out: &mut String, index: usize, instruction: &Instruction) -> fmt::Result {
    let Instruction { operator, known, constant_term, scratch, .. } = instruction;
    write!(out, "    {index:>3}  {operator}")?;
    if !known {
        write!(out, ", which Cortado does not have")?;
    }
    match constant_term {
        Some(Term::Neither) => {
            write!(out, ", neither bias nor kernel_sum: right only if the layer has no bias")?;
        }
        Some(term) => write!(out, ", {}", term.name())?,
        None => {}
    }
    if let Some(scratch) = scratch {
        write!(out, ", scratch {}", sizes(scratch))?;
    }
    writeln!(out)
}

/// The scratch buffers' sizes, with the rules where these differ.
fn sizes(scratch: &ScratchSizes) -> String {
    let list = |bytes: &[u32]| bytes.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
    let ScratchSizes { bytes, mve, dsp, scalar } = scratch;
    if [mve, dsp, scalar].iter().all(|rule| *rule == bytes) {
        return format!("{} bytes", list(bytes));
    }
    format!(
        "{} bytes (the rule: mve {}, dsp {}, scalar {})",
        list(bytes),
        list(mve),
        list(dsp),
        list(scalar)
    )
}

fn write_verdict(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let Verdict { isa, outcome, findings } = verdict;
    writeln!(out, "    {isa:<7} {}", outcome.describe())?;
    // What decides comes first.
    let mut findings: Vec<_> = findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.outcome));
    for finding in findings.iter().take(FINDINGS_MAX) {
        let what = match finding.outcome {
            Outcome::Equal => "no harm",
            outcome => outcome.describe(),
        };
        writeln!(
            out,
            "            instruction {}, {}: {what}: {}",
            finding.instruction, finding.operator, finding.why
        )?;
    }
    match findings.len().checked_sub(FINDINGS_MAX + 1) {
        Some(more) => writeln!(out, "            and {} like these", counted(more + 1, "finding")),
        None => Ok(()),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
