use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;

/// A site of four files.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("models")).unwrap();
    fs::write(folder.path().join("index.html"), "<!doctype html>").unwrap();
    fs::write(folder.path().join("service-worker.js"), "addEventListener").unwrap();
    fs::write(folder.path().join("page-0123456789abcdef.wasm"), b"\0asm").unwrap();
    fs::write(folder.path().join("models/a-0123456789abcdef.safetensors"), [7; 1000]).unwrap();
    folder
}

/// Status line, headers and body as they come over the wire; whatever has come when the server falls silent.
fn get(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).to_ascii_lowercase()
}

#[test]
fn files_have_types_caching_and_isolation() {
    let folder = site();
    let server = Server::start(folder.path(), 0).unwrap();

    for path in ["/", "/index.html"] {
        let page = get(&server, path);
        assert!(page.starts_with("http/1.1 200"), "{page}");
        assert!(page.contains("content-type: text/html"), "{page}");
        assert!(page.contains("cache-control: no-cache"), "{page}");
    }
    let service_worker = get(&server, "/service-worker.js?site=1");
    assert!(service_worker.contains("content-type: text/javascript"), "{service_worker}");
    assert!(service_worker.contains("cache-control: no-cache"), "{service_worker}");
    assert!(service_worker.contains("content-security-policy: default-src 'none';"), "{service_worker}");
    let wasm = get(&server, "/page-0123456789abcdef.wasm");
    assert!(wasm.contains("content-type: application/wasm\r\n"), "{wasm}");
    assert!(wasm.contains("immutable"), "{wasm}");
    assert!(wasm.contains("cross-origin-opener-policy: same-origin"), "{wasm}");
    assert!(wasm.contains("cross-origin-embedder-policy: require-corp"), "{wasm}");
    assert!(wasm.contains("cross-origin-resource-policy: same-origin"), "{wasm}");
}

#[test]
fn what_is_not_there_is_404_and_never_cached() {
    let folder = site();
    let server = Server::start(folder.path(), 0).unwrap();
    for path in ["/page-0123456789abcdea.wasm", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
        let answer = get(&server, path);
        assert!(answer.starts_with("http/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("no-store"), "{path}: {answer}");
    }
}

#[test]
fn a_sub_path_is_all_there_is() {
    let folder = site();
    let server = Server::start_under(folder.path(), 0, "/demo/x/").unwrap();
    assert!(server.url().ends_with("/demo/x/"));
    assert!(get(&server, "/demo/x/").starts_with("http/1.1 200"));
    assert!(get(&server, "/demo/x/models/a-0123456789abcdef.safetensors").starts_with("http/1.1 200"));
    assert!(get(&server, "/demo/x").contains("location: /demo/x/"));
    assert!(get(&server, "/").starts_with("http/1.1 404"));
    assert!(get(&server, "/page-0123456789abcdef.wasm").starts_with("http/1.1 404"));
}

#[test]
fn faults_come_and_go() {
    let folder = site();
    let server = Server::start(folder.path(), 0).unwrap();
    let path = "/models/a-0123456789abcdef.safetensors";

    server.fail("models/a-", Fault::Missing);
    assert!(get(&server, path).starts_with("http/1.1 404"));
    server.fail("models/a-", Fault::WrongBytes);
    assert!(get(&server, path).contains("doctype"));
    for fault in [Fault::Broken, Fault::Stalled] {
        server.fail("models/a-", fault);
        let answer = get(&server, path);
        assert!(answer.contains("content-length: 1000"), "{answer}");
        assert!(answer.ends_with("only the beginning"), "{answer}");
    }
    assert!(get(&server, "/").starts_with("http/1.1 200"));

    server.heal();
    assert!(get(&server, path).ends_with(&"\u{7}".repeat(1000)));
}

#[test]
fn isolation_can_be_left_out() {
    let folder = site();
    let server = Server::start(folder.path(), 0).unwrap();
    server.isolate(false);
    assert!(!get(&server, "/").contains("cross-origin-"));
    server.isolate(true);
    assert!(get(&server, "/").contains("cross-origin-opener-policy: same-origin"));
}

#[test]
fn files_can_be_added_and_pages_can_answer() {
    let folder = site();
    let server = Server::start_under(folder.path(), 0, "/demo/").unwrap();
    server.put("bench.html", b"measured here".to_vec());
    let page = get(&server, "/demo/bench.html");
    assert!(page.contains("content-type: text/html") && page.ends_with("measured here"), "{page}");

    assert_eq!(server.posted(Duration::from_millis(1)), None);
    let mut stream = TcpStream::connect(server.address).unwrap();
    write!(stream, "POST /demo/ HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n1.5ms").unwrap();
    assert_eq!(server.posted(Duration::from_secs(2)).as_deref(), Some(b"1.5ms".as_slice()));
    assert_eq!(server.requested(), ["bench.html", ""]);
}

#[test]
fn a_stopped_server_answers_nothing() {
    let folder = site();
    let server = Server::start(folder.path(), 0).unwrap();
    let mut stream = TcpStream::connect(server.address).unwrap();
    server.stop();
    assert!(TcpStream::connect(server.address).is_err());
    let _ = write!(stream, "GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
}

#[test]
fn a_port_in_use_is_an_error() {
    let folder = site();
    let server = Server::start(folder.path(), 0).unwrap();
    let error = Server::start(folder.path(), server.address.port()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
