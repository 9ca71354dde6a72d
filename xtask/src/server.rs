//! A static web server for the site, as a good host would serve it: MIME types, caching, cross-origin isolation.
//!
//! It can also serve under a sub-path and misbehave on demand, which the browser tests need, and take what a page posts. It runs on a
//! thread of its own, so that both synchronous and asynchronous callers can use it; dropping [`Server`] ends it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use axum::http::{HeaderValue, Method, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;
use tower::ServiceExt;
use tower_http::services::ServeDir;

use crate::names::is_hashed;

/// What a server can do instead of answering with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 404 with an HTML body, as hosts answer.
    Missing,
    /// Status 200, but another content (a web page) under the name.
    WrongBytes,
    /// The connection breaks after the first few bytes of the file.
    Broken,
    /// The connection stays open, and nothing ever comes after the first few bytes.
    Stalled,
}

/// A worker has the policy of its own script's answer, not the page's, which stands in index.html: with this, no thread reaches another server.
const SCRIPT_POLICY: &str =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

/// The largest message that a page may post, in bytes.
const MOST_POSTED: usize = 1 << 20;

/// A running server.
pub struct Server {
    site: Arc<ServedSite>,
    address: SocketAddr,
    posted: mpsc::Receiver<Bytes>,
    running: Mutex<Option<Running>>,
}

struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

struct ServedSite {
    folder: PathBuf,
    /// Starts and ends with a slash.
    base: String,
    /// Pairs of a path's beginning (below the base) and what happens to it.
    faults: Mutex<Vec<(String, Fault)>>,
    /// Files beside those in the folder.
    extra: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Paths below the base that were asked for, in order.
    requested: Mutex<Vec<String>>,
    is_isolated: AtomicBool,
    inbox: mpsc::Sender<Bytes>,
}

impl Server {
    /// Serves `folder` at `http://127.0.0.1:port/`; port 0 takes any that is free.
    pub fn start(folder: &Path, port: u16) -> io::Result<Server> {
        Server::start_under(folder, port, "/")
    }

