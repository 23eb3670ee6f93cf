//! The target `xfcc`: the `x-forwarded-client-cert` header.

use crate::client::xfcc::peer_names;

/// The most commas to split at. Each split parses the header twice.
const MAX_SPLITS: usize = 32;

/// The input is the header. At each comma, it is split into a client's claim and the element that the
/// sidecar appended.
pub fn xfcc(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else { return };
    let read = peer_names(header);
    if let Ok(names) = &read {
        assert!(names.len() <= 16);
        assert!(names.iter().all(|name| (1..=256).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())));
    }
    for (comma, _) in header.match_indices(',').take(MAX_SPLITS) {
        // The sidecar's element is well-formed. A claim before it changes nothing, or makes the
        // header invalid.
        if let (Ok(names), Ok(appended)) = (&read, peer_names(&header[comma + 1..])) {
            assert_eq!(*names, appended, "a claim of {comma} bytes changed the names after it");
        }
    }
}
