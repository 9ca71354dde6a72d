//! How Chromium is found and started, for tests and measurements alike.

/// Its names on the search path.
pub const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser without a window that talks to nobody but the page's server.
pub const FLAGS: [&str; 9] = [
    "--headless",
    // As root, in a container, there is no other way.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];
