//! Either service as a program: says where it listens, serves until SIGTERM, drains.

use std::{io, process::ExitCode};

use crate::{
    feelgood_api::{self, FeelgoodApi},
    frontend::{self, Frontend},
    process,
};

/// Which service, and how to start it.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Sample {
    /// Answer good vibes, and fail about one request in three
    FeelgoodApi(feelgood_api::Options),
    /// Render a page from what the feelgood API says
    Frontend(frontend::Options),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    FeelgoodApi(#[from] feelgood_api::Error),
    #[error(transparent)]
    Frontend(#[from] frontend::Error),
    #[error("the process cannot be set up: {0}")]
    Process(#[from] io::Error),
}

impl Sample {
    /// Serves until SIGTERM or SIGINT. Failing to start is told on stderr and is exit code 1.
    pub fn run(&self) -> ExitCode {
        match process::block_on(self.serve()).map_err(Error::from).flatten() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", self.name());
                ExitCode::FAILURE
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::FeelgoodApi(_) => "feelgood-api",
            Self::Frontend(_) => "frontend",
        }
    }

    async fn serve(&self) -> Result<(), Error> {
        // Before the first line is printed: whoever reads it may send the signal at once.
        let stop = process::terminated()?;
        match self {
            Self::FeelgoodApi(options) => {
                let api = FeelgoodApi::bind(options).await?;
                println!("control listening on {}", api.control()?);
                println!("listening on {}", api.address()?);
                api.serve(stop).await;
            }
            Self::Frontend(options) => {
                let frontend = Frontend::bind(options).await?;
                println!("listening on {}", frontend.address()?);
                frontend.serve(stop).await;
            }
        }
        Ok(())
    }
}
