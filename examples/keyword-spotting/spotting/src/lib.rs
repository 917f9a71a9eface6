//! What stands around a keyword spotting model: the front end that turns a stream of samples into the model's input ([`mfcc`],
//! [`window`]), and the detector that turns a stream of its scores into events ([`detector`]).
//!
//! No allocation, and no state but what the caller holds.

#![no_std]

pub mod detector;
pub mod mfcc;
pub mod window;
