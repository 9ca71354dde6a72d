//! Every reader against damaged input: what once failed, and so many new inputs as a minute has room for.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use integration_tests::fuzz::child::{Failing, Origin};
use integration_tests::fuzz::parent::{Outcome, run};
use integration_tests::fuzz::{Corpus, FAULTS, FAULTY, ONCE_FAILED, READERS, Reader};
use integration_tests::repository;

fn read(reader: &Reader, origin: &Origin, count: u64) -> Outcome {
    run(Path::new(env!("CARGO_BIN_EXE_fuzz")), reader, origin, 0..count, &mut |_| true).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = folder.read_dir().into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn what_once_failed_is_read() {
    let folder = repository().join(ONCE_FAILED);
    for of_reader in files(&folder) {
        let name = of_reader.file_name().unwrap().to_string_lossy();
        let reader = Reader::named(&name).unwrap_or_else(|| panic!("there is no reader {name}"));
        let files = files(&of_reader);
        let outcome = read(reader, &Origin::Files(files.clone()), files.len() as u64);
        if let Some(failure) = outcome.failures.first() {
            panic!("{}: {}", files[failure.number as usize].display(), failure.what);
        }
        assert_eq!(outcome.inputs, files.len() as u64, "{name}");
    }
}

#[test]
fn damaged_input_is_no_panic_and_takes_neither_long_nor_much() {
    let waiting = Mutex::new(READERS.iter());
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(reader) = { waiting.lock().unwrap().next() } {
            let outcome = read(reader, &Origin::Seed(0), reader.tested);
            for failure in outcome.failures {
                let (name, number) = (reader.name, failure.number);
                wrong.lock().unwrap().push(format!(
                    "{name}: {}\n  cargo xtask fuzz --reader {name} --inputs {}",
                    failure.what,
                    number + 1
                ));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What never gets through is not read far enough to find anything.
#[test]
fn whole_inputs_are_of_use() {
    for reader in &READERS {
        let outcome = read(reader, &Origin::Seed(0), Corpus::new(reader).whole());
        assert!(outcome.accepted > 0, "{}", reader.name);
    }
}

#[test]
fn faults_of_every_kind_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let read = |what: &str| {
        let file = folder.path().join(what);
        std::fs::write(&file, what).unwrap();
        read(&FAULTY, &Origin::Files(vec![file]), 1).failures.pop().map(|failure| failure.what)
    };
    for fault in FAULTS {
        let is_told = match (fault, read(fault)) {
            ("panic", Some(Failing::Panic(place, what))) => place.contains("readers.rs") && what == "as asked for",
            ("loop", Some(Failing::Hangs)) | ("memory" | "untouched memory", Some(Failing::Memory(_))) => true,
            ("recursion", Some(Failing::Dies(words))) => words.contains("overflow"),
            ("abort", Some(Failing::Dies(words))) => words.contains("signal: 6"),
            (_, other) => panic!("{fault}: {other:?}"),
        };
        assert!(is_told, "{fault}");
    }
    assert_eq!(read("none"), None);
}

/// Numbers that are told lead to the input that they are of.
#[test]
fn the_same_seed_makes_the_same_inputs() {
    for reader in &READERS {
        let (a, b) = (Corpus::new(reader), Corpus::new(reader));
        let inputs: Vec<_> = (0..20).map(|number| a.input(3, number)).collect();
        assert!((0..20).all(|number| b.input(3, number) == inputs[number as usize]), "{}", reader.name);
        assert!((0..20).any(|number| b.input(4, number) != inputs[number as usize]), "{}", reader.name);
    }
}
