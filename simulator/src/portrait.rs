//! Who is in a session's images: a drawn person, where the face is, and the box that says so.
//!
//! Everything follows from the session id and the number of the image, so the same session always has the same
//! bytes. No real face, and nothing read from a file, may ever come in here. The brush work is in `figure`.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    canvas::{Canvas, Colour, mix},
    figure,
};

/// Where the face is, as ratios of the image's width and height; `left` and `top` from the upper left corner.
/// See <https://docs.aws.amazon.com/rekognition/latest/APIReference/API_BoundingBox.html>.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BoundingBox {
    /// Part of the image's width, 0 to 1.
    pub width: f32,
    /// Part of the image's height, 0 to 1.
    pub height: f32,
    /// Distance from the left edge as a part of the width.
    pub left: f32,
    /// Distance from the upper edge as a part of the height.
    pub top: f32,
}

/// Skins are at least 20 levels in one channel from hairs, shirts and backdrops, so that a face's edge can be told by
/// colour. The last two skins go with the first three hairs only.
const SKINS: [Colour; 6] =
    [[243, 207, 181], [230, 186, 156], [211, 161, 127], [178, 126, 94], [141, 94, 68], [110, 74, 56]];
const HAIRS: [Colour; 6] = [[30, 26, 29], [52, 40, 40], [158, 156, 160], [84, 50, 36], [124, 54, 34], [204, 170, 70]];
const SHIRTS: [Colour; 6] = [[52, 84, 124], [122, 52, 78], [52, 104, 92], [84, 88, 104], [222, 222, 226], [64, 58, 96]];
const BACKDROPS: [(Colour, Colour); 5] = [
    ([188, 208, 220], [128, 156, 176]),
    ([206, 216, 200], [146, 168, 150]),
    ([212, 208, 224], [150, 150, 180]),
    ([222, 222, 222], [160, 168, 176]),
    ([176, 204, 208], [104, 142, 156]),
];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Hair {
    Short,
    Bun,
    Long,
}

/// What a person keeps from one image to the next.
#[derive(Clone)]
pub(crate) struct Look {
    pub skin: Colour,
    pub hair: Colour,
    pub style: Hair,
    /// Exponents of the hairline's curve: how broad the forehead is and how round.
    pub brow: (f32, f32),
    pub shirt: Colour,
    pub eyes: Colour,
    pub glasses: bool,
    /// 0.6 thin to 1.2 full.
    pub lips: f32,
}

/// What differs between images of one session. Lengths in pixels.
#[derive(Clone)]
pub(crate) struct Pose {
    pub centre: (f32, f32),
    /// Half the face's width and half its height, ear to ear and hairline to chin.
    pub half: (f32, f32),
    /// Where the eyes look, -1 left to 1 right.
    pub gaze: f32,
    /// 0 straight to 1 broad.
    pub smile: f32,
}

/// One image of a session before it is drawn.
pub(crate) struct Portrait {
    size: (usize, usize),
    backdrop: (Colour, Colour),
    pub look: Look,
    pub pose: Pose,
    grain: u64,
}

impl Portrait {
    /// Image 0 is the reference, the others are audit images.
    pub fn of(session_id: &str, image: u8) -> Self {
        let seed = seed(session_id);
        let mut person = fastrand::Rng::with_seed(seed);
        let look = Look::any(&mut person);
        // Phones are held upright and laptops are not; most checks are done on phones.
        let size = if person.u8(0..3) < 2 { (480, 640) } else { (640, 480) };
        let backdrop = BACKDROPS[person.usize(0..BACKDROPS.len())];
        let pose = Pose::any(&mut person, size);
        let grain = seed.wrapping_add(u64::from(image).wrapping_mul(0x9E37_79B9));
        let pose = if image == 0 { pose } else { pose.moved(&mut fastrand::Rng::with_seed(grain)) };
        Self { size, backdrop, look, pose, grain }
    }

    pub fn bounding_box(&self) -> BoundingBox {
        let (width, height) = (self.size.0 as f32, self.size.1 as f32);
        let Pose { centre, half, .. } = self.pose;
        BoundingBox {
            width: 2.0 * half.0 / width,
            height: 2.0 * half.1 / height,
            left: (centre.0 - half.0) / width,
            top: (centre.1 - half.1) / height,
        }
    }

    /// The image as a JPEG of 480×640 or 640×480 pixels.
    pub fn draw(&self) -> Bytes {
        let (width, height) = self.size;
        let mut canvas = Canvas::washed(width, height, self.backdrop.0, self.backdrop.1);
        let light = mix(self.backdrop.0, [255, 255, 255], 0.6);
        let (w, h) = (width as f32, height as f32);
        canvas.glow((w * 0.16, h * 0.2), (w * 0.34, h * 0.3), light, 0.7);
        canvas.glow((w * 0.9, h * 0.42), (w * 0.22, h * 0.26), light, 0.45);
        figure::draw(&mut canvas, &self.look, &self.pose, h);
        canvas.grain(self.grain, 4);
        canvas.jpeg()
    }
}

