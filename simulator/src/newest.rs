//! The values of the newest keys: a map that forgets the key that came first when a new one is too
//! many.
//!
//! It bounds what clients can make the simulator remember. It is not a cache: reading a value does
//! not keep it longer.

use std::collections::{HashMap, VecDeque};

pub(crate) struct Newest<V> {
    most: usize,
    values: HashMap<String, V>,
    order: VecDeque<String>,
}

impl<V: Default> Newest<V> {
    pub fn new(most: usize) -> Self {
        Self { most, values: HashMap::new(), order: VecDeque::new() }
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key)
    }

    /// The value of a key, made if there is none.
    pub fn entry(&mut self, key: &str) -> &mut V {
        if !self.values.contains_key(key) {
            if self.order.len() >= self.most
                && let Some(first) = self.order.pop_front()
            {
                self.values.remove(&first);
            }
            self.order.push_back(key.to_owned());
        }
        self.values.entry(key.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_come_is_the_first_to_go() {
        let mut newest = Newest::new(2);
        for key in ["a", "b", "a", "c"] {
            *newest.entry(key) += 1;
        }
        assert_eq!([newest.get("a"), newest.get("b"), newest.get("c")], [None, Some(&1), Some(&1)]);
        assert_eq!(newest.values.len(), newest.order.len());
    }
}
