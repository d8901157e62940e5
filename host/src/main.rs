fn main() -> std::process::ExitCode {
    if std::env::args_os().nth(1).is_some_and(|verb| verb == "sandbox") {
        return fief::sandbox::run().into();
    }
    std::process::ExitCode::SUCCESS
}
