//! The report: text, JSON, and the page in a real Chromium.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::browser::{Browser, ENTER, SPACE};
use crate::support::home::{Home, text};
use crate::support::past::Past;
use crate::support::programs;

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'&amp;";
const TURNING: &str = "shop\u{202e}gpj.exe";

/// The disk of the test may be as full as it is.
const QUIET: &str = "[check]\nfree = 0\ndays_until_full = 0\n";

fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A storage of `number` backups of three databases, one every 8 hours of each,
/// and one failed run.
fn grown(number: i64, tables: u64) -> Home {
    let home = Home::keyless().configure(QUIET);
    let storage = home.storage();
    let past = Past {
        storage: &storage,
        now: Timestamp::now(),
        tables,
    };
    for index in 0..number {
        let name = ["shop", "wiki", "tickets"][index as usize % 3];
        past.backup(name, 8 * (index / 3), |_| {});
    }
    let failed = past.now - SignedDuration::from_hours(100);
    let file = format!(
        "shop_backup_{}.sql.gz.enc",
        failed.strftime("%Y-%m-%dT%H-%M-%S")
    );
    past.run("backup db", failed, Some(&file), 900, Some("no space left"));
    home
}

fn page_of(home: &Home) -> PathBuf {
    let page = home.path("report.html");
    home.run(&["report", "--html", text(&page)]);
    page
}

/// A browser with the page, or nothing where there is none.
fn browser() -> Option<Browser> {
    programs::are_here(&["chromium", "chromedriver"]).then(Browser::start)
}

fn rows(browser: &Browser, grid: &str, column: usize) -> Vec<String> {
    browser.texts(&format!("[data-grid={grid}] tbody td:nth-child({column})"))
}

fn status(browser: &Browser, grid: &str) -> String {
    browser
        .texts(&format!("[data-grid={grid}] [role=status]"))
        .concat()
}

