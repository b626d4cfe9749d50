//! The rotation of a CA: in order, turned around, cut off, and asked for twice at once.

use std::fs;
use std::path::Path;
use std::sync::Barrier;

use brokkr_certs::{
    CertificateAuthority, Error, SERVING_CA, Validity, authority_bundle, finish_rotation, roll_back,
    rotate_authority,
};

use crate::{empty_dir, load_or_create, names, text};

fn rotate(dir: &Path) -> Result<CertificateAuthority, Error> {
    rotate_authority(dir, SERVING_CA, "test-ca", Validity::authority_default())
}

#[test]
fn rotation_trusts_both_authorities_until_it_is_finished() {
    let dir = empty_dir("rotation");
    let old = load_or_create(&dir).unwrap().certificate_pem().unwrap();

    let new = rotate(&dir).unwrap().certificate_pem().unwrap();

    assert_ne!(old, new);
    assert_eq!(load_or_create(&dir).unwrap().certificate_pem().unwrap(), new);
    assert_eq!(authority_bundle(&dir, SERVING_CA).unwrap(), format!("{new}{old}"));
    assert!(matches!(rotate(&dir).unwrap_err(), Error::Rotation { .. }));
    finish_rotation(&dir, SERVING_CA).unwrap();
    assert_eq!(authority_bundle(&dir, SERVING_CA).unwrap(), new);
    assert!(matches!(
        finish_rotation(&dir, SERVING_CA).unwrap_err(),
        Error::Rotation { .. }
    ));
}

#[test]
fn rotation_is_turned_around_with_both_authorities_trusted() {
    let dir = empty_dir("roll-back");
    let old = load_or_create(&dir).unwrap().certificate_pem().unwrap();
    assert!(matches!(
        roll_back(&dir, SERVING_CA).unwrap_err(),
        Error::Rotation { .. }
    ));
    let new = rotate(&dir).unwrap();
    let new = new.certificate_pem().unwrap();

    let back = roll_back(&dir, SERVING_CA).unwrap().certificate_pem().unwrap();

    assert_eq!(back, old);
    assert_eq!(load_or_create(&dir).unwrap().certificate_pem().unwrap(), old);
    assert_eq!(authority_bundle(&dir, SERVING_CA).unwrap(), format!("{old}{new}"));
    // Forth again, and to the end.
    roll_back(&dir, SERVING_CA).unwrap();
    finish_rotation(&dir, SERVING_CA).unwrap();
    assert_eq!(authority_bundle(&dir, SERVING_CA).unwrap(), new);
    assert_eq!(names(&dir), ["ca.crt", "ca.key"]);
}

#[test]
fn bundle_read_while_a_rotation_is_turned_around_holds_both_authorities() {
    let dir = empty_dir("roll-back-read");
    let old = load_or_create(&dir).unwrap().certificate_pem().unwrap();
    let new = rotate(&dir).unwrap();
    let new = new.certificate_pem().unwrap();

    std::thread::scope(|scope| {
        let turning = scope.spawn(|| (0..20).for_each(|_| drop(roll_back(&dir, SERVING_CA).unwrap())));
        while !turning.is_finished() {
            let bundle = authority_bundle(&dir, SERVING_CA).unwrap();
            assert!(bundle.contains(&old) && bundle.contains(&new), "{bundle}");
        }
    });
}

#[test]
fn rotation_that_was_cut_off_between_key_and_certificate_keeps_the_authority_and_is_turned_around() {
    let dir = empty_dir("rotation-cut-off");
    let old = load_or_create(&dir).unwrap().certificate_pem().unwrap();
    rotate(&dir).unwrap();
    // The key was replaced, the certificate was not.
    fs::write(dir.join("ca.crt"), &old).unwrap();

    let error = finish_rotation(&dir, SERVING_CA).unwrap_err();
    assert!(
        matches!(&error, Error::Rotation { path, .. } if path.ends_with("ca.crt")),
        "{error}"
    );
    assert!(error.to_string().contains("roll the rotation back"), "{error}");
    let back = roll_back(&dir, SERVING_CA).unwrap().certificate_pem().unwrap();

    assert_eq!(back, old);
    finish_rotation(&dir, SERVING_CA).unwrap();
    assert_eq!(load_or_create(&dir).unwrap().certificate_pem().unwrap(), old);
    assert_eq!(authority_bundle(&dir, SERVING_CA).unwrap(), old);
    assert_eq!(names(&dir), ["ca.crt", "ca.key"]);
}

#[test]
fn of_two_rotations_at_once_one_begins_and_the_authority_of_before_stays_trusted() {
    for _ in 0..10 {
        let dir = empty_dir("rotation-twice");
        let old = load_or_create(&dir).unwrap().certificate_pem().unwrap();
        let both = Barrier::new(2);
        let rotated = std::thread::scope(|scope| {
            let begin = || {
                both.wait();
                rotate(&dir)
            };
            let runs = [scope.spawn(begin), scope.spawn(begin)];
            runs.map(|run| run.join().unwrap())
        });

        let (begun, refused): (Vec<_>, Vec<_>) = rotated.into_iter().partition(Result::is_ok);
        assert_eq!((begun.len(), refused.len()), (1, 1));
        assert!(matches!(refused[0], Err(Error::Rotation { .. })), "{refused:?}");
        assert_eq!(text(&dir, "ca-previous.crt"), old);
    }
}
