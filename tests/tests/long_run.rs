//! Long runs, for a short while: `cargo xtask long-run` runs them for as long as it takes to see more.

use integration_tests::long_run;

#[test]
fn a_hundred_images_are_found_in_flat_memory() {
    let course = long_run::detect(100, &mut |_| ()).unwrap();
    assert_eq!(course.moments.last().unwrap().images, 100);
    course.check_memory().unwrap();
}
