//! A compiled program as one page: the header with its sizes, what deserves attention, the layers, memory over time with every buffer to
//! scale, instructions where they were measured, flash, and what the runtimes do with it on each instruction set.
//!
//! [`Report::read`] takes any `.pte`, whoever made it; [`Report::page`] writes the page. It is one HTML file without scripts and without
//! anything from elsewhere, so it works offline, and what a hostile file calls its tensors stays text. The same report gives the
//! same bytes.

#![forbid(unsafe_code)]

mod html;
mod lanes;
mod model;
mod profile;
mod read;
mod text;

pub use model::*;
pub use profile::{OtherProgram, Profile, ProfiledOperator};
pub use read::{ReadError, Request};

impl Report {
    /// The report as an HTML page.
    pub fn page(&self) -> String {
        html::page(self)
    }

    /// Memory over time with every buffer to scale, as an SVG file that stands alone; `None` where no memory is planned.
    pub fn memory_chart(&self) -> Option<String> {
        html::memory_chart(self)
    }
}
