//! Which code of an image a run reached.

use std::collections::BTreeSet;
use std::fs;

use super::code::Function;
use super::{BoardError, Code, Image, Run, RunOutput, Tools};

/// Addresses of code that was executed, a halfword each.
#[derive(Clone, Debug, Default)]
pub struct Reached(BTreeSet<u32>);

/// What was reached of some functions' code.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// Bytes of the functions' code, without constants between it and without padding.
    pub bytes: u32,
    /// Bytes that were reached.
    pub reached_bytes: u32,
    /// What was not.
    pub unreached: Vec<Stretch>,
    /// Functions that count for nothing of that: they were not entered, but all that they call was. Compilers inline a function that
    /// does little itself where it is used most, and keep it for other callers.
    pub inlined: u32,
}

/// Code without a reached instruction, as long as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The function's name.
    pub function: String,
    /// Where in the function it starts, in bytes.
    pub offset: u32,
    /// How many bytes of code it has.
    pub bytes: u32,
}

impl Tools {
    /// As [`Self::run`], and says which code was executed.
    ///
    /// It is what the emulator translated: blocks of instructions up to the next branch, at the moment when they are to be executed.
    ///
    /// # Errors
    /// Those of [`Self::run`], and the emulator's log cannot be read.
    pub fn run_reached(
        &self,
        image: &Image,
        run: &Run<'_>,
    ) -> Result<(RunOutput, Reached), BoardError> {
        let log = run.directory.join(format!("reached-{}.log", std::process::id()));
        let output = self.run_logged(image, run, Some(&log));
        let text = fs::read(&log).map_err(BoardError::io("read", &log));
        // It may not have been made, and then reading it has failed.
        let _ = fs::remove_file(&log);
        let output = output?;
        // Names of symbols in it need not be UTF-8.
        Ok((output, Reached::from_log(&String::from_utf8_lossy(&text?))))
    }
}

impl Reached {
    /// Reads what QEMU's `-d in_asm` writes: lines `0x10000046:  f7ff fffe  bl …`.
    fn from_log(text: &str) -> Self {
        let mut reached = BTreeSet::new();
        for line in text.lines() {
            let Some((address, rest)) =
                line.strip_prefix("0x").and_then(|line| line.split_once(':'))
            else {
                continue;
            };
            let Ok(address) = u32::from_str_radix(address, 16) else { continue };
            // The instruction's halfwords come first; its name is no four hexadecimal digits, or stands behind more space.
            let digits = rest.trim_start().split("  ").next().unwrap_or_default();
            let halfwords = digits.split(' ').take_while(|word| is_halfword(word)).count();
            reached.extend((0..halfwords as u32).map(|index| address + 2 * index));
        }
        Reached(reached)
    }

    /// Adds what another run of the same image reached.
    pub fn extend(&mut self, other: Reached) {
        self.0.extend(other.0);
    }
}

fn is_halfword(word: &str) -> bool {
    word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Code {
    /// How much was reached of all functions that are chosen by name.
    pub fn coverage(&self, chosen: impl Fn(&str) -> bool, reached: &Reached) -> Coverage {
        let mut coverage = Coverage::default();
        for (start, function) in self.functions.iter().filter(|(_, it)| chosen(&it.name)) {
            let is_reached = |start: &u32, function: &Function| {
                function.code.iter().any(|offset| reached.0.contains(&(start + offset)))
            };
            let mut called =
                function.calls.iter().filter_map(|at| self.functions.get_key_value(at)).peekable();
            if !is_reached(start, function)
                && called.peek().is_some()
                && called.all(|(start, it)| is_reached(start, it))
            {
                coverage.inlined += 1;
                continue;
            }
            let mut open: Option<Stretch> = None;
            for offset in &function.code {
                coverage.bytes += 2;
                if reached.0.contains(&(start + offset)) {
                    coverage.reached_bytes += 2;
                    coverage.unreached.extend(open.take());
                    continue;
                }
                let begin =
                    || Stretch { function: function.name.clone(), offset: *offset, bytes: 0 };
                open.get_or_insert_with(begin).bytes += 2;
            }
            coverage.unreached.extend(open);
        }
        coverage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_the_addresses_of_halfwords() {
        let log = "----------------\nIN: Reset\n0x100007c0:  4817       ldr      r0, [pc, #0x5c]\n\
                   0x100007c2:  f380 8808  msr      msp, r0\n0x100007ce:  f380       .byte    0x80, 0xf3\n\n\
                   IN: 0x: face\n0xzz: 1234  b\n";
        let reached: Vec<u32> = Reached::from_log(log).0.into_iter().collect();
        assert_eq!(reached, [0x1000_07c0, 0x1000_07c2, 0x1000_07c4, 0x1000_07ce]);
    }

    #[test]
    fn stretches_are_what_lies_between_reached_instructions() {
        let function = |name: &str, code: &[u32], calls: &[u32]| {
            Function::for_tests(name, code.to_vec(), calls.to_vec())
        };
        let code = Code::for_tests([
            // Constants lie between 2 and 8.
            (100, function("loop", &[0, 2, 8, 10, 12], &[])),
            (200, function("wrapper", &[0, 2], &[100])),
            (300, function("lost", &[0, 2], &[])),
            (400, function("other", &[0], &[])),
        ]);
        let reached = Reached([100, 110].into());
        let coverage = code.coverage(|name| name != "other", &reached);
        let stretch = |function: &str, offset, bytes| Stretch {
            function: function.to_owned(),
            offset,
            bytes,
        };
        assert_eq!((coverage.bytes, coverage.reached_bytes, coverage.inlined), (14, 4, 1));
        assert_eq!(
            coverage.unreached,
            [stretch("loop", 2, 4), stretch("loop", 12, 2), stretch("lost", 0, 4)]
        );
    }
}
