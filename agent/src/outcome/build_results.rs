//! What a succeeded build hands back: image, digest, size, source and vulnerabilities.

use brokkr_apis::work::v1alpha1::Results;
use serde_json::Value;

use super::build_run::Observed;

/// How many vulnerabilities are passed on; the rest is counted.
const VULNERABILITIES_MAX: usize = 200;

/// What a succeeded build produced.
pub(super) fn results(observed: Observed<'_>) -> Results {
    const PLACES: [(&str, &str); 9] = [
        ("imageDigest", "/status/output/digest"),
        ("imageSize", "/status/output/size"),
        ("commitSha", "/status/source/git/commitSha"),
        ("commitAuthor", "/status/source/git/commitAuthor"),
        ("branchName", "/status/source/git/branchName"),
        ("sourceDigest", "/status/source/ociArtifact/digest"),
        ("sourceTimestamp", "/status/source/timestamp"),
        ("startTime", "/status/startTime"),
        ("completionTime", "/status/completionTime"),
    ];
    let run = observed.build_run;
    let mut results: Results = PLACES
        .iter()
        .filter_map(|(name, place)| Some(((*name).to_owned(), run.pointer(place)?.clone())))
        .collect();
    if let Some(image) = image(observed) {
        results.insert("image".to_owned(), image.clone());
    }
    if let Some(found) = run
        .pointer("/status/output/vulnerabilities")
        .and_then(Value::as_array)
    {
        let kept: Vec<Value> = found.iter().take(VULNERABILITIES_MAX).cloned().collect();
        results.insert("vulnerabilities".to_owned(), kept.into());
        results.insert("vulnerabilityCount".to_owned(), found.len().into());
    }
    results
}

/// The image that was pushed: the run's own output wins over the Build's, of which the run keeps a snapshot.
fn image<'a>(observed: Observed<'a>) -> Option<&'a Value> {
    let run = observed.build_run;
    run.pointer("/spec/output/image")
        .or_else(|| run.pointer("/status/buildSpec/output/image"))
        .or_else(|| {
            observed
                .build
                .and_then(|build| build.pointer("/spec/output/image"))
        })
}
