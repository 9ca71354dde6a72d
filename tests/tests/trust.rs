//! What docs/trust.md and docs/faults.md promise, as far as it can be read off programs and sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use integration_tests::repository;

/// How many blocks and implementations of each source file are `unsafe`, by its path.
fn count_unsafe(folder: &Path, counts: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            count_unsafe(&path, counts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let code = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
            let count = code.map(|line| line.matches("unsafe {").count() + line.matches("unsafe impl").count()).sum();
            if count > 0 {
                let name = path.strip_prefix(repository()).unwrap().to_string_lossy().replace('\\', "/");
                counts.insert(name, count);
            }
        }
    }
}

#[test]
fn every_unsafe_block_is_counted() {
    let mut counted = BTreeMap::new();
    for folder in ["shared-model/src", "native-train/src", "web-demo/src", "xtask/src", "tests/src"] {
        count_unsafe(&repository().join(folder), &mut counted);
    }
    let document = fs::read_to_string(repository().join("docs/trust.md")).unwrap();
    // Rows of a file in code marks and a number.
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().strip_suffix("`")?;
        Some((name.to_owned(), cells.next()?.trim().parse().ok()?))
    };
    let written: BTreeMap<String, usize> = document.lines().filter_map(row).collect();
    assert_eq!(written, counted, "docs/trust.md (left) and the sources (right) differ");
}

#[test]
fn every_fault_has_its_test() {
    let document = fs::read_to_string(repository().join("docs/faults.md")).unwrap();
    let named: Vec<(&str, &str)> = document.split('`').filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 30, "{named:?}");
    for (file, test) in named {
        let path = repository().join(format!("tests/tests/browser/{file}.rs"));
        let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(source.contains(&format!("\nfn {test}()")), "{file}.rs has no {test}");
    }
}

/// The command line has no way to a network: it imports none of the operating system's functions for one.
#[cfg(target_os = "linux")]
mod network {
    use std::collections::BTreeSet;
    use std::net::TcpListener;
    use std::path::Path;
    use std::{env, fs};

    use integration_tests::yolox_nano;
    use object::read::elf::ElfFile64;
    use object::{Object, ObjectSymbol};

    /// Whoever talks over a network calls one of these: to reach somebody, to be reached, or to look a name up. (Pairs of sockets inside a
    /// process, by which Rust starts others, come from `socketpair`.)
    const NETWORK: [&str; 10] = [
        "socket",
        "connect",
        "bind",
        "listen",
        "accept",
        "accept4",
        "sendto",
        "recvfrom",
        "getaddrinfo",
        "gethostbyname",
    ];

    /// Those of them that a program imports.
    fn imports(program: &Path) -> Vec<&'static str> {
        let program = fs::read(program).unwrap();
        let elf: ElfFile64 = ElfFile64::parse(&*program).unwrap();
        let imported = elf.dynamic_symbols().filter(|symbol| symbol.is_undefined());
        let imported: BTreeSet<&str> = imported.map(|symbol| symbol.name().unwrap()).collect();
        assert!(imported.contains("read"), "{imported:?}");
        NETWORK.into_iter().filter(|name| imported.contains(name)).collect()
    }

    #[test]
    fn the_command_line_imports_nothing_of_the_network() {
        // MPI's whole purpose is to reach other processes.
        if !cfg!(feature = "mpi") {
            assert_eq!(imports(&yolox_nano()), [""; 0]);
        }
    }

    #[test]
    fn a_program_that_listens_is_found_out() {
        assert!(TcpListener::bind("127.0.0.1:0").is_ok());
        let found = imports(&env::current_exe().unwrap());
        assert!(found.contains(&"socket") && found.contains(&"bind"), "{found:?}");
    }
}
