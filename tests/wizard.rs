//! `kluis restore` on a terminal, where nothing is said: what it shows, what it
//! offers, and what it makes of answers.

use std::fs;

use crate::support::home::Home;
use crate::support::programs;
use crate::support::terminal::typed;

/// Two trees, each backed up twice; the newest of `app` is damaged.
fn home() -> Option<Home> {
    if !programs::are_here(&["script"]) {
        return None;
    }
    let home = Home::keyless();
    for name in ["web", "app"] {
        fs::create_dir(home.path(name)).unwrap();
        for content in ["old", "new"] {
            fs::write(home.path(name).join("file"), content).unwrap();
            home.run(&["backup", "source", name, "--no-encrypt"]);
        }
    }
    let list = home.json(&["list", "--name", "app"]);
    let newest = list["backups"][0]["file"].as_str().unwrap();
    fs::write(home.storage().join(newest), "short").unwrap();
    Some(home)
}

fn restored(home: &Home, to: &str) -> String {
    fs::read_to_string(home.path(to).join("file")).unwrap()
}

#[test]
fn the_list_is_by_series_with_ids_and_the_latest_good_one_is_offered() {
    let Some(home) = home() else { return };
    let (code, said) = typed(&home, &["restore"], "\n\n");
    assert_eq!(code, 0, "{said}");
    let rows = home.json(&["list"]);
    let rows = rows["backups"].as_array().unwrap();
    for row in rows {
        assert!(said.contains(&row["id"].as_str().unwrap()[..8]), "{said}");
    }
    // As `latest`: of the newest series, and not the damaged one.
    let at = |text: &str| {
        said.find(text)
            .unwrap_or_else(|| panic!("no {text:?}: {said}"))
    };
    assert!(at("source app") < at("DAMAGED") && at("DAMAGED") < at("source web"));
    assert!(said.contains("to leave [2]: "), "{said}");
    assert!(said.contains("plain"), "{said}");
    assert_eq!(restored(&home, "app_restored"), "old");
}

#[test]
fn a_part_of_a_name_finds_and_a_wrong_answer_asks_again() {
    let Some(home) = home() else { return };
    // No such number, no such name, a name, and the older one of that.
    let (code, said) = typed(&home, &["restore"], "99\nnothing\nWE\n2\nout\n");
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("nothing here is called \"nothing\""),
        "{said}"
    );
    assert_eq!(restored(&home, "out"), "old");
    // Of what a name leaves, the latest is offered.
    let (code, said) = typed(&home, &["restore"], "web\n\nnewest\n");
    assert_eq!(
        (code, restored(&home, "newest").as_str()),
        (0, "new"),
        "{said}"
    );
}

#[test]
fn q_leaves_and_changes_nothing() {
    let Some(home) = home() else { return };
    let (code, said) = typed(&home, &["restore"], "q\n");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert!(!home.path("app_restored").exists());
}
