//! Some trials of `cargo xtask kill-test`: whatever happens to a command, the next one goes on to the same bits.

use std::io::{Write, stderr};

use integration_tests::kill::campaign;

#[test]
fn disturbed_commands_end_with_the_same_bits() {
    let report = campaign(20, 1, &mut |line| println!("{line}")).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.ended > report.unhurt, "hardly anything was disturbed: {report:?}");
    for (disturbance, why) in &report.skipped {
        // Not `eprintln`, whose lines are shown of tests that fail only.
        let _ = writeln!(stderr(), "SKIPPED: {disturbance:?}: {why}");
    }
}
