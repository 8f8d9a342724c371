use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_well_formed() {
    Weft::command().debug_assert();
}

#[test]
fn what_people_need_not_know_is_hidden() {
    let help = Weft::command().render_help().to_string();
    assert!(help.contains("demo") && help.contains("run"), "{help}");
    assert!(!help.contains("proxy") && !help.contains("sample"), "{help}");
}
