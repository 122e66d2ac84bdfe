use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

/// A manifest as it lies in a storage, with `own` besides.
fn manifest(own: Value) -> Manifest {
    let mut whole = json!({
        "version": 1, "id": "00010203fcfdfeff", "kind": "db", "name": "shop",
        "created_at": "2026-01-18T10:30:00Z", "host": "alpha", "trigger": "MANUAL",
        "tool_version": "0", "stored": {"file": "f", "bytes": 1, "sha256": "00".repeat(32)},
        "content": {"codec": "none", "bytes": 1, "sha256": "00".repeat(32), "raw_bytes": 1},
    });
    let fields = own.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(whole).unwrap()
}

fn database(own: Value, content: Value) -> Manifest {
    let mut database = json!({
        "server_version": "15", "client_version": "15", "mode": "direct", "format": "plain",
        "encoding": "UTF8", "locale": "C", "extensions": {}, "roles": [], "tables": [], "objects": {},
    });
    let fields = content.as_object().unwrap().clone();
    database.as_object_mut().unwrap().extend(fields);
    let mut own = own;
    own["database"] = database;
    manifest(own)
}

fn tree(own: Value, root: &str) -> Manifest {
    let mut tree = serde_json::to_value(crate::format::manifest::TreeContent::default()).unwrap();
    tree["root"] = root.into();
    let mut whole = json!({"kind": "source", "name": "app", "source": tree});
    let fields = own.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    manifest(whole)
}

/// Which of them share a series, as the number of the first.
fn together(manifests: &[Manifest]) -> Vec<usize> {
    moved(&manifests.iter().map(|it| (it, "")).collect::<Vec<_>>())
}

/// The same, where each has been given another label since, if one stands there.
fn moved(manifests: &[(&Manifest, &str)]) -> Vec<usize> {
    let state = |label: &str| State {
        label: (!label.is_empty()).then(|| label.to_owned()),
        ..State::default()
    };
    let states: Vec<State> = manifests.iter().map(|(_, label)| state(label)).collect();
    let all = manifests.iter().map(|(manifest, _)| *manifest);
    let all = series_of(&all.zip(&states).collect::<Vec<_>>());
    let first = |series| all.iter().position(|other| other == series).unwrap();
    all.iter().map(first).collect()
}

#[test]
fn hosts_roots_and_servers_make_series() {
    let all = [
        tree(json!({"label": "alpha"}), "/x/app"),
        tree(json!({"label": "beta"}), "/x/app"),
        tree(json!({"label": "alpha"}), "/y/app"),
        tree(json!({"label": "alpha"}), "/x/app"),
        database(json!({"label": "one:5432"}), json!({})),
        database(json!({"label": "two:5432"}), json!({})),
    ];
    assert_eq!(together(&all), [0, 1, 2, 0, 4, 5]);
}

#[test]
fn a_link_that_leads_elsewhere_with_each_release_is_one_series() {
    let release = |root: &str| {
        let mut release = tree(json!({"label": "alpha", "name": "current"}), root);
        release.source.as_mut().unwrap().given = Some("/srv/current".to_owned());
        release
    };
    assert_eq!(together(&[release("/srv/1"), release("/srv/2")]), [0, 0]);
}

#[test]
fn parts_and_what_was_replaced_are_series_of_their_own() {
    let label = || json!({"label": "one:5432"});
    let with = |option: &str| database(label(), json!({"options": [option]}));
    let all = [
        database(label(), json!({})),
        database(label(), json!({"selection": {"tables": ["small"]}})),
        with("--exclude-table-data=big"),
        with("--schema-only"),
        with("--not-known-yet"),
        with("--no-owner"),
        database(
            json!({"label": "one:5432", "before_restore_of": "f"}),
            json!({}),
        ),
    ];
    assert_eq!(together(&all), [0, 1, 2, 3, 4, 0, 6]);
}