    /// Serves `folder` under a sub-path such as `/demo/x/`, and nothing beside it.
    pub fn start_under(folder: &Path, port: u16, base: &str) -> io::Result<Server> {
        assert!(base.starts_with('/') && base.ends_with('/'), "a base such as /demo/, not {base}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (inbox, posted) = mpsc::channel();
        let site = Arc::new(ServedSite {
            folder: folder.to_path_buf(),
            base: base.to_owned(),
            faults: Mutex::default(),
            extra: Mutex::default(),
            requested: Mutex::default(),
            is_isolated: AtomicBool::new(true),
            inbox,
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&site));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();

        let thread = thread::Builder::new().name("web server".to_owned()).spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)
                    .expect("the listener is non-blocking, and this is a runtime");
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
            // Open connections must not keep a test waiting.
            runtime.shutdown_background();
        })?;
        Ok(Server { site, address, posted, running: Mutex::new(Some(Running { stop, thread })) })
    }

    /// The address to open in a browser.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.site.base)
    }

    /// From now on, files whose path below the base starts with `prefix` (`models/final-`) fail in this way; a later call outranks an earlier one.
    pub fn fail(&self, prefix: &str, fault: Fault) {
        self.faults().insert(0, (prefix.to_owned(), fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.faults().clear();
    }

    /// Whether answers carry the headers that isolate the page from other origins, as they do at first.
    pub fn isolate(&self, is_isolated: bool) {
        self.site.is_isolated.store(is_isolated, Ordering::Relaxed);
    }

    /// Serves `content` at `path` below the base, whatever the folder has there.
    pub fn put(&self, path: &str, content: Vec<u8>) {
        self.site.extra.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), content);
    }

    /// The paths below the base that browsers have asked for, in order.
    pub fn requested(&self) -> Vec<String> {
        self.site.requested.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a page has posted, to whatever path; waits for it at most so long.
    pub fn posted(&self, patience: Duration) -> Option<Vec<u8>> {
        self.posted.recv_timeout(patience).ok().map(Vec::from)
    }

    /// Serves until the process ends.
    pub fn run(self) {
        if let Some(Running { thread, stop: _stop }) = self.running().take() {
            // The thread ends only with the process, or with a panic that has already been printed.
            let _ = thread.join();
        }
    }

    /// Closes all connections and accepts no more.
    pub fn stop(&self) {
        if let Some(Running { stop, thread }) = self.running().take() {
            drop(stop);
            let _ = thread.join();
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Vec<(String, Fault)>> {
        self.site.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn answer(State(site): State<Arc<ServedSite>>, request: Request) -> Response<Body> {
    let Some(path) = request.uri().path().strip_prefix(&site.base).map(str::to_owned) else {
        let without_slash = site.base.trim_end_matches('/');
        return if request.uri().path() == without_slash {
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, site.base.clone())]).into_response()
        } else {
            missing()
        };
    };
    site.requested.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
    let fault = {
        let faults = site.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, fault)| *fault)
    };
    let mut response = match fault {
        Some(Fault::Missing) => missing(),
        Some(Fault::WrongBytes) => {
            ([(CACHE_CONTROL, "no-store")], "<!doctype html><title>Sign in</title>").into_response()
        }
        None if request.method() == Method::POST => receive(&site, request).await,
        fault => {
            let name = if path.is_empty() { "index.html" } else { &path };
            let extra = site.extra.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
            let response = match extra {
                Some(content) => ([(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, mime(name))], content).into_response(),
                None => file(&site.folder, &path, request).await,
            };
            match fault {
                Some(fault) => cut_short(response, fault),
                None => response,
            }
        }
    };

    let headers = response.headers_mut();
    let mut insert = |name, value| drop(headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value)));
    insert("x-content-type-options", "nosniff");
    if path.ends_with(".js") {
        insert("content-security-policy", SCRIPT_POLICY);
    }
    // A page may share memory between threads and use precise timers only when it is isolated from other origins.
    if site.is_isolated.load(Ordering::Relaxed) {
        insert("cross-origin-opener-policy", "same-origin");
        insert("cross-origin-embedder-policy", "require-corp");
        insert("cross-origin-resource-policy", "same-origin");
    }
    response
}

/// Puts what a page posts into the inbox.
async fn receive(site: &ServedSite, request: Request) -> Response<Body> {
    match to_bytes(request.into_body(), MOST_POSTED).await {
        // The receiving end lives as long as the server.
        Ok(body) => drop(site.inbox.send(body)),
        Err(_) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// The file at `path` below `folder`, with the caching that its name allows.
async fn file(folder: &Path, path: &str, request: Request) -> Response<Body> {
    let Ok(uri) = format!("/{path}").parse::<Uri>() else { return missing() };
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    let served = ServeDir::new(folder).oneshot(Request::from_parts(parts, body)).await;
    let mut response = match served {
        Ok(response) if response.status() != StatusCode::NOT_FOUND => response.map(Body::new),
        _ => return missing(),
    };
    let caching = if is_hashed(path) { "public, max-age=31536000, immutable" } else { "no-cache" };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Of the files that are put beside the folder's.
fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "html")) => "text/html",
        Some((_, "css")) => "text/css",
        Some((_, "js")) => "text/javascript",
        Some((_, "json")) => "application/json",
        _ => "application/octet-stream",
    }
}

fn missing() -> Response<Body> {
    let body = "<!doctype html><title>Not found</title><p>Not found";
    let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "text/html")];
    (StatusCode::NOT_FOUND, headers, body).into_response()
}

/// The same response, true length included, of which only the beginning arrives.
fn cut_short(response: Response<Body>, fault: Fault) -> Response<Body> {
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let beginning = stream::once(async { Ok::<_, io::Error>(Bytes::from_static(b"only the beginning")) });
    let body = match fault {
        Fault::Stalled => Body::from_stream(beginning.chain(stream::pending())),
        // An error inside a body makes the server close the connection; what came before it must be sent first.
        _ => Body::from_stream(beginning.chain(stream::once(async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            Err(io::ErrorKind::ConnectionReset.into())
        }))),
    };
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests;
