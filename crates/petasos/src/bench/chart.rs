//! Charts as SVG, for the report in HTML: lines over an axis that is linear or logarithmic.

use plotters::prelude::*;

/// Where no other size is asked for, in pixels; the page scales them.
const SIZE: (u32, u32) = (820, 320);
/// Of the lines. They can be told apart on white and on black, and by those who do not see colours as others do.
const COLOURS: [RGBColor; 4] =
    [RGBColor(30, 136, 229), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
/// Of axes, grid and text; the page replaces it by its own.
const NEUTRAL: RGBColor = RGBColor(128, 128, 128);

/// A line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What it shows.
    pub(crate) name: String,
    /// Its points.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A chart.
#[derive(Debug)]
pub(crate) struct Chart<'c> {
    /// Under the horizontal axis.
    pub(crate) x_title: &'c str,
    /// Beside the vertical one.
    pub(crate) y_title: &'c str,
    /// How a value on the horizontal axis is written.
    pub(crate) x_label: fn(f64) -> String,
    /// How one on the vertical axis is written.
    pub(crate) y_label: fn(f64) -> String,
    /// Whether the vertical axis is logarithmic.
    pub(crate) logarithmic: bool,
    /// The lines, at most as many as there are colours.
    pub(crate) lines: Vec<Line>,
}

impl Chart<'_> {
    /// The chart as SVG; `None` where there is nothing to draw.
    pub(crate) fn svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let (x_from, x_to) = bounds(points().map(|point| point.0))?;
        let (_, y_to) = bounds(points().map(|point| self.y(point.1)))?;
        let y_from = if self.logarithmic { bounds(points().map(|point| self.y(point.1)))?.0 } else { 0.0 };
        let mut svg = String::new();
        let drawn =
            self.draw(&mut svg, x_from..x_to.max(x_from + 1e-9), y_from..(y_to * 1.05).max(y_from + 1e-3));
        // What can fail is writing to a file, and this is none.
        drawn.ok()?;
        Some(svg)
    }

    /// Where a value is drawn.
    fn y(&self, value: f64) -> f64 {
        if self.logarithmic { value.max(1.0).log10() } else { value }
    }

    fn draw(
        &self,
        svg: &mut String,
        x: std::ops::Range<f64>,
        y: std::ops::Range<f64>,
    ) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(44)
            .y_label_area_size(78)
            .build_cartesian_2d(x, y)?;
        let style = ("sans-serif", 13).into_font().color(&NEUTRAL);
        chart
            .configure_mesh()
            .axis_style(NEUTRAL)
            .bold_line_style(NEUTRAL.mix(0.3))
            .light_line_style(TRANSPARENT)
            .label_style(style.clone())
            .axis_desc_style(style.clone())
            .x_desc(self.x_title)
            .y_desc(self.y_title)
            .x_label_formatter(&|value| (self.x_label)(*value))
            .y_label_formatter(&|value| {
                (self.y_label)(if self.logarithmic { 10_f64.powf(*value) } else { *value })
            })
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS) {
            let points = line.points.iter().map(|point| (point.0, self.y(point.1)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(&line.name)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
        if self.lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .border_style(NEUTRAL.mix(0.4))
                .label_font(style)
                .draw()?;
        }
        area.present()?;
        drop(chart);
        drop(area);
        Ok(())
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut values = values.filter(|value| value.is_finite());
    let first = values.next()?;
    Some(values.fold((first, first), |(least, most), value| (least.min(value), most.max(value))))
}
