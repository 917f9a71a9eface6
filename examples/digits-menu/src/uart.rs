//! The serial port of Arm's FPGA boards and their emulations: the APB UART of the CMSDK, without interrupts.
//!
//! Source: Arm, Cortex-M System Design Kit, Technical Reference Manual, "APB UART".

use core::fmt;

/// A port.
pub struct Uart {
    registers: *mut u32,
}

// Registers, as offsets in words.
const DATA: usize = 0;
const STATE: usize = 1;
const CONTROL: usize = 2;
const BAUD_DIVIDER: usize = 4;

const TRANSMIT_FULL: u32 = 1 << 0;
const RECEIVE_FULL: u32 = 1 << 1;
const TRANSMIT_ENABLE: u32 = 1 << 0;
const RECEIVE_ENABLE: u32 = 1 << 1;

impl Uart {
    /// Starts the port whose registers are at `address`, at a rate of `clock_hz / divider` bits per second.
    ///
    /// # Safety
    /// A port is there, and nobody else uses it.
    pub unsafe fn start(address: usize, divider: u32) -> Self {
        let mut uart = Uart { registers: address as *mut u32 };
        uart.write(BAUD_DIVIDER, divider);
        uart.write(CONTROL, TRANSMIT_ENABLE | RECEIVE_ENABLE);
        uart
    }

    /// The next byte, which is waited for.
    pub fn read_byte(&mut self) -> u8 {
        while self.read(STATE) & RECEIVE_FULL == 0 {}
        self.read(DATA) as u8
    }

    /// Sends a byte, when there is room for it.
    pub fn write_byte(&mut self, byte: u8) {
        while self.read(STATE) & TRANSMIT_FULL != 0 {}
        self.write(DATA, byte.into());
    }

    fn read(&self, register: usize) -> u32 {
        // SAFETY: `start` was promised that the registers are there; reading them is all that the device takes notice of.
        unsafe { self.registers.add(register).read_volatile() }
    }

    fn write(&mut self, register: usize, value: u32) {
        // SAFETY: as in `read`, and nobody else uses the port.
        unsafe { self.registers.add(register).write_volatile(value) }
    }
}

impl fmt::Write for Uart {
    /// Sends text, with the line ends that terminals expect.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.write_byte(b'\r');
            }
            self.write_byte(byte);
        }
        Ok(())
    }
}
