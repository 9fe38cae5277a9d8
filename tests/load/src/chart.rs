//! Latency against rate, as a picture.

use std::path::Path;

use anyhow::ensure;
use plotters::prelude::*;

use crate::outcome::Percentiles;
use crate::table::Point;

const SIZE: (u32, u32) = (800, 420);
type Percentile = fn(&Percentiles) -> f64;
const LINES: [(&str, RGBColor, Percentile); 3] = [
    ("p50", RGBColor(0x1f, 0x77, 0xb4), |latency| latency.p50),
    ("p99", RGBColor(0xff, 0x7f, 0x0e), |latency| latency.p99),
    ("p99.9", RGBColor(0xd6, 0x27, 0x28), |latency| latency.p999),
];

/// Draws a line for each percentile.
pub fn draw(file: &Path, title: &str, curve: &[Point]) -> anyhow::Result<()> {
    let fastest = curve.iter().map(|point| point.rate).fold(0.0, f64::max);
    let slowest = curve.iter().map(|point| point.latency_ms.p999).fold(0.0, f64::max);
    ensure!(fastest > 0.0 && slowest > 0.0, "there is nothing to draw");
    let picture = SVGBackend::new(file, SIZE).into_drawing_area();
    picture.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&picture)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..fastest * 1.05, 0.0..slowest * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("requests a second")
        .y_desc("milliseconds")
        .light_line_style(WHITE)
        .draw()?;
    for (name, color, of) in LINES {
        let points = curve.iter().map(|point| (point.rate, of(&point.latency_ms)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    picture.present()?;
    Ok(())
}
