//! A map with a limit, which evicts the oldest key (FIFO).

use std::collections::{HashMap, VecDeque};

pub(crate) struct BoundedMap<V> {
    max: usize,
    values: HashMap<String, V>,
    order: VecDeque<String>,
}

impl<V: Default> BoundedMap<V> {
    pub fn new(max: usize) -> Self {
        Self { max, values: HashMap::new(), order: VecDeque::new() }
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key)
    }

    /// Returns the value of a key, and inserts the default if it is absent.
    pub fn entry(&mut self, key: &str) -> &mut V {
        if !self.values.contains_key(key) {
            if self.order.len() >= self.max
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
    fn the_oldest_key_is_evicted() {
        let mut map = BoundedMap::new(2);
        for key in ["a", "b", "a", "c"] {
            *map.entry(key) += 1;
        }
        assert_eq!([map.get("a"), map.get("b"), map.get("c")], [None, Some(&1), Some(&1)]);
        assert_eq!(map.values.len(), map.order.len());
    }
}
