//! An RGB canvas with smooth-edged shapes, soft light, grain and a JPEG at the end.
//!
//! It knows shapes and colours and nothing of faces. It must stay quick without compiler optimisation, for tests
//! draw with it: inner loops work on whole spans with integers, and only edge pixels are weighed one by one.

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Red, green and blue, 0..=255 each.
pub(crate) type Colour = [u8; 3];

/// Slices of one pixel row that a shape's edge is sampled at; four hide the steps at the sizes drawn here.
const SLICES: usize = 4;

/// Keeps grain visible and an image of 640×480 near 60 kB, far below the 204,800 bytes that AWS allows.
const QUALITY: u8 = 88;

/// A colour that may brighten across and down the shape: levels a pixel, nought at `at`.
#[derive(Clone, Copy)]
pub(crate) struct Paint {
    pub colour: Colour,
    pub across: f32,
    pub down: f32,
    pub at: (f32, f32),
}

impl Paint {
    pub fn flat(colour: Colour) -> Self {
        Self { colour, across: 0.0, down: 0.0, at: (0.0, 0.0) }
    }

    /// The colour at one point in 16.16 fixed point.
    fn fixed(&self, x: f32, y: f32) -> [i32; 3] {
        let lift = (x - self.at.0) * self.across + (y - self.at.1) * self.down;
        self.colour.map(|level| ((f32::from(level) + lift) * 65536.0) as i32)
    }
}

pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A canvas washed from `top` to `bottom`.
    pub fn washed(width: usize, height: usize, top: Colour, bottom: Colour) -> Self {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            pixels.extend_from_slice(&mix(top, bottom, y as f32 / height as f32).repeat(width));
        }
        Self { width, height, pixels }
    }

    /// Fills the shape whose left and right edge at a height `y` is `span(y)`, between `top` and `bottom`.
    pub fn fill(&mut self, top: f32, bottom: f32, paint: Paint, span: impl Fn(f32) -> Option<(f32, f32)>) {
        let first = top.floor().max(0.0) as usize;
        let last = (bottom.ceil().max(0.0) as usize).min(self.height);
        for y in first..last {
            let slices: [Option<(f32, f32)>; SLICES] = std::array::from_fn(|slice| {
                let at = y as f32 + (slice as f32 + 0.5) / SLICES as f32;
                if at < top || at > bottom { None } else { span(at).filter(|(left, right)| left < right) }
            });
            self.fill_row(y, &slices, paint);
        }
    }

    fn fill_row(&mut self, y: usize, slices: &[Option<(f32, f32)>; SLICES], paint: Paint) {
        let (mut outer, mut inner, mut whole) = ((f32::MAX, f32::MIN), (f32::MIN, f32::MAX), true);
        for slice in slices {
            let Some((left, right)) = *slice else {
                whole = false;
                continue;
            };
            outer = (outer.0.min(left), outer.1.max(right));
            inner = (inner.0.max(left), inner.1.min(right));
        }
        if outer.0 >= outer.1 {
            return;
        }
        let column = |x: f32| (x.max(0.0) as usize).min(self.width);
        let (from, to) = (column(outer.0.floor()), column(outer.1.ceil()));
        let mut solid = (column(inner.0.ceil()), column(inner.1.floor()));
        if !whole || solid.0 >= solid.1 {
            solid = (to, to);
        }
        self.fill_edge(y, from..solid.0, slices, paint);
        self.fill_solid(y, solid.0..solid.1, paint);
        self.fill_edge(y, solid.1..to, slices, paint);
    }

    fn fill_solid(&mut self, y: usize, columns: std::ops::Range<usize>, paint: Paint) {
        let mut level = paint.fixed(columns.start as f32, y as f32);
        let step = (paint.across * 65536.0) as i32;
        let row = y * self.width;
        for pixel in self.pixels[(row + columns.start) * 3..(row + columns.end) * 3].chunks_exact_mut(3) {
            pixel[0] = (level[0] >> 16).clamp(0, 255) as u8;
            pixel[1] = (level[1] >> 16).clamp(0, 255) as u8;
            pixel[2] = (level[2] >> 16).clamp(0, 255) as u8;
            level = [level[0] + step, level[1] + step, level[2] + step];
        }
    }

    fn fill_edge(
        &mut self,
        y: usize,
        columns: std::ops::Range<usize>,
        slices: &[Option<(f32, f32)>; SLICES],
        paint: Paint,
    ) {
        for x in columns {
            let at = x as f32;
            let covered: f32 =
                slices.iter().flatten().map(|(left, right)| (right.min(at + 1.0) - left.max(at)).clamp(0.0, 1.0)).sum();
            let colour = paint.fixed(at, y as f32).map(|level| (level >> 16).clamp(0, 255) as u8);
            self.blend(x, y, colour, covered / SLICES as f32);
        }
    }

    pub fn ellipse(&mut self, (cx, cy): (f32, f32), (rx, ry): (f32, f32), paint: Paint) {
        self.fill(cy - ry, cy + ry, paint, |y| {
            let t = (y - cy) / ry;
            let half = rx * (1.0 - t * t).max(0.0).sqrt();
            Some((cx - half, cx + half))
        });
    }

    /// A round brush of the given radius along `path`, whose argument runs from 0 to 1.
    pub fn stroke(&mut self, radius: f32, colour: Colour, dabs: u16, path: impl Fn(f32) -> (f32, f32)) {
        for dab in 0..=dabs {
            let at = path(f32::from(dab) / f32::from(dabs.max(1)));
            self.ellipse(at, (radius, radius), Paint::flat(colour));
        }
    }

    /// Soft light: the colour at `strength` (0 to 1) in the middle, nothing at the rim.
    pub fn glow(&mut self, (cx, cy): (f32, f32), (rx, ry): (f32, f32), colour: Colour, strength: f32) {
        let rows = (cy - ry).max(0.0) as usize..((cy + ry).max(0.0) as usize).min(self.height);
        for y in rows {
            let v = (y as f32 - cy) / ry;
            let half = rx * (1.0 - v * v).max(0.0).sqrt();
            for x in (cx - half).max(0.0) as usize..((cx + half).max(0.0) as usize).min(self.width) {
                let u = (x as f32 - cx) / rx;
                let near = 1.0 - u * u - v * v;
                self.blend(x, y, colour, strength * near * near.max(0.0));
            }
        }
    }

    /// Grain as of a small camera: up to `amplitude` levels brighter or darker, pixel by pixel.
    pub fn grain(&mut self, seed: u64, amplitude: i16) {
        let mut state = seed as u32 | 1;
        let range = u32::from(amplitude.unsigned_abs()) * 2 + 1;
        for pixel in self.pixels.chunks_exact_mut(3) {
            // A xorshift in place: calling the generator for each pixel would cost more than the rest of the drawing.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let lift = (((state >> 16) * range) >> 16) as i16 - amplitude;
            pixel[0] = (i16::from(pixel[0]) + lift).clamp(0, 255) as u8;
            pixel[1] = (i16::from(pixel[1]) + lift).clamp(0, 255) as u8;
            pixel[2] = (i16::from(pixel[2]) + lift).clamp(0, 255) as u8;
        }
    }

    pub fn jpeg(&self) -> Bytes {
        let (width, height) = (self.width as u16, self.height as u16);
        let mut encoded = Vec::with_capacity(128 * 1024);
        let mut encoder = Encoder::new(&mut encoded, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder
            .encode(&self.pixels, width, height, ColorType::Rgb)
            .expect("a canvas has three bytes a pixel, a size within JPEG's 65,535, and memory to write to");
        encoded.into()
    }

    fn blend(&mut self, x: usize, y: usize, colour: Colour, weight: f32) {
        let weight = (weight * 256.0) as i32;
        let at = (y * self.width + x) * 3;
        for (old, new) in self.pixels[at..at + 3].iter_mut().zip(colour) {
            *old = (i32::from(*old) + (((i32::from(new) - i32::from(*old)) * weight) >> 8)).clamp(0, 255) as u8;
        }
    }
}

/// `part` (0 to 1) of the way from one colour to another.
pub(crate) fn mix(from: Colour, to: Colour, part: f32) -> Colour {
    std::array::from_fn(|i| (f32::from(from[i]) + (f32::from(to[i]) - f32::from(from[i])) * part).round() as u8)
}
