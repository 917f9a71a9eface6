//! The boards that the firmware is built for: the one table of their cores, memories and code generation.
//!
//! The firmware's build script includes this file too, so that an image's linker script and the
//! emulator's command line cannot disagree.

use cortado_contract::{Cpu, Isa};

/// A board: what the image and the emulator must know of it.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// The board's name here.
    pub name: &'static str,
    /// The name of the emulated machine (`qemu-system-arm -machine`).
    pub machine: &'static str,
    /// The Cargo feature of the firmware that chooses this board.
    pub feature: &'static str,
    /// The core.
    pub cpu: Cpu,
    /// The part number that the core's CPUID register shows.
    pub cpuid_part: u32,
    /// Frequency of the core's clock, and so of SysTick, in hertz.
    pub clock_hz: u32,
    /// Where the image is linked to; the core takes its vector table from the start of it.
    pub flash: Region,
    /// Where the emulator puts the program (a `.pte` file), which is read in place.
    pub program: ProgramPlace,
    /// Memory for the stack (at its bottom), statics and, with all that is left, the arena.
    pub ram: Region,
    /// Bytes of `ram` given to the stack, a multiple of 8.
    pub stack_bytes: u32,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first address, a multiple of 16.
    pub start: u32,
    /// How many bytes, a multiple of 16.
    pub bytes: u32,
}

/// Where a board keeps the program that the image runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramPlace {
    /// In what the image leaves of `flash`.
    AfterImage,
    /// In a memory of its own.
    Own(Region),
}

/// How code is generated for a board with an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeGeneration {
    /// The Rust target triple.
    pub triple: &'static str,
    /// What `-C target-feature=` must say beyond the triple; empty for nothing.
    pub target_features: &'static str,
}

/// The longest command line, in bytes, that the firmware reads; arguments are joined by one space.
pub const COMMAND_LINE_BYTES_MAX: usize = 512;

/// Every board, smallest core first.
///
/// Sources: the Nordic nRF51822 product specification for `microbit`, Arm's application notes of the same
/// numbers for the FPGA boards. On the Armv8-M boards the image runs in Secure state with the security
/// attribution unit off, so that every address is Secure; the aliases with bit 28 set are the Secure ones.
pub const BOARDS: &[Board] = &[
    Board {
        name: "microbit",
        machine: "microbit",
        feature: "board-microbit",
        cpu: Cpu::M0,
        cpuid_part: 0xc20,
        clock_hz: 16_000_000,
        flash: Region { start: 0x0000_0000, bytes: 256 * KIB },
        program: ProgramPlace::AfterImage,
        ram: Region { start: 0x2000_0000, bytes: 16 * KIB },
        stack_bytes: 8 * KIB,
    },
    Board {
        name: "mps2-an385",
        machine: "mps2-an385",
        feature: "board-an385",
        cpu: Cpu::M3,
        cpuid_part: 0xc23,
        program: ProgramPlace::Own(Region { start: 0x2100_0000, bytes: 16 * MIB }),
        ..MPS2
    },
    Board {
        name: "mps2-an386",
        machine: "mps2-an386",
        feature: "board-an386",
        cpu: Cpu::M4,
        cpuid_part: 0xc24,
        program: ProgramPlace::Own(Region { start: 0x2100_0000, bytes: 16 * MIB }),
        ..MPS2
    },
    Board {
        name: "mps2-an500",
        machine: "mps2-an500",
        feature: "board-an500",
        cpu: Cpu::M7,
        cpuid_part: 0xc27,
        program: ProgramPlace::Own(Region { start: 0x6000_0000, bytes: 16 * MIB }),
        ..MPS2
    },
    Board {
        name: "mps2-an505",
        machine: "mps2-an505",
        feature: "board-an505",
        cpu: Cpu::M33,
        cpuid_part: 0xd21,
        clock_hz: 20_000_000,
        flash: Region { start: 0x1000_0000, bytes: 4 * MIB },
        program: ProgramPlace::Own(Region { start: 0x8000_0000, bytes: 16 * MIB }),
        ram: Region { start: 0x3800_0000, bytes: 4 * MIB },
        stack_bytes: 64 * KIB,
    },
    Board {
        name: "mps3-an547",
        machine: "mps3-an547",
        feature: "board-an547",
        cpu: Cpu::M55,
        cpuid_part: 0xd22,
        clock_hz: 32_000_000,
        flash: Region { start: 0x1000_0000, bytes: 512 * KIB },
        program: ProgramPlace::Own(Region { start: 0x3800_0000, bytes: 8 * MIB }),
        ram: Region { start: 0x3100_0000, bytes: 4 * MIB },
        stack_bytes: 64 * KIB,
    },
];

