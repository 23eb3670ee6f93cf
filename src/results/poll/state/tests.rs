//! Drives the state machine with random events, and checks what the poll task relies on.

mod steps;
mod world;

use proptest::prelude::*;
use steps::{Setup, Step, setup, steps};
use world::{Property, World};

/// Runs a poll to its end and returns the violations of the property. It ends with a final result,
/// or with a shutdown that begins after `shutdown` percent of the steps.
fn violations(property: Property, setup: &Setup, steps: &[Step], shutdown: Option<usize>) -> Vec<String> {
    let mut world = World::new(setup);
    let shutdown = shutdown.map(|percent| steps.len() * percent / 100);
    for (index, step) in steps.iter().enumerate() {
        if shutdown == Some(index) {
            world.shut_down();
        }
        world.step(step);
    }
    match shutdown {
        Some(_) if property == Property::AbortEnds => world.abort_reads(),
        Some(_) => world.drain(),
        None => world.finish(),
    }
    world.violations(property)
}

const NOTHING: Vec<String> = Vec::new();

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn at_most_one_read_is_in_flight(setup in setup(), steps in steps()) {
        prop_assert_eq!(violations(Property::OneRead, &setup, &steps, None), NOTHING);
    }

    #[test]
    fn no_read_begins_before_it_is_due(setup in setup(), steps in steps()) {
        prop_assert_eq!(violations(Property::NotBefore, &setup, &steps, None), NOTHING);
    }

    #[test]
    fn every_subscriber_gets_exactly_one_response(
        setup in setup(), steps in steps(), shutdown in prop::option::of(0..100_usize),
    ) {
        prop_assert_eq!(violations(Property::OneResponse, &setup, &steps, shutdown), NOTHING);
    }

    #[test]
    fn a_final_result_ends_the_poll(setup in setup(), steps in steps()) {
        prop_assert_eq!(violations(Property::FinalEnds, &setup, &steps, None), NOTHING);
    }

    #[test]
    fn an_aborted_read_ends_the_poll_with_a_response(setup in setup(), steps in steps(), shutdown in 0..100_usize) {
        prop_assert_eq!(violations(Property::AbortEnds, &setup, &steps, Some(shutdown)), NOTHING);
    }

    #[test]
    fn a_shutdown_loses_no_read_permit_or_lease(setup in setup(), steps in steps(), shutdown in 0..100_usize) {
        prop_assert_eq!(violations(Property::ShutdownLosesNothing, &setup, &steps, Some(shutdown)), NOTHING);
    }
}
