//! What is made of a plugin's asks, without a plugin: the steps are asked for directly, and a driver of the test's own
//! answers.

use super::super::message::Power;
use super::super::steps::Sample;
use super::*;

const LIMITS: RawLimits =
    RawLimits { bandwidth: None, downtime_ms: 300, auto_converge: false, channels: 4, compress: true };

/// A driver that does nothing, and writes down what it was asked. A step that is named fails.
fn scripted<'a>(asked: &'a mut Vec<Ask>, fails: &'a str) -> impl FnMut(Ask) -> Result<Answer> + Send + 'a {
    move |ask| {
        asked.push(ask.clone());
        if ask.name() == fails {
            return Err(Failure::new(Kind::Unreachable, "hostb does not answer"));
        }
        Ok(match ask {
            Ask::Reserve | Ask::Pause | Ask::Save | Ask::Precopy(_) | Ask::Adjust(_) | Ask::Postcopy => Answer::Done,
            Ask::Progress { .. } => Answer::Done,
            Ask::CopyVolumes | Ask::CopyState => Answer::Copied(1 << 20),
            Ask::NextSample => Answer::Sample(Some(Sample::default())),
            Ask::Restore | Ask::SwitchOver => Answer::Outcome(Outcome::default()),
        })
    }
}

/// Asks for the steps one after the other; gives what each was answered, and what came of the run where the plugin then
/// says `ended`.
fn walk(
    terms: Terms,
    steps: &[Step],
    fails: &str,
    ended: Result<()>,
) -> (Vec<std::result::Result<StepReply, ErrorCode>>, Vec<Ask>, Result<()>) {
    let mut all = Vec::new();
    let mut driver = scripted(&mut all, fails);
    let bounds = Bounds::of(0, Duration::from_secs(30));
    let mut asked = Asked {
        ask: &mut driver,
        phases: Phases::new(terms),
        watch: Watch::new(bounds, Instant::now()),
        bandwidth: Some(10 << 20),
        under_way: None,
        failed: None,
        refused: Vec::new(),
    };
    let answers = steps.iter().map(|step| asked.step(step.clone()).unwrap().map_err(|error| error.code)).collect();
    let came = asked.judge(ended, &"it".parse().unwrap());
    drop(driver);
    (answers, all, came)
}

fn running() -> Terms {
    Terms { power: Power::Running, copies: false, postcopy: false }
}

#[test]
fn a_step_out_of_order_reaches_nobody_and_the_right_one_still_goes() {
    let steps =
        [Step::SwitchOver, Step::Reserve, Step::Reserve, Step::Restore, Step::Precopy(LIMITS), Step::SwitchOver];
    let (answers, asked, came) = walk(running(), &steps, "", Ok(()));
    let wrong = Err(ErrorCode::WrongState);
    let outcome = Ok(StepReply::Outcome(Outcome::default()));
    let done = Ok(StepReply::Done);
    assert_eq!(answers, [wrong.clone(), done.clone(), wrong.clone(), wrong, done, outcome]);
    let names: Vec<&str> = asked.iter().map(Ask::name).collect();
    assert_eq!(names, ["reserve", "precopy", "switch-over"]);
    came.unwrap();
}

#[test]
fn absurd_limits_are_kept_within_bounds_and_what_is_set_already_is_not_set_again() {
    let absurd = RawLimits { bandwidth: Some(u64::MAX), downtime_ms: u32::MAX, channels: 255, ..LIMITS };
    let slow = RawLimits { bandwidth: Some(0), downtime_ms: 0, channels: 0, compress: false, ..LIMITS };
    let steps = [Step::Reserve, Step::Precopy(absurd), Step::Adjust(slow), Step::Adjust(slow), Step::Adjust(absurd)];
    let (_, asked, came) = walk(running(), &steps, "", Err(Failure::other("it gives up")));
    let limits = |bandwidth, downtime_ms| Limits {
        bandwidth: Some(bandwidth),
        downtime_ms,
        auto_converge: false,
        channels: 1,
        compress: true,
    };
    let fast = limits(10 << 20, 10_000);
    let wanted = [Ask::Reserve, Ask::Precopy(fast), Ask::Adjust(limits(1 << 20, 1)), Ask::Adjust(fast)];
    assert_eq!(asked, wanted);
    assert_eq!(came.unwrap_err().message, "it gives up");
}

#[test]
fn a_step_that_failed_is_what_the_operator_reads_and_nothing_follows_it() {
    let steps = [Step::Reserve, Step::CopyVolumes, Step::Save, Step::Reserve];
    for says in [Ok(()), Err(Failure::new(Kind::PluginFault, "its code failed"))] {
        let (answers, asked, came) = walk(running(), &steps, "copy-volumes", says);
        assert_eq!(answers[1], Err(ErrorCode::Unreachable));
        assert_eq!(answers[2..], [Err(ErrorCode::WrongState), Err(ErrorCode::WrongState)]);
        assert_eq!(asked.len(), 2);
        let failure = came.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (Kind::Unreachable, "hostb does not answer"));
    }
}

#[test]
fn what_a_plugin_says_of_the_end_is_not_believed() {
    let trap = || Failure::new(Kind::PluginFault, "its code failed");
    let steps = [Step::Reserve, Step::Precopy(LIMITS), Step::SwitchOver, Step::SwitchOver];
    let (answers, asked, came) = walk(running(), &steps, "", Err(trap()));
    assert_eq!((answers[3].clone(), asked.len()), (Err(ErrorCode::WrongState), 3));
    came.unwrap();
    let (_, _, came) = walk(running(), &steps[..2], "", Ok(()));
    assert_eq!(came.unwrap_err().kind, Kind::PluginFault);
    let (_, _, came) = walk(running(), &steps[..2], "", Err(trap()));
    assert_eq!(came.unwrap_err().message, "its code failed");
}

#[test]
fn post_copy_needs_a_grant() {
    let steps = [Step::Reserve, Step::Precopy(LIMITS), Step::Postcopy, Step::NextSample, Step::SwitchOver];
    let (answers, ..) = walk(running(), &steps, "", Ok(()));
    assert_eq!(answers[2], Err(ErrorCode::Denied));
    let (answers, ..) = walk(Terms { postcopy: true, ..running() }, &steps, "", Ok(()));
    assert_eq!(answers[2], Ok(StepReply::Done));
}

#[test]
fn a_note_is_escaped_and_short() {
    let note = format!("a\x1b[2J{}", "x".repeat(1 << 20));
    let (_, asked, _) = walk(running(), &[Step::Progress { done: 1, total: 2, note }], "", Err(Failure::other("x")));
    let [Ask::Progress { note, .. }] = &asked[..] else { panic!("{asked:?}") };
    assert!(note.starts_with("a\\u{1b}[2J") && note.chars().count() <= NOTE_MAX + 16, "{note}");
}
