//! Runs that were stopped: by whom, and whether they have ended.

use super::*;

#[test]
fn cancellation_is_told_from_a_stop_nobody_asked_for() {
    let rows = [
        ("BuildRunCanceled", false, true),
        ("BuildRunCanceled", true, true),
        ("Cancelled", true, true),
        ("TaskRunCancelled", true, true),
        ("Cancelled", false, false),
        ("TaskRunCancelled", false, false),
    ];
    for (word, cancel_asked, cancelled) in rows {
        let run = build_run("False", word, "");
        let ended = outcome(Observed {
            cancel_asked,
            ..seen(&run)
        });
        assert_eq!(
            matches!(ended, Some(Outcome::Cancelled { .. })),
            cancelled,
            "{word} {cancel_asked}"
        );
    }
}

#[test]
fn a_cancelled_pipeline_run_is_confirmed_by_the_pipeline_run_alone() {
    let run = in_pipeline_mode(build_run("False", "BuildRunCanceled", ""));
    let running = json!({"status": {"conditions": [{"type": "Succeeded", "status": "Unknown"}]}});
    let ended =
        json!({"status": {"conditions": [{"type": "Succeeded", "status": "False", "reason": "Cancelled"}]}});
    for (executor, confirmed) in [(None, false), (Some(&running), false), (Some(&ended), true)] {
        match outcome(Observed {
            executor,
            ..seen(&run)
        }) {
            Some(Outcome::Cancelled {
                child_confirmed_ended,
                ..
            }) => assert_eq!(child_confirmed_ended, confirmed),
            other => panic!("expected Cancelled, got {other:?}"),
        }
    }
}

#[test]
fn a_run_cancelled_before_it_began_has_run_nothing() {
    match outcome(seen(&refused("BuildRunCanceled"))) {
        Some(Outcome::Cancelled {
            execution_started,
            child_confirmed_ended,
            ..
        }) => {
            assert!(!execution_started && child_confirmed_ended);
        }
        other => panic!("expected Cancelled, got {other:?}"),
    }
}