#[test]
fn what_was_made_before_labels_goes_on_in_the_one_series_that_fits() {
    let old = || database(json!({}), json!({}));
    let new = || database(json!({"label": "db.example:5432"}), json!({}));
    let other_machine = database(json!({"host": "beta"}), json!({}));
    assert_eq!(together(&[old(), new(), other_machine]), [0, 0, 2]);
    // Whose of two it is, nobody knows.
    let another = database(json!({"label": "db2.example:5432"}), json!({}));
    assert_eq!(together(&[old(), new(), another, old()]), [0, 1, 2, 0]);
    // A link above the root that nobody knew of.
    let mut given = tree(json!({"label": "web"}), "/data/app");
    given.source.as_mut().unwrap().given = Some("/home/app".to_owned());
    let old_trees = [tree(json!({}), "/data/app"), tree(json!({}), "/else/app")];
    let [same, other] = old_trees;
    assert_eq!(together(&[given, same, other]), [0, 0, 2]);
}

#[test]
fn what_was_moved_belongs_to_its_new_label_and_takes_older_ones_along() {
    let of = |label: &str| tree(json!({"label": label}), "/x/app");
    let (alpha, beta) = (of("alpha"), of("beta"));
    assert_eq!(
        moved(&[(&beta, ""), (&alpha, "beta"), (&alpha, "")]),
        [0, 0, 2]
    );
    let old = tree(json!({}), "/x/app");
    assert_eq!(moved(&[(&alpha, "beta"), (&old, "")]), [0, 0]);
    // It says itself now where it belongs.
    assert_eq!(moved(&[(&old, "beta"), (&alpha, "")]), [0, 1]);
}

#[test]
fn a_renamed_host_takes_along_the_servers_that_it_calls_so() {
    let renamed = |label| renamed(label, "alpha", "beta");
    for (label, expected) in [
        ("alpha", Some("beta")),
        ("alpha:5432", Some("beta:5432")),
        ("alpha:5432,5433", Some("beta:5432,5433")),
        ("db:5432@alpha", Some("db:5432@beta")),
        ("service shop@alpha", Some("service shop@beta")),
        ("alpha2", None),
        ("alpha:x", None),
        ("alpha:", None),
        ("db:5432@not-alpha", None),
        ("", None),
    ] {
        assert_eq!(renamed(label).as_deref(), expected, "{label}");
    }
}

#[test]
fn a_container_made_anew_stays_one_series() {
    let in_container = |host: &str| tree(json!({"host": host}), "/app");
    let all = [in_container("3f2a9bc01d77"), in_container("77d10cb9a2f3")];
    assert_eq!(together(&all), [0, 0]);
    assert_eq!(host_label("3f2a9bc01d77", true), "container");
    assert_eq!(host_label("3f2a9bc01d77", false), "3f2a9bc01d77");
    assert_eq!(host_label("web", true), "web");
}

#[test]
fn a_server_that_only_this_host_calls_so_has_the_hosts_label_too() {
    let label = |hosts, ports| server_label(&Place::Hosts { hosts, ports }, "alpha");
    for (hosts, expected) in [
        (None, "alpha:5432"),
        (Some("localhost"), "alpha:5432"),
        (Some("/run/postgresql"), "alpha:5432"),
        (Some("127.0.0.1"), "alpha:5432"),
        (Some("::1"), "alpha:5432"),
        (Some("db"), "db:5432@alpha"),
        (Some("192.168.0.7"), "192.168.0.7:5432@alpha"),
        (
            Some("host.docker.internal"),
            "host.docker.internal:5432@alpha",
        ),
        (Some("db.example.org"), "db.example.org:5432"),
        (Some("9.9.9.9"), "9.9.9.9:5432"),
        (Some("a.example.org,b"), "a.example.org,b:5432@alpha"),
    ] {
        assert_eq!(label(hosts, "5432"), expected);
    }
    let container = Place::Container("kanbu-*");
    assert_eq!(server_label(&container, "alpha"), "kanbu-*@alpha");
}

