//! Draws a hit and its baselines as bars.

use crate::hits::Hits;
use plotters::prelude::*;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 260;
const NAMES: [&str; 3] = ["a bare HTTP/2 server", "a bare tonic method", "this service"];
/// Colors of the palette of Okabe and Ito, which color-blind people can distinguish.
const COLORS: [RGBColor; 3] = [RGBColor(153, 153, 153), RGBColor(230, 159, 0), RGBColor(0, 114, 178)];

pub fn draw(hits: &[Hits; 2], path: &str) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all("docs")?;
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let area = area.titled("CPU time of a cached response (median, µs)", ("sans-serif", 19))?;
    for (panel, hits) in area.split_evenly((1, 2)).iter().zip(hits) {
        let spent = [hits.hyper, hits.tonic, hits.service];
        let max = spent.iter().copied().fold(0.0, f64::max) * 1.2;
        let caption = if hits.view == "basic" { "without images" } else { "with three images of 100 kB" };
        let mut chart = ChartBuilder::on(panel)
            .caption(caption, ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(24)
            .build_cartesian_2d(0.0..max, 0.0..3.0)?;
        chart.configure_mesh().disable_y_mesh().disable_y_axis().light_line_style(WHITE).draw()?;
        for (index, ((name, color), spent)) in NAMES.into_iter().zip(COLORS).zip(spent).enumerate() {
            let bottom = 2.0 - index as f64;
            let bar = Rectangle::new([(0.0, bottom + 0.2), (spent, bottom + 0.85)], color.filled());
            let label = Text::new(format!("{name}: {spent:.1}"), (max / 60.0, bottom + 0.65), ("sans-serif", 14));
            chart.draw_series([bar])?;
            chart.draw_series([label])?;
        }
    }
    area.present()?;
    Ok(())
}
