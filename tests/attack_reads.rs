//! Manifests that cost memory, or that cannot be read. Each succeeds on 861f450.

use std::fs::{self, File};

use crate::support::house::program;
use crate::support::planting::{genuine, house};
use crate::support::tracing;

/// A manifest of 3 GiB, of which nothing is on the disk.
#[test]
fn a_huge_manifest_is_named_and_passed_over_in_little_memory() {
    let house = house();
    let genuine = genuine(&house);
    let huge = "app_source_2020-11-01T12-00-00.tar.gz.enc.json";
    let file = File::create(house.storage().join(huge)).unwrap();
    file.set_len(3 << 30).unwrap();
    for command in [&["list", "--json"][..], &["status", "--json"], &["prune"]] {
        let mut kluis = house.command("sh");
        // KiB of address space.
        kluis.args(["-c", "ulimit -v 2000000; exec \"$@\"", "sh"]);
        let output = kluis.arg(program()).args(command).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        if command[0] == "list" {
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains(huge), "{said}");
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains(&genuine), "{shown}");
        }
    }
}

/// The kernel refuses one manifest.
#[test]
fn a_manifest_that_cannot_be_read_ends_no_list() {
    if !tracing::can_trace() {
        return;
    }
    let house = house();
    let genuine = genuine(&house);
    let broken = "app_source_2020-11-01T12-00-00.tar.gz.enc.json";
    fs::write(house.storage().join(broken), "{}").unwrap();
    for fault in ["EACCES", "EIO"] {
        let mut kluis = house.command("strace");
        kluis.args(["-f", "-qq", "-o"]).arg(house.path("trace"));
        kluis.arg("-P").arg(broken);
        kluis.arg(format!("--inject=openat:error={fault}"));
        kluis.arg(program()).args(["list", "--json"]);
        let output = kluis.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{fault}: {said}");
        assert!(said.contains(broken), "{fault}: {said}");
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains(&genuine), "{fault}: {shown}");
    }
}
