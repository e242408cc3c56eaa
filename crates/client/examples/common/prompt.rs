/// Returns the arguments of the program as the lines of a prompt, or `default` if there are none.
pub(crate) fn prompt(default: &str) -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.join("\n") {
        prompt if prompt.is_empty() => default.to_owned(),
        prompt => prompt,
    }
}
