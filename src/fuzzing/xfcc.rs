//! The header that a peer writes and a sidecar ends.

use crate::client::xfcc::peer_names;

/// Splits tried: each costs two readings of the header.
const MOST_SPLITS: usize = 32;

/// The header's value. At each comma it is taken for a claim and what a sidecar appended to it.
pub fn xfcc(data: &[u8]) {
    let Ok(header) = std::str::from_utf8(data) else { return };
    let read = peer_names(header);
    if let Ok(names) = &read {
        assert!(names.len() <= 16);
        assert!(names.iter().all(|name| (1..=256).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())));
    }
    for (comma, _) in header.match_indices(',').take(MOST_SPLITS) {
        // A sidecar's own element is well-formed; then a claim before it makes no difference, or
        // nothing of the header counts.
        if let (Ok(names), Ok(appended)) = (&read, peer_names(&header[comma + 1..])) {
            assert_eq!(*names, appended, "a claim of {comma} bytes altered what follows it");
        }
    }
}
