//! The page's program.
fn main() {
    web_demo::page::start();
}