fn named<'a>(text: &str, all: &'a [Series]) -> Reference<'a> {
    Reference::find(text, &all.iter().collect::<BTreeSet<_>>())
}

#[test]
fn a_name_that_fits_two_series_is_ambiguous_and_a_longer_one_takes_one() {
    let all: Vec<Series> = [
        tree(json!({"label": "alpha"}), "/x/app"),
        tree(json!({"label": "beta"}), "/x/app"),
        tree(json!({"label": "alpha"}), "/y/app"),
        database(json!({"label": "one", "name": "db"}), json!({})),
        database(json!({"label": "one", "name": "shop"}), json!({})),
        database(
            json!({"label": "one"}),
            json!({"selection": {"tables": ["t"]}}),
        ),
        database(
            json!({"label": "one", "name": "part"}),
            json!({"options": ["--no-data"]}),
        ),
    ]
    .iter()
    .map(Series::as_made)
    .collect();
    for text in ["app", "/x/app", "alpha/app", "db"] {
        let found = named(text, &all);
        assert!(
            matches!(found, Reference::Ambiguous(_)),
            "{text}: {found:?}"
        );
    }
    for (text, number) in [
        ("beta/app", 1),
        ("/y/app", 2),
        ("alpha:/x/app", 0),
        ("source/beta/app", 1),
        ("db/db", 3),
        ("one/db", 3),
        ("shop", 4),
        ("part/shop", 5),
        ("part", 6),
    ] {
        assert_eq!(
            named(text, &all),
            Reference::Series(vec![&all[number]]),
            "{text}"
        );
    }
    assert_eq!(named("source", &all), Reference::Kind(Kind::Source));
    // Who names a database so hides no other: all are told.
    let databases = vec![&all[3], &all[4]];
    assert_eq!(named("db", &all), Reference::Ambiguous(databases));
    assert_eq!(named("sho", &all), Reference::Nothing);
    let titles = titles(&all);
    let short: Vec<&str> = all.iter().map(|it| &*titles[it]).collect();
    let expected = [
        "alpha:/x/app",
        "beta/app",
        "/y/app",
        "one/db",
        "shop",
        "part/shop",
        "part/part",
    ];
    assert_eq!(short, expected);
}

/// Nobody knows whether it is whole: it goes beside the whole ones, whatever version of
/// kluis adopted it.
#[test]
fn what_was_adopted_is_counted_beside_the_whole_ones_of_its_label() {
    let whole = database(json!({"label": "one:5432"}), json!({}));
    let way = json!({"mode": ""});
    let adopted = database(json!({"adopted": true, "note": "adopted"}), way.clone());
    let earlier = database(json!({"note": "adopted"}), way);
    let own_note = database(json!({"label": "one:5432", "note": "adopted"}), json!({}));
    let tree = [
        tree(json!({"label": "alpha"}), "/x/app"),
        tree(json!({"note": "adopted"}), ""),
    ];
    let all = [whole, adopted, earlier, own_note];
    assert_eq!(together(&all), [0, 1, 1, 0]);
    assert_eq!(together(&tree), [0, 1]);
    let state = State::default();
    let series = series_of(&all.each_ref().map(|it| (it, &state)));
    assert_eq!(series[1].to_string(), "one:5432/shop, adopted");
    assert_eq!(series[1].whole(), series[0]);
    let known: BTreeSet<&Series> = series.iter().collect();
    let found = |text| Reference::find(text, &known);
    assert_eq!(found("shop"), Reference::Series(vec![&series[0]]));
    assert_eq!(found("adopted/shop"), Reference::Series(vec![&series[1]]));
    let alone = BTreeSet::from([&series[1]]);
    let named = Reference::find("shop", &alone);
    assert_eq!(named, Reference::Series(vec![&series[1]]));
}
