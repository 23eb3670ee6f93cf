use super::*;
use std::{fs, path::Path, thread};

/// A fixed seed, so that failures can be reproduced. `fuzz/` uses other seeds.
const SEED: u64 = 0x0fac_e1d5;

/// Inputs that often break parsers.
const ODD: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"\\\"",
    b",",
    b";",
    b"=",
    b":",
    b"\n",
    b"\n\n",
    b"\r",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"99999999999999999999",
    b"\\ud800",
    b"\xff",
    "é".as_bytes(),
    b"#",
];

/// Prints the input as a Rust byte string if the test panics.
struct Witness<'a>(&'a str, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} breaks on this input: {}", self.0, self.1.escape_ascii());
        }
    }
}

/// Runs a target with its corpus, and then with this number of mutations.
fn feed(target: &str, mutations: usize, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    // The mutations must be the same on every machine.
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(corpus.len() >= 5, "{} has a corpus", folder.display());
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mutated = (0..mutations).map(|_| mutated(&corpus, &mut rng));
    for input in corpus.iter().cloned().chain(mutated) {
        let witness = Witness(target, &input);
        run(witness.1);
    }
}

fn mutated(corpus: &[Vec<u8>], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(..=input.len());
        let end = rng.usize(at..=input.len()).min(at + 64);
        match rng.u8(..6) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 => drop(input.drain(at..end)),
            2 => input.truncate(at),
            3 => {
                let repeated = input[at..end].repeat(rng.usize(1..4));
                input.splice(at..at, repeated);
            }
            4 => {
                let other = &corpus[rng.usize(..corpus.len())];
                let from = rng.usize(..=other.len());
                let to = rng.usize(from..=other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
            _ => drop(input.splice(at..at, ODD[rng.usize(..ODD.len())].iter().copied())),
        }
    }
    input
}

#[test]
fn every_request_is_valid_or_rejected() {
    feed("request", 100_000, request);
}

#[test]
fn no_response_of_aws_violates_the_contract() {
    feed("upstream_response", 1_500, upstream_response);
}

#[test]
fn claims_in_a_forwarded_header_are_ignored() {
    feed("xfcc", 100_000, xfcc);
}

#[test]
fn the_simulator_responds_to_every_request() {
    feed("simulator", 1_000, simulator);
}