impl Look {
    fn any(rng: &mut fastrand::Rng) -> Self {
        let skin = rng.usize(0..SKINS.len());
        let hairs = if skin < 4 { HAIRS.len() } else { 3 };
        Self {
            skin: SKINS[skin],
            hair: HAIRS[rng.usize(0..hairs)],
            style: [Hair::Short, Hair::Short, Hair::Bun, Hair::Long, Hair::Long][rng.usize(0..5)],
            brow: [(2.0, 0.5), (2.6, 0.46), (2.2, 0.62)][rng.usize(0..3)],
            shirt: SHIRTS[rng.usize(0..SHIRTS.len())],
            eyes: [[92, 62, 40], [60, 92, 118], [84, 104, 70], [52, 38, 32]][rng.usize(0..4)],
            glasses: rng.u8(0..4) == 0,
            lips: 0.6 + rng.f32() * 0.6,
        }
    }
}

impl Pose {
    fn any(rng: &mut fastrand::Rng, (width, height): (usize, usize)) -> Self {
        let (width, height) = (width as f32, height as f32);
        let across = height * (if width < height { 0.168 } else { 0.19 } + rng.f32() * 0.022);
        Self {
            centre: (width * (0.46 + rng.f32() * 0.08), height * (0.435 + rng.f32() * 0.03)),
            half: (across, across * (1.2 + rng.f32() * 0.1)),
            gaze: 0.0,
            smile: 0.35 + rng.f32() * 0.5,
        }
    }

    /// The same person a moment earlier: a little nearer or further, and looking elsewhere.
    fn moved(mut self, rng: &mut fastrand::Rng) -> Self {
        let step = |rng: &mut fastrand::Rng| rng.f32() * 2.0 - 1.0;
        let scale = 1.0 + step(rng) * 0.06;
        self.centre = (self.centre.0 + step(rng) * 14.0, self.centre.1 + step(rng) * 10.0);
        self.half = (self.half.0 * scale, self.half.1 * scale);
        self.gaze = step(rng);
        self.smile = (self.smile + step(rng) * 0.35).clamp(0.0, 1.0);
        self
    }
}

/// FNV-1a, because its value for an id stays the same over releases of Rust, which the standard hasher's need not.
pub(crate) fn seed(session_id: &str) -> u64 {
    session_id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges of what has the skin's colour, as parts of the image: left, top, right, bottom.
    fn skin_edges(jpeg: &[u8], skin: Colour) -> [f32; 4] {
        let mut decoder = zune_jpeg::JpegDecoder::new(jpeg);
        let pixels = decoder.decode().unwrap();
        let (width, height) = decoder.dimensions().unwrap();
        let (mut rows, mut columns) = (vec![0; height], vec![0; width]);
        for (at, pixel) in pixels.chunks_exact(3).enumerate() {
            if pixel.iter().zip(skin).all(|(level, of)| level.abs_diff(of) < 18) {
                rows[at / width] += 1;
                columns[at % width] += 1;
            }
        }
        let edges = |counts: &[u32]| {
            let skin = |count: &u32| *count >= 14;
            let (first, last) = (counts.iter().position(skin).unwrap(), counts.iter().rposition(skin).unwrap());
            (first as f32 / counts.len() as f32, (last + 1) as f32 / counts.len() as f32)
        };
        let ((left, right), (top, bottom)) = (edges(&columns), edges(&rows));
        [left, top, right, bottom]
    }

    #[test]
    fn the_face_fills_its_box() {
        for person in 0..12 {
            let portrait = Portrait::of(&format!("person {person}"), person % 5);
            let found = skin_edges(&portrait.draw(), portrait.look.skin);
            let said = portrait.bounding_box();
            let said = [said.left, said.top, said.left + said.width, said.top + said.height];
            for (found, said) in found.iter().zip(said) {
                assert!((found - said).abs() < 0.02, "person {person}: {found} is not {said}");
            }
        }
    }

    #[test]
    fn images_are_of_the_size_that_aws_sends() {
        for person in 0..4 {
            let size = Portrait::of(&person.to_string(), 0).draw().len();
            assert!((20_000..=120_000).contains(&size), "{size}");
        }
    }

    #[test]
    fn a_session_keeps_its_images_and_has_its_own() {
        assert_eq!(Portrait::of("a", 0).draw(), Portrait::of("a", 0).draw());
        assert_ne!(Portrait::of("a", 0).draw(), Portrait::of("a", 1).draw());
        assert_ne!(Portrait::of("a", 0).draw(), Portrait::of("b", 0).draw());
        assert_ne!(Portrait::of("a", 0).bounding_box(), Portrait::of("a", 1).bounding_box());
    }
}
