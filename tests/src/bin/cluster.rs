//! A real Kubernetes on this machine, for people and tests: `cargo run -p weft-tests --bin cluster -- up`.

use std::{env, os::unix::process::CommandExt, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use weft_tests::cluster::{Cluster, NODES_MAX, init, keep};

const USAGE: &str = "\
usage: cluster up [--nodes N]     makes a cluster, or adds nodes to the one that is up
       cluster down               removes it, and what a crash has left
       cluster status             says what runs
       cluster kubectl ARG...     runs kubectl in it
       cluster helm ARG...        runs helm in it
       cluster run PROGRAM ARG... runs a program in its network, with kubectl and helm in its path

It needs root, Go and packages of Debian: tests/cluster/install. With KUBECONFIG set, that cluster is used instead.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["up"] => up(1)?,
        ["up", "--nodes", nodes] => {
            let nodes = nodes.parse().ok().filter(|nodes| (1..=NODES_MAX).contains(nodes));
            up(nodes.with_context(|| format!("--nodes takes a number from 1 to {NODES_MAX}"))?)?;
        }
        ["down"] => down()?,
        ["status"] => return status(),
        [program @ ("kubectl" | "helm"), arguments @ ..] | ["run", program, arguments @ ..] => {
            let error =
                running()?.command(program)?.args(arguments).stdin(std::process::Stdio::inherit()).exec();
            return Err(error).context((*program).to_owned());
        }
        ["--help" | "-h"] => println!("{USAGE}"),
        // What the cluster is made of starts these.
        ["keep", folder, tied @ ..] => keep(PathBuf::from(folder), tied == ["--tied"]).await?,
        ["init", _folder] => init().await?,
        _ => bail!("that is no way to call it\n{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn running() -> Result<Cluster> {
    Cluster::running()?.context("there is no cluster: `cluster up` makes one")
}

fn up(nodes: u8) -> Result<()> {
    let program = env::current_exe().context("this program has no name")?;
    let cluster = match Cluster::running()? {
        Some(given) if given.is_given() => bail!("KUBECONFIG names a cluster: it is used as it is"),
        Some(cluster) => cluster,
        None => {
            // What is left half made would be in the way of the next.
            Cluster::start(&program, 1, false).inspect_err(|_| drop(Cluster::stop()))?
        }
    };
    for _ in cluster.nodes()?.len()..usize::from(nodes) {
        cluster.add_node(&program)?;
    }
    println!("the cluster is up, with nodes {}", cluster.nodes()?.join(", "));
    println!("KUBECONFIG is {}, and leads there from within its network:", cluster.kubeconfig().display());
    println!("    cargo run -p weft-tests --bin cluster -- kubectl get pods -A");
    Ok(())
}

fn down() -> Result<()> {
    let was_up = Cluster::stop()?;
    println!("{}", if was_up { "the cluster is gone" } else { "there was no cluster" });
    Ok(())
}

fn status() -> Result<ExitCode> {
    let Some(cluster) = Cluster::running()? else {
        println!("there is no cluster");
        return Ok(ExitCode::FAILURE);
    };
    print!("{}", cluster.kubectl(&["get", "nodes", "-o", "wide"])?);
    print!("{}", cluster.kubectl(&["get", "pods", "-A"])?);
    Ok(ExitCode::SUCCESS)
}
