//! The images of a session, and where the face is in each.
//!
//! `portraits/` holds three drawn images of each of four people who do not exist: a reference image
//! and two moments for the audit images. The session id chooses the person. A comment in the JPEG
//! makes each session's images unique. No real face may be added.

use bytes::Bytes;
use serde::Serialize;

/// Where the face is, as ratios of the image's width and height; `left` and `top` from the upper
/// left corner. See
/// <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_BoundingBox.html>.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BoundingBox {
    /// Part of the image's width, 0 to 1.
    pub width: f32,
    /// Part of the image's height, 0 to 1.
    pub height: f32,
    /// Distance from the left edge as a part of the width.
    pub left: f32,
    /// Distance from the upper edge as a part of the height.
    pub top: f32,
}

/// A JPEG file of 480×640 or 640×480 pixels.
struct Portrait {
    file: &'static [u8],
    bounding_box: BoundingBox,
}

/// The reference image of each person, then the audit images.
static PEOPLE: [[Portrait; 3]; 4] = [
    [
        portrait(include_bytes!("../portraits/bun-reference.jpg"), 0.450, 0.410, 0.314, 0.255),
        portrait(include_bytes!("../portraits/bun-audit-1.jpg"), 0.460, 0.419, 0.330, 0.236),
        portrait(include_bytes!("../portraits/bun-audit-2.jpg"), 0.452, 0.411, 0.308, 0.243),
    ],
    [
        portrait(include_bytes!("../portraits/glasses-reference.jpg"), 0.292, 0.468, 0.390, 0.202),
        portrait(include_bytes!("../portraits/glasses-audit-1.jpg"), 0.281, 0.452, 0.379, 0.213),
        portrait(include_bytes!("../portraits/glasses-audit-2.jpg"), 0.291, 0.467, 0.390, 0.220),
    ],
    [
        portrait(include_bytes!("../portraits/long-hair-reference.jpg"), 0.484, 0.444, 0.265, 0.237),
        portrait(include_bytes!("../portraits/long-hair-audit-1.jpg"), 0.469, 0.430, 0.277, 0.255),
        portrait(include_bytes!("../portraits/long-hair-audit-2.jpg"), 0.473, 0.434, 0.284, 0.228),
    ],
    [
        portrait(include_bytes!("../portraits/gray-hair-reference.jpg"), 0.286, 0.466, 0.397, 0.211),
        portrait(include_bytes!("../portraits/gray-hair-audit-1.jpg"), 0.295, 0.481, 0.392, 0.196),
        portrait(include_bytes!("../portraits/gray-hair-audit-2.jpg"), 0.290, 0.473, 0.409, 0.213),
    ],
];

const fn portrait(file: &'static [u8], width: f32, height: f32, left: f32, top: f32) -> Portrait {
    Portrait { file, bounding_box: BoundingBox { width, height, left, top } }
}

/// The start of scan: the marker of a JPEG that ends its header.
const START_OF_SCAN: [u8; 2] = [0xFF, 0xDA];
const COMMENT: [u8; 2] = [0xFF, 0xFE];

/// Returns an image of a session as a JPEG. Image 0 is the reference image, the others are audit
/// images.
pub(crate) fn jpeg(session_id: &str, image: u8) -> Bytes {
    let file = choose(session_id, image).file;
    let header = file.windows(2).position(|marker| marker == START_OF_SCAN).expect("every portrait has a scan");
    let comment = format!("{:016x}-{image}", hash(session_id));
    // A segment's length counts its own two bytes.
    let length = (comment.len() as u16 + 2).to_be_bytes();
    [&file[..header], &COMMENT, &length, comment.as_bytes(), &file[header..]].concat().into()
}

/// Returns where the face is in that image.
pub(crate) fn bounding_box(session_id: &str, image: u8) -> BoundingBox {
    choose(session_id, image).bounding_box
}

fn choose(session_id: &str, image: u8) -> &'static Portrait {
    let person = &PEOPLE[hash(session_id) as usize % PEOPLE.len()];
    match image {
        0 => &person[0],
        audit => &person[1 + usize::from(audit - 1) % (person.len() - 1)],
    }
}

/// Hashes a session id with FNV-1a, which unlike the standard library's hasher is the same in every
/// release of Rust.
pub(crate) fn hash(session_id: &str) -> u64 {
    session_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The markers of a JPEG's header, up to the start of scan.
    fn markers(jpeg: &[u8]) -> Vec<u8> {
        let (mut markers, mut at) = (Vec::new(), 2);
        while markers.last() != Some(&START_OF_SCAN[1]) {
            assert_eq!(jpeg[at], 0xFF);
            markers.push(jpeg[at + 1]);
            at += 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        }
        markers
    }

    #[test]
    fn images_are_jpegs_of_the_size_that_aws_sends() {
        let ids = ["a", "b", "c", "d"];
        assert_eq!(ids.map(|id| hash(id) % 4).into_iter().collect::<HashSet<_>>().len(), PEOPLE.len());
        for image in ids.iter().flat_map(|id| (0..=4).map(|number| jpeg(id, number))) {
            assert!(image.starts_with(b"\xFF\xD8\xFF\xE0\x00\x10JFIF\0") && image.ends_with(b"\xFF\xD9"));
            let markers = markers(&image);
            assert_eq!(markers.iter().filter(|marker| **marker == COMMENT[1]).count(), 1, "{markers:x?}");
            assert!((20_000..=120_000).contains(&image.len()), "{}", image.len());
        }
    }

    #[test]
    fn every_image_of_every_session_is_unique_and_stays_the_same() {
        let all = || (0..40).flat_map(|id| (0..=4).map(move |number| jpeg(&id.to_string(), number)));
        assert_eq!(all().collect::<HashSet<_>>().len(), 40 * 5);
        assert!(all().eq(all()));
    }

    #[test]
    fn audit_images_show_other_moments_than_the_reference_image() {
        for id in ["a", "b", "c", "d"] {
            assert_ne!(bounding_box(id, 0), bounding_box(id, 1));
            assert_ne!(bounding_box(id, 1), bounding_box(id, 2));
        }
    }

    #[test]
    fn every_face_lies_within_its_image() {
        for BoundingBox { width, height, left, top } in PEOPLE.iter().flatten().map(|portrait| portrait.bounding_box) {
            assert!(left > 0.0 && top > 0.0 && left + width < 1.0 && top + height < 1.0);
        }
    }
}
