//! The page for a browser: one file, no network, readable without its script.
//! Text from outside is escaped by the templates, and tamed before that, so that
//! a name can neither become markup nor turn the reading direction.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::cards::{card, tables};
use super::chart::{Caption, bar};
use super::grid::badge;
use super::listings::{backups, names_grid, runs};
use super::text::of_what;
use super::{NameReport, ReportPage};
use crate::health::{Finding, Level, Uncounted};
use crate::render::View;
use crate::render::list::Proof;
use crate::render::status::{proofs_line, uncounted_line};
use crate::render::style::line;
use crate::render::units::{age, count, counted, size, when};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Names that have charts; the others stand in a table.
const CARDS: usize = 12;
/// Databases whose tables are followed.
const DATABASES: usize = 24;

/// The whole page. It holds no secret, and tells names, hosts and errors.
pub fn html(page: &ReportPage, view: &View) -> String {
    let level = page.level();
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="robots" content="noindex";
                // Else a browser asks the server for one.
                link rel="icon" href="data:,";
                title { (level_title(level)) " – kluis – " (line(&page.storage)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#health" { "To the findings" }
                (masthead(page, view))
                main {
                    (health(&page.findings))
                    (names(page, view))
                    (storage(page))
                    (growth(&page.names, view))
                    (backups(page, view))
                    (runs(page, view))
                }
                footer {
                    p { "kluis " (page.tool_version) ". Times are those of " (zone(view)) "." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    document.into_string()
}

/// Only this style and this script, and nothing from anywhere.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

fn zone(view: &View) -> String {
    let name = view.zone.iana_name();
    name.map_or_else(|| "this host".to_owned(), |name| line(name).into_owned())
}

fn level_title(level: Level) -> &'static str {
    match level {
        Level::Ok => "All is well",
        Level::Warning => "Not all is well",
        Level::Critical => "Something is wrong",
    }
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Critical => "critical",
    }
}

fn masthead(page: &ReportPage, view: &View) -> Markup {
    let level = page.level();
    let wrong = page
        .findings
        .iter()
        .filter(|it| it.level > Level::Ok)
        .count() as u64;
    html! {
        header.masthead {
            p.brand {
                strong { "kluis" } " " span.place { bdi { (line(&page.storage)) } }
                time datetime=(page.made_at.to_string()) { (when(page.made_at, view)) }
            }
            h1 class={ "verdict " (level_word(level)) } {
                (level_title(level))
                @if wrong > 0 { span.number-of { (counted(wrong, "finding", "findings")) } }
            }
            p.lead { (of_what(page)) " " (newest(page, view)) " " (proofs_line(&page.proofs)) "." }
            @if page.uncounted != Uncounted::default() { p.lead { (uncounted_line(page.uncounted)) } }
            (tiles(page, view))
            nav aria-label="Sections" {
                a href="#health" { "Health" }
                a href="#names" { "Names" }
                a href="#storage" { "Storage" }
                @if page.names.iter().any(|name| name.tables.is_some()) {
                    a href="#tables" { "Tables" }
                }
                a href="#backups" { "Backups" }
                a href="#runs" { "Runs" }
            }
        }
    }
}

fn newest(page: &ReportPage, view: &View) -> String {
    let newest = page.names.iter().map(|name| name.newest).max();
    newest.map_or_else(String::new, |at| {
        format!("The newest is from {}.", age(at, view.now))
    })
}

fn tiles(page: &ReportPage, view: &View) -> Markup {
    let names = page.names.len();
    let proven = |name: &&NameReport| matches!(name.proof, Proof::Verified | Proof::Restored);
    let proven = page.names.iter().filter(proven).count();
    let proof = page.names.iter().filter_map(|name| name.proven_at).max();
    let room = &page.storage_use;
    let totals = &page.totals;
    html! {
        dl.tiles {
            div {
                dt { "Newest proven" }
                dd { (proven) " of " (names) }
                dd.dim {
                    @match proof { Some(at) => { "last proof " (age(at, view.now)) }, None => "no proof yet" }
                }
            }
            div {
                dt { "Backups" }
                dd { (count(page.backups.len() as u64)) }
                dd.dim { (size(room.stored_bytes)) " stored" }
            }
            div {
                dt { "Free" }
                dd { (room.free_bytes.map_or_else(|| "unknown".to_owned(), size)) }
                dd.dim {
                    @if let Some(days) = room.days_until_full { "full in " (counted(days as u64, "day", "days")) }
                    @else { "not filling up" }
                }
            }
            div {
                dt { "Runs that ended well" }
                dd {
                    @match totals.success_percent {
                        Some(percent) => { (format!("{percent:.1}%")) }
                        None => "none yet"
                    }
                }
                dd.dim { (counted(totals.failed + totals.interrupted, "failure", "failures")) " of " (count(totals.counted())) }
            }
        }
    }
}

fn health(findings: &[Finding]) -> Markup {
    let (fine, wrong): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|it| it.level == Level::Ok);
    let item = |finding: &Finding| {
        html! {
            li class=(level_word(finding.level)) {
                (badge(level_word(finding.level)))
                div {
                    p { strong { bdi { (line(&finding.subject)) } } ": " (line(&finding.text)) }
                    @if !finding.remedy.is_empty() { p.dim { (line(&finding.remedy)) } }
                }
            }
        }
    };
    html! {
        section #health aria-labelledby="health-title" tabindex="-1" {
            h2 #health-title { "Health" }
            @if !wrong.is_empty() {
                ul.findings { @for finding in &wrong { (item(finding)) } }
            }
            details {
                summary { (counted(fine.len() as u64, "check is fine", "checks are fine")) }
                ul.findings { @for finding in &fine { (item(finding)) } }
            }
        }
    }
}

