//! Sets over real folders.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use rstest::rstest;
use tempfile::TempDir;

use super::*;

/// A parent folder with one of the tenant `acme`.
struct Folders {
    root: TempDir,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("configs/acme/templates")).unwrap();
        fs::create_dir(root.path().join("base")).unwrap();
        Self { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.path(path), content).unwrap();
    }

    fn sets(&self) -> TemplateSets {
        TemplateSets::new(Some(&self.path("base")), Some(&self.path("configs"))).unwrap()
    }
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

const SUBJECT: &str = "configs/acme/templates/created.subject.txt";

fn subject(sets: &TemplateSets, tenant: Option<&TenantId>) -> String {
    let templates = sets.of(tenant).unwrap_or_else(|e| panic!("{e}"));
    templates.preview("created").unwrap().subject
}

#[test]
fn files_lie_over_each_other() {
    let folders = Folders::new();
    folders.write("base/created.subject.txt", "base");
    folders.write("base/updated.subject.txt", "base");
    folders.write(SUBJECT, "acme");
    let sets = folders.sets();
    let acme = acme();
    assert_eq!(subject(&sets, None), "base");
    assert_eq!(subject(&sets, Some(&acme)), "acme");
    assert_eq!(subject(&sets, Some(&"other".parse().unwrap())), "base");
    let own = sets.of(Some(&acme)).unwrap();
    assert_eq!(own.preview("updated").unwrap().subject, "base");
    assert!(
        own.preview("cancelled")
            .unwrap()
            .subject
            .starts_with("Cancelled: ")
    );
    assert!(Arc::ptr_eq(&own, &sets.of(Some(&acme)).unwrap()), "made once");
    folders.write("base/updated.subject.txt", "new base");
    assert_eq!(
        sets.of(Some(&acme)).unwrap().preview("updated").unwrap().subject,
        "new base"
    );
    let nowhere = TemplateSets::new(None, None).unwrap();
    assert!(subject(&nowhere, Some(&acme)).starts_with("New event: "));
}

#[test]
fn changes_are_noticed_at_once_and_good_states_kept() {
    let folders = Folders::new();
    let (sets, acme) = (folders.sets(), acme());
    assert!(subject(&sets, Some(&acme)).starts_with("New event"));
    folders.write(SUBJECT, "one");
    assert_eq!(subject(&sets, Some(&acme)), "one");
    assert_eq!(sets.problem(Some(&acme)), None);

    folders.write(SUBJECT, "{{ nonsense");
    sets.refresh();
    let problem = sets.problem(Some(&acme)).unwrap();
    assert!(
        problem
            .starts_with("the templates of the tenant acme cannot be used:\n  created.subject.txt: line 1: "),
        "{problem}"
    );
    assert_eq!(subject(&sets, Some(&acme)), "one", "the last good state");
    assert_eq!(sets.problem(None), None);

    folders.write(SUBJECT, "two");
    assert_eq!(subject(&sets, Some(&acme)), "two");
    assert_eq!(sets.problem(Some(&acme)), None);

    fs::remove_dir_all(folders.path("configs/acme/templates")).unwrap();
    sets.refresh();
    assert!(
        subject(&sets, Some(&acme)).starts_with("New event"),
        "the folder is gone"
    );
}

#[test]
fn the_base_set_keeps_its_last_good_state_too() {
    let folders = Folders::new();
    folders.write("base/created.subject.txt", "good");
    let sets = folders.sets();
    folders.write("base/created.subject.txt", "{{ x }}");
    assert_eq!(subject(&sets, None), "good");
    assert!(
        sets.problem(None)
            .unwrap()
            .contains("created.subject.txt: line 1: Variable `x`")
    );
    folders.write(SUBJECT, "acme");
    assert_eq!(subject(&sets, Some(&acme())), "acme");
    fs::remove_dir_all(folders.path("base")).unwrap();
    assert_eq!(subject(&sets, None), "good");
    let error = TemplateSets::new(Some(&folders.path("base")), None).unwrap_err();
    assert!(
        error.to_string().contains("TEMPLATES_DIR cannot be read"),
        "{error}"
    );
}

fn in_its_place(folders: &Folders, file: &str) -> PathBuf {
    let path = folders.path("configs/acme/templates").join(file);
    let _ = fs::remove_file(&path);
    path
}

