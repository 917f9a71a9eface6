//! The front end against the reference in double precision, `training/features.py`: `training/make_clip.py` wrote what it computed.

use cortado_npz::Archive;
use spotting::mfcc::{COEFFICIENTS, FRAME_SAMPLES, HOP_SAMPLES, Mfcc};

/// How far single precision may be off: coefficients reach 65, where its numbers are 8e-6 apart, and are sums of 40 products. The
/// model's smallest input step is several hundred times larger.
const TOLERANCE: f32 = 1e-4;

fn reference() -> Archive {
    Archive::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference.npz")).unwrap()
}

/// The greatest difference, and where it is.
fn greatest_difference(found: &[[f32; COEFFICIENTS]], expected: &[f32]) -> (f32, usize) {
    assert_eq!(found.as_flattened().len(), expected.len());
    let differences =
        found.as_flattened().iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    differences.zip(0..).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn the_clip_is_as_the_reference_has_it() {
    let clip = include_bytes!("../../clip/clip.wav");
    let samples: Vec<i16> =
        clip[44..].as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
    let mut mfcc = Mfcc::new();
    let found: Vec<_> =
        samples.as_chunks::<HOP_SAMPLES>().0.iter().map(|hop| mfcc.push(hop)).collect();
    let expected = reference().get("clip").unwrap().values::<f32>().unwrap();
    let (difference, place) = greatest_difference(&found, &expected);
    println!("the clip: {difference:e} at {place}");
    assert!(difference < TOLERANCE, "{difference} at {place}");
}

/// Silence, impulses, full scale, tones and noise, one frame each.
#[test]
fn hard_frames_are_as_the_reference_has_them() {
    let reference = reference();
    let samples = reference.get("frames").unwrap().values::<i16>().unwrap();
    let frames = samples.as_chunks::<FRAME_SAMPLES>().0;
    let found: Vec<_> = frames
        .iter()
        .map(|frame| {
            // Two hops bring a whole frame in: its first part is the second part of the first hop.
            let mut mfcc = Mfcc::new();
            let mut first = [0; HOP_SAMPLES];
            let overlap = FRAME_SAMPLES - HOP_SAMPLES;
            first[HOP_SAMPLES - overlap..].copy_from_slice(&frame[..overlap]);
            mfcc.push(&first);
            mfcc.push(frame[overlap..].as_array().unwrap())
        })
        .collect();
    let expected = reference.get("frame_coefficients").unwrap().values::<f32>().unwrap();
    let (difference, place) = greatest_difference(&found, &expected);
    println!("hard frames: {difference:e} at {place}");
    assert!(difference < TOLERANCE, "{difference} at {place}");
    assert_eq!(found[0], Mfcc::silence(), "the first frame is all zeros");
}
