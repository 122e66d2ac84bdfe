//! Charts as inline SVG. They are stretched to the room they get, so strokes do
//! not scale and all text stands around them, in HTML.

use std::fmt::Write;

use jiff::Timestamp;
use maud::{Markup, html};

/// Of the viewBox; any number would do.
const WIDE: f64 = 600.0;
const HIGH: f64 = 100.0;
/// Lines at the very edge would be cut in half.
const EDGE: f64 = 4.0;

/// A value at a time.
pub(super) struct Point {
    pub at: Timestamp,
    /// `None` where a run made nothing.
    pub value: Option<f64>,
    /// Told where the pointer rests.
    pub label: String,
}

/// What a chart is called, and what it shows in words.
pub(super) struct Caption<'a> {
    /// Of the element, for one page.
    pub id: String,
    pub title: &'a str,
    pub description: String,
}

/// Where a point lies; y grows downwards.
struct Scale {
    begin: i64,
    seconds: f64,
    most: f64,
}

impl Scale {
    fn of(points: &[Point]) -> Self {
        let at = |point: Option<&Point>| point.map_or(0, |point| point.at.as_second());
        let (begin, end) = (at(points.first()), at(points.last()));
        let values = points.iter().filter_map(|point| point.value);
        Self {
            begin,
            seconds: (end - begin) as f64,
            most: values.fold(0.0, f64::max),
        }
    }

    fn x(&self, at: Timestamp) -> f64 {
        let share = match self.seconds {
            none if none <= 0.0 => 0.5,
            seconds => (at.as_second() - self.begin) as f64 / seconds,
        };
        EDGE + share.clamp(0.0, 1.0) * (WIDE - 2.0 * EDGE)
    }

    /// From zero: what is half as high is half as much.
    fn y(&self, value: f64) -> f64 {
        let share = match self.most {
            none if none <= 0.0 => 0.0,
            most => value / most,
        };
        HIGH - EDGE - share * (HIGH - 2.0 * EDGE)
    }
}

/// A line with the area below it, and a dot at its end.
pub(super) fn area(points: &[Point], caption: &Caption<'_>) -> Markup {
    let scale = Scale::of(points);
    let mut line = String::new();
    let mut ends: Option<(f64, f64, f64)> = None;
    for point in points {
        let Some(value) = point.value else { continue };
        let (x, y) = (scale.x(point.at), scale.y(value));
        let step = if ends.is_some() { 'L' } else { 'M' };
        let _ = write!(line, "{step}{x:.1} {y:.1}");
        ends = Some((ends.map_or(x, |(first, ..)| first), x, y));
    }
    let Some((first, x, y)) = ends else {
        return html! {};
    };
    let body = html! {
        path.area d=(format!("{line}L{x:.1} {HIGH}L{first:.1} {HIGH}Z")) {}
        path.line d=(line) vector-effect="non-scaling-stroke" {}
        path.dot d=(format!("M{x:.1} {y:.1}h0")) vector-effect="non-scaling-stroke" {}
    };
    frame(points, &scale, caption, &body)
}

/// A stem for each value; what made none is a broken one of full height.
pub(super) fn stems(points: &[Point], caption: &Caption<'_>) -> Markup {
    let scale = Scale::of(points);
    let (mut done, mut broken) = (String::new(), String::new());
    for point in points {
        let x = scale.x(point.at);
        match point.value {
            // The shortest is still seen.
            Some(value) => {
                let y = scale.y(value).min(HIGH - 2.0 * EDGE);
                let _ = write!(done, "M{x:.1} {HIGH}V{y:.1}");
            }
            None => {
                let _ = write!(broken, "M{x:.1} {HIGH}V{EDGE}");
            }
        }
    }
    let body = html! {
        path.stems d=(done) vector-effect="non-scaling-stroke" {}
        @if !broken.is_empty() {
            path.broken d=(broken) vector-effect="non-scaling-stroke" {}
        }
    };
    frame(points, &scale, caption, &body)
}

fn frame(points: &[Point], scale: &Scale, caption: &Caption<'_>, body: &Markup) -> Markup {
    let id = &caption.id;
    html! {
        svg.chart viewBox=(format!("0 0 {WIDE} {HIGH}")) preserveAspectRatio="none" role="img"
            aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (caption.title) }
            desc id={ (id) "-d" } { (caption.description) }
            path.base d=(format!("M0 {HIGH}H{WIDE}")) vector-effect="non-scaling-stroke" {}
            (body)
            (rests(points, scale))
        }
    }
}

/// Invisible fields, each from half-way to half-way between the points beside it.
fn rests(points: &[Point], scale: &Scale) -> Markup {
    let xs: Vec<f64> = points.iter().map(|point| scale.x(point.at)).collect();
    let between = |a: usize, b: usize| (xs[a] + xs[b]) / 2.0;
    html! {
        @for (index, point) in points.iter().enumerate() {
            @let begin = if index == 0 { 0.0 } else { between(index - 1, index) };
            @let end = if index + 1 == xs.len() { WIDE } else { between(index, index + 1) };
            rect.rest x=(format!("{begin:.1}")) width=(format!("{:.1}", end - begin)) height="100" {
                title { (point.label) }
            }
        }
    }
}

/// A line as high as a line of text; its caption is the cell beside it.
pub(super) fn spark(values: &[Option<u64>]) -> Markup {
    let known = || values.iter().flatten().copied();
    let (Some(least), Some(most)) = (known().min(), known().max()) else {
        return html! {};
    };
    let last = values.len().saturating_sub(1).max(1) as f64;
    let range = (most - least) as f64;
    let mut line = String::new();
    let mut drawn = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            drawn = false;
            continue;
        };
        let share = match range {
            none if none <= 0.0 => 0.5,
            range => (value - least) as f64 / range,
        };
        let (x, y) = (2.0 + index as f64 / last * 96.0, 18.0 - share * 16.0);
        let step = if drawn { 'L' } else { 'M' };
        // A lone point is a dot: its line has round ends.
        let _ = write!(line, "{step}{x:.1} {y:.1}{}", if drawn { "" } else { "h0" });
        drawn = true;
    }
    html! {
        svg.spark viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true" focusable="false" {
            path.line d=(line) vector-effect="non-scaling-stroke" {}
        }
    }
}

/// Parts of a whole beside each other, each with its class and share.
pub(super) fn bar(parts: &[(&str, f64)], caption: &Caption<'_>) -> Markup {
    let id = &caption.id;
    let mut x = 0.0;
    let mut placed = Vec::new();
    for (class, share) in parts {
        let wide = (share * WIDE).max(0.0);
        // What is there at all is seen.
        let shown = if wide > 0.0 { wide.max(3.0) } else { 0.0 };
        placed.push((class, x, shown));
        x += wide;
    }
    html! {
        svg.bar viewBox=(format!("0 0 {WIDE} 12")) preserveAspectRatio="none" role="img"
            aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (caption.title) }
            desc id={ (id) "-d" } { (caption.description) }
            @for (class, x, wide) in placed {
                rect class=(class) x=(format!("{x:.1}")) width=(format!("{wide:.1}")) height="12" {}
            }
        }
    }
}