/// Nothing wrong on the console, nothing asked for but the page itself.
fn assert_calm(browser: &Browser, page: &Path) {
    let told = browser.console();
    assert!(told.is_empty(), "{told:#?}");
    let page = format!("file://{}", page.display());
    let others: Vec<String> = browser
        .requested()
        .into_iter()
        .filter(|url| *url != page)
        .collect();
    // An empty icon stands in the page itself.
    let others: Vec<&String> = others
        .iter()
        .filter(|url| !url.starts_with("data:"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn the_text_says_first_whether_all_is_well() {
    let home = grown(60, 3);
    let output = home.run(&["report"]);
    let told = said(&output.stdout);
    assert!(told.starts_with("Healthy. 60 backups of 3 names"), "{told}");
    assert!(told.contains("no space left"), "{told}");
    assert!(told.contains("public.table_00"), "{told}");
    let without_place = told.replace(text(&home.storage()), "");
    for line in without_place.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_json_holds_backups_runs_findings_sizes_and_tables() {
    let home = grown(200, 12);
    let report = home.json(&["report"]);
    assert_eq!(report["healthy"], true);
    assert_eq!(report["backups"].as_array().unwrap().len(), 200);
    assert_eq!(report["runs"].as_array().unwrap().len(), 201);
    assert_eq!(
        (&report["records"], &report["totals"]["failed"]),
        (&json!(201), &json!(1))
    );
    let names = report["names"].as_array().unwrap();
    let shop = names.iter().find(|name| name["name"] == "shop").unwrap();
    let points = |key: &str| shop[key].as_array().unwrap().len();
    assert_eq!((points("sizes"), points("runs")), (60, 60));
    // The run that failed left no backup, and is told all the same.
    let results = shop["runs"].as_array().unwrap().iter();
    assert_eq!(results.filter(|run| run["result"] == "failed").count(), 1);
    let tables = &shop["tables"];
    assert_eq!(tables["tables"], 12);
    assert_eq!(tables["largest"].as_array().unwrap().len(), 10);
    assert_eq!(tables["largest"][0]["table"], "public.table_00");
    assert_eq!(tables["largest"][0]["rows"].as_array().unwrap().len(), 30);
    let checks = report["findings"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|it| it["check"] == "age" && it["subject"] == "shop")
    );
}

#[test]
fn the_file_is_replaced_whole_and_keeps_its_mode() {
    let home = grown(3, 1);
    let page = page_of(&home);
    let mode = || fs::metadata(&page).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o644);
    fs::set_permissions(&page, fs::Permissions::from_mode(0o640)).unwrap();
    let old = fs::File::open(&page).unwrap();
    let told = said(&home.run(&["report", "--html", text(&page)]).stdout);
    assert!(told.contains("written to"), "{told}");
    assert_eq!(mode(), 0o640);
    // Who had it open has the old one.
    assert_eq!(
        std::os::unix::fs::MetadataExt::nlink(&old.metadata().unwrap()),
        0
    );
    let same = said(&home.run(&["report", "--html", "-"]).stdout);
    assert!(same.starts_with("<!DOCTYPE html>") && same.trim_end().ends_with("</html>"));
    let refused = home.ends(2, &["report", "--html", "-", "--json"]);
    assert!(said(&refused.stdout).contains("both want stdout"));
    home.ends(
        2,
        &["report", "--html", text(&home.path("nowhere/report.html"))],
    );
}

#[test]
fn a_storage_without_backups_has_a_page_too() {
    let home = Home::keyless().configure(QUIET);
    fs::create_dir(home.storage()).unwrap();
    let told = said(&home.run(&["report"]).stdout);
    assert!(told.starts_with("NOT HEALTHY: 1 critical"), "{told}");
    let page = page_of(&home);
    let Some(browser) = browser() else { return };
    browser.open(&page);
    assert!(
        browser
            .texts("h1")
            .concat()
            .starts_with("Something is wrong")
    );
    assert_calm(&browser, &page);
}

#[test]
fn ten_thousand_backups_are_sorted_filtered_and_paged_by_mouse_and_keyboard() {
    let home = grown(10_000, 5);
    let page = page_of(&home);
    let bytes = fs::metadata(&page).unwrap().len();
    assert!(bytes < 4 << 20, "{bytes}");
    let Some(browser) = browser() else { return };
    browser.open(&page);
    assert_eq!(status(&browser, "backups"), "1–50 of 10,000 backups");
    assert_eq!(rows(&browser, "backups", 1).len(), 50);
    sorts_by_click_and_key(&browser);
    filters(&browser);
    pages(&browser);
    assert_calm(&browser, &page);
}

fn sorts_by_click_and_key(browser: &Browser) {
    let sort = |column: usize| format!("[data-grid=backups] th:nth-child({column}) button");
    let sorted = || {
        browser
            .texts("[data-grid=backups] th[aria-sort=ascending]")
            .concat()
    };
    let newest = rows(browser, "backups", 1);
    let mut turned = newest.clone();
    turned.sort_by(|a, b| b.cmp(a));
    assert_eq!(newest, turned, "the newest first");
    browser.click(&sort(3));
    assert_eq!(rows(browser, "backups", 3), vec!["shop"; 50]);
    assert_eq!(sorted(), "Name");
    // The focus stays on the button: a key turns the order round.
    browser.press(ENTER);
    assert_eq!(rows(browser, "backups", 3), vec!["wiki"; 50]);
    assert_eq!(sorted(), "");
    browser.click(&sort(4));
    let largest = rows(browser, "backups", 4);
    browser.press(SPACE);
    let least = rows(browser, "backups", 4);
    let mib = |text: &String| text.strip_suffix(" MiB").unwrap().parse::<f64>().unwrap();
    assert!(
        largest
            .windows(2)
            .all(|pair| mib(&pair[0]) >= mib(&pair[1])),
        "{largest:?}"
    );
    assert!(
        least.windows(2).all(|pair| mib(&pair[0]) <= mib(&pair[1])),
        "{least:?}"
    );
    assert!(mib(&least[0]) < mib(&largest[0]));
    browser.click(&sort(1));
    assert_eq!(rows(browser, "backups", 1), newest);
}

fn filters(browser: &Browser) {
    browser.type_into("#backups-search", "WIKI restored");
    assert_eq!(rows(browser, "backups", 3), ["wiki"; 3]);
    assert_eq!(status(browser, "backups"), "3 backups of 10,000");
    browser.eval(
        "const it = document.querySelector('#backups-search'); it.value = ''; \
                  it.dispatchEvent(new Event('input'))",
    );
    let choice = browser.text(
        "const it = [...document.querySelectorAll('[data-grid=backups] select')]
            .find(it => it.labels[0].textContent === 'Proof');
         it.value = 'verified'; it.dispatchEvent(new Event('change')); return it.id",
    );
    assert_eq!(rows(browser, "backups", 6), ["verified"; 9]);
    browser.eval(&format!(
        "const it = document.getElementById({choice:?}); it.value = ''; it.dispatchEvent(new Event('change'))"
    ));
    assert_eq!(status(browser, "backups"), "1–50 of 10,000 backups");
    browser.type_into("#runs-search", "no space");
    assert_eq!(rows(browser, "runs", 3), ["failed"]);
}

fn pages(browser: &Browser) {
    let button = |label: &str| format!("[data-grid=backups] [aria-label={label:?}]");
    let first = rows(browser, "backups", 9);
    browser.click(&button("Next page"));
    assert_eq!(status(browser, "backups"), "51–100 of 10,000 backups");
    let second = rows(browser, "backups", 9);
    assert!(first.iter().all(|file| !second.contains(file)));
    browser.press(ENTER);
    assert_eq!(status(browser, "backups"), "101–150 of 10,000 backups");
    browser.click(&button("Last page"));
    assert_eq!(status(browser, "backups"), "9,951–10,000 of 10,000 backups");
    // It is switched off now, and keeps the focus.
    browser.press(ENTER);
    assert_eq!(status(browser, "backups"), "9,951–10,000 of 10,000 backups");
    browser.click(&button("Next page"));
    assert_eq!(status(browser, "backups"), "9,951–10,000 of 10,000 backups");
    let focus = browser.text("return document.activeElement.getAttribute('aria-label')");
    assert_eq!(focus, "Next page");
    browser.click(&button("First page"));
    assert_eq!(rows(browser, "backups", 9), first);
}

#[test]
fn without_its_script_the_newest_hundred_stand_there_as_the_script_writes_them() {
    let home = grown(150, 2);
    let page = page_of(&home);
    let Some(browser) = browser() else { return };
    browser.open(&page);
    let scripted = browser.texts("[data-grid] tbody tr:nth-child(-n+50) td");
    browser.devtools(
        "Emulation.setScriptExecutionDisabled",
        json!({"value": true}),
    );
    browser.open(&page);
    // A command of the driver runs all the same.
    assert_eq!(
        browser.texts("[data-grid] tbody tr:nth-child(-n+50) td"),
        scripted
    );
    assert_eq!(rows(&browser, "backups", 1).len(), 100);
    assert!(
        browser
            .texts("noscript")
            .concat()
            .contains("The newest 100 of 150 backups")
    );
    assert!(browser.texts("button, input").is_empty(), "dead controls");
}

#[test]
fn hostile_names_notes_and_errors_are_text() {
    let home = Home::keyless().configure(QUIET);
    let storage = home.storage();
    let past = Past {
        storage: &storage,
        now: Timestamp::now(),
        tables: 0,
    };
    for (index, name) in [HOSTILE, TURNING].iter().enumerate() {
        past.backup(name, 30 * index as i64, |document| {
            let manifest = &mut document["manifest"];
            manifest["note"] = json!(HOSTILE);
            let table = |name: &str| {
                json!({"schema": "public", "name": name, "rows": 5, "bytes": 5, "hash": "0".repeat(32)})
            };
            manifest["database"]["tables"] = Value::from(vec![table(HOSTILE), table("<b>")]);
        });
    }
    past.run("backup db", past.now, None, 5, Some(HOSTILE));
    let page = page_of(&home);
    assert!(!fs::read_to_string(&page).unwrap().contains('\u{202e}'));
    let Some(browser) = browser() else { return };
    browser.open(&page);
    for place in [
        "h3 bdi",
        "summary bdi",
        "#tables tbody th",
        "[data-grid=runs] td:last-child",
        "#health bdi",
    ] {
        let found = browser.texts(place);
        assert!(
            found.iter().any(|text| text.contains(HOSTILE)),
            "{place}: {found:?}"
        );
    }
    assert!(rows(&browser, "backups", 3).contains(&HOSTILE.to_owned()));
    assert!(rows(&browser, "backups", 10).contains(&HOSTILE.to_owned()));
    assert!(rows(&browser, "backups", 3).contains(&"shop\\u{202e}gpj.exe".to_owned()));
    assert_eq!(browser.eval("return document.images.length"), 0);
    assert_eq!(
        browser.eval("return document.scripts.length"),
        3,
        "two tables' data, and the script"
    );
    assert_calm(&browser, &page);
}

#[test]
fn colours_have_contrast_in_light_and_dark_and_a_phone_never_scrolls_sideways() {
    let home = grown(150, 4).configure(&format!("{QUIET}failures = 0\nmax_age = \"1h\"\n"));
    let storage = home.storage();
    let past = Past {
        storage: &storage,
        now: Timestamp::now(),
        tables: 2,
    };
    past.backup(&"a-name-as-long-as-postgres-has-them".repeat(2), 50, |document| {
        document["state"]["verification"] =
            json!({"level": "stored", "at": "2026-01-01T00:00:00Z", "ok": false, "detail": "x"});
    });
    let page = page_of(&home);
    let Some(browser) = browser() else { return };
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for (wide, high) in [(1280, 900), (360, 740)] {
            browser.resize(wide, high, wide < 500);
            browser.open(&page);
            let content = browser.eval("return document.documentElement.scrollWidth");
            assert!(
                content.as_u64().unwrap() <= u64::from(wide),
                "{content} of {wide}"
            );
            let faint = browser.eval(&format!("{CONTRAST} return faint()"));
            assert_eq!(faint, json!([]), "{scheme} at {wide}");
        }
        grounds.push(browser.text("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
    assert_calm(&browser, &page);
}

/// Texts whose contrast is below what WCAG 2.2 asks for at level AA.
const CONTRAST: &str = "
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const faint = () => [...document.querySelectorAll('body *:not(script):not(svg *)')]
        .filter(it => it.checkVisibility() && !it.closest('.hidden, noscript'))
        .filter(it => [...it.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
        .map(it => {
            const [a, b] = [luminance(parse(getComputedStyle(it).color)), luminance(ground(it))];
            return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), it];
        })
        .filter(([ratio]) => ratio < 4.5)
        .map(([ratio, it]) => `${ratio.toFixed(2)} ${it.tagName}.${it.className}: ${it.textContent}`);
";

#[test]
fn a_screen_reader_finds_landmarks_captions_headings_and_named_charts() {
    let home = grown(30, 3);
    let page = page_of(&home);
    let Some(browser) = browser() else { return };
    browser.open(&page);
    let faults = browser.eval(
        "const all = (s) => [...document.querySelectorAll(s)];
         const bad = [];
         for (const s of ['header', 'main', 'footer', 'nav[aria-label]', 'h1', 'html[lang]'])
             if (all(s).length === 0) bad.push('no ' + s);
         if (all('h1').length !== 1) bad.push('one h1');
         for (const it of all('table')) {
             if (!it.caption?.textContent) bad.push('a table without caption');
             for (const th of it.querySelectorAll('th')) if (!th.scope) bad.push('th without scope');
         }
         for (const it of all('svg[role=img]'))
             for (const id of it.getAttribute('aria-labelledby').split(' '))
                 if (!document.getElementById(id)?.textContent) bad.push('a chart without name: ' + id);
         for (const it of all('svg:not([role])'))
             if (it.getAttribute('aria-hidden') !== 'true') bad.push('an svg that is neither');
         for (const it of all('input, select')) if (!it.labels.length) bad.push('a field without label');
         const ids = all('[id]').map(it => it.id);
         if (new Set(ids).size !== ids.length) bad.push('an id twice');
         for (const it of all('a[href^=\"#\"]'))
             if (!document.querySelector(it.getAttribute('href'))) bad.push('a link to nothing');
         return bad",
    );
    assert_eq!(faults, json!([]));
    let charts = browser.eval("return document.querySelectorAll('.card svg[role=img]').length");
    assert_eq!(charts, 6, "sizes and durations of three names");
    let broken = browser.eval("return document.querySelectorAll('.broken').length");
    assert_eq!(broken, 1, "the failed run");
    assert_calm(&browser, &page);
}
