//! Draws the distribution of the delays.

use crate::{
    report::Row,
    scenario::{Account, Scenario, Setup},
};
use plotters::prelude::*;

const WIDTH: u32 = 960;
const HEIGHT: u32 = 458;
const LEGEND_HEIGHT: u32 = 44;
/// The start of the axis, in seconds. It is logarithmic, because the SDK's delays are up to a
/// hundred times longer. It ends at the longest delay.
const MIN_SECONDS: f64 = 0.05;

pub fn draw(rows: &[Row], path: &str) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all("docs")?;
    let area = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    area.fill(&WHITE)?;
    let title = "Callers with the final result, by the delay after the end of the session (25 reads/s, 75 sessions)";
    let area = area.titled(title, ("sans-serif", 19))?;
    let (panels, legend) = area.split_vertically(area.dim_in_pixel().1 - LEGEND_HEIGHT);
    let rows: Vec<_> = rows.iter().filter(|row| row.typical.account == Account::LARGE).collect();
    let max_seconds = rows.iter().flat_map(|row| &row.typical.delays).copied().fold(1.0, f64::max);
    for (panel, scenario) in panels.split_evenly((1, 2)).iter().zip([Scenario::EvenFinish, Scenario::RealChecks]) {
        let mut chart = ChartBuilder::on(panel)
            .caption(scenario.name(), ("sans-serif", 17))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d((MIN_SECONDS..max_seconds).log_scale(), 0.0..100.0)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .x_desc("seconds after the end of the session (logarithmic)")
            .y_desc("% of callers")
            .x_label_formatter(&|seconds| format!("{seconds}"))
            .y_label_formatter(&|share| format!("{share:.0}"))
            .draw()?;
        for row in rows.iter().filter(|row| row.typical.scenario == scenario) {
            chart.draw_series(LineSeries::new(curve(&row.typical.delays), color(row.typical.setup).stroke_width(2)))?;
        }
    }
    let (mut left, mut top) = (40, 10);
    for setup in [
        Setup::SdkStandard,
        Setup::SdkAdaptive,
        Setup::Polling,
        Setup::Waiting,
        Setup::WaitingWithQuadrupleQuota,
        Setup::WaitingOnSharingReplicas,
        Setup::WaitingOnSeparateReplicas,
    ] {
        legend.draw(&PathElement::new([(left, top), (left + 20, top)], color(setup).stroke_width(3)))?;
        legend.draw(&Text::new(setup.name(), (left + 26, top - 5), ("sans-serif", 13)))?;
        left += 40 + 6 * setup.name().len() as i32;
        if setup == Setup::WaitingWithQuadrupleQuota {
            (left, top) = (40, top + 18);
        }
    }
    area.present()?;
    Ok(())
}

/// Returns a color of the palette of Okabe and Ito, which color-blind people can distinguish.
const fn color(setup: Setup) -> RGBColor {
    match setup {
        Setup::SdkStandard => RGBColor(213, 94, 0),
        Setup::SdkAdaptive => RGBColor(230, 159, 0),
        Setup::Polling => RGBColor(86, 180, 233),
        Setup::Waiting => RGBColor(0, 114, 178),
        Setup::WaitingWithQuadrupleQuota => RGBColor(0, 158, 115),
        Setup::WaitingOnSharingReplicas => RGBColor(204, 121, 167),
        Setup::WaitingOnSeparateReplicas => RGBColor(153, 153, 153),
    }
}

fn curve(delays: &[f64]) -> Vec<(f64, f64)> {
    let mut delays = delays.to_vec();
    delays.sort_by(f64::total_cmp);
    let count = delays.len() as f64;
    let steps = (1..)
        .zip(delays)
        .map(|(callers, delay): (u32, f64)| (delay.max(MIN_SECONDS), 100.0 * f64::from(callers) / count));
    steps.collect()
}
