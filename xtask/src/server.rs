//! A static web server for the site, as a good host would serve it: MIME types, caching, cross-origin isolation.
//!
//! It can also serve under a sub-path and misbehave on demand, which the browser tests need. It runs on a thread of its own, so that both
//! synchronous and asynchronous callers can use it; dropping [`Server`] ends it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LOCATION};
use axum::http::{HeaderValue, Response, StatusCode, Uri};
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

/// A running server.
pub struct Server {
    site: Arc<Site>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Site {
    folder: PathBuf,
    /// Starts and ends with a slash.
    base: String,
    /// Pairs of a path's beginning (below the base) and what happens to it.
    faults: Mutex<Vec<(String, Fault)>>,
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
        let site = Arc::new(Site { folder: folder.to_path_buf(), base: base.to_owned(), faults: Mutex::default() });
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
        Ok(Server { site, address, stop: Some(stop), thread: Some(thread) })
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

    /// Serves until the process ends.
    pub fn run(mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread ends only with the process, or with a panic that has already been printed.
            let _ = thread.join();
        }
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<(String, Fault)>> {
        self.site.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response<Body> {
    let Some(path) = request.uri().path().strip_prefix(&site.base).map(str::to_owned) else {
        let without_slash = site.base.trim_end_matches('/');
        return if request.uri().path() == without_slash {
            (StatusCode::PERMANENT_REDIRECT, [(LOCATION, site.base.clone())]).into_response()
        } else {
            missing()
        };
    };
    let fault = {
        let faults = site.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, fault)| *fault)
    };
    let mut response = match fault {
        Some(Fault::Missing) => missing(),
        Some(Fault::WrongBytes) => {
            ([(CACHE_CONTROL, "no-store")], "<!doctype html><title>Sign in</title>").into_response()
        }
        fault => {
            let response = file(&site.folder, &path, request).await;
            match fault {
                Some(fault) => cut_short(response, fault),
                None => response,
            }
        }
    };

    let headers = response.headers_mut();
    // A page may share memory between threads and use precise timers only when it is isolated from other origins.
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
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
