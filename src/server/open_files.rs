//! How many files the server opens: each connection is one.

use super::incoming::Limits;

/// Probes and scrapes need few connections. HTTP/1 takes up to 400 KiB of headers on each.
pub const MAX_ADMIN_CONNECTIONS: usize = 50;

/// Open files that are not connections of clients: at most 128 reads of AWS, each with a connection
/// and a lookup of its address, and some thirty of the shared cache and the process.
const RESERVED: usize = 256;

/// Returns how many files a server with this `--max-connections` opens at most.
pub fn open_files(max_connections: u32) -> u64 {
    let connections = |max_connections| Limits { max_connections, ..Limits::default() }.hard_limit();
    (connections(max_connections as usize) + connections(MAX_ADMIN_CONNECTIONS) + RESERVED) as u64
}

/// Returns the highest `--max-connections` whose files are within `limit`; 0 if there is none.
pub fn max_connections(limit: u64) -> u32 {
    // The hard limit of connections adds a tenth.
    let connections = limit.saturating_sub(open_files(0)).saturating_mul(10).saturating_add(9) / 11;
    connections.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_of_connections_is_within_the_limit_and_one_more_is_not() {
        for limit in open_files(1)..2_000 {
            let highest = max_connections(limit);
            assert!(open_files(highest) <= limit && open_files(highest + 1) > limit, "{limit}: {highest}");
        }
        assert_eq!([max_connections(0), max_connections(open_files(0)), max_connections(u64::MAX)], [0, 0, u32::MAX]);
    }
}
