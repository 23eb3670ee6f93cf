use super::*;
use std::{fs, path::Path, thread};

/// Fixed, so that a failure can be had again; fuzz/ has other seeds every day.
const SEED: u64 = 0x0fac_e1d5;

/// What parsers trip over.
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

/// Prints the input when the test panics on it, as a byte string of Rust, ready for a unit test.
struct Witness<'a>(&'a str, &'a [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} breaks on this input: {}", self.0, self.1.escape_ascii());
        }
    }
}

/// Feeds the corpus of a target, and then so many mutations of it.
fn feed(target: &str, mutations: usize, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    // A folder has no order of its own, and the mutations must be the same everywhere.
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
fn no_request_gets_past_the_rules() {
    feed("request", 100_000, request);
}

#[test]
fn no_answer_of_aws_breaks_the_contract() {
    feed("upstream_answer", 1_500, upstream_answer);
}

#[test]
fn no_claim_in_a_header_counts() {
    feed("xfcc", 100_000, xfcc);
}

#[test]
fn the_simulator_answers_whatever_is_sent() {
    feed("simulator", 1_000, simulator);
}