fn no_folder(folders: &Folders) -> PathBuf {
    let path = folders.path("configs/acme/templates");
    fs::remove_dir_all(&path).unwrap();
    path
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[rstest]
#[case::unknown_name(|f: &Folders| f.write("configs/acme/templates/receipt.html", "x"), "receipt.html: is no template")]
#[case::not_utf8(|f: &Folders| fs::write(f.path(SUBJECT), b"\xff").unwrap(), "created.subject.txt: is not UTF-8")]
#[case::too_large(|f: &Folders| f.write(SUBJECT, &"x".repeat(256 * 1024 + 1)), "created.subject.txt: is larger than 262144 bytes")]
#[case::a_directory(|f: &Folders| fs::create_dir(in_its_place(f, "updated.txt")).unwrap(), "updated.txt: is not a regular file")]
#[case::a_pipe(|f: &Folders| pipe(&in_its_place(f, "created.txt")), "created.txt: is not a regular file")]
#[case::a_link_to_a_pipe(|f: &Folders| { pipe(&f.path("configs/acme/p")); symlink("../p", in_its_place(f, "created.txt")).unwrap(); }, "created.txt: is not a regular file")]
#[case::a_link_out(|f: &Folders| { f.write("secret", "x"); symlink("../../../secret", in_its_place(f, "created.txt")).unwrap(); }, "created.txt: is a link that leads out of the tenant's folder")]
#[case::a_link_to_another_tenant(|f: &Folders| { fs::create_dir(f.path("configs/acme2")).unwrap(); f.write("configs/acme2/t", "x"); symlink("../../acme2/t", in_its_place(f, "created.txt")).unwrap(); }, "created.txt: is a link that leads out")]
#[case::a_device(|f: &Folders| symlink("/dev/zero", in_its_place(f, "created.txt")).unwrap(), "created.txt: is a link that leads out")]
#[case::a_loop(|f: &Folders| symlink("created.txt", in_its_place(f, "created.txt")).unwrap(), "created.txt: cannot be read: ")]
#[case::a_folder_elsewhere(|f: &Folders| symlink("../../base", no_folder(f)).unwrap(), "templates: is a link that leads out of the tenant's folder")]
#[case::a_dangling_folder(|f: &Folders| symlink("gone", no_folder(f)).unwrap(), "templates: cannot be read: ")]
#[case::a_file_as_folder(|f: &Folders| fs::write(no_folder(f), "x").unwrap(), "templates: cannot be read: ")]
#[case::a_pipe_as_folder(|f: &Folders| pipe(&no_folder(f)), "templates: cannot be read: ")]
#[case::too_many(|f: &Folders| for i in 0..1001 { f.write(&format!("configs/acme/templates/.{i}"), ""); }, "templates: has more than 1000 entries")]
fn refused(#[case] spoil: fn(&Folders), #[case] reason: &str) {
    let folders = Folders::new();
    let (sets, acme) = (folders.sets(), acme());
    folders.write(SUBJECT, "good");
    assert_eq!(subject(&sets, Some(&acme)), "good");
    spoil(&folders);
    let began = Instant::now();
    assert_eq!(subject(&sets, Some(&acme)), "good", "kept");
    let problem = sets.problem(Some(&acme)).unwrap();
    assert!(problem.contains(reason), "{problem}");

    let fresh = folders.sets();
    let error = fresh.of(Some(&acme)).unwrap_err().to_string();
    assert!(error.contains("tenant acme") && error.contains(reason), "{error}");
    assert!(
        subject(&fresh, None).starts_with("New event"),
        "only this tenant's"
    );
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn links_within_the_tenants_folder_are_followed() {
    let folders = Folders::new();
    fs::create_dir(folders.path("configs/acme/templates/..data")).unwrap();
    folders.write("configs/acme/templates/..data/one", "one");
    folders.write("configs/acme/templates/..data/two", "two");
    symlink("..data/one", folders.path(SUBJECT)).unwrap();
    let (sets, acme) = (folders.sets(), acme());
    assert_eq!(subject(&sets, Some(&acme)), "one");
    folders.write("configs/acme/templates/..data/one", "eno");
    assert_eq!(subject(&sets, Some(&acme)), "eno", "what it leads to has changed");
    fs::remove_file(folders.path(SUBJECT)).unwrap();
    symlink("..data/two", folders.path(SUBJECT)).unwrap();
    assert_eq!(subject(&sets, Some(&acme)), "two");
}

#[test]
fn looking_is_cheap_and_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<TemplateSets>();
    let folders = Folders::new();
    folders.write(SUBJECT, "acme");
    let (sets, acme) = (folders.sets(), acme());
    let first = sets.of(Some(&acme)).unwrap();
    let began = Instant::now();
    for _ in 0..1000 {
        sets.refresh();
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(Arc::ptr_eq(&first, &sets.of(Some(&acme)).unwrap()));
    for id in 0..1000 {
        sets.of(Some(&format!("tenant{id}").parse().unwrap())).unwrap();
    }
    assert_eq!(
        sets.state().tenants.len(),
        1,
        "tenants without templates are not remembered"
    );
}
