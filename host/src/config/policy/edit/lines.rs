//! What differs between two texts, line by line.

/// Lines between the first and the last that differ, of each text, up to which the least difference is looked for.
const COMPARED_MAX: usize = 2_000;

/// The lines that went (`-`) and came (`+`), in their order.
pub fn changed(before: &[u8], after: &[u8]) -> Vec<String> {
    let (before, after) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let (before, after) = (&before[same..], &after[same..]);
    let same = before.iter().rev().zip(after.iter().rev()).take_while(|(one, other)| one == other).count();
    let (before, after) = (&before[..before.len() - same], &after[..after.len() - same]);
    let went = |line: &&str| format!("-{line}");
    let came = |line: &&str| format!("+{line}");
    if before.len().max(after.len()) > COMPARED_MAX {
        return before.iter().map(went).chain(after.iter().map(came)).collect();
    }
    // common[i][j]: how many lines before[i..] and after[j..] have in common, in order.
    let mut common = vec![vec![0_u16; after.len() + 1]; before.len() + 1];
    for i in (0..before.len()).rev() {
        for j in (0..after.len()).rev() {
            common[i][j] = match before[i] == after[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        if i < before.len() && j < after.len() && before[i] == after[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < before.len() && (j == after.len() || common[i + 1][j] >= common[i][j + 1]) {
            lines.push(went(&before[i]));
            i += 1;
        } else {
            lines.push(came(&after[j]));
            j += 1;
        }
    }
    lines
}
