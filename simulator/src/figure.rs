//! The brush work of one portrait: hair, shoulders, neck, face and features, from the back to the front.
//!
//! The face is the only thing in the full skin colour, and its outline touches all four sides of the pose's box:
//! neck and ears are in shade, and nothing is drawn over the face's edge. The bounding box depends on that.

use crate::{
    canvas::{Canvas, Colour, Paint, mix},
    portrait::{Hair, Look, Pose},
};

const DARK: Colour = [34, 26, 28];
const WHITE: Colour = [250, 248, 246];

/// Draws the person; the shoulders run on to `floor`, the canvas's lower edge in pixels.
pub(crate) fn draw(canvas: &mut Canvas, look: &Look, pose: &Pose, floor: f32) {
    let face = Face { centre: pose.centre, half: pose.half };
    hair(canvas, &face, look);
    body(canvas, &face, look, floor);
    head(canvas, &face, look);
    for side in [-1.0, 1.0] {
        eye(canvas, &face, look, pose, side);
    }
    nose(canvas, &face, look);
    mouth(canvas, &face, look, pose);
    if look.glasses {
        glasses(canvas, &face);
    }
}

/// The frame of reference of all brush work: nought is the middle of the face, one its edge.
struct Face {
    centre: (f32, f32),
    half: (f32, f32),
}

impl Face {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.centre.0 + x * self.half.0, self.centre.1 + y * self.half.1)
    }

    fn size(&self, x: f32, y: f32) -> (f32, f32) {
        (x * self.half.0, y * self.half.1)
    }

    fn pen(&self, width: f32) -> f32 {
        width * self.half.0
    }

    /// Lit from the left and from above; `lift` is the whole difference in levels over the face.
    fn lit(&self, colour: Colour, lift: f32) -> Paint {
        Paint { colour, across: -lift / (4.0 * self.half.0), down: -lift / (4.0 * self.half.1), at: self.centre }
    }
}

fn shade(colour: Colour) -> Colour {
    mix(colour, [46, 24, 20], 0.35)
}

fn hair(canvas: &mut Canvas, face: &Face, look: &Look) {
    let paint = face.lit(look.hair, 16.0);
    if look.style == Hair::Bun {
        canvas.ellipse(face.at(0.05, -1.5), face.size(0.42, 0.34), paint);
    }
    let ((cx, cy), (rx, ry)) = (face.at(0.0, -0.18), face.size(1.16, 1.14));
    let nape = face.at(0.0, 0.22).1;
    let tuck = if look.style == Hair::Long { 0.0 } else { face.pen(0.7) };
    canvas.fill(cy - ry, nape, paint, |y| {
        let t = (y - cy) / ry;
        let half = rx * (1.0 - t.abs().powf(2.3)).max(0.0).sqrt() - tuck * t.max(0.0);
        Some((cx - half, cx + half))
    });
    if look.style == Hair::Long {
        let (top, bottom) = (face.at(0.0, -0.3).1, face.at(0.0, 1.52).1);
        canvas.fill(top, bottom, paint, |y| {
            let t = (y - top) / (bottom - top);
            let half = rx * (1.0 + 0.16 * t) * (1.0 - t.powi(8)).max(0.0).sqrt();
            Some((cx - half, cx + half))
        });
    }
    for strand in 0..6 {
        // Strands follow the crown: arcs of ever smaller ellipses, lit on the left.
        let (size, from) = (1.0 - strand as f32 * 0.035, -2.5 + (strand % 3) as f32 * 0.16);
        canvas.stroke(face.pen(0.011), mix(look.hair, [255, 240, 220], 0.14), 60, |t| {
            let (sin, cos) = (from + t * 1.05).sin_cos();
            face.at(cos * size * 1.06, -0.18 + sin * size * 1.06)
        });
    }
}

