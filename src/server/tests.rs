use super::*;
use std::collections::HashSet;

#[test]
fn the_age_of_connections_is_of_each_process_own_and_within_a_tenth() {
    let age = Duration::from_secs(300);
    let ages: HashSet<_> = (0..100).map(|_| jittered(age).expect("there is an age")).collect();
    assert!(ages.iter().all(|jittered| jittered.abs_diff(age) <= age / 10), "{ages:?}");
    assert!(ages.len() > 90, "{ages:?}");
    let spread = *ages.iter().max().expect("there are ages") - *ages.iter().min().expect("there are ages");
    assert!(spread > age / 10, "the whole of the width is made use of: {spread:?}");
}

#[test]
fn an_age_of_zero_is_none() {
    assert_eq!(jittered(Duration::ZERO), None);
}
