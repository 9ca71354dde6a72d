//! The worker's program.
fn main() {
    web_demo::worker::start();
}