fn body(canvas: &mut Canvas, face: &Face, look: &Look, floor: f32) {
    let shirt = face.lit(look.shirt, 14.0);
    let ((cx, top), (rx, ry)) = (face.at(0.0, 1.36), face.size(2.15, 1.5));
    canvas.fill(top, floor, shirt, |y| {
        let t = (1.0 - (y - top) / ry).max(0.0);
        let half = rx * (1.0 - t.powf(2.6)).max(0.0).sqrt();
        Some((cx - half, cx + half))
    });
    let neck = Paint { across: 0.0, down: -0.05, ..face.lit(shade(look.skin), 0.0) };
    let (width, long) = (face.pen(0.44), face.at(0.0, 1.5).1);
    canvas.ellipse(face.at(0.0, 1.44), face.size(0.74, 0.26), Paint::flat(mix(look.shirt, DARK, 0.3)));
    canvas.ellipse(face.at(0.0, 1.42), face.size(0.64, 0.21), neck);
    canvas.fill(face.at(0.0, 0.5).1, long, neck, |y| {
        let flare = ((y - face.at(0.0, 1.1).1) / face.half.1).max(0.0);
        let half = width * (1.0 + flare * flare * 1.6);
        Some((cx - half, cx + half))
    });
    canvas.glow(face.at(0.0, 1.02), face.size(0.46, 0.3), mix(shade(look.skin), DARK, 0.4), 0.45);
    for side in [-1.0, 1.0] {
        canvas.ellipse(face.at(side * 1.0, 0.04), face.size(0.13, 0.2), Paint::flat(shade(look.skin)));
    }
}

fn head(canvas: &mut Canvas, face: &Face, look: &Look) {
    let (cx, cy) = face.centre;
    let (broad, round) = look.brow;
    canvas.fill(cy - face.half.1, cy + face.half.1, face.lit(look.skin, 9.0), |y| {
        let t = (y - cy) / face.half.1;
        let half = if t < 0.0 {
            (1.0 - (-t).powf(broad)).max(0.0).powf(round)
        } else {
            (1.0 - t * t).max(0.0).sqrt() * (1.0 - 0.1 * t)
        };
        Some((cx - half * face.half.0, cx + half * face.half.0))
    });
    for side in [-1.0, 1.0] {
        canvas.glow(face.at(side * 0.56, 0.32), face.size(0.32, 0.24), mix(look.skin, [206, 70, 70], 0.5), 0.34);
    }
    canvas.glow(face.at(-0.12, -0.55), face.size(0.5, 0.28), mix(look.skin, WHITE, 0.5), 0.16);
}

fn eye(canvas: &mut Canvas, face: &Face, look: &Look, pose: &Pose, side: f32) {
    let middle = face.at(side * 0.4, -0.08);
    let (rx, ry) = face.size(0.19, 0.088);
    canvas.glow((middle.0, middle.1 - ry * 0.5), (rx * 1.6, ry * 2.4), shade(look.skin), 0.5);
    let lens = |y: f32| {
        let t = (y - middle.1) / ry;
        let half = rx * (1.0 - t.abs().powf(1.4)).max(0.0);
        Some((middle.0 - half, middle.0 + half))
    };
    canvas.fill(middle.1 - ry, middle.1 + ry, Paint::flat(WHITE), lens);
    let iris = (middle.0 + pose.gaze * rx * 0.28, middle.1 - ry * 0.06);
    let size = ry * 0.98;
    // The lids cut the iris, so it is filled as what it and the eye's opening have in common.
    for (radius, colour) in [(size, mix(look.eyes, DARK, 0.45)), (size * 0.84, look.eyes), (size * 0.46, DARK)] {
        canvas.fill(iris.1 - radius, iris.1 + radius, Paint::flat(colour), |y| {
            let half = (radius * radius - (y - iris.1) * (y - iris.1)).max(0.0).sqrt();
            let (left, right) = lens(y)?;
            Some((left.max(iris.0 - half), right.min(iris.0 + half)))
        });
    }
    let glint = size * 0.24;
    canvas.ellipse((iris.0 - size * 0.34, iris.1 - size * 0.34), (glint, glint), Paint::flat(WHITE));
    canvas.stroke(face.pen(0.02), DARK, 24, |t| {
        let u = t * 2.0 - 1.0;
        (middle.0 + u * rx * 1.04, middle.1 - ry * (1.0 - u.abs().powf(1.9)) * 0.96)
    });
    canvas.stroke(face.pen(0.012), shade(look.skin), 18, |t| {
        let u = t * 1.5 - 0.75;
        (middle.0 + u * rx, middle.1 + ry * (1.0 - u * u) * 1.25)
    });
    canvas.stroke(face.pen(0.036), mix(look.hair, DARK, 0.35), 22, |t| {
        face.at(side * (0.19 + 0.43 * t), -0.3 - 0.085 * (t * 2.6).sin() + 0.05 * t * t)
    });
}