/// Those with findings first, then as they come.
fn in_order(page: &ReportPage) -> Vec<&NameReport> {
    let level = |name: &NameReport| {
        let own = page.findings.iter().filter(|it| it.subject == name.title);
        own.map(|it| it.level).max().unwrap_or(Level::Ok)
    };
    let mut levelled: Vec<(Level, &NameReport)> =
        page.names.iter().map(|name| (level(name), name)).collect();
    levelled.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    levelled.into_iter().map(|(_, name)| name).collect()
}

fn names(page: &ReportPage, view: &View) -> Markup {
    let many = page.names.len() > CARDS;
    html! {
        section #names aria-labelledby="names-title" {
            h2 #names-title { "Names" }
            @if page.names.is_empty() { p.dim { "No backups yet; kluis backup makes the first one." } }
            div.cards {
                @for (index, name) in in_order(page).into_iter().take(CARDS).enumerate() {
                    (card(name, &format!("name-{index}"), view))
                }
            }
            @if many { (names_grid(&page.names, view).markup()) }
        }
    }
}

fn storage(page: &ReportPage) -> Markup {
    let room = &page.storage_use;
    let (Some(free), Some(total)) = (room.free_bytes, room.total_bytes) else {
        return html! {
            section #storage aria-labelledby="storage-title" {
                h2 #storage-title { "Storage" }
                p { (size(room.stored_bytes)) " of backups. Its size is not known." }
            }
        };
    };
    let own = room.stored_bytes.min(total.saturating_sub(free));
    let other = total.saturating_sub(free).saturating_sub(own);
    let share = |bytes: u64| bytes as f64 / total.max(1) as f64;
    let legend = [
        ("own", "Backups", own),
        ("other", "Everything else", other),
        ("free", "Free", free),
    ];
    let parts = legend.map(|(class, _, bytes)| (class, share(bytes)));
    let told = legend
        .map(|(_, word, bytes)| format!("{word} {}", size(bytes)))
        .join(", ");
    let caption = Caption {
        id: "storage-bar".to_owned(),
        title: "What the disk holds",
        description: format!("{told}, of {}", size(total)),
    };
    html! {
        section #storage aria-labelledby="storage-title" {
            h2 #storage-title { "Storage" }
            (bar(&parts, &caption))
            ul.legend {
                @for (class, word, bytes) in legend {
                    li { span class={ "swatch " (class) } {} (word) " " strong { (size(bytes)) } " "
                        span.dim { (format!("{:.1}%", share(bytes) * 100.0)) } }
                }
            }
            @if let Some(days) = room.days_until_full {
                p.dim { "At the rate of the last 30 days it is full in " (counted(days as u64, "day", "days")) "." }
            }
        }
    }
}

fn growth(names: &[NameReport], view: &View) -> Markup {
    let with: Vec<_> = names
        .iter()
        .filter_map(|name| Some((&name.title, name.tables.as_ref()?)))
        .collect();
    if with.is_empty() {
        return html! {};
    }
    let left = with.len().saturating_sub(DATABASES) as u64;
    html! {
        section #tables aria-labelledby="tables-title" {
            h2 #tables-title { "Tables" }
            p.dim { "Rows of the largest tables, as the dumps had them." }
            @for (index, (name, report)) in with.iter().take(DATABASES).enumerate() {
                (tables(name, report, index < 2, view))
            }
            @if left > 0 {
                p.dim { "And " (counted(left, "database", "databases")) " more: kluis report --json has them." }
            }
        }
    }
}