/// Stands for an M0 with the memory that the small boards lack: an M3, which executes an M0's code as it is. Instructions are
/// counted on it; what the code needs of the core besides that is tried on a real M0.
pub const LARGE_M0: &Board = &Board {
    name: "mps2-an385-v6m",
    machine: "mps2-an385",
    feature: "board-an385-v6m",
    cpu: Cpu::M0,
    cpuid_part: 0xc23,
    program: ProgramPlace::Own(Region { start: 0x2100_0000, bytes: 16 * MIB }),
    ..MPS2
};

impl Board {
    /// The board of this name.
    pub fn named(name: &str) -> Option<&'static Board> {
        BOARDS.iter().find(|board| board.name == name)
    }

    /// How code is generated for the board's core with `isa`; `None` if the core cannot have it.
    pub fn code_generation(&self, isa: Isa) -> Option<CodeGeneration> {
        code_generation(self.cpu, isa)
    }
}

/// How code is generated for a core with `isa`, floats in registers where it has them; `None` if the core cannot have it.
///
/// `scalar` code has none of the DSP instructions, not even ones that the compiler would find by itself:
/// on an M4 or M7 it is an M3's code.
pub fn code_generation(cpu: Cpu, isa: Isa) -> Option<CodeGeneration> {
    if isa > cpu.default_isa() {
        return None;
    }
    let (triple, target_features) = match (cpu, isa) {
        (Cpu::M0 | Cpu::M0Plus | Cpu::M1, _) => ("thumbv6m-none-eabi", ""),
        (Cpu::M23, _) => ("thumbv8m.base-none-eabi", ""),
        (Cpu::M3 | Cpu::M4 | Cpu::M7, Isa::Scalar) => ("thumbv7m-none-eabi", ""),
        (Cpu::M3 | Cpu::M4 | Cpu::M7, _) => ("thumbv7em-none-eabihf", ""),
        (_, Isa::Scalar) => ("thumbv8m.main-none-eabihf", ""),
        (_, Isa::Dsp) => ("thumbv8m.main-none-eabihf", "+dsp"),
        // Without `lob`, LLVM loses copies between vector registers and so computes wrong results: the pass
        // that expands them (ARMLowOverheadLoops) runs only with it. Every core with Helium has it.
        (_, Isa::Mve) => ("thumbv8m.main-none-eabihf", "+v8.1m.main,+lob,+mve"),
    };
    Some(CodeGeneration { triple, target_features })
}

impl CodeGeneration {
    /// The same code with floats passed in general registers, for firmware that is built so.
    pub fn with_soft_float_calls(self) -> CodeGeneration {
        let triple = match self.triple {
            "thumbv7em-none-eabihf" => "thumbv7em-none-eabi",
            "thumbv8m.main-none-eabihf" => "thumbv8m.main-none-eabi",
            other => other,
        };
        CodeGeneration { triple, ..self }
    }
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// What the MPS2 boards of Armv7-M share.
const MPS2: Board = Board {
    name: "",
    machine: "",
    feature: "",
    cpu: Cpu::M3,
    cpuid_part: 0,
    clock_hz: 25_000_000,
    flash: Region { start: 0x0000_0000, bytes: 4 * MIB },
    program: ProgramPlace::AfterImage,
    ram: Region { start: 0x2000_0000, bytes: 4 * MIB },
    stack_bytes: 64 * KIB,
};
