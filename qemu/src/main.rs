//! The launcher: builds the image, boots it, and shows what it does.

#![forbid(unsafe_code)]

mod cli;
mod install;
mod launch;
mod session;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use cli::Cli;
use launch::Stop;
use ui::{Event, Output, Ui};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(why) if why.use_stderr() => {
            Ui::new(Output::Stdout).show(&Event::Error { text: cli::one_line(&why) });
            return ExitCode::from(2);
        }
        // Help and version are answers.
        Err(answer) => {
            let _ = answer.print();
            return ExitCode::SUCCESS;
        }
    };
    let mut ui = match &cli.run {
        run if run.json => Ui::Json,
        run if run.print => Ui::new(Output::Stderr),
        _ => Ui::new(Output::Stdout),
    };
    match launch::run(&cli, &mut ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Asked) => {
            ui.show(&Event::Ended { how: "ended before the switch was up".into() });
            // As a shell has it for a program that SIGINT ended.
            ExitCode::from(130)
        }
        Err(Stop::Failed(text)) => {
            ui.show(&Event::Error { text });
            ExitCode::FAILURE
        }
    }
}
