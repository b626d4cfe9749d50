//! `docs/server-flags.md` and `docs/agent-flags.md`: what `--help` of the programs prints.

use clap::{Command, CommandFactory};

use crate::repository::check_document;

fn page(command: Command) -> String {
    // The values of this machine's environment are no part of the page.
    let mut command = command.mut_args(|argument| argument.hide_env_values(true));
    let name = command.get_name().to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    format!(
        "# Flags of {name}\n\n\
         What `{name} --help` prints; a test fails when this page is not current. A flag with `[env: NAME]`\n\
         may be given as that environment variable instead; the flag wins.\n\n\
         ```text\n{}\n```\n",
        help.join("\n").trim_end()
    )
}

#[test]
fn page_of_server_flags_is_its_help() {
    let command = brokkr_apiserver::options::Options::command();
    check_document("docs/server-flags.md", &page(command));
}

#[test]
fn page_of_agent_flags_is_its_help() {
    let command = brokkr_agent::options::Options::command();
    check_document("docs/agent-flags.md", &page(command));
}
