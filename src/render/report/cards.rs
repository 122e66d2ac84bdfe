//! What stands on the page for each name: how it is, how its size and its runs'
//! durations went, how its tables grow.

use maud::{Markup, html};

use super::chart::{Caption, Point, area, spark, stems};
use super::grid::badge;
use super::text::percent_text;
use super::{NameReport, TablesReport};
use crate::render::View;
use crate::render::history::millis;
use crate::render::list::kind_word;
use crate::render::style::line;
use crate::render::units::{age, count, counted, size, when};

/// One name. `id` is unique in the page.
pub(super) fn card(name: &NameReport, id: &str, view: &View) -> Markup {
    let last = name.last_duration_ms().map(millis);
    html! {
        article.card aria-labelledby=(id) {
            header {
                h3 id=(id) { bdi { (line(&name.title)) } " " span.kind { (kind_word(name.kind)) } }
                (badge(name.proof.word()))
            }
            p.facts {
                "Newest " (age(name.newest, view.now))
                @if let Some(at) = name.proven_at { ", last proof " (age(at, view.now)) }
                ", " (counted(name.backups, "backup", "backups")) ", " (size(name.stored_bytes))
                @if let Some(last) = last { ", took " (last) }
            }
            div.figures {
                (sizes(name, id, view))
                (durations(name, id, view))
            }
        }
    }
}

fn sizes(name: &NameReport, id: &str, view: &View) -> Markup {
    let point = |it: &super::SizePoint| Point {
        at: it.at,
        value: Some(it.stored_bytes as f64),
        label: format!(
            "{}: {} of {}",
            when(it.at, view),
            size(it.stored_bytes),
            size(it.raw_bytes)
        ),
    };
    let points: Vec<Point> = name.sizes.iter().map(point).collect();
    let stored = || name.sizes.iter().map(|it| it.stored_bytes);
    let (Some(least), Some(most)) = (stored().min(), stored().max()) else {
        return html! {};
    };
    let newest = name.sizes.last().map_or(0, |it| it.stored_bytes);
    let number = counted(points.len() as u64, "backup", "backups");
    let description = format!(
        "{number}{}: at least {}, at most {}, the newest {}",
        span(&points, view),
        size(least),
        size(most),
        size(newest)
    );
    let caption = Caption {
        id: format!("{id}-size"),
        title: "Stored size of each backup",
        description,
    };
    figure(
        "Stored size",
        &size(most),
        &points,
        &area(&points, &caption),
        view,
    )
}

fn durations(name: &NameReport, id: &str, view: &View) -> Markup {
    let point = |it: &super::RunPoint| {
        let done = it
            .duration_ms
            .filter(|_| ["completed", "incomplete"].contains(&it.result));
        let told = done.map_or_else(|| it.result.to_owned(), millis);
        Point {
            at: it.at,
            value: done.map(|ms| ms as f64),
            label: format!("{}: {told}", when(it.at, view)),
        }
    };
    // One that is under way has not failed.
    let ended = name.runs.iter().filter(|it| it.result != "running");
    let points: Vec<Point> = ended.clone().map(point).collect();
    if points.is_empty() {
        return html! {};
    }
    let times = || {
        ended
            .clone()
            .filter(|it| ["completed", "incomplete"].contains(&it.result))
            .filter_map(|it| it.duration_ms)
    };
    let most = times().max().unwrap_or(0);
    let failed = points.iter().filter(|it| it.value.is_none()).count() as u64;
    let number = counted(points.len() as u64, "run", "runs");
    let description = format!(
        "{number}{}: the longest took {}, {failed} failed or broke off",
        span(&points, view),
        millis(most)
    );
    let caption = Caption {
        id: format!("{id}-time"),
        title: "How long each run took",
        description,
    };
    let most = match failed {
        0 => millis(most),
        failed => format!("{}, {failed} failed", millis(most)),
    };
    figure("Duration", &most, &points, &stems(&points, &caption), view)
}

fn span(points: &[Point], view: &View) -> String {
    match (points.first(), points.last()) {
        (Some(first), Some(last)) if first.at != last.at => {
            format!(" from {} to {}", when(first.at, view), when(last.at, view))
        }
        (Some(first), _) => format!(" at {}", when(first.at, view)),
        _ => String::new(),
    }
}

fn figure(title: &str, most: &str, points: &[Point], chart: &Markup, view: &View) -> Markup {
    let day = |point: Option<&Point>| {
        let text = point.map(|point| when(point.at, view)).unwrap_or_default();
        text.chars().take(10).collect::<String>()
    };
    let (first, last) = (day(points.first()), day(points.last()));
    html! {
        figure {
            figcaption { (title) " " span.most { "up to " (most) } }
            (chart)
            p.axis aria-hidden="true" {
                span { (first) }
                @if first != last { span { (last) } }
            }
        }
    }
}

/// The tables of one database.
pub(super) fn tables(name: &str, report: &TablesReport, is_open: bool, view: &View) -> Markup {
    let since = report
        .at
        .first()
        .map(|at| when(*at, view))
        .unwrap_or_default();
    let shown = report.largest.len() as u64;
    html! {
        details open[is_open] {
            summary {
                strong { bdi { (line(name)) } } " "
                span.dim {
                    (counted(report.tables, "table", "tables")) ", "
                    (counted(report.rows, "row", "rows"))
                }
            }
            table role="table" {
                caption.hidden { "Rows of the " (shown) " largest tables of " (line(name)) }
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "Table" }
                        th.number role="columnheader" scope="col" { "Rows" }
                        th.number role="columnheader" scope="col" { "Change" }
                        th.trend role="columnheader" scope="col" { "Since " (since) }
                    }
                }
                tbody role="rowgroup" {
                    @for table in &report.largest {
                        @let (now, then) = table.now_and_then();
                        tr role="row" {
                            th.text role="rowheader" scope="row" data-label="Table" { (line(&table.table)) }
                            td.number role="cell" data-label="Rows" {
                                @match now { Some(rows) => (count(rows)), None => "gone" }
                            }
                            td.number role="cell" data-label="Change" {
                                (table.change_percent().map(percent_text).unwrap_or_default())
                            }
                            td.trend role="cell" data-label="Trend" {
                                (spark(&table.rows))
                                span.hidden { "from " (count(then.unwrap_or(0))) }
                            }
                        }
                    }
                }
            }
        }
    }
}
