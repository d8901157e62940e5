//! Answers with more volumes than anyone has.

hostile::list!("hostile-many-answers", all);

fn all(_: &HostilePool) -> fief_sdk::Result<Vec<fief_sdk::storage::Volume>> {
    Ok((0..500_000).map(|number| hostile::calm::volume(&number.to_string(), 1)).collect())
}