fn nose(canvas: &mut Canvas, face: &Face, look: &Look) {
    let line = mix(look.skin, shade(look.skin), 0.7);
    canvas.glow(face.at(0.05, 0.12), face.size(0.13, 0.3), line, 0.4);
    canvas.glow(face.at(-0.03, 0.2), face.size(0.1, 0.1), WHITE, 0.22);
    canvas.stroke(face.pen(0.02), line, 22, |t| {
        let u = t * 2.0 - 1.0;
        face.at(u * 0.14, 0.31 + 0.035 * (1.0 - u * u) - 0.03 * u * u)
    });
    for side in [-1.0, 1.0] {
        canvas.ellipse(face.at(side * 0.068, 0.315), face.size(0.026, 0.012), Paint::flat(shade(line)));
    }
}

fn mouth(canvas: &mut Canvas, face: &Face, look: &Look, pose: &Pose) {
    let lips = mix(look.skin, [164, 44, 58], 0.56);
    let broad = 0.29 + 0.07 * pose.smile;
    let corner = -0.055 * pose.smile;
    let seam = |u: f32| 0.575 + corner * u * u;
    let full = 0.075 * look.lips;
    // Lips are two rows of dabs above and below the seam, thinning to the corners.
    for (lift, colour) in [(-0.55, mix(lips, DARK, 0.12)), (0.62, lips)] {
        for row in 0..4 {
            let off = lift * full * row as f32 / 3.0;
            canvas.stroke(face.pen(0.024), colour, 30, |t| {
                let u = t * 2.0 - 1.0;
                let dip = if lift < 0.0 { 1.0 - 0.35 * (-(u * 6.0) * (u * 6.0)).exp() } else { 1.0 };
                face.at(u * broad * 0.94, seam(u) + off * (1.0 - u * u) * dip)
            });
        }
    }
    canvas.stroke(face.pen(0.014), mix(lips, DARK, 0.55), 34, |t| {
        let u = t * 2.0 - 1.0;
        face.at(u * broad, seam(u))
    });
    canvas.glow(face.at(-0.05, 0.575 + full * 0.6), face.size(0.13, 0.035), WHITE, 0.32);
    canvas.glow(face.at(0.0, 0.72 + full * 0.3), face.size(0.2, 0.06), shade(look.skin), 0.4);
}

fn glasses(canvas: &mut Canvas, face: &Face) {
    let frame = [44, 40, 52];
    for side in [-1.0, 1.0] {
        canvas.stroke(face.pen(0.02), frame, 120, |t| {
            let (sin, cos) = (t * std::f32::consts::TAU).sin_cos();
            // The root pulls the circle towards its corners, to a rounded square.
            let round = |v: f32| v.signum() * v.abs().powf(0.62);
            face.at(side * 0.42 + 0.3 * round(cos), -0.06 + 0.21 * round(sin))
        });
        canvas.stroke(face.pen(0.018), frame, 10, |t| face.at(side * (0.72 + 0.2 * t), -0.1 + 0.01 * t));
    }
    canvas.stroke(face.pen(0.02), frame, 12, |t| {
        let u = t * 2.0 - 1.0;
        face.at(u * 0.12, -0.1 - 0.03 * (1.0 - u * u))
    });
}
